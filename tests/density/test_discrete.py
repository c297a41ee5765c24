"""The models of integers and bits against closed forms, scipy, scikit-learn and enumeration.

False-fail rate: every seed is fixed; the two statistical tests fail a right model with
probability below 1e-6 over seeds.
"""

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB
from sklearn.neighbors import KernelDensity as ReferenceKernelDensity
from sklearn.utils.estimator_checks import parametrize_with_checks

from coursekit import check
from coursekit.density import discrete
from coursekit.density.discrete import (
    BernoulliNaiveBayes,
    Categorical,
    DiscretizedGaussian,
    DiscretizedKernelDensity,
    FullTable,
    IndependentBernoulli,
    LogisticAutoregression,
    Poisson,
)

LIKELIHOOD = {
    "Categorical": "exact",
    "Poisson": "exact",
    "DiscretizedGaussian": "exact",
    "DiscretizedKernelDensity": "exact",
    "IndependentBernoulli": "exact",
    "FullTable": "exact",
    "LogisticAutoregression": "exact",
}

COUNTS = np.repeat([3, 4, 5, 6], [1, 6, 8, 5])[:, None].astype(float)  # (20, 1)


def states(d):
    """All 2^d rows of bits."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=d)))


def correlated_bits(n, d, seed=0):
    """A random walk of bits: each repeats the one before it three times in four."""
    rng = np.random.default_rng(seed)
    flips = rng.random((n, d)) < np.r_[0.4, np.full(d - 1, 0.25)]
    return (np.cumsum(flips, axis=1) % 2).astype(float)


# ------------------------------------------------------------------------- integers


def test_maximum_likelihood_gives_shares_and_an_unseen_state_gets_zero():
    model = Categorical(states=range(11), alpha=0).fit(COUNTS)
    k = np.arange(11)[:, None]
    np.testing.assert_allclose(
        np.exp(model.log_prob(k)), np.bincount(COUNTS[:, 0].astype(int), minlength=11) / 20
    )
    assert model.log_prob([[7]])[0] == -np.inf


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_smoothing_is_the_posterior_mean_of_a_dirichlet(alpha):
    model = Categorical(states=range(11), alpha=alpha).fit(COUNTS)
    counts = np.bincount(COUNTS[:, 0].astype(int), minlength=11)
    np.testing.assert_allclose(model.probabilities_[0], stats.dirichlet(counts + alpha).mean(), rtol=1e-12)


def test_laplace_rule_by_integrating_over_the_parameter():
    """The rule of succession (s + 1) / (n + 2), from Bayes' integral and no conjugacy."""
    s, n = 3, 10
    posterior = lambda t: t**s * (1 - t) ** (n - s)
    mean = integrate.quad(lambda t: t * posterior(t), 0, 1)[0] / integrate.quad(posterior, 0, 1)[0]
    x = np.repeat([1.0, 0.0], [s, n - s])[:, None]
    assert IndependentBernoulli(alpha=1).fit(x).probabilities_[0] == pytest.approx(mean, rel=1e-10)
    assert np.exp(Categorical(states=[0, 1], alpha=1).fit(x).log_prob([[1]])[0]) == pytest.approx(
        mean, rel=1e-10
    )


def test_a_value_that_is_no_state_has_probability_zero_and_cannot_be_trained_on():
    model = Categorical(states=[0, 2], alpha=1).fit([[0], [2]])
    np.testing.assert_array_equal(np.exp(model.log_prob([[1], [3], [-1]])), 0.0)
    with pytest.raises(ValueError, match="got 1, expected one of the states"):
        Categorical(states=[0, 2]).fit([[0], [1]])


def test_states_default_to_the_range_that_was_seen():
    model = Categorical(alpha=1).fit([[-2], [1]])
    np.testing.assert_array_equal(model.states_, [-2, -1, 0, 1])
    assert model.n_parameters == 3


@pytest.mark.parametrize(("states_", "match"), [([], "got none"), ([0.5, 1], "expected integers")])
def test_bad_states(states_, match):
    with pytest.raises(ValueError, match=match):
        Categorical(states=states_).fit([[0], [1]])


