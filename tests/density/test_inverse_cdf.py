"""Quantiles, alias tables and the Rosenblatt transform against scipy, enumeration and quadrature.

Statistical tests use fixed seeds and fail a right implementation with probability 1e-6 each.
"""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, stats
from sklearn.utils.estimator_checks import check_estimator

from coursekit import check
from coursekit.data import Bimodal, SwissRoll, TwoMoons
from coursekit.density.inverse_cdf import (
    AliasTable,
    EmpiricalCDF,
    Gaussian,
    InverseCDF,
    Rosenblatt,
    generalized_inverse,
    invert_cdf,
    invert_survival,
)

LIKELIHOOD = {"EmpiricalCDF": "none", "Gaussian": "exact"}
FALSE_ALARM = 1e-6

FAMILIES = {
    "normal": stats.norm(3.0, 2.0),
    "narrow normal": stats.norm(-1e3, 1e-3),
    "wide normal": stats.norm(0.0, 1e6),
    "student": stats.t(2.5),
    "cauchy": stats.cauchy(),
    "exponential": stats.expon(scale=0.1),
    "gamma": stats.gamma(0.4),
    "beta": stats.beta(0.7, 3.0),
    "uniform": stats.uniform(-3.0, 1.0),
    "laplace": stats.laplace(100.0),
    "lognormal": stats.lognorm(1.5),
    "gumbel": stats.gumbel_r(),
    "pareto": stats.pareto(1.2),
}
LEVELS = np.concatenate([[1e-12, 1e-6, 1e-3], np.linspace(0.01, 0.99, 41), [0.999, 1 - 1e-6]])


def random_mixture(seed, n_components, dim):
    """Weights, means and well-conditioned covariances of a Gaussian mixture."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(n_components, dim, dim))
    covariances = roots @ roots.transpose(0, 2, 1) / dim + 0.3 * np.eye(dim)
    return rng.dirichlet(np.full(n_components, 5.0)), 2 * rng.normal(size=(n_components, dim)), covariances


def mixture_log_density(x, weights, means, covariances):
    logs = [
        np.log(w) + stats.multivariate_normal(m, c).logpdf(x)
        for w, m, c in zip(weights, means, covariances, strict=True)
    ]
    return np.logaddexp.reduce(logs)


def draw_mixture(weights, means, covariances, n, seed):
    """Ancestral sampling by numpy: shares nothing with the transform under test."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(weights), size=n, p=weights)
    draws = np.stack([rng.multivariate_normal(m, c, size=n) for m, c in zip(means, covariances, strict=True)])
    return draws[labels, np.arange(n)]


def cube_p_value(u, cells):
    """Chi-square p-value of uniformity on a grid of equal cells of the cube: margins and independence."""
    counts = np.histogramdd(u, bins=cells, range=[(0, 1)] * u.shape[1])[0].ravel()
    return stats.chisquare(counts).pvalue


# --- the generalized inverse of a step function --------------------------------------------------------


def step_cdf(points, cumulative, x):
    """F(x), by comparing with every point."""
    reached = np.asarray(x)[..., None] >= points
    return np.where(reached, cumulative, 0.0).max(axis=-1)


def brute_force_quantile(points, cumulative, u):
    """The definition, word by word: the smallest point at which F is at least u."""
    return min(p for p, f in zip(points, cumulative, strict=True) if f >= u)


@st.composite
def step_laws(draw):
    """Random atoms, some without mass: F then has flats between them and equal neighbours."""
    size = draw(st.integers(1, 12))
    points = np.cumsum(draw(hnp.arrays(float, size, elements=st.floats(0.01, 5)))) - 10
    weights = draw(hnp.arrays(np.int64, size, elements=st.integers(0, 6)))
    assume(weights.sum() > 0)
    return points, np.cumsum(weights) / weights.sum()


@given(step_laws(), st.floats(0, 1), st.floats(-12, 60))
@settings(max_examples=300, deadline=None)
def test_galois_inequality(law, u, x):
    """F^-(u) <= x exactly when u <= F(x)."""
    points, cumulative = law
    assert (generalized_inverse(points, cumulative, u) <= x) == (u <= step_cdf(points, cumulative, x))


@given(step_laws())
@settings(max_examples=200, deadline=None)
def test_galois_inequality_at_every_corner(law):
    """The corners are where an inequality turned round shows: levels F takes, points where it jumps."""
    points, cumulative = law
    levels = np.concatenate([cumulative, np.nextafter(cumulative, 2).clip(0, 1), np.nextafter(cumulative, 0)])
    levels = np.append(levels[levels <= 1], [0.0, 1.0])
    places = np.concatenate([points, np.nextafter(points, -np.inf)])
    quantiles = generalized_inverse(points, cumulative, levels)
    left = quantiles[:, None] <= places
    np.testing.assert_array_equal(left, levels[:, None] <= step_cdf(points, cumulative, places))


