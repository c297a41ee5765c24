r"""Kernel density estimation: one smooth bump on every observation.

.. math:: \hat p(x) = \frac{1}{n\,|H|^{1/2}} \sum_{i=1}^{n} K\!\left(H^{-1/2}(x - x_i)\right)

`H` is the **bandwidth matrix**, in squared units of the data; the **bandwidth** is its
square root, in units of the data: a number h stands for H = h^2 I.

Taught in :ref:`kde`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.linalg import solve_triangular
from scipy.optimize import minimize_scalar
from scipy.spatial import cKDTree
from scipy.special import gammaln
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from coursekit.base import DensityEstimator, Likelihood, catalogued

__all__ = ["KernelDensity", "mixture_mise", "normal_reference", "optimal_bandwidth", "ucv_risk"]

Kernel = Literal["gaussian", "epanechnikov", "box"]
Array = NDArray[np.float64]

_ROWS, _BLOCK = 32, 2048  # queries and data points in one tile: 512 KiB of float64, which stays in the cache
_FLOOR = {"float64": -300.0, "float32": -80.0}  # exp() is 20-100 times slower where its result underflows
_HIGH = {"float64": 600.0, "float32": 60.0}  # exponents up to here cannot overflow
_NEGLIGIBLE = {"float64": -37.5, "float32": -20.0}  # log of the largest part of a sum that may be left out
_FAR = 1e150  # further away than this (in bandwidths) the square would overflow
_LARGE = 1e30  # the same in float32, with room for a product
_CELLS = 6  # grid cells per bandwidth
_MARGIN = 7  # empty border of the grid, in bandwidths: nothing that counts wraps around
_LONELY = np.exp(-0.5 * 3**2)  # sum of the kernels at three bandwidths from a single point
_TRUSTED = 1e-9  # part of its largest value below which a grid's density drowns in the rounding of the FFT
_MAX_CELLS = 2**24  # the largest grid that `method="grid"` builds


# ----------------------------------------------------------------------------------------------
# Kernels: radial, so K depends on u only through |u|.


def _log_ball_volume(d: int) -> float:
    return 0.5 * d * np.log(np.pi) - float(gammaln(0.5 * d + 1))


def _log_kernel_constant(kernel: Kernel, d: int) -> float:
    """Logarithm of K(0): what makes the kernel integrate to one in `d` dimensions."""
    if kernel == "gaussian":
        return -0.5 * d * float(np.log(2 * np.pi))
    peak = 0.0 if kernel == "box" else float(np.log((d + 2) / 2))
    return peak - _log_ball_volume(d)


def _kernel_variance(kernel: Kernel, d: int) -> float:
    """Variance of the kernel along each axis, in units of h^2."""
    return {"gaussian": 1.0, "epanechnikov": 1 / (d + 4), "box": 1 / (d + 2)}[kernel]


def _log_roughness(kernel: Kernel, d: int) -> float:
    """Logarithm of the integral of K^2."""
    if kernel == "gaussian":
        return -0.5 * d * float(np.log(4 * np.pi))
    if kernel == "box":
        return -_log_ball_volume(d)
    return float(np.log(2 * (d + 2) / (d + 4))) - _log_ball_volume(d)


def _canonical_ratio(kernel: Kernel, d: int) -> float:
    """How many times a Gaussian's bandwidth does the same job (Marron and Nolan, 1988)."""

    def log_delta(k: Kernel) -> float:
        return (_log_roughness(k, d) - 2 * np.log(_kernel_variance(k, d))) / (d + 4)

    return float(np.exp(log_delta(kernel) - log_delta("gaussian")))


# ----------------------------------------------------------------------------------------------
# Bandwidths. Everything below works with L, where H = L L': it neither over- nor underflows as H does.


def _covariance_root(X: Array) -> Array:
    """Cholesky factor of the sample covariance, found through the correlations (so units do not matter)."""
    if len(X) < 2:
        raise ValueError(
            "a bandwidth chosen from the data needs at least two rows, got 1 sample; "
            "give `bandwidth` a number instead"
        )
    centred = X - X.mean(axis=0)
    reach = np.abs(centred).max(axis=0)
    if not np.all(reach > 1e-14 * np.abs(X).max(axis=0)):
        constant = np.flatnonzero(~(reach > 1e-14 * np.abs(X).max(axis=0))).tolist()
        raise ValueError(
            f"X is constant in column(s) {constant}, so no bandwidth can be chosen from its spread; "
            "drop the column(s) or give `bandwidth` a number"
        )
    unit = centred / reach
    sd = unit.std(axis=0, ddof=1)
    unit /= sd
    correlation = unit.T @ unit / (len(X) - 1)
    try:
        root = np.linalg.cholesky(correlation)
    except np.linalg.LinAlgError:
        root = np.zeros_like(correlation)
    if root.diagonal().min() < 1e-7:
        raise ValueError(
            f"the covariance of X is singular ({len(X)} rows, {X.shape[1]} columns: some columns are linear "
            "combinations of others, or there are too few rows); drop columns or give `bandwidth` a number"
        )
    return root * (sd * reach)[:, None]


