"""Nearest-neighbour density against brute-force distances, scikit-learn, quadrature and closed forms.

Random inputs have fixed seeds; a stated false-fail rate is that of a fresh seed.
"""

import itertools
import json
import math
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KDTree, NearestNeighbors
from sklearn.utils.estimator_checks import parametrize_with_checks

from coursekit import check
from coursekit.base import Likelihood, catalogue
from coursekit.data import Bimodal, SwissRoll, digits
from coursekit.density.knn import (
    KNNDensity,
    log_unit_ball_volume,
    mass_on_window,
    neighbours_rule,
    window_changes,
)

RESULTS = json.loads((Path(__file__).parents[2] / "results/knn.json").read_text())["rows"]
LIKELIHOOD = {"KNNDensity": "unnormalized"}

numbers = st.floats(-100, 100, allow_subnormal=False).map(lambda x: round(x, 3))


def literal_radius(X, x, k):
    """The definition: all distances, sorted, the k-th."""
    return np.sort(cdist(x, X), axis=1)[:, k - 1]


def data(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)) * np.geomspace(1, 5, d)


@parametrize_with_checks([KNNDensity(), KNNDensity("rule"), KNNDensity(3, numerator="k", method="brute")])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


# ------------------------------------------------------------------ distances


@pytest.mark.parametrize(
    ("d", "method"),
    [
        (1, "window"),
        (1, "tree"),
        (1, "brute"),
        (2, "tree"),
        (2, "brute"),
        (7, "tree"),
        (7, "brute"),
        (40, "brute"),
    ],
)
@pytest.mark.parametrize("k", [2, 10, 300])
def test_radius_is_the_distance_to_the_kth_neighbour(d, method, k):
    X, x = data(300, d), 1.5 * data(200, d, seed=1)
    model = KNNDensity(k, method=method).fit(X)
    np.testing.assert_allclose(model.radius(x), literal_radius(X, x, k), rtol=1e-12)
    peer = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(X)
    np.testing.assert_allclose(model.radius(x), peer.kneighbors(x)[0][:, -1], rtol=1e-12)


@settings(max_examples=200, deadline=None)
@given(sample=st.lists(numbers, min_size=2, max_size=40), query=st.lists(numbers, min_size=1), data=st.data())
def test_window_search_is_exact_with_ties_and_duplicates(sample, query, data):
    k = data.draw(st.integers(2, len(sample)))
    X, x = np.array(sample)[:, None], np.array(query)[:, None]
    np.testing.assert_allclose(KNNDensity(k).fit(X).radius(x), literal_radius(X, x, k), rtol=1e-9, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 60), d=st.integers(1, 6), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_all_methods_agree(n, d, seed, data):
    rng = np.random.default_rng(seed)
    X, x = rng.integers(0, 4, (n, d)).astype(float), rng.uniform(-1, 5, (9, d))
    k = data.draw(st.integers(2, n))
    methods = ["tree", "brute"] + ["window"] * (d == 1)
    radii = [KNNDensity(k, method=method).fit(X).radius(x) for method in methods]
    for radius in radii:
        np.testing.assert_allclose(radius, literal_radius(X, x, k), rtol=1e-10)


def test_brute_force_keeps_its_digits_far_from_the_origin():
    """The expanded square loses everything at an offset of 1e8 unless the data are centred."""
    X, x = data(500, 40), data(50, 40, seed=1)
    near = KNNDensity(5).fit(X)
    assert near.method_ == "brute"
    far = KNNDensity(5).fit(X + 1e8)
    np.testing.assert_allclose(far.radius(x + 1e8), near.radius(x), rtol=1e-6)


def test_brute_force_blocks_do_not_show(monkeypatch):
    X, x = data(100, 35), data(77, 35, seed=1)
    whole = KNNDensity(4).fit(X).radius(x)
    monkeypatch.setattr("coursekit.density.knn._BLOCK", 250)  # two rows at a time
    np.testing.assert_allclose(KNNDensity(4).fit(X).radius(x), whole, rtol=1e-12)