def test_a_range_too_wide_to_tabulate_is_refused():
    with pytest.raises(ValueError, match="state them"):
        Categorical().fit([[0], [10**9]])


def test_poisson_agrees_with_scipy_and_maximizes_the_likelihood():
    model = Poisson().fit(COUNTS)
    k = np.arange(-2, 40)
    np.testing.assert_allclose(model.log_prob(k[:, None]), stats.poisson(COUNTS.mean()).logpmf(k), rtol=1e-12)
    total = lambda rate: stats.poisson(rate).logpmf(COUNTS).sum()
    assert total(model.rates_[0]) > max(total(model.rates_[0] * f) for f in (0.99, 1.01))


def test_poisson_with_rate_zero_and_with_huge_counts():
    model = Poisson().fit([[0], [0]])
    np.testing.assert_array_equal(model.log_prob([[0], [1], [1e300]]), [0.0, -np.inf, -np.inf])
    assert Poisson().fit([[10**6]]).log_prob([[1e308]])[0] == -np.inf


def test_poisson_refuses_negative_counts():
    with pytest.raises(ValueError, match="got -1, expected counts"):
        Poisson().fit([[-1], [2]])


def test_discretized_gaussian_is_the_mass_of_a_cell():
    model = DiscretizedGaussian().fit(COUNTS)
    k = np.arange(0, 11)
    normal = stats.norm(COUNTS.mean(), COUNTS.std())
    np.testing.assert_allclose(
        np.exp(model.log_prob(k[:, None])), normal.cdf(k + 0.5) - normal.cdf(k - 0.5), rtol=1e-8
    )


@pytest.mark.parametrize("k", [-40, -3, 3, 40, 300])
def test_discretized_gaussian_is_accurate_in_both_tails(k):
    """Where 1 - cdf is lost in rounding: against the integral of the density, scaled by its maximum."""
    model = DiscretizedGaussian().fit([[-1], [1]])
    peak = stats.norm.logpdf(abs(k) - 0.5)
    scaled = integrate.quad(
        lambda t: np.exp(stats.norm.logpdf(t) - peak), abs(k) - 0.5, abs(k) + 0.5, epsabs=0
    )[0]
    assert model.log_prob([[k]])[0] == pytest.approx(peak + np.log(scaled), rel=1e-9)


@pytest.mark.parametrize("model", [DiscretizedGaussian(), DiscretizedKernelDensity()], ids=repr)
def test_far_integers_have_probability_zero_not_nan(model):
    log_p = model.fit(COUNTS).log_prob([[1e16], [-1e16], [1e160], [-1e300], [1e300]])
    np.testing.assert_array_equal(log_p, -np.inf)


def test_discretized_gaussian_refuses_constant_data():
    with pytest.raises(ValueError, match="column 1 are equal"):
        DiscretizedGaussian().fit([[1, 2], [3, 2]])


@pytest.mark.parametrize("bandwidth", [0.3, 1.0])
def test_discretized_kernel_density_integrates_the_density_over_a_cell(bandwidth):
    density = ReferenceKernelDensity(bandwidth=bandwidth).fit(COUNTS)
    model = DiscretizedKernelDensity(bandwidth=bandwidth).fit(COUNTS)
    for k in (0, 4, 5, 8):
        p = lambda t: np.exp(density.score_samples([[t]])[0])
        mass = integrate.quad(p, k - 0.5, k + 0.5, epsabs=1e-13, points=[k])[0]
        assert np.exp(model.log_prob([[k]])[0]) == pytest.approx(mass, rel=1e-8)


