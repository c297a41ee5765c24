"""GANs: losses against closed forms and autograd, divergences by quadrature, the game by algebra."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn
from torch.nn import functional as F

from coursekit import check, metrics
from coursekit.adversarial import gan
from coursekit.base import Fitted, Likelihood
from coursekit.data.toy import EightGaussians
from coursekit.train import train

LIKELIHOOD = {"GAN": "none"}
LOGITS = torch.linspace(-30, 30, 41, dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(seed=0, *args, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return gan.GAN(*args, **options)


def test_it_has_no_density():
    assert gan.GAN.likelihood is Likelihood.NONE
    with pytest.raises(NotImplementedError, match="instead"):
        gan.GAN(2).log_prob(torch.zeros(3, 2))


# ---- Losses ---------------------------------------------------------------------------------------


def test_the_discriminators_loss_is_torchs_cross_entropy_with_labels_one_and_zero():
    real, fake = LOGITS, LOGITS.flip(0) * 0.3
    expected = F.binary_cross_entropy_with_logits(real, torch.ones_like(real), reduction="none")
    expected += F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake), reduction="none")
    torch.testing.assert_close(gan.discriminator_loss(real, fake), expected)


def test_losses_stay_finite_where_probabilities_do_not():
    far = torch.tensor([-1e4, 1e4])
    for values in (gan.saturating_loss(far), gan.non_saturating_loss(far), gan.discriminator_loss(far, -far)):
        assert torch.isfinite(values).all()
        assert values.shape == (2,)


@pytest.mark.parametrize(
    ("loss", "value", "slope"),
    [
        (gan.saturating_loss, lambda d: np.log1p(-d), lambda d: -d),
        (gan.non_saturating_loss, lambda d: -np.log(d), lambda d: -(1 - d)),
    ],
)
def test_generator_losses_and_their_gradients(loss, value, slope):
    """In closed form at D near 0, at 1/2 and near 1: which dies where is the whole difference."""
    for d in (1e-6, 0.01, 0.5, 0.99, 1 - 1e-6):
        logit = torch.tensor([math.log(d / (1 - d))], dtype=torch.float64, requires_grad=True)
        found = loss(logit)
        (gradient,) = torch.autograd.grad(found.sum(), logit)
        assert found.item() == pytest.approx(value(d), rel=1e-8)
        assert gradient.item() == pytest.approx(slope(d), rel=1e-8)


def test_saturating_dies_where_the_discriminator_is_sure_and_the_other_does_not():
    logit = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
    (minimax,) = torch.autograd.grad(gan.saturating_loss(logit).sum(), logit)
    (swapped,) = torch.autograd.grad(gan.non_saturating_loss(logit).sum(), logit)
    assert abs(minimax.item()) < 1e-8
    assert swapped.item() == pytest.approx(-1, abs=1e-8)


# ---- The optimal discriminator and the value of the game ------------------------------------------


def random_laws(rng, states):
    p, q = rng.dirichlet(np.full(states, 0.5), size=2)
    return p, q


def test_value_at_the_optimum_is_twice_jsd_minus_log_4():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p, q = random_laws(rng, rng.integers(2, 12))
        d = gan.optimal_discriminator(np.log(p), np.log(q))
        jsd, value = gan.jensen_shannon(p, q), gan.game_value(p, q, d)
        assert value == pytest.approx(2 * jsd - math.log(4), abs=1e-12)
        assert 0 <= jsd <= math.log(2)
        assert jsd <= math.log(2) * 0.5 * np.abs(p - q).sum() + 1e-12  # a bound by total variation
        for other in (rng.random(len(p)), np.clip(d + 0.05 * rng.standard_normal(len(p)), 1e-9, 1 - 1e-9)):
            assert gan.game_value(p, q, other) <= value + 1e-12
            assert 0.5 * (gan.game_value(p, q, other) + math.log(4)) <= jsd + 1e-12


def test_no_nudge_of_the_optimal_discriminator_helps():
    """The derivative of p log d + q log(1 - d) vanishes at d = p / (p + q), by finite differences."""
    p, q, h = 0.3, 0.1, 1e-5
    d = gan.optimal_discriminator(np.log([p]), np.log([q]))[0]
    assert d == pytest.approx(p / (p + q), rel=1e-12)
    part = lambda d: p * np.log(d) + q * np.log(1 - d)
    assert (part(d + h) - part(d - h)) / (2 * h) == pytest.approx(0, abs=1e-8)
    assert part(d + h) + part(d - h) - 2 * part(d) < 0


def test_jensen_shannon_is_scipys():
    from scipy.spatial.distance import jensenshannon

    rng = np.random.default_rng(1)
    for _ in range(20):
        p, q = random_laws(rng, 7)
        assert gan.jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-12)
    assert gan.jensen_shannon([0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]) == pytest.approx(math.log(2), rel=1e-12)
    assert gan.jensen_shannon([0.2, 0.8], [0.2, 0.8]) == 0


def test_optimal_discriminator_where_a_density_vanishes():
    d = gan.optimal_discriminator([0.0, -np.inf, -np.inf, -700.0], [-np.inf, 0.0, -np.inf, 0.0])
    assert d[:3].tolist() == [1.0, 0.0, 0.5]
    assert 0 < d[3] < 1e-300


def test_a_trained_discriminator_finds_the_optimal_one():
    """Between N(1, 1) and N(-1, 1) the best logit is 2x: logistic regression on x, from samples."""
    rng = np.random.default_rng(0)
    real, fake = (torch.as_tensor(rng.standard_normal((20_000, 1)) + m) for m in (1.0, -1.0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = gan.Discriminator(1, hidden=()).double()
    solver = torch.optim.LBFGS(model.parameters(), max_iter=50)

    def closure():
        solver.zero_grad()
        loss = gan.discriminator_loss(model(real), model(fake)).mean()
        loss.backward()
        return loss

    solver.step(closure)
    value = -float(gan.discriminator_loss(model(real), model(fake)).mean().detach())
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    assert float((model(x) - 2 * x[:, 0]).abs().max().detach()) < 0.25  # five standard errors and more
    grid = np.linspace(-12, 12, 20_001)
    laws = [stats.norm.pdf(grid, m) * (grid[1] - grid[0]) for m in (1.0, -1.0)]
    jsd = gan.jensen_shannon(*(law / law.sum() for law in laws))
    assert 0.5 * (value + math.log(4)) == pytest.approx(jsd, abs=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gan.jensen_shannon([0.5, 0.6], [0.5, 0.5]), "sum 1.1"),
        (lambda: gan.jensen_shannon([1.0], [0.5, 0.5]), "shapes"),
        (lambda: gan.jensen_shannon([1.5, -0.5], [0.5, 0.5]), "p:"),
        (lambda: gan.game_value([0.5, 0.5], [0.5, 0.5], [0.5, 1.5]), "d:"),
        (lambda: gan.game_value([0.5, 0.5], [0.5, 0.5], [0.5]), "d:"),
        (lambda: gan.optimal_discriminator([0.0], [0.0, 0.0]), "shapes"),
    ],
)
def test_bad_laws(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- Divergences ----------------------------------------------------------------------------------

P, Q = stats.norm(0.4, 0.8), stats.norm(0.0, 1.0)  # the narrower first: then chi-squared is finite


def closed_form(name):
    """For P and Q above; scipy's adaptive quadrature where there is no formula."""
    m, s = 0.4, 0.8
    if name == "kl":
        return -math.log(s) + (s**2 + m**2) / 2 - 0.5
    if name == "reverse_kl":
        return math.log(s) + (1 + m**2) / (2 * s**2) - 0.5
    if name == "pearson":  # the integral of p^2 / q is a Gaussian integral
        a, b = 2 / s**2 - 1, 2 * m / s**2
        return math.exp(b**2 / (2 * a) - m**2 / s**2) / (s**2 * math.sqrt(a)) - 1
    if name == "js":
        half = lambda x, one: one.pdf(x) * (one.logpdf(x) - np.log(0.5 * (P.pdf(x) + Q.pdf(x))))
        return sum(0.5 * integrate.quad(half, -9, 9, args=(one,), limit=200)[0] for one in (P, Q))
    gap = lambda x: 0.5 * abs(P.pdf(x) - Q.pdf(x))
    roots = np.roots([0.5 / s**2 - 0.5, -m / s**2, 0.5 * m**2 / s**2 + math.log(s)])  # where p = q
    return integrate.quad(gap, -9, 9, points=sorted(roots.real), limit=200)[0]