def test_method_follows_the_dimension():
    assert [KNNDensity(2).fit(data(9, d)).method_ for d in (1, 2, 29, 30)] == [
        "window",
        "tree",
        "tree",
        "brute",
    ]


def test_digits_against_scikit_learn():
    X = load_digits().data
    peer = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(X[:1000]).kneighbors(X[1000:])[0][:, -1]
    np.testing.assert_allclose(KNNDensity(10).fit(X[:1000]).radius(X[1000:]), peer, rtol=1e-7)


# ------------------------------------------------------------------ the estimate


def test_log_prob_is_the_formula_term_by_term():
    X, x, k = data(50, 3), data(20, 3, seed=1), 7
    volume = 4 / 3 * math.pi * literal_radius(X, x, k) ** 3
    model = KNNDensity(k).fit(X)
    check.matches(model.log_prob(x), np.log((k - 1) / 50 / volume), name="numerator k - 1")
    model = KNNDensity(k, numerator="k").fit(X)
    check.matches(model.log_prob(x), np.log(k / 50 / volume), name="numerator k")


def test_unit_ball_volumes():
    for d, volume in [
        (1, 2),
        (2, math.pi),
        (3, 4 * math.pi / 3),
        (4, math.pi**2 / 2),
        (5, 8 * math.pi**2 / 15),
    ]:
        assert log_unit_ball_volume(d) == pytest.approx(math.log(volume), abs=1e-14)
    with pytest.raises(ValueError, match="dim must be at least 1, got 0"):
        log_unit_ball_volume(0)


@pytest.mark.parametrize("k", [2, 3, 10])
def test_numerator_k_minus_one_is_unbiased_on_flat_ground(k):
    """E[(k-1)/(n 2 R)] = 1 in the middle of a uniform law; k instead gives k/(k-1). Fails once in 1e6."""
    rng, n = np.random.default_rng(k), 60
    value = [
        np.exp(KNNDensity(k).fit(rng.uniform(-1, 1, (n, 1))).log_prob([[0.0]]))[0] / 0.5 for _ in range(6000)
    ]
    cap = np.minimum(value, 20.0)  # k = 2 has infinite variance: the capped mean has its own exact value
    exact = stats.beta(k, n + 1 - k).expect(lambda u: min((k - 1) / (n * u), 20.0), epsabs=1e-10)
    assert exact == pytest.approx(1.0, abs=0.06)  # capping costs at most that, for k = 2
    assert abs(np.mean(cap) - exact) < 4.9 * np.std(cap) / math.sqrt(len(cap))


@pytest.mark.parametrize("d", [1, 2, 35])
def test_leave_one_out_is_a_refit_without_the_sample(d):
    X = data(40, d)
    literal = [KNNDensity(5).fit(np.delete(X, i, axis=0)).log_prob(X[i : i + 1])[0] for i in range(len(X))]
    np.testing.assert_allclose(KNNDensity(5).fit(X).leave_one_out_log_prob(), literal, rtol=1e-9)


def test_leave_one_out_differs_from_evaluating_on_the_training_samples():
    model = KNNDensity(5).fit(data(40, 2))
    assert model.score(model.X_) > np.mean(model.leave_one_out_log_prob()) + 0.05


def test_rule_has_the_pointwise_exponent_and_stays_in_range():
    for d in (1, 2, 5):
        growth = neighbours_rule(10**8, d) / neighbours_rule(10**4, d)
        assert math.log(growth) / math.log(10**4) == pytest.approx(4 / (d + 4), abs=0.002)
    assert [neighbours_rule(n, 1) for n in (2, 3, 4, 10)] == [2, 2, 2, 3]
    assert KNNDensity("rule").fit(data(1000, 1)).n_neighbors_ == neighbours_rule(1000, 1)


