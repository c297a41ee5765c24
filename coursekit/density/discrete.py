r"""Laws on integers and on bits, small enough that everything about them can be enumerated.

A discrete variable has a probability mass function, not a density: here ``log_prob``
is the logarithm of a probability, never positive. With :math:`n` bits the models run
from :math:`n` parameters (independent bits) over :math:`n(n+1)/2` (logistic
autoregression) to :math:`2^n - 1` (the full table).

Taught in :ref:`what_is`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, gammaln, log_ndtr, logsumexp, xlogy
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from coursekit.base import DensityEstimator, Likelihood, catalogued

__all__ = [
    "BernoulliNaiveBayes",
    "Categorical",
    "DiscretizedGaussian",
    "DiscretizedKernelDensity",
    "FullTable",
    "IndependentBernoulli",
    "LogisticAutoregression",
    "Poisson",
]

Floats = NDArray[np.float64]
Seed = int | np.random.Generator | np.random.RandomState | None

MAX_STATES = 2**20
"""Largest table that a model here builds."""


# ---------------------------------------------------------------------------- input


def _integers(x: Floats, name: str) -> Floats:
    """Pass `x` if every value is an integer, else say which one is not."""
    wrong = x[x != np.rint(x)]
    if wrong.size:
        raise ValueError(
            f"{name}: got {wrong[0]:g}, expected integers; this model has a probability mass function, "
            "so real numbers need a density instead"
        )
    return x


def _bits(x: Floats, name: str) -> Floats:
    """Pass `x` if every value is 0 or 1, else say which one is not."""
    wrong = x[(x != 0) & (x != 1)]
    if wrong.size:
        raise ValueError(f"{name}: got {wrong[0]:g}, expected 0 or 1; threshold the data first")
    return x


def _at_least(value: float, name: str, low: float, *, strict: bool = False) -> float:
    """Pass a finite `value` that is at least (or above) `low`."""
    if not (np.isfinite(value) and (value > low if strict else value >= low)):
        raise ValueError(f"{name}: got {value!r}, expected a finite number {'>' if strict else '>='} {low:g}")
    return value


# ----------------------------------------------------------------------------- face


class _Discrete(DensityEstimator):
    """What the models here share: validated data, and each public method documented once."""

    likelihood = Likelihood.EXACT
    _values = staticmethod(_integers)
    _least_rows = 1

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Estimate the law from the rows of `X`.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Training data: integers, or zeros and ones for a model of bits.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        self
            The fitted model.

        Raises
        ------
        ValueError
            If a value is not of the model's kind, or a parameter is out of its range.
        """
        self._fit(self._values(self._training_data(X, at_least=self._least_rows), "X"))
        return self

    def log_prob(self, x: ArrayLike) -> Floats:
        """Log-probability of each row, exactly.

        Parameters
        ----------
        x : array_like of shape (n, d)
            Integers, or zeros and ones for a model of bits.

        Returns
        -------
        ndarray of shape (n,)
            Log-probability in nats; minus infinity where the probability is zero.

        Raises
        ------
        ValueError
            If a value is not of the model's kind.
        """
        return self._log_prob(self._values(self._query(x), "x"))

    def sample(self, n_samples: int = 1, random_state: Seed = None) -> Floats:
        """Draw rows.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, Generator, RandomState or None
            Source of randomness.

        Returns
        -------
        ndarray of shape (n_samples, d)
            Integers (or zeros and ones), as float64.

        Raises
        ------
        ValueError
            If `n_samples` is not a whole number of at least 1.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples: got {n_samples!r}, expected a whole number >= 1")
        return self._sample(int(n_samples), np.random.default_rng(random_state)).astype(np.float64)

    def _fit(self, X: Floats) -> None:
        raise NotImplementedError

    def _log_prob(self, x: Floats) -> Floats:
        raise NotImplementedError

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray:
        raise NotImplementedError


class _Bits(_Discrete):
    """A model whose data are zeros and ones."""

    _values = staticmethod(_bits)


# ------------------------------------------------------------------------- integers


@catalogued(
    examples=lambda d: [Categorical(), Categorical(states=range(-50, 51), alpha=0.5)],
    support="integer",
    cost={"fit": "O(n d)", "log_prob": "O(d log K)", "sample": "O(d log K)"},
)
class Categorical(_Discrete):
    r"""One probability per state; columns are independent.

    With :math:`c_k` of :math:`n` data in state :math:`k` of :math:`K`,

    .. math:: P(k) = \frac{c_k + \alpha}{n + \alpha K},

    the posterior mean under a symmetric Dirichlet prior. ``alpha=0`` is maximum
    likelihood: a state that was not seen has probability zero and log-probability
    minus infinity. ``alpha=1`` is Laplace's rule of succession.

    Parameters
    ----------
    states : iterable of int, optional
        The states, the same for each column; from the smallest to the largest
        training value if not given. Smoothing can only reach a state that is stated.
    alpha : float, default=1.0
        What is added to each count.

    Attributes
    ----------
    states_ : ndarray of shape (K,)
        The states, in increasing order.
    probabilities_ : ndarray of shape (d, K)
        One law per column.

    Notes
    -----
    Taught in :ref:`what_is`.

    References
    ----------
    Laplace (1774), Mémoire sur la probabilité des causes par les évènements.

    Examples
    --------
    >>> model = Categorical(states=range(4), alpha=1).fit([[1], [1], [2]])
    >>> model.probabilities_.round(3)
    array([[0.143, 0.429, 0.286, 0.143]])
    """

    def __init__(self, *, states: Iterable[int] | None = None, alpha: float = 1.0):
        self.states = states
        self.alpha = alpha

    def _fit(self, X: Floats) -> None:
        alpha = _at_least(self.alpha, "alpha", 0.0)
        self.states_ = self._stated(X)
        index, known = self._index(X)
        if not known.all():
            raise ValueError(f"X: got {X[~known][0]:g}, expected one of the states; add it to `states`")
        n, d = X.shape
        k = len(self.states_)
        counts = np.stack([np.bincount(index[:, j], minlength=k) for j in range(d)])  # (d, K)
        self.probabilities_ = (counts + alpha) / (n + alpha * k)

    def _stated(self, X: Floats) -> Floats:
        if self.states is not None:
            states = np.unique(_integers(np.asarray(list(self.states), dtype=np.float64), "states"))
            if not states.size:
                raise ValueError("states: got none, expected at least one integer")
            return states
        low, high = X.min(), X.max()
        if high - low >= MAX_STATES:
            raise ValueError(
                f"X: got integers from {low:g} to {high:g}, expected fewer than {MAX_STATES} states; "
                "state them"
            )
        return np.arange(low, high + 1)

    def _index(self, x: Floats) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Place of each value among the states, and whether it is one."""
        index = np.minimum(np.searchsorted(self.states_, x), len(self.states_) - 1)
        return index, self.states_[index] == x

    @property
    def n_parameters(self) -> int:
        """Number of free parameters, ``d (K - 1)``: each column's probabilities sum to one."""
        check_is_fitted(self)
        d, k = self.probabilities_.shape
        return d * (k - 1)

    def _log_prob(self, x: Floats) -> Floats:
        index, known = self._index(x)
        with np.errstate(divide="ignore"):  # log 0 is the right answer for a state without probability
            table = np.log(self.probabilities_)
        columns = np.take_along_axis(table.T, index, axis=0)  # (n, d)
        return np.where(known, columns, -np.inf).sum(axis=1)

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray:
        return np.column_stack([rng.choice(self.states_, size=n, p=p) for p in self.probabilities_])


