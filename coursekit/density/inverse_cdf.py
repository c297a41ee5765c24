"""Sampling by inverting distribution functions, from one dimension to the unit cube.

Four tools, each a sampler: :func:`invert_cdf` turns any distribution function on the line into
quantiles, :class:`AliasTable` draws from a discrete law in constant time, :class:`Rosenblatt` maps a
d-dimensional law to the unit cube and back, and two estimators show the tools at work:
:class:`EmpiricalCDF`, which has no density, and :class:`Gaussian`, the first parametric model.

Taught in :ref:`inverse_cdf`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from scipy.special import logsumexp, ndtr, ndtri
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from coursekit.base import DensityEstimator, Likelihood, catalogued

__all__ = [
    "AliasTable",
    "Conditional",
    "EmpiricalCDF",
    "Gaussian",
    "InverseCDF",
    "Rosenblatt",
    "generalized_inverse",
    "invert_cdf",
    "invert_survival",
]

Array = NDArray[np.float64]
Function = Callable[[Array], ArrayLike]
RandomState = int | np.random.Generator | np.random.RandomState | None

_LARGEST = np.finfo(float).max / 16  # brackets stop growing here, far from overflow
_ROUNDING = 1e-8  # a computed distribution function may be this far from monotone, and from [0, 1]
_LOG_2PI = float(np.log(2 * np.pi))


def _levels(u: ArrayLike, name: str = "u") -> Array:
    """Probability levels as a float64 array, or an error that names what is wrong."""
    levels = np.asarray(u, dtype=float)
    bad = ~((levels >= 0) & (levels <= 1))  # written so that NaN is bad
    if bad.any():
        raise ValueError(
            f"{name} must hold probabilities between 0 and 1, got {levels[bad].flat[0]} "
            f"({np.count_nonzero(bad)} of {levels.size} values are outside)"
        )
    return levels


def _uniform(n_samples: int, shape: tuple[int, ...], random_state: RandomState) -> Array:
    """Uniform draws from the open interval (0, 1): 0 would be sent to minus infinity."""
    if isinstance(n_samples, bool) or not isinstance(n_samples, int | np.integer) or n_samples < 1:
        raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}")
    u = np.random.default_rng(random_state).random((n_samples, *shape))
    return np.maximum(u, 2.0**-54)


def generalized_inverse(points: ArrayLike, cumulative: ArrayLike, u: ArrayLike) -> Array:
    r"""Generalized inverse of a step distribution function, exactly.

    .. math:: F^-(u) = \inf\{x : F(x) \ge u\}, \qquad F^-(u) \le x \iff u \le F(x).

    Parameters
    ----------
    points : array_like of shape (m,)
        Where `F` jumps, in increasing order.
    cumulative : array_like of shape (m,)
        Value of `F` at each point: non-decreasing, its last value 1. Equal neighbours (a point
        without mass) are allowed.
    u : array_like
        Probability levels in [0, 1], any shape.

    Returns
    -------
    ndarray
        Quantiles, of the shape of `u`. As the definition says, level 0 gives minus infinity.

    Raises
    ------
    ValueError
        If the points do not increase, `cumulative` is no distribution function, or `u` leaves [0, 1].

    Notes
    -----
    Taught in :ref:`inverse_cdf`.

    References
    ----------
    .. [1] L. Devroye (1986). Non-Uniform Random Variate Generation, chapter 2 and 3. Springer.

    Examples
    --------
    A coin: the level 0.5 is still "tails".

    >>> generalized_inverse([0, 1], [0.5, 1.0], [0.1, 0.5, 0.50001, 1.0])
    array([0., 0., 1., 1.])
    """
    jumps, values = np.asarray(points, dtype=float), np.asarray(cumulative, dtype=float)
    if jumps.ndim != 1 or jumps.shape != values.shape or jumps.size == 0:
        raise ValueError(
            "points and cumulative must be one-dimensional and of equal length, "
            f"got {jumps.shape} and {values.shape}"
        )
    if not (np.diff(jumps) > 0).all():
        raise ValueError("points must increase strictly and hold no NaN: sort them and merge equal ones")
    if not (np.diff(values) >= 0).all() or values[0] < 0 or not abs(values[-1] - 1) <= _ROUNDING:
        raise ValueError(f"cumulative must not decrease and must end at 1, got {values}")
    levels = _levels(u)
    first = np.minimum(np.searchsorted(values, levels, side="left"), jumps.size - 1)
    return np.where(levels > 0, jumps[first], -np.inf)


def invert_cdf(
    cdf: Function,
    u: ArrayLike,
    *,
    bracket: tuple[ArrayLike, ArrayLike] = (-1.0, 1.0),
    tolerance: float = 1e-12,
) -> Array:
    r"""Generalized inverse of any distribution function on the line, numerically.

    Finds :math:`F^-(u) = \inf\{x : F(x) \ge u\}` for all levels at once. A bracket with
    :math:`F(a) < u \le F(b)` is grown by doubling steps and then shrunk; its right end is returned, so
    that atoms and flat stretches of `F` are treated as the definition asks. For every level

    .. math:: 0 \le x - F^-(u) \le \mathrm{tolerance} \cdot \max(1, |x|)

    as far as `cdf` is computed without error: an error :math:`\varepsilon` of `cdf` at a point with density
    :math:`f` adds about :math:`\varepsilon / f` (in the upper tail use :func:`invert_survival`).

    Parameters
    ----------
    cdf : callable
        The distribution function. It gets an array of the shape of `u` and returns one of that shape;
        entry i may follow a law of its own, as the conditional laws of :class:`Rosenblatt` do.
    u : array_like
        Probability levels in [0, 1], any shape.
    bracket : pair of array_like, default=(-1.0, 1.0)
        A guess at where the quantiles are, scalars or arrays of the shape of `u`. It need not be right.
    tolerance : float, default=1e-12
        Largest error, absolute below 1 and relative above.

    Returns
    -------
    ndarray
        Quantiles, of the shape of `u`. Level 0 gives minus infinity, as the definition says.

    Raises
    ------
    ValueError
        If `u` leaves [0, 1], if `cdf` returns NaN, a wrong shape or a value outside [0, 1], if it is seen
        to decrease, or if it never comes down to or up to the level. Only points that the search visits are
        seen: this is no proof of monotonicity.

    Notes
    -----
    Bisection needs :math:`\lceil \log_2 (b - a)/\mathrm{tolerance} \rceil` evaluations for a bracket
    :math:`[a, b]`, whatever the shape of `cdf`; all levels are halved together.
    Taught in :ref:`inverse_cdf`.

    References
    ----------
    .. [1] L. Devroye (1986). Non-Uniform Random Variate Generation, section 2.2. Springer.

    Examples
    --------
    >>> from scipy.stats import norm
    >>> print(invert_cdf(norm.cdf, [0.025, 0.5, 0.975]).round(6))
    [-1.959964  0.        1.959964]
    """
    levels = _levels(u)
    function = _checked(cdf, "cdf", levels.shape)
    result = _first_reaching(function, np.where(levels > 0, levels, 0.5), bracket, tolerance, "cdf")
    return np.where(levels > 0, result, -np.inf)


def invert_survival(
    survival: Function,
    q: ArrayLike,
    *,
    bracket: tuple[ArrayLike, ArrayLike] = (-1.0, 1.0),
    tolerance: float = 1e-12,
) -> Array:
    r"""Generalized inverse from the upper tail: the smallest x with survival function at most `q`.

    With :math:`S = 1 - F` this is :math:`\inf\{x : S(x) \le q\} = F^-(1 - q)`. Use it for upper tails: no
    float lies between :math:`1 - 10^{-16}` and 1, but :math:`q = 10^{-300}` is a float like any other.

    Parameters
    ----------
    survival : callable
        The survival function, from arrays of the shape of `q` to arrays of that shape.
    q : array_like
        Probabilities of exceedance in [0, 1], any shape.
    bracket : pair of array_like, default=(-1.0, 1.0)
        A guess at where the quantiles are.
    tolerance : float, default=1e-12
        Largest error, absolute below 1 and relative above.

    Returns
    -------
    ndarray
        Quantiles, of the shape of `q`; probability 1 gives minus infinity.

    Raises
    ------
    ValueError
        As :func:`invert_cdf`.

    Notes
    -----
    Taught in :ref:`inverse_cdf`.

    Examples
    --------
    >>> from scipy.stats import norm
    >>> print(invert_survival(norm.sf, [0.5, 1e-20, 1e-300]).round(6))
    [ 0.        9.26234  37.047096]
    """
    exceedance = _levels(q, "q")
    function = _checked(survival, "survival", exceedance.shape)
    target = np.where(exceedance < 1, exceedance, 0.5)
    result = _first_reaching(lambda x: -function(x), -target, bracket, tolerance, "survival")
    return np.where(exceedance < 1, result, -np.inf)


def _checked(function: Function, name: str, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    """Wrap a distribution or survival function: what it returns is a probability, or an error says so."""

    def checked(x: Array) -> Array:
        values = np.asarray(function(x), dtype=float)
        if values.shape != shape:
            raise ValueError(
                f"{name} must return an array of shape {shape}, like its argument, got {values.shape}"
            )
        bad = ~((values >= -_ROUNDING) & (values <= 1 + _ROUNDING))
        if bad.any():
            raise ValueError(
                f"{name} must return probabilities between 0 and 1, got {values[bad][0]} at x = {x[bad][0]}"
            )
        return values

    return checked


def _first_reaching(
    function: Callable[[Array], Array],
    target: Array,
    bracket: tuple[ArrayLike, ArrayLike],
    tolerance: float,
    name: str,
) -> Array:
    """Smallest x with function(x) >= target, for a non-decreasing function and one target per entry."""
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance}")
    lo, hi = (np.array(np.broadcast_to(np.asarray(end, dtype=float), target.shape)) for end in bracket)
    if not (np.isfinite(lo) & np.isfinite(hi) & (lo < hi)).all():
        raise ValueError(f"bracket must be two finite ends, the lower one first, got {bracket}")
    lo, f_lo, hi, f_hi = _grow(function, target, lo, hi, name)
    below, above = f_lo >= target, f_hi < target  # the level is not reached within the floats
    _must_be_reached(np.where(below, f_lo, f_hi), target, below | above, name)
    solved = _bisect(function, target, lo, f_lo, hi, f_hi, tolerance, name)
    return np.where(below, -np.inf, np.where(above, np.inf, solved))


def _grow(
    function: Callable[[Array], Array], target: Array, lo: Array, hi: Array, name: str
) -> tuple[Array, Array, Array, Array]:
    """Move the ends outwards by doubling steps until function(lo) < target <= function(hi)."""
    f_lo, f_hi = function(lo), function(hi)
    _must_not_decrease(lo, f_lo, hi, f_hi, name)
    step = hi - lo
    while (outside := (f_lo >= target) & (lo > -_LARGEST)).any():
        hi, f_hi = np.where(outside, lo, hi), np.where(outside, f_lo, f_hi)  # the old end still bounds
        lo = np.where(outside, np.maximum(lo - step, -_LARGEST), lo)
        f_lo = function(lo)
        _must_not_decrease(lo, f_lo, hi, f_hi, name)
        step = np.where(outside, 2 * step, step)
    step = hi - lo
    while (outside := (f_hi < target) & (hi < _LARGEST)).any():
        lo, f_lo = np.where(outside, hi, lo), np.where(outside, f_hi, f_lo)
        hi = np.where(outside, np.minimum(hi + step, _LARGEST), hi)
        f_hi = function(hi)
        _must_not_decrease(lo, f_lo, hi, f_hi, name)
        step = np.where(outside, 2 * step, step)
    return lo, f_lo, hi, f_hi


def _bisect(
    function: Callable[[Array], Array],
    target: Array,
    lo: Array,
    f_lo: Array,
    hi: Array,
    f_hi: Array,
    tolerance: float,
    name: str,
) -> Array:
    """Halve brackets with function(lo) < target <= function(hi); return their right ends."""
    while (hi - lo > _wanted_width(lo, hi, tolerance)).any():
        middle = lo + (hi - lo) / 2
        value = function(middle)
        _must_not_decrease(lo, f_lo, middle, value, name)
        _must_not_decrease(middle, value, hi, f_hi, name)
        right = value >= target
        lo, f_lo = np.where(right, lo, middle), np.where(right, f_lo, value)
        hi, f_hi = np.where(right, middle, hi), np.where(right, value, f_hi)
    return hi


def _wanted_width(lo: Array, hi: Array, tolerance: float) -> Array:
    """Width at which a bracket is narrow enough: absolute below 1, relative above, no finer than floats."""
    near, far = np.minimum(abs(lo), abs(hi)), np.maximum(abs(lo), abs(hi))
    return np.maximum(tolerance * np.maximum(1.0, near), 2 * np.spacing(far))


def _must_be_reached(value: Array, target: Array, missed: NDArray[np.bool_], name: str) -> None:
    """Raise if a level lies outside the range of the function by more than rounding."""
    far = missed & (abs(value - target) > _ROUNDING)
    if far.any():
        raise ValueError(
            f"{name} never reaches the level {abs(target[far][0])}: at the far end of the line it is "
            f"{abs(value[far][0])}. A distribution function goes from 0 to 1"
        )


def _must_not_decrease(left: Array, f_left: Array, right: Array, f_right: Array, name: str) -> None:
    """Raise if a function was seen to go the wrong way between two points."""
    wrong = f_right < f_left - _ROUNDING
    if wrong.any():
        way = "decreases" if name == "cdf" else "increases"
        raise ValueError(
            f"{name} {way} from {abs(f_left[wrong][0])} at x = {left[wrong][0]} to {abs(f_right[wrong][0])} "
            f"at x = {right[wrong][0]}: it has no inverse"
        )


class InverseCDF:
    """Sampler for any law on the line that is given by its distribution function.

    Parameters
    ----------
    cdf : callable
        Distribution function, elementwise on arrays.
    bracket : pair of float, default=(-1.0, 1.0)
        A guess at where the mass is; the search grows it.
    tolerance : float, default=1e-12
        Largest error of a quantile, absolute below 1 and relative above.

    See Also
    --------
    invert_cdf : the function that does the work, with the error bound.

    Notes
    -----
    Taught in :ref:`inverse_cdf`.

    Examples
    --------
    A law with an atom: half of the time 0, otherwise exponential.

    >>> rain = InverseCDF(lambda x: np.where(x < 0, 0.0, 1 - 0.5 * np.exp(-np.maximum(x, 0))))
    >>> rain.ppf([0.3, 0.5, 0.75]).round(6)
    array([0.      , 0.      , 0.693147])
    """

    def __init__(
        self, cdf: Function, *, bracket: tuple[float, float] = (-1.0, 1.0), tolerance: float = 1e-12
    ):
        self.cdf = cdf
        self.bracket = bracket
        self.tolerance = tolerance

    def ppf(self, u: ArrayLike) -> Array:
        """Quantiles at the levels `u`, elementwise.

        Parameters
        ----------
        u : array_like
            Levels in [0, 1].

        Returns
        -------
        ndarray
            Quantiles, of the shape of `u`.
        """
        return invert_cdf(self.cdf, u, bracket=self.bracket, tolerance=self.tolerance)

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> Array:
        """Draw from the law: quantiles at uniform levels.

        Parameters
        ----------
        n_samples : int, default=1
            How many draws.
        random_state : int, Generator, RandomState or None, default=None
            Source of randomness.

        Returns
        -------
        ndarray of shape (n_samples, 1)
            The draws.
        """
        return self.ppf(_uniform(n_samples, (1,), random_state))


class AliasTable:
    r"""Constant-time sampler for a discrete law on 0, ..., K - 1: the alias method.

    The law is cut into K columns of equal mass 1/K, and each column holds at most two outcomes: its own
    with probability ``accept_[i]`` and ``alias_[i]`` otherwise. A draw picks a column, then one of its two:

    .. math:: p_i = \frac1K \Bigl( a_i + \sum_{j\,:\,\mathrm{alias}_j = i} (1 - a_j) \Bigr).

    Parameters
    ----------
    weights : array_like of shape (K,)
        Non-negative weights, not all zero; they are divided by their sum.

    Attributes
    ----------
    pmf : ndarray of shape (K,)
        The probabilities asked for.
    accept_ : ndarray of shape (K,)
        Probability that column i gives i.
    alias_ : ndarray of shape (K,), int
        What column i gives otherwise.

    Raises
    ------
    ValueError
        If the weights are negative, not finite, all zero or not one-dimensional.

    Notes
    -----
    Building costs O(K), a draw O(1): two uniform numbers, one comparison.
    Taught in :ref:`inverse_cdf`.

    References
    ----------
    .. [1] A. J. Walker (1977). An efficient method for generating discrete random variables with general
       distributions. ACM Transactions on Mathematical Software 3(3), 253-256.
    .. [2] M. D. Vose (1991). A linear algorithm for generating random numbers with a given distribution.
       IEEE Transactions on Software Engineering 17(9), 972-975.

    Examples
    --------
    >>> table = AliasTable([1, 2, 3, 4])
    >>> table.law().round(15)
    array([0.1, 0.2, 0.3, 0.4])
    """

    def __init__(self, weights: ArrayLike):
        w = np.asarray(weights, dtype=float)
        if w.ndim != 1 or w.size == 0:
            raise ValueError(f"weights must be a non-empty one-dimensional array, got shape {w.shape}")
        if not np.isfinite(w).all() or (w < 0).any() or w.max() == 0:
            raise ValueError(f"weights must be finite, non-negative and not all zero, got {w}")
        w = w / w.max()  # so that the sum cannot overflow
        self.pmf: Array = w / w.sum()
        self.accept_, self.alias_ = self._build(self.pmf)

    @staticmethod
    def _build(pmf: Array) -> tuple[Array, NDArray[np.int64]]:
        """Fill one column at a time: a poor outcome takes what it lacks from a rich one."""
        mass = (pmf * pmf.size).tolist()  # in units of one column
        accept, alias = [1.0] * pmf.size, list(range(pmf.size))
        poor = [i for i, m in enumerate(mass) if m < 1]
        rich = [i for i, m in enumerate(mass) if m >= 1]
        while poor and rich:
            i, j = poor.pop(), rich[-1]
            accept[i], alias[i] = mass[i], j
            mass[j] -= 1 - mass[i]  # column i is full now; j gave what was missing
            if mass[j] < 1:
                poor.append(rich.pop())
        for i in (*poor, *rich):  # exactly 1 but for rounding
            accept[i] = 1.0
        return np.array(accept), np.array(alias, dtype=np.int64)

    def law(self) -> Array:
        """Probabilities that the finished table really draws with.

        Returns
        -------
        ndarray of shape (K,)
            Equal to ``pmf`` up to rounding.
        """
        given = np.bincount(self.alias_, weights=1 - self.accept_, minlength=self.pmf.size)
        return (self.accept_ + given) / self.pmf.size

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> NDArray[np.int64]:
        """Draw outcomes.

        Parameters
        ----------
        n_samples : int, default=1
            How many draws.
        random_state : int, Generator, RandomState or None, default=None
            Source of randomness.

        Returns
        -------
        ndarray of shape (n_samples,), int
            Outcomes between 0 and K - 1.
        """
        rng = np.random.default_rng(random_state)
        threshold = _uniform(n_samples, (), rng)
        column = rng.integers(self.pmf.size, size=n_samples)
        return np.where(threshold <= self.accept_[column], column, self.alias_[column])


class Conditional(Protocol):
    """Law of one coordinate given those before it: what :class:`Rosenblatt` is made of.

    `x` and `u` have shape (n,), `given` has shape (n, i) and holds the i coordinates before; each method
    returns an array of shape (n,).
    """

    def cdf(self, x: Array, given: Array) -> Array:
        """Probability of at most `x`."""

    def ppf(self, u: Array, given: Array) -> Array:
        """Quantile at level `u`."""

    def logpdf(self, x: Array, given: Array) -> Array:
        """Log-density at `x` in nats."""


class Rosenblatt:
    r"""Map a d-dimensional law to the uniform law on the unit cube, one coordinate at a time.

    .. math:: u_i = F_i(x_i \mid x_1, \dots, x_{i-1}), \qquad
        \log\Bigl|\det \frac{\partial u}{\partial x}\Bigr| = \sum_i \log p_i(x_i \mid x_{<i}) = \log p(x).

    Forward is data to latent. The Jacobian is triangular, its log-determinant is the log-density itself.

    Parameters
    ----------
    conditionals : sequence of Conditional
        Object i gives ``cdf(x, given)``, ``ppf(u, given)`` and ``logpdf(x, given)`` of coordinate i given
        the i coordinates before it.
    order : sequence of int, optional
        Column that each conditional speaks of; 0, 1, ..., d - 1 when left out. Every order gives the same
        density and another map.

    Raises
    ------
    ValueError
        If there is no conditional, or `order` is no permutation.

    Notes
    -----
    Taught in :ref:`inverse_cdf`.

    References
    ----------
    .. [1] M. Rosenblatt (1952). Remarks on a multivariate transformation. Annals of Mathematical Statistics
       23(3), 470-472.

    Examples
    --------
    >>> law = Rosenblatt.gaussian([0.0, 0.0], [[1.0, 0.8], [0.8, 1.0]])
    >>> u, log_det = law.forward_and_log_det([[0.0, 0.0], [1.0, 0.8]])
    >>> u.round(4)
    array([[0.5   , 0.5   ],
           [0.8413, 0.5   ]])
    >>> bool(np.allclose(law.inverse(u), [[0.0, 0.0], [1.0, 0.8]]))
    True
    """

    likelihood = Likelihood.EXACT

    def __init__(self, conditionals: Sequence[Conditional], *, order: Sequence[int] | None = None):
        self.conditionals = list(conditionals)
        if not self.conditionals:
            raise ValueError("conditionals must hold at least one conditional law, got none")
        self.order = _permutation(order, len(self.conditionals))

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.conditionals)

    def _rows(self, x: ArrayLike, name: str) -> Array:
        rows = np.asarray(x, dtype=float)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ValueError(f"{name} must have shape (n, {self.dim}), got {rows.shape}")
        if np.isnan(rows).any():
            raise ValueError(f"{name} holds NaN: drop or impute those rows first")
        return rows

    def forward_and_log_det(self, x: ArrayLike) -> tuple[Array, Array]:
        """Points to the unit cube, with the log-determinant of the Jacobian.

        Parameters
        ----------
        x : array_like of shape (n, d)
            Points.

        Returns
        -------
        u : ndarray of shape (n, d)
            Coordinates in the unit cube: column j belongs to column j of `x`. Uniform and independent when
            `x` follows the law.
        log_det : ndarray of shape (n,)
            Log-determinant, in nats: the log-density of `x`.
        """
        x = self._rows(x, "x")
        u, log_det = np.empty_like(x), np.zeros(len(x))
        for i, column in enumerate(self.order):
            given = x[:, self.order[:i]]  # (n, i)
            u[:, column] = self.conditionals[i].cdf(x[:, column], given)
            log_det += self.conditionals[i].logpdf(x[:, column], given)
        return u, log_det

    def inverse(self, u: ArrayLike) -> Array:
        """Points of the unit cube back to data: coordinate after coordinate, d steps in a row.

        Parameters
        ----------
        u : array_like of shape (n, d)
            Points of the unit cube.

        Returns
        -------
        ndarray of shape (n, d)
            Points; level 0 or 1 may give an infinite coordinate, and the rest of such a row is NaN where
            it depends on it.

        Raises
        ------
        ValueError
            If `u` has a wrong shape or leaves the unit cube.
        """
        u = _levels(self._rows(u, "u"))
        x = np.empty_like(u)
        for i, column in enumerate(self.order):
            given = x[:, self.order[:i]]  # (n, i): known already
            x[:, column] = self.conditionals[i].ppf(u[:, column], given)
        return x

    def log_prob(self, x: ArrayLike) -> Array:
        """Log-density, the sum of the conditional ones.

        Parameters
        ----------
        x : array_like of shape (n, d)
            Points.

        Returns
        -------
        ndarray of shape (n,)
            Log-density in nats.
        """
        return self.forward_and_log_det(x)[1]

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> Array:
        """Draw from the law: the inverse at uniform points of the cube.

        Parameters
        ----------
        n_samples : int, default=1
            How many draws.
        random_state : int, Generator, RandomState or None, default=None
            Source of randomness.

        Returns
        -------
        ndarray of shape (n_samples, d)
            The draws.
        """
        return self.inverse(_uniform(n_samples, (self.dim,), random_state))

    @classmethod
    def gaussian(
        cls, mean: ArrayLike, covariance: ArrayLike, *, order: Sequence[int] | None = None
    ) -> Rosenblatt:
        """Rosenblatt transform of a Gaussian, in closed form.

        Parameters
        ----------
        mean : array_like of shape (d,)
            Mean.
        covariance : array_like of shape (d, d)
            Covariance, symmetric and positive definite.
        order : sequence of int, optional
            Order of the coordinates.

        Returns
        -------
        Rosenblatt
            One Gaussian conditional per coordinate.

        Raises
        ------
        ValueError
            If the shapes differ or the covariance is not symmetric and positive definite.
        """
        return cls.gaussian_mixture([1.0], np.asarray(mean)[None], np.asarray(covariance)[None], order=order)

    @classmethod
    def gaussian_mixture(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        *,
        order: Sequence[int] | None = None,
    ) -> Rosenblatt:
        """Rosenblatt transform of a mixture of Gaussians.

        Given the coordinates before, a coordinate follows a one-dimensional mixture whose weights are the
        posterior probabilities of the components; its quantiles come from :func:`invert_cdf` (in closed form
        when there is one component).

        Parameters
        ----------
        weights : array_like of shape (K,)
            Positive, summing to one.
        means : array_like of shape (K, d)
            Means.
        covariances : array_like of shape (K, d, d)
            Covariances, symmetric and positive definite.
        order : sequence of int, optional
            Order of the coordinates.

        Returns
        -------
        Rosenblatt
            One mixture conditional per coordinate.

        Raises
        ------
        ValueError
            If the shapes disagree, the weights are no probabilities, or a covariance is not symmetric and
            positive definite.
        """
        w, mu = np.asarray(weights, dtype=float), np.asarray(means, dtype=float)
        sigma = np.asarray(covariances, dtype=float)
        if mu.ndim != 2 or w.shape != mu.shape[:1] or sigma.shape != (*mu.shape, mu.shape[1]):
            raise ValueError(
                "weights, means and covariances must have shapes (K,), (K, d) and (K, d, d), "
                f"got {w.shape}, {mu.shape} and {sigma.shape}"
            )
        if not (w > 0).all() or not abs(w.sum() - 1) <= _ROUNDING:
            raise ValueError(f"weights must be positive and sum to 1, got {w} with sum {w.sum()}")
        columns = _permutation(order, mu.shape[1])
        mu, sigma = mu[:, columns], sigma[:, columns][:, :, columns]
        regressions = [_regressions(m, s) for m, s in zip(mu, sigma, strict=True)]
        parts = [[component[i] for component in regressions] for i in range(len(columns))]
        return cls(
            [_MixtureConditional(np.log(w / w.sum()), parts[: i + 1]) for i in range(len(columns))],
            order=order,
        )

    @classmethod
    def on_grid(
        cls,
        log_prob: Callable[[Array], ArrayLike],
        bounds: Sequence[tuple[float, float]],
        *,
        n_cells: int | Sequence[int] = 256,
        order: Sequence[int] | None = None,
    ) -> Rosenblatt:
        """Rosenblatt transform of a density that can only be evaluated, by quadrature on a grid.

        The density is taken as constant in each cell, with its value at the centre, and normalized: the
        result is exact for that piecewise constant law and has an error O(cell width squared) in the mass
        of a region as an approximation of a smooth density. Conditional distribution functions are
        piecewise linear, so that their inverses need no iteration.

        Parameters
        ----------
        log_prob : callable
            From points of shape (m, d) to log-densities of shape (m,); need not be normalized.
        bounds : sequence of (float, float)
            Box that holds the mass, one pair per column.
        n_cells : int or sequence of int, default=256
            Cells per column; memory is their product.
        order : sequence of int, optional
            Order of the coordinates.

        Returns
        -------
        Rosenblatt
            One tabulated conditional per coordinate; the density is 0 outside the box.

        Raises
        ------
        ValueError
            If the bounds are not increasing and finite, there is no cell, or the density is NaN, infinite or
            zero on the whole grid.
        """
        box = np.asarray(bounds, dtype=float)
        if (
            box.ndim != 2
            or box.shape[1] != 2
            or not (np.isfinite(box).all() and (box[:, 0] < box[:, 1]).all())
        ):
            raise ValueError(
                f"bounds must be one pair (lower, upper) of finite numbers per column, got {bounds}"
            )
        counts = np.broadcast_to(np.asarray(n_cells), len(box))
        if counts.dtype.kind not in "iu" or (counts < 1).any():
            raise ValueError(f"n_cells must be positive whole numbers, got {n_cells}")
        columns = _permutation(order, len(box))
        edges = [np.linspace(lo, hi, n + 1) for (lo, hi), n in zip(box, counts, strict=True)]
        centres = np.meshgrid(*[(e[1:] + e[:-1]) / 2 for e in edges], indexing="ij")
        values = np.asarray(log_prob(np.stack([c.ravel() for c in centres], axis=1)), dtype=float)
        if values.shape != centres[0].ravel().shape:
            raise ValueError(f"log_prob must return shape {centres[0].ravel().shape}, got {values.shape}")
        if np.isnan(values).any() or not np.isfinite(values.max()):
            raise ValueError(
                "log_prob must be a finite number somewhere in the bounds, and nowhere NaN or +inf"
            )
        mass = np.exp(values - logsumexp(values)).reshape(tuple(counts)).transpose(tuple(columns))
        ordered = [edges[c] for c in columns]
        later = [tuple(range(i + 1, len(columns))) for i in range(len(columns))]
        return cls(
            [_GridConditional(ordered[: i + 1], mass.sum(axis=rest)) for i, rest in enumerate(later)],
            order=order,
        )


def _permutation(order: Sequence[int] | None, dim: int) -> NDArray[np.int64]:
    columns = np.arange(dim) if order is None else np.asarray(order)
    if columns.shape != (dim,) or not np.array_equal(np.sort(columns), np.arange(dim)):
        raise ValueError(f"order must hold each of the columns 0 to {dim - 1} once, got {order}")
    return columns.astype(np.int64)


Regression = tuple[float, Array, Array, float]  # own mean, means before, slopes, conditional deviation


def _regressions(mean: Array, covariance: Array) -> list[Regression]:
    """Each coordinate of a Gaussian as a linear regression on those before it, with its deviation."""
    if not np.allclose(covariance, covariance.T, rtol=1e-8, atol=1e-12 * abs(covariance).max()):
        raise ValueError("covariance must be symmetric")
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            "covariance must be positive definite: is a column constant or a copy of others?"
        ) from error
    slopes = [solve_triangular(root[:i, :i], root[i, :i], lower=True, trans="T") for i in range(len(mean))]
    return [(mean[i], mean[:i], slope, root[i, i]) for i, slope in enumerate(slopes)]


class _MixtureConditional:
    """Coordinate i of a Gaussian mixture given those before it: a one-dimensional Gaussian mixture."""

    def __init__(self, log_weights: Array, regressions: list[list[Regression]]):
        self.log_weights = log_weights
        self.regressions = regressions  # [j][k]: coordinate j, component k; the last one is ours

    @staticmethod
    def _standardized(x: Array, given: Array, regression: Regression) -> Array:
        own, before, slope, deviation = regression
        return (x - own - (given - before) @ slope) / deviation

    def _components(self, given: Array) -> tuple[Array, Array, Array]:
        """Log-weights (n, K), means (n, K) and deviations (K,) of the conditional mixture."""
        log_w = np.tile(self.log_weights, (len(given), 1))  # (n, K)
        if len(self.log_weights) > 1:
            for j, coordinate in enumerate(self.regressions[:-1]):
                for k, regression in enumerate(coordinate):
                    z = self._standardized(given[:, j], given[:, :j], regression)
                    log_w[:, k] -= 0.5 * z * z + np.log(regression[3])
            log_w -= logsumexp(log_w, axis=1, keepdims=True)
        means = np.stack(
            [own + (given - before) @ slope for own, before, slope, _ in self.regressions[-1]], axis=1
        )
        return log_w, means, np.array([regression[3] for regression in self.regressions[-1]])

    def cdf(self, x: Array, given: Array) -> Array:
        log_w, means, deviations = self._components(given)
        return np.minimum((np.exp(log_w) * ndtr((x[:, None] - means) / deviations)).sum(axis=1), 1.0)

    def logpdf(self, x: Array, given: Array) -> Array:
        log_w, means, deviations = self._components(given)
        with np.errstate(over="ignore"):  # far away the square is infinite and the density zero
            z = (x[:, None] - means) / deviations
            return logsumexp(log_w - 0.5 * z * z - np.log(deviations) - 0.5 * _LOG_2PI, axis=1)

    def ppf(self, u: Array, given: Array) -> Array:
        log_w, means, deviations = self._components(given)
        quantiles = means + deviations * ndtri(u)[:, None]  # (n, K): the mixture's lies between them
        if quantiles.shape[1] == 1:
            return quantiles[:, 0]
        w = np.exp(log_w)
        inside = (u > 0) & (u < 1)
        lo = np.where(inside, quantiles.min(axis=1), means.min(axis=1))
        hi = np.where(inside, quantiles.max(axis=1), means.max(axis=1))
        scale = float(deviations.min())
        slack = 1e-9 * scale + 4 * np.spacing(np.maximum(abs(lo), abs(hi)))  # the ends may coincide

        def cdf(x: Array) -> Array:
            return np.minimum((w * ndtr((x[:, None] - means) / deviations)).sum(axis=1), 1.0)

        level, bracket = np.where(inside, u, 0.5), (lo - slack, hi + slack)
        x = invert_cdf(cdf, level, bracket=bracket, tolerance=1e-12 * min(scale, 1.0))
        return np.where(inside, x, np.where(u > 0, np.inf, -np.inf))


class _GridConditional:
    """Coordinate i of a piecewise constant density given the cell of those before it."""

    def __init__(self, edges: list[Array], mass: Array):
        self.before, self.edges = edges[:-1], edges[-1]
        table = mass.reshape(-1, mass.shape[-1])  # one row per cell of the coordinates before
        total = table.sum(axis=1, keepdims=True)
        self.cells = np.where(total > 0, table / np.where(total > 0, total, 1.0), 1.0 / table.shape[1])
        zeros = np.zeros((len(table), 1))
        self.cumulative = np.concatenate([zeros, np.cumsum(self.cells, axis=1)], axis=1)
        self.cumulative /= self.cumulative[:, -1:]

    @staticmethod
    def _cell(x: Array, edges: Array) -> NDArray[np.int64]:
        return np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)

    def _row(self, given: Array) -> NDArray[np.int64]:
        row = np.zeros(len(given), dtype=np.int64)
        for column, edges in enumerate(self.before):
            row = row * (len(edges) - 1) + self._cell(given[:, column], edges)
        return row

    def cdf(self, x: Array, given: Array) -> Array:
        row, cell = self._row(given), self._cell(x, self.edges)
        low, high = self.cumulative[row, cell], self.cumulative[row, cell + 1]
        part = (x - self.edges[cell]) / (self.edges[cell + 1] - self.edges[cell])
        return low + np.clip(part, 0.0, 1.0) * (high - low)

    def logpdf(self, x: Array, given: Array) -> Array:
        row, cell = self._row(given), self._cell(x, self.edges)
        outside = (x < self.edges[0]) | (x > self.edges[-1])
        with np.errstate(divide="ignore"):
            density = np.log(self.cells[row, cell]) - np.log(self.edges[cell + 1] - self.edges[cell])
        return np.where(outside, -np.inf, density)

    def ppf(self, u: Array, given: Array) -> Array:
        row = self._row(given)
        first, last = np.zeros(len(u), dtype=np.int64), np.full(len(u), len(self.edges) - 1)
        while (last - first > 1).any():  # bisection on the knots: cumulative[first] < u <= cumulative[last]
            middle = (first + last) // 2
            reached = self.cumulative[row, middle] >= u
            first, last = np.where(reached, first, middle), np.where(reached, middle, last)
        low, high = self.cumulative[row, first], self.cumulative[row, last]
        part = np.where(high > low, (u - low) / np.where(high > low, high - low, 1.0), 0.0)
        return self.edges[first] + part * (self.edges[last] - self.edges[first])


@catalogued(
    examples=lambda d: [Gaussian(), Gaussian(covariance="diagonal")],
    dims=(1, 2, 5),
    cost={"fit": "O(n d² + d³)", "log_prob": "O(d²)", "sample": "O(d²)"},
)
class Gaussian(DensityEstimator):
    r"""Multivariate Gaussian fitted by maximum likelihood.

    .. math:: \hat\mu = \frac1n \sum_i x_i, \qquad
        \hat\Sigma = \frac1n \sum_i (x_i - \hat\mu)(x_i - \hat\mu)^\top .

    When the data are Gaussian, the integrated squared error of the density falls like 1/n; in one dimension
    n MISE tends to :math:`7 / (16 \sqrt\pi\,\sigma)`. When they are not, it falls to a positive floor.

    Parameters
    ----------
    covariance : {"full", "diagonal"}, default="full"
        Whether the coordinates may be correlated.
    reg_covar : float, default=0.0
        Added to the diagonal of the covariance. Zero is maximum likelihood.

    Attributes
    ----------
    mean_ : ndarray of shape (d,)
        Mean.
    covariance_ : ndarray of shape (d, d)
        Covariance, with the divisor n.

    Notes
    -----
    Taught in :ref:`inverse_cdf`.

    Examples
    --------
    >>> model = Gaussian().fit([[0.0], [2.0]])
    >>> model.mean_, model.covariance_
    (array([1.]), array([[1.]]))
    """

    likelihood = Likelihood.EXACT

    def __init__(self, covariance: Literal["full", "diagonal"] = "full", reg_covar: float = 0.0):
        self.covariance = covariance
        self.reg_covar = reg_covar

    def fit(self, X: ArrayLike, y: object = None) -> Gaussian:
        """Estimate mean and covariance.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Data, at least two rows.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        Gaussian
            The fitted model itself.

        Raises
        ------
        ValueError
            If the data are not finite and two-dimensional, if a parameter is out of range, or if the
            covariance is singular: a constant column, a column that is a linear function of others, or not
            more rows than columns.
        """
        if self.covariance not in ("full", "diagonal"):
            raise ValueError(f"covariance must be 'full' or 'diagonal', got {self.covariance!r}")
        if not (isinstance(self.reg_covar, Real) and 0 <= self.reg_covar < np.inf):
            raise ValueError(f"reg_covar must be a finite number of at least 0, got {self.reg_covar!r}")
        rows = self._training_data(X, at_least=2)
        self.mean_: Array = rows.mean(axis=0)
        centred = rows - self.mean_
        if self.covariance == "full":
            covariance = centred.T @ centred / len(rows)
        else:
            covariance = np.diag(np.mean(centred * centred, axis=0))
        self.covariance_: Array = covariance + self.reg_covar * np.eye(len(self.mean_))
        self._root: Array = _safe_cholesky(self.covariance_, self.mean_, n_samples=len(rows))
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
            Log-density in nats; minus infinity where the square of the distance overflows.
        """
        x = self._query(x)
        with np.errstate(over="ignore"):
            z = solve_triangular(self._root, (x - self.mean_).T, lower=True)  # (d, n)
            squared = np.einsum("dn,dn->n", z, z)
        log_det = np.log(np.diag(self._root)).sum()
        return -0.5 * squared - log_det - 0.5 * x.shape[1] * _LOG_2PI

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> Array:
        """Draw from the fitted Gaussian.

        Parameters
        ----------
        n_samples : int, default=1
            How many draws.
        random_state : int, Generator, RandomState or None, default=None
            Source of randomness.

        Returns
        -------
        ndarray of shape (n_samples, d)
            The draws, in closed form the inverse of :meth:`rosenblatt` at uniform points.
        """
        check_is_fitted(self)
        return self.mean_ + ndtri(_uniform(n_samples, self.mean_.shape, random_state)) @ self._root.T

    def rosenblatt(self, *, order: Sequence[int] | None = None) -> Rosenblatt:
        """Rosenblatt transform of the fitted law.

        Parameters
        ----------
        order : sequence of int, optional
            Order of the coordinates.

        Returns
        -------
        Rosenblatt
            The bijection to the unit cube.
        """
        check_is_fitted(self)
        return Rosenblatt.gaussian(self.mean_, self.covariance_, order=order)


