"""Data of the course: toy laws with exact log-density, embedded images, verified downloads.

Importing this package is quick and silent, and touches no network.
"""

from coursekit.data.affine import Posed, PosedSplits, affine_digits, affine_mnist
from coursekit.data.download import DATASETS, DataError, cache_dir, datasets, fetch, load, shared_dir
from coursekit.data.images import Logit, Part, Splits, bits_per_dim, digits, mnist_sample
from coursekit.data.series import RealSeries, SeriesPart, WarpedSeries, load_series, to_length, warped_series
from coursekit.data.sprites import Sprites, dsprites, sprites
from coursekit.data.toy import Bimodal, EightGaussians, Pinwheel, Rings, SwissRoll, TwoMoons

__all__ = [
    "DATASETS",
    "Bimodal",
    "DataError",
    "EightGaussians",
    "Logit",
    "Part",
    "Pinwheel",
    "Posed",
    "PosedSplits",
    "RealSeries",
    "Rings",
    "SeriesPart",
    "Splits",
    "Sprites",
    "SwissRoll",
    "TwoMoons",
    "WarpedSeries",
    "affine_digits",
    "affine_mnist",
    "bits_per_dim",
    "cache_dir",
    "datasets",
    "digits",
    "dsprites",
    "fetch",
    "load",
    "load_series",
    "mnist_sample",
    "shared_dir",
    "sprites",
    "to_length",
    "warped_series",
]