@catalogued(
    examples=lambda d: [Poisson()],
    support="integer",
    cost={"fit": "O(n d)", "log_prob": "O(d)", "sample": "O(d)"},
)
class Poisson(_Discrete):
    r"""Independent Poisson columns, :math:`P(k) = e^{-\lambda} \lambda^k / k!`, by maximum likelihood.

    One parameter per column sets the mean and the variance at once, which is a strong
    assumption: data with another variance are fitted badly whatever their number.

    Attributes
    ----------
    rates_ : ndarray of shape (d,)
        The mean of each column.

    Notes
    -----
    Taught in :ref:`what_is`.

    References
    ----------
    Poisson (1837), Recherches sur la probabilité des jugements.

    Examples
    --------
    >>> Poisson().fit([[2], [4]]).rates_
    array([3.])
    """

    def _fit(self, X: Floats) -> None:
        if X.min() < 0:
            raise ValueError(
                f"X: got {X.min():g}, expected counts from 0: Negative values in data have no rate"
            )
        self.rates_ = X.mean(axis=0)

    def __sklearn_tags__(self):
        """Say that only counts from 0 can be fitted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    @property
    def n_parameters(self) -> int:
        """Number of free parameters: one rate per column."""
        check_is_fitted(self)
        return len(self.rates_)

    def _log_prob(self, x: Floats) -> Floats:
        k = np.maximum(x, 0)
        log_factorial = gammaln(k + 1)
        possible = (x >= 0) & np.isfinite(log_factorial)  # k! beyond floats: the probability is 0 in effect
        columns = xlogy(np.where(possible, k, 0), self.rates_) - self.rates_ - log_factorial
        return np.where(possible, columns, -np.inf).sum(axis=1)

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray:
        return rng.poisson(self.rates_, size=(n, len(self.rates_)))


def _log_cell_mass(k: Floats, mean: Floats, scale: Floats | float) -> Floats:
    r"""Logarithm of the Gaussian mass of :math:`[k - 1/2, k + 1/2]`.

    Both ends are mirrored to the left tail, where the logarithm of the normal
    distribution function is accurate; on the right its difference would be 1 - 1.
    """
    left, right = (k - 0.5 - mean) / scale, (k + 0.5 - mean) / scale
    mirrored = left + right > 0
    low = np.where(mirrored, -right, left)
    high = np.where(mirrored, -left, right)
    log_low, log_high = log_ndtr(low), log_ndtr(high)
    possible = log_high > -np.inf  # far out even the logarithm overflows: -inf is then the answer
    ratio = np.where(possible, log_low, -np.inf) - np.where(possible, log_high, 0.0)
    with np.errstate(divide="ignore"):  # a cell narrower than the spacing of floats has mass 0
        return log_high + np.log1p(-np.exp(np.minimum(ratio, 0.0)))


@catalogued(
    examples=lambda d: [DiscretizedGaussian()],
    support="integer",
    cost={"fit": "O(n d)", "log_prob": "O(d)", "sample": "O(d)"},
)
class DiscretizedGaussian(_Discrete):
    r"""A Gaussian rounded to the nearest integer; columns are independent.

    .. math:: P(k) = \Phi\!\left(\frac{k + 1/2 - \mu}{\sigma}\right)
                   - \Phi\!\left(\frac{k - 1/2 - \mu}{\sigma}\right),

    with the mean and the standard deviation of the data for :math:`\mu` and :math:`\sigma`.
    Unlike a Poisson law it lets the mean and the spread differ, and it spills over to
    negative integers.

    Attributes
    ----------
    means_, scales_ : ndarray of shape (d,)
        Mean and standard deviation of each column.

    Notes
    -----
    Taught in :ref:`what_is`.

    Examples
    --------
    >>> model = DiscretizedGaussian().fit([[4], [5], [6]])
    >>> bool(model.log_prob([[7]]) > model.log_prob([[8]]))
    True
    """

    _least_rows = 2

    def _fit(self, X: Floats) -> None:
        self.means_, self.scales_ = X.mean(axis=0), X.std(axis=0)
        if not (self.scales_ > 0).all():
            column = int(np.argmin(self.scales_))
            raise ValueError(
                f"X: all values of column {column} are equal, expected at least two; its spread is 0"
            )

    @property
    def n_parameters(self) -> int:
        """Number of free parameters: a mean and a scale per column."""
        check_is_fitted(self)
        return 2 * len(self.means_)

    def _log_prob(self, x: Floats) -> Floats:
        return _log_cell_mass(x, self.means_, self.scales_).sum(axis=1)

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray:
        return np.rint(rng.normal(self.means_, self.scales_, size=(n, len(self.means_))))


@catalogued(
    examples=lambda d: [DiscretizedKernelDensity(), DiscretizedKernelDensity(bandwidth=0.4)],
    dims=(1,),
    support="integer",
    cost={"fit": "O(n d)", "log_prob": "O(n d)", "sample": "O(d)"},
)
class DiscretizedKernelDensity(_Discrete):
    r"""A Gaussian bump on each datum, rounded to the nearest integer.

    .. math:: P(k) = \frac1n \sum_{i=1}^n \prod_j \left[\Phi\!\left(\frac{k_j + 1/2 - x_{ij}}{h}\right)
                   - \Phi\!\left(\frac{k_j - 1/2 - x_{ij}}{h}\right)\right].

    It is a kernel density estimate whose density was integrated over cells of width one,
    so that it can be compared with other probability mass functions.

    Parameters
    ----------
    bandwidth : float, default=1.0
        Standard deviation :math:`h` of a bump, in units of the data.

    Attributes
    ----------
    data_ : ndarray of shape (n, d)
        The training data.

    Notes
    -----
    Taught in :ref:`what_is`. The density before rounding is taught in :ref:`kde`.

    Examples
    --------
    >>> model = DiscretizedKernelDensity(bandwidth=0.5).fit([[4], [6]])
    >>> float(model.log_prob([[4]])[0]) == float(model.log_prob([[6]])[0])
    True
    """

    def __init__(self, *, bandwidth: float = 1.0):
        self.bandwidth = bandwidth

    def _fit(self, X: Floats) -> None:
        _at_least(self.bandwidth, "bandwidth", 0.0, strict=True)
        self.data_ = X.copy()

    def _log_prob(self, x: Floats) -> Floats:
        bumps = _log_cell_mass(x[:, None, :], self.data_[None], self.bandwidth)  # (n, data, d)
        return logsumexp(bumps.sum(axis=2), axis=1) - np.log(len(self.data_))

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray:
        centres = self.data_[rng.integers(len(self.data_), size=n)]
        return np.rint(rng.normal(centres, self.bandwidth))


# ----------------------------------------------------------------------------- bits


@catalogued(
    examples=lambda d: [IndependentBernoulli(), IndependentBernoulli(alpha=0.1)],
    dims=(1, 2, 5),
    support="binary",
    cost={"fit": "O(n d)", "log_prob": "O(d)", "sample": "O(d)"},
)
class IndependentBernoulli(_Bits):
    r"""Independent bits: :math:`P(x) = \prod_i \theta_i^{x_i} (1 - \theta_i)^{1 - x_i}`.

    Parameters
    ----------
    alpha : float, default=1.0
        What is added to the count of ones and to the count of zeros. With 0 a bit that
        never changed in training gives probability zero to its other value.

    Attributes
    ----------
    probabilities_ : ndarray of shape (d,)
        Probability of a one in each column.

    Notes
    -----
    Taught in :ref:`what_is`.

    Examples
    --------
    >>> IndependentBernoulli(alpha=1).fit([[0, 1], [1, 1]]).probabilities_
    array([0.5 , 0.75])
    """

    def __init__(self, *, alpha: float = 1.0):
        self.alpha = alpha

    def _fit(self, X: Floats) -> None:
        alpha = _at_least(self.alpha, "alpha", 0.0)
        self.probabilities_ = (X.sum(axis=0) + alpha) / (len(X) + 2 * alpha)

    @property
    def n_parameters(self) -> int:
        """Number of free parameters: one per bit."""
        check_is_fitted(self)
        return len(self.probabilities_)

    def _log_prob(self, x: Floats) -> Floats:
        p = self.probabilities_
        return (xlogy(x, p) + xlogy(1 - x, 1 - p)).sum(axis=1)  # xlogy(0, 0) = 0

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray:
        uniform = rng.random((n, len(self.probabilities_)))
        return uniform < self.probabilities_


@catalogued(
    examples=lambda d: [FullTable(), FullTable(alpha=0.1)],
    dims=(1, 2, 5),
    support="binary",
    cost={"fit": "O(n d + 2^d)", "log_prob": "O(d)", "sample": "O(d)"},
)
class FullTable(_Bits):
    r"""One probability for each of the :math:`2^d` states of :math:`d` bits.

    It can reach every law, with :math:`2^d - 1` parameters, and assumes nothing: what it
    knows about one state says nothing about the next.

    Parameters
    ----------
    alpha : float, default=1.0
        What is added to the count of each state.

    Attributes
    ----------
    probabilities_ : ndarray of shape (2**d,)
        Probability of each state; the first column is the highest bit of its index.

    Notes
    -----
    Taught in :ref:`what_is`.

    Examples
    --------
    >>> FullTable(alpha=1).fit([[0, 0], [1, 1]]).probabilities_.round(3)
    array([0.333, 0.167, 0.167, 0.333])
    """

    def __init__(self, *, alpha: float = 1.0):
        self.alpha = alpha

    def _fit(self, X: Floats) -> None:
        alpha = _at_least(self.alpha, "alpha", 0.0)
        n, d = X.shape
        if 2**d > MAX_STATES:
            raise ValueError(
                f"X: got {d} columns, which need a table of 2^{d} states, expected at most "
                f"{MAX_STATES.bit_length() - 1} columns; use LogisticAutoregression"
            )
        counts = np.bincount(self._state(X), minlength=2**d)
        self.probabilities_ = (counts + alpha) / (n + alpha * 2**d)

    @staticmethod
    def _state(x: Floats) -> NDArray[np.int64]:
        """Index of each row's state: the row read as a binary number."""
        place_values = 2 ** np.arange(x.shape[1])[::-1]
        return x.astype(np.int64) @ place_values

    @property
    def n_parameters(self) -> int:
        """Number of free parameters: all probabilities but one, for they sum to one."""
        check_is_fitted(self)
        return len(self.probabilities_) - 1

    def _log_prob(self, x: Floats) -> Floats:
        with np.errstate(divide="ignore"):  # log 0 is the right answer for an unseen state without smoothing
            return np.log(self.probabilities_[self._state(x)])

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray:
        state = rng.choice(len(self.probabilities_), size=n, p=self.probabilities_)
        shifts = np.arange(self.n_features_in_)[::-1]
        return (state[:, None] >> shifts) & 1