@settings(max_examples=40, deadline=None)
@given(shift=st.floats(-1e3, 1e3), scale=st.floats(0.01, 100), d=st.sampled_from([1, 2, 33]))
def test_change_of_units(shift, scale, d):
    check.is_equivariant(
        lambda: KNNDensity(6), data(60, d), data(9, d, seed=1), shift=shift, scale=scale, tolerance=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(2, 29))
def test_more_neighbours_need_a_wider_ball(seed, k):
    X, x = data(30, 2, seed), data(9, 2, seed + 1)
    assert np.all(KNNDensity(k + 1).fit(X).radius(x) >= KNNDensity(k).fit(X).radius(x))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_radius_changes_no_faster_than_its_query(seed):
    """R_k is Lipschitz with constant one: |R_k(x) - R_k(y)| <= |x - y|."""
    X, x, y = data(30, 2, seed), data(9, 2, seed + 1), data(9, 2, seed + 2)
    model = KNNDensity(4).fit(X)
    assert np.all(np.abs(model.radius(x) - model.radius(y)) <= np.linalg.norm(x - y, axis=1) + 1e-12)


def test_estimate_converges_at_a_point():
    """The error at x = 0 of N(0, 1) shrinks with n; at n = 40,000 it is below 5 sd of its asymptotic law."""
    n, k = 40_000, 800
    model = KNNDensity(k).fit(np.random.default_rng(0).standard_normal((n, 1)))
    truth = stats.norm.pdf(0)
    assert abs(np.exp(model.log_prob([[0.0]]))[0] - truth) < 5 * truth / math.sqrt(k)


# ------------------------------------------------------------------ not a density


def test_it_says_that_it_is_not_a_density_and_cannot_be_sampled():
    assert KNNDensity.likelihood is Likelihood.UNNORMALIZED
    assert not hasattr(KNNDensity(), "sample")
    assert not catalogue()["KNNDensity"].can_sample
    assert "not normalized" in KNNDensity.__doc__
    assert "not normalized" in KNNDensity.log_prob.__doc__


@pytest.mark.parametrize("window", [10.0, 100.0, 1000.0])
def test_normalization_law_complains(window):
    model = KNNDensity(50).fit(Bimodal().sample(1000, random_state=0))
    with pytest.raises(check.LawBroken, match="integral of the density = 1\\."):
        check.integrates_to_one(model, bounds=[(-window, window)])


def test_normalization_law_complains_in_the_plane():
    model = KNNDensity(10).fit(data(100, 2))
    with pytest.raises(check.LawBroken):
        check.integrates_to_one(model, bounds=[(-200, 200)] * 2)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(3, 25), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_mass_is_that_of_adaptive_quadrature(n, seed, data):
    rng = np.random.default_rng(seed)
    X, k = rng.standard_normal((n, 1)), data.draw(st.integers(2, n))
    numerator = data.draw(st.sampled_from(["k", "k-1"]))
    low, high = np.sort(rng.uniform(-6, 6, 2))
    model = KNNDensity(k, numerator=numerator).fit(X)
    s = np.sort(X[:, 0])
    kinks = np.concatenate([window_changes(s, k), (s[: n - k + 1] + s[k - 1 :]) / 2])
    ends = np.unique(np.concatenate([[low, high], kinks[(low < kinks) & (kinks < high)]]))
    literal = sum(
        integrate.quad(lambda t: math.exp(model.log_prob([[t]])[0]), a, b)[0]
        for a, b in itertools.pairwise(ends)
    )
    assert mass_on_window(model, (low, high)) == pytest.approx(literal, rel=1e-6)


@pytest.mark.parametrize(("n", "k"), [(1000, 50), (200, 10), (500, 500)])
def test_mass_grows_by_the_same_amount_every_decade(n, k):
    """Beyond the data; a window of 10^p differs from the limit by order 10^-p, so wide k starts later."""
    model = KNNDensity(k).fit(Bimodal().sample(n, random_state=1))
    first = 4 if k == n else 2
    masses = np.array([mass_on_window(model, 10.0**p) for p in range(first, first + 6)])
    np.testing.assert_allclose(np.diff(masses), (k - 1) / n * math.log(10), atol=0.002)
    both = KNNDensity(k, numerator="k").fit(model.X_)
    assert mass_on_window(both, 10.0**first) == pytest.approx(masses[0] * k / (k - 1))


