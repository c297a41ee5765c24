"""Histograms in any dimension: bin rules, risk of a bin width, sampling.

Taught in :ref:`histogram`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coursekit.base import DensityEstimator, Likelihood, catalogued

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Seed = int | np.random.Generator | np.random.RandomState | None

# More bins than this on one axis is a mistake or an outlier, not a histogram.
MAX_BINS = 1_000_000


def bin_index(x: ArrayLike, edges: ArrayLike) -> Ints:
    """Bin of each value: bins are half-open, ``[edges[j], edges[j + 1])``, and the last one is closed.

    Parameters
    ----------
    x : array_like of shape (n,)
        Values.
    edges : array_like of shape (m + 1,)
        Increasing bin edges.

    Returns
    -------
    ndarray of int, shape (n,)
        Index from 0 to m - 1, and -1 for a value outside the edges.

    Notes
    -----
    Taught in :ref:`histogram`.

    Examples
    --------
    >>> bin_index([-1.0, 0.0, 0.5, 1.0, 2.0, 2.1], [0.0, 1.0, 2.0]).tolist()
    [-1, 0, 0, 1, 1, -1]
    """
    x, edges = np.asarray(x, dtype=float), np.asarray(edges, dtype=float)
    index = np.searchsorted(edges, x, side="right") - 1  # -1 below the first edge
    index[x == edges[-1]] = len(edges) - 2
    index[x > edges[-1]] = -1
    return index.astype(np.int64)


def scott_width(column: ArrayLike, *, n_dims: int = 1) -> float:
    """Scott's bin width: the best one for normal data, with the sample's standard deviation.

    ``h = 2 * 3**(1/(d+2)) * pi**(d/(2d+4)) * std * n**(-1/(d+2))``, which is ``3.49 std n**(-1/3)`` in
    one dimension.

    Parameters
    ----------
    column : array_like of shape (n,)
        One column of the data.
    n_dims : int, default=1
        Dimension d of the whole data.

    Returns
    -------
    float
        Bin width, in the unit of the data.

    References
    ----------
    Scott (1979), On optimal and data-based histograms, Biometrika 66, 605-610.
    Scott (2015), Multivariate Density Estimation, second edition, section 3.4.

    Notes
    -----
    Taught in :ref:`histogram`.

    Examples
    --------
    >>> round(scott_width([-1.0, 1.0] * 500), 3)  # standard deviation 1, n = 1000
    0.349
    """
    column = np.asarray(column, dtype=float)
    power = 1 / (n_dims + 2)
    constant = 2 * 3**power * math.pi ** (n_dims * power / 2)
    return float(constant * np.std(column) * len(column) ** -power)


def freedman_diaconis_width(column: ArrayLike, *, n_dims: int = 1) -> float:
    """Bin width of Freedman and Diaconis: ``2 IQR n**(-1/(d+2))``, with the interquartile range (IQR).

    Parameters
    ----------
    column : array_like of shape (n,)
        One column of the data.
    n_dims : int, default=1
        Dimension d of the whole data; the published rule is that for d = 1.

    Returns
    -------
    float
        Bin width, in the unit of the data; 0 where half of the values are equal.

    References
    ----------
    Freedman and Diaconis (1981), On the histogram as a density estimator: L2 theory, Zeitschrift fuer
    Wahrscheinlichkeitstheorie und verwandte Gebiete 57, 453-476.

    Notes
    -----
    Taught in :ref:`histogram`.

    Examples
    --------
    >>> round(freedman_diaconis_width(range(1000)), 3)  # IQR 499.5
    99.9
    """
    column = np.asarray(column, dtype=float)
    lower, upper = np.percentile(column, [25, 75])
    return float(2 * (upper - lower) * len(column) ** (-1 / (n_dims + 2)))


def leave_one_out_risk(counts: ArrayLike, volumes: ArrayLike) -> float:
    r"""Leave-one-out risk of a histogram: an unbiased estimate of its MISE, less a constant.

    .. math:: J = \int \hat p^2 - \frac2n \sum_i \hat p_{-i}(x_i)
                = \sum_j \frac{c_j^2}{n^2 v_j} - \frac{2}{n(n-1)} \sum_j \frac{c_j (c_j - 1)}{v_j}

    where :math:`\hat p_{-i}` is the histogram without :math:`x_i`. With equal cells of volume v it is
    :math:`\frac{2}{(n-1)v} - \frac{n+1}{(n-1)v} \sum_j (c_j/n)^2`. For cells that do not depend on the data,
    :math:`\mathbb E J = \mathrm{MISE} - \int p^2`.

    Parameters
    ----------
    counts : array_like of shape (m,)
        Number of points in each cell; empty cells may be left out.
    volumes : float or array_like of shape (m,)
        Volume of each cell.

    Returns
    -------
    float
        The risk, in units of density.

    Raises
    ------
    ValueError
        If there are fewer than two points, or a volume is not positive.

    References
    ----------
    Rudemo (1982), Empirical choice of histograms and kernel density estimators, Scandinavian Journal of
    Statistics 9, 65-78.

    Notes
    -----
    Taught in :ref:`histogram`.

    Examples
    --------
    >>> round(leave_one_out_risk([2, 2], 0.5), 6)  # 4 points, 2 bins on [0, 1]
    -0.333333
    """
    c, v, n = _validated(counts, volumes, at_least=2)
    squared = np.sum(c**2 / v) / n**2
    held_out = np.sum(c * (c - 1) / v) / (n * (n - 1))
    return float(squared - 2 * held_out)


def in_sample_risk(counts: ArrayLike, volumes: ArrayLike) -> float:
    r"""In-sample ("empirical") risk of a histogram: the trap. It falls without bound as the bins shrink.

    .. math:: \int \hat p^2 - \frac2n \sum_i \hat p(x_i) = -\sum_j \frac{c_j^2}{n^2 v_j} = -\int \hat p^2

    Never choose bins with it: every point pays for its own bin. Use :func:`leave_one_out_risk`.

    Parameters
    ----------
    counts : array_like of shape (m,)
        Number of points in each cell; empty cells may be left out.
    volumes : float or array_like of shape (m,)
        Volume of each cell.

    Returns
    -------
    float
        The risk, in units of density.

    Raises
    ------
    ValueError
        If there is no point, or a volume is not positive.

    Notes
    -----
    Taught in :ref:`histogram`.

    Examples
    --------
    >>> in_sample_risk([2, 2], 0.5), in_sample_risk([1, 1, 1, 1], 0.01)
    (-1.0, -25.0)
    """
    c, v, n = _validated(counts, volumes, at_least=1)
    return -float(np.sum(c**2 / v)) / n**2


def risk_curve(
    X: ArrayLike,
    n_bins: ArrayLike,
    *,
    range: ArrayLike | None = None,
    risk: Callable[[ArrayLike, ArrayLike], float] = leave_one_out_risk,
) -> Floats:
    """Risk of the histogram with m equal bins on every axis, for each m in a list.

    Parameters
    ----------
    X : array_like of shape (n, d)
        Data.
    n_bins : array_like of int, shape (k,)
        Numbers of bins per axis to try.
    range : array_like of shape (2,) or (d, 2), optional
        Lower and upper end, of every axis or of each; by default those of the data.
    risk : callable, default=leave_one_out_risk
        ``risk(counts, volumes)``; :func:`in_sample_risk` shows the trap.

    Returns
    -------
    ndarray of shape (k,)
        The risks, in units of density.

    Raises
    ------
    ValueError
        If `X` is not an (n, d) array of finite numbers, if the range cannot be taken from the data, or
        if rows lie outside it.

    Notes
    -----
    Taught in :ref:`histogram`.

    Examples
    --------
    >>> X = np.arange(8.0)[:, None]
    >>> risk_curve(X, [1, 2, 4]).round(3).tolist()
    [-0.143, -0.102, -0.02]
    """
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or not np.all(np.isfinite(X)):
        raise ValueError(f"X must be an (n, d) array of finite numbers; got shape {X.shape}")
    bounds = _bounds(X, range)
    volume = float(np.prod(bounds[:, 1] - bounds[:, 0]))
    return _unit_risks(X, bounds, [_bin_count(m) for m in np.atleast_1d(n_bins)], risk) / volume


class IntegratedError(NamedTuple):
    """Integrated squared bias and integrated variance of an estimator; their sum is its MISE."""

    squared_bias: float
    variance: float

    @property
    def mise(self) -> float:
        """Mean integrated squared error."""
        return self.squared_bias + self.variance


def exact_mise(
    cdf: Callable[[Floats], ArrayLike],
    edges: ArrayLike,
    n_samples: float,
    *,
    squared_norm: float,
) -> IntegratedError:
    r"""Mean integrated squared error of a histogram with fixed edges, for a known law: no simulation.

    With :math:`p_j` the law's mass of bin j and :math:`h_j` its width, the squared bias is
    :math:`\int p^2 - \sum_j p_j^2 / h_j` and the variance :math:`\sum_j p_j (1 - p_j) / (n h_j)`.

    Parameters
    ----------
    cdf : callable
        Distribution function of the law, on arrays of shape (m + 1,).
    edges : array_like of shape (m + 1,)
        Increasing bin edges; the law may have mass beyond them, which is then bias.
    n_samples : float
        Sample size n.
    squared_norm : float
        The integral of the squared density over the whole line.

    Returns
    -------
    IntegratedError
        ``squared_bias``, ``variance`` and their sum ``mise``, in units of density.

    Raises
    ------
    ValueError
        If the edges do not increase or `n_samples` is not positive.

    References
    ----------
    Scott (2015), Multivariate Density Estimation, second edition, section 3.2.

    Notes
    -----
    Taught in :ref:`histogram`.

    Examples
    --------
    A uniform law on [0, 1] has no bias, and its variance is (m - 1) / n with m bins.

    >>> error = exact_mise(lambda x: np.clip(x, 0, 1), np.linspace(0, 1, 5), 100, squared_norm=1.0)
    >>> round(error.squared_bias, 12), round(error.variance, 12)
    (0.0, 0.03)
    """
    edges = _increasing(edges, "edges")
    if not n_samples > 0:
        raise ValueError(f"n_samples must be positive; got {n_samples!r}")
    widths, masses = np.diff(edges), np.diff(np.asarray(cdf(edges), dtype=float))
    squared_bias = squared_norm - np.sum(masses**2 / widths)
    variance = np.sum(masses * (1 - masses) / widths) / n_samples
    return IntegratedError(float(squared_bias), float(variance))


@catalogued(
    examples=lambda d: [Histogram(bins=6), Histogram(bins="scott"), Histogram(bins="loo", smoothing=0.5)],
    dims=(1, 2, 3),
    cost={"fit": "O(d n log n)", "log_prob": "O(d log n)", "sample": "O(d)"},
)
class Histogram(DensityEstimator):
    r"""Histogram density estimator in d dimensions: a grid of boxes, a constant density in each.

    .. math:: \hat p(x) = \frac{c_j + \alpha}{(n + \alpha m)\, v_j} \quad\text{for } x \text{ in cell } j

    with :math:`c_j` of the n points in cell j, :math:`v_j` its volume, m the number of cells and
    :math:`\alpha` the pseudo-count `smoothing`. Only cells that hold a point are stored, so that memory is
    O(n d) even where m is astronomic.

    **Outside its edges the density is zero and** ``log_prob`` **is -inf**; with ``smoothing=0`` (the default)
    this is also so in every empty cell.

    Parameters
    ----------
    bins : {"fd", "scott", "loo"}, int, array_like or tuple, default="fd"
        * ``"scott"``, ``"fd"``: a width per axis from :func:`scott_width` or :func:`freedman_diaconis_width`
          (which falls back on Scott's where the interquartile range is zero), rounded down so that a whole
          number of bins fills the range;
        * ``"loo"``: the same number of bins on every axis, the one that minimizes
          :func:`leave_one_out_risk`;
        * an int: this many equal bins on every axis;
        * a list or array of numbers: increasing edges, used on every axis;
        * a **tuple**: one entry per column, each a rule ("scott" or "fd"), an int or edges.
    range : array_like of shape (2,) or (d, 2), optional
        Lower and upper end, of every axis or of each. By default the smallest and the largest value of the
        training data. Not used on an axis whose edges are given.
    smoothing : float, default=0.0
        Pseudo-count added to every cell.

    Attributes
    ----------
    edges_ : list of d arrays
        Bin edges of each axis. Bins are half-open, the last one is closed, as in numpy.
    n_bins_ : tuple of d ints
        Number of bins on each axis.
    cells_ : ndarray of int, shape (m, d)
        Occupied cells, one bin index per axis, in lexicographic order.
    counts_ : ndarray of int, shape (m,)
        Points in each occupied cell.
    volumes_ : ndarray of shape (m,)
        Volume of each occupied cell.
    n_samples_ : int
        Number of training points.

    Raises
    ------
    ValueError
        By ``fit``: if a column is constant, or there is one sample, and the edges have to come from the
        data; if rows lie outside the given range or edges; if the bins are not positive or the edges do
        not increase.

    References
    ----------
    Scott (1979), Biometrika 66, 605-610. Freedman and Diaconis (1981), Zeitschrift fuer
    Wahrscheinlichkeitstheorie und verwandte Gebiete 57, 453-476. Rudemo (1982), Scandinavian Journal of
    Statistics 9, 65-78.

    Notes
    -----
    Taught in :ref:`histogram`.

    Examples
    --------
    >>> X = [[0.1], [0.2], [0.3], [0.9]]
    >>> model = Histogram(bins=2, range=(0, 1)).fit(X)
    >>> np.exp(model.log_prob([[0.25], [0.75], [1.5]])).round(6).tolist()
    [1.5, 0.5, 0.0]
    """

    likelihood = Likelihood.EXACT

    def __init__(
        self,
        bins: str | int | ArrayLike | tuple = "fd",
        *,
        range: ArrayLike | None = None,
        smoothing: float = 0.0,
    ):
        self.bins = bins
        self.range = range
        self.smoothing = smoothing

    def fit(self, X: ArrayLike, y: object = None) -> Histogram:
        """Choose the bins and count the points in them.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Training data.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        Histogram
            The estimator itself.
        """
        if not isinstance(self.smoothing, Real) or not 0 <= self.smoothing < math.inf:
            raise ValueError(f"smoothing must be a finite number, at least 0; got {self.smoothing!r}")
        X = self._training_data(X)
        self.edges_: list[Floats] = self._choose_edges(X)
        index = _multi_index(X, self.edges_)
        outside = np.any(index < 0, axis=1)
        if np.any(outside):
            raise ValueError(
                f"{int(outside.sum())} of {len(X)} rows of X lie outside the given range or edges, where a "
                "histogram has no density; widen `range`, or leave those rows out"
            )
        self.n_bins_: tuple[int, ...] = tuple(len(edges) - 1 for edges in self.edges_)
        prefixes, position = _occupied(index, self.n_bins_)
        self._prefixes: list[Ints] = prefixes
        first = np.unique(position, return_index=True)[1]
        self.cells_: Ints = index[first]  # (m, d)
        self.counts_: Ints = np.bincount(position)  # (m,)
        self.volumes_: Floats = np.exp(_log_volume(self.cells_, self.edges_))
        self.n_samples_: int = len(X)
        return self

    def log_prob(self, x: ArrayLike) -> Floats:
        """Log-density of each row of `x`; -inf outside the edges, and in empty cells when `smoothing` is 0.

        Parameters
        ----------
        x : array_like of shape (n, d)
            Points at which to evaluate.

        Returns
        -------
        ndarray of shape (n,)
            Log-density in nats.
        """
        x = self._query(x)
        index = _multi_index(x, self.edges_)
        count = np.full(len(x), float(self.smoothing))
        position = _find(index, self.n_bins_, self._prefixes)
        occupied = position >= 0
        count[occupied] += self.counts_[position[occupied]]
        outside = np.any(index < 0, axis=1)
        count[outside] = 0.0
        with np.errstate(divide="ignore"):  # log(0) = -inf is what an empty cell means
            log_count = np.log(count)
        return log_count - self._log_total() - _log_volume(index, self.edges_)

    def sample(self, n_samples: int = 1, random_state: Seed = None) -> Floats:
        """Draw samples: a cell in proportion to its mass, then a uniform point in it.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.
        random_state : int, numpy.random.Generator or None, optional
            Source of randomness.

        Returns
        -------
        ndarray of shape (n_samples, d)
            Samples.

        Raises
        ------
        ValueError
            If `n_samples` is not a positive integer.
        """
        self._query(np.zeros((1, getattr(self, "n_features_in_", 1))))  # fitted?
        if not isinstance(n_samples, (int, np.integer)) or n_samples < 1:
            raise ValueError(f"n_samples must be a positive integer; got {n_samples!r}")
        rng = np.random.default_rng(random_state)
        chosen = rng.choice(len(self.counts_), size=n_samples, p=self.counts_ / self.n_samples_)
        cell = self.cells_[chosen]  # (n, d)
        if self.smoothing > 0:  # the pseudo-counts are spread evenly over all cells
            pseudo = rng.random(n_samples) < self._pseudo_share()
            cell[pseudo] = rng.integers(self.n_bins_, size=(int(pseudo.sum()), len(self.n_bins_)))
        x = np.empty(cell.shape)
        for j, edges in enumerate(self.edges_):
            left, right = edges[cell[:, j]], edges[cell[:, j] + 1]
            draw = left + rng.random(n_samples) * (right - left)
            x[:, j] = np.minimum(draw, np.nextafter(right, left))  # rounding must not leave the cell
        return x

    def _log_total(self) -> float:
        """Logarithm of n + smoothing * (number of cells), also where that number overflows a float."""
        return float(np.logaddexp(math.log(self.n_samples_), self._log_pseudo()))

    def _log_pseudo(self) -> float:
        """Logarithm of smoothing * (number of cells)."""
        if self.smoothing == 0:
            return -math.inf
        return math.log(self.smoothing) + math.log(math.prod(self.n_bins_))

    def _pseudo_share(self) -> float:
        """Share of the mass that is due to the pseudo-counts."""
        return math.exp(self._log_pseudo() - self._log_total())

    def _choose_edges(self, X: Floats) -> list[Floats]:
        """Edges of each axis, from `bins`, `range` and the data."""
        n, d = X.shape
        if isinstance(self.bins, str) and self.bins == "loo":
            if n < 2:
                raise ValueError("bins='loo' leaves one sample out: it needs two, got n_samples=1")
            bounds = _bounds(X, self.range)
            candidates = _candidates(n, d)
            best = int(np.argmin(_unit_risks(X, bounds, candidates, leave_one_out_risk)))
            return [_linspace(ends, candidates[best]) for ends in bounds]
        per_axis = self.bins if isinstance(self.bins, tuple) else (self.bins,) * d
        if len(per_axis) != d:
            raise ValueError(f"bins is a tuple of {len(per_axis)} entries; expected one per column of X, {d}")
        given = [not isinstance(entry, str) and np.ndim(entry) > 0 for entry in per_axis]
        edges: list[Floats] = []
        bounds = np.zeros((d, 2)) if all(given) else _bounds(X, self.range, skip=given)
        for j, entry in enumerate(per_axis):
            if given[j]:
                edges.append(_increasing(entry, "bins, as edges,"))
            else:
                edges.append(_linspace(bounds[j], self._axis_count(entry, X[:, j], bounds[j], d)))
        return edges

    def _axis_count(self, entry: object, column: Floats, ends: Floats, d: int) -> int:
        """Choose the number of bins on one axis, from a rule's name or an int."""
        if not isinstance(entry, str):
            return _bin_count(entry)
        if entry not in ("scott", "fd"):
            hint = "'loo' chooses all axes together: give it alone" if entry == "loo" else "it is not a rule"
            raise ValueError(f"bins={entry!r}: {hint}; expected 'scott', 'fd', 'loo', an int or edges")
        unit = (column - ends[0]) / (ends[1] - ends[0])  # widths in units of the range: no overflow, no unit
        width = freedman_diaconis_width(unit, n_dims=d) if entry == "fd" else 0.0
        width = width or scott_width(unit, n_dims=d)
        if width == 0:
            raise ValueError(
                f"bins={entry!r} needs data that vary, but a column of X is constant; give an int"
            )
        count = math.ceil((1 - 1e-10) / width)  # the margin makes ties safe from rounding
        if count > MAX_BINS:
            raise ValueError(
                f"bins={entry!r} asks for {count} bins on one axis, over {MAX_BINS}: outliers stretch the "
                "range; give an int, or leave the outliers out"
            )
        return max(count, 1)


def _validated(counts: ArrayLike, volumes: ArrayLike, *, at_least: int) -> tuple[Floats, Floats, float]:
    """Check the arguments of a risk; the third value is n, the number of points."""
    c, v = np.asarray(counts, dtype=float), np.asarray(volumes, dtype=float)
    n = float(c.sum())
    if not n >= at_least or np.any(c < 0):
        raise ValueError(f"counts must be non-negative and sum to at least {at_least}; they sum to {n:g}")
    if not np.all(v > 0):
        raise ValueError("volumes must be positive; at least one is not")
    return c, v, n


def _bin_count(value: object) -> int:
    """Check a number of bins: a positive integer."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"bins must be a rule ('fd', 'scott', 'loo'), an int or edges; got {value!r}")
    if not 1 <= value <= MAX_BINS:
        raise ValueError(f"bins must be from 1 to {MAX_BINS} on an axis; got {value}")
    return int(value)


def _increasing(edges: ArrayLike, name: str) -> Floats:
    """Edges as an array: one axis, at least two, finite, strictly increasing."""
    array = np.asarray(edges, dtype=float)
    if array.ndim != 1 or len(array) < 2 or not np.all(np.isfinite(array)) or not np.all(np.diff(array) > 0):
        raise ValueError(f"{name} must be at least two finite, strictly increasing numbers; got {edges!r}")
    return array


def _linspace(ends: Floats, count: int) -> Floats:
    """Edges of `count` equal bins between two ends, all distinct in float64."""
    edges = np.linspace(ends[0], ends[1], count + 1)
    if not np.all(np.diff(edges) > 0):
        raise ValueError(
            f"{count} bins between {ends[0]} and {ends[1]} are narrower than float64 can tell apart; "
            "subtract a constant from X, or give fewer bins"
        )
    return edges


def _bounds(X: Floats, range: ArrayLike | None, *, skip: Sequence[bool] = ()) -> Floats:
    """Lower and upper end of each axis, (d, 2), given or from the data; axes to `skip` are not checked."""
    d = X.shape[1]
    check = ~np.asarray(list(skip) or [False] * d)
    if range is None:
        bounds = np.column_stack([X.min(axis=0), X.max(axis=0)])
        constant = np.flatnonzero(check & (bounds[:, 0] == bounds[:, 1]))
        if len(constant):
            what = f"column {constant[0]} of X is constant" if len(X) > 1 else "n_samples=1"
            raise ValueError(f"the range cannot come from the data, {what}; give range=(low, high)")
    else:
        bounds = np.asarray(range, dtype=float)
        if bounds.shape not in [(2,), (d, 2)]:
            raise ValueError(f"range must be (low, high), or {d} such pairs; got shape {bounds.shape}")
        bounds = np.broadcast_to(bounds, (d, 2))
        if not np.all(np.isfinite(bounds)) or not np.all(bounds[check, 0] < bounds[check, 1]):
            raise ValueError(f"range must be finite, each low below its high; got {range!r}")
    with np.errstate(over="ignore"):
        if not np.all(np.isfinite(bounds[:, 1] - bounds[:, 0])):
            raise ValueError("the range of X is wider than float64 can hold; divide X by a constant")
    return bounds


def _multi_index(x: Floats, edges: Sequence[Floats]) -> Ints:
    """Bin of each row on each axis, (n, d); -1 where it lies outside that axis."""
    return np.column_stack([bin_index(x[:, j], edge) for j, edge in enumerate(edges)])


def _occupied(index: Ints, n_bins: Sequence[int]) -> tuple[list[Ints], Ints]:
    """Give each occupied cell a number, one axis at a time.

    A key over all m_1 m_2 ... m_d cells would overflow. Instead the prefixes of the multi-indices that
    occur are numbered: at most n of them, so that a key stays below n times the bins of one axis.

    Returns the sorted keys of each axis and each row's cell number, in lexicographic order of the cells.
    """
    position = np.zeros(len(index), dtype=np.int64)
    prefixes = []
    for j, count in enumerate(n_bins):
        keys, position = np.unique(position * count + index[:, j], return_inverse=True)
        prefixes.append(keys)
    return prefixes, position


def _find(index: Ints, n_bins: Sequence[int], prefixes: Sequence[Ints]) -> Ints:
    """Cell number of each row, as `_occupied` numbered them; -1 where the cell holds no point."""
    position = np.zeros(len(index), dtype=np.int64)
    missing = np.any(index < 0, axis=1)
    for j, (count, keys) in enumerate(zip(n_bins, prefixes, strict=True)):
        wanted = position * count + index[:, j]
        position = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        missing |= keys[position] != wanted
    return np.where(missing, -1, position)


def _log_volume(index: Ints, edges: Sequence[Floats]) -> Floats:
    """Logarithm of the volume of each cell, (n,)."""
    return np.sum([np.log(np.diff(edge))[index[:, j]] for j, edge in enumerate(edges)], axis=0)


def _candidates(n: int, d: int) -> list[int]:
    """Numbers of bins per axis that the rule "loo" tries: all small ones, then about 5 % apart, up to n."""
    largest = min(n, MAX_BINS, int(10 ** (300 / d)))  # a cell's volume must not underflow
    return np.unique(np.geomspace(1, largest, 200).round().astype(int)).tolist()


def _unit_risks(X: Floats, bounds: Floats, n_bins: Sequence[int], risk: Callable) -> Floats:
    """Risks with the whole range counted as volume one (a risk is inverse to volume)."""
    risks = np.empty(len(n_bins))
    X = X[np.argsort(X[:, 0])]  # neighbours in memory fall into neighbouring bins: faster
    for k, m in enumerate(n_bins):
        index = _multi_index(X, [np.linspace(low, high, m + 1) for low, high in bounds])
        if np.any(index < 0):
            raise ValueError("rows of X lie outside `range`; widen it, or leave those rows out")
        risks[k] = risk(_cell_counts(index, m), float(m) ** -X.shape[1])
    return risks


def _cell_counts(index: Ints, m: int) -> Ints:
    """Points in each cell of a grid with m bins on every axis; a small grid is counted without a sort."""
    n, d = index.shape
    if m**d <= 10 * n:
        cell = np.zeros(n, dtype=np.int64)
        for j in range(d):
            cell = cell * m + index[:, j]
        return np.bincount(cell)
    return np.bincount(_occupied(index, (m,) * d)[1])
