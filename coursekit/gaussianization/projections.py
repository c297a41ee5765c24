r"""Views: one-dimensional projections of a law, and what they tell about it.

The view of a law along a direction is the law of one number, :math:`\theta^\top X`. All views together
determine the law (Cramer and Wold 1936); in the plane, filtered back-projection computes it from them. From
finitely many views no method can (:func:`ghost_log_prob`), and in high dimension nearly all of them look
normal (:func:`distance_to_normal`).

Taught in :ref:`projections`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from coursekit.base import DensityEstimator, Likelihood, catalogued

__all__ = [
    "RadonDensity",
    "back_project",
    "distance_to_normal",
    "filter_views",
    "ghost_log_prob",
    "ghost_sample",
    "ramp_kernel",
    "view_angles",
    "view_histograms",
]

Floats = NDArray[np.float64]
Seed = int | np.random.Generator | np.random.RandomState | None

#: Numbers of bins that ``n_bins="loo"`` tries, until the risk has risen twice.
BINS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
_ROWS = 4000  # rows on which the held-out term of the risk is averaged, at most


def view_angles(n_angles: int) -> Floats:
    r"""Angles :math:`k \pi / m` of m evenly spaced views: half a turn, because the other half repeats it.

    Parameters
    ----------
    n_angles : int
        Number m of views.

    Returns
    -------
    ndarray of shape (m,)
        Angles in radians, from 0 to below pi.

    Raises
    ------
    ValueError
        If `n_angles` is not a positive integer.

    Notes
    -----
    Taught in :ref:`projections`.

    Examples
    --------
    >>> (view_angles(4) / np.pi).tolist()
    [0.0, 0.25, 0.5, 0.75]
    """
    return np.pi * np.arange(_count("n_angles", n_angles)) / n_angles


def view_histograms(X: ArrayLike, angles: ArrayLike, edges: ArrayLike) -> Floats:
    r"""Histogram of the data's view along each angle, as densities that integrate to one.

    Parameters
    ----------
    X : array_like of shape (n, 2)
        Data.
    angles : array_like of shape (m,)
        Directions :math:`(\cos\alpha, \sin\alpha)`.
    edges : array_like of shape (B + 1,)
        Edges of equally wide bins, the same for all views.

    Returns
    -------
    ndarray of shape (m, B)
        Histogram densities; together they are called a sinogram.

    Raises
    ------
    ValueError
        If the edges are not evenly spaced, or a projection falls outside them.

    Notes
    -----
    Taught in :ref:`projections`.

    Examples
    --------
    >>> view_histograms([[1.0, 0.0], [0.0, 0.0]], [0.0, np.pi / 2], [-0.5, 0.5, 1.5]).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    X, angles, edges = _plane("X", X), _line("angles", angles), _line("edges", edges)
    widths = np.diff(edges)
    if len(widths) < 1 or not widths[0] > 0 or not np.allclose(widths, widths[0], rtol=1e-6, atol=0):
        raise ValueError("edges must be evenly spaced and increasing, at least two of them")
    n_bins, width = len(widths), (edges[-1] - edges[0]) / len(widths)
    views = np.empty((len(angles), n_bins))
    for row, angle in zip(views, angles, strict=True):
        index = np.floor((X @ _direction(angle) - edges[0]) / width).astype(np.int64)  # (n,)
        if index.min() < 0 or index.max() >= n_bins:
            raise ValueError(
                f"edges: they reach from {edges[0]:.4g} to {edges[-1]:.4g}, but the view at angle "
                f"{angle:.4g} falls outside; widen them to the largest distance of the data from the origin"
            )
        row[:] = np.bincount(index, minlength=n_bins) / (len(X) * width)
    return views


