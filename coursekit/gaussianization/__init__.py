"""Gaussianization: one-dimensional views of a law, and maps built from them that make it normal."""

from coursekit.gaussianization.iterative import (
    IterativeGaussianizer,
    SlicedTransport,
    covariance_recursion,
    expected_excursions,
)
from coursekit.gaussianization.marginals import (
    ECDFMap,
    KDEMap,
    KnotMap,
    MarginalMap,
    MixtureMap,
    PolynomialMap,
    QuantileMap,
    SplineMap,
)
from coursekit.gaussianization.projections import (
    RadonDensity,
    back_project,
    distance_to_normal,
    filter_views,
    ghost_log_prob,
    ghost_sample,
    ramp_kernel,
    view_angles,
    view_histograms,
)
from coursekit.gaussianization.rotations import (
    ICA,
    PCA,
    Haar,
    Householder,
    MaxSliced,
    Rotation,
    haar_matrix,
)

__all__ = [
    "ICA",
    "PCA",
    "ECDFMap",
    "Haar",
    "Householder",
    "IterativeGaussianizer",
    "KDEMap",
    "KnotMap",
    "MarginalMap",
    "MaxSliced",
    "MixtureMap",
    "PolynomialMap",
    "QuantileMap",
    "RadonDensity",
    "Rotation",
    "SlicedTransport",
    "SplineMap",
    "back_project",
    "covariance_recursion",
    "distance_to_normal",
    "expected_excursions",
    "filter_views",
    "ghost_log_prob",
    "ghost_sample",
    "haar_matrix",
    "ramp_kernel",
    "view_angles",
    "view_histograms",
]
