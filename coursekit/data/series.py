"""Time series: made ones whose warps are known, and real ones by verified download.

The made series need no network. The real ones come out of the source archives of two well-kept packages,
tslearn and aeon, whose checksums the Python package index keeps: for the files of the UCR archive itself no
checksum that its keepers maintain is known to this package.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coursekit.data import _arguments as check
from coursekit.data.download import DATASETS, DataError, _content, fetch

__all__ = [
    "REAL_SERIES",
    "RealSeries",
    "SeriesPart",
    "WarpedSeries",
    "load_series",
    "to_length",
    "warped_series",
]

Array = NDArray[np.float64]

CLASSES, BUMPS, WIDTH = 6, 5, 0.06  # of the made series; the width of a bump is in units of the whole time
REAL_SERIES = ("trace", "gunpoint", "pickup_gestures")


class WarpedSeries(NamedTuple):
    """Series with everything that made them.

    Attributes
    ----------
    X : ndarray of shape (n, length)
        The series: ``amplitude * template(warp) + noise``.
    y : ndarray of shape (n,), int64
        Classes, 0 to 5.
    warps : ndarray of shape (n, length)
        Each series' warp at the times 0, 1 / (length - 1), ..., 1: rises from 0 to 1.
    amplitudes : ndarray of shape (n,)
        Factors around 1.
    templates : ndarray of shape (6, length)
        The series of each class without warp, amplitude and noise.
    """

    X: Array
    y: NDArray[np.int64]
    warps: Array
    amplitudes: Array
    templates: Array


def _templates(t: Array) -> Array:
    """Values of the six templates at times `t`: (...) to (6, ...).

    All classes have their bumps near the same five places; the heights differ, which no warp changes.
    """
    rng = np.random.default_rng(7)
    places = (np.arange(BUMPS) + 0.75) / (BUMPS + 0.5) + rng.uniform(-0.03, 0.03, (CLASSES, BUMPS))
    heights = rng.choice([-1.0, 1.0], (CLASSES, BUMPS)) * rng.uniform(0.5, 1.2, (CLASSES, BUMPS))
    bumps = np.exp(-0.5 * np.square((t[..., None, None] - places) / WIDTH))  # (..., classes, bumps)
    return np.moveaxis((bumps * heights).sum(axis=-1), -1, 0)


def warped_series(
    n: int,
    *,
    length: int = 64,
    pieces: int = 10,
    strength: float = 0.8,
    amplitude: float = 0.15,
    noise: float = 0.08,
    random_state: check.RandomState = None,
) -> WarpedSeries:
    """Draw series of six classes that are told at different rates.

    Each class is a sum of five bumps. A series runs through its template by a random warp: straight between
    `pieces` + 1 equally spaced times, with increments that are the softmax of independent normal numbers.

    Parameters
    ----------
    n : int
        How many series; classes take turns.
    length : int
        Values of a series, at least 2.
    pieces : int
        Straight pieces of a warp.
    strength : float
        Standard deviation of the numbers that go into the softmax; 0 gives no warp.
    amplitude : float
        Amplitudes are uniform between 1 - `amplitude` and 1 + `amplitude`.
    noise : float
        Standard deviation of the noise that is added.
    random_state : None, int, RandomState or Generator
        Decides the draw.

    Returns
    -------
    WarpedSeries
        The series and what made them.

    Raises
    ------
    ValueError
        If a count is too small, or a number is negative or not finite.

    Notes
    -----
    Taught in :ref:`rate_invariant`.

    Examples
    --------
    >>> data = warped_series(12, random_state=0)
    >>> data.X.shape, data.y.tolist()
    ((12, 64), [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5])
    """
    n, pieces = check.positive_count(n, "n"), check.positive_count(pieces, "pieces")
    if check.positive_count(length, "length") < 2:
        raise ValueError(f"length must be at least 2; got {length}")
    for name, value in {"strength": strength, "amplitude": amplitude, "noise": noise}.items():
        if check.finite(value, name) < 0:
            raise ValueError(f"{name} must be at least 0; got {value!r}")
    rng = check.generator(random_state)
    free = strength * rng.normal(size=(n, pieces))
    rises = np.exp(free - free.max(axis=1, keepdims=True))
    rises /= rises.sum(axis=1, keepdims=True)
    knots = np.concatenate([np.zeros((n, 1)), rises.cumsum(axis=1)], axis=1)
    knots[:, -1] = 1.0
    t = np.linspace(0, 1, length)
    warps = np.array([np.interp(t, np.linspace(0, 1, pieces + 1), row) for row in knots])
    y = np.arange(n) % CLASSES
    amplitudes = rng.uniform(1 - amplitude, 1 + amplitude, n)
    clean = _templates(warps)[y, np.arange(n)]  # (n, length): the template itself, not its samples, is warped
    X = amplitudes[:, None] * clean + noise * rng.normal(size=(n, length))
    return WarpedSeries(X, y.astype(np.int64), warps, amplitudes, _templates(t))


class SeriesPart(NamedTuple):
    """One part of a set of real series.

    Attributes
    ----------
    X : list of ndarray, each of shape (length_i,)
        The series; their lengths may differ.
    y : ndarray of shape (n,), int64
        Classes from 0.
    """

    X: list[Array]
    y: NDArray[np.int64]


class RealSeries(NamedTuple):
    """The two parts of a set in the UCR/UEA archive.

    Attributes
    ----------
    train, test : SeriesPart
        As the archive splits them.
    """

    train: SeriesPart
    test: SeriesPart


def load_series(name: str) -> RealSeries:
    """Load a set of real series, fetching it if need be.

    =================  ============  =======  ========  ==================================================
    name               train / test  classes  length    what
    =================  ============  =======  ========  ==================================================
    "trace"            100 / 100     4        275       simulated faults of an instrument, shifted in time
    "gunpoint"         50 / 150      2        150       place of a hand that draws a gun, or only points
    "pickup_gestures"  50 / 50       10       29 - 361  vertical acceleration of a controller in a gesture
    =================  ============  =======  ========  ==================================================

    Parameters
    ----------
    name : {"trace", "gunpoint", "pickup_gestures"}
        Which set.

    Returns
    -------
    RealSeries
        Both parts.

    Raises
    ------
    ValueError
        If there is no set of that name.
    DataError
        If it cannot be had; see `fetch`.

    References
    ----------
    Dau et al., 2018, "The UCR time series classification archive". Bagnall et al., 2018, arXiv:1811.00075.

    Notes
    -----
    Taught in :ref:`rate_invariant`.
    """
    if name not in REAL_SERIES:
        raise ValueError(f"name must be one of {', '.join(map(repr, REAL_SERIES))}; got {name!r}")
    dataset = DATASETS[name]
    folder = fetch(name)
    contents = [_content(folder, file) for file in dataset.files]
    if len(contents) == 1:
        with np.load(io.BytesIO(contents[0]), allow_pickle=False) as file:
            parts = [([*file[f"X_{part}"][:, :, 0]], file[f"y_{part}"]) for part in ("train", "test")]
    else:
        parts = [_read_ts(content.decode()) for content in contents]
    names = sorted({str(label) for label in parts[0][1]}, key=lambda label: (len(label), label))
    made = [
        SeriesPart([np.asarray(x, dtype=np.float64) for x in X], np.array([names.index(str(v)) for v in y]))
        for X, y in parts
    ]
    return RealSeries(*made)


def _read_ts(text: str) -> tuple[list[Array], list[str]]:
    """Read the archive's format: after a line @data a series a line, its values, a colon, its class."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip().lower() == "@data"), None)
    if start is None:
        raise DataError("not a .ts file: it has no line @data")
    rows = [line.rsplit(":", 1) for line in lines[start + 1 :] if line.strip()]
    return [np.array(values.split(","), dtype=np.float64) for values, _ in rows], [c.strip() for _, c in rows]


