r"""Images moved by known affine maps: real digits whose nuisance factors are known exactly.

A pose is a row of numbers that a person can read: a turn in radians (counter-clockwise), logarithms of
scales, and shifts as a share of the half-width of the image (right and up). Each seed has poses of its own.
Nothing here needs a network.

Taught in :ref:`transform_autoencoder`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coursekit.data import _arguments as check
from coursekit.data.images import Splits, digits, mnist_sample

__all__ = ["Posed", "PosedSplits", "affine_digits", "affine_mnist"]

Array = NDArray[np.float64]
_ROWS = 200  # images at once: what fits into the cache


class Posed(NamedTuple):
    """Images, and the poses that made them.

    Attributes
    ----------
    X : ndarray of shape (n, side * side), float64
        Moved images, one per row, pixels row by row, values in [0, 1].
    y : ndarray of shape (n,), int64
        Class of each image.
    pose : ndarray of shape (n, 4) or (n, 6)
        The map of each image. Four columns: turn, log-scale, shift right, shift up. Six: turn, log-scale
        along x, log-scale along y, shear, shift right, shift up.
    clean : ndarray of shape (n, side * side), float64
        The same images under the identity.
    """

    X: Array
    y: NDArray[np.int64]
    pose: Array
    clean: Array


class PosedSplits(NamedTuple):
    """The three parts of a set of moved images: no original image is in two of them.

    Attributes
    ----------
    train, validation, test : Posed
        The parts.
    """

    train: Posed
    validation: Posed
    test: Posed


def _matrices(pose: Array) -> tuple[Array, Array]:
    """Matrix (n, 2, 2) and shift (n, 2) of each pose: turn times shear times scales."""
    if pose.shape[1] == 4:
        turn, shear, shift = pose[:, 0], np.zeros(len(pose)), pose[:, 2:]
        scales = np.exp(pose[:, [1, 1]])
    else:
        turn, shear, shift, scales = pose[:, 0], pose[:, 3], pose[:, 4:], np.exp(pose[:, 1:3])
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)  # (n, 2, 2)
    triangle = np.zeros_like(rotation)
    triangle[:, 0, 0], triangle[:, 0, 1], triangle[:, 1, 1] = scales[:, 0], shear * scales[:, 1], scales[:, 1]
    return rotation @ triangle, shift


def _place(originals: Array, pose: Array, side: int, extent: float) -> Array:
    """Draw images (n, k, k) on a canvas of `side` pixels; at the identity they span `extent` pixels."""
    out = np.empty((len(pose), side * side))
    for start in range(0, len(pose), _ROWS):
        rows = slice(start, start + _ROWS)
        out[rows] = _place_few(originals[rows], pose[rows], side, extent)
    return out


def _place_few(originals: Array, pose: Array, side: int, extent: float) -> Array:
    n, k, _ = originals.shape
    matrix, shift = _matrices(pose)
    line = (2 * np.arange(side) + 1) / side - 1
    u = np.stack(np.meshgrid(line, -line), axis=-1).reshape(1, -1, 2)  # right, up; pixels row by row
    u = (u - shift[:, None]) @ np.linalg.inv(matrix).swapaxes(1, 2)  # where each pixel looks: (n, side^2, 2)
    column = u[..., 0] * side / extent * k / 2 + (k - 1) / 2  # in pixels of the original
    row = -u[..., 1] * side / extent * k / 2 + (k - 1) / 2
    padded = np.pad(originals, ((0, 0), (1, 1), (1, 1)))  # outside is zero
    column, row = np.clip(column + 1, 0, k + 1), np.clip(row + 1, 0, k + 1)
    j, i = np.minimum(column.astype(int), k), np.minimum(row.astype(int), k)
    a, b, each = column - j, row - i, np.arange(n)[:, None]
    above = (1 - a) * padded[each, i, j] + a * padded[each, i, j + 1]
    below = (1 - a) * padded[each, i + 1, j] + a * padded[each, i + 1, j + 1]
    return (1 - b) * above + b * below


def _clean(X: Array, times: int, pose: Array, side: int, extent: float) -> Array:
    """Draw the images under the identity, `times` copies of each."""
    k = math.isqrt(X.shape[1])
    still = np.zeros((len(X), pose.shape[1]))
    return np.tile(_place(X.reshape(-1, k, k), still, side, extent), (times, 1))


def affine_digits(
    copies: int = 1,
    *,
    side: int = 16,
    rotation: float = 0.8,
    log_scale: float = 0.2,
    shift: float = 0.25,
    random_state: check.RandomState = 0,
) -> PosedSplits:
    r"""Draw the 8x8 digits, magnified to three quarters of a canvas, under random similarities.

    A point :math:`u` of the digit goes to :math:`e^s R(\varphi) u + t`. Each of the four numbers is uniform
    between minus and plus its limit.

    Parameters
    ----------
    copies : int
        Moved copies of each training image; validation and test images have one.
    side : int
        Pixels along an edge of the canvas, at least 8.
    rotation : float
        Limit of the turn, in radians.
    log_scale : float
        Limit of the logarithm of the scale.
    shift : float
        Limit of each shift, as a share of the half-width.
    random_state : None, int, RandomState or Generator
        Decides the poses.

    Returns
    -------
    PosedSplits
        The split of `coursekit.data.digits`, poses with four columns.

    Raises
    ------
    ValueError
        If a count is too small, or a limit is negative or not finite.

    Notes
    -----
    Taught in :ref:`transform_autoencoder`.

    Examples
    --------
    >>> train, _, test = affine_digits(copies=2)
    >>> train.X.shape, train.pose.shape, test.X.shape
    ((2194, 256), (2194, 4), (500, 256))
    """
    copies = check.positive_count(copies, "copies")
    if check.positive_count(side, "side") < 8:
        raise ValueError(f"side must be at least 8; got {side}")
    limits = np.array([check.finite(v, n) for n, v in (("rotation", rotation), ("log_scale", log_scale))])
    limits = np.append(limits, [check.finite(shift, "shift")] * 2)
    if (limits < 0).any():
        raise ValueError(f"rotation, log_scale and shift must be at least 0; got {limits[:3].tolist()}")
    source, rng, parts = digits("grey"), check.generator(random_state), []
    for name, part in source._asdict().items():
        times = copies if name == "train" else 1
        originals, y = np.tile(part.X / 16, (times, 1)).reshape(-1, 8, 8), np.tile(part.y, times)
        pose = rng.uniform(-limits, limits, size=(len(y), 4))
        clean = _clean(part.X / 16, times, pose, side, side * 3 / 4)
        parts.append(Posed(_place(originals, pose, side, side * 3 / 4), y, pose, clean))
    return PosedSplits(*parts)


def _room(image: Array, matrix: Array, side: int) -> Array:
    """Lowest and highest shift (2, 2) that keep all ink of an image on the canvas."""
    k = len(image)
    row, column = np.nonzero(image)
    u = np.stack([2 * column - (k - 1), (k - 1) - 2 * row], axis=-1) / side  # centres of pixels with ink
    u, reach = u @ matrix.T, 2 / side * np.abs(matrix).sum(axis=1)  # a pixel's ink reaches its neighbours
    if not len(u):
        return np.zeros((2, 2))
    low, high = -1 - (u.min(axis=0) - reach), 1 - (u.max(axis=0) + reach)
    middle = (low + high) / 2
    return np.stack([np.where(low <= high, low, middle), np.where(low <= high, high, middle)])


def affine_mnist(
    copies: int = 1, *, source: Splits | None = None, random_state: check.RandomState = 0
) -> PosedSplits:
    r"""Draw MNIST digits under random affine maps on a canvas of 40 by 40 pixels ("affNIST-style").

    Turn within 20 degrees, shear within 0.2, each scale between 0.8 and 1.2, all uniform, and then a shift
    that is uniform among those that cut off no ink. The affNIST set itself, which this imitates, is another
    draw.

    Parameters
    ----------
    copies : int
        Moved copies of each training image; validation and test images have one.
    source : Splits, optional
        Images of 28 by 28 with values 0 to 255, such as ``load("mnist")``; by default `mnist_sample`, which
        ships with the package.
    random_state : None, int, RandomState or Generator
        Decides the poses.

    Returns
    -------
    PosedSplits
        Images of 1600 pixels, poses with six columns.

    Raises
    ------
    ValueError
        If `copies` is too small, or the images have another size.

    References
    ----------
    .. [1] T. Tieleman, "affNIST", 2013, https://www.cs.toronto.edu/~tijmen/affNIST/.

    Notes
    -----
    Taught in :ref:`transform_autoencoder`.

    Examples
    --------
    >>> from coursekit.data import Part, Splits
    >>> few = Splits(*(Part(part.X[:9], part.y[:9]) for part in mnist_sample()))
    >>> affine_mnist(source=few).test.X.shape
    (9, 1600)
    """
    copies, side = check.positive_count(copies, "copies"), 40
    source = mnist_sample() if source is None else source
    rng, parts = check.generator(random_state), []
    for name, part in source._asdict().items():
        if part.X.ndim != 2 or part.X.shape[1] != 784 or part.y is None:
            raise ValueError(
                f"source: {name} must have images of shape (n, 784) and classes; got {part.X.shape}"
            )
        times = copies if name == "train" else 1
        originals = np.tile(part.X / 255.0, (times, 1)).reshape(-1, 28, 28)
        y = np.tile(part.y, times)
        scales = np.log(rng.uniform(0.8, 1.2, size=(len(y), 2)))
        turn, shear = (rng.uniform(-1, 1, size=(len(y), 1)) * limit for limit in (math.pi / 9, 0.2))
        pose = np.concatenate([turn, scales, shear, np.zeros((len(y), 2))], axis=1)
        room = np.array([_room(o, m, side) for o, m in zip(originals, _matrices(pose)[0], strict=True)])
        pose[:, 4:] = room[:, 0] + rng.uniform(size=(len(y), 2)) * (room[:, 1] - room[:, 0])
        clean = _clean(part.X / 255.0, times, pose, side, 28)
        parts.append(Posed(_place(originals, pose, side, 28), y, pose, clean))
    return PosedSplits(*parts)