@given(step_laws(), st.floats(1e-9, 1))
@settings(max_examples=200, deadline=None)
def test_generalized_inverse_is_the_definition(law, u):
    assert generalized_inverse(*law, u) == brute_force_quantile(*law, u)


def test_generalized_inverse_agrees_with_scipy_on_binomials():
    law = stats.binom(9, 0.3)
    levels = np.linspace(0.001, 0.999, 501)
    np.testing.assert_array_equal(
        generalized_inverse(np.arange(10), law.cdf(np.arange(10)), levels), law.ppf(levels)
    )


def test_enumerated_levels_give_each_atom_its_mass():
    """With N equally spaced levels, an atom of mass k/N is hit exactly k times."""
    pmf = np.array([3, 0, 5, 2]) / 10
    levels = (np.arange(10) + 0.5) / 10
    hits = np.bincount(generalized_inverse(np.arange(4), np.cumsum(pmf), levels).astype(int), minlength=4)
    np.testing.assert_array_equal(hits, [3, 0, 5, 2])


@pytest.mark.parametrize(
    ("points", "cumulative", "u", "message"),
    [
        ([0, 1], [0.5, 1.0], [1.1], "between 0 and 1"),
        ([0, 1], [0.5, 1.0], [np.nan], "between 0 and 1"),
        ([1, 0], [0.5, 1.0], [0.5], "increase"),
        ([0, np.nan], [0.5, 1.0], [0.5], "NaN"),
        ([0, 1], [0.5, 0.4], [0.5], "not decrease"),
        ([0, 1], [0.5, 0.9], [0.5], "end at 1"),
        ([0, 1], [0.5], [0.5], "equal length"),
        ([], [], [0.5], "length"),
    ],
)
def test_generalized_inverse_refuses(points, cumulative, u, message):
    with pytest.raises(ValueError, match=message):
        generalized_inverse(points, cumulative, u)


# --- numerical inversion -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_invert_cdf_agrees_with_scipy(name):
    """Error at most the tolerance plus the rounding of cdf divided by the density."""
    law = FAMILIES[name]
    oracle = law.ppf(LEVELS)
    with np.errstate(divide="ignore"):
        allowed = 2e-12 * np.maximum(1, abs(oracle)) + 2e-15 / law.pdf(oracle)
    assert (abs(invert_cdf(law.cdf, LEVELS) - oracle) <= allowed).all()


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-9])
def test_the_error_bound_is_one_sided(tolerance):
    """The answer lies in [F^-(u), F^-(u) + tolerance]: the promise of the docstring."""
    law = stats.norm(0.3, 0.2)
    error = invert_cdf(law.cdf, LEVELS, tolerance=tolerance) - law.ppf(LEVELS)
    assert error.min() >= -1e-13
    assert error.max() <= tolerance
    assert error.max() > tolerance / 100  # the tolerance is used


@pytest.mark.parametrize("bracket", [(-1, 1), (1e5, 2e5), (-1e9, 1e9), (3.0, 3.0 + 1e-9)])
def test_the_bracket_is_only_a_guess(bracket):
    law = stats.norm(3.0, 2.0)
    levels = np.linspace(0.01, 0.99, 9)
    np.testing.assert_allclose(invert_cdf(law.cdf, levels, bracket=bracket), law.ppf(levels), atol=1e-11)


def test_bisection_evaluates_no_more_than_it_promises():
    calls = []

    def cdf(x):
        calls.append(x)
        return stats.norm.cdf(x)

    invert_cdf(cdf, np.linspace(0.2, 0.8, 7), tolerance=2.0**-30)
    assert len(calls) <= 2 + 31  # both ends of (-1, 1), then log2(2 / 2^-30)


@given(step_laws(), st.floats(1e-6, 1))
@settings(max_examples=150, deadline=None)
def test_invert_cdf_on_atoms_and_flats(law, u):
    """Random step functions: the jump is found from above, to the tolerance."""
    points, cumulative = law
    found = invert_cdf(lambda x: step_cdf(points, cumulative, x), u)
    exact = generalized_inverse(points, cumulative, u)
    assert 0 <= found - exact <= 1e-12 * max(1, abs(exact)) + 1e-14
    assert step_cdf(points, cumulative, found) >= u