def test_discretized_kernel_density_in_two_columns():
    X = np.array([[0.0, 1.0], [2.0, 4.0], [3.0, 3.0]])
    model = DiscretizedKernelDensity(bandwidth=0.7).fit(X)
    grid = np.array(list(itertools.product(range(-8, 12), repeat=2)), dtype=float)
    check.sums_to_one(model, grid, tolerance=1e-9)
    check.samples_follow_density(model, states=grid)


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, np.inf, np.nan])
def test_bad_bandwidth(bandwidth):
    with pytest.raises(ValueError, match="bandwidth: got"):
        DiscretizedKernelDensity(bandwidth=bandwidth).fit(COUNTS)


# ----------------------------------------------------------------------------- bits


def test_independent_bits_agree_with_scipy():
    X = correlated_bits(50, 4)
    model = IndependentBernoulli(alpha=0).fit(X)
    reference = stats.bernoulli(X.mean(axis=0)).logpmf(states(4).astype(int)).sum(axis=1)
    np.testing.assert_allclose(model.log_prob(states(4)), reference, rtol=1e-12)


def test_the_full_table_counts_rows():
    X = correlated_bits(200, 3)
    seen = Counter(map(tuple, X.tolist()))
    expected = [(seen[tuple(row)] + 0.5) / (200 + 0.5 * 8) for row in states(3).tolist()]
    np.testing.assert_allclose(np.exp(FullTable(alpha=0.5).fit(X).log_prob(states(3))), expected, rtol=1e-12)
    assert np.isneginf(FullTable(alpha=0).fit(X[:1]).log_prob(1 - X[:1]))[0]


def test_the_full_table_refuses_what_no_memory_could_hold():
    with pytest.raises(ValueError, match=r"got 64 columns, which need a table of 2\^64"):
        FullTable().fit(np.zeros((3, 64)))


@pytest.mark.parametrize("ridge", [0.05, 1.0, 20.0])
def test_logistic_autoregression_agrees_with_scikit_learn(ridge):
    X = correlated_bits(300, 5)
    model = LogisticAutoregression(ridge=ridge).fit(X)
    Z = np.column_stack([np.ones(len(X)), X])
    for i in range(5):
        reference = LogisticRegression(C=1 / ridge, fit_intercept=False, tol=1e-10, max_iter=10_000)
        w = reference.fit(Z[:, : i + 1], X[:, i]).coef_[0]
        np.testing.assert_allclose(np.r_[model.intercepts_[i], model.weights_[i, :i]], w, atol=1e-5)
    assert np.all(np.triu(model.weights_) == 0)


def test_the_conditionals_are_those_of_the_joint():
    """P(x_i = 1 | earlier bits), from sums over the enumerated joint, is the logistic formula."""
    d = 5
    model = LogisticAutoregression(ridge=0.1).fit(correlated_bits(200, d))
    table = np.exp(model.log_prob(states(d))).reshape([2] * d)
    for i in range(d):
        joint = table.sum(axis=tuple(range(i + 1, d)))  # (2,) * (i + 1)
        conditional = (joint[..., 1] / joint.sum(axis=-1)).ravel()
        logits = model.intercepts_[i] + states(i) @ model.weights_[i, :i] if i else model.intercepts_[:1]
        np.testing.assert_allclose(conditional, 1 / (1 + np.exp(-logits)), rtol=1e-10)


def test_newton_converges_where_the_data_are_separable():
    """Two equal columns: without the ridge the weight would be infinite."""
    x = np.repeat([0.0, 1.0], 500)
    model = LogisticAutoregression(ridge=1e-6).fit(np.column_stack([x, x]))
    assert np.isfinite(model.weights_).all()
    assert model.weights_[1, 0] > 10
    check.sums_to_one(model, states(2))


@pytest.mark.parametrize("ridge", [0.0, -1.0, np.nan])
def test_bad_ridge(ridge):
    with pytest.raises(ValueError, match="ridge: got"):
        LogisticAutoregression(ridge=ridge).fit(states(2))


def test_logistic_autoregression_on_more_columns_than_rows():
    """Columns that never change, more columns than rows, and no enumeration: still finite and exact."""
    X = np.zeros((20, 100))
    X[:, ::7] = correlated_bits(20, 15)
    log_p = LogisticAutoregression().fit(X).log_prob(X)
    assert np.isfinite(log_p).all()
    assert (log_p < 0).all()