def _penalized_logistic(Z: Floats, t: Floats, ridge: float, *, max_iter: int = 100) -> Floats:
    r"""Maximize :math:`\sum_i \log \sigma(s_i z_i^\top w) - \frac{r}{2} |w|^2` by Newton's method.

    Here :math:`s_i = 2 t_i - 1`. The objective is strictly concave, so halving a step
    that overshoots makes the method converge from anywhere.
    """
    signs = 2 * t - 1

    def objective(w: Floats) -> float:
        return -np.logaddexp(0, -signs * (Z @ w)).sum() - 0.5 * ridge * w @ w

    w = np.zeros(Z.shape[1])
    value = objective(w)
    for _ in range(max_iter):
        p = expit(Z @ w)
        gradient = Z.T @ (t - p) - ridge * w
        hessian = (Z * (p * (1 - p))[:, None]).T @ Z + ridge * np.eye(len(w))
        step = np.linalg.solve(hessian, gradient)
        if gradient @ step < 1e-14 * max(1.0, abs(value)):  # what the step can still gain, times two
            return w
        while (new := objective(w + step)) < value and np.abs(step).max() > 1e-12:
            step = step / 2
        w, value = w + step, new
    warnings.warn(
        f"Newton's method did not converge in {max_iter} steps; raise `ridge`",
        ConvergenceWarning,
        stacklevel=3,
    )
    return w