def test_mass_of_a_window_is_a_sum_of_parts_and_the_same_for_every_method():
    X = Bimodal().sample(300, random_state=2)
    model = KNNDensity(20).fit(X)
    parts = mass_on_window(model, (-9.0, 0.3)) + mass_on_window(model, (0.3, 9.0))
    assert mass_on_window(model, 9.0) == pytest.approx(parts)
    assert mass_on_window(KNNDensity(20, method="tree").fit(X), 9.0) == pytest.approx(parts)


def test_mass_at_a_pole_is_infinite():
    X = np.array([[0.0], [0.0], [1.0], [4.0]])
    model = KNNDensity(2).fit(X)
    assert mass_on_window(model, 1.0) == math.inf
    assert math.isfinite(mass_on_window(model, (0.5, 3.0)))


@pytest.mark.parametrize("window", [0.0, -1.0, math.inf, math.nan, (2.0, 1.0)])
def test_mass_needs_a_window(window):
    with pytest.raises(ValueError, match="window must be finite"):
        mass_on_window(KNNDensity(2).fit(data(5, 1)), window)


def test_mass_needs_one_column():
    with pytest.raises(ValueError, match="one column, got a model of 2"):
        mass_on_window(KNNDensity(2).fit(data(5, 2)), 1.0)


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_neighbors": 0}, "n_neighbors must be at least 2"),
        ({"n_neighbors": -3}, "n_neighbors must be at least 2"),
        ({"n_neighbors": 1}, 'got 1; pass numerator="k"'),
        ({"n_neighbors": 0, "numerator": "k"}, "n_neighbors must be at least 1"),
        ({"n_neighbors": 2.5}, "whole number"),
        ({"n_neighbors": True}, "whole number"),
        ({"n_neighbors": "many"}, "whole number"),
        ({"n_neighbors": 11}, "n_neighbors=11 is more than n_samples=10"),
        ({"n_neighbors": 3, "numerator": "k+1"}, "numerator must be"),
        ({"n_neighbors": 3, "method": "ball"}, "method must be"),
        ({"n_neighbors": 3, "method": "window"}, "one column, got 2"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        KNNDensity(**options).fit(data(10, 2))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.empty((0, 2)), "0 sample"),
        (np.array([[0.0], [np.nan], [1.0]]), "NaN"),
        (np.array([[0.0], [np.inf], [1.0]]), "infinity"),
        (np.arange(5.0), "1D array"),
        (np.zeros((1, 2)), "n_samples=1"),
    ],
)
def test_bad_data_are_named(X, message):
    with pytest.raises(ValueError, match=message):
        KNNDensity(2).fit(X)


def test_bad_queries_are_named():
    with pytest.raises(NotFittedError):
        KNNDensity().log_prob([[0.0]])
    with pytest.raises(NotFittedError):
        KNNDensity().leave_one_out_log_prob()
    model = KNNDensity(2).fit(data(10, 2))
    with pytest.raises(ValueError, match="expecting 2 features"):
        model.log_prob(np.zeros((3, 1)))
    with pytest.raises(ValueError, match="NaN"):
        model.log_prob([[np.nan, 0.0]])
    with pytest.raises(ValueError, match="n_neighbors=10 and n_samples=10"):
        KNNDensity(10).fit(data(10, 2)).leave_one_out_log_prob()


def test_one_sample_and_one_neighbour():
    model = KNNDensity(1, numerator="k").fit([[2.0]])
    np.testing.assert_allclose(np.exp(model.log_prob([[0.0], [3.0]])), [1 / 4, 1 / 2])