def nodes(n=40_001):
    x = torch.linspace(-9, 9, n, dtype=torch.float64)
    weights = torch.full((n,), float(x[1] - x[0]), dtype=torch.float64)
    log_p, log_q = (torch.as_tensor(law.logpdf(x.numpy())) for law in (P, Q))
    return x, weights, log_p, log_q


def bound(divergence, outputs, weights, log_p, log_q):
    """Variational bound of a network that gives `outputs` at the nodes."""
    real, fake = divergence.activation(outputs), divergence.on_fake(outputs)
    return float((weights * (log_p.exp() * real - log_q.exp() * fake)).sum())


@pytest.mark.parametrize("name", gan.DIVERGENCES)
def test_divergences_and_their_duals(name):
    """Quadrature meets the closed form; the bound meets it at f'(p / q) and falls short everywhere else."""
    divergence, (x, weights, log_p, log_q) = gan.DIVERGENCES[name], nodes()
    exact = divergence.exact(log_p, log_q, weights)
    assert exact == pytest.approx(closed_form(name), rel=1e-6)
    best = divergence.optimal(log_p - log_q)
    dual = (weights * (log_p.exp() * best - log_q.exp() * divergence.conjugate(best))).sum()
    assert float(dual) == pytest.approx(exact, rel=1e-6)
    for scale, shift in ((0.0, 0.0), (0.5, 0.1), (-0.4, 0.0), (1.0, -0.5)):
        assert bound(divergence, scale * x.clamp(-3, 3) + shift, weights, log_p, log_q) <= exact + 1e-9