def _reference_factor(rule: str, shape: tuple[int, ...], kernel: Kernel) -> float:
    n, d = shape
    factor = float(n ** (-1 / (d + 4)))
    if rule == "silverman":
        factor *= (4 / (d + 2)) ** (1 / (d + 4))
    return factor * _canonical_ratio(kernel, d)


def normal_reference(X: ArrayLike, rule: str = "scott", *, kernel: Kernel = "gaussian") -> Array:
    r"""Bandwidth matrix that is best, or nearly, if the data are normal.

    :math:`H = c^2 \hat\Sigma` with the full sample covariance and
    :math:`c = n^{-1/(d+4)}` (Scott) or :math:`(4/(d+2))^{1/(d+4)}\, n^{-1/(d+4)}` (Silverman); for the
    compact kernels c is multiplied by the ratio of canonical bandwidths: every kernel then smooths equally.

    Parameters
    ----------
    X : array_like of shape (n, d)
        Data, at least two rows.
    rule : {"scott", "silverman"}
        Which constant.
    kernel : {"gaussian", "epanechnikov", "box"}
        The kernel that the bandwidth is for.

    Returns
    -------
    ndarray of shape (d, d)
        The bandwidth matrix H, in squared units of the data.

    Raises
    ------
    ValueError
        If `rule` is unknown, or the covariance of `X` is singular.

    References
    ----------
    Scott (1992), section 6.3; Silverman (1986), section 4.3; Marron and Nolan (1988).

    Notes
    -----
    Taught in :ref:`kde`.
    """
    points = _as_points(X)
    if rule not in ("scott", "silverman"):
        raise ValueError(f"`rule` must be 'scott' or 'silverman', got {rule!r}")
    root = _reference_factor(rule, points.shape, kernel) * _covariance_root(points)
    return root @ root.T


def _bandwidth_root(bandwidth: ArrayLike, d: int) -> Array:
    """Cholesky factor L of the bandwidth matrix, from a number, an array (d,) or a matrix (d, d)."""
    try:
        given = np.asarray(bandwidth, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"`bandwidth` must be 'scott', 'silverman', 'ucv', a number, an array of shape ({d},) "
            f"or a matrix of shape ({d}, {d}), got {bandwidth!r}"
        ) from None
    if not np.all(np.isfinite(given)):
        raise ValueError(f"`bandwidth` must be finite, got {bandwidth!r}")
    if given.ndim < 2:
        if given.shape not in ((), (d,)):
            raise ValueError(
                f"`bandwidth` has shape {given.shape}, but the data have {d} column(s): "
                f"give a number, an array of shape ({d},) or a matrix of shape ({d}, {d})"
            )
        if np.any(given <= 0):
            raise ValueError(f"`bandwidth` must be > 0, got {bandwidth!r}")
        return np.diag(np.broadcast_to(given, d)).copy()
    if given.shape != (d, d):
        raise ValueError(
            f"`bandwidth` has shape {given.shape}, expected ({d}, {d}) for data with {d} column(s)"
        )
    if not np.allclose(given, given.T, rtol=1e-10, atol=1e-12 * np.abs(given).max()):
        raise ValueError("`bandwidth` is a matrix that is not symmetric: it must be, like a covariance")
    try:
        return np.asarray(np.linalg.cholesky(given))
    except np.linalg.LinAlgError:
        raise ValueError(
            "`bandwidth` is a matrix that is singular or not positive definite: all its eigenvalues "
            f"must be > 0, the smallest is {np.linalg.eigvalsh(given)[0]:.3g}"
        ) from None


def _as_points(X: ArrayLike) -> Array:
    points = np.asarray(X, dtype=np.float64)
    if points.ndim != 2 or 0 in points.shape:
        raise ValueError(
            f"X must have shape (n, d) with n, d >= 1, got {points.shape}; a single column is X[:, None]"
        )
    if not np.all(np.isfinite(points)):
        raise ValueError("X contains NaN or infinity")
    return points


# ----------------------------------------------------------------------------------------------
# Unbiased cross-validation


def ucv_risk(X: ArrayLike, bandwidth: ArrayLike) -> float:
    r"""Unbiased (least-squares) cross-validation risk of a Gaussian kernel estimate.

    .. math:: \mathrm{UCV}(H) = \int \hat p_H^2 - \frac{2}{n} \sum_{i} \hat p_{H,-i}(x_i)

    Its expectation is MISE(H) minus the constant :math:`\int p_*^2`. The integral has a closed form,
    because a product of two Gaussians is Gaussian.

    Parameters
    ----------
    X : array_like of shape (n, d)
        Data, at least two rows.
    bandwidth : float, array_like of shape (d,) or (d, d)
        Bandwidth h, bandwidth per axis, or bandwidth matrix H.

    Returns
    -------
    float
        The risk, in units of density (1 / data units^d). It may be negative. Costs O(n^2 d).

    Raises
    ------
    ValueError
        If `X` has fewer than two rows or `bandwidth` is not positive (definite).

    References
    ----------
    Rudemo (1982); Bowman (1984); Sain, Baggerly and Scott (1994) for d > 1.

    Notes
    -----
    Taught in :ref:`kde`.
    """
    points = _as_points(X)
    if len(points) < 2:
        raise ValueError("leaving one out needs at least two rows, got 1")
    root = _bandwidth_root(bandwidth, points.shape[1])
    risk = _ucv_risks(_whiten(points - points.mean(axis=0), root), np.ones(1))[0]
    return float(risk / np.exp(np.log(root.diagonal()).sum()))