def ramp_kernel(n_bins: int, width: float) -> Floats:
    r"""Return the ramp :math:`|\omega|`, cut off at the bins' own limit, as a kernel on their grid.

    .. math:: h(j\tau) = \frac{1}{2\pi} \int_{-\pi/\tau}^{\pi/\tau} \frac{|\omega|}{2\pi}
            e^{i\omega j\tau} \,\mathrm{d}\omega
        = \begin{cases} 1 / (4\tau^2) & j = 0 \\ -1 / (\pi j \tau)^2 & j \text{ odd} \\ 0 & \text{else.}
          \end{cases}

    Parameters
    ----------
    n_bins : int
        Number B of bins of a view.
    width : float
        Bin width :math:`\tau`.

    Returns
    -------
    ndarray of shape (2 B - 1,)
        Values at offsets -(B - 1) to B - 1.

    Raises
    ------
    ValueError
        If a number is not positive.

    References
    ----------
    Ramachandran and Lakshminarayanan (1971), Three-dimensional reconstruction from radiographs and electron
    micrographs, PNAS 68, 2236-2240. Kak and Slaney (1988), Principles of computerized tomographic imaging,
    section 3.3.

    Notes
    -----
    Taught in :ref:`projections`.

    Examples
    --------
    >>> ramp_kernel(3, 1.0).round(4).tolist()
    [0.0, -0.1013, 0.25, -0.1013, 0.0]
    """
    width = _positive("width", width)
    offset = np.arange(1 - _count("n_bins", n_bins), n_bins)
    kernel = np.zeros(len(offset))
    odd = offset % 2 == 1
    kernel[odd] = -1 / (np.pi * offset[odd] * width) ** 2
    kernel[n_bins - 1] = 1 / (4 * width**2)
    return kernel


def filter_views(
    views: ArrayLike, width: float, *, ramp: Literal["band-limited", "sampled"] = "band-limited"
) -> Floats:
    r"""Sharpen every view by the ramp :math:`|\omega| / 2\pi`: what back-projection needs.

    Parameters
    ----------
    views : array_like of shape (m, B)
        Views on equal bins.
    width : float
        Bin width.
    ramp : {"band-limited", "sampled"}, default="band-limited"
        * ``"band-limited"`` convolves with :func:`ramp_kernel`: right.
        * ``"sampled"`` multiplies the B Fourier coefficients by samples of the ramp. It is a trap, kept for
          comparison: the coefficient at zero frequency is set to zero, so that the filtered view sums to zero
          over the window, and mass is lost.

    Returns
    -------
    ndarray of shape (m, B)
        Filtered views, which are negative in places.

    Raises
    ------
    ValueError
        If the shapes or the names are wrong.

    Notes
    -----
    The convolution is linear: enough zeros are added that nothing wraps around. Taught in :ref:`projections`.

    Examples
    --------
    >>> filter_views([[0.0, 1.0, 0.0]], 1.0).round(4).tolist()
    [[-0.1013, 0.25, -0.1013]]
    """
    views = _views(views)
    width = _positive("width", width)
    n_bins = views.shape[1]
    if ramp == "sampled":
        frequency = np.abs(np.fft.rfftfreq(n_bins, width))  # cycles per unit: |omega| / 2 pi
        return np.fft.irfft(np.fft.rfft(views) * frequency, n_bins)
    if ramp != "band-limited":
        raise ValueError(f'ramp must be "band-limited" or "sampled"; got {ramp!r}')
    length = 1 << math.ceil(math.log2(3 * n_bins))  # room for a view and both arms of the kernel
    spectrum = np.fft.rfft(views, length) * np.fft.rfft(ramp_kernel(n_bins, width), length)
    return np.fft.irfft(spectrum, length)[:, n_bins - 1 : 2 * n_bins - 1] * width


