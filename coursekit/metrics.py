r"""Judge samples: whether they follow the data's law, and whether they are new.

No single number judges a generative model. Each function here answers one question, takes arrays of shape
``(n, d)`` with one sample per row, and says in which units it answers. A model that repeats its training data
does well on every distance between laws; only the distance to the nearest training point tells
(``nearest_neighbour_report``). Distances between images are taken between their features, which a
``FeatureNetwork`` learns from labels; a number on such features carries the name of the network, and is not
comparable with one on other features.

================================  ===========================  ==========================
function                          equal laws give              units
================================  ===========================  ==========================
``energy_distance``               0                            those of the data
``mmd``                           0                            none (squared)
``polynomial_mmd``                0                            none (squared)
``sliced_wasserstein``            0                            those of the data (root)
``max_sliced_wasserstein``        0                            those of the data (root)
``frechet_distance``              0, as n grows                those of the data, squared
``c2st``                          1/2                          accuracy
``copy_rate``, ``spurious_rate``  the rate of held-out data    fraction
``precision_recall``              near 1                       fraction
``parzen_log_likelihood``         (compare no models with it)  nats per point
================================  ===========================  ==========================

Taught in :ref:`evaluation`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cholesky, eigh, eigvalsh, svdvals
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, pdist
from scipy.special import logsumexp
from sklearn.base import ClassifierMixin, clone

Float = NDArray[np.float64]
Kernel = Callable[[Float, Float], Float]
RandomState = int | np.random.Generator | np.random.RandomState | None

_BLOCK = 2**20  # entries of a pairwise matrix held at once: 8 MiB
_BRUTE_FROM = 30  # dimensions from which a matrix product beats a tree
_MEDIAN_ROWS = 2000  # rows from which the median distance is taken


# ------------------------------------------------------------------------------------ what goes in
def _sample(name: str, value: ArrayLike, *, at_least: int = 1) -> Float:
    """`value` as a finite float64 array of shape (n, d) with at least `at_least` rows."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim != 2:
        hint = f"; reshape one column to (-1, 1): {name}[:, None]" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n, d), one sample per row, got shape {array.shape}{hint}")
    if array.shape[1] < 1:
        raise ValueError(f"{name} must have at least one column, got shape {array.shape}")
    if len(array) < at_least:
        raise ValueError(f"{name} must have at least {at_least} row(s), got {len(array)}; draw more samples")
    array = array.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity; remove or repair those rows")
    return array


def _pair(
    x: ArrayLike, y: ArrayLike, *, names: tuple[str, str] = ("x", "y"), at_least: int = 1
) -> tuple[Float, Float]:
    """Two samples with the same number of columns."""
    first, second = (
        _sample(name, value, at_least=at_least) for name, value in zip(names, (x, y), strict=True)
    )
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same number of columns, "
            f"got {first.shape[1]} and {second.shape[1]}"
        )
    return first, second


