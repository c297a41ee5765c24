"""Nearest-neighbour density: a ball grown until it holds k samples, and why that is not a density.

Taught in :ref:`knn`.
"""

from __future__ import annotations

import math
from numbers import Integral
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.special import gammaln
from sklearn.utils.validation import check_is_fitted

from coursekit.base import DensityEstimator, Likelihood, catalogued

Float = NDArray[np.float64]

_BRUTE_FROM = 30  # dimensions from which a matrix product and a partial sort beat every tree
_BLOCK = 2**20  # distances held at once by the brute force: 8 MiB


def log_unit_ball_volume(dim: int) -> float:
    r"""Logarithm of the volume of the unit ball in `d` dimensions.

    .. math:: \log V_d = \frac d2 \log \pi - \log \Gamma\left(\frac d2 + 1\right)

    Parameters
    ----------
    dim : int
        Dimension `d`, at least 1.

    Returns
    -------
    float
        Natural logarithm of the volume.

    Raises
    ------
    ValueError
        If `dim` is below 1.

    Notes
    -----
    Taught in :ref:`knn`.

    Examples
    --------
    >>> round(float(np.exp(log_unit_ball_volume(2))), 6)
    3.141593
    """
    if dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim}; a ball needs a dimension")
    return 0.5 * dim * math.log(math.pi) - float(gammaln(0.5 * dim + 1))


def neighbours_rule(n_samples: int, dim: int) -> int:
    r"""Choose the number of neighbours at the pointwise-optimal rate.

    .. math:: k = n^{4/(d+4)} / 2, \quad \text{kept in } [2, n].

    The exponent is the one that balances bias and variance where the density is bounded away
    from zero. It is *not* the best one for the error over the whole line, which is
    :math:`n^{2/3}` for Gaussian-type tails in one dimension. The factor one half suits data
    with more than one bump.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    dim : int
        Number of columns.

    Returns
    -------
    int
        Number of neighbours.

    References
    ----------
    Mack, Y. P. & Rosenblatt, M. (1979), Multivariate k-nearest neighbor density estimates.

    Notes
    -----
    Taught in :ref:`knn`.

    Examples
    --------
    >>> neighbours_rule(1000, 1), neighbours_rule(1000, 2)
    (126, 50)
    """
    return int(np.clip(round(0.5 * n_samples ** (4 / (dim + 4))), 2, max(n_samples, 2)))


