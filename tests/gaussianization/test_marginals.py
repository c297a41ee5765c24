"""The marginal maps, against closed forms, autograd and numpy."""

import io
import math

import numpy as np
import pytest
import torch
from scipy.special import ndtri_exp
from scipy.stats import norm, rankdata

from coursekit import check
from coursekit.gaussianization import (
    ECDFMap,
    KDEMap,
    KnotMap,
    MixtureMap,
    PolynomialMap,
    QuantileMap,
    SplineMap,
)
from coursekit.gaussianization.marginals import (
    MARGINALS,
    histogram,
    log_ndtri,
    log_normal_cells,
    probit_of_cells,
    probit_of_log_cells,
    smooth,
    spread_cells,
)

MAPS = {
    "ecdf": ECDFMap,
    "kde": KDEMap,
    "kde, shrunk": lambda: KDEMap(shrink=0.5),
    "mixture": lambda: MixtureMap(components=3),
    "polynomial": PolynomialMap,
    "quantile": QuantileMap,
    "spline": SplineMap,
}


def columns(n=400, seed=0):
    """A skewed, a bimodal and a heavy-tailed column."""
    rng = np.random.default_rng(seed)
    two = np.where(rng.random(n) < 0.4, rng.normal(-2, 0.5, n), rng.normal(1, 0.3, n))
    return torch.tensor(np.column_stack([rng.gamma(2.0, 1.0, n), two, rng.standard_t(4, n)]))


@pytest.fixture(params=MAPS, scope="module")
def fitted(request):
    return MAPS[request.param]().fit(columns())


def beyond():
    """Points on the data and far outside."""
    return torch.cat([columns(50, seed=1), torch.tensor([[-9.0, -30.0, 50.0], [80.0, 20.0, -60.0]])])


def test_the_list_names_every_map():
    assert {type(make()) for make in MAPS.values()} == set(MARGINALS.values())


def test_forward_and_inverse_are_one_bijection(fitted):
    check.inverse_undoes_forward(fitted, beyond(), tolerance=1e-8)
    check.log_det_matches_jacobian(fitted, beyond(), tolerance=1e-6)
    check.one_log_det_per_sample(fitted, beyond())


def test_it_increases_everywhere(fitted):
    grid = torch.linspace(-40, 40, 20_001, dtype=torch.float64)[:, None].expand(-1, 3)
    assert (fitted.forward_and_log_det(grid)[0].diff(dim=0) > 0).all()


def test_the_columns_become_roughly_gaussian(fitted):
    """Means and deviations of 400 mapped values; the shrunk and the polynomial map only move that way."""
    z = fitted.forward_and_log_det(columns())[0]
    if isinstance(fitted, PolynomialMap) or getattr(fitted, "shrink", 0) > 0:
        return
    assert z.mean(dim=0).abs().max() < 0.25
    assert (z.std(dim=0) - 1).abs().max() < 0.3
    ranks = norm.ppf((rankdata(columns()[:, 1]) - 0.5) / 400)
    assert np.corrcoef(z[:, 1], ranks)[0, 1] > 0.97


def test_state_goes_through_a_file(fitted):
    file = io.BytesIO()
    torch.save(fitted.state_dict(), file)
    file.seek(0)
    other = type(fitted)()
    other.load_state_dict(torch.load(file, weights_only=True))
    before, after = (m.forward_and_log_det(beyond()) for m in (fitted, other))
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


def test_the_spline_formula_is_a_straight_line_without_slopes():
    x, z = torch.tensor([[0.0, 1.0, 3.0]]).double(), torch.tensor([[0.0, 2.0, 3.0]]).double()
    knots = KnotMap().set_knots(x, z)
    at = torch.tensor([-1.0, 0.5, 2.0, 5.0]).double()[:, None]
    np.testing.assert_allclose(knots.forward_and_log_det(at)[0][:, 0], [-2.0, 1.0, 2.5, 4.0])
    with pytest.raises(ValueError, match="increasing"):
        KnotMap().set_knots(x, z.flip(1))


def test_ecdf_gives_normal_scores_and_copes_with_ties():
    x = columns()
    expected = norm.ppf((rankdata(x[:, 0]) - 0.5) / 400)
    np.testing.assert_allclose(ECDFMap().fit(x).forward_and_log_det(x)[0][:, 0], expected, atol=1e-8)
    tied = x.round(decimals=1)
    z = ECDFMap().fit(tied).forward_and_log_det(tied)[0]
    assert torch.isfinite(z).all()


