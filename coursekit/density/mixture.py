r"""Finite mixtures, fitted by expectation-maximization (EM) in log space.

.. math:: p(x) = \sum_{k=1}^{K} \pi_k \, p_k(x), \qquad \pi_k \ge 0, \quad \sum_k \pi_k = 1

Which component a row came from is hidden. EM guesses it in probability (the
**responsibilities**), fits each component to its share of the rows, and repeats. Each
round makes the data at least as likely as before.

Taught in :ref:`mixture`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, Self, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, xlogy
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from coursekit.base import DensityEstimator, Likelihood, catalogued
from coursekit.density.discrete import _bits

__all__ = ["BernoulliMixture", "GaussianMixture", "expectation_maximization"]

Array = NDArray[np.float64]
Seed = int | np.random.Generator | np.random.RandomState | None
CovarianceType = Literal["full", "diag", "tied"]
Theta = TypeVar("Theta")

_EMPTY = 1e-10  # a component with fewer rows than this keeps its shape
_FAR = 1e150  # further away than this (in standard deviations) the square would overflow


# ----------------------------------------------------------------------------------------------
# The algorithm


def expectation_maximization(
    theta: Theta,
    log_joint: Callable[[Theta], Array],
    m_step: Callable[[Array, Theta], Theta],
    *,
    penalty: Callable[[Theta], float] = lambda theta: 0.0,
    max_iter: int = 500,
    tol: float = 1e-6,
) -> tuple[Theta, Array]:
    r"""Climb the likelihood of a mixture from `theta` until a round gains less than `tol`.

    The E-step is :math:`r_{ik} = \pi_k p_k(x_i) / \sum_j \pi_j p_j(x_i)`, in logarithms; the M-step
    maximizes :math:`\sum_{ik} r_{ik} \log \pi_k p_k(x_i)`.

    Parameters
    ----------
    theta : object
        Where to start.
    log_joint : callable
        ``log_joint(theta)`` is the array (n, K) of :math:`\log \pi_k p_k(x_i)`.
    m_step : callable
        ``m_step(responsibilities, theta)`` is the next `theta`, from an array (n, K).
    penalty : callable, optional
        ``penalty(theta)`` is added to the mean log-likelihood, as the logarithm of a prior.
    max_iter : int
        Largest number of rounds.
    tol : float
        Least gain of a round, in nats per row.

    Returns
    -------
    theta : object
        The last one.
    history : ndarray of shape (rounds + 1,)
        Mean log-likelihood plus penalty, in nats per row, before each round and at the end.

    References
    ----------
    Dempster, Laird and Rubin (1977).

    Notes
    -----
    Taught in :ref:`mixture`.
    """
    history: list[float] = []
    while True:
        log_terms = log_joint(theta)  # (n, K)
        log_p = logsumexp(log_terms, axis=1)  # (n,)
        history.append(float(np.mean(log_p)) + penalty(theta))
        gained = len(history) < 2 or history[-1] - history[-2] >= tol
        if not gained or len(history) > max_iter:
            return theta, np.array(history)
        theta = m_step(np.exp(log_terms - log_p[:, None]), theta)


# ----------------------------------------------------------------------------------------------
# What all mixtures share


def _log(weights: Array) -> Array:
    with np.errstate(divide="ignore"):  # an empty component: log 0 = -inf is the right answer
        return np.log(weights)


def _count(value: Any, name: str) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: got {value!r}, expected a whole number >= 1")
    return int(value)


def _number(value: Any, name: str) -> float:
    if not isinstance(value, Real) or not 0 <= float(value) < np.inf:
        raise ValueError(f"{name}: got {value!r}, expected a finite number >= 0")
    return float(value)


class _Mixture(DensityEstimator):
    """EM with restarts. A subclass says how to start, and what its two steps are."""

    likelihood = Likelihood.EXACT
    n_components: int
    n_init: int
    max_iter: int
    tol: float
    start: Any
    random_state: Any

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Run EM from every start and keep the likeliest end.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Training data.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        self
            The fitted model.

        Raises
        ------
        ValueError
            If a parameter is out of its range, there are fewer rows than components, or the data are not
            of the model's kind.
        """
        data = self._prepared(X)  # (n, d), in the units that EM works in
        n_init, max_iter = _count(self.n_init, "n_init"), _count(self.max_iter, "max_iter")
        tol = _number(self.tol, "tol")
        rng = np.random.default_rng(self.random_state)
        if self.start is not None:
            starts = [self._m_step(data, self._given_start(len(data)), None)]
        else:
            starts = [self._random_start(data, rng) for _ in range(n_init)]
        runs = [
            expectation_maximization(
                theta,
                lambda theta: self._log_joint(data, theta),
                lambda r, theta: self._m_step(data, r, theta),
                penalty=lambda theta: self._penalty(theta, len(data)),
                max_iter=max_iter,
                tol=tol,
            )
            for theta in starts
        ]
        self.histories_ = [history + self._log_unit() for _, history in runs]
        best = int(np.argmax([history[-1] for history in self.histories_]))
        self._theta, self.history_ = runs[best][0], self.histories_[best]
        self.n_iter_ = len(self.history_) - 1
        self.converged_ = bool(self.history_[-1] - self.history_[-2] < tol)
        if not self.converged_:
            warnings.warn(
                f"EM was still gaining {self.history_[-1] - self.history_[-2]:.1g} nats per row after "
                f"max_iter={max_iter} rounds; raise max_iter or tol",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._publish()
        return self

    def log_prob(self, x: ArrayLike) -> Array:
        """Log-density (or log-probability) of each row, exactly.

        Parameters
        ----------
        x : array_like of shape (n, d)
            Where to evaluate.

        Returns
        -------
        ndarray of shape (n,)
            In nats.
        """
        return logsumexp(self._joint(x), axis=1) + self._log_unit()

    def predict_proba(self, X: ArrayLike) -> Array:
        """Responsibilities: the probability of each component given the row.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Rows.

        Returns
        -------
        ndarray of shape (n, K)
            Rows sum to one.
        """
        log_terms = self._joint(X)
        return np.exp(log_terms - logsumexp(log_terms, axis=1, keepdims=True))

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Most responsible component of each row.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Rows.

        Returns
        -------
        ndarray of shape (n,)
            Indices from 0 to K - 1.
        """
        return self._joint(X).argmax(axis=1)

    def sample(self, n_samples: int = 1, random_state: Seed = None) -> Array:
        """Draw rows: a component by its weight, then a row of that component.

        Parameters
        ----------
        n_samples : int
            Number of rows.
        random_state : int, Generator, RandomState or None
            Source of randomness.

        Returns
        -------
        ndarray of shape (n_samples, d)
            New rows, in random order.
        """
        check_is_fitted(self)
        n, rng = _count(n_samples, "n_samples"), np.random.default_rng(random_state)
        component = rng.choice(len(self.weights_), size=n, p=self.weights_)
        return self._draw(component, rng)

    def bic(self, X: ArrayLike) -> float:
        r"""Bayesian information criterion, :math:`-2 \log L + m \log n`; small is good.

        Parameters
        ----------
        X : array_like of shape (n, d)
            The training data.

        Returns
        -------
        float
            In nats, twice; `m` is the number of free parameters.

        References
        ----------
        Schwarz (1978).
        """
        log_p = self.log_prob(X)
        return float(-2 * np.sum(log_p) + self.n_parameters * np.log(len(log_p)))

    @property
    def n_parameters(self) -> int:
        """Number of free parameters."""
        raise NotImplementedError

    def _joint(self, x: ArrayLike) -> Array:
        """Log of weight times component, (n, K), in the units that EM works in."""
        return self._log_joint(self._to_units(self._query(x)), self._theta)

    def _given_start(self, n: int) -> Array:
        """Responsibilities to start from."""
        r = np.asarray(self.start, dtype=np.float64)
        if r.shape != (n, self.n_components):
            raise ValueError(
                f"start: got shape {r.shape}, expected ({n}, {self.n_components}): "
                "the responsibility of each component for each row"
            )
        if not (np.all(r >= 0) and np.allclose(r.sum(axis=1), 1)):
            raise ValueError("start: each row must be non-negative and sum to 1")
        return r

    def _enough(self, n: int) -> None:
        if _count(self.n_components, "n_components") > n:
            raise ValueError(f"n_components: got {self.n_components}, more than the {n} row(s) of X")

    # What a subclass writes; `theta` is its parameters, a tuple that begins with weights and means.
    weights_: Array
    _theta: Any

    def _prepared(self, X: ArrayLike) -> Array:
        raise NotImplementedError

    def _to_units(self, x: Array) -> Array:
        return x

    def _log_unit(self) -> float:
        """Return what turns a log-density in EM's units into one in the data's."""
        return 0.0

    def _random_start(self, X: Array, rng: np.random.Generator) -> Any:
        raise NotImplementedError

    def _log_joint(self, X: Array, theta: Any) -> Array:
        raise NotImplementedError

    def _m_step(self, X: Array, r: Array, theta: Any) -> Any:
        raise NotImplementedError

    def _penalty(self, theta: Any, n: int) -> float:
        return 0.0

    def _publish(self) -> None:
        raise NotImplementedError

    def _draw(self, component: NDArray[np.int64], rng: np.random.Generator) -> Array:
        raise NotImplementedError


# ----------------------------------------------------------------------------------------------
# Gaussians


class _Gaussians(NamedTuple):
    """Parameters in units of each column's standard deviation.

    A factor A turns a gap into standard normal coordinates, z = gap A (a matrix) or gap * A (a vector):
    the log-density is -|z|^2 / 2 + log |det A| and a constant.
    """

    weights: Array  # (K,)
    means: Array  # (K, d)
    covariances: Array  # (K, d, d), or (K, d) where diagonal
    factors: Array  # the same shape


def _floored(scatter: Array, floor: float) -> tuple[Array, Array]:
    """Likeliest covariance with no eigenvalue below `floor`, and its factor: clip the eigenvalues."""
    if scatter.ndim == 1:  # the variances of a diagonal
        variances = np.maximum(scatter, floor)
        return variances, variances**-0.5
    values, vectors = np.linalg.eigh(scatter)
    values = np.maximum(values, floor)
    return (vectors * values) @ vectors.T, vectors * values**-0.5


def _spread_out_rows(X: Array, k: int, rng: np.random.Generator) -> Array:
    """`k` rows of X, each drawn in proportion to its squared distance from those before it (k-means++)."""
    rows = [int(rng.integers(len(X)))]
    distance = np.full(len(X), np.inf)
    for _ in range(1, k):
        distance = np.minimum(distance, np.sum((X - X[rows[-1]]) ** 2, axis=1))
        total = distance.sum()
        p = distance / total if total > 0 else None  # all rows are taken: any will do
        rows.append(int(rng.choice(len(X), p=p)))
    return X[rows]


@catalogued(
    examples=lambda d: [
        GaussianMixture(8, covariance_type="tied", n_init=1, tol=1e-4, floor=0.02, random_state=0),
        GaussianMixture(3, n_init=2, random_state=0),
        GaussianMixture(3, covariance_type="diag", n_init=2, random_state=0),
    ],
    dims=(1, 2, 3),
    cost={"fit": "O(n K d^2) a round", "log_prob": "O(K d^2)", "sample": "O(d^2)"},
)
class GaussianMixture(_Mixture):
    r"""Mixture of Gaussians: :math:`p(x) = \sum_k \pi_k \, \mathcal{N}(x;\, \mu_k, \Sigma_k)`.

    Everything is done in units of each column's standard deviation, so the model does not depend on the
    units of the data. The likelihood of a Gaussian mixture has no maximum: a component that shrinks onto
    one row makes it infinite. Here no covariance is allowed below `floor`, which is a constraint and not
    an addition to the diagonal: EM with it still never decreases the likelihood.

    Parameters
    ----------
    n_components : int, default=1
        Number of components, K.
    covariance_type : {"full", "diag", "tied"}
        A covariance matrix for each component, a diagonal one for each, or one matrix for all.
    floor : float, default=1e-3
        Least eigenvalue of a covariance matrix, with each column measured in its standard deviation.
    alpha : float, default=0.0
        How many rows' worth of the covariance of all data is mixed into each component's own, as a prior
        does. EM then climbs the mean log-likelihood plus the log-prior over n.
    n_init : int, default=5
        Number of random starts; the likeliest end is kept.
    max_iter : int, default=500
        Largest number of rounds.
    tol : float, default=1e-6
        Stop when a round gains less than this, in nats per row.
    start : array_like of shape (n, K), optional
        Responsibilities to start from, in place of random starts.
    random_state : int, Generator, RandomState or None
        Decides the starts.

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
        Weights of the components.
    means_ : ndarray of shape (K, d)
        Their means, in units of the data.
    covariances_ : ndarray of shape (K, d, d), (K, d) or (d, d)
        Their covariances (full, diag, tied), in squared units of the data.
    history_ : ndarray of shape (rounds + 1,)
        Mean log-likelihood of the training data (with ``alpha > 0``, plus the log-prior over n up to a
        constant) before each round and at the end, in nats per row.
    histories_ : list of ndarray
        The same for every start.
    n_iter_ : int
        Rounds of the run that was kept.
    converged_ : bool
        Whether it stopped by `tol`.

    References
    ----------
    Dempster, Laird and Rubin (1977); McLachlan and Peel (2000); Hathaway (1985) on the constraint.

    Notes
    -----
    Taught in :ref:`mixture`.

    Examples
    --------
    >>> X = [[-2.0], [-2.1], [-1.9], [3.0], [3.1], [2.9]]
    >>> sorted(GaussianMixture(2, random_state=0).fit(X).means_.round(6).ravel().tolist())
    [-2.0, 3.0]
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType = "full",
        floor: float = 1e-3,
        alpha: float = 0.0,
        n_init: int = 5,
        max_iter: int = 500,
        tol: float = 1e-6,
        start: ArrayLike | None = None,
        random_state: Seed = None,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.floor = floor
        self.alpha = alpha
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.start = start
        self.random_state = random_state

    _centre: Array  # of the columns, in units of the data
    _scale: Array
    _overall: Array  # covariance of all data in EM's units: their correlation matrix, or its diagonal

    def _prepared(self, X: ArrayLike) -> Array:
        data = self._training_data(X, at_least=2)
        if self.covariance_type not in get_args(CovarianceType):
            raise ValueError(
                f"covariance_type: got {self.covariance_type!r}, expected one of {get_args(CovarianceType)}"
            )
        if not isinstance(self.floor, Real) or not 0 < float(self.floor) < 1:
            raise ValueError(f"floor: got {self.floor!r}, expected a number between 0 and 1")
        _number(self.alpha, "alpha")
        self._enough(len(data))
        self._centre = data.mean(axis=0)
        reach = np.abs(data - self._centre).max(axis=0)
        constant = reach <= 1e-14 * np.abs(data).max(axis=0)
        if constant.any():
            raise ValueError(
                f"X is constant in column(s) {np.flatnonzero(constant).tolist()}, so no density fits it; "
                "drop the column(s)"
            )
        self._scale = reach * ((data - self._centre) / reach).std(axis=0)  # no overflow on the way
        z = self._to_units(data)
        self._overall = np.ones(z.shape[1]) if self.covariance_type == "diag" else z.T @ z / len(z)
        return z

    def _to_units(self, x: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.clip((x - self._centre) / self._scale, -_FAR, _FAR)

    def _log_unit(self) -> float:
        return -float(np.sum(np.log(self._scale)))

    def _random_start(self, X: Array, rng: np.random.Generator) -> _Gaussians:
        """Means on rows far from each other, covariances all alike: no component starts as a spike."""
        K = int(self.n_components)
        means = _spread_out_rows(X, K, rng)
        nearest = np.argmin([np.sum((X - mean) ** 2, axis=1) for mean in means], axis=0)
        gap = X - means[nearest]  # (n, d)
        scatter = np.mean(gap**2, axis=0) if self.covariance_type == "diag" else gap.T @ gap / len(X)
        covariance, factor = _floored(scatter, max(self.floor, 1e-3))
        shape = (K, *covariance.shape)
        return _Gaussians(
            np.full(K, 1 / K), means, np.broadcast_to(covariance, shape), np.broadcast_to(factor, shape)
        )

    def _log_joint(self, X: Array, theta: _Gaussians) -> Array:
        log_terms = np.empty((len(X), len(theta.weights)))
        for k, (mean, A) in enumerate(zip(theta.means, theta.factors, strict=True)):
            z = (X - mean) * A if A.ndim == 1 else (X - mean) @ A  # (n, d): subtract first, square then
            log_det = np.sum(np.log(np.abs(A))) if A.ndim == 1 else np.linalg.slogdet(A)[1]
            log_terms[:, k] = log_det - 0.5 * np.einsum("ij,ij->i", z, z)
        return log_terms + _log(theta.weights) - 0.5 * X.shape[1] * np.log(2 * np.pi)

    def _m_step(self, X: Array, r: Array, theta: _Gaussians | None) -> _Gaussians:
        count = r.sum(axis=0)  # (K,) rows that each component answers for
        alive = count > _EMPTY
        if theta is None:
            if not alive.all():
                raise ValueError(f"start: component(s) {np.flatnonzero(~alive).tolist()} have no rows")
            shape = (len(count), X.shape[1]) + (() if self.covariance_type == "diag" else (X.shape[1],))
            theta = _Gaussians(count / len(X), np.empty(shape[:2]), np.empty(shape), np.empty(shape))
        means, covariances, factors = (np.array(part) for part in theta[1:])
        pooled = np.zeros(X.shape[1:] * 2)  # (d, d)
        for k in np.flatnonzero(alive):
            share = r[:, k] / count[k]  # (n,) sums to one
            means[k] = share @ X
            gap = X - means[k]
            if self.covariance_type == "diag":
                covariances[k], factors[k] = self._shrunk(share @ gap**2, count[k])
                continue
            scatter = (gap * share[:, None]).T @ gap  # (d, d)
            pooled += count[k] / len(X) * scatter
            if self.covariance_type == "full":
                covariances[k], factors[k] = self._shrunk(scatter, count[k])
        if self.covariance_type == "tied":
            covariances[:], factors[:] = self._shrunk(pooled, len(X))
        return _Gaussians(count / len(X), means, covariances, factors)

    def _shrunk(self, scatter: Array, count: float) -> tuple[Array, Array]:
        """Covariance from `count` rows of its own and `alpha` rows' worth of all data, above the floor."""
        if self.alpha > 0:
            scatter = (count * scatter + self.alpha * self._overall) / (count + self.alpha)
        return _floored(scatter, self.floor)

    def _penalty(self, theta: _Gaussians, n: int) -> float:
        """Log-prior over n, up to a constant: -alpha / 2 (log det C + trace C^-1 overall) for each C."""
        if self.alpha == 0:
            return 0.0
        total = 0.0
        for A in theta.factors[:1] if self.covariance_type == "tied" else theta.factors:
            if A.ndim == 1:
                total += 2 * np.sum(np.log(A)) - np.sum(A**2)
            else:
                total += 2 * np.linalg.slogdet(A)[1] - np.sum(A * (self._overall @ A))
        return float(0.5 * self.alpha * total / n)

    def _publish(self) -> None:
        self.weights_ = self._theta.weights / self._theta.weights.sum()
        self.means_ = self._centre + self._scale * self._theta.means
        if self.covariance_type == "diag":
            self.covariances_ = self._theta.covariances * self._scale**2
        else:
            self.covariances_ = self._theta.covariances * np.multiply.outer(self._scale, self._scale)
        if self.covariance_type == "tied":
            self.covariances_ = self.covariances_[0]

    def _draw(self, component: NDArray[np.int64], rng: np.random.Generator) -> Array:
        z = rng.standard_normal((len(component), self.n_features_in_))
        for k, A in enumerate(self._theta.factors):
            rows = component == k
            z[rows] = z[rows] / A if A.ndim == 1 else np.linalg.solve(A.T, z[rows].T).T
        return self._centre + self._scale * (self._theta.means[component] + z)

    @property
    def n_parameters(self) -> int:
        """Number of free parameters: weights, means and covariances."""
        check_is_fitted(self)
        K, d = self.means_.shape
        matrix = d * (d + 1) // 2
        return K - 1 + K * d + {"full": K * matrix, "diag": K * d, "tied": matrix}[self.covariance_type]


# ----------------------------------------------------------------------------------------------
# Bits


class _Bernoullis(NamedTuple):
    weights: Array  # (K,)
    probabilities: Array  # (K, d)


@catalogued(
    examples=lambda d: [
        BernoulliMixture(10, n_init=1, tol=1e-4, random_state=0),
        BernoulliMixture(3, alpha=0.1, n_init=2, random_state=0),
    ],
    dims=(1, 2, 5),
    support="binary",
    cost={"fit": "O(n K d) a round", "log_prob": "O(K d)", "sample": "O(d)"},
)
class BernoulliMixture(_Mixture):
    r"""Mixture of independent bits.

    .. math:: P(x) = \sum_k \pi_k \prod_i \theta_{ki}^{x_i} (1 - \theta_{ki})^{1 - x_i}

    Inside a component the bits are independent; together they are not. It has :math:`K (d + 1) - 1`
    parameters. With ``n_components=1`` it is :class:`~coursekit.density.discrete.IndependentBernoulli`.

    Parameters
    ----------
    n_components : int, default=1
        Number of components, K.
    alpha : float, default=1.0
        What is added to each component's count of ones and of zeros, as a Beta prior does. EM then climbs
        the mean log-likelihood plus the log-prior over n. With 0 it climbs the likelihood itself, and a
        bit that never changed in a component gets probability zero there.
    n_init, max_iter, tol, start, random_state
        As in :class:`GaussianMixture`.

    Attributes
    ----------
    weights_ : ndarray of shape (K,)
        Weights of the components.
    probabilities_ : ndarray of shape (K, d)
        Probability of a one, by component and column.
    history_, histories_, n_iter_, converged_
        As in :class:`GaussianMixture`; with ``alpha > 0`` the log-prior over n is part of the history.

    References
    ----------
    Bishop (2006), section 9.3.3.

    Notes
    -----
    Taught in :ref:`mixture`.

    Examples
    --------
    >>> X = [[0, 0], [0, 0], [1, 1], [1, 1]]
    >>> model = BernoulliMixture(2, alpha=0, random_state=0).fit(X)
    >>> np.exp(model.log_prob([[0, 0], [1, 1], [0, 1]])).round(3).tolist()
    [0.5, 0.5, 0.0]
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        alpha: float = 1.0,
        n_init: int = 5,
        max_iter: int = 500,
        tol: float = 1e-6,
        start: ArrayLike | None = None,
        random_state: Seed = None,
    ):
        self.n_components = n_components
        self.alpha = alpha
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.start = start
        self.random_state = random_state

    _values = staticmethod(_bits)

    def _prepared(self, X: ArrayLike) -> Array:
        data = self._values(self._training_data(X), "X")
        _number(self.alpha, "alpha")
        self._enough(len(data))
        return data

    def _to_units(self, x: Array) -> Array:
        return self._values(x, "x")

    def _random_start(self, X: Array, rng: np.random.Generator) -> _Bernoullis:
        """Each component half-way between a row and the mean of all rows, smoothed as the M-step does."""
        K, n = int(self.n_components), len(X)
        middle = 0.5 * (_spread_out_rows(X, K, rng) + X.mean(axis=0))  # (K, d)
        return _Bernoullis(np.full(K, 1 / K), (n * middle + self.alpha) / (n + 2 * self.alpha))

    def _log_joint(self, X: Array, theta: _Bernoullis) -> Array:
        log_one, log_zero = _log(theta.probabilities), _log(1 - theta.probabilities)  # (K, d)
        sure = np.isinf(log_one) | np.isinf(log_zero)  # probabilities of exactly 0 or 1
        usual = np.where(sure, 0.0, log_one), np.where(sure, 0.0, log_zero)  # as 0 * inf is not a number
        log_terms = X @ usual[0].T + (1 - X) @ usual[1].T + _log(theta.weights)  # (n, K)
        certain = np.where(sure, theta.probabilities, 0.0)
        surprises = (1 - X) @ certain.T + X @ np.where(sure, 1 - theta.probabilities, 0.0).T
        return np.where(surprises > 0, -np.inf, log_terms)

    def _m_step(self, X: Array, r: Array, theta: _Bernoullis | None) -> _Bernoullis:
        count = r.sum(axis=0)  # (K,)
        with np.errstate(invalid="ignore"):
            probabilities = (r.T @ X + self.alpha) / (count + 2 * self.alpha)[:, None]
        if theta is not None and self.alpha == 0:
            probabilities = np.where((count > _EMPTY)[:, None], probabilities, theta.probabilities)
        if np.isnan(probabilities).any():
            raise ValueError("start: a component has no rows; use alpha > 0 or another start")
        return _Bernoullis(count / len(X), np.clip(probabilities, 0.0, 1.0))

    def _penalty(self, theta: _Bernoullis, n: int) -> float:
        p = theta.probabilities
        return float(np.sum(xlogy(self.alpha, p) + xlogy(self.alpha, 1 - p))) / n

    def _publish(self) -> None:
        self.weights_ = self._theta.weights / self._theta.weights.sum()
        self.probabilities_ = self._theta.probabilities

    def _draw(self, component: NDArray[np.int64], rng: np.random.Generator) -> Array:
        p = self.probabilities_[component]
        return (rng.random(p.shape) < p).astype(np.float64)

    @property
    def n_parameters(self) -> int:
        """Number of free parameters, K (d + 1) - 1."""
        check_is_fitted(self)
        K, d = self.probabilities_.shape
        return K * (d + 1) - 1