@catalogued(
    examples=lambda d: [LogisticAutoregression(), LogisticAutoregression(ridge=0.01)],
    dims=(1, 2, 5),
    support="binary",
    cost={"fit": "O(n d^3) per Newton step", "log_prob": "O(d^2)", "sample": "O(d^2)"},
)
class LogisticAutoregression(_Bits):
    r"""Each bit given the bits before it is a logistic regression.

    .. math:: P(x) = \prod_{i=1}^d P(x_i \mid x_1, \dots, x_{i-1}),\qquad
              P(x_i = 1 \mid x_1, \dots, x_{i-1}) = \sigma\Big(b_i + \sum_{j<i} W_{ij} x_j\Big).

    It has :math:`d(d+1)/2` parameters, sums to one by construction and depends on the
    order of the columns.

    Parameters
    ----------
    ridge : float, default=1.0
        Half of `ridge` times the squared length of the parameters is taken off the total
        log-likelihood in ``fit``. It must be positive: without it a bit that the others
        predict perfectly would send its weights to infinity.

    Attributes
    ----------
    intercepts_ : ndarray of shape (d,)
        Log-odds of each bit when all bits before it are zero.
    weights_ : ndarray of shape (d, d)
        Strictly lower triangular; row i holds the weights of the bits before i.

    Notes
    -----
    Taught in :ref:`what_is`.

    References
    ----------
    Frey, Hinton and Dayan (1995), Does the wake-sleep algorithm produce good density
    estimators? NIPS 8.

    Examples
    --------
    >>> model = LogisticAutoregression(ridge=0.1).fit([[0, 0], [1, 1], [0, 0], [1, 1]])
    >>> model.n_parameters
    3
    >>> bool(model.log_prob([[1, 1]]) > model.log_prob([[1, 0]]))
    True
    """

    def __init__(self, *, ridge: float = 1.0):
        self.ridge = ridge

    def _fit(self, X: Floats) -> None:
        ridge = _at_least(self.ridge, "ridge", 0.0, strict=True)
        n, d = X.shape
        Z = np.column_stack([np.ones(n), X])  # the intercept first
        self.intercepts_, self.weights_ = np.zeros(d), np.zeros((d, d))
        for i in range(d):
            w = _penalized_logistic(Z[:, : i + 1], X[:, i], ridge)  # (i + 1,)
            self.intercepts_[i], self.weights_[i, :i] = w[0], w[1:]

    @property
    def n_parameters(self) -> int:
        """Number of free parameters, ``d (d + 1) / 2``."""
        check_is_fitted(self)
        d = len(self.intercepts_)
        return d * (d + 1) // 2

    def _log_prob(self, x: Floats) -> Floats:
        logits = self.intercepts_ + x @ self.weights_.T  # (n, d); column i sees the columns before i only
        return -np.logaddexp(0, (1 - 2 * x) * logits).sum(axis=1)

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray:
        d = len(self.intercepts_)
        uniform = rng.random((n, d))
        x = np.zeros_like(uniform)
        for i in range(d):
            x[:, i] = uniform[:, i] < expit(self.intercepts_[i] + x[:, :i] @ self.weights_[i, :i])
        return x


