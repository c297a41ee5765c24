"""Views and back-projection against closed forms, quadrature, literal convolution and leave-one-out.

Random inputs have fixed seeds. A statistical test states its false-fail rate for a fresh seed.
"""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.interpolate import RegularGridInterpolator
from scipy.special import dawsn, ndtr
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from coursekit import check
from coursekit.data import SwissRoll
from coursekit.gaussianization import projections as P
from coursekit.gaussianization.projections import RadonDensity
from coursekit.metrics import random_directions, sliced_wasserstein

LIKELIHOOD = {"RadonDensity": "exact"}

WEIGHTS, MEANS, STDS = np.array([0.6, 0.4]), np.array([[-0.7, 0.3], [0.8, -0.5]]), np.array([0.5, 0.35])


def pdf(x):
    """A mixture of two round normal laws in the plane."""
    squares = ((np.asarray(x)[:, None, :] - MEANS) ** 2).sum(-1)
    return np.exp(-0.5 * squares / STDS**2) @ (WEIGHTS / (2 * np.pi * STDS**2))


def exact_views(angles, edges):
    """Its views in closed form, averaged over the bins."""
    directions = np.stack([np.cos(angles), np.sin(angles)])  # (2, m)
    z = (edges[:, None, None] - (MEANS @ directions)) / STDS[:, None]  # (B + 1, 2, m)
    return np.diff(ndtr(z), axis=0).transpose(2, 0, 1) @ WEIGHTS / (edges[1] - edges[0])


def disc(radius, n=60):
    axis = radius * ((np.arange(n) + 0.5) * 2 / n - 1)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    return points[(points**2).sum(1) <= radius**2], (axis[1] - axis[0]) ** 2


def reconstruct(views, angles, edges, x, **options):
    filtered = P.filter_views(views, edges[1] - edges[0], **options)
    return P.back_project(filtered, angles, (edges[1:] + edges[:-1]) / 2, x)


# ------------------------------------------------------------------------------------ the pieces
@pytest.mark.parametrize("width", [0.1, 1.0, 2.5])
def test_ramp_kernel_is_the_integral_that_defines_it(width):
    kernel = P.ramp_kernel(6, width)
    for j in range(-5, 6):
        value = integrate.quad(lambda w, j=j: w / np.pi * np.cos(w * j * width), 0, np.pi / width)[0]
        assert kernel[j + 5] == pytest.approx(value / (2 * np.pi), abs=1e-10 / width**2)


def test_ramp_kernel_sums_to_what_its_tails_leave():
    """The whole series sums to zero, the ramp at zero frequency; a finite window keeps a little."""
    sums = [P.ramp_kernel(n, 1.0).sum() for n in (10, 100, 1000)]
    assert all(sums[i] > sums[i + 1] > 0 for i in range(2))
    assert sums[-1] == pytest.approx(1 / (np.pi**2 * 1000), rel=0.01)


@pytest.mark.parametrize("n_bins", [1, 2, 7, 32, 33])
def test_filter_is_a_linear_convolution(n_bins):
    views = np.random.default_rng(n_bins).random((3, n_bins))
    kernel = P.ramp_kernel(n_bins, 0.3)
    literal = [np.convolve(view, kernel)[n_bins - 1 : 2 * n_bins - 1] * 0.3 for view in views]
    np.testing.assert_allclose(P.filter_views(views, 0.3), literal, atol=1e-11)


def test_filtered_normal_view_is_dawsons_function():
    r"""Of N(0, s^2): (1 - sqrt(2) u D(u / sqrt 2)) / (2 pi^2 s^2) with u = x / s."""
    edges = np.linspace(-6, 6, 481)
    centers = (edges[1:] + edges[:-1]) / 2
    view = np.diff(ndtr(edges / 0.8)) / (edges[1] - edges[0])
    filtered = P.filter_views(view[None], edges[1] - edges[0])[0]
    u = centers / 0.8
    exact = (1 - np.sqrt(2) * u * dawsn(u / np.sqrt(2))) / (2 * np.pi**2 * 0.8**2)
    np.testing.assert_allclose(filtered, exact, atol=2e-4 * exact.max())


