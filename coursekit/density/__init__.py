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
from coursekit.density.knn import (
    KNNDensity,
    log_unit_ball_volume,
    mass_on_window,
    neighbours_rule,
    window_changes,
)

__all__ = [
    "AliasTable",
    "BernoulliNaiveBayes",
    "Categorical",
    "DiscretizedGaussian",
    "DiscretizedKernelDensity",
    "EmpiricalCDF",
    "FullTable",
    "Gaussian",
    "Histogram",
    "IndependentBernoulli",
    "InverseCDF",
    "KNNDensity",
    "LogisticAutoregression",
    "Poisson",
    "Rosenblatt",
    "exact_mise",
    "freedman_diaconis_width",
    "generalized_inverse",
    "in_sample_risk",
    "invert_cdf",
    "invert_survival",
    "leave_one_out_risk",
    "log_unit_ball_volume",
    "mass_on_window",
    "neighbours_rule",
    "risk_curve",
    "scott_width",
    "window_changes",
]
