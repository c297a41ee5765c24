"""Classical density estimation: histograms, kernels, neighbours and inverse distribution functions."""

from coursekit.density.discrete import (
    BernoulliNaiveBayes,
    Categorical,
    DiscretizedGaussian,
    DiscretizedKernelDensity,
    FullTable,
    IndependentBernoulli,
    LogisticAutoregression,
    Poisson,
)
from coursekit.density.histogram import (
    Histogram,
    exact_mise,
    freedman_diaconis_width,
    in_sample_risk,
    leave_one_out_risk,
    risk_curve,
    scott_width,
)
from coursekit.density.inverse_cdf import (
    AliasTable,
    EmpiricalCDF,
    Gaussian,
    InverseCDF,
    Rosenblatt,
    generalized_inverse,
    invert_cdf,
    invert_survival,
)
from coursekit.density.kde import (
    KernelDensity,
    mixture_mise,
    normal_reference,
    optimal_bandwidth,
    ucv_risk,
)
from coursekit.density.knn import (
    KNNDensity,
    log_unit_ball_volume,
    mass_on_window,
    neighbours_rule,
    window_changes,
)
from coursekit.density.mixture import BernoulliMixture, GaussianMixture, expectation_maximization

# Names that need torch, which takes seconds to import: found when they are asked for.
_NEURAL = (
    "ConditionalCDF",
    "LogisticMixtureCDF",
    "MonotoneCDF",
    "NeuralCDF",
    "QuantileNet",
    "bisect",
    "monotonicity_penalty",
    "sic_targets",
    "slc_targets",
)

__all__ = [
    "AliasTable",
    "BernoulliMixture",
    "BernoulliNaiveBayes",
    "Categorical",
    "ConditionalCDF",
    "DiscretizedGaussian",
    "DiscretizedKernelDensity",
    "EmpiricalCDF",
    "FullTable",
    "Gaussian",
    "GaussianMixture",
    "Histogram",
    "IndependentBernoulli",
    "InverseCDF",
    "KNNDensity",
    "KernelDensity",
    "LogisticAutoregression",
    "LogisticMixtureCDF",
    "MonotoneCDF",
    "NeuralCDF",
    "Poisson",
    "QuantileNet",
    "Rosenblatt",
    "bisect",
    "exact_mise",
    "expectation_maximization",
    "freedman_diaconis_width",
    "generalized_inverse",
    "in_sample_risk",
    "invert_cdf",
    "invert_survival",
    "leave_one_out_risk",
    "log_unit_ball_volume",
    "mass_on_window",
    "mixture_mise",
    "monotonicity_penalty",
    "neighbours_rule",
    "normal_reference",
    "optimal_bandwidth",
    "risk_curve",
    "scott_width",
    "sic_targets",
    "slc_targets",
    "ucv_risk",
    "window_changes",
]


def __getattr__(name: str) -> object:
    if name in _NEURAL:
        from coursekit.density import neural_cdf

        return getattr(neural_cdf, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_NEURAL})
