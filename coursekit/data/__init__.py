"""Data of the course: toy laws with exact log-density, embedded images, verified downloads.

Importing this package is quick and silent, and touches no network.
"""

from coursekit.data.images import Logit, Part, Splits, bits_per_dim, digits, mnist_sample
from coursekit.data.toy import Bimodal, EightGaussians, Pinwheel, Rings, SwissRoll, TwoMoons

__all__ = [
    "Bimodal",
    "EightGaussians",
    "Logit",
    "Part",
    "Pinwheel",
    "Rings",
    "Splits",
    "SwissRoll",
    "TwoMoons",
    "bits_per_dim",
    "digits",
    "mnist_sample",
]
