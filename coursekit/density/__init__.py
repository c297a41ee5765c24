"""Classical density estimation: histograms, kernels, neighbours and inverse distribution functions."""

from coursekit.density.histogram import (
    Histogram as Histogram,
    exact_mise as exact_mise,
    freedman_diaconis_width as freedman_diaconis_width,
    in_sample_risk as in_sample_risk,
    leave_one_out_risk as leave_one_out_risk,
    risk_curve as risk_curve,
    scott_width as scott_width,
)
