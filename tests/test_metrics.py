"""Metrics against closed forms, scipy and brute force; p-values that are uniform under the null.

Seeds are fixed. Where a random number is compared with a law, the tolerance is five standard errors or a
Kolmogorov-Smirnov test at 1e-6: a correct implementation fails with probability below 1e-5 for a new seed.
"""

import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KernelDensity

from coursekit import metrics
from coursekit.data import digits

FALSE_ALARM = 1e-6


def normal(n, d, seed, *, mean=0.0, scale=1.0):
    return mean + scale * np.random.default_rng(seed).standard_normal((n, d))


def clouds(columns=3):
    """Hypothesis: two samples of two to seven rows, on a grid, so that points are equal or clearly apart."""
    values = st.integers(-400, 400).map(lambda eighths: eighths / 8)
    one = st.integers(2, 7).flatmap(lambda n: arrays(np.float64, (n, columns), elements=values))
    return st.tuples(one, one)


def turn(d, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


property_test = settings(max_examples=60, deadline=None, derandomize=True)
THETA = np.random.default_rng(5).standard_normal((7, 3))
FIXED = {
    "energy": metrics.energy_distance,
    "energy, biased": functools.partial(metrics.energy_distance, unbiased=False),
    "mmd": functools.partial(metrics.mmd, bandwidth=3.0),
    "mmd, median": metrics.mmd,
    "mmd, biased": functools.partial(metrics.mmd, unbiased=False),
    "polynomial": metrics.polynomial_mmd,
    "polynomial, biased": functools.partial(metrics.polynomial_mmd, unbiased=False, degree=2),
    "sliced": functools.partial(metrics.sliced_wasserstein, directions=THETA),
    "sliced, p = 1": functools.partial(metrics.sliced_wasserstein, directions=THETA, p=1),
    "frechet": functools.partial(metrics.frechet_distance, allow_singular=True),
}
AROUND_THE_ORIGIN = {"polynomial", "polynomial, biased"}  # they change when both samples move


def rounding(name, x, y):
    """What rounding may change: the root of a singular matrix turns 1e-16 of its square into 1e-8 of it."""
    if name.startswith("polynomial"):  # sums of numbers as large as the kernel's largest
        return 1e-6 + 1e-12 * (1 + max(np.abs(x).max(), np.abs(y).max()) ** 2) ** 3
    return 1e-6 + (1e-7 * (np.ptp(x) + np.ptp(y)) ** 2 if name == "frechet" else 0)


# ------------------------------------------------------------------------------------ every distance
@pytest.mark.parametrize("name", FIXED)
@property_test
@given(pair=clouds())
def test_distances_are_symmetric(name, pair):
    x, y = pair
    assert FIXED[name](x, y) == pytest.approx(FIXED[name](y, x), rel=1e-8, abs=rounding(name, x, y))


@pytest.mark.parametrize(
    "name", ["energy, biased", "mmd, biased", "polynomial, biased", "sliced", "sliced, p = 1"]
)
@property_test
@given(pair=clouds())
def test_biased_distances_are_exactly_zero_on_the_same_points_and_never_negative(name, pair):
    x, y = pair
    rounds = rounding(name, x, y) if name in AROUND_THE_ORIGIN else 1e-12
    assert FIXED[name](x, x) == 0
    assert FIXED[name](x, x[::-1]) == pytest.approx(0, abs=rounds)
    assert FIXED[name](x, y) >= -rounds


@pytest.mark.parametrize("name", sorted(FIXED.keys() - AROUND_THE_ORIGIN))
@property_test
@given(pair=clouds(), shift=st.floats(-20, 20))
def test_distances_do_not_change_when_both_samples_move(name, pair, shift):
    x, y = pair
    assert FIXED[name](x + shift, y + shift) == pytest.approx(
        FIXED[name](x, y), rel=1e-5, abs=10 * rounding(name, x, y)
    )


@pytest.mark.parametrize("name", sorted(FIXED.keys() - {"sliced", "sliced, p = 1"}))
@property_test
@given(pair=clouds(), seed=st.integers(0, 50))
def test_distances_do_not_change_when_both_samples_turn(name, pair, seed):
    x, y = pair
    q = turn(3, seed)
    assert FIXED[name](x @ q, y @ q) == pytest.approx(FIXED[name](x, y), rel=1e-6, abs=rounding(name, x, y))


def test_one_column_scaled_alone_changes_every_distance():
    """The control of the invariances: what is no rigid motion is seen."""
    x, y = normal(50, 3, 0), normal(60, 3, 1, mean=1)
    for name, distance in FIXED.items():
        assert abs(distance(x * [5, 1, 1], y * [5, 1, 1]) / distance(x, y) - 1) > 0.01, name


@pytest.mark.parametrize("name", ["energy", "mmd", "polynomial"])
def test_unbiased_estimates_average_to_zero_under_the_null(name):
    rng = np.random.default_rng(0)
    values = [FIXED[name](*rng.standard_normal((2, 8, 3))) for _ in range(2000)]
    assert abs(np.mean(values)) < 5 * np.std(values) / math.sqrt(2000)
    biased = [FIXED[f"{name}, biased"](*rng.standard_normal((2, 8, 3))) for _ in range(200)]
    assert np.mean(biased) > 20 * np.std(values) / math.sqrt(2000)  # the control


def test_tiles_do_not_change_the_numbers(monkeypatch):
    x, y = normal(31, 3, 0), normal(23, 3, 1)
    data = normal(40, 40, 2)

    def numbers():
        return [
            *(distance(x, y) for distance in FIXED.values()),
            *metrics.precision_recall(x, y),
            metrics.parzen_log_likelihood(x, y, bandwidth=1.0),
            metrics.permutation_p_value(metrics.mmd, x, y, n_permutations=19, random_state=0),
            metrics.nearest_neighbours(data[:9], data[9:], n_neighbors=3)[0].sum(),
            metrics.max_sliced_wasserstein(x, y, random_state=0).distance,
        ]

    whole = numbers()
    monkeypatch.setattr(metrics, "_BLOCK", 50)
    np.testing.assert_allclose(numbers(), whole, rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------------------------ energy
@pytest.mark.parametrize(("n", "m"), [(40, 40), (30, 47), (1, 5)])
def test_energy_distance_is_the_square_of_scipys_in_one_dimension(n, m):
    x, y = normal(n, 1, 0), normal(m, 1, 1, mean=0.5)
    expected = stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    assert metrics.energy_distance(x, y, unbiased=False) == pytest.approx(expected, rel=1e-10)


def test_unbiased_energy_distance_by_loops():
    x, y = normal(5, 3, 0), normal(4, 3, 1)

    def mean(pairs):
        return np.mean([np.linalg.norm(a - b) for a, b in pairs])

    expected = (
        2 * mean(itertools.product(x, y))
        - mean(itertools.combinations(x, 2))
        - mean(itertools.combinations(y, 2))
    )
    assert metrics.energy_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_energy_distance_of_two_normal_laws():
    """E|N(a, s^2)| is the mean of the folded normal law; 400 repetitions, five standard errors."""

    def mean_absolute(a, s):
        return s * math.sqrt(2 / math.pi) * math.exp(-(a**2) / (2 * s**2)) + a * math.erf(
            a / s / math.sqrt(2)
        )

    expected = (
        2 * mean_absolute(1, math.sqrt(5)) - mean_absolute(0, math.sqrt(2)) - mean_absolute(0, math.sqrt(8))
    )
    rng = np.random.default_rng(1)
    values = [
        metrics.energy_distance(rng.normal(0, 1, (40, 1)), rng.normal(1, 2, (60, 1))) for _ in range(400)
    ]
    assert abs(np.mean(values) - expected) < 5 * np.std(values) / 20


# ------------------------------------------------------------------------------------ MMD
@pytest.mark.parametrize("unbiased", [True, False])
def test_mmd_by_loops(unbiased):
    x, y, h = normal(5, 2, 0), normal(4, 2, 1), 0.8

    def mean(a, b, same):
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if not (same and unbiased and i == j)]
        return np.mean([math.exp(-np.sum((a[i] - b[j]) ** 2) / (2 * h * h)) for i, j in pairs])

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert metrics.mmd(x, y, bandwidth=h, unbiased=unbiased) == pytest.approx(expected, rel=1e-12)


def test_mmd_of_two_normal_laws():
    """E k(X, Y) is a Gaussian density up to its constant: (h^2/(h^2+v))^(d/2) exp(-|m|^2 / 2(h^2+v))."""
    h, d, shift = 1.3, 2, 0.7

    def mean_kernel(variance, distance):
        total = h * h + variance
        return (h * h / total) ** (d / 2) * math.exp(-(distance**2) / (2 * total))

    expected = mean_kernel(2, 0) + mean_kernel(2, 0) - 2 * mean_kernel(2, shift)
    rng = np.random.default_rng(2)
    values = [
        metrics.mmd(rng.standard_normal((30, d)), rng.normal([shift, 0], 1, (40, d)), bandwidth=h)
        for _ in range(400)
    ]
    assert abs(np.mean(values) - expected) < 5 * np.std(values) / 20


def test_mmd_far_apart_is_two_without_underflow():
    with np.errstate(all="raise"):
        assert metrics.mmd([[0.0], [0.0]], [[1e8], [1e8]], bandwidth=1.0) == pytest.approx(2)


def test_median_bandwidth():
    x, y = normal(20, 3, 0), normal(31, 3, 1)
    pooled = np.concatenate([x, y])
    every = [np.linalg.norm(a - b) for a, b in itertools.combinations(pooled, 2)]
    assert metrics.median_bandwidth(x, y) == pytest.approx(np.median(every), rel=1e-12)
    assert metrics.median_bandwidth([[0.0]] * 9, [[3.0]]) == 3  # coinciding points are left out
    assert metrics.median_bandwidth([[2.0]], [[2.0]]) == 1


def test_median_bandwidth_of_many_points_forgets_which_sample_they_came_from():
    x, y = normal(1500, 2, 0), normal(1500, 2, 1, mean=3)
    pooled = np.random.default_rng(2).permutation(np.concatenate([x, y]))
    bandwidth = metrics.median_bandwidth(x, y)
    assert bandwidth == metrics.median_bandwidth(pooled[:1000], pooled[1000:])
    assert bandwidth == pytest.approx(np.median(cdist(x[:700], np.r_[x, y][::2])), rel=0.2)


@pytest.mark.parametrize("degree", [1, 3])
def test_polynomial_mmd_by_loops(degree):
    x, y = normal(5, 2, 0), normal(4, 2, 1)
    k = lambda a, b: (a @ b / 2 + 1) ** degree
    mean = lambda pairs: np.mean([k(a, b) for a, b in pairs])
    expected = mean(itertools.permutations(x, 2)) + mean(itertools.permutations(y, 2))
    expected -= 2 * mean(itertools.product(x, y))
    assert metrics.polynomial_mmd(x, y, degree=degree) == pytest.approx(expected, rel=1e-11)
    biased = mean(itertools.product(x, x)) + mean(itertools.product(y, y)) - 2 * mean(itertools.product(x, y))
    assert metrics.polynomial_mmd(x, y, degree=degree, unbiased=False) == pytest.approx(biased, rel=1e-11)


def test_polynomial_mmd_of_degree_one_is_the_distance_of_the_means():
    x, y = normal(50, 4, 0), normal(60, 4, 1, mean=2)
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) / 4
    assert metrics.polynomial_mmd(x, y, degree=1, unbiased=False) == pytest.approx(expected, rel=1e-9)


