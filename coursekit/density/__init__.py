"""Classical density estimation: histograms, kernels, neighbours and inverse distribution functions."""