@pytest.mark.parametrize("name", gan.DIVERGENCES)
def test_conjugates_are_suprema(name):
    """f*(t) = sup over u of ut - f(u), on a fine grid of u, at values that the activation gives."""
    divergence = gan.DIVERGENCES[name]
    u = torch.logspace(-7, 3, 100_001, dtype=torch.float64)
    outputs = torch.tensor([-0.9, -0.3, 0.2, 1.1], dtype=torch.float64)
    t = divergence.activation(outputs)
    by_search = torch.stack([(u * value - divergence.f(u)).max() for value in t])
    torch.testing.assert_close(divergence.conjugate(t), by_search, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(divergence.on_fake(outputs), divergence.conjugate(t))


@pytest.mark.parametrize("name", gan.DIVERGENCES)
def test_derivatives_are_autograds_and_larger_outputs_mean_data(name):
    divergence = gan.DIVERGENCES[name]
    u = torch.tensor([0.2, 0.7, 1.4, 6.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(divergence.f(u).sum(), u)
    torch.testing.assert_close(divergence.derivative(u.detach()), slope)
    assert float(divergence.f(torch.ones((), dtype=torch.float64))) == pytest.approx(0, abs=1e-12)
    outputs = torch.linspace(-2, 2, 9, dtype=torch.float64)
    assert (divergence.activation(outputs).diff() > 0).all()
    assert (divergence.discriminator_loss(outputs, outputs[4:5].expand(9)).diff() < 0).all()
    losses = divergence.discriminator_loss(outputs, outputs)
    assert losses.shape == (9,)
    torch.testing.assert_close(divergence.generator_loss(outputs), -divergence.on_fake(outputs))


def test_the_half_of_jensen_shannon():
    """f-GAN's table calls twice this number Jensen-Shannon; here it is the half sum, at most log 2."""
    _, weights, log_p, log_q = nodes()
    p, q = (weights * law.exp() for law in (log_p, log_q))
    ours = gan.DIVERGENCES["js"].exact(log_p, log_q, weights)
    assert ours == pytest.approx(gan.jensen_shannon(p / p.sum(), q / q.sum()), rel=1e-6)
    far = torch.tensor([0.0]), torch.tensor([-80.0])
    assert float(gan.DIVERGENCES["js"].f((far[0] - far[1]).double().exp()) * (far[1]).double().exp()) == (
        pytest.approx(0.5 * math.log(2), rel=1e-6)
    )


# ---- The model ------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["non-saturating", "saturating", *gan.DIVERGENCES])
def test_losses_of_the_model_are_the_pure_functions_at_its_points(objective):
    model, x = made(0, 2, objective=objective).double(), torch.randn(6, 2, generator=seeded()).double()
    fake = model.generator(model.generator.draw(6, generator=seeded(3)))
    real_out, fake_out = model.logit(x), model.logit(fake)
    if objective in gan.DIVERGENCES:
        pair = gan.DIVERGENCES[objective]
        for_d, for_g = pair.discriminator_loss(real_out, fake_out), pair.generator_loss(fake_out)
    else:
        loss = gan.saturating_loss if objective == "saturating" else gan.non_saturating_loss
        for_d, for_g = gan.discriminator_loss(real_out, fake_out), loss(fake_out)
    torch.testing.assert_close(model.loss(x, player="discriminator", generator=seeded(3)), for_d)
    torch.testing.assert_close(model.loss(x, player="generator", generator=seeded(3)), for_g)


def test_each_player_sends_gradients_where_they_belong():
    """The sample is detached in the discriminator's turn; in the generator's the graph goes through D."""
    model, x = made(0, 2), torch.randn(8, 2, generator=seeded())
    model.loss(x, player="discriminator", generator=seeded()).mean().backward()
    assert all(weight.grad is None for weight in model.generator.parameters())
    assert all(weight.grad.abs().sum() > 0 for weight in model.discriminator.parameters())
    model.zero_grad(set_to_none=True)
    model.loss(x, player="generator", generator=seeded()).mean().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.generator.parameters())


@pytest.mark.parametrize(("d_steps", "g_steps"), [(1, 1), (3, 1), (1, 2)])
def test_turns_follow_the_ratio(d_steps, g_steps):
    model = made(0, 2, hidden=(8,), d_steps=d_steps, g_steps=g_steps)
    data = torch.randn(64, 2, generator=seeded())
    history = train(model, data, steps=24, batch_size=16, random_state=0, device="cpu")
    moves = {player: len(history.of(player)[0]) for player in ("discriminator", "generator")}
    assert moves["discriminator"] * g_steps == moves["generator"] * d_steps
    assert sum(moves.values()) == 24


def test_a_step_moves_one_player_only():
    model = made(0, 2, hidden=(8,))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, torch.randn(32, 2, generator=seeded()), steps=1, random_state=0, device="cpu")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("generator")


def test_a_run_goes_on_from_its_checkpoint_bit_for_bit(tmp_path):
    data = torch.randn(50, 2, generator=seeded())
    options = {"batch_size": 16, "random_state": 1, "device": "cpu"}
    whole, parts = (made(0, 2, hidden=(8,), d_steps=2) for _ in range(2))
    expected = train(whole, data, steps=20, **options)
    train(parts, data, steps=9, checkpoint=tmp_path / "gan", **options)
    parts = made(0, 2, hidden=(8,), d_steps=2)
    found = train(parts, data, steps=20, checkpoint=tmp_path / "gan", **options)
    assert found.loss.tolist() == expected.loss.tolist()
    assert torch.equal(parts.sample(5, generator=seeded()), whole.sample(5, generator=seeded()))


def test_an_affine_generator_reaches_a_gaussian():
    """The law that it can reach exactly: samples pass a two-sample test (false alarm 1e-3 by permutation).

    A quadratic discriminator sees means and covariances; steps that shrink end the circling.
    """

    class Quadratic(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, 1)

        def forward(self, x):
            pairs = (x[:, :1] * x, x[:, 1:] * x[:, 1:])
            return self.linear(torch.cat([x, *pairs], dim=1))

    rng = np.random.default_rng(0)
    factor, shift = np.array([[0.8, 0.0], [0.5, 0.6]]), np.array([0.7, -0.4])
    data = rng.standard_normal((4000, 2)) @ factor.T + shift
    model = made(0, 2, generator_hidden=(), discriminator=Quadratic(), d_steps=2).double()
    train(
        model,
        torch.as_tensor(data),
        steps=1500,
        batch_size=200,
        lr=0.03,
        optimizer=partial(torch.optim.Adam, betas=(0.5, 0.9), fused=True),
        schedule="cosine",
        random_state=0,
        device="cpu",
    )
    weight, bias = (value.detach().numpy() for value in model.generator.net[0].parameters())
    np.testing.assert_allclose(bias, shift, atol=0.15)
    np.testing.assert_allclose(weight @ weight.T, factor @ factor.T, atol=0.15)
    drawn = model.sample(400, generator=seeded(5)).numpy()
    fresh = rng.standard_normal((400, 2)) @ factor.T + shift
    assert metrics.permutation_p_value(metrics.energy_distance, drawn, fresh, random_state=0) > 1e-3


def test_one_class_data_and_a_batch_of_one():
    """All rows alike: the generator is told where the point is, and nothing turns into NaN."""
    model = made(0, 2, hidden=(16,))
    optimizer = partial(torch.optim.Adam, betas=(0.5, 0.9))
    data = torch.tensor([[0.5, -0.25]]).repeat(8, 1)
    history = train(
        model, data, steps=800, batch_size=1, lr=2e-3, optimizer=optimizer, device="cpu", random_state=0
    )
    assert np.isfinite(history.loss).all()
    samples = model.sample(200, generator=seeded())
    assert torch.isfinite(samples).all()
    start = made(0, 2, hidden=(16,)).sample(200, generator=seeded())
    assert (samples - data[0]).norm(dim=1).mean() < (start - data[0]).norm(dim=1).mean()


def test_a_sample_does_not_see_its_batch():
    """Batch normalization in evaluation mode: the first rows are the same whatever comes behind them."""
    generator, discriminator = gan.dcgan_nets(8, latent_dim=4, width=4)
    model = gan.GAN(64, latent_dim=4, generator=generator, discriminator=discriminator).eval()
    z = torch.randn(6, 4, generator=seeded())
    torch.testing.assert_close(model.generator(z)[:2], model.generator(z[:2]))
    x = model.generator(z).detach()
    torch.testing.assert_close(model.logit(x)[:1], model.logit(x[:1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_dim": 0}, "latent_dim"),
        ({"d_steps": 0}, "d_steps"),
        ({"g_steps": 1.5}, "g_steps"),
        ({"objective": "minimax"}, "objective"),
        ({"hidden": (0,)}, "widths"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        gan.GAN(2, **options)


def test_bad_calls():
    model = gan.GAN(2)
    with pytest.raises(ValueError, match="n:"):
        model.sample(0)
    with pytest.raises(ValueError, match="player"):
        model.loss(torch.zeros(3, 2), player="critic")
    with pytest.raises(ValueError, match="2"):
        model.logit(torch.zeros(3, 5))
    with pytest.raises(TypeError, match="tensor"):
        model.logit(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="held_out"):
        train(model, torch.zeros(8, 2), steps=2, held_out=torch.zeros(8, 2), device="cpu")
    with pytest.raises(ValueError, match="NaN"):
        train(model, torch.full((8, 2), torch.nan), steps=2, device="cpu")


def test_it_works_behind_the_bridge():
    model = Fitted(gan.GAN, hidden=(8,), d_steps=2, steps=9, lr=1e-3, device="cpu", random_state=0)
    model.fit(np.random.default_rng(0).standard_normal((60, 2)))
    assert model.history_.turns == ("discriminator", "discriminator", "generator")
    check.same_seed_same_bytes(model)


# ---- Images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (16, 3), (28, 1)])
def test_convolutional_nets_fit_together(side, channels):
    generator, discriminator = gan.dcgan_nets(side, channels=channels, latent_dim=5, width=4)
    model = gan.GAN(channels * side**2, latent_dim=5, generator=generator, discriminator=discriminator)
    x = model.sample(3)
    assert x.shape == (3, channels * side**2)
    assert x.abs().max() <= 1
    assert model.logit(x).shape == (3,)
    train(model, torch.rand(8, x.shape[1]), steps=2, batch_size=4, device="cpu")
    for bad in (6, 0, 8.0):
        with pytest.raises(ValueError, match="side"):
            gan.dcgan_nets(bad)


def test_augmentation_shifts_whole_images_and_lets_gradients_through():
    image = torch.arange(1.0, 65).repeat(300, 1).requires_grad_()
    moved = gan.DiffAugment((1, 8, 8), shift=2, fill=0.0)(image, generator=seeded()).reshape(-1, 8, 8)
    padded = np.pad(np.arange(1.0, 65).reshape(8, 8), 2)
    wanted = {padded[i : i + 8, j : j + 8].tobytes() for i in range(5) for j in range(5)}
    found = {row.astype(np.float64).tobytes() for row in moved.detach().numpy()}
    assert found == wanted  # all 25 shifts and no other; misses one of 25 in 300 with probability 1.2e-4
    moved.sum().backward()
    np.testing.assert_array_equal(image.grad.numpy() > 0, np.isin(image.grad.numpy(), 1.0))
    assert image.grad.sum() == (moved != 0).sum()


def test_augmentation_of_colour_brightness_and_holes():
    x = torch.zeros(200, 3 * 16)
    augment = gan.DiffAugment((3, 4, 4), shift=0, brightness=0.5, cutout=2, fill=9.0)
    found = augment(x, generator=seeded()).reshape(200, 3, 4, 4)
    holes = found == 9.0
    assert (holes.sum(dim=(1, 2, 3)) == 3 * 4).all()
    assert torch.equal(holes[:, 0], holes[:, 2])
    outside = torch.where(holes, torch.nan, found)
    assert outside.nan_to_num().abs().max() <= 0.5
    assert (
        torch.nanquantile(outside.flatten(1), 1.0, dim=1) == torch.nanquantile(outside.flatten(1), 0.0, dim=1)
    ).all()
    assert torch.equal(augment(x, generator=seeded(4)), augment(x, generator=seeded(4)))


def test_augmentation_is_shown_to_both_sides():
    seen = []

    def record(x, *, generator=None):
        seen.append(len(x))
        return x + 1

    model, plain = made(0, 2, augment=record), made(0, 2)
    x = torch.randn(5, 2, generator=seeded())
    found = model.loss(x, player="discriminator", generator=seeded(1))
    z = plain.generator.draw(5, generator=seeded(1))
    expected = gan.discriminator_loss(plain.logit(x + 1), plain.logit(plain.generator(z).detach() + 1))
    torch.testing.assert_close(found, expected)
    model.loss(x, player="generator")
    assert seen == [5, 5, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shift": 8}, "shift"),
        ({"shift": -1}, "shift"),
        ({"cutout": 9}, "cutout"),
        ({"brightness": -1}, "brightness"),
    ],
)
def test_bad_augmentations(options, message):
    with pytest.raises(ValueError, match=message):
        gan.DiffAugment((1, 8, 8), **options)


def test_augmentation_refuses_another_shape():
    with pytest.raises(ValueError, match="64"):
        gan.DiffAugment((1, 8, 8))(torch.zeros(2, 63))
    with pytest.raises(ValueError, match="shape"):
        gan.DiffAugment((8, 8))


# ---- How the game goes ----------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.01, 0.1, 0.7])
def test_radii_of_the_bilinear_game(eta):
    radius = lambda method: np.linalg.norm(
        gan.bilinear_game(method, eta=eta, steps=60, start=(0.6, -0.8)), axis=1
    )
    n = np.arange(61)
    np.testing.assert_allclose(radius("simultaneous"), (1 + eta**2) ** (n / 2), rtol=1e-12)
    np.testing.assert_allclose(radius("extragradient"), ((1 - eta**2) ** 2 + eta**2) ** (n / 2), rtol=1e-12)
    path = gan.bilinear_game("alternating", eta=eta, steps=3000, start=(0.6, -0.8))
    invariant = (path**2).sum(axis=1) - eta * path.prod(axis=1)  # an ellipse
    np.testing.assert_allclose(invariant, invariant[0], rtol=1e-9)


def test_the_bilinear_game_is_gradient_play_on_xy():
    """One simultaneous and one alternating step by autograd."""
    point = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(point.prod(), point)
    stepped = point.detach() + 0.2 * torch.tensor([-1.0, 1.0]) * slope
    found = gan.bilinear_game("simultaneous", eta=0.2, steps=1, start=(0.3, -0.7))
    np.testing.assert_allclose(found[1], stepped.numpy(), rtol=1e-6)
    found = gan.bilinear_game("alternating", eta=0.2, steps=1, start=(0.3, -0.7))
    np.testing.assert_allclose(found[1], [stepped[0], -0.7 + 0.2 * float(stepped[0])], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "newton"}, "method"), ({"eta": 0}, "eta"), ({"steps": 0}, "steps")],
)
def test_bad_games(options, message):
    with pytest.raises(ValueError, match=message):
        gan.bilinear_game(**{"method": "simultaneous", **options})


def test_disjoint_supports_give_the_minimax_loss_no_gradient():
    """Data at 1, samples at -1: the best logit is infinite there; at 40 x the pull is below 1e-12."""
    x = torch.tensor([-1.0], dtype=torch.float64, requires_grad=True)
    (minimax,) = torch.autograd.grad(gan.saturating_loss(40 * x).sum(), x)
    (swapped,) = torch.autograd.grad(gan.non_saturating_loss(40 * x).sum(), x)
    assert 0 < -minimax.item() < 1e-12
    assert swapped.item() == pytest.approx(-40)


# ---- Modes ----------------------------------------------------------------------------------------


def test_mode_report_of_the_ring():
    law = EightGaussians()
    report = gan.mode_report(law.sample(20_000, random_state=0), law.means, std=law.std)
    assert report.modes == 8
    assert report.high_quality == pytest.approx(1 - math.exp(-8), abs=1.5e-3)  # 4 sd in the plane
    assert report.kl == pytest.approx(0, abs=2e-3)
    one = gan.mode_report(np.tile(law.means[3], (50, 1)), law.means, std=law.std)
    assert one == (1, 1.0, pytest.approx(math.log(8)))
    nowhere = gan.mode_report(np.zeros((50, 2)) + 0.1, law.means, std=law.std)
    assert nowhere.modes == 0
    assert nowhere.high_quality == 0


def test_a_mode_needs_its_share():
    samples = np.concatenate([np.zeros((99, 1)), np.ones((1, 1))])
    assert gan.mode_report(samples, [[0.0], [1.0]], std=0.1, least=0.02).modes == 1
    assert gan.mode_report(samples, [[0.0], [1.0]], std=0.1, least=0.01).modes == 2
    entropy = -(0.99 * math.log(0.99) + 0.01 * math.log(0.01))
    assert gan.mode_report(samples, [[0.0], [1.0]], std=0.1).kl == pytest.approx(math.log(2) - entropy)


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        (np.zeros((3, 3)), {}, "shapes"),
        (np.zeros((0, 2)), {}, "shapes"),
        (np.full((3, 2), np.nan), {}, "diverge"),
        (np.zeros((3, 2)), {"std": 0}, "std"),
        (np.zeros((3, 2)), {"least": 1.0}, "least"),
    ],
)
def test_bad_reports(samples, options, message):
    with pytest.raises(ValueError, match=message):
        gan.mode_report(samples, np.eye(2), **{"std": 0.1, **options})