def test_the_third_moment_is_seen_by_degree_three_only():
    """Exponential against normal, both with mean 0 and variance 1."""
    rng = np.random.default_rng(0)
    x, y = rng.exponential(size=(1500, 1)) - 1, rng.standard_normal((1500, 1))
    difference = np.array([np.mean(x**k) - np.mean(y**k) for k in (1, 2, 3)])  # of the moments
    for degree in (2, 3):
        binomials = [math.comb(degree, k) for k in (1, 2, 3)]
        expected = binomials @ difference**2
        value = metrics.polynomial_mmd(x, y, degree=degree, unbiased=False)
        assert value == pytest.approx(expected, rel=1e-6)
    assert metrics.polynomial_mmd(x, y) > 10 * abs(metrics.polynomial_mmd(x, y, degree=2))


# ------------------------------------------------------------------------------------ Wasserstein
@pytest.mark.parametrize(("n", "m"), [(30, 30), (30, 45), (7, 11), (1, 4), (12, 5)])
def test_sliced_distance_in_one_dimension_is_scipys(n, m):
    x, y = normal(n, 1, 0), normal(m, 1, 1, mean=0.5, scale=2)
    expected = stats.wasserstein_distance(x[:, 0], y[:, 0])
    assert metrics.sliced_wasserstein(x, y, p=1, n_projections=3) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_unequal_sizes_are_the_repeated_samples(p):
    """Repeating every point changes no empirical law: sizes 4 and 6 are both brought to 12."""
    x, y = normal(4, 3, 0), normal(6, 3, 1)
    expected = metrics.sliced_wasserstein(
        np.repeat(x, 3, axis=0), np.repeat(y, 2, axis=0), p=p, directions=THETA
    )
    assert metrics.sliced_wasserstein(x, y, p=p, directions=THETA) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_one_dimensional_matching_is_the_best_permutation(p):
    x, y = normal(6, 1, 0), normal(6, 1, 1)
    best = min(
        np.mean(np.abs(x[:, 0] - y[list(order), 0]) ** p) for order in itertools.permutations(range(6))
    )
    assert metrics.sliced_wasserstein(x, y, p=p) == pytest.approx(best ** (1 / p), rel=1e-12)