def test_view_histograms_agree_with_numpy():
    X, edges = np.random.default_rng(0).uniform(-1, 1, (500, 2)), np.linspace(-1.5, 1.5, 24)
    angles = np.array([0.0, 0.3, 2.0, 4.0])
    views = P.view_histograms(X, angles, edges)
    for view, a in zip(views, angles, strict=True):
        projected = X @ [np.cos(a), np.sin(a)]
        np.testing.assert_allclose(view, np.histogram(projected, edges, density=True)[0], atol=1e-12)


@pytest.mark.parametrize("n_angles", [30, 60])
def test_a_mixture_is_recovered_from_its_exact_views(n_angles):
    edges, angles = np.linspace(-3.5, 3.5, 141), P.view_angles(n_angles)
    points, area = disc(3.5)
    found = reconstruct(exact_views(angles, edges), angles, edges, points)
    truth = pdf(points)
    assert np.abs(found - truth).max() < 0.01 * truth.max()
    assert found.sum() * area == pytest.approx(1, abs=0.01)


def test_too_few_views_leave_streaks():
    edges, angles = np.linspace(-3.5, 3.5, 141), P.view_angles(4)
    points, _ = disc(3.5)
    found = reconstruct(exact_views(angles, edges), angles, edges, points)
    assert np.abs(found - pdf(points)).max() > 0.1 * pdf(points).max()


def test_a_full_turn_repeats_the_half_turn():
    """The view at alpha + pi is the mirror image: twice the views, the same answer."""
    edges, half = np.linspace(-3.5, 3.5, 81), P.view_angles(9)
    turn = np.concatenate([half, half + np.pi])
    points, _ = disc(3.5, 20)
    once = reconstruct(exact_views(half, edges), half, edges, points)
    twice = reconstruct(exact_views(turn, edges), turn, edges, points)
    np.testing.assert_allclose(twice, once, atol=1e-12)


def test_the_sampled_ramp_loses_mass():
    edges, angles = np.linspace(-3.5, 3.5, 71), P.view_angles(40)
    points, area = disc(3.5)
    views = exact_views(angles, edges)
    right, trap = (
        reconstruct(views, angles, edges, points, ramp=ramp).sum() * area
        for ramp in ("band-limited", "sampled")
    )
    assert abs(right - 1) < 0.02
    assert trap < 0.9
    # It sums to zero over the window of every view: the DC coefficient was thrown away.
    filtered = P.filter_views(views, edges[1] - edges[0], ramp="sampled")
    np.testing.assert_allclose(filtered.sum(1), 0, atol=1e-10)


# ------------------------------------------------------------------------------------ ghosts
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("m", [1, 2, 3, 6])
def test_ghosts_have_standard_normal_views(m, sign):
    """Line integrals of the density, by a fine sum."""
    t = np.linspace(-8, 8, 200_001)
    for angle in P.view_angles(m):
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        for s in (-1.3, 0.2, 2.0):
            density = np.exp(P.ghost_log_prob(s * along + t[:, None] * across, m, sign=sign))
            assert density.sum() * (t[1] - t[0]) == pytest.approx(stats.norm.pdf(s), rel=2e-3)


