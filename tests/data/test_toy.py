"""The toy laws against independent oracles: scipy, adaptive quadrature, scikit-learn's samples."""

import math
import pickle
import subprocess
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, special, stats
from sklearn.datasets import make_moons, make_swiss_roll

from coursekit import check
from coursekit.data import Bimodal, EightGaussians, Pinwheel, Rings, SwissRoll, TwoMoons

FALSE_ALARM = 1e-6  # per statistical test, at fixed seeds

PLANE = [
    EightGaussians(),
    EightGaussians(radius=1.0, std=0.3),
    Pinwheel(),
    Pinwheel(n_arms=3, radius=1.5, radial_std=0.4, tangential_std=0.2, twist=-1.2),
    Pinwheel(n_arms=1, twist=0.0),
    Rings(),
    Rings(radii=[1.0], noise=0.5),
    SwissRoll(),
    SwissRoll(noise=1.5),
    TwoMoons(),
    TwoMoons(noise=0.3),
]
LINE = [Bimodal(), Bimodal(weights=(1, 3), means=(0.0, 5.0), stds=(0.1, 2.0))]
SHEET = [SwissRoll(dim=3), SwissRoll(1.0, dim=3)]
ALL = [*LINE, *PLANE, *SHEET]


def name(law):
    return repr(law)


# --- the density against oracles ----------------------------------------------------------------------------