def test_a_flat_stretch_gives_its_left_end():
    """F is 1/2 all over [1, 2]: the infimum at level 1/2 is 1, just above it 2."""
    law = InverseCDF(lambda x: np.interp(x, [0, 1, 2, 3], [0, 0.5, 0.5, 1]))
    np.testing.assert_allclose(law.ppf([0.5, 0.5 + 1e-9]), [1.0, 2.0 + 2e-9], atol=1e-11)


def test_an_atom_takes_all_levels_of_its_jump():
    def cdf(x):
        return np.where(x < 0, 0.0, 1 - 0.5 * np.exp(-np.maximum(x, 0)))  # half the mass on 0

    quantiles = invert_cdf(cdf, [1e-9, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(quantiles, [0, 0, 0, np.log(2)], atol=1e-11)
    share = np.mean(InverseCDF(cdf).sample(4000, random_state=0) <= 1e-11)
    assert stats.binomtest(int(share * 4000), 4000, 0.5).pvalue > FALSE_ALARM


def test_levels_zero_and_one():
    """Level 0 is minus infinity by the definition; level 1 is the right end of a bounded law."""
    np.testing.assert_allclose(invert_cdf(stats.uniform(2, 3).cdf, [0.0, 1.0]), [-np.inf, 5.0], atol=1e-11)
    assert invert_cdf(lambda x: 0.5 + np.arctan(x) / np.pi - 1e-17, 1.0) > 1e14


def test_each_entry_may_follow_its_own_law():
    means = np.array([[-5.0, 0.0], [3.0, 1e4]])
    levels = np.array([[0.1, 0.5], [0.9, 0.2]])
    found = invert_cdf(lambda x: stats.norm.cdf(x, means), levels)
    np.testing.assert_allclose(found, stats.norm.ppf(levels, means), rtol=1e-11, atol=1e-11)


def test_a_scalar_level_gives_a_scalar_array():
    assert invert_cdf(stats.norm.cdf, 0.5).shape == ()


@pytest.mark.parametrize(
    ("cdf", "message"),
    [
        (lambda x: np.full_like(x, np.nan), "probabilities.*nan"),
        (lambda x: 1.5 * stats.norm.cdf(x), "between 0 and 1, got 1.2"),
        (lambda x: stats.norm.cdf(x) - 0.4, "between 0 and 1, got -0.2"),
        (lambda x: 1 - stats.norm.cdf(x), "decreases"),
        (lambda x: np.clip(0.5 + x / 2 + 0.3 * np.sin(20 * x), 0, 1), "decreases"),
        (lambda x: np.where(abs(x) < 0.2, 0.99, stats.norm.cdf(x)), "decreases from 0.99"),
        (lambda x: np.where(abs(x) < 0.2, 0.01, stats.norm.cdf(x)), "decreases from 0.15.* to 0.01"),
        (lambda x: 0.9 * stats.norm.cdf(x), "never reaches the level"),
        (lambda x: 0.1 + 0.9 * stats.norm.cdf(x), "never reaches the level"),
        (lambda x: 0.5, "shape"),
        (lambda x: np.zeros((2, 2)), "shape"),
    ],
)
def test_what_is_no_distribution_function_is_refused(cdf, message):
    with pytest.raises(ValueError, match=message):
        invert_cdf(cdf, np.array([0.05, 0.31, 0.5, 0.95]))


@pytest.mark.parametrize(
    ("u", "options", "message"),
    [
        ([-0.1], {}, "got -0.1"),
        ([1.0001], {}, "got 1.0001"),
        ([np.nan], {}, "nan"),
        ([0.5], {"bracket": (1, -1)}, "bracket"),
        ([0.5], {"bracket": (-np.inf, 1)}, "bracket"),
        ([0.5], {"tolerance": 0}, "tolerance"),
        ([0.5], {"tolerance": np.nan}, "tolerance"),
    ],
)
def test_bad_arguments_of_invert_cdf(u, options, message):
    with pytest.raises(ValueError, match=message):
        invert_cdf(stats.norm.cdf, u, **options)


def test_survival_functions_reach_where_levels_cannot():
    q = np.array([1e-300, 1e-50, 1e-17, 0.2, 1.0])
    found = invert_survival(stats.norm.sf, q)
    np.testing.assert_allclose(found, stats.norm.isf(q), atol=1e-11)
    with pytest.raises(ValueError, match="q must"):
        invert_survival(stats.norm.sf, [2.0])
    with pytest.raises(ValueError, match="survival increases"):
        invert_survival(stats.norm.cdf, [0.3])


def test_survival_and_cdf_agree_on_atoms():
    law = stats.binom(6, 0.4)
    q = np.linspace(0.01, 0.99, 99)
    np.testing.assert_allclose(invert_survival(law.sf, q), law.isf(q), atol=1e-11)


def test_inversion_samples_the_law():
    """The probability integral transform of samples of a two-humped law is uniform (KS)."""
    law = Bimodal()
    draws = InverseCDF(law.cdf).sample(5000, random_state=1)
    assert draws.shape == (5000, 1)
    assert stats.kstest(draws[:, 0], law.cdf).pvalue > FALSE_ALARM


def test_the_integral_transform_needs_a_continuous_law():
    """F(X) is uniform when F is continuous; with atoms P(F(X) <= u) falls short between F's values."""
    law = stats.binom(3, 0.5)
    pit = law.cdf(law.rvs(5000, random_state=0))
    assert stats.kstest(pit, "uniform").pvalue < 1e-100
    values = law.cdf(np.arange(4))
    assert all(stats.binomtest(int((pit <= v).sum()), 5000, v).pvalue > FALSE_ALARM for v in values[:-1])


def test_samplers_check_the_number_of_samples():
    samplers = [InverseCDF(stats.norm.cdf), AliasTable([1, 1]), Rosenblatt.gaussian([0.0], [[1.0]])]
    for sampler in samplers:
        for bad in (0, -1, 2.5, True):
            with pytest.raises(ValueError, match="n_samples"):
                sampler.sample(bad)


# --- the alias method ----------------------------------------------------------------------------------


@given(hnp.arrays(float, st.integers(1, 60), elements=st.floats(0, 1e6)))
@settings(max_examples=300, deadline=None)
def test_alias_table_reproduces_the_law(weights):
    assume(weights.max() > 0)
    table = AliasTable(weights)
    np.testing.assert_allclose(
        table.law(), weights / weights.max() / (weights / weights.max()).sum(), atol=1e-15
    )
    assert (table.law()[weights == 0] == 0).all()  # rounding must not make the impossible possible


@pytest.mark.parametrize("size", [2, 17, 1000, 30_000])
def test_alias_table_stays_exact_when_it_is_large(size):
    weights = np.random.default_rng(size).pareto(0.7, size)
    table = AliasTable(weights)
    np.testing.assert_allclose(table.law(), weights / weights.sum(), rtol=0, atol=1e-15)
    assert ((table.accept_ >= 0) & (table.accept_ <= 1)).all()


def test_alias_samples_follow_the_law():
    weights = np.array([5.0, 0.0, 1.0, 0.5, 3.0, 0.25])
    counts = np.bincount(AliasTable(weights).sample(20_000, random_state=0), minlength=6)
    assert counts[1] == 0
    kept = weights > 0
    expected = 20_000 * weights[kept] / weights.sum()
    assert stats.chisquare(counts[kept], expected).pvalue > FALSE_ALARM


def test_alias_table_of_one_outcome_and_of_huge_weights():
    assert AliasTable([3.0]).sample(5, random_state=0).tolist() == [0] * 5
    np.testing.assert_allclose(AliasTable([1e308, 1e308]).law(), 0.5)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([], "non-empty"),
        ([[1, 2]], "one-dimensional"),
        ([1, -1], "non-negative"),
        ([0, 0], "all zero"),
        ([np.nan, 1], "finite"),
        ([np.inf, 1], "finite"),
    ],
)
def test_alias_table_refuses(weights, message):
    with pytest.raises(ValueError, match=message):
        AliasTable(weights)