def test_sliced_distance_of_a_shift():
    """SW_2 of x and x + b is the root mean square of theta.b: |b| / sqrt(d) on average."""
    x, b = normal(50, 4, 0), np.array([3.0, 0, -4, 0])
    theta = metrics.random_directions(500, 4, random_state=0)
    expected = math.sqrt(np.mean((theta @ b) ** 2))
    assert metrics.sliced_wasserstein(x, x + b, directions=5 * theta) == pytest.approx(expected, rel=1e-12)
    value = metrics.sliced_wasserstein(x, x + b, n_projections=20_000, random_state=1)
    assert value == pytest.approx(5 / 2, rel=0.02)  # standard error of the mean square: 0.7 %


def test_sliced_distance_is_the_same_for_the_same_seed_only():
    x, y = normal(20, 3, 0), normal(20, 3, 1)
    first, second, other = (metrics.sliced_wasserstein(x, y, random_state=s) for s in (0, 0, 1))
    assert first == second != other


def test_random_directions_are_uniform():
    theta = metrics.random_directions(20_000, 3, random_state=0)
    np.testing.assert_allclose(np.linalg.norm(theta, axis=1), 1, rtol=1e-12)
    # in three dimensions each coordinate is uniform on [-1, 1]
    for column in theta.T:
        assert stats.kstest(column, stats.uniform(-1, 2).cdf).pvalue > FALSE_ALARM


def test_max_sliced_distance_finds_the_direction_of_a_shift():
    x, b = normal(300, 10, 0), 2 * np.eye(10)[3]
    found = metrics.max_sliced_wasserstein(x, x + b, random_state=0)
    assert found.distance == pytest.approx(2, rel=1e-9)
    assert abs(found.direction[3]) == pytest.approx(1, rel=1e-9)


def test_max_sliced_distance_is_the_largest_over_a_fine_grid_of_angles():
    for seed in range(5):
        x, y = normal(40, 2, seed) * [1, 3], normal(25, 2, seed + 100, mean=0.3)
        angle = np.linspace(0, np.pi, 2001)
        theta = np.c_[np.cos(angle), np.sin(angle)]
        largest = max(metrics.sliced_wasserstein(x, y, directions=row[None]) for row in theta)
        found = metrics.max_sliced_wasserstein(x, y, random_state=seed)
        assert found.distance >= largest * (1 - 1e-6)
        assert np.linalg.norm(found.direction) == pytest.approx(1)
        again = metrics.sliced_wasserstein(x, y, directions=found.direction[None])
        assert found.distance == pytest.approx(again, rel=1e-10)