def _safe_cholesky(covariance: Array, mean: Array, *, n_samples: int) -> Array:
    """Cholesky root, or an error that says why there is none."""
    repair = "drop the column, or set reg_covar to a small positive number"
    deviation = np.sqrt(np.diag(covariance))
    constant = ~(deviation > 1e-12 * abs(mean))  # what rounding leaves of a constant column
    if constant.any():
        raise ValueError(
            f"X has a constant column ({np.flatnonzero(constant)[0]}): its density is a spike; {repair}"
        )
    dim = len(covariance)
    try:
        root = np.linalg.cholesky(covariance / np.outer(deviation, deviation))
        singular = np.diag(root).min() < 1e-7  # less than 1e-14 of a variance is left
    except np.linalg.LinAlgError:
        singular = True
    if singular:
        raise ValueError(
            f"the covariance of X ({n_samples} rows, {dim} columns) is singular: a column is a linear "
            f"function of others, or there are too few rows; {repair}"
        )
    return deviation[:, None] * root


@catalogued(
    examples=lambda d: [EmpiricalCDF()],
    dims=(1, 2),
    cost={"fit": "O(n d)", "log_prob": "", "sample": "O(d)"},
)
class EmpiricalCDF(BaseEstimator):
    r"""Empirical distribution function: mass 1/n on every observation.

    .. math:: F_n(x) = \frac1n \#\{i : X_i \le x\} \quad\text{(every coordinate at most that of } x).

    Its likelihood is ``NONE``: the law it describes has atoms and no density.

    Attributes
    ----------
    data_ : ndarray of shape (n, d)
        The observations, sorted when d = 1.

    See Also
    --------
    Gaussian : a density with a fixed shape.

    Notes
    -----
    Taught in :ref:`inverse_cdf`.

    References
    ----------
    .. [1] A. W. van der Vaart (1998). Asymptotic Statistics, chapter 19. Cambridge University Press.

    Examples
    --------
    >>> law = EmpiricalCDF().fit([[3.0], [1.0], [2.0], [2.0]])
    >>> law.cdf([[2.0]]), law.quantile([0.25, 0.26, 1.0])
    (array([0.75]), array([1., 2., 3.]))
    """

    likelihood = Likelihood.NONE

    def fit(self, X: ArrayLike, y: object = None) -> EmpiricalCDF:
        """Keep the observations.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Data.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        EmpiricalCDF
            The fitted model itself.
        """
        rows: Array = validate_data(self, X, dtype=np.float64)
        self.data_: Array = np.sort(rows, axis=0) if rows.shape[1] == 1 else rows.copy()
        return self

    def cdf(self, x: ArrayLike) -> Array:
        """Fraction of observations with every coordinate at most that of `x`.

        Parameters
        ----------
        x : array_like of shape (m, d)
            Points.

        Returns
        -------
        ndarray of shape (m,)
            Values of the empirical distribution function: O(log n) each in one dimension, O(n d) in more.
        """
        check_is_fitted(self)
        points: Array = validate_data(self, x, dtype=np.float64, reset=False)
        n = len(self.data_)
        if points.shape[1] == 1:
            return np.searchsorted(self.data_[:, 0], points[:, 0], side="right") / n
        return np.array([np.count_nonzero((self.data_ <= point).all(axis=1)) for point in points]) / n

    def quantile(self, u: ArrayLike) -> Array:
        """Generalized inverse of the empirical distribution function, in one dimension.

        Parameters
        ----------
        u : array_like
            Levels in [0, 1], any shape.

        Returns
        -------
        ndarray
            Order statistics, of the shape of `u`; minus infinity at level 0.

        Raises
        ------
        ValueError
            If the data have more than one column, or `u` leaves [0, 1].
        """
        check_is_fitted(self)
        if self.data_.shape[1] != 1:
            raise ValueError(
                f"quantile needs data with one column, got {self.data_.shape[1]}: "
                "fit one column, or use Rosenblatt"
            )
        points, counts = np.unique(self.data_[:, 0], return_counts=True)
        return generalized_inverse(points, np.cumsum(counts) / len(self.data_), u)

    def log_prob(self, x: ArrayLike) -> Array:
        """Not defined: the empirical law has atoms and no density.

        Parameters
        ----------
        x : array_like of shape (m, d)
            Points.

        Raises
        ------
        NotImplementedError
            Always, with what to use instead.
        """
        raise NotImplementedError(
            "EmpiricalCDF has no density: its law is 1/n on each observation. For probabilities use "
            "cdf instead, for a density KernelDensity or Histogram"
        )

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> Array:
        """Draw observations with replacement: the bootstrap.

        Parameters
        ----------
        n_samples : int, default=1
            How many draws.
        random_state : int, Generator, RandomState or None, default=None
            Source of randomness.

        Returns
        -------
        ndarray of shape (n_samples, d)
            Rows of the data; in one dimension the quantiles at uniform levels.
        """
        check_is_fitted(self)
        n = len(self.data_)
        level = _uniform(n_samples, (), random_state)
        return self.data_[np.ceil(level * n).astype(np.int64) - 1]