@pytest.mark.parametrize(("d", "method"), [(1, "window"), (2, "tree"), (2, "brute"), (40, "brute")])
def test_duplicates_make_a_pole_and_no_warning(d, method, recwarn):
    X = np.repeat(data(4, d) + 1 / 3, 3, axis=0)  # every row three times
    model = KNNDensity(3, method=method).fit(X)
    assert np.all(np.isposinf(model.log_prob(X)))
    assert np.all(np.isfinite(model.log_prob(X + 0.1)))
    assert np.all(np.isfinite(KNNDensity(4, method=method).fit(X).log_prob(X)))
    assert not recwarn.list


def test_far_queries_stay_finite():
    model = KNNDensity(3).fit(data(20, 1))
    assert np.all(np.isfinite(model.log_prob([[1e300], [-1e300], [1e-300]])))


def test_fit_leaves_the_data_alone_and_keeps_a_copy():
    X = data(20, 2)
    before = X.copy()
    model = KNNDensity(3).fit(X)
    first = model.log_prob(before)
    np.testing.assert_array_equal(X, before)
    X[:] = 0
    np.testing.assert_array_equal(model.log_prob(before), first)


@pytest.mark.parametrize("d", [1, 2, 40])
def test_pickle_and_clone(d):
    model = KNNDensity(3, numerator="k").fit(data(20, d))
    x = data(5, d, seed=1)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).log_prob(x), model.log_prob(x))
    assert clone(model).get_params() == {"n_neighbors": 3, "numerator": "k", "method": "auto"}


# ------------------------------------------------------------------ what the chapter says

CHAPTER = Path(__file__).parents[2] / "book/density/knn.md"


def test_solution_of_the_entropy_exercise():
    """The folded code runs and finds the roll's entropy; the plain mean of logs does not."""
    text = CHAPTER.read_text()
    code = text.split(":label: sol-knn-3")[1].split("```python\n")[1].split("```")[0]
    names = {"KNNDensity": KNNDensity, "SwissRoll": SwissRoll, "np": np, "digamma": special.digamma}
    exec(code, names)
    truth = SwissRoll().entropy
    assert abs(names["entropy"] - truth) < 0.06
    assert abs(names["entropy"] - truth) < abs(names["plug_in"] - truth)


def test_solution_of_the_dimension_exercise():
    """Levina and Bickel on the digits: near the slope's value for 20 and 50 neighbours, more for fewer."""
    X = digits("grey").train.X
    distance = np.sort(cdist(X, X), axis=1)[:, 1:]
    inverse = [np.mean(np.log(distance[:, k - 1 : k] / distance[:, : k - 1])) for k in (5, 20, 50)]
    few, more, many = 1 / np.array(inverse)
    by_slope = dict(zip(RESULTS["dimension"]["data"], RESULTS["dimension"]["estimate"], strict=True))[
        "8x8 digits"
    ]
    assert max(abs(more - by_slope), abs(many - by_slope)) < 1 < few - by_slope


def test_mass_of_the_correction_box():
    """Known values for n = 1000, k = 50: 1.114, 1.238, 1.352, 1.465, here the mean of twenty samples."""
    masses = [
        [
            mass_on_window(KNNDensity(50).fit(Bimodal().sample(1000, random_state=seed)), 10.0**p)
            for p in (1, 2, 3, 4)
        ]
        for seed in range(20)
    ]
    np.testing.assert_allclose(np.mean(masses, axis=0), [1.114, 1.238, 1.352, 1.465], atol=0.005)


# ------------------------------------------------------------------ speed


def cpu_seconds(call, repeats=5):
    """Least processor time of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def test_window_search_beats_both_trees():
    """Measured 8-17 times faster than scikit-learn's tree and 5-13 than scipy's; asked for here: 3 and 2."""
    X, x = data(100_000, 1), data(10_000, 1, seed=1)
    own = cpu_seconds(lambda: KNNDensity(10).fit(X).radius(x))
    sklearn = cpu_seconds(lambda: KDTree(X).query(x, k=10), repeats=3)
    scipy = cpu_seconds(lambda: cKDTree(X).query(x, k=10), repeats=3)
    assert sklearn / own > 3
    assert scipy / own > 2