@pytest.mark.parametrize("m", [1, 2, 5])
def test_ghosts_share_no_point_and_mix_to_a_normal_law(m):
    x = np.random.default_rng(m).standard_normal((200, 2))
    densities = [np.exp(P.ghost_log_prob(x, m, sign=sign)) for sign in (1, -1)]
    assert np.all(np.minimum(*densities) == 0)
    np.testing.assert_allclose(sum(densities) / 2, stats.multivariate_normal(np.zeros(2)).pdf(x), rtol=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_ghost_samples_stay_in_their_wedges_and_look_normal(sign):
    """Kolmogorov's test of each view; false-fail rate below 1e-6 for each."""
    x = P.ghost_sample(5000, 3, sign=sign, random_state=0)
    assert np.all(np.isfinite(P.ghost_log_prob(x, 3, sign=sign)))
    for angle in P.view_angles(3):
        view = x @ [np.cos(angle), np.sin(angle)]
        assert stats.kstest(view, "norm").pvalue > 1e-6
    other = x @ [np.cos(np.pi / 6), np.sin(np.pi / 6)]  # between two of them
    assert stats.kstest(other, "norm").pvalue < 1e-6


def test_sliced_distance_sees_ghosts_only_off_their_views():
    x, y = (P.ghost_sample(4000, 2, sign=sign, random_state=1) for sign in (1, -1))
    angles = P.view_angles(2)
    own = np.column_stack([np.cos(angles), np.sin(angles)])
    assert sliced_wasserstein(x, y, directions=own) < 0.1  # about 0.03
    assert sliced_wasserstein(x, y, random_state=0) > 0.3  # about 0.6


# ------------------------------------------------------------------------------------ distance to normal
def test_distance_to_normal_is_the_quantile_integral():
    v = np.random.default_rng(0).exponential(size=(2, 9))
    found = P.distance_to_normal(v)
    for row, distance in zip(np.sort(v), found, strict=True):
        pieces = [
            integrate.quad(
                lambda z, c=c: (c - z) ** 2 * stats.norm.pdf(z), *stats.norm.ppf([i / 9, (i + 1) / 9])
            )
            for i, c in enumerate(row)
        ]
        assert distance**2 == pytest.approx(sum(piece[0] for piece in pieces), rel=1e-7)


def test_distance_to_normal_of_shifted_and_scaled_quantiles():
    """W2 between N(m, s^2) and N(0, 1) is the root of m^2 + (s - 1)^2."""
    z = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    found = P.distance_to_normal(np.stack([z, z + 2, 3 * z, 1 + 0.5 * z]))
    np.testing.assert_allclose(found, [0, 2, 2, np.hypot(1, 0.5)], atol=0.02)


def test_views_of_a_cube_become_normal_with_dimension():
    rng, means = np.random.default_rng(0), []
    for d in (2, 8, 64):
        X = rng.uniform(-1, 1, (3000, d)) * np.sqrt(3)
        means.append(P.distance_to_normal(random_directions(40, d, random_state=1) @ X.T).mean())
    assert means[0] > 2 * means[1] > 2 * means[2]


# ------------------------------------------------------------------------------------ the estimator
def fitted(n=3000, **options):
    return RadonDensity(**options).fit(SwissRoll().sample(n, random_state=0))


def test_log_prob_is_bilinear_interpolation_of_the_image():
    model = fitted(n_bins=24, n_angles=12, background=0.0)
    axis = model.radius_ * ((np.arange(48) + 0.5) / 24 - 1)
    x = np.random.default_rng(1).uniform(-1, 1, (400, 2)) * axis[-1]
    oracle = RegularGridInterpolator((axis, axis), model.image_)(x)
    np.testing.assert_allclose(np.exp(model.log_prob(x + model.center_)), oracle, atol=1e-12)


def test_background_is_a_share_of_a_round_normal_law():
    plain, mixed = (fitted(n_bins=24, n_angles=12, background=b) for b in (0.0, 0.25))
    x = SwissRoll().sample(50, random_state=3)
    normal = stats.multivariate_normal(mixed.center_, mixed.spread_**2 * np.eye(2)).pdf(x)
    expected = 0.75 * np.exp(plain.log_prob(x)) + 0.25 * normal
    np.testing.assert_allclose(np.exp(mixed.log_prob(x)), expected, rtol=1e-10)
    far = mixed.center_[None] + 50.0
    assert plain.log_prob(far)[0] == -np.inf
    assert np.isfinite(mixed.log_prob(far)[0])


@pytest.mark.parametrize("options", [{}, {"n_angles": 5, "n_bins": 16}, {"background": 0.0, "n_bins": 40}])
def test_integrates_to_one_within_a_thousandth(options):
    model = fitted(**options)
    reach = 6 * model.radius_
    bounds = [(c - reach, c + reach) for c in model.center_]
    if options.get("background") == 0.0:
        pixel = model.radius_ / model.n_bins_
        assert model.image_.sum() * pixel**2 == pytest.approx(1, abs=1e-12)
    check.integrates_to_one(model, bounds=bounds, tolerance=1e-3)


def test_leave_one_out_risk_is_literal():
    """Every row left out in turn, the views taken again, the geometry kept."""
    model = fitted(60, n_angles=8, n_bins=12)
    X = SwissRoll().sample(60, random_state=0) - model.center_
    edges, centers, width = model._geometry(12)

    def estimate(rows, x):
        views = P.view_histograms(rows, model.angles_, edges)
        return P.back_project(P.filter_views(views, width), model.angles_, centers, x)

    held_out = [estimate(np.delete(X, i, 0), X[[i]])[0] for i in range(60)]
    squared = np.sum(model._raw(X, 12)[1] ** 2) * (width / 2) ** 2
    assert model._risk(X, 12) == pytest.approx(squared - 2 * np.mean(held_out), rel=1e-9)


def test_leave_one_out_takes_more_bins_for_more_data():
    few, many = fitted(200).n_bins_, fitted(8000).n_bins_
    assert few < many
    assert {few, many} <= set(P.BINS)


def test_error_falls_with_views():
    x = SwissRoll().sample(4000, random_state=9)
    scores = [fitted(8000, n_angles=m, n_bins=64).score(x) for m in (4, 16, 64)]
    assert scores[0] + 0.1 < scores[1] < scores[2] - 0.1


def test_the_order_of_the_rows_does_not_matter():
    ring = np.pi / 2 * np.arange(4)
    X = np.column_stack([np.cos(ring), np.sin(ring)])
    turned = X[[2, 0, 3, 1]]
    models = [RadonDensity(6, n_bins=9).fit(rows) for rows in (X, turned)]
    np.testing.assert_allclose(models[0].image_, models[1].image_, atol=1e-12)


def test_mass_before_clipping_is_near_one_and_clipping_is_reported():
    model = fitted(8000)
    assert abs(model.mass_ - 1) < 0.05
    assert 0 < model.negative_ < 1


def test_grid_search_and_repeatable_samples():
    search = GridSearchCV(RadonDensity(n_bins=32), {"n_angles": [4, 24]}, cv=2)
    search.fit(SwissRoll().sample(600, random_state=0))
    assert search.best_params_ == {"n_angles": 24}
    model = search.best_estimator_
    np.testing.assert_array_equal(model.sample(5, random_state=1), model.sample(5, random_state=1))
    assert model.sample(5, random_state=1).shape == (5, 2)


# ------------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("options", "X", "match"),
    [
        ({}, np.zeros((5, 2)), "all rows are equal"),
        ({}, np.zeros((5, 3)), "got 3 columns"),
        ({}, np.zeros((1, 2)), "minimum of 2"),
        ({"n_angles": 0}, np.eye(2), "n_angles"),
        ({"n_angles": 3.0}, np.eye(2), "n_angles"),
        ({"n_bins": 0}, np.eye(2), "n_bins"),
        ({"n_bins": "fd"}, np.eye(2), "loo"),
        ({"background": 1.0}, np.eye(2), "background"),
        ({"background": -0.1}, np.eye(2), "background"),
    ],
)
def test_bad_fits_are_refused(options, X, match):
    with pytest.raises(ValueError, match=match):
        RadonDensity(**options).fit(X)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: P.view_histograms([[9.0, 0.0]], [0.0], [0.0, 1.0]), "falls outside"),
        (lambda: P.view_histograms([[0.5, 0.0]], [0.0], [0.0, 1.0, 3.0]), "evenly spaced"),
        (lambda: P.view_histograms([0.5, 0.0], [0.0], [0.0, 1.0]), r"X must .* \(n, 2\)"),
        (lambda: P.view_histograms([[np.nan, 0.0]], [0.0], [0.0, 1.0]), "finite"),
        (lambda: P.filter_views([[1.0]], 0.0), "width"),
        (lambda: P.filter_views([[1.0]], 1.0, ramp="hann"), "ramp"),
        (lambda: P.filter_views([1.0], 1.0), "views"),
        (lambda: P.back_project([[1.0]], [0.0, 1.0], [0.0], [[0.0, 0.0]]), "one row for each"),
        (lambda: P.back_project([[1.0]], [0.0], [0.0], [[0.0]]), "x must"),
        (lambda: P.ramp_kernel(0, 1.0), "n_bins"),
        (lambda: P.view_angles(True), "n_angles"),
        (lambda: P.ghost_sample(0, 2), "n_samples"),
        (lambda: P.ghost_log_prob([[0.0, 1.0]], 2, sign=0), "sign"),
        (lambda: P.distance_to_normal([1.0]), "views"),
        (lambda: fitted(50, n_bins=8).sample(0), "n_samples"),
    ],
)
def test_bad_arguments_are_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_an_unfitted_model_says_so():
    with pytest.raises(NotFittedError):
        RadonDensity().sample(3)
