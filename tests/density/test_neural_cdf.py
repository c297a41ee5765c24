"""Neural distribution functions against closed forms, quadrature, finite differences and scipy.

Means are compared with their expectations within 4.9 standard errors: one false alarm in a million for a
fresh seed. Seeds are fixed.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from coursekit.data import Bimodal
from coursekit.density import neural_cdf as ncdf
from coursekit.density.neural_cdf import (
    ConditionalCDF,
    LogisticMixtureCDF,
    MonotoneCDF,
    NeuralCDF,
    QuantileNet,
    bisect,
    monotonicity_penalty,
    sic_targets,
    slc_targets,
)
from coursekit.train import train

LIKELIHOOD = {
    "NeuralCDF": "unnormalized",
    "MonotoneCDF": "exact",
    "LogisticMixtureCDF": "exact",
    "QuantileNet": "exact",
    "ConditionalCDF": "exact",
}
SIGMAS = 4.9
MONOTONE = [MonotoneCDF, LogisticMixtureCDF, QuantileNet]
LAW = Bimodal()


def tensor(values):
    return torch.tensor(np.asarray(values, dtype=float))[:, None]


def randomized(cls, seed=0, dim=1, size=1.0, **options):
    """A model with random parameters, far from where training starts."""
    torch.manual_seed(seed)
    model = cls(dim, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += size * torch.randn_like(parameter)
    return model


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------------------------------------
# Targets and losses


def test_sic_targets_are_ranks_over_n_plus_one():
    x = np.random.default_rng(0).normal(size=40).round(1)  # with ties
    expected = stats.rankdata(x) / 41
    np.testing.assert_allclose(sic_targets(tensor(x)), expected, rtol=1e-12)


def test_sic_targets_are_the_means_of_sorted_uniform_numbers():
    """The n-th of N sorted uniforms is Beta(n, N + 1 - n)."""
    n = np.arange(1, 8)
    expected = stats.beta(n, 8 - n).mean()
    np.testing.assert_allclose(sic_targets(tensor(n)), expected, rtol=1e-12)


def test_slc_targets_follow_the_order_of_the_data_and_the_laws_of_order_statistics():
    x = tensor([3.0, -1.0, 0.5, 7.0])
    draws = torch.stack([slc_targets(x, generator=generator(s)) for s in range(4000)]).numpy()
    ranks = np.array([3, 1, 2, 4])
    assert (np.argsort(draws, axis=1) == np.argsort(ranks)).all()
    for column, rank in zip(draws.T, ranks, strict=True):
        assert stats.kstest(column, stats.beta(rank, 5 - rank).cdf).pvalue > 1e-6


@pytest.mark.parametrize("n", [1, 7, 50])
def test_slc_is_sic_plus_a_constant(n):
    """E mean (H - u)^2 = mean (H - n/(N+1))^2 + 1 / (6 (N + 1)), for any function H."""
    x = tensor(np.random.default_rng(n).normal(size=n))
    model = randomized(MonotoneCDF, targets="slc")
    sic = randomized(MonotoneCDF, targets="sic").loss(x).mean().item()
    g = generator(1)
    slc = np.array([model.loss(x, generator=g).mean().item() for _ in range(3000)])
    error = slc.std(ddof=1) / np.sqrt(len(slc))
    assert abs(slc.mean() - sic - 1 / (6 * (n + 1))) < SIGMAS * error
    assert error < 0.12 / (6 * (n + 1))  # the test can see the constant


def test_given_targets_are_used():
    x, model = tensor([0.0, 1.0, 2.0]), randomized(MonotoneCDF)
    np.testing.assert_array_equal(
        model.loss((x, sic_targets(x))).detach(), model.loss(x).detach()
    )  # the ranks of the whole, for batches
    loss = model.loss((x[:1], sic_targets(x)[:1])).detach()
    np.testing.assert_allclose(loss, model.loss(x).detach()[:1], rtol=1e-12)


def test_penalty_is_the_sum_over_its_points():
    y = torch.linspace(-3, 3, 50, dtype=torch.float64)
    found = monotonicity_penalty(torch.sin, y, 0.3).item()
    expected = sum(max(0.0, np.sin(t) - np.sin(t + 0.3)) ** 2 for t in y.tolist())
    assert found == pytest.approx(expected, rel=1e-12)
    assert monotonicity_penalty(torch.tanh, y, 0.3).item() == 0
    with pytest.raises(ValueError, match="step"):
        monotonicity_penalty(torch.sin, y, -0.3)


def test_the_rows_of_the_penalized_loss_add_up_to_the_published_one():
    x = tensor(np.random.default_rng(0).normal(size=20))
    torch.manual_seed(3)
    model = NeuralCDF(1, penalty=7.0, penalty_points=5, penalty_step=0.1).double()
    with torch.no_grad():
        for layer in model.net[::2]:
            layer.weight.abs_()
        model.net[-1].weight *= -1  # positive weights and one negative sign: decreasing
    found = model.loss(x, generator=generator(5)).sum().item()
    share = torch.rand(5, generator=generator(5), dtype=torch.float64)
    y = x.min() + (x.max() - x.min()) * (1.2 * share - 0.1)
    H = lambda t: model.cdf(t[:, None])
    expected = (H(x[:, 0]) - sic_targets(x)).square().sum() + 7 * (H(y) - H(y + 0.1)).relu().square().sum()
    assert found == pytest.approx(expected.item(), rel=1e-12)
    model.penalty = 0.0
    assert found > model.loss(x).sum().item() + 1e-3  # there was something to penalize


# ---------------------------------------------------------------------------------------------
# Densities


def by_differences(model, x, step=1e-5):
    return ((model.cdf(x + step) - model.cdf(x - step)) / (2 * step)).detach().numpy()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cls", [NeuralCDF, *MONOTONE])
def test_density_is_the_derivative_of_the_distribution_function(cls, seed):
    """Units and all: the chain rule of the standardization is in it."""
    model = randomized(cls, seed, size=0.5, loc=2.0, scale=5.0)
    x = tensor(np.random.default_rng(seed).uniform(-8, 12, 40))
    slope = by_differences(model, x)
    np.testing.assert_allclose(model.log_prob(x).exp().detach(), np.maximum(slope, 0), rtol=1e-4, atol=1e-8)
    if cls is NeuralCDF:
        np.testing.assert_allclose(model.density(x).detach(), slope, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cls", MONOTONE)
def test_monotone_models_increase_from_0_to_1_whatever_their_parameters(cls, seed):
    model = randomized(cls, seed, size=2.0)
    x = tensor(np.linspace(-60, 60, 4001))
    with torch.no_grad():
        H, ends = model.cdf(x), model.cdf(tensor([-1e9, 1e9]))
    assert (H.diff() >= -1e-12).all()
    assert (model.log_prob(tensor(np.linspace(-3, 3, 50))).isfinite()).all()
    np.testing.assert_allclose(ends, [0, 1], atol=1e-12)


@pytest.mark.parametrize("cls", MONOTONE)
def test_mass_is_one_by_adaptive_quadrature(cls):
    model = randomized(cls, 1, size=0.7, loc=1.0, scale=2.0)
    density = lambda t: float(model.log_prob(tensor([t])).detach().exp())
    middle = float(model.quantile(tensor([0.5])).detach())
    pieces = [
        integrate.quad(density, a, b, limit=100, epsabs=1e-7)[0]
        for a, b in ((-np.inf, middle), (middle, np.inf))
    ]
    np.testing.assert_allclose(pieces, [0.5, 0.5], atol=1e-5)


def test_one_logistic_is_scipys():
    model = LogisticMixtureCDF(1, components=1, loc=1.0, scale=3.0).double()
    x = np.linspace(-20, 20, 11)
    law = stats.logistic(1.0, 3.0 * np.exp(-1.0))
    np.testing.assert_allclose(model.log_prob(tensor(x)).detach(), law.logpdf(x), rtol=1e-6)
    np.testing.assert_allclose(model.cdf(tensor(x)).detach(), law.cdf(x), rtol=1e-6)
    np.testing.assert_allclose(model.quantile(tensor([0.01, 0.7]))[:, 0].detach(), law.ppf([0.01, 0.7]))


def test_the_free_net_is_no_density():
    """It says -inf where its derivative is not positive, and its mass is what its ends leave."""
    torch.manual_seed(0)
    model = NeuralCDF(1).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 3
    x = tensor(np.linspace(-4, 4, 400))
    h, log_p = model.density(x).detach(), model.log_prob(x).detach()
    assert (h < 0).any()
    assert torch.isneginf(log_p[h <= 0]).all()
    np.testing.assert_allclose(log_p[h > 0].exp(), h[h > 0], rtol=1e-10)
    assert not hasattr(model, "sample")


def test_far_tails_stay_finite_in_logarithms():
    for cls in MONOTONE:
        log_p = randomized(cls, 0, size=0.5).log_prob(tensor([-1e4, -300.0, 300.0, 1e4]))
        assert log_p.isfinite().all()
        assert (log_p < -50).all()


def test_log_prob_can_be_differentiated_and_needs_no_gradient():
    model, x = randomized(MonotoneCDF), tensor([0.3, -0.2])
    model.log_prob(x).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad():
        assert not model.log_prob(x).requires_grad


def test_maximum_likelihood_is_the_negative_log_density():
    x = tensor([0.3, -0.2])
    for cls in (MonotoneCDF, LogisticMixtureCDF):
        model = randomized(cls, targets="mle", loc=1.0, scale=4.0)
        np.testing.assert_allclose(model.loss(x).detach(), -model.log_prob(x).detach(), rtol=1e-12)


# ---------------------------------------------------------------------------------------------
# Inverses and samples


def test_bisection_finds_the_quantiles_of_scipy():
    u = torch.rand(50, generator=generator(), dtype=torch.float64)
    normal = lambda z: torch.special.ndtr(z)
    found = bisect(normal, u, torch.full_like(u, -9), torch.full_like(u, 9))
    np.testing.assert_allclose(found, stats.norm.ppf(u), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cls", MONOTONE)
def test_quantiles_undo_the_distribution_function(cls, seed):
    model = randomized(cls, seed, loc=-3.0, scale=0.2)
    u = tensor([1e-12, 0.003, 0.4, 0.5, 0.9, 1 - 1e-9])
    np.testing.assert_allclose(model.cdf(model.quantile(u)).detach(), u[:, 0], rtol=1e-6, atol=1e-14)
    assert model.quantile(tensor([0.0, 1.0])).isfinite().all()
    with pytest.raises(ValueError, match="u: holds values outside"):
        model.quantile(tensor([1.2]))


@pytest.mark.parametrize("cls", MONOTONE)
def test_samples_follow_the_distribution_function(cls):
    model = randomized(cls, 2, size=0.7, loc=5.0, scale=2.0)
    draws = model.sample(3000, generator=generator(1))
    with torch.no_grad():
        assert stats.kstest(model.cdf(draws).numpy(), "uniform").pvalue > 1e-6


# ---------------------------------------------------------------------------------------------
# What fitting reaches


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (NeuralCDF, {"targets": "sic"}),
        (NeuralCDF, {"targets": "slc", "penalty": 10.0}),
        (MonotoneCDF, {"targets": "sic"}),
        (LogisticMixtureCDF, {"targets": "slc"}),
        (MonotoneCDF, {"targets": "mle"}),
        (QuantileNet, {}),
    ],
    ids=lambda v: getattr(v, "__name__", None) or "-".join(map(str, v.values())),
)
def test_a_fit_comes_as_near_as_the_empirical_distribution_function(cls, options):
    x = LAW.sample(1000, random_state=0)
    torch.manual_seed(0)
    model = cls(1, loc=float(x.mean()), scale=float(x.std()), **options)
    train(model, torch.tensor(x).float(), steps=300, batch_size=1000, lr=0.02, schedule="cosine",
          random_state=0, device="cpu")  # fmt: skip
    grid = np.linspace(-6, 8, 500)
    with torch.no_grad():
        H = model.cdf(tensor(grid).float()).numpy()
    # the band of Dvoretzky, Kiefer, Wolfowitz and Massart at 1e-6, for the empirical function itself: 0.085
    assert np.abs(H - LAW.cdf(grid)).max() < 0.06


def test_without_a_penalty_two_clumps_give_negative_density():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-3, 0.3, 15), rng.normal(3, 0.3, 15)])[:, None]
    grid, mass = tensor(np.linspace(-5, 5, 1001)), {}
    for penalty in (0.0, 1e4):
        torch.manual_seed(0)
        model = NeuralCDF(1, hidden=(16, 16), scale=3.0, penalty=penalty).double()
        with torch.no_grad():
            for weight in model.parameters():
                weight *= 4
        train(model, torch.tensor(x), steps=300, batch_size=30, lr=0.02, random_state=0, device="cpu")
        mass[penalty] = model.density(grid).clamp_max(0).sum().item() * -0.01
    assert mass[0.0] > 0.05
    assert mass[1e4] < 0.1 * mass[0.0]


# ---------------------------------------------------------------------------------------------
# Several columns


def test_conditional_density_is_the_product_of_derivatives():
    model = randomized(ConditionalCDF, 0, dim=3, size=0.3, loc=[1.0, 0.0, -2.0], scale=[1.0, 2.0, 0.5])
    x = torch.tensor(np.random.default_rng(0).normal(size=(6, 3)))
    jacobian = torch.stack(
        [torch.autograd.functional.jacobian(lambda r: model.cdf(r[None])[0], r) for r in x]
    )
    assert jacobian.triu(1).abs().max() == 0  # a column sees only those before it
    expected = torch.linalg.slogdet(jacobian).logabsdet
    np.testing.assert_allclose(model.log_prob(x).detach(), expected, rtol=1e-8)


def test_conditional_quantiles_undo_the_transform_and_keep_what_is_given():
    model = randomized(ConditionalCDF, 1, dim=3, size=0.3, scale=2.0)
    u = torch.rand(20, 3, generator=generator(), dtype=torch.float64)
    rows = model.quantile(u)
    np.testing.assert_allclose(model.cdf(rows).detach(), u, atol=1e-9)
    given = torch.randn(20, 2, generator=generator(1), dtype=torch.float64)
    rows = model.quantile(u[:, 2:], given)
    np.testing.assert_allclose(rows[:, :2], given)
    np.testing.assert_allclose(model.cdf(rows)[:, 2].detach(), u[:, 2], atol=1e-9)


def test_the_indicator_loss_is_least_at_the_empirical_distribution_function():
    """Mean over i of (1{x_i <= t} - H(t))^2 = (F_n(t) - H(t))^2 + F_n(t) (1 - F_n(t)), at any threshold."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=30), 0.4
    F = np.mean(x <= t)
    for H in (0.1, F, 0.9):
        assert np.mean(((x <= t) - H) ** 2) == pytest.approx((F - H) ** 2 + F * (1 - F), rel=1e-12)


