"""Disentangling: what the causes of an image are, which of them can be found, and how to tell."""

from coursekit.disentangling.beta_vae import (
    DCI,
    BetaVAE,
    RotatedPosterior,
    dci,
    factor_vae_score,
    mig,
    mutual_information,
    rate_distortion,
    rotate_latents,
    sap,
    traverse,
    water_filling,
)

__all__ = [
    "DCI",
    "BetaVAE",
    "RotatedPosterior",
    "dci",
    "factor_vae_score",
    "mig",
    "mutual_information",
    "rate_distortion",
    "rotate_latents",
    "sap",
    "traverse",
    "water_filling",
]
