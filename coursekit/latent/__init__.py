"""Latent variables: variational autoencoders, their bounds, and the oracles that judge them."""

from coursekit.latent.vae import (
    GLO,
    VAE,
    BernoulliDecoder,
    DiagonalGaussian,
    GaussianDecoder,
    GaussianEncoder,
    ProbabilisticPCA,
    active_units,
    conv_nets,
    infer_per_row,
    interpolate,
    linear_vae,
    log_evidence,
)

__all__ = [
    "GLO",
    "VAE",
    "BernoulliDecoder",
    "DiagonalGaussian",
    "GaussianDecoder",
    "GaussianEncoder",
    "ProbabilisticPCA",
    "active_units",
    "conv_nets",
    "infer_per_row",
    "interpolate",
    "linear_vae",
    "log_evidence",
]
