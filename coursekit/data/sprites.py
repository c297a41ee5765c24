"""Sprites: small binary images of which every cause is known, drawn when they are asked for.

A full table: each combination of the factors occurs once. So the factors are exactly independent, the law of
the images is uniform on a known set, and its entropy is the logarithm of a count. Nothing of that needs a
network. The well-known dSprites set, which these imitate at a small scale, is downloaded when `dsprites` is
called for the first time, and verified.
"""

from __future__ import annotations

import itertools
import zipfile
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit.data import _arguments as check
from coursekit.data.download import DSPRITES_FILE, DataError, fetch

__all__ = ["Sprites", "dsprites", "sprites"]

SHAPES = ("square", "ellipse", "heart")
SUBPIXELS = 8  # along an edge: a pixel is on where at least half of its 64 points are inside


class Sprites(NamedTuple):
    """Images with the factors that made them.

    Attributes
    ----------
    X : ndarray of shape (n, side * side), float64 (dSprites: uint8)
        Zeros and ones, one image per row, pixels row by row.
    factors : ndarray of shape (n, 5), int64
        Which value each factor has: indices from 0, one column for each name.
    names : tuple of str
        Names of the factors.
    sizes : tuple of int
        How many values each factor has; n is their product, where all images are there.
    """

    X: NDArray[Any]
    factors: NDArray[np.int64]
    names: tuple[str, ...]
    sizes: tuple[int, ...]


def _inside(shape: int, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points, in units of the sprite's radius, belong to the shape; all fit into the unit disc."""
    if SHAPES[shape] == "square":
        return np.maximum(np.abs(u), np.abs(v)) <= 0.7
    if SHAPES[shape] == "ellipse":
        return np.square(u) + np.square(v / 0.5) <= 1
    u, v = 1.25 * u, 1.25 * v
    return (u**2 + v**2 - 1) ** 3 - u**2 * v**3 <= 0


def sprites(side: int = 16) -> Sprites:
    """Draw all sprites: 3 shapes, 3 sizes, 4 angles, 6 columns and 6 rows, 1296 images, no two alike.

    Angles are 0, 22.5, 45 and 67.5 degrees: less than a quarter turn, after which a square is itself again.

    Parameters
    ----------
    side : int
        Pixels along an edge, at least 16.

    Returns
    -------
    Sprites
        Images and their factors "shape", "size", "angle", "column" and "row", the last one changing fastest.

    Raises
    ------
    ValueError
        If `side` is less than 16: some images would be alike.

    Notes
    -----
    After the dSprites of Matthey, Higgins, Hassabis and Lerchner, 2017. Taught in :ref:`beta_vae`.

    Examples
    --------
    >>> data = sprites()
    >>> data.X.shape, dict(zip(data.names, data.factors[0].tolist()))
    ((1296, 256), {'shape': 0, 'size': 0, 'angle': 0, 'column': 0, 'row': 0})
    """
    if check.positive_count(side, "side") < 16:
        raise ValueError(f"side must be at least 16, so that no two images are alike; got {side}")
    sizes = (len(SHAPES), 3, 4, 6, 6)
    centre, step = 5.5 * side / 16, side // 16  # of the sprite in the first column and row, in pixels
    line = (np.arange(side * SUBPIXELS) + 0.5) / SUBPIXELS - centre
    right, up = line[None, :], -line[:, None]
    images = []
    for shape, size, angle in itertools.product(*map(range, sizes[:3])):
        radius, turn = side / 16 * (3.5 + 0.75 * size), angle * np.pi / 8
        u = (np.cos(turn) * right + np.sin(turn) * up) / radius
        v = (np.cos(turn) * up - np.sin(turn) * right) / radius
        counts = _inside(shape, u, v).reshape(side, SUBPIXELS, side, SUBPIXELS).sum(axis=(1, 3))
        on = 2 * counts >= SUBPIXELS**2
        places = itertools.product(range(sizes[3]), range(sizes[4]))
        images += [np.roll(on, (step * row, step * column), axis=(0, 1)).ravel() for column, row in places]
    factors = np.indices(sizes).reshape(len(sizes), -1).T
    X = np.array(images, dtype=np.float64)
    return Sprites(X, factors.astype(np.int64), ("shape", "size", "angle", "column", "row"), sizes)


DSPRITES_NAMES = ("shape", "scale", "orientation", "posX", "posY")


def dsprites(n: int | None = None, *, random_state: check.RandomState = None) -> Sprites:
    """Load images of dSprites, fetching the set (26 MB) if need be.

    Parameters
    ----------
    n : int, optional
        How many images, drawn without replacement and kept in the order of the file; by default all 737,280,
        which take 3 GB. Whatever `n` is, no more than its images are held in memory.
    random_state : int, RandomState, Generator or None
        Decides which.

    Returns
    -------
    Sprites
        ``X`` uint8 of shape (n, 4096), zeros and ones; factors "shape" (square, ellipse, heart), "scale",
        "orientation", "posX" and "posY" with 3, 6, 40, 32 and 32 values. The colour, which never changes, is
        left out.

    Raises
    ------
    ValueError
        If `n` is no whole number from 1 to the number of images.
    DataError
        If the file cannot be had (see :func:`coursekit.data.fetch`), or holds something else.

    Notes
    -----
    The first and the last of the 40 orientations are the same angle: 0 and a whole turn. And the square is
    itself again after a quarter turn, so that "orientation" cannot be read from every image. Of the file
    only an MD5 is published, which tells accidents but no forgery.

    Taught in :ref:`beta_vae`.

    References
    ----------
    Matthey, Higgins, Hassabis and Lerchner, 2017, "dSprites: disentanglement testing sprites dataset".
    """
    return _read_dsprites(fetch("dsprites") / DSPRITES_FILE, n, random_state)


def _read_dsprites(path: Path, n: int | None, random_state: check.RandomState) -> Sprites:
    """Stream the rows that are wanted out of the archive, in which the images are one compressed array."""
    try:
        with np.load(path, allow_pickle=False) as arrays:  # "metadata", a pickle, stays closed
            classes = arrays["latents_classes"]
        count = len(classes)
        if n is not None and check.positive_count(n, "n") > count:
            raise ValueError(f"n must be at most {count}, the number of images; got {n}")
        rows = np.arange(count)
        if n is not None:
            rows = np.sort(check.generator(random_state).permutation(count)[:n])
        with zipfile.ZipFile(path) as archive, archive.open("imgs.npy") as stream:
            version = np.lib.format.read_magic(stream)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, by_column, dtype = header(stream)
            if by_column or dtype != np.uint8 or shape[0] != count or len(shape) != 3:
                raise DataError(f"{path}: images are {dtype} of shape {shape}, expected uint8 of (n, 64, 64)")
            X = _rows_of(stream, rows, shape[1] * shape[2])
    except (KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not the dSprites archive: {error}") from error
    factors = classes[rows, 1:].astype(np.int64)
    return Sprites(X, factors, DSPRITES_NAMES, tuple(int(size) for size in classes[:, 1:].max(axis=0) + 1))


def _rows_of(stream: IO[bytes], rows: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Rows, in rising order, of an array of bytes that is read from its beginning."""
    X, at, block = np.empty((len(rows), width), np.uint8), 0, 4096
    for start in range(0, int(rows[-1]) + 1, block):
        part = np.frombuffer(stream.read(block * width), np.uint8).reshape(-1, width)
        mine = rows[at : at + np.searchsorted(rows[at:], start + block)]
        X[at : at + len(mine)] = part[mine - start]
        at += len(mine)
    return X