# --- the Rosenblatt transform --------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 3, 6])
def test_gaussian_transform_is_the_closed_form(dim):
    """u = Phi(L^-1 (x - mu)) with the Cholesky root L, and the log-density of scipy."""
    _, means, covariances = random_mixture(dim, 1, dim)
    x = draw_mixture([1.0], means, covariances, 40, seed=dim)
    u, log_det = Rosenblatt.gaussian(means[0], covariances[0]).forward_and_log_det(x)
    z = np.linalg.solve(np.linalg.cholesky(covariances[0]), (x - means[0]).T).T
    np.testing.assert_allclose(u, stats.norm.cdf(z), atol=1e-13)
    oracle = stats.multivariate_normal(means[0], covariances[0]).logpdf(x)
    np.testing.assert_allclose(log_det, oracle, atol=1e-11)


def test_gaussian_conditionals_are_those_of_the_regression_formula():
    """The last conditional against mean + S12 S22^-1 (x - mean), S11 - S12 S22^-1 S21."""
    _, (mean,), (cov,) = random_mixture(0, 1, 4)
    x = np.random.default_rng(0).normal(size=(20, 4))
    inverse = np.linalg.inv(cov[:3, :3])
    conditional_mean = mean[3] + (x[:, :3] - mean[:3]) @ inverse @ cov[:3, 3]
    deviation = np.sqrt(cov[3, 3] - cov[3, :3] @ inverse @ cov[:3, 3])
    u = Rosenblatt.gaussian(mean, cov).forward_and_log_det(x)[0][:, 3]
    np.testing.assert_allclose(u, stats.norm.cdf(x[:, 3], conditional_mean, deviation), atol=1e-12)


