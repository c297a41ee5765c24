"""Autoencoders, and denoising ones as generative models."""

from coursekit.autoencoders.denoising import (
    DenoisingAutoencoder,
    bayes_posterior,
    corrupt,
    corruption_matrix,
    dae_chain,
    empirical_denoiser,
    exact_chain,
    factorize,
    perturbation_bound,
    spectral_gap,
    stationary_law,
    total_variation,
    tweedie_score,
    walkback_posterior,
    walkback_weights,
)

__all__ = [
    "DenoisingAutoencoder",
    "bayes_posterior",
    "corrupt",
    "corruption_matrix",
    "dae_chain",
    "empirical_denoiser",
    "exact_chain",
    "factorize",
    "perturbation_bound",
    "spectral_gap",
    "stationary_law",
    "total_variation",
    "tweedie_score",
    "walkback_posterior",
    "walkback_weights",
]