class BernoulliNaiveBayes(ClassifierMixin, BaseEstimator):
    r"""A generative classifier of bits: :math:`P(x, y) = P(y) \prod_i P(x_i \mid y)`.

    It models how each class makes its observations, with independent bits, and gets the
    label by Bayes' rule. The posterior is exact for the model, and over-confident where
    the bits of a class are not independent.

    Parameters
    ----------
    alpha : float, default=1.0
        What is added to the count of ones and to the count of zeros, in each class.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The labels.
    log_prior_ : ndarray of shape (K,)
        Logarithm of each class's share of the training data.
    probabilities_ : ndarray of shape (K, d)
        Probability of a one in each column, given the class.

    Notes
    -----
    Taught in :ref:`what_is`.

    References
    ----------
    Ng and Jordan (2001), On discriminative vs. generative classifiers. NIPS 14.

    Examples
    --------
    >>> model = BernoulliNaiveBayes().fit([[0, 0], [0, 1], [1, 1], [1, 1]], ["a", "a", "b", "b"])
    >>> model.predict([[1, 1]])
    array(['b'], dtype='<U1')
    """

    _values = staticmethod(_bits)

    def __init__(self, *, alpha: float = 1.0):
        self.alpha = alpha

    def fit(self, X: ArrayLike, y: ArrayLike) -> BernoulliNaiveBayes:
        """Count ones, class by class.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Zeros and ones.
        y : array_like of shape (n,)
            Labels.

        Returns
        -------
        BernoulliNaiveBayes
            The fitted model.

        Raises
        ------
        ValueError
            If a value is neither 0 nor 1, `y` is missing or not a label, or `alpha` is negative.
        """
        checked, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        X = self._values(checked, "X")
        alpha = _at_least(self.alpha, "alpha", 0.0)
        self.classes_, label = np.unique(y, return_inverse=True)
        member = np.eye(len(self.classes_))[label]  # (n, K), one-hot
        sizes = member.sum(axis=0)  # (K,)
        self.log_prior_ = np.log(sizes / len(X))
        self.probabilities_ = (member.T @ X + alpha) / (sizes[:, None] + 2 * alpha)
        return self

    @property
    def n_parameters(self) -> int:
        """Number of free parameters, ``K d + K - 1``."""
        check_is_fitted(self)
        k, d = self.probabilities_.shape
        return k * d + k - 1

    def log_joint(self, X: ArrayLike) -> Floats:
        """Log of the joint probability of each row and each label.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Zeros and ones.

        Returns
        -------
        ndarray of shape (n, K)
            Log-probability of row and label, in nats.

        Raises
        ------
        ValueError
            If a value is neither 0 nor 1.
        """
        check_is_fitted(self)
        checked: Any = validate_data(self, X, dtype=np.float64, reset=False)
        bits = self._values(checked, "X")
        p = self.probabilities_
        ones, zeros = bits[:, None, :], 1 - bits[:, None, :]  # (n, 1, d) against (K, d)
        return self.log_prior_ + (xlogy(ones, p) + xlogy(zeros, 1 - p)).sum(axis=2)

    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Log of the posterior probability of each label.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Zeros and ones.

        Returns
        -------
        ndarray of shape (n, K)
            Log-probability of the label given the row, in nats; the prior where no class
            gives the row a positive probability, which only ``alpha=0`` allows.
        """
        joint = self.log_joint(X)
        impossible = np.isneginf(joint).all(axis=1, keepdims=True)
        joint = np.where(impossible, self.log_prior_, joint)
        return joint - logsumexp(joint, axis=1, keepdims=True)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Posterior probability of each label.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Zeros and ones.

        Returns
        -------
        ndarray of shape (n, K)
            Probability of the label given the row.
        """
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: ArrayLike) -> NDArray:
        """Most probable label of each row.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Zeros and ones.

        Returns
        -------
        ndarray of shape (n,)
            Labels.
        """
        best = np.argmax(self.predict_log_proba(X), axis=1)
        return self.classes_[best]

    def sample_given(self, y: ArrayLike, random_state: Seed = None) -> Floats:
        """Draw one row for each label.

        Parameters
        ----------
        y : array_like of shape (n,)
            Labels that were in the training data.
        random_state : int, Generator, RandomState or None
            Source of randomness.

        Returns
        -------
        ndarray of shape (n, d)
            Zeros and ones, as float64.

        Raises
        ------
        ValueError
            If a label was not in the training data.
        """
        check_is_fitted(self)
        labels = np.asarray(y)
        match = labels[:, None] == self.classes_  # (n, K)
        if not match.any(axis=1).all():
            raise ValueError(
                f"y: got {labels[~match.any(axis=1)][0]!r}, expected one of {self.classes_.tolist()}"
            )
        p = self.probabilities_[match.argmax(axis=1)]
        return (np.random.default_rng(random_state).random(p.shape) < p).astype(np.float64)