def test_max_sliced_distance_sees_a_stretch_without_a_shift():
    """N(0, I) against N(0, diag(9, 1, ..., 1)): the best direction is the first axis and W_2 = 2."""
    x, y = normal(20_000, 5, 0), normal(20_000, 5, 1) * [3, 1, 1, 1, 1]
    found = metrics.max_sliced_wasserstein(x, y, n_starts=3, n_steps=20, random_state=0)
    assert found.distance == pytest.approx(2, abs=0.1)
    assert abs(found.direction[0]) > 0.99
    assert metrics.max_sliced_wasserstein(x[:9], x[:9]).distance == 0


# ------------------------------------------------------------------------------------ Frechet
def covariance(d, seed):
    factor = normal(2 * d, d, seed)
    return factor.T @ factor / (2 * d)


@pytest.mark.parametrize("d", [1, 2, 7, 40])
def test_frechet_distance_of_gaussians_is_that_of_the_matrix_root(d):
    a, b = covariance(d, 0), covariance(d, 1)
    shift = normal(1, d, 2)[0]
    expected = shift @ shift + np.trace(a + b) - 2 * np.trace(sqrtm(a @ b).real)
    assert metrics.frechet_distance_of_gaussians(shift, a, 0 * shift, b) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_in_closed_form():
    """Covariances that commute: the sum of squared differences of means and of standard deviations."""
    q, s, t = turn(5, 0), np.arange(1.0, 6), np.array([2.0, 2, 1, 0, 0])
    a, b = q * s**2 @ q.T, q * t**2 @ q.T  # b is singular
    expected = 25 + np.sum((s - t) ** 2)
    mean = 5 * np.eye(5)[0]
    assert metrics.frechet_distance_of_gaussians(mean, a, 0 * mean, b) == pytest.approx(expected, abs=1e-6)
    assert metrics.frechet_distance_of_gaussians(mean, b, 0 * mean, a) == pytest.approx(expected, abs=1e-6)
    assert metrics.frechet_distance_of_gaussians(mean, b, mean, b) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("n", "m"), [(60, 80), (5, 80), (5, 6), (60, 7)])
def test_frechet_distance_of_samples_is_that_of_their_moments(n, m):
    """Also with fewer rows than columns, where another formula is used."""
    x, y = normal(n, 20, 0), normal(m, 20, 1, mean=0.5)
    a, b = np.cov(x.T), np.cov(y.T)
    values = np.linalg.eigvals(a @ b).real  # of a product of two covariances: not negative
    root = np.sqrt(np.maximum(values, 0)).sum()
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a + b) - 2 * root
    value = metrics.frechet_distance(x, y, allow_singular=True)
    assert value == pytest.approx(expected, rel=1e-5)
    assert metrics.frechet_distance(x, x, allow_singular=True) == pytest.approx(0, abs=1e-6)
    if min(n, m) > 20:
        assert metrics.frechet_distance(x, y) == value


@pytest.mark.parametrize(("n", "m", "name"), [(3, 40, "x"), (40, 20, "y"), (20, 20, "x")])
def test_frechet_distance_says_how_many_rows_it_needs(n, m, name):
    x, y = normal(n, 20, 0), normal(m, 20, 1)
    few = min(n, m)
    with pytest.raises(ValueError, match=rf"{name} must have at least 21 rows.*got {few}.*{21 - few} more"):
        metrics.frechet_distance(x, y)
    assert metrics.frechet_distance(normal(21, 20, 0), normal(21, 20, 1)) > 0


def test_frechet_distance_of_small_samples_is_too_large():
    """The bias that the docstring states: equal laws, about as 1/n."""
    rng = np.random.default_rng(0)
    small, large = (
        np.mean([metrics.frechet_distance(*rng.standard_normal((2, n, 5))) for _ in range(100)])
        for n in (50, 500)
    )
    assert 5 < small / large < 20
    assert large == pytest.approx(5 * 10 / (2 * 500), rel=0.15)  # d (d + 5) / 2n; standard error 3 %
    kernel = [metrics.polynomial_mmd(*rng.standard_normal((2, 50, 5))) for _ in range(400)]
    assert abs(np.mean(kernel)) < 5 * np.std(kernel) / 20  # the neighbour without that bias


# ------------------------------------------------------------------------------------ neighbours
@pytest.mark.parametrize("d", [1, 3, 29, 30, 64])
@pytest.mark.parametrize("k", [1, 4])
def test_neighbours_are_those_of_all_distances_sorted(d, k):
    x, y = normal(50, d, 0, mean=1e3), normal(70, d, 1, mean=1e3)
    distances, indices = metrics.nearest_neighbours(x, y, n_neighbors=k)
    every = cdist(x, y)
    expected = np.argsort(every, axis=1)[:, :k]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(distances, np.take_along_axis(every, expected, axis=1), rtol=1e-12)
    assert np.all(metrics.nearest_neighbours(y, y)[0] == 0)


def test_report_by_hand():
    training = [[0.0], [10.0]]
    held_out = [[1.0], [2.0], [8.0], [10.5]]  # distances 1, 2, 2, 0.5
    samples = [[0.0], [0.4], [5.0], [11.0]]  # distances 0, 0.4, 5, 1
    report = metrics.nearest_neighbour_report(
        samples, training, held_out, copy_quantile=1 / 3, spurious_quantile=2 / 3
    )
    np.testing.assert_allclose(report.distance, [0, 0.4, 5, 1])
    assert report.index.tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(report.held_out_distance, [1, 2, 2, 0.5])
    assert (report.copy_threshold, report.spurious_threshold) == pytest.approx((1, 2))
    assert (report.copy_rate, report.spurious_rate) == (0.75, 0.25)
    assert "copies 0.750" in str(report)
    assert "spurious 0.250" in str(report)