def test_kde_map_is_the_distribution_function_of_the_kernel_estimate():
    """Against the sum over all kernels, in the narrowed coordinate that keeps the variance."""
    x = columns()[:, 1:2]
    fitted = KDEMap(cells=2000, tail=1e-6, noise=0.0).fit(x)
    mean, deviation = x.mean(), x.std(correction=0)
    iqr = torch.quantile(x, 0.75) - torch.quantile(x, 0.25)
    h = 0.9 * min(deviation, iqr / 1.34) * 400**-0.2
    at = torch.linspace(-3, 2, 21).double()[:, None]
    wide = mean + (at - mean) * torch.sqrt(1 + (h / deviation) ** 2)
    F = norm.cdf(((wide - x.T) / h).numpy()).mean(axis=1)
    np.testing.assert_allclose(norm.cdf(fitted.forward_and_log_det(at)[0][:, 0]), F, atol=5e-3)


def test_kde_map_of_gaussian_columns_is_the_identity():
    """Shrinkage by the noise level: nothing to gain, so nothing is done."""
    x = torch.randn(2000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = KDEMap(noise=4.0).fit(x).forward_and_log_det(x)[0]
    straight = (x - x.mean(dim=0)) / x.std(dim=0)
    assert (z - straight).abs().max() < 0.15
    assert (z - straight).abs().max() < 0.5 * (
        KDEMap(noise=0.0).fit(x).forward_and_log_det(x)[0] - straight
    ).abs().max()


def test_mixture_map_finds_two_gaussians():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(4000) < 0.3, rng.normal(-3, 0.5, 4000), rng.normal(2, 1.0, 4000))[:, None]
    z = (
        MixtureMap(components=2)
        .fit(torch.tensor(x))
        .forward_and_log_det(torch.tensor([[-3.0], [0.0], [2.0]]).double())
    )
    true = norm.ppf(
        0.3 * norm.cdf(np.array([-3, 0, 2]), -3, 0.5) + 0.7 * norm.cdf(np.array([-3, 0, 2]), 2, 1)
    )
    np.testing.assert_allclose(z[0][:, 0], true, atol=0.15)


def test_polynomial_by_numpy_and_what_goes_wrong():
    x = columns()[:, :1]
    raw = PolynomialMap(degree=5, monotone=False, support=None).fit(x)
    scores = norm.ppf((rankdata(x[:, 0]) - 0.5) / 400)
    expected = np.polynomial.Polynomial.fit(x[:, 0].numpy(), scores, 5)
    at = torch.linspace(0, 8, 9).double()[:, None]
    np.testing.assert_allclose(raw.value(at)[:, 0], expected(at[:, 0].numpy()), atol=1e-6)
    with pytest.raises(ValueError, match="monotone"):
        raw.inverse(at)
    wild = PolynomialMap(degree=9, monotone=False, support=None).fit(columns()[:, 1:2])
    with pytest.raises(ValueError, match="does not increase"):
        wild.forward_and_log_det(torch.linspace(-6, 4, 200).double()[:, None])
    clipped = PolynomialMap(support="clip").fit(x)
    assert clipped.value(torch.tensor([[1e3]]).double()) == clipped.value(x.amax(dim=0, keepdim=True))


def test_histograms_of_parts_add_up_exactly():
    x = columns()
    low, high = x.amin(dim=0), x.amax(dim=0)
    whole = histogram(x, low, high, 32)
    assert torch.equal(histogram(x[:150], low, high, 32) + histogram(x[150:], low, high, 32), whole)
    np.testing.assert_array_equal(whole[0], np.histogram(x[:, 0], 32, (float(low[0]), float(high[0])))[0])


def test_tools_of_the_grid():
    mass = torch.zeros(1, 101, dtype=torch.float64)
    mass[0, 50] = 1.0
    expected = norm.pdf(np.arange(-50, 51) / 4.0) / 4.0
    np.testing.assert_allclose(smooth(mass, torch.tensor([4.0]).double())[0], expected, atol=1e-6)
    for h in (0.5, 4.0):
        inside, at = spread_cells(mass, torch.tensor([h]).double())
        place = (np.arange(-50, 52) - 0.5) / h
        np.testing.assert_allclose(inside[0], np.diff(norm.cdf(place)), atol=1e-11)
        np.testing.assert_allclose(at[0], norm.pdf(place[1:-1]) / h, atol=1e-11)
    edges = torch.linspace(-12, 12, 25, dtype=torch.float64)[None]
    cells = log_normal_cells(edges)
    assert float(cells.exp().sum()) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(probit_of_cells(cells.exp())[0], edges[0, 1:-1], atol=1e-6)
    wide = torch.linspace(-300, 300, 301, dtype=torch.float64)[None]
    np.testing.assert_allclose(probit_of_log_cells(log_normal_cells(wide))[0], wide[0, 1:-1], atol=1e-9)
    log_p = -np.logspace(-3, 6, 200)
    np.testing.assert_allclose(log_ndtri(torch.tensor(log_p)), ndtri_exp(log_p), rtol=1e-8, atol=1e-8)