@pytest.mark.parametrize("alpha", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("cls", [Categorical, IndependentBernoulli, FullTable])
def test_bad_alpha(cls, alpha):
    with pytest.raises(ValueError, match="alpha: got"):
        cls(alpha=alpha).fit(states(2))


@pytest.mark.parametrize("cls", [IndependentBernoulli, FullTable, LogisticAutoregression])
def test_what_is_not_a_bit_is_refused_in_fit_and_in_log_prob(cls):
    with pytest.raises(ValueError, match=r"X: got 0\.5, expected 0 or 1"):
        cls().fit([[0.5, 1.0]])
    with pytest.raises(ValueError, match="x: got 2, expected 0 or 1"):
        cls().fit(states(2)).log_prob([[0, 2]])


@pytest.mark.parametrize(
    "model", [Categorical(), Poisson(), DiscretizedGaussian(), DiscretizedKernelDensity()]
)
def test_what_is_not_an_integer_is_refused_in_fit_and_in_log_prob(model):
    with pytest.raises(ValueError, match=r"X: got 2\.5, expected integers"):
        model.fit([[1.0], [2.5]])
    with pytest.raises(ValueError, match=r"x: got 0\.1, expected integers"):
        model.fit(COUNTS).log_prob([[0.1]])


@pytest.mark.parametrize("n_samples", [0, -1, 2.5])
def test_bad_number_of_samples(n_samples):
    with pytest.raises(ValueError, match="n_samples: got"):
        Poisson().fit(COUNTS).sample(n_samples)


@pytest.mark.parametrize("model", [IndependentBernoulli(), FullTable(), LogisticAutoregression()], ids=repr)
def test_samples_follow_a_law_that_no_reordering_of_its_bits_keeps(model):
    rng = np.random.default_rng(0)
    a = rng.random(2000) < 0.9
    X = np.column_stack([a, a & (rng.random(2000) < 0.5), rng.random(2000) < 0.1]).astype(float)
    check.samples_follow_density(model.fit(X), states=states(3))


def test_the_model_keeps_its_own_copy_of_the_data():
    X = COUNTS.copy()
    model = DiscretizedKernelDensity().fit(X)
    before = model.log_prob(COUNTS)
    X[:] = 100
    np.testing.assert_array_equal(model.log_prob(COUNTS), before)


# ----------------------------------------------------- the count of the parameters


def _independent(theta):
    model = IndependentBernoulli().fit(states(4))
    model.probabilities_ = theta
    return model


def _autoregressive(theta):
    model = LogisticAutoregression().fit(states(4))
    model.intercepts_ = theta[:4]
    model.weights_[np.tril_indices(4, -1)] = theta[4:]
    return model


def _table(theta):
    model = FullTable().fit(states(4))
    model.probabilities_ = np.r_[theta, 1 - theta.sum()]
    return model


def _categorical(theta):
    model = Categorical(states=range(6)).fit(np.arange(6.0)[:, None])
    model.probabilities_ = np.r_[theta, 1 - theta.sum()][None]
    return model


@pytest.mark.parametrize(
    ("make", "theta", "support"),
    [
        (_independent, np.array([0.2, 0.5, 0.7, 0.9]), states(4)),
        (_autoregressive, np.linspace(-1, 1.3, 10), states(4)),
        (_table, np.random.default_rng(0).dirichlet(np.ones(16))[:-1], states(4)),
        (_categorical, np.random.default_rng(0).dirichlet(np.ones(6))[:-1], np.arange(6.0)[:, None]),
    ],
    ids=["independent", "autoregressive", "table", "categorical"],
)
def test_parameter_count_is_the_rank_of_the_jacobian(make, theta, support):
    """The map from parameters to the probability of every state has full rank: no parameter is redundant."""
    pmf = lambda t: np.exp(make(t).log_prob(support))
    step = 1e-5
    columns = [(pmf(theta + step * e) - pmf(theta - step * e)) / (2 * step) for e in np.eye(len(theta))]
    singular = np.linalg.svd(np.stack(columns, axis=1), compute_uv=False)
    assert np.sum(singular > 1e-6 * singular[0]) == make(theta).n_parameters == len(theta)


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_parameter_counts(n):
    X = correlated_bits(40, n)
    assert IndependentBernoulli().fit(X).n_parameters == n
    assert LogisticAutoregression().fit(X).n_parameters == n * (n + 1) // 2
    assert FullTable().fit(X).n_parameters == 2**n - 1 == sum(2**i for i in range(n))


def test_two_bits_are_the_case_where_autoregression_is_the_full_table():
    """With n = 2 both have three parameters and the same maximum of the likelihood."""
    X = correlated_bits(500, 2)
    full = FullTable(alpha=0).fit(X).log_prob(states(2))
    np.testing.assert_allclose(LogisticAutoregression(ridge=1e-9).fit(X).log_prob(states(2)), full, atol=1e-6)


# --------------------------------------------------------------------- naive Bayes


def classes(n=300, d=6, seed=1):
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    return (rng.random((n, d)) < rng.random((3, d))[y]).astype(float), np.array(["a", "b", "c"])[y]


def test_naive_bayes_agrees_with_scikit_learn():
    X, y = classes()
    ours, theirs = BernoulliNaiveBayes(alpha=0.7).fit(X, y), BernoulliNB(alpha=0.7).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(states(6)), theirs.predict_proba(states(6)), rtol=1e-10)
    np.testing.assert_allclose(ours.log_joint(X), theirs.predict_joint_log_proba(X), rtol=1e-10)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_naive_bayes_posterior_by_enumeration():
    """The joint sums to one over rows and labels; dividing by the sum over labels is Bayes' rule."""
    model = BernoulliNaiveBayes().fit(*classes())
    joint = np.exp(model.log_joint(states(6)))  # (64, 3)
    assert joint.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(
        model.predict_proba(states(6)), joint / joint.sum(axis=1, keepdims=True), rtol=1e-12
    )
    assert model.n_parameters == 3 * 6 + 2