def test_rates_of_fresh_data_are_the_quantiles():
    training, held_out, fresh = normal(500, 2, 0), normal(4000, 2, 1), normal(4000, 2, 2)
    # two binomial errors: five standard deviations of their difference
    assert abs(metrics.spurious_rate(fresh, training, held_out) - 0.05) < 5 * math.sqrt(
        2 * 0.05 * 0.95 / 4000
    )
    assert abs(metrics.copy_rate(fresh, training, held_out) - 0.01) < 5 * math.sqrt(2 * 0.01 * 0.99 / 4000)
    assert metrics.spurious_rate(fresh, training, held_out, quantile=0.5) == pytest.approx(0.5, abs=0.06)
    assert metrics.copy_rate(fresh, training, held_out, quantile=0.5) == pytest.approx(0.5, abs=0.06)


def test_a_memorizer_is_a_copy_and_a_far_model_is_spurious():
    data = digits("grey")
    training, held_out = data.train.X, data.test.X
    rng = np.random.default_rng(0)
    spread = float(np.std(training))
    memorizer = rng.permutation(training)[:300] + 0.01 * spread * rng.standard_normal(
        (300, training.shape[1])
    )
    report = metrics.nearest_neighbour_report(memorizer, training, held_out)
    assert report.copy_rate == 1
    assert report.spurious_rate == 0
    assert metrics.copy_rate(memorizer, training, held_out) == 1
    noise = rng.uniform(training.min(), training.max(), (300, training.shape[1]))
    assert metrics.spurious_rate(noise, training, held_out) == 1
    assert metrics.copy_rate(noise, training, held_out) == 0
    # the distance between laws does not see the memorizer
    fresh = data.validation.X
    assert metrics.energy_distance(memorizer, held_out) < metrics.energy_distance(noise, held_out) / 10
    assert (
        metrics.energy_distance(memorizer, held_out) < 3 * abs(metrics.energy_distance(fresh, held_out)) + 0.1
    )


def test_repeated_rows_in_discrete_data_are_copies():
    """Where held-out data coincide with training data the threshold is 0, and a copy still counts."""
    training = np.repeat(np.eye(3), 5, axis=0)
    assert metrics.copy_rate(training, training, training) == 1


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_by_loops(k):
    samples, data = normal(25, 2, 0), normal(30, 2, 1, scale=2)

    def inside(queries, points):
        radius = [sorted(np.linalg.norm(points - point, axis=1))[k] for point in points]
        hit = [any(np.linalg.norm(q - c) <= r for c, r in zip(points, radius, strict=True)) for q in queries]
        return np.mean(hit)

    precision, recall = metrics.precision_recall(samples, data, n_neighbors=k)
    assert precision == inside(samples, data)
    assert recall == inside(data, samples)
    assert precision > recall  # the samples are too narrow


def test_precision_sees_junk_and_recall_a_lost_mode():
    left, right = normal(200, 2, 0, mean=-10), normal(200, 2, 1, mean=10)
    both, lost = np.concatenate([left, right]), normal(200, 2, 2, mean=-10)
    precision, recall = metrics.precision_recall(lost, both)
    assert precision > 0.9
    assert recall == pytest.approx(0.5, abs=0.05)
    precision, recall = metrics.precision_recall(both, lost)
    assert precision == pytest.approx(0.5, abs=0.05)
    assert recall > 0.9
    assert metrics.precision_recall(both, both) == (1, 1)


# ------------------------------------------------------------------------------------ classifiers
def test_c2st_attains_the_bound_where_the_classifier_is_the_best_one():
    """N(0, 1) and N(m, 1): 1/2 + TV/2 is Phi(m/2), and a linear classifier reaches it."""
    for shift in (0.0, 1.0, 3.0):
        x, y = normal(4000, 1, 0), normal(4000, 1, 1, mean=shift)
        bound = stats.norm.cdf(shift / 2)
        value = metrics.c2st(x, y, classifier=LinearDiscriminantAnalysis(), random_state=0)
        assert abs(value - bound) < 5 * math.sqrt(0.25 / 8000)


def test_c2st_of_a_random_forest_stays_below_the_bound():
    x, y = normal(400, 2, 0), normal(400, 2, 1, mean=np.array([1.5, 0]))
    bound = stats.norm.cdf(0.75)
    value = metrics.c2st(x, y, random_state=0)
    assert bound - 0.1 < value < bound + 5 * math.sqrt(0.25 / 800)
    few = x[:40], y[:30]
    assert metrics.c2st(*few, random_state=0) == metrics.c2st(*few, random_state=0)
    # a difference in shape only, which no linear classifier sees
    wide = normal(400, 2, 1, scale=3)
    assert metrics.c2st(x, wide, random_state=0) > 0.75
    assert metrics.c2st(x, wide, classifier=LinearDiscriminantAnalysis(), random_state=0) < 0.6