@catalogued(
    examples=lambda d: [KNNDensity(n_neighbors=10), KNNDensity(n_neighbors="rule")],
    dims=(1, 2),
    support="real",
    cost={
        "fit": "O(n log n)",
        "log_prob": "O(log n + k) for small d, O(nd) for large",
        "sample": "impossible",
    },
)
class KNNDensity(DensityEstimator):
    r"""k-nearest-neighbour estimate of a density: **not normalized**, its mass is infinite.

    With :math:`R_k(x)` the Euclidean distance from `x` to its k-th nearest training sample and
    :math:`V_d` the volume of the unit ball,

    .. math:: \log \hat f(x) = \log (k - 1) - \log n - \log V_d - d \log R_k(x).

    Far from the data :math:`R_k(x) \sim |x|`, so the tails fall like :math:`|x|^{-d}` and the
    integral over the whole space diverges. ``likelihood`` is therefore ``UNNORMALIZED``: the
    values compare points of one fitted model with each other, not models with models. There is
    no ``sample``, because a function with infinite mass is no law to sample from; to draw
    samples use ``KernelDensity`` or a mixture.

    Parameters
    ----------
    n_neighbors : int or "rule"
        Number of neighbours `k`, at most the number of training samples. ``"rule"`` takes
        :func:`neighbours_rule`.
    numerator : {"k-1", "k"}
        ``"k-1"`` (Loftsgaarden and Quesenberry) is exactly unbiased where the density is flat and
        needs at least two neighbours; ``"k"`` is the other common convention, larger by the factor
        `k/(k - 1)`.
    method : {"auto", "window", "tree", "brute"}
        ``"window"`` searches the sorted sample (one column only), ``"tree"`` is scipy's `cKDTree`,
        ``"brute"`` computes all distances in blocks. ``"auto"`` takes the first in one dimension,
        the last from 30 dimensions on, the tree in between. All give the same values.

    Attributes
    ----------
    n_neighbors_ : int
        The number of neighbours in use.
    method_ : str
        The method in use.
    X_ : ndarray of shape (n, d)
        The training samples: the whole model.

    Raises
    ------
    ValueError
        In ``fit``: `n_neighbors` below 1 (below 2 with ``numerator="k-1"``) or above the number of
        samples, an unknown option, NaN or infinite values.

    Notes
    -----
    Taught in :ref:`knn`.

    Where `k` or more training samples coincide with a query, :math:`R_k(x) = 0` and ``log_prob`` is
    ``+inf``: the estimate has a pole there. Data with many repeated rows (counts, 8-bit images) want
    more neighbours than repeats, or dequantization.

    References
    ----------
    Loftsgaarden, D. O. & Quesenberry, C. P. (1965), A nonparametric estimate of a multivariate
    density function. Mack, Y. P. & Rosenblatt, M. (1979), Multivariate k-nearest neighbor density
    estimates. Biau, G. & Devroye, L. (2015), Lectures on the nearest neighbor method.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(2000, 1))
    >>> model = KNNDensity(n_neighbors=100).fit(X)
    >>> bool(abs(np.exp(model.log_prob([[0.0]]))[0] - 0.3989) < 0.08)
    True
    """

    likelihood = Likelihood.UNNORMALIZED

    def __init__(
        self,
        n_neighbors: int | Literal["rule"] = 10,
        *,
        numerator: Literal["k-1", "k"] = "k-1",
        method: Literal["auto", "window", "tree", "brute"] = "auto",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.numerator = numerator
        self.method = method

    def fit(self, X: ArrayLike, y: object = None) -> KNNDensity:
        """Keep the samples, sorted or in a tree.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Training samples.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        KNNDensity
            The fitted model.

        Raises
        ------
        ValueError
            See the class.
        """
        if self.numerator not in ("k-1", "k"):
            raise ValueError(f'numerator must be "k-1" or "k", got {self.numerator!r}')
        X = self._training_data(X)
        self.n_neighbors_ = self._checked_neighbours(*X.shape)
        self.method_ = self._checked_method(X.shape[1])
        self.X_ = X.copy()
        if self.method_ == "window":
            self._sorted = np.sort(X[:, 0])
            self._changes = window_changes(self._sorted, self.n_neighbors_)
        elif self.method_ == "tree":
            self._tree = cKDTree(self.X_)
        else:
            self._centre = X.mean(axis=0)  # the expanded square loses digits far from the origin
        return self

    def log_prob(self, x: ArrayLike) -> Float:
        r"""Logarithm of the estimate, not normalized, :math:`\log (k-1) - \log n - \log V_d - d \log R_k(x)`.

        Parameters
        ----------
        x : array_like of shape (m, d)
            Points at which to evaluate. A training sample counts itself as its first neighbour;
            see ``leave_one_out_log_prob``.

        Returns
        -------
        ndarray of shape (m,)
            Logarithm of the estimate in nats; ``+inf`` where `k` samples coincide with the query.

        Raises
        ------
        ValueError
            If `x` has another number of columns than the training samples, or holds NaN.
        """
        return self._log_estimate(self.radius(x), len(self.X_))

    def leave_one_out_log_prob(self) -> Float:
        """Evaluate at each training sample the estimate made from the other `n - 1`.

        No sample is then its own neighbour, so the values are those of unseen points.

        Returns
        -------
        ndarray of shape (n,)
            Logarithm of the estimate in nats, in the order of the training samples.

        Raises
        ------
        ValueError
            If there are not `k` other samples.
        """
        check_is_fitted(self)
        n, k = len(self.X_), self.n_neighbors_
        if k > n - 1:
            raise ValueError(
                f"leave-one-out needs n_neighbors <= n_samples - 1, got n_neighbors={k} and n_samples={n}; "
                "fit with fewer neighbours"
            )
        return self._log_estimate(self._kth_distance(self.X_, k + 1), n - 1)

    def radius(self, x: ArrayLike) -> Float:
        """Distance from each query to its k-th nearest training sample.

        Parameters
        ----------
        x : array_like of shape (m, d)
            Queries.

        Returns
        -------
        ndarray of shape (m,)
            Euclidean distances, in the units of the data.
        """
        return self._kth_distance(self._query(x), self.n_neighbors_)

    @property
    def _count(self) -> int:
        return self.n_neighbors_ - 1 if self.numerator == "k-1" else self.n_neighbors_

    def _log_estimate(self, radius: Float, n: int) -> Float:
        d = self.X_.shape[1]
        with np.errstate(divide="ignore"):  # radius 0 gives +inf, as documented
            return math.log(self._count) - math.log(n) - log_unit_ball_volume(d) - d * np.log(radius)

    def _kth_distance(self, x: Float, k: int) -> Float:
        if self.method_ == "window":
            changes = self._changes if k == self.n_neighbors_ else window_changes(self._sorted, k)
            start = np.searchsorted(changes, x[:, 0])
            return np.maximum(x[:, 0] - self._sorted[start], self._sorted[start + k - 1] - x[:, 0])
        if self.method_ == "tree":
            return self._tree.query(x, k=[k])[0][:, 0]
        return self._kth_distance_brute(x, k)

    def _kth_distance_brute(self, x: Float, k: int) -> Float:
        data = self.X_ - self._centre  # (n, d)
        squares = np.einsum("ij,ij->i", data, data)
        rows = max(1, _BLOCK // len(data))
        radius = np.empty(len(x))
        for first in range(0, len(x), rows):
            query = x[first : first + rows]  # (b, d)
            # |x - q|^2 without |q|^2, which is the same for a whole row and changes no order
            order = (query - self._centre) @ (-2 * data.T)  # (b, n)
            order += squares
            value = np.partition(order, k - 1, axis=1)[:, k - 1 : k]
            kth = np.argmax(order == value, axis=1)
            # the distance itself from the difference: exact, and exactly 0 at a duplicate
            radius[first : first + rows] = np.linalg.norm(query - self.X_[kth], axis=1)
        return radius

    def _checked_neighbours(self, n: int, d: int) -> int:
        k = self.n_neighbors
        if isinstance(k, str):
            if k != "rule":
                raise ValueError(f'n_neighbors must be a whole number or "rule", got {k!r}')
            k = neighbours_rule(n, d)
        if not isinstance(k, Integral) or isinstance(k, bool):
            raise ValueError(f'n_neighbors must be a whole number or "rule", got {k!r}')
        least = 2 if self.numerator == "k-1" else 1
        if k < least:
            hint = '; pass numerator="k" for a single neighbour' if k == 1 else ""
            raise ValueError(
                f"n_neighbors must be at least {least} with numerator={self.numerator!r}, got {k}{hint}"
            )
        if k > n:
            raise ValueError(
                f"n_neighbors={k} is more than n_samples={n}: no ball holds {k} samples; "
                "pass fewer neighbours or more samples"
            )
        return int(k)

    def _checked_method(self, d: int) -> str:
        if self.method not in ("auto", "window", "tree", "brute"):
            raise ValueError(f'method must be "auto", "window", "tree" or "brute", got {self.method!r}')
        if self.method == "window" and d != 1:
            raise ValueError(f'method="window" needs data with one column, got {d}; pass method="auto"')
        if self.method != "auto":
            return self.method
        return "window" if d == 1 else "tree" if d < _BRUTE_FROM else "brute"


def window_changes(sample: Float, k: int) -> Float:
    r"""Where the k nearest neighbours on the line change: midpoints :math:`(x_{(i)} + x_{(i+k)})/2`.

    On the line the `k` nearest samples are neighbours in the sorted sample, a window
    :math:`x_{(i)}, \dots, x_{(i+k-1)}`. Moving right, the window drops its first sample for the
    next one at the midpoint of the two. A query's window starts at
    ``np.searchsorted(window_changes(sample, k), query)``: one binary search.

    Parameters
    ----------
    sample : ndarray of shape (n,)
        Sorted sample.
    k : int
        Number of neighbours.

    Returns
    -------
    ndarray of shape (n - k,)
        Midpoints, in increasing order.

    Notes
    -----
    Taught in :ref:`knn`.
    """
    return 0.5 * sample[: len(sample) - k] + 0.5 * sample[k:]


def mass_on_window(model: KNNDensity, window: float | tuple[float, float]) -> float:
    r"""Integrate a one-dimensional nearest-neighbour estimate over a window, in closed form.

    Between two changes of the window of neighbours :math:`R_k(x)` is the distance to one sample,
    and :math:`\int dx / |x - s|` is a logarithm: nothing is approximated. Once all samples are
    inside, the mass grows by :math:`\frac{k-1}{n} \ln 10` (with ``numerator="k-1"``) for each
    further factor ten of the window, for ever.

    Parameters
    ----------
    model : KNNDensity
        A model fitted on data with one column.
    window : float or (float, float)
        `W` for the window :math:`[-W, W]`, or its two ends.

    Returns
    -------
    float
        The mass; ``inf`` if the window holds a point where `k` samples coincide.

    Raises
    ------
    ValueError
        If the model has more than one column or the window is empty or not finite.

    Notes
    -----
    Taught in :ref:`knn`.

    Examples
    --------
    Two samples at -1 and 1 with ``k = 2``: the estimate is ``1 / (4 (1 + abs(x)))``.

    >>> model = KNNDensity(n_neighbors=2).fit([[-1.0], [1.0]])
    >>> bool(np.isclose(mass_on_window(model, 3.0), np.log(4) / 2))
    True
    """
    check_is_fitted(model)
    if model.X_.shape[1] != 1:
        raise ValueError(
            f"model: mass_on_window is exact for one column, got a model of {model.X_.shape[1]}; "
            "use quadrature or importance sampling"
        )
    lower, upper = window if isinstance(window, tuple) else (-window, window)
    if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper):
        raise ValueError(f"window must be finite with lower < upper, got ({lower}, {upper})")
    sample, k = np.sort(model.X_[:, 0]), model.n_neighbors_
    changes = window_changes(sample, k)
    edges = np.concatenate([[lower], changes[(lower < changes) & (changes < upper)], [upper]])
    left, right = edges[:-1], edges[1:]
    start = np.searchsorted(changes, 0.5 * (left + right))
    first, last = sample[start], sample[start + k - 1]
    if np.any((first == last) & (left <= first) & (first <= right)):
        return math.inf
    # left of the middle of its window the k-th neighbour of x is `last`, right of it `first`
    middle = np.clip(0.5 * (first + last), left, right)
    pieces = np.log((last - left) / (last - middle)) + np.log((right - first) / (middle - first))
    return model._count / (2 * len(sample)) * float(pieces.sum())