def test_conditional_indicators_and_thresholds_are_those_of_the_definition():
    model = randomized(ConditionalCDF, 3, dim=2, size=0.3, thresholds=4, loc=1.0, scale=2.0)
    x = torch.tensor(np.random.default_rng(0).normal(size=(5, 2)))
    found = model.loss(x, generator=generator(2)).detach()
    jump = torch.randint(1, 5, (5, 4), generator=generator(2))
    expected = np.zeros(5)
    for i in range(5):
        for m in range(4):
            t = x[(i + int(jump[i, m])) % 5]
            levels = model.cdf(t[None])[0], model.cdf(torch.stack([x[i, 0], t[1]])[None])[0]
            gaps = levels[0][0].item() - float(x[i, 0] <= t[0]), levels[1][1].item() - float(x[i, 1] <= t[1])
            expected[i] += sum(gap**2 for gap in gaps) / 4
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("targets", ["indicator", "mle"])
def test_a_conditional_fit_learns_how_y_depends_on_x(targets):
    """y given x is N(x, (0.3 + 0.2 |x|)^2): the median and a quantile at two places."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000)
    y = x + (0.3 + 0.2 * np.abs(x)) * rng.normal(size=2000)
    torch.manual_seed(0)
    model = ConditionalCDF(2, components=4, targets=targets)
    rows = torch.tensor(np.stack([x, y], 1)).float()
    train(model, rows, epochs=25, batch_size=250, lr=0.01, schedule="cosine", random_state=0, device="cpu")
    for at in (-1.0, 1.0):
        given = torch.full((2, 1), at)
        found = model.quantile(torch.tensor([[0.5], [0.9]]), given)[:, 1].numpy()
        np.testing.assert_allclose(found, at + 0.5 * stats.norm.ppf([0.5, 0.9]), atol=0.16)


# ---------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NeuralCDF(2), "one variable, but the data have 2 columns; for several"),
        (lambda: MonotoneCDF(64), "use ConditionalCDF"),
        (lambda: QuantileNet(0), "0 columns"),
        (lambda: NeuralCDF(1, targets="mle"), "targets: got 'mle'"),
        (lambda: MonotoneCDF(1, targets="ranks"), "targets: got 'ranks'"),
        (lambda: MonotoneCDF(1, scale=0.0), "positive"),
        (lambda: MonotoneCDF(1, loc=float("nan")), "finite"),
        (lambda: MonotoneCDF(1, units=0), "units"),
        (lambda: LogisticMixtureCDF(1, components=0), "components"),
        (lambda: QuantileNet(1, levels=0), "levels"),
        (lambda: NeuralCDF(1, penalty=-1.0), "penalty"),
        (lambda: NeuralCDF(1, penalty_step=0.0), "penalty_step"),
        (lambda: ConditionalCDF(0), "dim"),
        (lambda: ConditionalCDF(2, targets="sic"), "indicator"),
        (lambda: ConditionalCDF(2, loc=[1.0, 2.0, 3.0]), "loc"),
        (lambda: ConditionalCDF(2, scale=[1.0, -2.0]), "positive"),
        (lambda: ConditionalCDF(2).quantile(torch.rand(3, 2), torch.rand(3, 2)), "given"),
        (lambda: ConditionalCDF(2).quantile(torch.full((3, 2), 2.0)), "outside"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_part_imports_without_torch_and_finds_the_neural_names():
    code = (
        "import sys, coursekit.density as d; assert 'torch' not in sys.modules; "
        "assert 'MonotoneCDF' in dir(d); from coursekit.density import MonotoneCDF; "
        "assert MonotoneCDF.__module__ == 'coursekit.density.neural_cdf'; assert 'torch' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    import coursekit.density as part

    assert set(ncdf.__all__) <= set(part.__all__)
    with pytest.raises(AttributeError, match="no attribute"):
        _ = part.NoSuchName