class Majority(ClassifierMixin, BaseEstimator):
    """Answers the class that is most frequent in its training data."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.answer_ = np.argmax(np.bincount(y))
        return self

    def predict(self, X):
        return np.full(len(X), self.answer_)


def test_c2st_of_unequal_sizes_is_half_for_a_classifier_that_learns_nothing():
    assert metrics.c2st(normal(90, 2, 0), normal(10, 2, 1), classifier=Majority()) == 0.5


def test_c2st_on_principal_components_does_not_see_what_they_leave_out():
    """The laws differ in a column of tiny variance alone: seen in the columns, not in two components."""
    x, y = normal(300, 3, 0, scale=5), normal(300, 3, 1, scale=5)
    x[:, 2], y[:, 2] = 0.0, 0.01
    assert metrics.c2st(x, y, random_state=0) > 0.95
    assert metrics.c2st(x, y, pca=2, random_state=0) < 0.62


def test_c2st_falls_below_half_on_copies():
    x = normal(200, 2, 0)
    assert metrics.c2st(x, x, random_state=0) < 0.3


# ------------------------------------------------------------------------------------ p-values
def assert_uniform(p_values, n_permutations, seed):
    """P(p <= k/(B+1)) = k/(B+1) without ties, so p - U/(B+1) is uniform on (0, 1)."""
    spread = np.random.default_rng(seed).uniform(size=len(p_values)) / (n_permutations + 1)
    assert stats.kstest(np.asarray(p_values) - spread, "uniform").pvalue > FALSE_ALARM


def max_sliced(x, y):
    return metrics.max_sliced_wasserstein(x, y, n_starts=1, n_steps=2, random_state=0).distance


def skew_law(rng, shape):
    return rng.exponential(size=shape) ** 2


@pytest.mark.parametrize("name", [*FIXED, "spread of means"])
def test_p_values_are_uniform_under_the_null(name):
    statistic = FIXED.get(name, lambda x, y: abs(x.mean() - y.mean()))
    rng = np.random.default_rng(3)
    p = [
        metrics.permutation_p_value(
            statistic, skew_law(rng, (7, 3)), skew_law(rng, (11, 3)), n_permutations=19, random_state=rng
        )
        for _ in range(400)
    ]
    assert_uniform(p, 19, 4)
    assert min(p) == 1 / 20
    assert max(p) == 1


@pytest.mark.parametrize("name", FIXED)
def test_p_values_are_small_where_laws_differ(name):
    x, y = normal(40, 3, 0), normal(30, 3, 1, mean=1.5)
    assert metrics.permutation_p_value(FIXED[name], x, y, n_permutations=99, random_state=0) == 0.01


@pytest.mark.parametrize(
    "name",
    ["energy", "energy, biased", "mmd", "mmd, median", "mmd, biased", "polynomial", "polynomial, biased"],
)
def test_the_quick_path_gives_the_same_p_value(name):
    """A lambda hides which statistic it is, so it is computed anew for every split."""
    for seed in range(10):
        x, y = normal(9, 3, seed), normal(14, 3, seed + 50, mean=0.5)
        options = {"n_permutations": 49, "random_state": seed}
        quick = metrics.permutation_p_value(FIXED[name], x, y, **options)
        assert quick == metrics.permutation_p_value(lambda a, b: FIXED[name](a, b), x, y, **options)
        values = metrics._all_discrepancies(FIXED[name], x, y, [np.random.default_rng(seed).permutation(23)])
        assert values[0] == pytest.approx(FIXED[name](x, y), rel=1e-9, abs=1e-12)


def test_p_values_of_the_max_sliced_distance_are_uniform_too():
    rng = np.random.default_rng(8)
    p = [
        metrics.permutation_p_value(
            max_sliced, *rng.exponential(size=(2, 6, 2)), n_permutations=9, random_state=rng
        )
        for _ in range(200)
    ]
    assert_uniform(p, 9, 4)
    x, y = normal(20, 3, 0), normal(20, 3, 1, mean=2)
    assert metrics.permutation_p_value(max_sliced, x, y, n_permutations=19, random_state=0) == 0.05


def test_p_value_is_that_of_all_splits():
    """Against scipy's enumeration of all 462 splits; 20 000 permutations, five standard errors."""
    x, y = normal(5, 1, 0), normal(6, 1, 1, mean=0.6)

    def statistic(a, b):
        return abs(np.mean(a) - np.mean(b))

    exact = stats.permutation_test(
        (x[:, 0], y[:, 0]), statistic, n_resamples=np.inf, alternative="greater", vectorized=False
    ).pvalue
    value = metrics.permutation_p_value(statistic, x, y, n_permutations=20_000, random_state=0)
    assert abs(value - exact) < 5 * math.sqrt(exact * (1 - exact) / 20_000) + 1e-4


def test_a_constant_statistic_has_p_value_one():
    x, y = normal(5, 2, 0), normal(6, 2, 1)
    assert metrics.permutation_p_value(lambda a, b: 3.0, x, y, n_permutations=9) == 1
    same = np.ones((4, 2))
    for statistic in (metrics.energy_distance, metrics.mmd):
        assert metrics.permutation_p_value(statistic, same, same, n_permutations=9) == 1


def test_c2st_p_values_are_valid_under_the_null_and_small_where_laws_differ():
    """Accuracies tie, so p is conservative: P(p <= a) exceeds a by chance only (five standard errors)."""
    rng = np.random.default_rng(6)
    p = np.array(
        [
            metrics.c2st_p_value(
                *rng.standard_normal((2, 60, 2)),
                classifier=LinearDiscriminantAnalysis(),
                n_permutations=99,
                random_state=rng,
            )
            for _ in range(400)
        ]
    )
    for level in (0.05, 0.2, 0.5):
        share = np.mean(p <= level)
        assert share - level < 5 * math.sqrt(level * (1 - level) / 400)
        assert share > level / 2  # valid, and not by being always 1
    x, y = normal(80, 2, 0), normal(60, 2, 1, mean=2)
    assert metrics.c2st_p_value(x, y, n_permutations=99, random_state=0) == 0.01
    assert metrics.c2st_p_value(x, y, pca=1, n_permutations=99, random_state=0) == 0.01