@pytest.mark.parametrize("order", [None, [2, 0, 1], [1, 2, 0]])
def test_mixture_density_agrees_with_scipy_in_every_order(order):
    weights, means, covariances = random_mixture(4, 3, 3)
    x = draw_mixture(weights, means, covariances, 60, seed=1)
    law = Rosenblatt.gaussian_mixture(weights, means, covariances, order=order)
    np.testing.assert_allclose(
        law.log_prob(x), mixture_log_density(x, weights, means, covariances), atol=1e-10
    )


def test_mixture_conditional_agrees_with_quadrature():
    """F(x2 | x1) as a ratio of integrals of the joint density, by scipy's quadrature."""
    weights, means, covariances = random_mixture(5, 3, 2)
    law = Rosenblatt.gaussian_mixture(weights, means, covariances)
    for x1, x2 in [(0.0, 0.5), (-1.5, 2.0), (2.0, -0.5)]:

        def joint(t, x1=x1):
            return np.exp(mixture_log_density(np.array([x1, t]), weights, means, covariances))

        below, whole = (integrate.quad(joint, -15, end, limit=300)[0] for end in (x2, 15))
        u = law.forward_and_log_det([[x1, x2]])[0]
        np.testing.assert_allclose(u[0, 1], below / whole, atol=1e-7)


@pytest.mark.parametrize(("n_components", "dim"), [(1, 5), (3, 2), (4, 3)])
def test_transform_obeys_the_laws_of_a_bijection(n_components, dim):
    mixture = random_mixture(n_components, n_components, dim)
    law = Rosenblatt.gaussian_mixture(*mixture, order=np.roll(np.arange(dim), 1))
    x = draw_mixture(*mixture, 25, seed=2)
    check.inverse_undoes_forward(law, x, tolerance=1e-8)
    check.log_det_matches_jacobian(law, x, tolerance=1e-5)
    check.one_log_det_per_sample(law, x)
    u = np.random.default_rng(3).uniform(0.001, 0.999, size=(50, dim))
    np.testing.assert_allclose(law.forward_and_log_det(law.inverse(u))[0], u, atol=1e-10)


def test_integrates_to_one_and_samples_follow_the_density():
    law = Rosenblatt.gaussian_mixture(*random_mixture(6, 3, 2))
    check.integrates_to_one(law)
    check.samples_follow_density(law, false_alarm=FALSE_ALARM)
    check.same_seed_same_bytes(law)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_coordinates_are_uniform_and_independent(order):
    """6 x 6 x 6 equal cells of the cube hold equal shares of samples that numpy drew."""
    mixture = random_mixture(8, 3, 3)
    x = draw_mixture(*mixture, 20_000, seed=4)
    law = Rosenblatt.gaussian_mixture(*mixture, order=order)
    assert cube_p_value(law.forward_and_log_det(x)[0], 6) > FALSE_ALARM


def test_the_test_of_uniformity_can_fail():
    """Margins alone are not enough: marginal transforms of dependent data are caught."""
    mixture = random_mixture(8, 3, 3)
    x = draw_mixture(*mixture, 20_000, seed=4)
    margins = (stats.rankdata(x, axis=0) - 0.5) / len(x)
    assert cube_p_value(margins, 6) < FALSE_ALARM


def test_order_changes_the_map_and_not_the_density():
    mixture = random_mixture(9, 2, 2)
    x = draw_mixture(*mixture, 50, seed=5)
    (u, p), (v, q) = (
        Rosenblatt.gaussian_mixture(*mixture, order=o).forward_and_log_det(x) for o in ([0, 1], [1, 0])
    )
    np.testing.assert_allclose(p, q, atol=1e-11)
    assert abs(u - v).max() > 0.05


def test_a_hand_made_conditional_joins_in():
    """X1 uniform, X2 given X1 exponential with rate 1 + X1: three methods are all that is needed."""

    class First:
        cdf = staticmethod(lambda x, given: stats.uniform.cdf(x))
        ppf = staticmethod(lambda u, given: stats.uniform.ppf(u))
        logpdf = staticmethod(lambda x, given: stats.uniform.logpdf(x))

    class Second:
        cdf = staticmethod(lambda x, given: stats.expon.cdf(x, scale=1 / (1 + given[:, 0])))
        ppf = staticmethod(lambda u, given: stats.expon.ppf(u, scale=1 / (1 + given[:, 0])))
        logpdf = staticmethod(lambda x, given: stats.expon.logpdf(x, scale=1 / (1 + given[:, 0])))

    law = Rosenblatt([First(), Second()])
    x = law.sample(2000, random_state=0)
    assert stats.kstest(x[:, 1] * (1 + x[:, 0]), "expon").pvalue > FALSE_ALARM
    check.log_det_matches_jacobian(law, x[:20] + np.array([0.0, 0.01]), tolerance=1e-5)


