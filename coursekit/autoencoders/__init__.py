"""Autoencoders, and denoising ones as generative models."""

from coursekit.autoencoders.autoencoder import (
    Autoencoder,
    levina_bickel_dimension,
    log_mass_of_exp_minus_loss,
    twonn_dimension,
)
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
    "Autoencoder",
    "DenoisingAutoencoder",
    "bayes_posterior",
    "corrupt",
    "corruption_matrix",
    "dae_chain",
    "empirical_denoiser",
    "exact_chain",
    "factorize",
    "levina_bickel_dimension",
    "log_mass_of_exp_minus_loss",
    "perturbation_bound",
    "spectral_gap",
    "stationary_law",
    "total_variation",
    "tweedie_score",
    "twonn_dimension",
    "walkback_posterior",
    "walkback_weights",
]