def test_naive_bayes_draws_from_the_class_that_was_asked_for():
    model = BernoulliNaiveBayes().fit(*classes())
    draws = model.sample_given(np.repeat(["c", "a"], 20_000), random_state=0)
    for block, k in ((draws[:20_000], 2), (draws[20_000:], 0)):
        p = model.probabilities_[k]
        z = (block.mean(axis=0) - p) / np.sqrt(p * (1 - p) / 20_000)
        assert np.abs(z).max() < 5.5  # 12 normal values: false-fail rate 5e-7
    with pytest.raises(ValueError, match="expected one of"):
        model.sample_given(["d"])


def test_naive_bayes_falls_back_on_the_prior_where_no_class_is_possible():
    model = BernoulliNaiveBayes(alpha=0).fit([[1, 0], [1, 0], [0, 1]], [0, 0, 1])
    np.testing.assert_allclose(model.predict_proba([[0, 0]]), [[2 / 3, 1 / 3]])


def test_naive_bayes_refuses_other_data():
    with pytest.raises(ValueError, match="expected 0 or 1"):
        BernoulliNaiveBayes().fit([[0.5], [1]], [0, 1])
    with pytest.raises(ValueError, match="alpha: got"):
        BernoulliNaiveBayes(alpha=-1).fit([[0], [1]], [0, 1])


class ThresholdingNaiveBayes(BernoulliNaiveBayes):
    """The classifier itself, but real numbers become bits instead of being refused."""

    _values = staticmethod(lambda x, name: (x > 0).astype(np.float64))


@parametrize_with_checks([ThresholdingNaiveBayes()])
def test_scikit_learn_conventions(estimator, check):
    """The other models here are estimators of the catalogue, whose checks run with all laws."""
    check(estimator)


def test_every_public_name_is_a_class_here():
    assert all(isinstance(getattr(discrete, name), type) for name in discrete.__all__)