# ------------------------------------------------------------------------------------ features
@pytest.fixture(scope="module")
def network():
    train = digits("grey").train
    return metrics.FeatureNetwork((8, 8), n_features=16, epochs=15, random_state=1).fit(train.X, train.y)


def test_the_feature_network_reads_digits_and_its_features_are_standardized(network):
    train, validation, test = digits("grey")
    assert network.score(test.X, test.y) > 0.9  # measured 0.97 to 0.99 over seeds
    features = network.transform(train.X)
    assert features.shape == (len(train.X), 16)
    assert features.dtype == np.float64
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(features.std(axis=0), 1, rtol=1e-9)
    rows = np.concatenate([network.transform(row[None]) for row in test.X[:5]])
    np.testing.assert_allclose(rows, network.transform(test.X[:5]), atol=1e-4)
    assert set(network.predict(validation.X)) <= set(range(10))


def test_distances_of_features_tell_digits_from_noise(network):
    train, _, test = digits("grey")
    noise = np.random.default_rng(0).uniform(0, 16, test.X.shape)
    for distance in (metrics.frechet_distance, metrics.polynomial_mmd):
        real, junk = (distance(network.transform(x), network.transform(test.X)) for x in (train.X, noise))
        assert abs(real) < junk / 10


def test_the_feature_network_is_the_same_for_the_same_seed_and_leaves_the_global_one_alone():
    import torch

    train = digits("grey").train
    X, y = train.X[:200], np.array(list("abcdefghij"))[train.y[:200].astype(int)]
    before = torch.random.get_rng_state()
    first, second, other = (
        metrics.FeatureNetwork((8, 8), n_features=4, epochs=1, random_state=s).fit(X, y) for s in (0, 0, 1)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    assert not np.allclose(first.transform(X), other.transform(X))
    assert set(first.predict(X)) <= set("abcdefghij")


def test_the_feature_network_takes_colours():
    X = np.random.default_rng(0).uniform(size=(40, 3 * 8 * 12))
    network = metrics.FeatureNetwork((3, 8, 12), n_features=2, epochs=1).fit(X, np.arange(40) % 2)
    assert network.transform(X).shape == (40, 2)


IMAGES, LABELS = np.random.default_rng(3).uniform(size=(12, 16)), np.arange(12) % 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f((4,)), "shape must be"),
        (lambda f: f((3, 8)), "shape must be"),
        (lambda f: f((4.5, 8)), "shape must be a whole"),
        (lambda f: f((4, 4), n_features=0), "n_features must be"),
        (lambda f: f((4, 4), epochs=0), "epochs must be"),
        (lambda f: f((4, 4)).fit(IMAGES[:, :9], LABELS), "X must have 16 columns"),
        (lambda f: f((4, 4)).fit(np.full((12, 16), np.nan), LABELS), "X must be finite"),
        (lambda f: f((4, 4)).fit(IMAGES, LABELS[:5]), "y must have one label"),
        (lambda f: f((4, 4)).fit(IMAGES, 0 * LABELS), "at least two classes"),
        (lambda f: f((4, 4)).fit(0 * IMAGES, LABELS), "X must hold images that differ"),
        (lambda f: f((4, 4)).transform(IMAGES), "not fitted"),
        (lambda f: f((4, 4), epochs=1).fit(IMAGES, LABELS).transform(IMAGES * np.inf), "X must be finite"),
    ],
)
def test_bad_input_of_the_feature_network_is_named(call, message):
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=message):
        call(metrics.FeatureNetwork)


# ------------------------------------------------------------------------------------ Parzen
def test_parzen_is_scikit_learns_kernel_density():
    x, y = normal(40, 5, 0), normal(70, 5, 1)
    expected = KernelDensity(bandwidth=0.7).fit(y).score_samples(x).mean()
    assert metrics.parzen_log_likelihood(x, y, bandwidth=0.7) == pytest.approx(expected, rel=1e-10)
    far = metrics.parzen_log_likelihood([[0.0]], [[1e6]], bandwidth=1e-3)
    assert far == pytest.approx(-0.5e18, rel=1e-6)


def test_parzen_ranks_centroids_above_true_samples():
    """The failure that the warning states: k-means beats real digits, each at its best bandwidth."""
    data = digits("grey")
    training, held_out = data.train.X, data.test.X
    rng = np.random.default_rng(0)
    real = rng.permutation(training)[:200]
    centroids = KMeans(200, n_init=1, max_iter=20, random_state=0).fit(training).cluster_centers_
    widths = np.std(training) * np.geomspace(0.2, 1.2, 12)
    best = [
        max(metrics.parzen_log_likelihood(held_out, samples, bandwidth=h) for h in widths)
        for samples in (real, centroids)
    ]
    assert best[1] > best[0] + 5


# ------------------------------------------------------------------------------------ bad input
TWO_SAMPLES = {
    **FIXED,
    "frechet, enough rows": metrics.frechet_distance,
    "max sliced": metrics.max_sliced_wasserstein,
    "precision": functools.partial(metrics.precision_recall, n_neighbors=1),
    "neighbours": metrics.nearest_neighbours,
    "report": lambda x, y: metrics.nearest_neighbour_report(x, y, y),
    "report, held out": lambda x, y: metrics.nearest_neighbour_report(y, y, x),
    "copy": lambda x, y: metrics.copy_rate(x, y, y),
    "spurious": lambda x, y: metrics.spurious_rate(x, y, y),
    "c2st": functools.partial(metrics.c2st, n_splits=2),
    "c2st p": metrics.c2st_p_value,
    "permutation": functools.partial(metrics.permutation_p_value, metrics.energy_distance),
    "median": metrics.median_bandwidth,
    "parzen": functools.partial(metrics.parzen_log_likelihood, bandwidth=1.0),
}
GOOD = np.random.default_rng(9).standard_normal((12, 3))


