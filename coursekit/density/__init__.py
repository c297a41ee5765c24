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

__all__ = [
    "BernoulliNaiveBayes",
    "Categorical",
    "DiscretizedGaussian",
    "DiscretizedKernelDensity",
    "FullTable",
    "Histogram",
    "IndependentBernoulli",
    "LogisticAutoregression",
    "Poisson",
    "exact_mise",
    "freedman_diaconis_width",
    "in_sample_risk",
    "leave_one_out_risk",
    "risk_curve",
    "scott_width",
]