def back_project(filtered: ArrayLike, angles: ArrayLike, centers: ArrayLike, x: ArrayLike) -> Floats:
    r"""Average what the filtered views say at each point: the inverse Radon transform, up to resolution.

    .. math:: \hat p(x) = \frac{\pi}{m} \sum_{k=1}^m q_k(\theta_k^\top x)

    Parameters
    ----------
    filtered : array_like of shape (m, B)
        Filtered views of evenly spaced angles over half a turn.
    angles : array_like of shape (m,)
        Their angles.
    centers : array_like of shape (B,)
        Bin centres; between them a view is interpolated linearly, beyond them it counts as zero.
    x : array_like of shape (n, 2)
        Points.

    Returns
    -------
    ndarray of shape (n,)
        Density estimates; some may be negative.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Notes
    -----
    A point farther from the origin than the last bin is seen by some views only, and what comes out there
    means nothing. Taught in :ref:`projections`.
    """
    filtered, angles = _views(filtered), _line("angles", angles)
    centers, x = _line("centers", centers), _plane("x", x)
    if filtered.shape != (len(angles), len(centers)):
        raise ValueError(
            f"filtered must have one row for each of {len(angles)} angles and one column for each of "
            f"{len(centers)} centers; got shape {filtered.shape}"
        )
    total = np.zeros(len(x))
    for view, angle in zip(filtered, angles, strict=True):
        total += np.interp(x @ _direction(angle), centers, view, left=0.0, right=0.0)
    return total * np.pi / len(angles)