def _whole(name: str, value: int, *, least: int = 1) -> int:
    """`value` as a whole number of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def _positive(name: str, value: float) -> float:
    """`value` as a positive finite number."""
    if not isinstance(value, int | float | np.number) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive finite number, got {value!r}")
    return float(value)


def _fraction(name: str, value: float) -> float:
    """`value` as a number strictly between 0 and 1."""
    if not isinstance(value, int | float | np.number) or not 0 < value < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {value!r}")
    return float(value)


def _blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of `rows` rows such that a block of `width` columns stays small."""
    step = max(1, _BLOCK // max(width, 1))
    return (slice(first, first + step) for first in range(0, rows, step))


# ------------------------------------------------------------------------------------ are the samples new?
def nearest_neighbours(
    queries: ArrayLike, points: ArrayLike, *, n_neighbors: int = 1
) -> tuple[Float, NDArray[np.intp]]:
    """Find the nearest points of each query: a tree in few dimensions, a matrix product in many.

    Parameters
    ----------
    queries : array_like of shape (n, d)
        From where to look.
    points : array_like of shape (m, d)
        Where to look. A query that is itself a point finds itself first, at distance exactly 0.
    n_neighbors : int, default 1
        How many neighbours `k`, at most `m`.

    Returns
    -------
    distances : ndarray of shape (n, k)
        Euclidean distances, nearest first, in the units of the data.
    indices : ndarray of shape (n, k)
        Rows of `points`.

    Raises
    ------
    ValueError
        If an array is empty, holds NaN or has other columns than the other, or if ``n_neighbors > m``.

    Notes
    -----
    Taught in :ref:`evaluation`.

    Examples
    --------
    >>> distances, indices = nearest_neighbours([[0.0], [5.0]], [[1.0], [4.0]])
    >>> distances.ravel().tolist(), indices.ravel().tolist()
    ([1.0, 1.0], [0, 1])
    """
    queries, points = _pair(queries, points, names=("queries", "points"))
    k = _whole("n_neighbors", n_neighbors)
    if k > len(points):
        raise ValueError(f"n_neighbors must be at most the number of points, got {k} > {len(points)}")
    if points.shape[1] < _BRUTE_FROM:
        return cKDTree(points).query(queries, k=np.arange(1, k + 1))
    return _nearest_brute(queries, points, k)


def _nearest_brute(queries: Float, points: Float, k: int) -> tuple[Float, NDArray[np.intp]]:
    centre = points.mean(axis=0)  # the expanded square loses digits far from the origin
    data = points - centre
    squares = np.einsum("ij,ij->i", data, data)
    distances = np.empty((len(queries), k))
    indices = np.empty((len(queries), k), dtype=np.intp)
    for rows in _blocks(len(queries), len(points)):
        query = queries[rows]
        order = squares - 2 * (query - centre) @ data.T  # (b, m): |x - q|^2 - |q|^2
        found = np.argmin(order, axis=1)[:, None] if k == 1 else np.argpartition(order, k - 1, axis=1)[:, :k]
        # the distance itself from the difference: exact, and exactly 0 at a copy
        exact = np.linalg.norm(query[:, None] - points[found], axis=2)  # (b, k)
        nearest_first = np.argsort(exact, axis=1, kind="stable")
        distances[rows] = np.take_along_axis(exact, nearest_first, axis=1)
        indices[rows] = np.take_along_axis(found, nearest_first, axis=1)
    return distances, indices


@dataclass(frozen=True)
class NearestNeighbourReport:
    """How far samples are from the training data, against how far held-out data are.

    Attributes
    ----------
    distance : ndarray of shape (n,)
        Distance from each sample to its nearest training point, in the units of the data.
    index : ndarray of shape (n,)
        Row of that training point.
    held_out_distance : ndarray of shape (m,)
        The same distance for held-out data: what is normal.
    copy_threshold, spurious_threshold : float
        The low and the high quantile of `held_out_distance`.
    """

    distance: Float
    index: NDArray[np.intp]
    held_out_distance: Float
    copy_threshold: float
    spurious_threshold: float

    @property
    def copy_rate(self) -> float:
        """Fraction of samples at most `copy_threshold` from a training point."""
        return float(np.mean(self.distance <= self.copy_threshold))

    @property
    def spurious_rate(self) -> float:
        """Fraction of samples farther than `spurious_threshold` from every training point."""
        return float(np.mean(self.distance > self.spurious_threshold))

    def __str__(self) -> str:
        return (
            f"nearest training point: mean {self.distance.mean():.3g} "
            f"(held-out {self.held_out_distance.mean():.3g}); "
            f"copies {self.copy_rate:.3f} (within {self.copy_threshold:.3g}), "
            f"spurious {self.spurious_rate:.3f} (beyond {self.spurious_threshold:.3g})"
        )


def nearest_neighbour_report(
    samples: ArrayLike,
    training: ArrayLike,
    held_out: ArrayLike,
    *,
    copy_quantile: float = 0.01,
    spurious_quantile: float = 0.95,
) -> NearestNeighbourReport:
    """Compare the samples' distances to the training data with those of held-out data.

    Held-out data say what distance is normal for something new from the same law. A sample nearer than nearly
    all of them is a copy; one farther than nearly all of them lies where there are no data: it is spurious.
    Samples from the data's own law have a copy rate of about `copy_quantile` and a spurious rate of about ``1
    - spurious_quantile``.

    Parameters
    ----------
    samples : array_like of shape (n, d)
        Samples of the model.
    training : array_like of shape (t, d)
        What the model was trained on.
    held_out : array_like of shape (m, d)
        Data of the same law that the model has not seen.
    copy_quantile, spurious_quantile : float, default 0.01 and 0.95
        Quantiles of the held-out distances that bound copies and spurious samples.

    Returns
    -------
    NearestNeighbourReport
        Distances, thresholds and the two rates.

    Raises
    ------
    ValueError
        If an array is empty, holds NaN or has other columns than the others, or if the quantiles are not
        ``0 < copy_quantile < spurious_quantile < 1``.

    References
    ----------
    Meehan, Chaudhuri, Dasgupta 2020, "A non-parametric test to detect data-copying in generative models"
    (arXiv:2004.05675): the same comparison of distances, as a test.

    Notes
    -----
    Taught in :ref:`evaluation`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> training, held_out = rng.normal(size=(500, 2)), rng.normal(size=(500, 2))
    >>> nearest_neighbour_report(training[:100], training, held_out).copy_rate
    1.0
    """
    samples, training = _pair(samples, training, names=("samples", "training"))
    held_out, _ = _pair(held_out, training, names=("held_out", "training"))
    low, high = _fraction("copy_quantile", copy_quantile), _fraction("spurious_quantile", spurious_quantile)
    if low >= high:
        raise ValueError(f"copy_quantile must be below spurious_quantile, got {low} and {high}")
    distance, index = nearest_neighbours(samples, training)
    usual = nearest_neighbours(held_out, training)[0][:, 0]
    thresholds = np.quantile(usual, [low, high])
    return NearestNeighbourReport(
        distance[:, 0], index[:, 0], usual, float(thresholds[0]), float(thresholds[1])
    )


def copy_rate(
    samples: ArrayLike, training: ArrayLike, held_out: ArrayLike, *, quantile: float = 0.01
) -> float:
    """Fraction of samples nearer to a training point than nearly all held-out data are.

    Parameters
    ----------
    samples, training, held_out : array_like of shape (n, d), (t, d), (m, d)
        As in ``nearest_neighbour_report``.
    quantile : float, default 0.01
        Of the held-out distances; also the rate that samples of the data's own law have.

    Returns
    -------
    float
        Between 0 and 1; 1 for a model that repeats its training data.

    Raises
    ------
    ValueError
        See ``nearest_neighbour_report``.

    Notes
    -----
    Taught in :ref:`evaluation`.
    """
    high = (1 + _fraction("quantile", quantile)) / 2  # any quantile above: only the low one is used
    report = nearest_neighbour_report(
        samples, training, held_out, copy_quantile=quantile, spurious_quantile=high
    )
    return report.copy_rate


def spurious_rate(
    samples: ArrayLike, training: ArrayLike, held_out: ArrayLike, *, quantile: float = 0.95
) -> float:
    """Fraction of samples farther from every training point than nearly all held-out data are.

    Parameters
    ----------
    samples, training, held_out : array_like of shape (n, d), (t, d), (m, d)
        As in ``nearest_neighbour_report``.
    quantile : float, default 0.95
        Of the held-out distances; samples of the data's own law have a rate of one minus it.

    Returns
    -------
    float
        Between 0 and 1. It sees neither copies nor missing modes: read it beside ``copy_rate`` and a
        distance.

    Raises
    ------
    ValueError
        See ``nearest_neighbour_report``.

    Notes
    -----
    Taught in :ref:`evaluation`.
    """
    low = _fraction("quantile", quantile) / 2  # any quantile below: only the high one is used
    report = nearest_neighbour_report(
        samples, training, held_out, copy_quantile=low, spurious_quantile=quantile
    )
    return report.spurious_rate


class PrecisionRecall(NamedTuple):
    """Fractions of samples among the data, and of data among the samples."""

    precision: float
    recall: float


def precision_recall(samples: ArrayLike, data: ArrayLike, *, n_neighbors: int = 3) -> PrecisionRecall:
    """Precision and recall of samples, from balls that reach to each point's k-th neighbour.

    The support of a set is estimated by the union of balls around its points, each as large as the distance
    to its `k`-th nearest other point. Precision is the fraction of samples inside the data's support, recall
    the fraction of the data inside the samples' support.

    Parameters
    ----------
    samples : array_like of shape (n, d)
        Samples of the model.
    data : array_like of shape (m, d)
        Data, best held-out ones: a model that repeats its training data has precision 1 against those.
    n_neighbors : int, default 3
        `k`, below `n` and `m`.

    Returns
    -------
    PrecisionRecall
        ``(precision, recall)``, each between 0 and 1. Both stay below 1 for two samples of one law.

    Raises
    ------
    ValueError
        If an array is empty, holds NaN or has other columns than the other, or if `n_neighbors` is too large.

    References
    ----------
    Kynkäänniemi, Karras, Laine, Lehtinen, Aila 2019, "Improved precision and recall metric for assessing
    generative models" (arXiv:1904.06991).

    Notes
    -----
    One far outlier has a large ball, and any sample inside it counts as precise. Taught in :ref:`evaluation`.
    """
    samples, data = _pair(samples, data, names=("samples", "data"))
    k = _whole("n_neighbors", n_neighbors)
    smallest = min(len(samples), len(data))
    if k >= smallest:
        raise ValueError(
            f"n_neighbors must be below the number of rows of both, got {k} with {len(samples)} samples "
            f"and {len(data)} data; draw more samples"
        )
    return PrecisionRecall(_fraction_inside(samples, data, k), _fraction_inside(data, samples, k))


def _fraction_inside(queries: Float, points: Float, k: int) -> float:
    """Fraction of queries inside at least one of the balls around points."""
    radius = nearest_neighbours(points, points, n_neighbors=k + 1)[0][:, k]  # itself is the first
    inside = [
        np.any(cdist(queries[rows], points) <= radius, axis=1) for rows in _blocks(len(queries), len(points))
    ]
    return float(np.mean(np.concatenate(inside)))


# ------------------------------------------------------------------------------------ kernels: energy, MMD
def _minus_distance(a: Float, b: Float) -> Float:
    return -cdist(a, b)


def _gaussian_kernel(a: Float, b: Float, *, bandwidth: float) -> Float:
    exponent = cdist(a, b, "sqeuclidean")
    exponent *= -0.5 / bandwidth**2
    # exp(-700) is still a normal number: below it exp is slow, and zero in any sum with the diagonal
    return np.exp(np.maximum(exponent, -700.0, out=exponent), out=exponent)


def _kernel_sum(kernel: Kernel, a: Float, b: Float) -> float:
    return math.fsum(float(kernel(a[rows], b).sum()) for rows in _blocks(len(a), len(b)))


def _polynomial_kernel(a: Float, b: Float, *, degree: int) -> Float:
    return (a @ b.T / a.shape[1] + 1) ** degree


def _diagonal(kernel: Kernel, a: Float) -> Float:
    """Kernel of each row with itself, shape (n,)."""
    blocks = (a[first : first + 64] for first in range(0, len(a), 64))
    return np.concatenate([np.diagonal(kernel(block, block)) for block in blocks])


def _discrepancy(kernel: Kernel, x: Float, y: Float, *, unbiased: bool) -> float:
    """Mean kernel within x plus within y minus twice across."""
    n, m = len(x), len(y)
    own_x, own_y = (float(_diagonal(kernel, a).sum()) if unbiased else 0.0 for a in (x, y))
    within_x = (_kernel_sum(kernel, x, x) - own_x) / (n * (n - unbiased))
    within_y = (_kernel_sum(kernel, y, y) - own_y) / (m * (m - unbiased))
    return within_x + within_y - 2 * _kernel_sum(kernel, x, y) / (n * m)


def energy_distance(x: ArrayLike, y: ArrayLike, *, unbiased: bool = True) -> float:
    r"""Energy distance of two samples.

    .. math:: \mathcal E = 2\,\mathbb E|X - Y| - \mathbb E|X - X'| - \mathbb E|Y - Y'|

    with the Euclidean norm. It is zero for equal laws and only for those, needs no bandwidth, and does not
    change when both samples are moved or rotated together. In one dimension it is twice the integrated
    squared difference of the distribution functions.

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Samples with finite mean, in the same units in every column.
    unbiased : bool, default True
        Leave a point's distance to itself out of the means. The estimate is then unbiased, and negative about
        as often as positive when the laws are equal. With False it is never negative, and exactly zero when
        `x` and `y` are the same points, but too large on average.

    Returns
    -------
    float
        Energy distance in the units of the data. Its square root is a metric, and the number that
        ``scipy.stats.energy_distance`` gives (biased, one dimension).

    Raises
    ------
    ValueError
        If an array is empty, holds NaN or has other columns than the other, or if it has one row and
        `unbiased`.

    References
    ----------
    Székely, Rizzo 2013, "Energy statistics: a class of statistics based on distances", Journal of Statistical
    Planning and Inference 143. Sejdinovic, Sriperumbudur, Gretton, Fukumizu 2013 (arXiv:1207.6076): it is an
    MMD.

    Notes
    -----
    Cost: :math:`n m d`. Taught in :ref:`evaluation`.

    Examples
    --------
    >>> energy_distance([[0.0]], [[3.0]], unbiased=False)
    6.0
    """
    x, y = _pair(x, y, at_least=2 if unbiased else 1)
    return _discrepancy(_minus_distance, x, y, unbiased=unbiased)


def median_bandwidth(x: ArrayLike, y: ArrayLike) -> float:
    """Median distance between different points of the two samples together: the usual RBF bandwidth.

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Samples.

    Returns
    -------
    float
        Median of the positive pairwise distances, in the units of the data; 1 if all points coincide, where
        the bandwidth changes nothing.

    Raises
    ------
    ValueError
        If an array is empty, holds NaN or has other columns than the other.

    References
    ----------
    Garreau, Jitkrittum, Kanagawa 2017, "Large sample analysis of the median heuristic" (arXiv:1707.07269).

    Notes
    -----
    It depends on the points and not on which sample they came from, so a permutation test stays exact. Of
    more than 2000 points every k-th in lexicographic order is taken, for the same reason. Taught in
    :ref:`evaluation`.
    """
    pooled = np.concatenate(_pair(x, y))
    if len(pooled) > _MEDIAN_ROWS:
        in_order = pooled[np.lexsort(pooled.T)]
        pooled = in_order[np.linspace(0, len(in_order) - 1, _MEDIAN_ROWS).astype(int)]
    distances = pdist(pooled)
    positive = distances[distances > 0]
    return float(np.median(positive)) if len(positive) else 1.0


def mmd(
    x: ArrayLike, y: ArrayLike, *, bandwidth: float | Literal["median"] = "median", unbiased: bool = True
) -> float:
    r"""Squared maximum mean discrepancy of two samples with a Gaussian (RBF) kernel.

    .. math:: \mathrm{MMD}^2 = \mathbb E\,k(X, X') + \mathbb E\,k(Y, Y') - 2\,\mathbb E\,k(X, Y),
        \qquad k(a, b) = \exp\left(-\frac{|a - b|^2}{2 h^2}\right)

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Samples.
    bandwidth : float or "median", default "median"
        Kernel bandwidth `h` in the units of the data; "median" takes ``median_bandwidth(x, y)``. Values with
        different bandwidths cannot be compared: fix it to compare models.
    unbiased : bool, default True
        Leave out the kernel of a point with itself. With False the value is never negative and exactly zero
        when `x` and `y` are the same points, but for equal laws it is about :math:`(1 - \mathbb E k)(1/n +
        1/m)`.

    Returns
    -------
    float
        *Squared* discrepancy, without units, at most 2.

    Raises
    ------
    ValueError
        If an array is empty, holds NaN or has other columns than the other, if it has one row and `unbiased`,
        or if `bandwidth` is not positive.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schölkopf, Smola 2012, "A kernel two-sample test", Journal of Machine Learning
    Research 13 (an early form: arXiv:0805.2368).

    Notes
    -----
    Cost: :math:`n m d`. Taught in :ref:`evaluation`.
    """
    x, y = _pair(x, y, at_least=2 if unbiased else 1)
    return _discrepancy(_rbf(x, y, bandwidth), x, y, unbiased=unbiased)


def _rbf(x: Float, y: Float, bandwidth: float | Literal["median"]) -> Kernel:
    if isinstance(bandwidth, str):
        if bandwidth != "median":
            raise ValueError(f'bandwidth must be a positive number or "median", got {bandwidth!r}')
        return functools.partial(_gaussian_kernel, bandwidth=median_bandwidth(x, y))
    return functools.partial(_gaussian_kernel, bandwidth=_positive("bandwidth", bandwidth))


def polynomial_mmd(x: ArrayLike, y: ArrayLike, *, degree: int = 3, unbiased: bool = True) -> float:
    r"""Squared maximum mean discrepancy with a polynomial kernel: the estimator behind KID.

    .. math:: k(a, b) = \left(\frac{a^\top b}{d} + 1\right)^{3}

    It compares the moments up to the third and needs no bandwidth. On features of an Inception network this
    number is called KID; on any other features it is not.

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Samples, or features of samples, brought to the same scale for all models that are compared.
    degree : int, default 3
        Degree of the kernel.
    unbiased : bool, default True
        Leave out the kernel of a point with itself: then the estimate is right on average *at every sample
        size*, which no estimate of the Fréchet distance is.

    Returns
    -------
    float
        *Squared* discrepancy, without units; negative about as often as positive when the laws are equal and
        `unbiased`.

    Raises
    ------
    ValueError
        If an array is empty, holds NaN or has other columns than the other, if it has one row and `unbiased`,
        or if `degree` is below 1.

    References
    ----------
    Bińkowski, Sutherland, Arbel, Gretton 2018, "Demystifying MMD GANs" (arXiv:1801.01401).

    Notes
    -----
    Cost: :math:`n m d`. Laws that agree in all moments up to `degree` are at distance zero. Taught in
    :ref:`evaluation`.

    Examples
    --------
    >>> polynomial_mmd([[0.0]], [[1.0]], degree=1, unbiased=False)
    1.0
    """
    x, y = _pair(x, y, at_least=2 if unbiased else 1)
    kernel = functools.partial(_polynomial_kernel, degree=_whole("degree", degree))
    return _discrepancy(kernel, x, y, unbiased=unbiased)


# ------------------------------------------------------------------------------------ Wasserstein
def _matching(n: int, m: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Float]:
    """Which order statistics of n and m equal weights are matched in one dimension, and with what mass.

    Both quantile functions are steps; between two neighbouring jumps of either, one pair is matched. Levels
    are counted in whole multiples of 1 / (n m), so nothing is rounded.
    """
    if n == m:
        every = np.arange(n)
        return every, every, np.full(n, 1 / n)
    levels = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    return (levels - 1) // m, (levels - 1) // n, np.diff(levels, prepend=0) / (n * m)


def random_directions(n_directions: int, dim: int, *, random_state: RandomState = None) -> Float:
    """Draw directions uniformly from the unit sphere.

    Parameters
    ----------
    n_directions, dim : int
        How many, and in how many dimensions.
    random_state : int, Generator, RandomState or None
        Randomness.

    Returns
    -------
    ndarray of shape (n_directions, dim)
        Rows of length one.

    Raises
    ------
    ValueError
        If a number is below 1.

    Notes
    -----
    Taught in :ref:`evaluation`.
    """
    shape = _whole("n_directions", n_directions), _whole("dim", dim)
    normal = np.random.default_rng(random_state).standard_normal(shape)
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def sliced_wasserstein(
    x: ArrayLike,
    y: ArrayLike,
    *,
    p: float = 2,
    n_projections: int = 200,
    directions: ArrayLike | None = None,
    random_state: RandomState = None,
) -> float:
    r"""Sliced Wasserstein distance: the p-th mean of one-dimensional distances over random directions.

    .. math:: \mathrm{SW}_p = \left(\mathbb E_\theta\, W_p^p(\theta^\top X, \theta^\top Y)\right)^{1/p}

    Each one-dimensional distance is exact: sort both projections and match quantiles, for any two sample
    sizes.

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Samples.
    p : float, default 2
        Order, at least 1.
    n_projections : int, default 200
        How many random directions.
    directions : array_like of shape (l, d), optional
        Directions to use instead of random ones; each is brought to length one. Take the same for every model
        that is compared.
    random_state : int, Generator, RandomState or None
        Randomness of the directions.

    Returns
    -------
    float
        Distance (the *root*, not its p-th power) in the units of the data. For laws that differ by a shift
        `b` it is :math:`|b| / \sqrt d` (p = 2): compare it across dimensions only after multiplying by
        :math:`\sqrt d`.

    Raises
    ------
    ValueError
        If an array is empty, holds NaN or has other columns than the other, if `p` is below 1, or if a
        direction is zero.

    References
    ----------
    Rabin, Peyré, Delon, Bernot 2011, "Wasserstein barycenter and its application to texture mixing", SSVM.
    Bonneel, Rabin, Peyré, Pfister 2015, "Sliced and Radon Wasserstein barycenters of measures", JMIV 51.

    Notes
    -----
    Two independent samples of one law have a positive distance of order :math:`n^{-1/2}`: compare with it, or
    use ``permutation_p_value``. Cost: :math:`l\,n (d + \log n)`. Taught in :ref:`evaluation`.

    Examples
    --------
    >>> sliced_wasserstein([[0.0], [1.0]], [[3.0], [2.0]])
    2.0
    """
    x, y = _pair(x, y)
    if not (isinstance(p, int | float | np.number) and 1 <= p < math.inf):
        raise ValueError(f"p must be a finite number of at least 1, got {p!r}")
    if directions is None:
        theta = random_directions(
            _whole("n_projections", n_projections), x.shape[1], random_state=random_state
        )
    else:
        theta, _ = _pair(directions, x, names=("directions", "x"))
        length = np.linalg.norm(theta, axis=1, keepdims=True)
        if np.any(length == 0):
            raise ValueError("directions must not be zero, got a row of zeros; remove it")
        theta = theta / length
    total = math.fsum(
        float(_projected_cost(theta[rows], x, y, p).sum()) for rows in _blocks(len(theta), len(x) + len(y))
    )
    return float((total / len(theta)) ** (1 / p))


def _projected_cost(theta: Float, x: Float, y: Float, p: float) -> Float:
    """W_p^p of the projections on each row of theta, shape (l,)."""
    a, b = np.sort(theta @ x.T, axis=1), np.sort(theta @ y.T, axis=1)  # (l, n), (l, m)
    if len(x) == len(y):
        gap, mass = a - b, None
    else:
        left, right, mass = _matching(len(x), len(y))
        gap = a[:, left] - b[:, right]  # (l, n + m - gcd)
    power = gap * gap if p == 2 else np.abs(gap) if p == 1 else np.abs(gap) ** p
    return power.mean(axis=1) if mass is None else power @ mass


class MaxSliced(NamedTuple):
    """The largest one-dimensional distance found, and its direction (d,)."""

    distance: float
    direction: Float


def max_sliced_wasserstein(
    x: ArrayLike,
    y: ArrayLike,
    *,
    n_starts: int = 8,
    n_steps: int = 50,
    random_state: RandomState = None,
) -> MaxSliced:
    r"""Maximum sliced Wasserstein distance of order two, by ascent from several directions.

    .. math:: \max_{|\theta| = 1} W_2(\theta^\top X, \theta^\top Y)

    For a fixed matching of the two samples the cost is a quadratic form :math:`\theta^\top C \theta`; each
    step moves towards :math:`C\theta` and is halved until the distance grows.

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Samples.
    n_starts : int, default 8
        Starts: the difference of the means, and the best of many random directions.
    n_steps : int, default 50
        Ascent steps from each start, at most.
    random_state : int, Generator, RandomState or None
        Randomness of the starts.

    Returns
    -------
    MaxSliced
        ``(distance, direction)``: the root, in the units of the data, and a unit vector. The problem is not
        convex: the distance is a lower bound on the maximum, and at least that of every direction tried.

    Raises
    ------
    ValueError
        If an array is empty, holds NaN or has other columns than the other, or if a count is below 1.

    References
    ----------
    Deshpande, Hu, Sun, Pyrros, Siddiqui, Koyejo, Zhao, Forsyth, Schwing 2019, "Max-sliced Wasserstein
    distance and its use for GANs" (arXiv:1904.05877).

    Notes
    -----
    With few samples in many dimensions it is large even for equal laws: some direction always separates two
    small samples. Taught in :ref:`evaluation`.
    """
    x, y = _pair(x, y)
    n_starts, n_steps = _whole("n_starts", n_starts), _whole("n_steps", n_steps)
    candidates = random_directions(25 * n_starts, x.shape[1], random_state=random_state)
    shift = x.mean(axis=0) - y.mean(axis=0)
    length = float(np.linalg.norm(shift))
    if length > 0:
        candidates = np.concatenate([candidates, shift[None] / length])
    costs = np.concatenate(
        [_projected_cost(candidates[rows], x, y, 2) for rows in _blocks(len(candidates), len(x) + len(y))]
    )
    best = (-1.0, candidates[0])
    # the mean shift is always a start, even where random directions look better at first
    starts = candidates[np.argsort(-costs)[:n_starts]]
    if length > 0:
        starts = np.concatenate([starts, candidates[-1:]])
    for start in starts:
        found = _ascend(start, x, y, n_steps)
        best = max(best, found, key=lambda pair: pair[0])
    return MaxSliced(math.sqrt(best[0]), best[1])


def _ascend(theta: Float, x: Float, y: Float, n_steps: int) -> tuple[float, Float]:
    """Climb W_2^2 of the projections from theta; each accepted step is higher than the one before."""
    left, right, mass = _matching(len(x), len(y))

    def cost_and_pull(direction: Float) -> tuple[float, Float]:
        a, b = x @ direction, y @ direction
        i, j = np.argsort(a)[left], np.argsort(b)[right]
        weighted = mass * (a[i] - b[j])  # (n + m - gcd,)
        return float(weighted @ (a[i] - b[j])), weighted @ (x[i] - y[j])

    cost, pull = cost_and_pull(theta)
    for _ in range(n_steps):
        size = float(np.linalg.norm(pull))
        if size == 0:
            break
        step = 1.0
        while step > 1e-4:
            trial = theta + step * (pull / size - theta)
            trial /= np.linalg.norm(trial)
            new_cost, new_pull = cost_and_pull(trial)
            if new_cost > cost * (1 + 1e-10):
                break
            step /= 2
        else:
            break
        theta, cost, pull = trial, new_cost, new_pull
    return cost, theta


# ------------------------------------------------------------------------------------ Frechet
def frechet_distance(x: ArrayLike, y: ArrayLike, *, allow_singular: bool = False) -> float:
    r"""Squared Fréchet distance of two samples' Gaussian fits.

    .. math:: |m_x - m_y|^2 + \mathrm{tr}\left(S_x + S_y - 2 (S_x S_y)^{1/2}\right)

    with the sample means and covariances. It sees means and covariances only: two laws that share them are at
    distance zero. On features of an Inception network this number is called FID; on any other features it is
    not.

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Samples, or features of samples, more than `d` of each.
    allow_singular : bool, default False
        Take samples of at most `d` rows too. Their covariance has no full rank, and the value says more about
        the sample size than about the law.

    Returns
    -------
    float
        *Squared* distance, in squared units of the data. Too large on average by an amount that falls like
        :math:`1/n` and depends on the law (for two samples of :math:`\mathcal N(0, I)` it is about :math:`d
        (d + 5) / 2n`): compare models at the same `n` only, and beside ``polynomial_mmd``.

    Raises
    ------
    ValueError
        If an array has at most `d` rows (the message says how many are needed) and `allow_singular` is not
        set, fewer than two rows, holds NaN, or has other columns than the other.

    References
    ----------
    Dowson, Landau 1982, "The Fréchet distance between multivariate normal distributions", Journal of
    Multivariate Analysis 12. Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter 2017 (arXiv:1706.08500): FID.
    Chong, Forsyth 2020 (arXiv:1911.07023): its bias.

    Notes
    -----
    Where covariances are singular, rounding leaves an error of about 1e-8 of their traces.
    Taught in :ref:`evaluation`.
    """
    x, y = _pair(x, y, at_least=2)
    needed = x.shape[1] + 1
    for name, rows in (("x", len(x)), ("y", len(y))):
        if rows < needed and not allow_singular:
            raise ValueError(
                f"{name} must have at least {needed} rows for {x.shape[1]} columns, got {rows}: the "
                f"covariance of fewer is singular. Draw {needed - rows} more (many times {needed}, for a "
                "small bias), take fewer features, or pass allow_singular=True"
            )
    centred_x, centred_y = x - x.mean(axis=0), y - y.mean(axis=0)
    shift = x.mean(axis=0) - y.mean(axis=0)
    n, m = len(x), len(y)
    if min(n, m) < needed:
        # singular covariances: tr (Sx Sy)^(1/2) is the sum of singular values of the product of the data
        traces = (centred_x**2).sum() / (n - 1) + (centred_y**2).sum() / (m - 1)
        root = svdvals(centred_x @ centred_y.T).sum() / math.sqrt((n - 1) * (m - 1))
        return max(0.0, float(shift @ shift + traces - 2 * root))
    cov_x, cov_y = centred_x.T @ centred_x / (n - 1), centred_y.T @ centred_y / (m - 1)
    return _frechet(shift, cov_x, cov_y)


def frechet_distance_of_gaussians(
    mean_x: ArrayLike, cov_x: ArrayLike, mean_y: ArrayLike, cov_y: ArrayLike
) -> float:
    r"""Squared Fréchet (2-Wasserstein) distance of two Gaussian laws.

    With :math:`S_x = L L^\top`, the trace of :math:`(S_x S_y)^{1/2}` is the sum of the square roots of the
    eigenvalues of the *symmetric* matrix :math:`L^\top S_y L`: several times faster than a general matrix
    root.

    Parameters
    ----------
    mean_x, mean_y : array_like of shape (d,)
        Means.
    cov_x, cov_y : array_like of shape (d, d)
        Covariances; singular ones are allowed.

    Returns
    -------
    float
        *Squared* distance, in squared units of the data.

    Raises
    ------
    ValueError
        If shapes do not fit, if a value is not finite, or if a covariance is not symmetric or has a negative
        eigenvalue.

    References
    ----------
    Dowson, Landau 1982, "The Fréchet distance between multivariate normal distributions", Journal of
    Multivariate Analysis 12.

    Notes
    -----
    Taught in :ref:`evaluation`.

    Examples
    --------
    >>> frechet_distance_of_gaussians([0.0], [[1.0]], [3.0], [[4.0]])
    10.0
    """
    first = np.asarray(mean_x, dtype=np.float64)
    second = np.asarray(mean_y, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or not np.isfinite([first, second]).all():
        raise ValueError(
            f"mean_x and mean_y must be finite and of shape (d,), got shapes {first.shape} and {second.shape}"
        )
    covs = [_covariance(name, cov, len(first)) for name, cov in (("cov_x", cov_x), ("cov_y", cov_y))]
    return _frechet(first - second, *covs)


def _covariance(name: str, value: ArrayLike, dim: int) -> Float:
    cov = _sample(name, value)
    if cov.shape != (dim, dim):
        raise ValueError(f"{name} must have shape ({dim}, {dim}) like the means, got {cov.shape}")
    scale = float(np.abs(cov).max())
    if not np.allclose(cov, cov.T, rtol=0, atol=1e-8 * scale):
        raise ValueError(f"{name} must be symmetric; average it with its transpose if only rounding differs")
    return cov


def _frechet(shift: Float, cov_x: Float, cov_y: Float) -> float:
    factor = _factor(cov_x)
    product = factor.T @ cov_y @ factor
    values = eigvalsh(product, check_finite=False)
    scale = float(np.trace(cov_x) * np.trace(cov_y))
    if values[0] < -1e-8 * abs(scale):
        raise ValueError(
            "a covariance must have no negative eigenvalue, and cov_y has one; is it a covariance?"
        )
    roots = np.sqrt(np.maximum(values, 0.0))
    distance = shift @ shift + np.trace(cov_x) + np.trace(cov_y) - 2 * roots.sum()
    return max(0.0, float(distance))  # rounding alone can bring it below zero


def _factor(cov: Float) -> Float:
    """Find some L with L L^T = cov: Cholesky's, or the eigenvectors' where cov is singular."""
    try:
        return cholesky(cov, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        values, vectors = eigh(cov)
        if values[0] < -1e-8 * max(values[-1], 0.0):
            raise ValueError(
                f"a covariance must have no negative eigenvalue, got {values[0]:.3g}; is it a covariance?"
            ) from None
        return vectors * np.sqrt(np.maximum(values, 0.0))


# ------------------------------------------------------------------------------------ features
def _network(shape: tuple[int, ...], n_features: int, n_classes: int) -> Any:
    """Two convolutions, a linear layer of features, and a linear classifier on them."""
    import torch  # slow to import, and needed for features only
    from torch.nn import functional

    channels, height, width = shape

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(
                torch.nn.Conv2d(channels, 16, 3, padding=1),
                torch.nn.SiLU(),
                torch.nn.MaxPool2d(2),
                torch.nn.Conv2d(16, 32, 3, padding=1),
                torch.nn.SiLU(),
                torch.nn.MaxPool2d(2),
                torch.nn.Flatten(),
                torch.nn.Linear(32 * (height // 4) * (width // 4), n_features),
            )
            self.head = torch.nn.Sequential(torch.nn.SiLU(), torch.nn.Linear(n_features, n_classes))

        def features(self, x: Any) -> Any:
            return self.body(x.reshape(-1, channels, height, width))  # (b, n_features)

        def forward(self, x: Any) -> Any:
            return self.head(self.features(x))  # (b, n_classes)

        def loss(self, batch: Any) -> Any:
            x, y = batch
            return functional.cross_entropy(self(x), y, reduction="none")

    return Network()


class FeatureNetwork:
    r"""A small image classifier whose last hidden layer measures samples.

    Pixels are a poor ruler: an image moved by one pixel is far away, and a grey haze that no digit has is
    near. Features that tell classes apart are a better one. This network learns them in seconds from labelled
    data of the same kind, so that ``frechet_distance`` and ``polynomial_mmd`` of its features are about these
    images.

    A distance between features is a property of *this* network: report it with the network's data, never as
    FID or KID, and compare it only with distances in the same network.

    Parameters
    ----------
    shape : tuple of two or three ints
        ``(height, width)`` or ``(channels, height, width)`` of the images; height and width at least 4.
    n_features : int, default 32
        Width of the layer that is used. The Fréchet distance needs more samples than that.
    epochs : int, default 20
        Passes through the training data.
    random_state : int, default 0
        Randomness of the weights and batches.

    Attributes
    ----------
    classes_ : ndarray
        The labels.
    network_ : torch.nn.Module
        The trained network.

    References
    ----------
    Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter 2017 (arXiv:1706.08500): distances in a classifier's
    features. Barratt, Sharma 2018, "A note on the Inception score" (arXiv:1801.01973): why a network trained
    on other images misleads.

    Notes
    -----
    Features are standardized by their mean and standard deviation over the training data, so that numbers are
    in standard deviations of a feature. Taught in :ref:`evaluation`.
    """

    def __init__(
        self, shape: tuple[int, ...], *, n_features: int = 32, epochs: int = 20, random_state: int = 0
    ) -> None:
        full = (1, *shape) if len(shape) == 2 else tuple(shape)
        if len(full) != 3 or min(_whole("shape", size) for size in full) < 1 or min(full[1:]) < 4:
            raise ValueError(
                f"shape must be (height, width) or (channels, height, width) from 4 by 4, got {shape}"
            )
        self.shape = full
        self.n_features = _whole("n_features", n_features)
        self.epochs = _whole("epochs", epochs)
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> FeatureNetwork:
        """Learn to tell the classes apart.

        Parameters
        ----------
        X : array_like of shape (n, channels * height * width)
            One flat image per row, on any scale; samples must come on the same one.
        y : array_like of shape (n,)
            Labels of at least two classes.

        Returns
        -------
        FeatureNetwork
            Itself.

        Raises
        ------
        ValueError
            If shapes do not fit, if an image is not finite or all images are constant, or if there is only
            one class.
        """
        import torch

        from coursekit.train import train

        images, labels = self._images("X", X), np.asarray(y)
        if labels.shape != (len(images),):
            raise ValueError(
                f"y must have one label for each of the {len(images)} rows of X, got shape {labels.shape}"
            )
        self.classes_, index = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got only {self.classes_.tolist()}")
        self._centre, self._scale = float(images.mean()), float(images.std())
        if self._scale == 0:
            raise ValueError("X must hold images that differ, got one grey level")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            self.network_ = _network(self.shape, self.n_features, len(self.classes_))
        train(
            self.network_,
            (self._tensor(images), torch.as_tensor(index)),
            epochs=self.epochs,
            batch_size=64,
            lr=3e-3,
            schedule="cosine",
            random_state=self.random_state,
            device="cpu",
            progress=False,
        )
        self._mean, self._sd = 0.0, 1.0
        raw = self.transform(X)
        self._mean, self._sd = raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-12)
        return self

    def transform(self, X: ArrayLike) -> Float:
        """Features of images.

        Parameters
        ----------
        X : array_like of shape (n, channels * height * width)
            Images, or samples of a model, on the scale of the training data.

        Returns
        -------
        ndarray of shape (n, n_features)
            Standardized features.

        Raises
        ------
        ValueError
            If rows have another size, or hold NaN, or if the network is not fitted.
        """
        return (self._forward(X, "features") - self._mean) / self._sd

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels of images.

        Parameters
        ----------
        X : array_like of shape (n, channels * height * width)
            Images.

        Returns
        -------
        ndarray of shape (n,)
            The class with the largest logit.
        """
        logits = self._forward(X, "forward")
        return self.classes_[np.argmax(logits, axis=1)]

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Fraction of images whose label is found: state it beside every distance.

        Parameters
        ----------
        X : array_like of shape (n, channels * height * width)
            Held-out images.
        y : array_like of shape (n,)
            Their labels.

        Returns
        -------
        float
            Accuracy.
        """
        return float(np.mean(self.predict(X) == np.asarray(y)))

    def _images(self, name: str, X: ArrayLike) -> Float:
        images = _sample(name, X)
        if images.shape[1] != math.prod(self.shape):
            raise ValueError(
                f"{name} must have {math.prod(self.shape)} columns for images of shape {self.shape}, "
                f"got {images.shape[1]}"
            )
        return images

    def _tensor(self, images: Float) -> Any:
        import torch

        return torch.as_tensor((images - self._centre) / self._scale, dtype=torch.float32)

    def _forward(self, X: ArrayLike, layer: str) -> Float:
        import torch

        if not hasattr(self, "network_"):
            raise ValueError("this FeatureNetwork is not fitted: call fit(X, y) with labelled images first")
        images, compute = self._tensor(self._images("X", X)), getattr(self.network_, layer)
        with torch.no_grad():
            return np.concatenate([compute(rows).double().numpy() for rows in images.split(1000)])


# ------------------------------------------------------------------------------------ classifiers
def c2st(
    x: ArrayLike,
    y: ArrayLike,
    *,
    classifier: ClassifierMixin | None = None,
    pca: int | None = None,
    n_splits: int = 5,
    random_state: RandomState = None,
) -> float:
    r"""Cross-validated accuracy of a classifier that tells `x` from `y` (classifier two-sample test).

    No classifier is expected to exceed :math:`\frac12 + \frac12 \mathrm{TV}`, half plus half the total
    variation of the two laws. So an accuracy above 1/2 shows a difference, and gives a lower bound on the
    total variation, ``2 * accuracy - 1``; an accuracy near 1/2 shows only that this classifier found none.

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Samples. Sizes may differ: the accuracy is the mean of the two classes'.
    classifier : scikit-learn classifier, optional
        An unfitted one; it is cloned for each fold. By default a random forest with 100 trees.
    pca : int, optional
        Classify this many principal components, found on each fold's training part. On raw pixels a
        classifier finds traces of rounding that no eye sees; on a few components it must find a difference in
        shape.
    n_splits : int, default 5
        Folds.
    random_state : int, Generator, RandomState or None
        Randomness of the folds and of the default classifier.

    Returns
    -------
    float
        Balanced accuracy on held-out folds: 1/2 for equal laws (in expectation), 1 for laws told apart. When
        points of `y` are copies of points of `x` it falls *below* 1/2: the copy in the training folds carries
        the other label.

    Raises
    ------
    ValueError
        If an array has fewer rows than folds, holds NaN or has other columns than the other, or if `pca`
        exceeds the columns or the rows of a fold.

    References
    ----------
    Lopez-Paz, Oquab 2017, "Revisiting classifier two-sample tests" (arXiv:1610.06545).

    Notes
    -----
    Folds share training data, so a binomial p-value of this accuracy is not valid: use ``c2st_p_value``.
    Taught in :ref:`evaluation`.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    n_splits = _whole("n_splits", n_splits, least=2)
    x, y = _pair(x, y, at_least=n_splits)
    rng = np.random.default_rng(random_state)
    model = _classifier(classifier, pca, x.shape[1], (len(x) + len(y)) * (n_splits - 1) // n_splits, rng)
    label = np.repeat([0, 1], [len(x), len(y)])
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=int(rng.integers(2**31)))
    right = cross_val_predict(model, np.concatenate([x, y]), label, cv=folds) == label
    return float((right[label == 0].mean() + right[label == 1].mean()) / 2)


def c2st_p_value(
    x: ArrayLike,
    y: ArrayLike,
    *,
    classifier: ClassifierMixin | None = None,
    pca: int | None = None,
    n_permutations: int = 999,
    random_state: RandomState = None,
) -> float:
    """Exactly valid p-value of the classifier two-sample test, for the price of one fit.

    The classifier is trained on half of each sample. If the laws are equal, the labels of the other half are
    exchangeable, whatever the classifier learned: its accuracy there is compared with the accuracy on
    permuted labels.

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Independent samples of at least four rows.
    classifier, pca : optional
        As in ``c2st``.
    n_permutations : int, default 999
        Permutations of the held-out labels.
    random_state : int, Generator, RandomState or None
        Randomness of the halves, the permutations and the default classifier.

    Returns
    -------
    float
        Probability, between ``1 / (n_permutations + 1)`` and 1. Accuracies are counts, so ties make it
        conservative: ``P(p <= a) <= a``.

    Raises
    ------
    ValueError
        If an array has fewer than four rows, holds NaN or has other columns than the other.

    References
    ----------
    Lopez-Paz, Oquab 2017, "Revisiting classifier two-sample tests" (arXiv:1610.06545).

    Notes
    -----
    Taught in :ref:`evaluation`.
    """
    x, y = _pair(x, y, at_least=4)
    count = _whole("n_permutations", n_permutations)
    rng = np.random.default_rng(random_state)
    x, y = rng.permutation(x), rng.permutation(y)
    n, m = len(x) // 2, len(y) // 2
    model = _classifier(classifier, pca, x.shape[1], n + m, rng)
    model.fit(np.concatenate([x[:n], y[:m]]), np.repeat([0, 1], [n, m]))
    predicted = model.predict(np.concatenate([x[n:], y[m:]]))
    weight = np.repeat([-1 / (len(x) - n), 1 / (len(y) - m)], [len(x) - n, len(y) - m])
    # balanced accuracy rises with the fraction of "1" among y minus that among x
    observed = float(predicted @ weight)
    permuted = np.array([predicted @ rng.permutation(weight) for _ in range(count)])
    return _p_value(observed, permuted)


def _classifier(
    classifier: ClassifierMixin | None, pca: int | None, dim: int, rows: int, rng: np.random.Generator
) -> Any:
    """Make a fresh copy of the classifier, behind PCA where asked for."""
    if classifier is None:
        from sklearn.ensemble import RandomForestClassifier  # slow to import, and seldom needed

        model: Any = RandomForestClassifier(
            n_estimators=100, min_samples_leaf=2, random_state=int(rng.integers(2**31))
        )
    else:
        model = clone(classifier)
    if pca is None:
        return model
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline

    if _whole("pca", pca) > min(dim, rows):
        raise ValueError(f"pca must be at most {min(dim, rows)} (columns, training rows), got {pca}")
    return make_pipeline(PCA(pca, random_state=int(rng.integers(2**31))), model)


# ------------------------------------------------------------------------------------ permutation p-values
def permutation_p_value(
    statistic: Callable[[Float, Float], float],
    x: ArrayLike,
    y: ArrayLike,
    *,
    n_permutations: int = 999,
    random_state: RandomState = None,
) -> float:
    r"""Exactly valid p-value of the hypothesis that `x` and `y` follow one law.

    If they do, the rows are exchangeable, and the statistic of the true split is one among those of random
    splits:

    .. math:: p = \frac{1 + \#\{b : T_b \ge T_0\}}{1 + B}

    The one counts the true split itself. With it :math:`P(p \le \alpha) \le \alpha` holds exactly for every
    sample size, every number `B` of permutations and every statistic (with equality at multiples of `1 / (B +
    1)` where there are no ties); without it `p` could be zero.

    Parameters
    ----------
    statistic : callable
        ``statistic(x, y)`` is a number that is large when the samples differ. It must not be random: fix the
        directions of ``sliced_wasserstein`` with ``functools.partial``. ``energy_distance``, ``mmd`` and
        ``polynomial_mmd``, plain or in a ``functools.partial``, compute their pairwise values once for all
        permutations.
    x, y : array_like of shape (n, d) and (m, d)
        Independent samples.
    n_permutations : int, default 999
        `B`.
    random_state : int, Generator, RandomState or None
        Randomness of the permutations.

    Returns
    -------
    float
        Probability, between ``1 / (B + 1)`` and 1. It says how surely the laws differ, not how much.

    Raises
    ------
    ValueError
        If an array is empty, holds NaN or has other columns than the other, or if the statistic is NaN.

    References
    ----------
    Phipson, Smyth 2010, "Permutation p-values should never be zero" (arXiv:1603.05766).
    Hemerik, Goeman 2018, "Exact testing with random permutations" (arXiv:1411.7565).

    Notes
    -----
    Taught in :ref:`evaluation`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(30, 2)), rng.normal(loc=3, size=(30, 2))
    >>> permutation_p_value(energy_distance, x, y, random_state=0)
    0.001
    """
    x, y = _pair(x, y)
    count = _whole("n_permutations", n_permutations)
    rng = np.random.default_rng(random_state)
    pooled, n = np.concatenate([x, y]), len(x)
    orders = [rng.permutation(len(pooled)) for _ in range(count)]
    values = _all_discrepancies(statistic, x, y, orders)
    if values is None:
        splits = ((pooled[order[:n]], pooled[order[n:]]) for order in orders)
        values = np.array([float(statistic(x, y)), *(float(statistic(a, b)) for a, b in splits)])
    if np.isnan(values).any():
        raise ValueError("statistic must return numbers, got NaN; check it on statistic(x, y)")
    return _p_value(values[0], values[1:])


def _p_value(observed: float, permuted: Float) -> float:
    # equal splits summed in another order differ by rounding: they are ties, and a tie counts
    tolerance = 1e-11 * max(abs(observed), float(np.abs(permuted).max()))
    return float((1 + np.count_nonzero(permuted >= observed - tolerance)) / (1 + len(permuted)))


def _all_discrepancies(
    statistic: Callable[..., float], x: Float, y: Float, orders: list[NDArray[np.intp]]
) -> Float | None:
    """Energy distance or an MMD of the true split and of each order; None for other statistics."""
    partial = statistic if isinstance(statistic, functools.partial) else functools.partial(statistic)
    function, options = partial.func, dict(partial.keywords)
    if function not in (energy_distance, mmd, polynomial_mmd) or partial.args:
        return None
    unbiased = options.pop("unbiased", True)
    kernel: Kernel = _minus_distance
    if function is mmd:
        kernel = _rbf(x, y, options.pop("bandwidth", "median"))
    elif function is polynomial_mmd:
        kernel = functools.partial(_polynomial_kernel, degree=_whole("degree", options.pop("degree", 3)))
    if options:
        return None  # the plain call complains about the unknown option
    _pair(x, y, at_least=2 if unbiased else 1)
    pooled, n, m = np.concatenate([x, y]), len(x), len(y)
    member = np.zeros((n + m, 1 + len(orders)))  # column b marks the rows of the first sample in split b
    member[:n, 0] = 1
    for column, order in enumerate(orders, start=1):
        member[order[:n], column] = 1
    first = np.zeros(member.shape[1])  # sum of the kernel within the first sample, for each split
    row_sums = np.empty(n + m)
    for rows in _blocks(n + m, n + m):
        block = kernel(pooled[rows], pooled)  # (b, n + m)
        first += np.einsum("ij,ij->j", member[rows], block @ member)
        row_sums[rows] = block.sum(axis=1)
    across = row_sums @ member - first
    second = row_sums.sum() - first - 2 * across
    own = _diagonal(kernel, pooled) * bool(unbiased)
    own_first = own @ member
    within = (first - own_first) / (n * (n - unbiased))
    within += (second - (own.sum() - own_first)) / (m * (m - unbiased))
    return within - 2 * across / (n * m)


# ------------------------------------------------------------------------------------ Parzen
def parzen_log_likelihood(held_out: ArrayLike, samples: ArrayLike, *, bandwidth: float) -> float:
    r"""Mean log-density of held-out data under Gaussian kernels around a model's samples.

    .. math:: \frac1m \sum_j \log \frac1n \sum_i \mathcal N(x_j; s_i, h^2 I)

    Parameters
    ----------
    held_out : array_like of shape (m, d)
        Data to evaluate.
    samples : array_like of shape (n, d)
        Samples of the model.
    bandwidth : float
        Standard deviation `h` of the kernels, in the units of the data; choose it on validation data.

    Returns
    -------
    float
        Nats per held-out point.

    Raises
    ------
    ValueError
        If an array is empty, holds NaN or has other columns than the other, or if `bandwidth` is not
        positive.

    Warnings
    --------
    This is not the model's likelihood, and it ranks models wrongly: in many dimensions it needs more samples
    than anyone can draw, and the centroids of k-means on the training data score better than true samples of
    the data's law. It is here to show that, and must not be used to compare models.

    References
    ----------
    Theis, van den Oord, Bethge 2016, "A note on the evaluation of generative models" (arXiv:1511.01844).

    Notes
    -----
    Taught in :ref:`evaluation`.
    """
    held_out, samples = _pair(held_out, samples, names=("held_out", "samples"))
    h, d = _positive("bandwidth", bandwidth), held_out.shape[1]
    log_kernel_sum = [
        logsumexp(-0.5 * (cdist(held_out[rows], samples) / h) ** 2, axis=1)
        for rows in _blocks(len(held_out), len(samples))
    ]
    constant = math.log(len(samples)) + d * (math.log(h) + 0.5 * math.log(2 * math.pi))
    return float(np.concatenate(log_kernel_sum).mean() - constant)
