"""Normalizing flows."""

from coursekit.flows.autoregressive import (
    MADE,
    InverseAutoregressiveFlow,
    MaskedAffine,
    MaskedAutoregressiveFlow,
    MaskedConv2d,
    MaskedMLP,
    PixelCNN,
)

__all__ = [
    "MADE",
    "InverseAutoregressiveFlow",
    "MaskedAffine",
    "MaskedAutoregressiveFlow",
    "MaskedConv2d",
    "MaskedMLP",
    "PixelCNN",
]
