"""Gaussianization: one-dimensional views of a law, and maps built from them that make it normal."""

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

__all__ = [
    "RadonDensity",
    "back_project",
    "distance_to_normal",
    "filter_views",
    "ghost_log_prob",
    "ghost_sample",
    "ramp_kernel",
    "view_angles",
    "view_histograms",
]