@catalogued(
    examples=lambda d: [RadonDensity(), RadonDensity(24, n_bins=48, background=0.1)],
    dims=(2,),
    cost={"fit": "O(m n + m B²)", "log_prob": "O(1)", "sample": "O(1)"},
)
class RadonDensity(DensityEstimator):
    r"""Density in the plane from one-dimensional histograms along m directions, as a scanner does it.

    The views are filtered (:func:`filter_views`) and back-projected (:func:`back_project`) onto a grid of
    points half a bin apart, over the disc that holds the data. Negative values are set to zero and the rest
    is divided by its mass; between grid points the density is bilinear, so that it integrates to one exactly.
    A share of the mass goes to a round Gaussian: elsewhere the density is zero and its logarithm -inf.

    .. math:: p(x) = (1 - \beta) \frac{\max(\hat p(x), 0)}{\int \max(\hat p, 0)}
        + \beta\, \mathcal N(x; \bar x, s^2 I)

    Parameters
    ----------
    n_angles : int, default=64
        Number m of views, evenly spaced over half a turn.
    n_bins : "loo" or int, default="loo"
        Bins of each view: an int, or the number in :data:`BINS` with the least leave-one-out risk.
    background : float, default=0.01
        Share :math:`\beta` of the Gaussian, at least 0 and below 1.

    Attributes
    ----------
    center_ : ndarray of shape (2,)
        Mean of the data, the origin of all views.
    radius_ : float
        Radius of the disc.
    n_bins_ : int
        Bins of each view.
    angles_ : ndarray of shape (m,)
        Angles of the views.
    views_ : ndarray of shape (m, B)
        Histograms of the views. **The data enter through these alone**, but for mean, radius and spread.
    image_ : ndarray of shape (2 B, 2 B)
        Density at the grid points, without the background.
    mass_, negative_ : float
        Mass of the estimate before anything was clipped, and how much of it was negative.
    spread_ : float
        Standard deviation s of the background.

    Raises
    ------
    ValueError
        By ``fit``: if the data have not two columns, or all rows are equal, or a parameter is out of range.

    References
    ----------
    Radon (1917), Ueber die Bestimmung von Funktionen durch ihre Integralwerte laengs gewisser
    Mannigfaltigkeiten. O'Sullivan and Pawitan (1993), Multidimensional density estimation by tomography,
    JRSS B 55, 509-521. Kak and Slaney (1988), chapter 3.

    Notes
    -----
    Before clipping the estimate is linear in the data: a kernel estimate whose kernel is a star of m rays.
    One far row widens the disc, and with it every bin. Taught in :ref:`projections`.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((2000, 2))
    >>> model = RadonDensity(32).fit(X)
    >>> bool(abs(model.log_prob([[0.0, 0.0]])[0] + np.log(2 * np.pi)) < 0.3)
    True
    """

    likelihood = Likelihood.EXACT

    def __init__(self, n_angles: int = 64, *, n_bins: str | int = "loo", background: float = 0.01):
        self.n_angles = n_angles
        self.n_bins = n_bins
        self.background = background

    def fit(self, X: ArrayLike, y: object = None) -> RadonDensity:
        """Take the views, filter and back-project them, clip and normalize.

        Parameters
        ----------
        X : array_like of shape (n, 2)
            Training data.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        RadonDensity
            The estimator itself.
        """
        if not isinstance(self.background, Real) or not 0 <= self.background < 1:
            raise ValueError(f"background must be a share, at least 0 and below 1; got {self.background!r}")
        self.angles_: Floats = view_angles(self.n_angles)
        X = self._columns(self._training_data(X, at_least=2))
        self.center_: Floats = X.mean(axis=0)
        X = X - self.center_
        self.radius_: float = 1.05 * float(np.linalg.norm(X, axis=1).max())
        if not self.radius_ > 0:
            raise ValueError("X: all rows are equal, expected at least two different points")
        self.spread_: float = math.sqrt(float(np.mean(X**2)))
        if isinstance(self.n_bins, str):
            if self.n_bins != "loo":
                raise ValueError(f'n_bins must be "loo" or a positive integer; got {self.n_bins!r}')
            self.n_bins_: int = self._least_risk(X)
        else:
            self.n_bins_ = _count("n_bins", self.n_bins)
        self.views_, raw = self._raw(X, self.n_bins_)
        pixel = self.radius_ / self.n_bins_  # half a bin
        image = np.maximum(raw, 0)
        self.mass_: float = float(raw.sum()) * pixel**2
        self.negative_: float = float((image - raw).sum()) * pixel**2
        self.image_: Floats = image / (image.sum() * pixel**2)
        return self

    def _columns(self, x: Floats) -> Floats:
        if x.shape[1] != 2:
            raise ValueError(f"X: got {x.shape[1]} columns, expected 2: back-projection is for the plane")
        return x

    def _geometry(self, n_bins: int) -> tuple[Floats, Floats, float]:
        """Bin edges and centres of a view, and the bin width."""
        edges = self.radius_ * np.linspace(-1, 1, n_bins + 1)
        return edges, (edges[1:] + edges[:-1]) / 2, 2 * self.radius_ / n_bins

    def _raw(self, X: Floats, n_bins: int) -> tuple[Floats, Floats]:
        """Return the views and the unclipped estimate on the 2 B by 2 B grid, zero outside the disc."""
        edges, centers, width = self._geometry(n_bins)
        views = view_histograms(X, self.angles_, edges)
        axis = self._axis(n_bins)
        points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        inside = np.sum(points**2, axis=1) <= self.radius_**2
        raw = np.zeros(len(points))
        raw[inside] = back_project(filter_views(views, width), self.angles_, centers, points[inside])
        return views, raw.reshape(len(axis), len(axis))

    def _axis(self, n_bins: int) -> Floats:
        """Grid points on an axis: centres of 2 B equal cells of [-R, R]."""
        return self.radius_ * ((np.arange(2 * n_bins) + 0.5) / n_bins - 1)

    def _least_risk(self, X: Floats) -> int:
        """Find the number of bins whose leave-one-out risk, an unbiased guess at MISE - const, is least."""
        best, least, rises = BINS[0], math.inf, 0
        for n_bins in BINS:
            risk = self._risk(X, n_bins)
            if risk < least:
                best, least, rises = n_bins, risk, 0
            else:
                rises += 1
                if rises == 2:
                    break
        return best

    def _risk(self, X: Floats, n_bins: int) -> float:
        edges, centers, width = self._geometry(n_bins)
        views, raw = self._raw(X, n_bins)
        squared = float(np.sum(raw**2)) * (width / 2) ** 2
        rows = X[:: -(-len(X) // _ROWS)]
        at_rows = back_project(filter_views(views, width), self.angles_, centers, rows)
        own = np.zeros(len(rows))  # what a point says about itself: the kernel near zero, interpolated
        peak, beside = ramp_kernel(2, width)[1:]
        for angle in self.angles_:
            place = (rows @ _direction(angle) - edges[0]) / width
            off = np.abs(place - np.floor(place) - 0.5)  # from the centre of its bin, in bins
            seen = np.abs(place - n_bins / 2) <= (n_bins - 1) / 2  # not beyond the outermost centres
            own += np.where(seen, (1 - off) * peak + off * beside, 0)
        own *= np.pi / len(self.angles_)
        held_out = (len(X) * at_rows - own) / (len(X) - 1)
        return squared - 2 * float(held_out.mean())

    def log_prob(self, x: ArrayLike) -> Floats:
        """Log-density of each row; -inf far away where there is no background.

        Parameters
        ----------
        x : array_like of shape (n, 2)
            Points at which to evaluate.

        Returns
        -------
        ndarray of shape (n,)
            Log-density in nats.
        """
        x = self._columns(self._query(x)) - self.center_
        cells = len(self.image_)
        padded = np.pad(self.image_, 2)
        # Places in units of grid points; outside the grid all four neighbours are zeros of the padding.
        place = np.clip(x * (self.n_bins_ / self.radius_) + self.n_bins_ + 1.5, 0, cells + 2)  # (n, 2)
        low = np.minimum(np.floor(place).astype(np.int64), cells + 2)
        (i, j), (s, t) = low.T, (place - low).T
        image = (1 - s) * ((1 - t) * padded[i, j] + t * padded[i, j + 1])
        image += s * ((1 - t) * padded[i + 1, j] + t * padded[i + 1, j + 1])
        with np.errstate(divide="ignore", over="ignore"):
            log_image = np.log((1 - self.background) * image)
            if self.background == 0:
                return log_image
            log_round = -0.5 * np.sum((x / self.spread_) ** 2, axis=1)
            log_round += math.log(self.background) - math.log(2 * math.pi * self.spread_**2)
        return np.logaddexp(log_image, log_round)

    def sample(self, n_samples: int = 1, random_state: Seed = None) -> Floats:
        """Draw samples: a grid point in proportion to its density, then noise with a triangular density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.
        random_state : int, numpy.random.Generator or None, optional
            Source of randomness.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            Samples.

        Raises
        ------
        ValueError
            If `n_samples` is not a positive integer.
        """
        self._query(np.zeros((1, getattr(self, "n_features_in_", 1))))  # fitted?
        n = _count("n_samples", n_samples)
        rng = np.random.default_rng(random_state)
        share = self.image_.ravel() / self.image_.sum()
        chosen = np.unravel_index(rng.choice(share.size, size=n, p=share), self.image_.shape)
        pixel = self.radius_ / self.n_bins_
        x = self._axis(self.n_bins_)[np.stack(chosen, axis=1)]  # (n, 2)
        x = x + pixel * (rng.random((n, 2)) - rng.random((n, 2)))  # the hat of bilinear interpolation
        normal = self.spread_ * rng.standard_normal((n, 2))
        return self.center_ + np.where(rng.random((n, 1)) < self.background, normal, x)


def ghost_log_prob(x: ArrayLike, n_angles: int, *, sign: int = 1) -> Floats:
    r"""Log-density of one of two laws with disjoint supports and m equal views.

    In polar coordinates,

    .. math:: p_\pm(r, \varphi) = \frac{1}{\pi} e^{-r^2/2}\, \mathbf 1\{\pm \sin(m\varphi) > 0\}.

    Their views at the angles :math:`k\pi/m` are standard normal, all 2m of them: a reflection about such a
    direction exchanges the two laws and keeps the view, and their mean is the standard normal law.

    Parameters
    ----------
    x : array_like of shape (n, 2)
        Points.
    n_angles : int
        Number m of views that cannot tell the two apart.
    sign : {1, -1}
        Which of the two.

    Returns
    -------
    ndarray of shape (n,)
        Log-density in nats, -inf outside the m wedges of the law.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Taught in :ref:`projections`.
    """
    x, m, sign = _plane("x", x), _count("n_angles", n_angles), _sign(sign)
    inside = sign * np.sin(m * np.arctan2(x[:, 1], x[:, 0])) > 0
    return np.where(inside, -0.5 * np.sum(x**2, axis=1) - math.log(math.pi), -np.inf)


def ghost_sample(n_samples: int, n_angles: int, *, sign: int = 1, random_state: Seed = None) -> Floats:
    """Draw from one of the two laws of :func:`ghost_log_prob`.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    n_angles : int
        Number m of views that cannot tell the two apart.
    sign : {1, -1}
        Which of the two.
    random_state : int, numpy.random.Generator or None, optional
        Source of randomness.

    Returns
    -------
    ndarray of shape (n_samples, 2)
        Samples.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Taught in :ref:`projections`.
    """
    n, m, sign = _count("n_samples", n_samples), _count("n_angles", n_angles), _sign(sign)
    rng = np.random.default_rng(random_state)
    radius = np.sqrt(2 * rng.standard_exponential(n))
    wedge = 2 * rng.integers(m, size=n) + (sign < 0)  # the even wedges, or the odd ones
    angle = np.pi / m * (wedge + rng.random(n))
    return radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


def distance_to_normal(views: ArrayLike) -> Floats:
    r"""Exact Wasserstein distance W2 from each row's empirical law to the standard normal law.

    With sorted values :math:`v_{(i)}` and :math:`z_i = \Phi^{-1}(i/n)`, matching quantiles gives

    .. math:: W_2^2 = 1 + \frac1n \sum_i v_i^2
        - 2 \sum_i v_{(i)}\, \bigl(\varphi(z_{i-1}) - \varphi(z_i)\bigr).

    Parameters
    ----------
    views : array_like of shape (m, n)
        One sample per row.

    Returns
    -------
    ndarray of shape (m,)
        Distances. For n draws of the normal law itself about :math:`\sqrt{\log\log n / n}`, not zero.

    Raises
    ------
    ValueError
        If `views` is not a table of finite numbers.

    References
    ----------
    Diaconis and Freedman (1984), Asymptotics of graphical projection pursuit, Annals of Statistics 12,
    793-815.

    Notes
    -----
    Taught in :ref:`projections`.

    Examples
    --------
    >>> distance_to_normal([[0.0, 0.0]]).tolist()
    [1.0]
    """
    views = _views(views)
    z = ndtri(np.arange(views.shape[1] + 1) / views.shape[1])
    heights = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)  # zero at both infinite ends
    squared = 1 + np.mean(views**2, axis=1) - 2 * np.sort(views, axis=1) @ -np.diff(heights)
    return np.sqrt(np.maximum(squared, 0))


# ------------------------------------------------------------------------------------ arguments
def _direction(angle: float) -> Floats:
    return np.array([math.cos(angle), math.sin(angle)])


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a positive integer; got {value!r}")
    return int(value)


def _sign(value: object) -> int:
    if value not in (1, -1):
        raise ValueError(f"sign must be 1 or -1; got {value!r}")
    return 1 if value == 1 else -1


def _positive(name: str, value: float) -> float:
    if not isinstance(value, Real) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number; got {value!r}")
    return float(value)


def _finite(name: str, value: ArrayLike, form: str, shape: Sequence[int | None]) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    fits = array.ndim == len(shape) and all(
        s is None or s == n for s, n in zip(shape, array.shape, strict=True)
    )
    if not fits or array.size == 0 or not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must hold finite numbers in the shape {form}; got shape {array.shape}")
    return array


def _plane(name: str, x: ArrayLike) -> Floats:
    return _finite(name, x, "(n, 2)", (None, 2))


def _line(name: str, x: ArrayLike) -> Floats:
    return _finite(name, x, "(n,)", (None,))


def _views(x: ArrayLike) -> Floats:
    return _finite("views", x, "(m, n)", (None, None))
