"""Sprites: small binary images of which every cause is known, drawn when they are asked for.

A full table: each combination of the factors occurs once. So the factors are exactly independent, the law of
the images is uniform on a known set, and its entropy is the logarithm of a count. Nothing here needs a
network. The well-known dSprites set, which these imitate at a small scale, is not offered: no address with a
checksum that its makers maintain is known to this package.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit.data import _arguments as check

__all__ = ["Sprites", "sprites"]

SHAPES = ("square", "ellipse", "heart")
SUBPIXELS = 8  # along an edge: a pixel is on where at least half of its 64 points are inside


class Sprites(NamedTuple):
    """Images with the factors that made them.

    Attributes
    ----------
    X : ndarray of shape (n, side * side), float64
        Zeros and ones, one image per row, pixels row by row.
    factors : ndarray of shape (n, 5), int64
        Which value each factor has: indices from 0, one column for each name.
    names : tuple of str
        Names of the factors.
    sizes : tuple of int
        How many values each factor has; n is their product.
    """

    X: NDArray[np.float64]
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