def test_corners_of_the_cube():
    mixture = Rosenblatt.gaussian_mixture(*random_mixture(1, 2, 1))
    np.testing.assert_array_equal(mixture.inverse([[0.0], [1.0]]), [[-np.inf], [np.inf]])


def test_components_that_coincide_far_from_zero():
    """The bracket of a mixture's quantile shrinks to a point: it must not break."""
    law = Rosenblatt.gaussian_mixture([0.5, 0.5], [[1e9], [1e9]], [[[1e-6]], [[1e-6]]])
    np.testing.assert_allclose(law.inverse([[0.3]]), stats.norm(1e9, 1e-3).ppf([[0.3]]), rtol=1e-15)


ROUND = [np.eye(2)] * 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rosenblatt([]), "at least one"),
        (lambda: Rosenblatt.gaussian([0, 0], [[1, 2], [2, 1]]), "positive definite"),
        (lambda: Rosenblatt.gaussian([0, 0], [[1, 0.5], [0.1, 1]]), "symmetric"),
        (lambda: Rosenblatt.gaussian([0, 0, 0], np.eye(2)), "shapes"),
        (lambda: Rosenblatt.gaussian([0, 0], np.eye(2), order=[0, 0]), "order"),
        (lambda: Rosenblatt.gaussian_mixture([0.5, 0.6], np.zeros((2, 2)), ROUND), "sum to 1"),
        (lambda: Rosenblatt.gaussian_mixture([1.5, -0.5], np.zeros((2, 2)), ROUND), "positive"),
        (lambda: Rosenblatt.gaussian([0, 0], np.eye(2)).log_prob([0.0, 1.0]), r"shape \(n, 2\)"),
        (lambda: Rosenblatt.gaussian([0, 0], np.eye(2)).log_prob([[0.0, np.nan]]), "NaN"),
        (lambda: Rosenblatt.gaussian([0, 0], np.eye(2)).inverse([[0.5, 1.5]]), "got 1.5"),
        (lambda: Rosenblatt.gaussian([0, 0], np.eye(2)).inverse([[0.5]]), r"shape \(n, 2\)"),
        (lambda: Rosenblatt.on_grid(lambda x: x[:, 0], [(1, 0)]), "bounds"),
        (lambda: Rosenblatt.on_grid(lambda x: x[:, 0], [0, 1]), "bounds"),
        (lambda: Rosenblatt.on_grid(lambda x: x[:, 0], [(0, 1)], n_cells=0), "n_cells"),
        (lambda: Rosenblatt.on_grid(lambda x: x, [(0, 1)]), "shape"),
        (lambda: Rosenblatt.on_grid(lambda x: x[:, 0] * np.nan, [(0, 1)]), "NaN"),
        (lambda: Rosenblatt.on_grid(lambda x: x[:, 0] - np.inf, [(0, 1)]), "finite"),
    ],
)
def test_bad_arguments_of_rosenblatt(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- densities on a grid -------------------------------------------------------------------------------


def test_grid_converges_to_the_mixture_at_second_order():
    """Conditional distribution functions at cell corners: the error falls fourfold when cells halve."""
    mixture = random_mixture(2, 2, 2)
    exact = Rosenblatt.gaussian_mixture(*mixture)
    box = [(-12.0, 12.0)] * 2
    x = np.array([[0.0, 0.75], [0.75, -1.5], [-1.5, 0.0], [1.5, 1.5]])
    first = []
    for n in (32, 64, 128):
        law = Rosenblatt.on_grid(lambda p: mixture_log_density(p, *mixture), box, n_cells=n)
        first.append(abs(law.forward_and_log_det(x)[0][:, 0] - exact.forward_and_log_det(x)[0][:, 0]).max())
    assert first[2] < 1e-3
    assert first[0] / first[1] > 3
    assert first[1] / first[2] > 3


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_grid_transform_of_the_swiss_roll(order):
    """Samples of the roll itself become uniform on 8 x 8 cells, and samples of the grid follow the roll."""
    roll = SwissRoll()
    law = Rosenblatt.on_grid(roll.log_prob, roll.bounds, n_cells=200, order=order)
    u = law.forward_and_log_det(roll.sample(10_000, random_state=0))[0]
    assert cube_p_value(u, 8) > FALSE_ALARM
    check.inverse_undoes_forward(law, roll.sample(200, random_state=1), tolerance=1e-8)
    x = law.sample(4000, random_state=2)
    mean_gap = roll.log_prob(x) + roll.entropy
    assert abs(mean_gap.mean()) < 5 * mean_gap.std() / np.sqrt(len(x)) + 0.01


def test_grid_log_det_is_the_jacobian_inside_cells():
    law = Rosenblatt.on_grid(TwoMoons().log_prob, TwoMoons().bounds, n_cells=(20, 30))
    edges = [np.linspace(lo, hi, n + 1) for (lo, hi), n in zip(TwoMoons().bounds, (20, 30), strict=True)]
    rng = np.random.default_rng(0)
    centres = np.stack([rng.choice((e[1:] + e[:-1]) / 2, 40) for e in edges], axis=1)
    kept = centres[law.log_prob(centres) > -20]
    assert len(kept) > 10
    check.log_det_matches_jacobian(law, kept, tolerance=1e-5)
    check.integrates_to_one(law, bounds=TwoMoons().bounds, tolerance=1e-3)


def test_grid_with_empty_cells_is_a_generalized_inverse():
    """Mass in two islands of [0, 4]: no sample falls between them, and the flat's left end is taken."""

    def log_prob(x):
        inside = (x[:, 0] < 1) | (x[:, 0] > 3)
        return np.where(inside, 0.0, -np.inf)

    law = Rosenblatt.on_grid(log_prob, [(0.0, 4.0)], n_cells=8)
    np.testing.assert_allclose(law.inverse([[0.25], [0.5], [0.75]]), [[0.5], [1.0], [3.5]], atol=1e-12)
    draws = law.sample(2000, random_state=0)
    assert not ((draws > 1) & (draws < 3)).any()
    np.testing.assert_allclose(law.log_prob([[0.3], [2.0], [9.0]]), [np.log(0.5), -np.inf, -np.inf])
    np.testing.assert_allclose(law.forward_and_log_det([[-1.0], [9.0]])[0], [[0.0], [1.0]])


def test_grid_in_three_dimensions():
    mixture = random_mixture(3, 2, 3)
    law = Rosenblatt.on_grid(
        lambda p: mixture_log_density(p, *mixture), [(-8, 8)] * 3, n_cells=40, order=[1, 2, 0]
    )
    x = draw_mixture(*mixture, 4000, seed=0)
    assert cube_p_value(law.forward_and_log_det(x)[0], 4) > FALSE_ALARM


# --- the Gaussian --------------------------------------------------------------------------------------


def test_gaussian_is_the_maximum_of_the_likelihood():
    """Moments by numpy, density by scipy; every small step away lowers the likelihood."""
    X = np.random.default_rng(0).normal(size=(60, 3)) @ np.diag([1.0, 2.0, 0.1]) + [0, 5, -2]
    model = Gaussian().fit(X)
    np.testing.assert_allclose(model.mean_, np.mean(X, axis=0))
    np.testing.assert_allclose(model.covariance_, np.cov(X.T, bias=True), rtol=1e-12)
    oracle = stats.multivariate_normal(model.mean_, model.covariance_)
    np.testing.assert_allclose(model.log_prob(X), oracle.logpdf(X), atol=1e-11)
    for factor in (0.9, 1.1):
        other = stats.multivariate_normal(model.mean_, factor * model.covariance_)
        assert other.logpdf(X).mean() < model.score(X)


def test_diagonal_gaussian_is_a_product():
    X = np.random.default_rng(1).normal(size=(50, 2)) @ [[1, 0.9], [0, 1]]
    model = Gaussian(covariance="diagonal").fit(X)
    oracle = stats.norm(X.mean(axis=0), X.std(axis=0)).logpdf(X).sum(axis=1)
    np.testing.assert_allclose(model.log_prob(X), oracle, atol=1e-12)


def test_ridge_is_added_to_the_diagonal():
    X = np.random.default_rng(2).normal(size=(5, 8))
    model = Gaussian(reg_covar=0.1).fit(X)
    np.testing.assert_allclose(model.covariance_, np.cov(X.T, bias=True) + 0.1 * np.eye(8))


def test_fitted_gaussian_hands_out_its_transform():
    X = np.random.default_rng(3).normal(size=(400, 3)) @ [[1, 0.5, 0], [0, 1, 0.5], [0, 0, 1]]
    model = Gaussian().fit(X)
    law = model.rosenblatt(order=[2, 0, 1])
    np.testing.assert_allclose(law.log_prob(X), model.log_prob(X), atol=1e-11)
    check.inverse_undoes_forward(law, X[:50])
    same = model.rosenblatt().sample(300, random_state=7)
    np.testing.assert_allclose(model.sample(300, random_state=7), same, atol=1e-10)


def test_parametric_rate_constant():
    """n times the integrated squared error of N(mean, variance) tends to 7 / (16 sqrt(pi)).

    4,000 fits at n = 1,000: the mean error has a standard error below 2 percent; five of them are allowed.
    """
    n, repeats = 1000, 4000
    x = np.random.default_rng(0).standard_normal((repeats, n))
    mean, deviation = x.mean(axis=1), x.std(axis=1)
    overlap = stats.norm.pdf(mean, 0, np.sqrt(1 + deviation**2))
    ise = 1 / (2 * np.sqrt(np.pi)) * (1 + 1 / deviation) - 2 * overlap
    target, error = 7 / (16 * np.sqrt(np.pi)), n * ise.std() / np.sqrt(repeats)
    assert error < 0.02 * target
    assert abs(n * ise.mean() - target) < 5 * error


def test_misspecified_gaussian_has_a_floor():
    """A Gaussian with the moments of the two-humped law stays 0.0508 away from it."""
    X = Bimodal().sample(200_000, random_state=0)
    model = Gaussian().fit(X)
    x = np.linspace(-12, 12, 20_001)
    ise = integrate.trapezoid((np.exp(model.log_prob(x[:, None])) - Bimodal().pdf(x)) ** 2, x)
    assert ise == pytest.approx(0.0508, abs=0.001)


CONSTANT = np.column_stack([np.arange(5.0), np.full(5, 0.1)])


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (np.empty((0, 2)), {}, "0 sample"),
        ([[1.0, 2.0]], {}, "minimum of 2"),
        ([1.0, 2.0], {}, "1D array"),
        ([[1.0], [np.nan]], {}, "NaN"),
        (CONSTANT, {}, r"constant column \(1\)"),
        (CONSTANT, {"covariance": "diagonal"}, "constant column"),
        (CONSTANT[:, [0, 0]] * [1.0, -3.7] + [0.0, 1.3], {}, "linear function"),
        (np.random.default_rng(0).normal(size=(4, 4)), {}, "too few rows"),
        (CONSTANT, {"covariance": "tied"}, "covariance must be"),
        (CONSTANT, {"reg_covar": -1.0}, "reg_covar"),
        (CONSTANT, {"reg_covar": np.nan}, "reg_covar"),
    ],
)
def test_bad_arguments_of_gaussian(X, options, message):
    with pytest.raises(ValueError, match=message):
        Gaussian(**options).fit(X)