def with_outlier():
    """2,000 normal numbers and one at 200: the deviation is 4.6, the outlier 44 of them away."""
    x = np.random.default_rng(4).normal(size=(2000, 1))
    return torch.tensor(np.concatenate([x, [[200.0]]]))


def test_kde_map_beyond_an_outlier_is_its_formula():
    """There only the Gaussian part is left; scipy's logarithms say where that is, 50 deviations out too."""
    x = with_outlier()
    fitted = KDEMap(tail=0.1, noise=0.0).fit(x)
    at = torch.linspace(226.0, 238.0, 13, dtype=torch.float64)[:, None]
    z, log_det = (part.flatten().numpy() for part in fitted.forward_and_log_det(at))
    t = (at.flatten().numpy() - float(x.mean())) / float(x.std())
    expected = -ndtri_exp(np.log(0.1) + norm.logsf(t))
    np.testing.assert_allclose(z, expected, rtol=0.03)
    slope = np.log(0.1 / float(x.std())) + norm.logpdf(t) - norm.logpdf(expected)
    np.testing.assert_allclose(log_det, slope, atol=0.05)


def test_columns_with_heavy_tails_come_back_from_anywhere():
    rng = np.random.default_rng(5)
    x = np.stack([rng.standard_cauchy(3000), rng.standard_t(1.5, 3000), rng.lognormal(0, 3, 3000)], axis=1)
    fitted = KDEMap().fit(torch.tensor(x))
    reach = torch.tensor(np.ptp(x, axis=0))
    steps = torch.cat([-torch.logspace(6, -3, 40), torch.logspace(-3, 6, 40)]).double()
    at = torch.cat([torch.tensor(x[:200]), steps[:, None] * reach])
    z, log_det = fitted.forward_and_log_det(at)
    np.testing.assert_allclose(fitted.inverse(z), at, rtol=1e-7, atol=1e-7)
    at.requires_grad_()
    slopes = torch.autograd.grad(fitted.forward_and_log_det(at)[0].sum(), at)[0]
    np.testing.assert_allclose(slopes.log().sum(dim=1), log_det, rtol=0, atol=1e-7)


@pytest.mark.parametrize("make", MAPS.values(), ids=MAPS)
@pytest.mark.parametrize("unit", [1e-5, 1e6])
def test_the_map_of_grams_is_the_map_of_tons(make, unit):
    """The law of a column in other units, less what is pulled to the identity, which knows no units."""
    layer = make()
    layer.shrink = 0.0
    x = columns()
    z, log_det = layer.fit(x).forward_and_log_det(x)
    other, other_det = layer.fit(unit * x).forward_and_log_det(unit * x)
    np.testing.assert_allclose(other, z, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(other_det + x.shape[1] * math.log(unit), log_det, rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", MAPS.values(), ids=MAPS)
def test_bad_columns_are_refused(make):
    x = columns()
    flat = x.clone()
    flat[:, 1] = 3.0
    with pytest.raises(ValueError, match="column 1 is constant"):
        make().fit(flat)
    with pytest.raises(ValueError, match="at least 2"):
        make().fit(x[:1])
    holed = x.clone()
    holed[3, 2] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        make().fit(holed)
    with pytest.raises(RuntimeError, match="not fitted"):
        make().forward_and_log_det(x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: KDEMap(bandwidth=0.0),
        lambda: KDEMap(tail=0.0),
        lambda: KDEMap(noise=-1.0),
        lambda: KDEMap(cells=3),
        lambda: KDEMap(shrink=1.0),
        lambda: QuantileMap(knots=2),
        lambda: MixtureMap(components=0),
        lambda: PolynomialMap(degree=0),
        lambda: PolynomialMap(support="stop"),
    ],
)
def test_bad_settings_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()