def with_nan(value):
    bad = GOOD.copy()
    bad[3, 1] = value
    return bad


@pytest.mark.parametrize("name", TWO_SAMPLES)
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (np.empty((0, 3)), ValueError, "at least . row"),
        (with_nan(np.nan), ValueError, "finite"),
        (with_nan(np.inf), ValueError, "finite"),
        (GOOD[:, 0], ValueError, r"shape \(n, d\)"),
        (GOOD[:, :2], ValueError, "columns"),
        (np.empty((12, 0)), ValueError, "column"),
        (GOOD.astype(str), TypeError, "real numbers"),
        (GOOD + 1j, TypeError, "real numbers"),
    ],
    ids=["empty", "NaN", "infinite", "one axis", "columns", "no columns", "text", "complex"],
)
def test_bad_samples_are_named(name, swap, bad, error, message):
    pair = (GOOD, bad) if swap else (bad, GOOD)
    with pytest.raises(error, match=message):
        TWO_SAMPLES[name](*pair)


@pytest.mark.parametrize(
    "name",
    [
        "energy",
        "mmd",
        "polynomial",
        "frechet",
        "frechet, enough rows",
        "c2st",
        "c2st p",
        "permutation",
        "precision",
    ],
)
def test_one_sample_is_too_few(name):
    with pytest.raises(ValueError, match=r"at least|below"):
        TWO_SAMPLES[name](GOOD[:1], GOOD)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.nearest_neighbours(GOOD, GOOD, n_neighbors=13), "n_neighbors must be at most"),
        (lambda: metrics.nearest_neighbours(GOOD, GOOD, n_neighbors=0), "n_neighbors must be a whole"),
        (lambda: metrics.precision_recall(GOOD, GOOD[:5], n_neighbors=5), "n_neighbors must be below"),
        (lambda: metrics.precision_recall(GOOD, GOOD, n_neighbors=1.5), "n_neighbors must be a whole"),
        (lambda: metrics.copy_rate(GOOD, GOOD, GOOD, quantile=0), "quantile must lie"),
        (lambda: metrics.spurious_rate(GOOD, GOOD, GOOD, quantile=95), "quantile must lie"),
        (
            lambda: metrics.nearest_neighbour_report(
                GOOD, GOOD, GOOD, copy_quantile=0.9, spurious_quantile=0.5
            ),
            "copy_quantile must be below",
        ),
        (lambda: metrics.polynomial_mmd(GOOD, GOOD, degree=0), "degree must be a whole"),
        (lambda: metrics.mmd(GOOD, GOOD, bandwidth=0.0), "bandwidth must be a positive"),
        (lambda: metrics.mmd(GOOD, GOOD, bandwidth="mean"), "bandwidth must be a positive"),
        (lambda: metrics.parzen_log_likelihood(GOOD, GOOD, bandwidth=-1), "bandwidth must be a positive"),
        (lambda: metrics.sliced_wasserstein(GOOD, GOOD, p=0.5), "p must be"),
        (lambda: metrics.sliced_wasserstein(GOOD, GOOD, n_projections=0), "n_projections must be"),
        (lambda: metrics.sliced_wasserstein(GOOD, GOOD, directions=np.zeros((1, 3))), "directions must not"),
        (lambda: metrics.sliced_wasserstein(GOOD, GOOD, directions=np.eye(2)), "directions and x"),
        (lambda: metrics.max_sliced_wasserstein(GOOD, GOOD, n_starts=0), "n_starts must be"),
        (lambda: metrics.random_directions(3, 0), "dim must be"),
        (lambda: metrics.c2st(GOOD[:3], GOOD), "x must have at least 5"),
        (lambda: metrics.c2st(GOOD, GOOD, n_splits=1), "n_splits must be"),
        (lambda: metrics.c2st(GOOD, GOOD, pca=4), "pca must be at most 3"),
        (lambda: metrics.permutation_p_value(metrics.mmd, GOOD, GOOD, n_permutations=0), "n_permutations"),
        (lambda: metrics.permutation_p_value(lambda x, y: np.nan, GOOD, GOOD), "statistic must return"),
        (lambda: metrics.frechet_distance_of_gaussians([0], [[1]], [0, 0], np.eye(2)), "mean_x and mean_y"),
        (lambda: metrics.frechet_distance_of_gaussians([0], [[1]], [np.nan], [[1]]), "mean_x and mean_y"),
        (lambda: metrics.frechet_distance_of_gaussians([0], [[1]], [0], np.eye(2)), "cov_y must have shape"),
        (
            lambda: metrics.frechet_distance_of_gaussians([0, 0], [[1, 1], [0, 1]], [0, 0], np.eye(2)),
            "cov_x must be symmetric",
        ),
        (lambda: metrics.frechet_distance_of_gaussians([0], [[-1]], [0], [[1]]), "no negative eigenvalue"),
        (lambda: metrics.frechet_distance_of_gaussians([0], [[1]], [0], [[-1]]), "no negative eigenvalue"),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_unknown_option_of_the_statistic_is_not_swallowed():
    with pytest.raises(TypeError, match="width"):
        metrics.permutation_p_value(functools.partial(metrics.mmd, width=1.0), GOOD, GOOD, n_permutations=3)