def test_a_constant_column_is_repaired_by_the_ridge():
    model = Gaussian(reg_covar=1e-3).fit(CONSTANT)
    assert np.isfinite(model.log_prob(CONSTANT)).all()


# --- the empirical distribution ------------------------------------------------------------------------


@given(hnp.arrays(float, st.integers(1, 30), elements=st.integers(-4, 4).map(float)), st.floats(1e-9, 1))
@settings(max_examples=200, deadline=None)
def test_empirical_quantile_is_the_order_statistic(values, u):
    """Ties included; numpy calls this method inverted_cdf."""
    law = EmpiricalCDF().fit(values[:, None])
    assert law.quantile(u) == np.quantile(values, u, method="inverted_cdf")


def test_empirical_cdf_agrees_with_scipy():
    values = np.random.default_rng(0).normal(size=80).round(1)
    x = np.linspace(-3, 3, 101)
    oracle = stats.ecdf(values).cdf.evaluate(x)
    np.testing.assert_allclose(EmpiricalCDF().fit(values[:, None]).cdf(x[:, None]), oracle)


def test_empirical_cdf_in_the_plane_counts_the_lower_left():
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    law = EmpiricalCDF().fit(X)
    np.testing.assert_allclose(law.cdf([[0, 0], [1, 0], [1, 1], [-1, 5]]), [0.25, 0.5, 1.0, 0.0])
    with pytest.raises(ValueError, match="one column"):
        law.quantile(0.5)


def test_empirical_samples_are_observations_in_equal_shares():
    X = np.arange(10.0).reshape(5, 2)
    draws = EmpiricalCDF().fit(X).sample(10_000, random_state=0)
    counts = [(draws == row).all(axis=1).sum() for row in X]
    assert sum(counts) == 10_000
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


def test_empirical_law_has_no_density_and_says_what_has():
    with pytest.raises(NotImplementedError, match="KernelDensity"):
        EmpiricalCDF().fit([[0.0]]).log_prob([[0.0]])


def test_empirical_cdf_follows_scikit_learn():
    check_estimator(EmpiricalCDF(), on_skip=None)
