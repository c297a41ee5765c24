"""Adversarial learning: samplers trained against a critic, without a density."""

from coursekit.adversarial.gan import (
    DIVERGENCES,
    GAN,
    DiffAugment,
    Discriminator,
    FDivergence,
    Generator,
    ModeReport,
    bilinear_game,
    dcgan_nets,
    discriminator_loss,
    game_value,
    jensen_shannon,
    mode_report,
    non_saturating_loss,
    optimal_discriminator,
    saturating_loss,
)

__all__ = [
    "DIVERGENCES",
    "GAN",
    "DiffAugment",
    "Discriminator",
    "FDivergence",
    "Generator",
    "ModeReport",
    "bilinear_game",
    "dcgan_nets",
    "discriminator_loss",
    "game_value",
    "jensen_shannon",
    "mode_report",
    "non_saturating_loss",
    "optimal_discriminator",
    "saturating_loss",
]