def at_random(law, n=200):
    """Points where the law has its mass, and points anywhere in its bounds."""
    low, high = np.array(law.bounds).T
    anywhere = np.random.default_rng(3).uniform(low, high, (n // 2, law.dim))
    return np.vstack([law.sample(n // 2, random_state=3), anywhere])


@pytest.mark.parametrize("law", LINE, ids=name)
def test_bimodal_is_scipys_mixture(law):
    x = at_random(law)
    parts = zip(law.weights, law.means, law.stds, strict=True)
    frozen = [(w, stats.norm(m, s)) for w, m, s in parts]
    np.testing.assert_allclose(law.pdf(x[:, 0]), sum(w * f.pdf(x[:, 0]) for w, f in frozen), rtol=1e-12)
    np.testing.assert_allclose(law.cdf(x[:, 0]), sum(w * f.cdf(x[:, 0]) for w, f in frozen), rtol=1e-12)
    np.testing.assert_allclose(law.log_prob(x), np.log(law.pdf(x[:, 0])), rtol=1e-12)


def test_bimodal_is_the_law_that_the_course_names():
    grid = np.linspace(-4, 5, 50)
    expected = 0.6 * stats.norm.pdf(grid, -1, 0.6) + 0.4 * stats.norm.pdf(grid, 1.5, 0.9)
    np.testing.assert_allclose(Bimodal().pdf(grid), expected, rtol=1e-12)
    assert Bimodal().cdf(-np.inf) == 0
    assert Bimodal().cdf(np.inf) == 1
    assert Bimodal().pdf(0.0).shape == ()
    assert Bimodal().cdf(np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("law", [p for p in PLANE if isinstance(p, EightGaussians)], ids=name)
def test_eight_gaussians_is_scipys_mixture(law):
    x = at_random(law)
    parts = []
    for k in range(8):
        mean = [law.radius * math.cos(k * math.pi / 4), law.radius * math.sin(k * math.pi / 4)]
        parts.append(stats.multivariate_normal(mean, law.std**2).logpdf(x))
    np.testing.assert_allclose(law.log_prob(x), special.logsumexp(parts, axis=0) - math.log(8), rtol=1e-10)


@pytest.mark.parametrize("law", [p for p in PLANE if isinstance(p, Pinwheel)], ids=name)
def test_pinwheel_is_the_pushforward_of_its_arms(law):
    """Change of variables with a numerical Jacobian of the twist: nothing assumes that it keeps areas."""
    u = np.random.default_rng(0).normal(size=(40, 2)) * 0.3 + [law.radius, 0]

    def twist(u):
        angle = law.twist * np.hypot(*u)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return rotation @ u

    x = np.array([twist(row) for row in u])
    step = 1e-6
    jacobians = np.stack(
        [
            np.stack([(twist(row + step * e) - twist(row - step * e)) / (2 * step) for e in np.eye(2)], 1)
            for row in u
        ]
    )
    turns = 2 * np.pi * np.arange(law.n_arms) / law.n_arms
    means = law.radius * np.column_stack([np.cos(turns), np.sin(turns)])
    axes = np.stack([[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in turns])
    shape = np.diag([law.radial_std**2, law.tangential_std**2])
    arms = [stats.multivariate_normal(m, Q @ shape @ Q.T).logpdf(u) for m, Q in zip(means, axes, strict=True)]
    before = special.logsumexp(arms, axis=0) - math.log(law.n_arms)
    expected = before - np.log(np.abs(np.linalg.det(jacobians)))
    np.testing.assert_allclose(law.log_prob(x), expected, atol=1e-7)


@pytest.mark.parametrize("law", [p for p in PLANE if isinstance(p, Rings)], ids=name)
def test_rings_is_the_integral_around_each_circle(law):
    x = at_random(law, 24)

    def density(point):
        total = 0.0
        for radius in law.radii:
            towards = math.atan2(point[1], point[0])
            closest = radius * np.array([math.cos(towards), math.sin(towards)])
            shift = np.sum((point - closest) ** 2) / (2 * law.noise**2)

            def kernel(a, radius=radius, shift=shift):
                square = (point[0] - radius * math.cos(a)) ** 2 + (point[1] - radius * math.sin(a)) ** 2
                return math.exp(shift - square / (2 * law.noise**2))

            pieces = towards + np.linspace(-np.pi, np.pi, 31)
            mass = sum(integrate.quad(kernel, a, b)[0] for a, b in pairwise(pieces))
            total += mass * math.exp(-shift) / (2 * math.pi)
        return total / (len(law.radii) * 2 * math.pi * law.noise**2)

    expected = np.log([density(point) for point in x])
    np.testing.assert_allclose(law.log_prob(x), expected, atol=1e-8)


def spiral(t):
    return t * math.cos(t) / 7, t * math.sin(t) / 7


def upper(t):
    return math.cos(t), math.sin(t)


def lower(t):
    return 1 - math.cos(t), 0.5 - math.sin(t)


def log_along(point, curve, interval, std):
    """Log-density of a noisy curve at one point by adaptive quadrature, scaled by its largest term."""
    times = np.linspace(*interval, 100_001)
    path = np.array(curve_on(curve, times))
    squares = (point[0] - path[0]) ** 2 + (point[1] - path[1]) ** 2
    least = squares.min()

    def integrand(t):
        a, b = curve(t)
        return math.exp((least - (point[0] - a) ** 2 - (point[1] - b) ** 2) / (2 * std**2))

    counts = np.flatnonzero(squares - least < 90 * std**2)
    total = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", integrate.IntegrationWarning
        )  # asked for more digits than doubles have
        for piece in np.split(counts, np.flatnonzero(np.diff(counts) > 1) + 1):
            low, high = times[max(piece[0] - 1, 0)], times[min(piece[-1] + 1, len(times) - 1)]
            ends = (high - low) * 0.5 ** np.arange(
                6, 15
            )  # an end of the curve is a sharp corner seen from afar
            edges = np.unique(np.r_[np.linspace(low, high, 41), low + ends, high - ends])
            for a, b in pairwise(edges):
                total += integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-12)[0]
    norm = 2 * math.pi * std**2 * (interval[1] - interval[0])
    return math.log(total / norm) - least / (2 * std**2)


def curve_on(curve, times):
    """The same curve on an array of times."""
    formulas = {
        spiral: lambda t: (t * np.cos(t) / 7, t * np.sin(t) / 7),
        upper: lambda t: (np.cos(t), np.sin(t)),
        lower: lambda t: (1 - np.cos(t), 0.5 - np.sin(t)),
    }
    return formulas[curve](times)


@pytest.mark.parametrize("noise", [0.05, 0.3, 2.0])
def test_swiss_roll_is_the_integral_along_its_arc(noise):
    law = SwissRoll(noise)
    x = np.vstack([at_random(law, 10), [[0.0, 0.0]], np.array(law.bounds).T])
    interval = (1.5 * math.pi, 4.5 * math.pi)
    expected = [log_along(point, spiral, interval, noise / 7) for point in x]
    np.testing.assert_allclose(law.log_prob(x), expected, rtol=0, atol=1e-9)
    far = np.array([[200.0, 100.0], [-30.0, 5.0]])
    expected = [log_along(point, spiral, interval, noise / 7) for point in far]
    np.testing.assert_allclose(law.log_prob(far), expected, rtol=1e-6)


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.5])
def test_two_moons_is_the_integral_along_its_arcs(noise):
    law = TwoMoons(noise)
    x = np.vstack([at_random(law, 10), [[0.5, 0.25]], np.array(law.bounds).T])
    moons = [[log_along(point, curve, (0, math.pi), noise) for point in x] for curve in (upper, lower)]
    expected = np.logaddexp(*moons) - math.log(2)
    np.testing.assert_allclose(law.log_prob(x), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("law", SHEET, ids=name)
def test_the_sheet_is_the_spiral_times_a_noisy_uniform(law):
    std = law.noise / 7
    for y in (-0.1, 0.0, 1.2, 2.9, 3.05):
        height = integrate.quad(
            lambda u, y=y: stats.norm.pdf(y, u, std) / 3, 0, 3, points=[np.clip(y, 0, 3)]
        )[0]
        expected = SwissRoll(law.noise).log_prob([[0.4, -1.0]]) + math.log(height)
        np.testing.assert_allclose(law.log_prob([[0.4, y, -1.0]]), expected, rtol=1e-7)


@pytest.mark.parametrize("law", [Rings(), TwoMoons(), SwissRoll(), SwissRoll(dim=3)], ids=name)
def test_rows_do_not_depend_on_their_company(law):
    x = at_random(law, 60)
    alone = np.concatenate([law.log_prob(x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_allclose(law.log_prob(x), alone, rtol=1e-13)
    assert law.log_prob(x[:0]).shape == (0,)


# --- normalization, samples, entropy ------------------------------------------------------------------------


@pytest.mark.parametrize("law", [*LINE, *PLANE], ids=name)
def test_density_integrates_to_one_over_its_bounds(law):
    """Simpson's rule on a fine grid; the stated mass outside the bounds is below 1e-7."""
    axes = []
    for low, high in law.bounds:
        axes.append(np.linspace(low, high, 2 * math.ceil((high - low) / law._step * 2) + 1))
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, law.dim)
    values = np.exp(law.log_prob(grid)).reshape([len(axis) for axis in axes])
    for axis in reversed(axes):
        values = integrate.simpson(values, x=axis, axis=-1)
    assert abs(values - 1) < 2e-6


@pytest.mark.parametrize("law", SHEET, ids=name)
def test_sheet_integrates_to_one(law):
    check.integrates_to_one(law)


@pytest.mark.parametrize("law", ALL, ids=name)
def test_samples_follow_the_density_in_cells(law):
    """Chi-square by cells of a grid, whose masses come from the density by a midpoint rule in each cell."""
    n, cells, inner = 20_000, {1: 60, 2: 12, 3: 6}[law.dim], {1: 40, 2: 24, 3: 14}[law.dim]
    draws = law.sample(n, random_state=11)
    low, high = np.array(law.bounds).T
    middle = [a + (b - a) * (np.arange(cells * inner) + 0.5) / (cells * inner) for a, b in law.bounds]
    grid = np.stack(np.meshgrid(*middle, indexing="ij"), -1).reshape(-1, law.dim)
    mass = np.exp(law.log_prob(grid)).reshape([cells, inner] * law.dim).sum(tuple(range(1, 2 * law.dim, 2)))
    mass = mass.ravel() * np.prod((high - low) / (cells * inner))
    assert abs(mass.sum() - 1) < 2e-3
    edges = [np.linspace(a, b, cells + 1) for a, b in law.bounds]
    counts = np.histogramdd(draws, bins=edges)[0].ravel()
    big = mass * n >= 10  # the others together are one more cell
    observed = np.append(counts[big], n - counts[big].sum())
    expected = np.append(mass[big], 1 - mass[big].sum()) * n
    if expected[-1] < 5:
        observed, expected = observed[:-1], expected[:-1] * observed[:-1].sum() / expected[:-1].sum()
    assert len(observed) > 10
    assert stats.chisquare(observed, expected).pvalue > FALSE_ALARM


@pytest.mark.parametrize("law", [Bimodal(), Pinwheel(), SwissRoll(), SwissRoll(dim=3)], ids=name)
def test_samples_follow_the_density_by_the_law(law):
    check.samples_follow_density(law, false_alarm=FALSE_ALARM)


@pytest.mark.parametrize("law", ALL, ids=name)
def test_entropy_is_the_mean_negative_log_density(law):
    """Within five standard errors of 50,000 samples: false alarm below 1e-6."""
    nll = -law.log_prob(law.sample(50_000, random_state=5))
    assert abs(law.entropy - nll.mean()) < 5 * nll.std() / math.sqrt(len(nll)) + law.entropy_error
    assert 0 < law.entropy_error < 1e-4


def test_entropies_with_a_closed_form():
    apart = EightGaussians(radius=50.0, std=0.5)  # 76 standard deviations apart: log 8 + entropy of one
    assert apart.entropy == pytest.approx(math.log(8) + math.log(2 * math.pi * math.e * 0.25), abs=1e-9)
    straight = Pinwheel(n_arms=1, twist=0.0)
    twisted = Pinwheel(n_arms=1, twist=0.9)  # a twist that keeps areas keeps the entropy
    expected = math.log(2 * math.pi * math.e * 0.3 * 0.1)
    assert straight.entropy == pytest.approx(expected, abs=straight.entropy_error + 1e-9)
    assert twisted.entropy == pytest.approx(expected, abs=twisted.entropy_error + 1e-9)


@pytest.mark.parametrize("law", [Bimodal(), TwoMoons(), Pinwheel(), Rings()], ids=name)
def test_entropy_error_covers_a_finer_grid(law):
    assert abs(law.entropy - law._grid_entropy(0.15 * law._step)) <= law.entropy_error


def test_swiss_roll_entropy_is_the_one_the_course_quotes():
    """Measured before by simulation as 0.795 with a standard error of 0.017 nats."""
    law = SwissRoll(noise=0.3)
    assert abs(law.entropy - 0.795) < 0.017
    assert law.entropy_error < 1e-9


@pytest.mark.parametrize("law", [*LINE, *PLANE, *SHEET], ids=name)
def test_bounds_hold_the_samples(law):
    low, high = np.array(law.bounds).T
    draws = law.sample(20_000, random_state=2)
    assert np.all((draws >= low) & (draws <= high))
    assert len(law.bounds) == law.dim


# --- definitions and randomness -----------------------------------------------------------------------------


def test_swiss_roll_is_scikit_learns():
    roll = make_swiss_roll(500, noise=0.3, random_state=7)[0] / 7
    np.testing.assert_array_equal(SwissRoll().sample(500, random_state=7), roll[:, [0, 2]])
    np.testing.assert_array_equal(SwissRoll(dim=3).sample(500, random_state=7), roll)


def test_two_moons_lie_on_scikit_learns_curves():
    noiseless = make_moons(2000, shuffle=False)[0]
    draws = TwoMoons(noise=1e-9).sample(300, random_state=0)
    nearest = np.min(np.linalg.norm(draws[:, None] - noiseless, axis=2), axis=1)
    assert nearest.max() < np.pi / 1000


@pytest.mark.parametrize("law", ALL, ids=name)
def test_randomness_comes_from_the_argument(law):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = law.sample(20, random_state=4), law.sample(20, random_state=4)
    assert first.tobytes() == again.tobytes()
    assert first.shape == (20, law.dim)
    assert first.dtype == np.float64
    assert not np.array_equal(first, law.sample(20, random_state=5))
    assert not np.array_equal(law.sample(20), law.sample(20))
    stream = np.random.default_rng(0)
    assert not np.array_equal(law.sample(20, random_state=stream), law.sample(20, random_state=stream))
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert law.sample().shape == (1, law.dim)


@pytest.mark.parametrize("law", ALL, ids=name)
def test_laws_survive_a_round_trip_and_extremes(law):
    x = at_random(law, 10)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(law)).log_prob(x), law.log_prob(x))
    np.testing.assert_array_equal(eval(repr(law)).log_prob(x), law.log_prob(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        far = law.log_prob(np.array([[1e300], [1e4]]) * np.ones(law.dim))
    assert far[0] == -np.inf
    assert far[1] < -1e5
    assert law.log_prob(np.zeros((3, law.dim), np.float32)).dtype == np.float64
    assert law.log_prob(np.zeros((3, law.dim), int)).shape == (3,)


def test_import_is_quick_and_silent():
    """No torch, no scikit-learn, no download library, and nothing printed."""
    code = (
        "import sys, coursekit.data; "
        "print([m for m in ('torch', 'sklearn', 'pooch', 'requests', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
    assert done.stderr == ""


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, -3, 2.5, "10", None, True])
def test_a_count_that_is_none(n):
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 1"):
        SwissRoll().sample(n)


@pytest.mark.parametrize("seed", [-1, 1.5, "seed"])
def test_a_seed_that_is_none(seed):
    with pytest.raises(ValueError, match="random_state"):
        TwoMoons().sample(3, random_state=seed)


@pytest.mark.parametrize(
    "law", [Bimodal(), EightGaussians(), Pinwheel(), Rings(), SwissRoll(), TwoMoons()], ids=name
)
def test_points_of_the_wrong_kind(law):
    d = law.dim
    for shape in ((d,), (4, d + 1), (2, 2, d)):
        with pytest.raises(ValueError, match=rf"x must have shape \(n, {d}\)"):
            law.log_prob(np.zeros(shape))
    for value in (np.nan, np.inf, -np.inf):
        x = np.zeros((3, d))
        x[1, 0] = value
        with pytest.raises(ValueError, match="finite"):
            law.log_prob(x)
    with pytest.raises(ValueError, match="real numbers"):
        law.log_prob(np.full((2, d), "a"))


@pytest.mark.parametrize("noise", [0, -0.1, np.nan, np.inf, "much"])
@pytest.mark.parametrize("law", [SwissRoll, TwoMoons])
def test_noise_that_gives_no_density(law, noise):
    with pytest.raises(ValueError, match="noise must be a finite number above 0"):
        law(noise)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SwissRoll(dim=4), "dim must be 2 or 3"),
        (lambda: SwissRoll(dim=True), "dim must be 2 or 3"),
        (lambda: Bimodal(weights=(0.5, -0.1)), "weights must be 2"),
        (lambda: Bimodal(weights=(1.0,)), "weights must be 2"),
        (lambda: Bimodal(stds=(1.0, 0.0)), "stds must be"),
        (lambda: Bimodal(means=(np.nan, 0.0)), "means must be"),
        (lambda: Bimodal(means=(0.0,)), "two numbers each"),
        (lambda: EightGaussians(std=0), "std must be"),
        (lambda: EightGaussians(radius=-1), "radius must be"),
        (lambda: Pinwheel(n_arms=0), "n_arms must be"),
        (lambda: Pinwheel(tangential_std=0), "tangential_std must be"),
        (lambda: Pinwheel(twist=np.inf), "twist must be"),
        (lambda: Rings(radii=[]), "at least one radius"),
        (lambda: Rings(radii=[1.0, 0.0]), "radii must be"),
        (lambda: Rings(noise=0), "noise must be"),
        (lambda: Bimodal().cdf(np.nan), "NaN"),
        (lambda: Bimodal().pdf(np.nan), "finite"),
    ],
)
def test_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