def _ucv_risks(z: Array, scales: Array) -> Array:
    """UCV risk of the whitened data `z` at each bandwidth in `scales`, in one pass over the pairs."""
    n, d = z.shape
    wide = np.zeros(len(scales))  # sum over pairs i < j of exp(-|z_i - z_j|^2 / 4 s^2): from the integral
    narrow = np.zeros(len(scales))  # the same with 2 s^2: from the points left out
    step = max(1, 2**18 // n)
    for start in range(0, n, step):
        rows = z[start : start + step]
        gap = np.zeros((len(rows), n - start))
        for axis in range(d):  # plain differences: no cancellation, whatever the scale
            gap += np.subtract.outer(rows[:, axis], z[start:, axis]) ** 2
        gap = gap[np.arange(n - start) > np.arange(len(rows))[:, None]]  # each pair once
        for k, s in enumerate(scales):
            term = np.exp(np.maximum(gap * (-0.25 / s**2), _FLOOR["float64"] / 2))
            wide[k] += term.sum()
            narrow[k] += term @ term  # exp(-a/2) is the square of exp(-a/4)
    integral = (n + 2 * wide) / n**2 * np.exp(_log_roughness("gaussian", d))
    left_out = 2 * narrow / (n * (n - 1)) * np.exp(_log_kernel_constant("gaussian", d))
    return (integral - 2 * left_out) / scales**d


def _ucv_factor(z: Array) -> float:
    """Bandwidth of the whitened data `z` with the least UCV risk: a coarse scan, then three closer looks."""
    centre = _reference_factor("silverman", z.shape, "gaussian")
    scales = centre * np.geomspace(0.03, 3, 21)
    for look in range(4):
        best = int(np.argmin(_ucv_risks(z, scales)))
        if look == 0 and best == 0:
            distinct = len(np.unique(z, axis=0))
            raise ValueError(
                "unbiased cross-validation wants a bandwidth of zero: X repeats values "
                f"({distinct} different rows among {len(z)}). Use bandwidth='silverman', or undo the "
                "rounding by adding uniform noise of its width"
            )
        if look < 3:
            low, high = scales[max(best - 1, 0)], scales[min(best + 1, len(scales) - 1)]
            scales = np.geomspace(low, high, 9)
    return float(scales[best])


# ----------------------------------------------------------------------------------------------
# Exact evaluation: tiles of queries against blocks of neighbouring data


def _whiten(centred: Array, root: Array) -> Array:
    """Rows of `centred` in bandwidths: z = L^-1 x, so that |z|^2 = x' H^-1 x."""
    if len(root) == 1:
        return centred / root[0, 0]  # (n, 1)
    return np.ascontiguousarray(solve_triangular(root, centred.T, lower=True, check_finite=False).T)


def _neighbourhoods(z: Array, size: int) -> list[NDArray[np.intp]]:
    """Cut the rows of `z` into sets of about `size` near each other: slabs along one axis after another.

    In many dimensions everything is about equally far from everything: order would cost more than it saves.
    """
    sets = [np.arange(len(z))]
    axes = min(z.shape[1], 3)
    if z.shape[1] > 6:
        return np.array_split(sets[0], -(-len(z) // size))
    for axis in range(axes):
        parts = [max(1, round((len(index) / size) ** (1 / (axes - axis)) + 0.4)) for index in sets]
        order = [index[np.argsort(z[index, axis])] for index in sets]
        sets = [slab for index, k in zip(order, parts, strict=True) for slab in np.array_split(index, k)]
    return sets


@dataclass
class _Blocks:
    """Whitened data in blocks, each ready to turn a tile's exponents into one matrix product.

    With x and y relative to the block's centre, -|x - y|^2 / 2 = x.y - |y|^2 / 2 + (-|x|^2 / 2): the rows of
    a table are y, -|y|^2 / 2 and 1. Local centres keep the terms small where they matter, so that little is
    lost to cancellation, even in float32; blocks too wide for that take differences one by one.
    """

    centres: Array  # (B, d)
    low: Array  # (B, d) corners of the boxes
    high: Array  # (B, d)
    tables: list[Any]  # B arrays (d + 2, size)
    wide: bool  # whether to take differences

    @classmethod
    def build(cls, z: Array, dtype: str) -> _Blocks:
        columns = np.ascontiguousarray(z.T)  # (d, n): sums and extremes along rows are several times faster
        parts = [columns.take(index, axis=1) for index in _neighbourhoods(z, _BLOCK)]  # each (d, size)
        low = np.array([part.min(axis=1) for part in parts])
        high = np.array([part.max(axis=1) for part in parts])
        centres = 0.5 * (low + high)
        for part, centre in zip(parts, centres, strict=True):
            part -= centre[:, None]
        halves = [-0.5 * np.einsum("ij,ij->j", part, part) for part in parts]
        largest = -min(half.min() for half in halves)
        if largest * np.finfo(np.float32).eps > 1e-4:
            dtype = "float64"  # float32 would lose more than it should: pay with time instead
        tables = [
            np.vstack([part, half, np.ones(len(half))]).astype(dtype, copy=False)
            for part, half in zip(parts, halves, strict=True)
        ]
        return cls(centres, low, high, tables, wide=bool(largest > 1e6))

    def by_distance(self, q: Array) -> tuple[NDArray[np.intp], Array]:
        """Blocks from near to far, with the least squared distance between each one's box and that of `q`."""
        apart = np.maximum(self.low - q.max(axis=0), q.min(axis=0) - self.high)
        gap = (np.maximum(apart, 0) ** 2).sum(axis=1)
        order = np.argsort(gap, kind="stable")
        return order, gap[order]

    def own(self, q: Array, b: int) -> Array:
        """Return what the exponents of all points of block `b` share, -|q|^2 / 2 about its centre: (m,)."""
        if self.wide:
            return np.zeros(len(q))
        local = q - self.centres[b]
        return -0.5 * np.einsum("ij,ij->i", local, local)

    def exponents(self, q: Array, b: int, offset: Array) -> Any:
        """-|q_i - z_j|^2 / 2 - offset_i for the points z_j of block `b`: (m, size)."""
        table, local = self.tables[b], q - self.centres[b]
        if self.wide:
            squares = np.zeros((len(q), table.shape[1]))
            for axis in range(q.shape[1]):
                squares += np.subtract.outer(local[:, axis], table[axis]) ** 2
            return -0.5 * squares - offset[:, None]
        rest = self.own(q, b) - offset
        if table.dtype == np.float32:
            local, rest = np.clip(local, -_LARGE, _LARGE), np.maximum(rest, -_LARGE)
        left = np.column_stack([local, np.ones(len(q)), rest]).astype(table.dtype)
        return left @ table


def _log_gaussian_sums(q: Array, blocks: _Blocks) -> Array:
    """Logarithm of sum_i exp(-|q - z_i|^2 / 2) for each row of `q`, accurate in the far tails too."""
    out = np.empty(len(q))
    for rows in _neighbourhoods(q, _ROWS):
        out[rows] = _log_gaussian_tile(q[rows], blocks)
    return out


def _log_gaussian_tile(q: Array, blocks: _Blocks) -> Array:
    dtype = str(blocks.tables[0].dtype)
    order, gap = blocks.by_distance(q)
    sizes = np.array([blocks.tables[b].shape[1] for b in order])
    to_come = np.log(np.cumsum(sizes[::-1])[::-1])  # log of the number of points in this block and later
    shift = np.zeros(len(q))  # exponents are measured from here: the sums neither under- nor overflow
    total = np.zeros(len(q))
    for step, b in enumerate(order):
        left_over = to_come[step] - 0.5 * gap[step]  # log of all that is still to be added, at most
        if step and left_over < (shift + np.log(total)).min() + _NEGLIGIBLE[dtype]:
            break  # it cannot change the last digit
        if step and -0.5 * gap[step] - shift.min() <= _HIGH[dtype]:
            exponent = blocks.exponents(q, b, shift)  # (rows, block)
        else:  # the largest exponent may be in this block: measure from there on
            own = blocks.own(q, b)
            exponent = blocks.exponents(q, b, own)
            highest = exponent.max(axis=1).astype(np.float64)
            peak = own + highest
            top = np.maximum(shift, peak) if step else peak
            down = np.minimum(highest + (top - peak), np.finfo(exponent.dtype).max / 2)
            exponent -= down.astype(exponent.dtype)[:, None]
            total *= np.exp(shift - top) if step else 0
            shift = top
        np.maximum(exponent, _FLOOR[dtype], out=exponent)
        np.exp(exponent, out=exponent)
        total += exponent @ np.ones(exponent.shape[1], exponent.dtype)
    return shift + np.log(total)


# ----------------------------------------------------------------------------------------------
# Compact kernels, exactly


def _epanechnikov_sums(q: Array, blocks: _Blocks) -> Array:
    """Sum of max(0, 1 - |q - z_i|^2) over i, for each row of `q`."""
    out = np.zeros(len(q))
    for rows in _neighbourhoods(q, _ROWS):
        order, gap = blocks.by_distance(q[rows])
        for b in order[gap < 1]:
            height = blocks.exponents(q[rows], b, np.zeros(len(rows)))
            height *= 2
            height += 1  # 1 - |q - z_i|^2
            out[rows] += np.maximum(height, 0, out=height).sum(axis=1)
    return out


@dataclass
class _Sorted:
    """A sorted sample and running sums of its moments, in bandwidths: 1-D windows in O(log n) per query.

    The sum of 1 - (x - z_i)^2 over a window needs only the window's count, sum and sum of squares. Moments
    are taken about the middle of cells of width one, so that no large numbers cancel.
    """

    z: Array  # (n,) sorted
    first: Array  # (n + 1,) running sum of t_i = z_i - middle of its cell
    second: Array  # (n + 1,) running sum of t_i^2

    @classmethod
    def build(cls, z: Array) -> _Sorted:
        z = np.sort(z)
        t = z - np.floor(z) - 0.5
        return cls(z, np.append(0, np.cumsum(t)), np.append(0, np.cumsum(t * t)))

    def window(self, x: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """First and one past the last point within one bandwidth of each `x`."""
        return np.searchsorted(self.z, x - 1, "left"), np.searchsorted(self.z, x + 1, "right")

    def epanechnikov(self, x: Array) -> Array:
        """Sum of max(0, 1 - (x - z_i)^2) over i."""
        low, high = self.window(x)
        out = np.zeros(len(x))
        cell = np.floor(x)
        for c in (cell - 1, cell, cell + 1):  # a window of width two touches three cells
            a = np.clip(np.searchsorted(self.z, c, "left"), low, high)
            b = np.clip(np.searchsorted(self.z, c + 1, "left"), low, high)
            offset = x - (c + 0.5)
            out += (b - a) * (1 - offset**2)
            out += 2 * offset * (self.first[b] - self.first[a]) - (self.second[b] - self.second[a])
        few = np.flatnonzero(
            high - low <= 32
        )  # few points may all sit where the kernel ends: add them one by one
        for k in range(32):
            rows = few[(low + k < high)[few]]
            if k == 0:
                out[few] = 0
            if not len(rows):
                break
            gap = np.abs(x[rows] - self.z[low[rows] + k])
            out[rows] += np.maximum((1 - gap) * (1 + gap), 0)
        return out


# ----------------------------------------------------------------------------------------------
# The grid: bin, multiply in Fourier space, interpolate


@dataclass
class _Grid:
    """Gaussian kernel sums on a regular grid in one or two dimensions, in bandwidths."""

    origin: Array  # (d,)
    log_sum: Array  # one array of d axes; NaN where the FFT's rounding would show

    @classmethod
    def build(cls, z: Array) -> _Grid:
        d = z.shape[1]
        columns = np.ascontiguousarray(z.T)  # (d, n): three times faster to sum over
        origin, span = columns.min(axis=1) - _MARGIN, np.ptp(columns, axis=1) + 2 * _MARGIN
        wanted = span * _CELLS + 2
        if np.prod(wanted) > _MAX_CELLS:
            raise ValueError(
                f"method='grid' would need {np.prod(wanted):.2g} cells, for {span.max():.2g} bandwidths, "
                f"more than {_MAX_CELLS}: use method='exact' or a larger bandwidth"
            )
        shape = tuple(next_fast_len(int(np.ceil(w)), real=True) for w in wanted)
        spectrum = rfftn(_spline_binning(columns, origin, shape))
        for axis in range(d):
            cycles = np.fft.rfftfreq(shape[axis]) if axis == d - 1 else np.fft.fftfreq(shape[axis])
            # Binning has smoothed the data with a cubic B-spline: divide its transform out again.
            transfer = np.exp(-0.5 * (2 * np.pi * _CELLS * cycles) ** 2) / np.sinc(cycles) ** 4
            spectrum *= transfer.reshape([-1 if a == axis else 1 for a in range(d)])
        total = irfftn(spectrum, shape) * (_CELLS * np.sqrt(2 * np.pi)) ** d
        total[total < max(_LONELY, _TRUSTED * total.max())] = np.nan
        return cls(origin, np.log(total))

    def __call__(self, q: Array) -> Array:
        """Logarithm of the kernel sum by cubic interpolation; NaN off the trusted part of the grid."""
        position = (q - self.origin) * _CELLS
        shape = np.array(self.log_sum.shape)
        inside = np.all((position >= 1) & (position < shape - 2), axis=1)
        out = np.full(len(q), np.nan)
        start = np.floor(position[inside]).astype(np.intp) - 1
        weights = _cubic_weights(position[inside] - start)  # (m, d, 4)
        flat, values = self.log_sum.ravel(), np.zeros(len(start))
        for corner in np.ndindex(*(4,) * len(shape)):
            index, weight = np.zeros(len(start), np.intp), np.ones(len(start))
            for axis, k in enumerate(corner):
                index = index * shape[axis] + start[:, axis] + k
                weight = weight * weights[:, axis, k]
            values += weight * flat[index]
        out[inside] = values
        return out


def _spline_binning(columns: Array, origin: Array, shape: tuple[int, ...]) -> Array:
    """Share each point between the 4^d cells around it, with the weights of a cubic B-spline."""
    counts = np.zeros(int(np.prod(shape)))
    step = 2**14  # few enough points for the cache
    for begin in range(0, columns.shape[1], step):
        position = (columns[:, begin : begin + step] - origin[:, None]) * _CELLS
        start = position.astype(np.int32)  # positions are positive: this is the floor
        t = position - start
        square = t * t
        first, last = 1 - 3 * (t - square) - square * t, square * t
        second = 4 - 6 * square + 3 * last
        shares = (first, second, 6 - first - second - last, last)  # four cells, each (axis, points)
        lowest = start[0].astype(np.intp) - 1
        if len(shape) == 1:
            for i in range(4):
                np.add.at(counts, lowest + i, shares[i][0])
            continue
        lowest = lowest * shape[1] + (start[1] - 1)
        for i, j in np.ndindex(4, 4):
            np.add.at(counts, lowest + (i * shape[1] + j), shares[i][0] * shares[j][1])
    return counts.reshape(shape) / 6 ** len(shape)


def _cubic_weights(t: Array) -> Array:
    """Weights of the values at 0, 1, 2, 3 in the cubic through them, at `t` between 1 and 2."""
    a, b, c, e = t, t - 1, t - 2, t - 3
    return np.stack([-b * c * e / 6, a * c * e / 2, -a * b * e / 2, a * b * c / 6], axis=-1)


# ----------------------------------------------------------------------------------------------
# The model


def _examples(d: int) -> list[KernelDensity]:
    return [
        KernelDensity(),
        KernelDensity("ucv"),
        KernelDensity("silverman", kernel="epanechnikov"),
        KernelDensity("scott", kernel="box"),
    ]


_COST = {
    "fit": "O(nd + n log n); O(n^2 d) for ucv",
    "log_prob": "O(nd); O(log n) for 1-D compact kernels; O(1) on a grid",
    "sample": "O(d) per row, O(d^2) with a full H",
}


@catalogued(examples=_examples, dims=(1, 2, 3), cost=_COST)
class KernelDensity(DensityEstimator):
    r"""Kernel density estimate with a full bandwidth matrix.

    .. math:: \hat p(x) = \frac{1}{n\,|H|^{1/2}} \sum_{i=1}^{n} K\!\left(H^{-1/2}(x - x_i)\right)

    Parameters
    ----------
    bandwidth : {"scott", "silverman", "ucv"}, float, array_like of shape (d,) or (d, d)
        A rule, or the bandwidth itself. A number h, in units of the data, means H = h^2 I. An array (d,)
        holds one bandwidth per axis, H = diag(h_1^2, ..., h_d^2). A matrix (d, d) is H, in squared units.

        The rules scale with the data: H = c^2 times the full sample covariance, with c from
        :func:`normal_reference` ("scott", "silverman": the bandwidths of scipy's gaussian_kde) or with the c
        that has the least :func:`ucv_risk` ("ucv": unbiased cross-validation, O(n^2 d)). That risk is a
        Gaussian kernel's; the other kernels get its canonical equivalent.
    kernel : {"gaussian", "epanechnikov", "box"}
        K, radial: it depends on u only through its length. Epanechnikov's is proportional to
        1 - \|u\|^2 and the box is constant, both for \|u\| <= 1: h is a radius there, and a standard
        deviation for the Gaussian.
    method : {"exact", "grid"}
        "exact" adds up every kernel that can change the last digit of the sum. "grid", for the Gaussian
        kernel in one or two dimensions, bins the data with cubic splines on a grid of six cells per
        bandwidth, convolves by FFT and interpolates: the error in log-density is below 3e-3, and below 3e-4
        for 99 % of queries from the same law (1e-5 from n = 100,000). The exact sum is used off the grid, and
        where the density is below 1e-9 of its maximum or that of one kernel three bandwidths away.
    dtype : {"float64", "float32"}
        Precision of the exact Gaussian sum. float32 is about twice as fast; its error in log-density,
        relative where that exceeds one, is about 1e-5 and below 1e-4. Results are float64 always.

    Attributes
    ----------
    bandwidth_ : ndarray of shape (d, d)
        The bandwidth matrix H.
    data_ : ndarray of shape (n, d)
        The training data.
    n_features_in_ : int
        Number of columns d.

    Raises
    ------
    ValueError
        From ``fit``: an unknown option; a bandwidth that is not positive (definite), finite and of the right
        shape; a rule that cannot choose (one row, constant or collinear columns, repeated values for "ucv");
        a grid in more than two dimensions, for another kernel, or too large.

    Notes
    -----
    Beyond a compact kernel's reach ``log_prob`` is minus infinity. Far from the data a Gaussian's is exact:
    no sum underflows. Taught in :ref:`kde`.

    References
    ----------
    Rosenblatt (1956); Parzen (1962); Silverman (1986); Wand and Jones (1995); Marron and Nolan (1988) for
    canonical kernels; Wand (1994) for binning.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(500, 1))
    >>> model = KernelDensity("silverman").fit(X)
    >>> model.log_prob([[0.0]]).round(2)
    array([-1.01])
    >>> model.sample(3, random_state=0).shape
    (3, 1)
    """

    likelihood = Likelihood.EXACT

    def __init__(
        self,
        bandwidth: str | float | ArrayLike = "scott",
        *,
        kernel: Kernel = "gaussian",
        method: Literal["exact", "grid"] = "exact",
        dtype: Literal["float64", "float32"] = "float64",
    ):
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.method = method
        self.dtype = dtype

    def fit(self, X: ArrayLike, y: object = None) -> KernelDensity:
        """Keep the data and choose the bandwidth matrix.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Training data.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        KernelDensity
            The fitted model.
        """
        X = self._training_data(X)
        self._check_options(X.shape[1])
        self.data_ = X.copy()
        self._centre = X.mean(axis=0)
        self._root = self._choose_root(X)
        self.bandwidth_ = self._root @ self._root.T
        z = _whiten(X - self._centre, self._root)
        if not (z.max() < _FAR and z.min() > -_FAR):
            raise ValueError(f"`bandwidth` {self.bandwidth!r} is too small for data with a range this large")
        self._engine = self._build(z)
        return self

    def log_prob(self, x: ArrayLike) -> Array:
        """Log-density of each row of `x`.

        Parameters
        ----------
        x : array_like of shape (n, d)
            Points at which to evaluate.

        Returns
        -------
        ndarray of shape (n,)
            Log-density in nats; minus infinity beyond a compact kernel's reach.
        """
        x = self._query(x)
        q = np.clip(_whiten(x - self._centre, self._root), -_FAR, _FAR)
        n, d = self.data_.shape
        log_norm = np.log(n) + np.log(self._root.diagonal()).sum() - _log_kernel_constant(self.kernel, d)
        return self._log_kernel_sums(q) - log_norm

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Array:
        """Draw from the estimate, exactly: a training row at random plus a draw from the kernel.

        Parameters
        ----------
        n_samples : int
            Number of rows.
        random_state : int, RandomState or None
            Where the randomness comes from.

        Returns
        -------
        ndarray of shape (n_samples, d)
            Independent draws. Their covariance is that of the data (divided by n) plus H for the Gaussian
            kernel, H / (d + 4) for Epanechnikov's and H / (d + 2) for the box.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"`n_samples` must be >= 1, got {n_samples!r}")
        rng = check_random_state(random_state)
        n, d = self.data_.shape
        rows = rng.randint(n, size=n_samples)
        return self.data_[rows] + _draw_kernel(self.kernel, n_samples, d, rng) @ self._root.T

    def _check_options(self, d: int) -> None:
        for name, allowed in (
            ("kernel", get_args(Kernel)),
            ("method", ("exact", "grid")),
            ("dtype", tuple(_FLOOR)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` must be one of {allowed}, got {getattr(self, name)!r}")
        if self.method == "grid" and self.kernel != "gaussian":
            raise ValueError(
                f"method='grid' is for the Gaussian kernel, got kernel={self.kernel!r}: use 'exact'"
            )
        if self.method == "grid" and d > 2:
            raise ValueError(
                f"method='grid' works in one or two dimensions, got {d} columns: use method='exact'"
            )
        if self.dtype == "float32" and (self.method == "grid" or self.kernel != "gaussian"):
            raise ValueError("dtype='float32' is for the exact Gaussian sum only: leave it at 'float64'")

    def _choose_root(self, X: Array) -> Array:
        d = X.shape[1]
        if not isinstance(self.bandwidth, str):
            return _bandwidth_root(self.bandwidth, d)
        if self.bandwidth not in ("scott", "silverman", "ucv"):
            raise ValueError(
                f"`bandwidth` must be 'scott', 'silverman', 'ucv', a number, an array of shape ({d},) "
                f"or a matrix of shape ({d}, {d}), got {self.bandwidth!r}"
            )
        root = _covariance_root(X)
        if self.bandwidth == "ucv":
            z = _whiten(X - self._centre, root)
            return _ucv_factor(z) * _canonical_ratio(self.kernel, d) * root
        return _reference_factor(self.bandwidth, X.shape, self.kernel) * root

    def _build(self, z: Array) -> Any:
        """Build what answers queries: blocks, a sorted sample, a tree or a grid."""
        if self.method == "grid":
            return _Grid.build(z)
        if self.kernel == "gaussian":
            return _Blocks.build(z, self.dtype)
        if z.shape[1] == 1:
            return _Sorted.build(z[:, 0])
        return cKDTree(z) if self.kernel == "box" else _Blocks.build(z, "float64")

    def _log_kernel_sums(self, q: Array) -> Array:
        """Logarithm of sum_i K(q - z_i) / K(0) for whitened queries."""
        if isinstance(self._engine, _Grid):
            out = self._engine(q)
            beyond = np.isnan(out)
            if beyond.any():
                blocks = _Blocks.build(_whiten(self.data_ - self._centre, self._root), "float64")
                out[beyond] = _log_gaussian_sums(q[beyond], blocks)
            return out
        if self.kernel == "gaussian":
            return _log_gaussian_sums(q, self._engine)
        with np.errstate(divide="ignore"):  # log 0 = -inf is the right answer beyond the kernel's reach
            return np.log(self._compact_sums(q))

    def _compact_sums(self, q: Array) -> Array:
        if isinstance(self._engine, _Sorted):
            if self.kernel == "epanechnikov":
                return self._engine.epanechnikov(q[:, 0])
            low, high = self._engine.window(q[:, 0])
            return (high - low).astype(np.float64)
        if self.kernel == "box":
            return np.asarray(self._engine.query_ball_point(q, 1.0, return_length=True), dtype=np.float64)
        return _epanechnikov_sums(q, self._engine)


def _draw_kernel(kernel: Kernel, n: int, d: int, rng: np.random.RandomState) -> Array:
    """Draws from the kernel itself.

    Uniform points of the ball in d + 2 dimensions, seen in their first d coordinates, have a density
    proportional to 1 - |u|^2: Epanechnikov's.
    """
    if kernel == "gaussian":
        return rng.standard_normal((n, d))
    dim = d if kernel == "box" else d + 2
    direction = rng.standard_normal((n, dim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return (direction * rng.random_sample((n, 1)) ** (1 / dim))[:, :d]


# ----------------------------------------------------------------------------------------------
# The error itself, in closed form, where the truth is a mixture of normals


def mixture_mise(
    n: int,
    bandwidth: float,
    *,
    weights: ArrayLike = (1.0,),
    means: ArrayLike = ((0.0,),),
    sds: ArrayLike = (1.0,),
) -> float:
    r"""Exact mean integrated squared error of a Gaussian kernel estimate, for a mixture of normals.

    .. math::
        \mathrm{MISE}(h) = \frac{1}{n (4\pi)^{d/2} h^d}
        + w^\top \left[(1 - \tfrac1n)\,\Omega_2 - 2\,\Omega_1 + \Omega_0\right] w, \qquad
        (\Omega_a)_{jk} = \mathcal N\!\left(\mu_j - \mu_k;\, 0, (a h^2 + s_j^2 + s_k^2) I\right)

    Parameters
    ----------
    n : int
        Sample size.
    bandwidth : float
        h, in units of the data: H = h^2 I.
    weights : array_like of shape (k,)
        Weights of the components, summing to one.
    means : array_like of shape (k, d)
        Their means.
    sds : array_like of shape (k,)
        Their standard deviations, the same along every axis.

    Returns
    -------
    float
        The MISE, in units of density. With ``bandwidth=inf`` it is the integral of the squared density.

    Raises
    ------
    ValueError
        If a shape does not fit, or `n`, `bandwidth` or `sds` is not positive.

    References
    ----------
    Marron and Wand (1992), theorem 2.1.

    Notes
    -----
    Taught in :ref:`kde`.
    """
    w, mu, s = (np.asarray(a, dtype=np.float64) for a in (weights, means, sds))
    if mu.ndim != 2 or w.shape != (len(mu),) or s.shape != (len(mu),):
        raise ValueError(
            f"weights (k,), means (k, d) and sds (k,) must fit, got {w.shape}, {mu.shape}, {s.shape}"
        )
    if n < 1 or not bandwidth > 0 or np.any(s <= 0):
        raise ValueError(f"`n`, `bandwidth` and `sds` must be positive, got {n}, {bandwidth} and {sds!r}")
    d = mu.shape[1]
    gap = ((mu[:, None] - mu[None]) ** 2).sum(axis=-1)  # (k, k)

    def omega(a: float) -> float:
        if a and np.isinf(bandwidth):
            return 0.0
        variance = (a * bandwidth**2 if a else 0.0) + s[:, None] ** 2 + s[None] ** 2
        return float(w @ (np.exp(-0.5 * gap / variance) / (2 * np.pi * variance) ** (d / 2)) @ w)

    own = np.exp(_log_roughness("gaussian", d) - d * np.log(bandwidth)) / n
    return float(own + (1 - 1 / n) * omega(2) - 2 * omega(1) + omega(0))


def optimal_bandwidth(
    n: int,
    *,
    weights: ArrayLike = (1.0,),
    means: ArrayLike = ((0.0,),),
    sds: ArrayLike = (1.0,),
) -> float:
    """Bandwidth with the least :func:`mixture_mise`: what an oracle that knows the law would choose.

    Parameters
    ----------
    n : int
        Sample size.
    weights : array_like of shape (k,)
        Weights of the components.
    means : array_like of shape (k, d)
        Their means.
    sds : array_like of shape (k,)
        Their standard deviations.

    Returns
    -------
    float
        The bandwidth h, in units of the data.

    References
    ----------
    Marron and Wand (1992).

    Notes
    -----
    Taught in :ref:`kde`.
    """
    d, s = np.shape(means)[1], np.asarray(sds, dtype=np.float64)

    def risk(log_h: float) -> float:
        return mixture_mise(n, float(np.exp(log_h)), weights=weights, means=means, sds=sds)

    rate = n ** (-1 / (d + 4))
    scan = np.log(np.geomspace(0.1 * rate * s.min(), 10 * rate * (s.max() + np.ptp(means)), 60))
    best = int(np.argmin([risk(t) for t in scan]))
    low, high = scan[max(best - 1, 0)], scan[min(best + 1, len(scan) - 1)]
    found = minimize_scalar(risk, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    return float(np.exp(found.x))