def to_length(series: Sequence[ArrayLike], length: int) -> Array:
    """Bring series to one length by straight lines between their values.

    The first and the last value stay. The whole time of each series becomes the unit: how long it took is
    forgotten, which is itself a warp, a straight one.

    Parameters
    ----------
    series : sequence of array_like, each of shape (length_i,)
        Series of at least two values.
    length : int
        The wanted length, at least 2.

    Returns
    -------
    ndarray of shape (n, length)
        One series per row.

    Raises
    ------
    ValueError
        If `length` or a series is too short, or a value is not finite.

    Notes
    -----
    Taught in :ref:`rate_invariant`.

    Examples
    --------
    >>> to_length([[0.0, 2.0], [1.0, 3.0, 1.0]], 3).tolist()
    [[0.0, 1.0, 2.0], [1.0, 3.0, 1.0]]
    """
    if check.positive_count(length, "length") < 2:
        raise ValueError(f"length must be at least 2; got {length}")
    rows = []
    for i, one in enumerate(series):
        values = np.asarray(one, dtype=np.float64)
        if values.ndim != 1 or len(values) < 2:
            raise ValueError(f"series {i} must hold at least two values in one row; got shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"series {i} must be finite; it holds NaN or infinity")
        rows.append(np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(values)), values))
    return np.array(rows)
