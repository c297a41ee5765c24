"""Toy laws in one, two and three dimensions whose log-density is known.

A model's held-out negative log-likelihood can only be judged against the entropy of
the law that made the data, because no model's expected value is below it. So every
law here comes with samples, an exact (or quadrature) log-density and its entropy.

========================  ===================================================  =================
law                       what it is                                           log-density
========================  ===================================================  =================
:class:`Bimodal`          two Gaussians on the line                            closed form
:class:`EightGaussians`   eight equal Gaussians on a circle                    closed form
:class:`Pinwheel`         twisted Gaussian arms                                closed form
:class:`Rings`            noisy circles                                        closed form
:class:`SwissRoll`        a noisy spiral (a noisy rolled sheet in 3-D)         1-D quadrature
:class:`TwoMoons`         two noisy half circles                               1-D quadrature
========================  ===================================================  =================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import i0e, log_ndtr, logsumexp, ndtr

from coursekit.data import _arguments as check

__all__ = ["Bimodal", "EightGaussians", "Pinwheel", "Rings", "SwissRoll", "TwoMoons"]

Array = NDArray[np.float64]
Bounds = tuple[tuple[float, float], ...]

_TAIL = 6.0  # `bounds` reach this many standard deviations of the noise beyond the noiseless set


class _Toy:
    """What all toy laws share: argument checks, bounds and the entropy by quadrature.

    A law writes ``_draw(n, rng)``, ``_log_density(x)``, ``_box(tail)`` and ``_step``
    (the smallest standard deviation in it, which sets the grid of the entropy).
    """

    dim: int = 2
    _step: float

    def _draw(self, n: int, rng: np.random.RandomState) -> Array:
        raise NotImplementedError

    def _log_density(self, x: Array) -> Array:
        raise NotImplementedError

    def _box(self, tail: float) -> Bounds:
        raise NotImplementedError

    def sample(self, n_samples: int = 1, random_state: check.RandomState = None) -> Array:
        """Draw independent samples.

        Parameters
        ----------
        n_samples : int
            How many.
        random_state : None, int, RandomState or Generator
            Source of the randomness; the same integer gives the same samples.

        Returns
        -------
        ndarray of shape (n_samples, dim)
            The samples, float64.

        Raises
        ------
        ValueError
            If `n_samples` is not an integer of at least one.
        """
        count = check.positive_count(n_samples, "n_samples")
        return np.ascontiguousarray(self._draw(count, check.generator(random_state)))

    def log_prob(self, x: ArrayLike) -> Array:
        """Log-density at each row of `x`.

        Parameters
        ----------
        x : array_like of shape (n, dim)
            Points.

        Returns
        -------
        ndarray of shape (n,)
            Log-density in nats; minus infinity where it underflows even as a logarithm.

        Raises
        ------
        ValueError
            If `x` has another shape, or holds NaN or infinity.
        """
        with np.errstate(over="ignore"):  # a square that overflows means log-density minus infinity
            return self._log_density(check.points(x, self.dim))

    @property
    def bounds(self) -> Bounds:
        """``((low, high), ...)`` per column: a box with less than 1e-7 of the mass outside."""
        return self._box(_TAIL)

    @property
    def entropy(self) -> float:
        """Differential entropy in nats: the least expected negative log-likelihood there is."""
        return self._entropy_and_error[0]

    @property
    def entropy_error(self) -> float:
        """Bound on the error of `entropy` in nats, from repeating it on a coarser grid."""
        return self._entropy_and_error[1]

    @cached_property
    def _entropy_and_error(self) -> tuple[float, float]:
        """Trapezoidal rule for ``-p log p`` over a box with less than 1e-18 of the mass outside.

        The rule converges faster than any power of its step on smooth, decaying functions.
        """
        fine = self._grid_entropy(0.3 * self._step)
        coarse = self._grid_entropy(0.45 * self._step)
        return fine, abs(fine - coarse) + 1e-12

    def _grid_entropy(self, step: float) -> float:
        axes = [np.linspace(low, high, math.ceil((high - low) / step) + 1) for low, high in self._box(9.5)]
        shape = [len(axis) for axis in axes]
        cell = math.prod(float(axis[1] - axis[0]) for axis in axes)
        total = 0.0
        for start in range(0, math.prod(shape), 65536):  # tiles bound the memory
            cells = np.arange(start, min(start + 65536, math.prod(shape)))
            index = np.unravel_index(cells, shape)
            log_p = self.log_prob(np.column_stack([axis[i] for axis, i in zip(axes, index, strict=True)]))
            total -= float(np.sum(np.exp(log_p) * np.where(log_p > -700, log_p, 0.0)))
        return total * cell

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k in self._arguments)
        return f"{type(self).__name__}({given})"

    _arguments: tuple[str, ...] = ()


def _log_normal(x: Array, mean: Array | float, std: Array | float) -> Array:
    """Log-density of a Gaussian on the line, elementwise."""
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * math.log(2 * math.pi)


class Bimodal(_Toy):
    r"""Two Gaussians on the line, by default :math:`0.6\,N(-1, 0.6^2) + 0.4\,N(1.5, 0.9^2)`.

    .. math:: p(x) = \sum_k w_k \, N(x; \mu_k, \sigma_k^2)

    Parameters
    ----------
    weights, means, stds : sequence of two floats
        Weights (made to sum to one), means and standard deviations.

    Attributes
    ----------
    dim : int
        One. ``sample`` and ``log_prob`` use shape (n, 1); ``pdf`` and ``cdf`` any shape.

    Raises
    ------
    ValueError
        If a weight or a standard deviation is not above zero, or a mean is not finite.

    Notes
    -----
    Taught in :ref:`histogram` and :ref:`kde`, whose convergence rates are measured on it.

    Examples
    --------
    >>> law = Bimodal()
    >>> law.sample(3, random_state=0).shape
    (3, 1)
    >>> round(float(law.cdf(0.0)), 4)
    0.5904
    """

    dim = 1
    _arguments = ("weights", "means", "stds")

    def __init__(
        self,
        *,
        weights: Sequence[float] = (0.6, 0.4),
        means: Sequence[float] = (-1.0, 1.5),
        stds: Sequence[float] = (0.6, 0.9),
    ):
        self.weights = tuple(check.weights(weights, 2, "weights").tolist())
        if len(means) != 2 or len(stds) != 2:
            raise ValueError(f"means and stds must hold two numbers each; got {means!r} and {stds!r}")
        self.means = tuple(check.finite(m, "means") for m in means)
        self.stds = tuple(check.positive(s, "stds") for s in stds)
        self._step = min(self.stds)

    def _draw(self, n: int, rng: np.random.RandomState) -> Array:
        k = (rng.uniform(size=n) >= self.weights[0]).astype(int)
        x = np.take(self.means, k) + np.take(self.stds, k) * rng.standard_normal(n)
        return x[:, None]

    def _log_density(self, x: Array) -> Array:
        log_parts = _log_normal(x, np.array(self.means), np.array(self.stds))  # (n, 2)
        return logsumexp(log_parts + np.log(self.weights), axis=1)

    def _box(self, tail: float) -> Bounds:
        low = min(m - tail * s for m, s in zip(self.means, self.stds, strict=True))
        high = max(m + tail * s for m, s in zip(self.means, self.stds, strict=True))
        return ((low, high),)

    def pdf(self, x: ArrayLike) -> Array:
        """Density at each number of `x`.

        Parameters
        ----------
        x : array_like
            Numbers, any shape.

        Returns
        -------
        ndarray of the shape of `x`
            Density.
        """
        x = np.asarray(x, dtype=np.float64)
        return np.exp(self.log_prob(x.reshape(-1, 1))).reshape(x.shape)

    def cdf(self, x: ArrayLike) -> Array:
        """Probability of a value at most `x`, for each number of `x`.

        Parameters
        ----------
        x : array_like
            Numbers, any shape; infinities are allowed.

        Returns
        -------
        ndarray of the shape of `x`
            Probability.

        Raises
        ------
        ValueError
            If `x` holds NaN.
        """
        x = np.asarray(x, dtype=np.float64)
        if np.any(np.isnan(x)):
            raise ValueError("x must not hold NaN")
        parts = ndtr((x[..., None] - np.array(self.means)) / np.array(self.stds))  # (..., 2)
        return parts @ np.array(self.weights)


class EightGaussians(_Toy):
    r"""Eight equal Gaussians on a circle: the test of whether a model drops modes.

    .. math:: p(x) = \tfrac18 \sum_{k=0}^{7}
        N(x;\; R\,(\cos\tfrac{\pi k}{4}, \sin\tfrac{\pi k}{4}),\; \sigma^2 I)

    Parameters
    ----------
    radius : float
        Radius :math:`R` of the circle on which the means lie.
    std : float
        Standard deviation :math:`\sigma` of every Gaussian.

    Raises
    ------
    ValueError
        If `radius` or `std` is not above zero.

    Notes
    -----
    Taught in :ref:`kde`.

    Examples
    --------
    >>> law = EightGaussians()
    >>> law.means.shape
    (8, 2)
    """

    _arguments = ("radius", "std")

    def __init__(self, *, radius: float = 2.0, std: float = 0.05):
        self.radius = check.positive(radius, "radius")
        self.std = self._step = check.positive(std, "std")

    @property
    def means(self) -> Array:
        """The eight means, shape (8, 2), counter-clockwise from the positive first axis."""
        angle = np.pi / 4 * np.arange(8)
        return self.radius * np.column_stack([np.cos(angle), np.sin(angle)])

    def _draw(self, n: int, rng: np.random.RandomState) -> Array:
        k = rng.choice(8, size=n)
        return self.means[k] + self.std * rng.standard_normal((n, 2))

    def _log_density(self, x: Array) -> Array:
        squares = ((x[:, None, :] - self.means) ** 2).sum(-1)  # (n, 8)
        log_parts = -0.5 * squares / self.std**2 - math.log(2 * math.pi * self.std**2)
        return logsumexp(log_parts, axis=1) - math.log(8)

    def _box(self, tail: float) -> Bounds:
        edge = self.radius + tail * self.std
        return ((-edge, edge), (-edge, edge))


class Pinwheel(_Toy):
    r"""Gaussian arms, twisted in proportion to their distance from the centre.

    Arm :math:`k` of :math:`K` starts as :math:`u \sim N((R, 0), \mathrm{diag}(\sigma_r^2, \sigma_t^2))`, then
    every point turns about the origin by :math:`2\pi k/K + \tau\|u\|`. A turn by an angle that depends only
    on the distance from the centre keeps areas, so the density is closed form:

    .. math:: p(x) = \frac1K \sum_k N\bigl(T_{-2\pi k/K - \tau\|x\|}\,x;\; (R, 0),\;
        \mathrm{diag}(\sigma_r^2, \sigma_t^2)\bigr)

    with :math:`T_a` the rotation by :math:`a`.

    Parameters
    ----------
    n_arms : int
        Number of arms :math:`K`.
    radius : float
        Distance :math:`R` of an arm's centre from the origin.
    radial_std, tangential_std : float
        Standard deviation along and across an arm before the twist.
    twist : float
        Angle :math:`\tau` in radians per unit of distance; zero leaves the arms straight.

    Raises
    ------
    ValueError
        If a length is not above zero, `n_arms` not a count or `twist` not finite.

    Notes
    -----
    The pinwheel of Johnson et al. turns by an exponential of the radial coordinate instead; that map changes
    areas and is not one to one, so its density has no closed form. The picture is the same.

    Taught in :ref:`kde`.

    References
    ----------
    .. [1] M. Johnson, D. Duvenaud, A. Wiltschko, R. Adams, S. Datta, "Composing graphical models with neural
       networks for structured representations and fast inference", 2016, arXiv:1603.06277.

    Examples
    --------
    >>> Pinwheel(n_arms=3).sample(4, random_state=0).shape
    (4, 2)
    """

    _arguments = ("n_arms", "radius", "radial_std", "tangential_std", "twist")

    def __init__(
        self,
        *,
        n_arms: int = 5,
        radius: float = 1.0,
        radial_std: float = 0.3,
        tangential_std: float = 0.1,
        twist: float = 0.7,
    ):
        self.n_arms = check.positive_count(n_arms, "n_arms")
        self.radius = check.positive(radius, "radius")
        self.radial_std = check.positive(radial_std, "radial_std")
        self.tangential_std = check.positive(tangential_std, "tangential_std")
        self.twist = check.finite(twist, "twist")
        self._step = min(self.radial_std, self.tangential_std)

    def _draw(self, n: int, rng: np.random.RandomState) -> Array:
        k = rng.choice(self.n_arms, size=n)
        u = rng.standard_normal((n, 2)) * [self.radial_std, self.tangential_std] + [self.radius, 0.0]
        angle = 2 * np.pi * k / self.n_arms + self.twist * np.hypot(u[:, 0], u[:, 1])
        return np.column_stack(_rotate(u[:, 0], u[:, 1], angle))

    def _log_density(self, x: Array) -> Array:
        start = 2 * np.pi * np.arange(self.n_arms) / self.n_arms
        distance = np.minimum(np.hypot(x[:, 0], x[:, 1]), np.finfo(float).max)
        angle = start + (self.twist * distance)[:, None]  # (n, K)
        along, across = _rotate(x[:, :1], x[:, 1:], -angle)
        log_parts = _log_normal(along, self.radius, self.radial_std)
        log_parts = log_parts + _log_normal(across, 0.0, self.tangential_std)
        return logsumexp(log_parts, axis=1) - math.log(self.n_arms)

    def _box(self, tail: float) -> Bounds:
        edge = math.hypot(self.radius + tail * self.radial_std, tail * self.tangential_std)
        return ((-edge, edge), (-edge, edge))


def _rotate(a: Array, b: Array, angle: Array) -> tuple[Array, Array]:
    """Turn the points (a, b) about the origin, counter-clockwise."""
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * a - sin * b, sin * a + cos * b


class Rings(_Toy):
    r"""Circles about the origin, one picked at random, plus Gaussian noise.

    A uniform point on a circle of radius :math:`R` plus :math:`N(0, \sigma^2 I)` has a density that depends
    on :math:`r = \|x\|` alone, with the Bessel function :math:`I_0`:

    .. math:: p_R(x) = \frac{1}{2\pi\sigma^2}
        \exp\Bigl(-\frac{r^2 + R^2}{2\sigma^2}\Bigr) I_0\Bigl(\frac{r R}{\sigma^2}\Bigr)

    and the law is the equally weighted mixture of these over the radii.

    Parameters
    ----------
    radii : sequence of float
        Radii of the circles.
    noise : float
        Standard deviation :math:`\sigma` of the noise in each column.

    Raises
    ------
    ValueError
        If a radius or the noise is not above zero, or there is no radius.

    Notes
    -----
    Taught in :ref:`kde`.

    Examples
    --------
    >>> Rings().log_prob([[0.75, 0.0]]).shape
    (1,)
    """

    _arguments = ("radii", "noise")

    def __init__(self, *, radii: Sequence[float] = (0.75, 1.5, 2.25), noise: float = 0.08):
        self.radii = tuple(check.positive(r, "radii") for r in radii)
        if not self.radii:
            raise ValueError("radii must hold at least one radius; got none")
        self.noise = self._step = check.positive(noise, "noise")

    def _draw(self, n: int, rng: np.random.RandomState) -> Array:
        radius = np.take(self.radii, rng.choice(len(self.radii), size=n))
        angle = rng.uniform(0.0, 2 * np.pi, size=n)
        circle = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        return circle + self.noise * rng.standard_normal((n, 2))

    def _log_density(self, x: Array) -> Array:
        r = np.hypot(x[:, 0], x[:, 1])[:, None]  # (n, 1)
        radii, variance = np.array(self.radii), self.noise**2
        # I0(z) = i0e(z) e^z, and e^z joins the square: nothing overflows.
        argument = np.minimum(r * radii / variance, np.finfo(float).max)
        log_parts = -0.5 * ((r - radii) / self.noise) ** 2 + np.log(i0e(argument))  # (n, number of radii)
        return logsumexp(log_parts, axis=1) - math.log(2 * math.pi * variance * len(radii))

    def _box(self, tail: float) -> Bounds:
        edge = max(self.radii) + tail * self.noise
        return ((-edge, edge), (-edge, edge))


class _Arc:
    r"""Density of a random point of a plane curve plus Gaussian noise, by quadrature.

    .. math:: p(x) = \int_a^b N(x; c(t), \sigma^2 I)\, \frac{\mathrm{d}t}{b - a}

    The interval is cut into panels of nearly equal arc length, `_PANEL` standard deviations each, with a
    Gauss-Legendre rule of `_NODES` nodes on every panel; the first and the last are halved `_HALVINGS` times.
    For one query only the panels near its closest point count: those whose terms are all below ``exp(-40)``
    of the largest are left out.

    Parameters
    ----------
    curve : callable
        Times of shape (m,) to points of shape (m, 2).
    interval : pair of float
        First and last time.
    std : float
        Standard deviation of the noise in each column.
    """

    _PANEL, _NODES, _HALVINGS, _CUT = 4.0, 16, 8, 40.0

    def __init__(self, curve: Callable[[Array], Array], interval: tuple[float, float], std: float):
        self.std = std
        dense = np.linspace(*interval, 4097)
        steps = np.linalg.norm(np.diff(curve(dense), axis=0), axis=1)
        length = np.concatenate([[0.0], np.cumsum(steps)])
        even = np.linspace(0.0, length[-1], max(2, math.ceil(length[-1] / (self._PANEL * std))) + 1)
        # Seen from afar, the end of the arc is a sharp corner of the integrand: halve the panels towards it.
        halved = even[1] * 0.5 ** np.arange(1, self._HALVINGS + 1)
        edges = np.interp(np.unique(np.r_[even, halved, length[-1] - halved]), length, dense)
        n_panels = len(edges) - 1
        nodes, rule = np.polynomial.legendre.leggauss(self._NODES)
        half = np.diff(edges)[:, None] / 2  # (P, 1)
        times = (edges[:-1, None] + half) + half * nodes  # (P, m)
        self.nodes = curve(times.ravel()).reshape(n_panels, self._NODES, 2)
        norm = math.log(2 * math.pi * std**2 * (interval[1] - interval[0]))
        self.log_weights = np.log(half * rule) - norm  # (P, m)
        self.centres = self.nodes.mean(1)  # (P, 2)
        self.radii = np.linalg.norm(self.nodes - self.centres[:, None], axis=2).max(1)  # (P,)

    def log_density(self, x: Array) -> Array:
        tile = max(1, 2**20 // len(self.nodes))  # bounds the memory of one tile to a few dozen MB
        return np.concatenate([self._tile(x[i : i + tile]) for i in range(0, max(len(x), 1), tile)])

    def _tile(self, x: Array) -> Array:
        to_centre = np.hypot(x[:, :1] - self.centres[:, 0], x[:, 1:] - self.centres[:, 1])  # (n, P)
        farthest = (to_centre + self.radii).min(1)  # the closest node is not farther than this
        reach = np.sqrt(farthest**2 + 2 * self._CUT * self.std**2)
        near = to_centre - self.radii <= reach[:, None]  # (n, P)
        total = np.full(len(x), -np.inf)
        for panel in np.flatnonzero(near.any(0)):
            rows = np.flatnonzero(near[:, panel])
            difference = (x[rows, None, :] - self.nodes[panel]) / self.std  # (k, m, 2)
            exponent = self.log_weights[panel] - 0.5 * (difference**2).sum(2)
            top = exponent.max(1)
            safe = np.where(np.isfinite(top), top, 0.0)
            with np.errstate(divide="ignore"):
                part = safe + np.log(np.exp(exponent - safe[:, None]).sum(1))
            total[rows] = np.logaddexp(total[rows], part)
        return total


class SwissRoll(_Toy):
    r"""The Swiss roll of scikit-learn, scaled by one seventh: the running example of the course.

    With :math:`t = \tfrac{3\pi}{2}(1 + 2u)`, :math:`u \sim U(0, 1)` and noise
    :math:`\varepsilon \sim N(0, \nu^2 I)`, the two-dimensional roll is
    :math:`x = \bigl((t\cos t, t\sin t) + \varepsilon\bigr) / 7`: columns 0 and 2 of
    ``sklearn.datasets.make_swiss_roll(noise=0.3)`` over seven, and the same numbers for the same seed.
    Its density is

    .. math:: p(x) = \int_0^1 N\bigl(x;\; \tfrac17(t\cos t, t\sin t),\; \sigma^2 I\bigr)\,\mathrm{d}u,
        \qquad \sigma = \nu/7,

    a one-dimensional integral, evaluated by a Gauss-Legendre rule. With ``dim=3`` the columns are
    scikit-learn's three, and the middle one is an independent uniform on [0, 3] plus the same noise, whose
    density is closed form.

    Parameters
    ----------
    noise : float
        Standard deviation :math:`\nu` of the noise before the division by seven.
    dim : {2, 3}
        The spiral in the plane, or the rolled-up sheet.

    Raises
    ------
    ValueError
        If `noise` is not above zero (without noise there is no density) or `dim` is neither 2 nor 3.

    Notes
    -----
    Inside ``bounds`` the quadrature's error in ``log_prob`` is below 1e-9 nats for noise from 0.05 to 2, also
    in the far tails; far outside (at a hundred times the size of the roll) its relative error is below 1e-6.
    Both are tested against adaptive quadrature. One query costs a distance to each of about ``22 / noise``
    panels.

    Taught in :ref:`kde`.

    Examples
    --------
    >>> law = SwissRoll()
    >>> x = law.sample(5, random_state=0)
    >>> law.log_prob(x).shape
    (5,)
    """

    _arguments = ("noise", "dim")
    _SCALE, _HEIGHT = 7.0, 21.0

    def __init__(self, noise: float = 0.3, *, dim: int = 2):
        self.noise = check.positive(noise, "noise")
        if isinstance(dim, bool) or dim not in (2, 3):
            raise ValueError(f"dim must be 2 or 3; got {dim!r}")
        self.dim = int(dim)
        self._step = self.noise / self._SCALE

    @staticmethod
    def _spiral(t: Array) -> Array:
        return np.column_stack([t * np.cos(t), t * np.sin(t)]) / SwissRoll._SCALE

    @cached_property
    def _arc(self) -> _Arc:
        return _Arc(self._spiral, (1.5 * np.pi, 4.5 * np.pi), self._step)

    def _draw(self, n: int, rng: np.random.RandomState) -> Array:
        # The order of the draws is scikit-learn's: the same seed gives the same points.
        t = 1.5 * np.pi * (1 + 2 * rng.uniform(size=n))
        y = self._HEIGHT * rng.uniform(size=n)
        x = np.vstack([t * np.cos(t), y, t * np.sin(t)])  # (3, n)
        x = (x + self.noise * rng.standard_normal((3, n))).T / self._SCALE
        return x if self.dim == 3 else x[:, [0, 2]]

    def _log_density(self, x: Array) -> Array:
        log_p = self._arc.log_density(x[:, [0, -1]])
        if self.dim == 3:
            log_p = log_p + _log_noisy_uniform(x[:, 1], self._HEIGHT / self._SCALE, self._step)
        return log_p

    def _box(self, tail: float) -> Bounds:
        curve = self._spiral(np.linspace(1.5 * np.pi, 4.5 * np.pi, 4097))
        margin = tail * self._step + 1e-4  # the dense curve can miss its own extremes by 1e-6
        box = [(float(c.min() - margin), float(c.max() + margin)) for c in curve.T]
        if self.dim == 3:
            box.insert(1, (-margin, self._HEIGHT / self._SCALE + margin))
        return tuple(box)

    @cached_property
    def _entropy_and_error(self) -> tuple[float, float]:
        if self.dim == 2:
            return super()._entropy_and_error
        # The height is independent of the spiral: entropies add.
        plane, height = SwissRoll(self.noise), _NoisyUniform(self._HEIGHT / self._SCALE, self._step)
        return plane.entropy + height.entropy, plane.entropy_error + height.entropy_error


def _log_noisy_uniform(y: Array, width: float, std: float) -> Array:
    """Log-density of U(0, width) + N(0, std^2): log of (Phi(y/std) - Phi((y-width)/std)) / width."""
    # By symmetry look at the half below the middle, where neither tail cancels.
    y = np.minimum(y, width - y)
    upper, lower = log_ndtr(y / std), log_ndtr((y - width) / std)
    gap = np.subtract(lower, upper, where=np.isfinite(lower), out=np.full_like(lower, -np.inf))
    return upper + np.log1p(-np.exp(gap)) - math.log(width)


class _NoisyUniform(_Toy):
    """U(0, width) + N(0, std^2) on the line: the height of the three-dimensional Swiss roll."""

    dim = 1

    def __init__(self, width: float, std: float):
        self.width, self._step = width, std

    def _log_density(self, x: Array) -> Array:
        return _log_noisy_uniform(x[:, 0], self.width, self._step)

    def _box(self, tail: float) -> Bounds:
        return ((-tail * self._step, self.width + tail * self._step),)


class TwoMoons(_Toy):
    r"""Two interleaved half circles, one picked at random, plus Gaussian noise.

    With :math:`t \sim U(0, \pi)` and a fair coin, the noiseless point is :math:`(\cos t, \sin t)` or
    :math:`(1 - \cos t, \tfrac12 - \sin t)`, and

    .. math:: p(x) = \tfrac12 \sum_{m=1}^{2} \int_0^\pi N(x; c_m(t), \sigma^2 I) \frac{\mathrm{d}t}{\pi}.

    Parameters
    ----------
    noise : float
        Standard deviation :math:`\sigma` of the noise in each column.

    Raises
    ------
    ValueError
        If `noise` is not above zero.

    Notes
    -----
    The curves are those of ``sklearn.datasets.make_moons``, which however places its points at equal angles;
    here the angle is random, so that the samples are independent. The quadrature's error in ``log_prob`` is
    below 1e-9 nats inside ``bounds`` for noise from 0.02 to 0.5.

    Taught in :ref:`kde`.

    Examples
    --------
    >>> TwoMoons(0.05).sample(4, random_state=1).shape
    (4, 2)
    """

    _arguments = ("noise",)

    def __init__(self, noise: float = 0.1):
        self.noise = self._step = check.positive(noise, "noise")

    @staticmethod
    def _upper(t: Array) -> Array:
        return np.column_stack([np.cos(t), np.sin(t)])

    @staticmethod
    def _lower(t: Array) -> Array:
        return np.column_stack([1 - np.cos(t), 0.5 - np.sin(t)])

    @cached_property
    def _arcs(self) -> tuple[_Arc, _Arc]:
        return _Arc(self._upper, (0.0, np.pi), self.noise), _Arc(self._lower, (0.0, np.pi), self.noise)

    def _draw(self, n: int, rng: np.random.RandomState) -> Array:
        first = rng.uniform(size=n) < 0.5
        t = rng.uniform(0.0, np.pi, size=n)
        clean = np.where(first[:, None], self._upper(t), self._lower(t))
        return clean + self.noise * rng.standard_normal((n, 2))

    def _log_density(self, x: Array) -> Array:
        upper, lower = (arc.log_density(x) for arc in self._arcs)
        return np.logaddexp(upper, lower) - math.log(2)

    def _box(self, tail: float) -> Bounds:
        margin = tail * self.noise
        return ((-1 - margin, 2 + margin), (-0.5 - margin, 1 + margin))
