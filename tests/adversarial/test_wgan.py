"""Wasserstein distances and critics against scipy, linear programs, closed forms, autograd and SVD.

Everything is in float64 unless a test says otherwise. Seeds are fixed, so a pass stays a pass.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.spatial.distance import jensenshannon
from torch import nn

from coursekit import check
from coursekit.adversarial.wgan import (
    WGAN,
    clip_weights,
    critic_loss,
    generator_loss,
    gradient_penalty,
    input_gradients,
    interpolates,
    lipschitz_bound,
    optimal_critic,
    optimal_transport,
    shifted_uniforms,
    spectral_normalized,
    steepest_slope,
    wasserstein_1d,
    wasserstein_of_gaussians,
)
from coursekit.nn import mlp
from coursekit.train import train

LIKELIHOOD = {"WGAN": "none"}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def two_samples(n, m, dim, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, dim)), rng.exponential(size=(m, dim)) + 0.5


def net(seed=0, dim=2, hidden=(8, 8), activation=nn.Tanh):
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return mlp(dim, 1, hidden=hidden, activation=activation).double()


# ------------------------------------------------------------------ the distance, three ways


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 10**6))
def test_quantiles_agree_with_scipy_weights_and_ties_included(n, m, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-5, 5, n) / 2, rng.normal(size=m)
    a, b = rng.random(n) + 1e-3, rng.random(m) + 1e-3
    found = wasserstein_1d(x, y, x_weights=a, y_weights=b)
    check.matches(found, stats.wasserstein_distance(x, y, a, b), name="W1", rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("n", "m", "seed"), [(1, 1, 0), (7, 7, 1), (20, 13, 2), (12, 30, 3)])
def test_quantiles_and_both_linear_programs_agree_on_the_line(n, m, seed):
    x, y = two_samples(n, m, 1, seed)
    a, b = np.random.default_rng(seed).random(n) + 0.1, np.random.default_rng(seed + 9).random(m) + 0.1
    masses = {"x_weights": a, "y_weights": b}
    exact = wasserstein_1d(x, y, **masses)
    check.matches(optimal_transport(x, y, **masses).cost, exact, name="primal", rtol=1e-7)
    check.matches(optimal_critic(x, y, **masses).value, exact, name="dual", rtol=1e-7)


@pytest.mark.parametrize("dim", [2, 5])
def test_primal_and_dual_agree_in_several_dimensions(dim):
    """Kantorovich and Rubinstein: the best plan costs what the best critic sees."""
    x, y = two_samples(15, 20, dim, dim)
    cost, plan = optimal_transport(x, y)
    critic = optimal_critic(x, y)
    check.matches(critic.value, cost, name="duality", rtol=1e-7)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 15, atol=1e-9)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 20, atol=1e-9)
    check.matches(critic(x).mean() - critic(y).mean(), cost, name="the extension keeps the values", rtol=1e-7)


def test_the_best_critic_is_one_lipschitz_everywhere_and_steep_along_the_plan():
    x, y = two_samples(12, 12, 2, 4)
    critic, plan = optimal_critic(x, y), optimal_transport(x, y).plan
    s, t = np.random.default_rng(1).normal(size=(2, 300, 2)) * 3
    assert (np.abs(critic(s) - critic(t)) <= np.linalg.norm(s - t, axis=1) * (1 + 1e-9) + 1e-9).all()
    for i, j in zip(*np.nonzero(plan > 1e-9), strict=True):
        drop, way = critic(x[[i]]) - critic(y[[j]]), np.linalg.norm(x[i] - y[j])
        check.matches(drop, [way], name="slope one on the way", rtol=1e-6)


def test_the_assignment_is_the_linear_program():
    x, y = two_samples(11, 11, 3, 5)
    even = np.ones(11)
    program = optimal_transport(x, y, x_weights=even, y_weights=even).cost
    check.matches(optimal_transport(x, y).cost, program, name="assignment", rtol=1e-8)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
def test_equal_samples_have_distance_zero_and_a_shift_its_length(p):
    x = np.random.default_rng(0).normal(size=50)
    assert wasserstein_1d(x, np.random.default_rng(1).permutation(x), p=p) == 0
    check.matches(wasserstein_1d(x, x + 1.25, p=p), 1.25, name="shift", rtol=1e-9)
    check.matches(wasserstein_1d(4 * x, 4 * x[::-1] - 2, p=p), 2.0, name="scale", rtol=1e-9)


def test_higher_orders_agree_with_sorted_columns():
    x, y = two_samples(40, 40, 1, 6)
    oracle = np.mean(np.abs(np.sort(x[:, 0]) - np.sort(y[:, 0])) ** 2) ** 0.5
    check.matches(wasserstein_1d(x, y, p=2), oracle, name="W2", rtol=1e-9)


def test_symmetry_and_triangle_inequality():
    a, b, c = (np.random.default_rng(k).normal(size=(n, 2)) for k, n in ((0, 9), (1, 12), (2, 7)))
    ab, ba, bc, ac = (optimal_transport(*pair).cost for pair in ((a, b), (b, a), (b, c), (a, c)))
    check.matches(ab, ba, name="symmetry", rtol=1e-8)
    assert ac <= ab + bc + 1e-9


def test_a_sample_is_as_far_from_another_one_of_its_law_as_theory_says():
    """On the line E W1 of two samples is about n^(-1/2) times a constant: not zero, but falling."""
    rng = np.random.default_rng(0)
    far = [np.mean([wasserstein_1d(*rng.normal(size=(2, n))) for _ in range(200)]) for n in (100, 1600)]
    assert 3 < far[0] / far[1] < 5.5


# ------------------------------------------------------------------ closed forms


@pytest.mark.parametrize("case", [(0, 1, 2, 1), (0, 1, 0, 3), (-1, 0.5, 1, 2), (3, 2, 0, 0), (1, 0, 1, 0)])
def test_gaussians_against_quadrature_of_the_quantiles(case):
    mean_p, std_p, mean_q, std_q = case

    def gap(u):
        z = stats.norm.ppf(u)
        return abs((mean_p + std_p * z) - (mean_q + std_q * z))

    oracle = integrate.quad(gap, 0, 1, limit=500, points=[0.5])[0]
    check.matches(wasserstein_of_gaussians(*case), oracle, name="W1 of Gaussians", rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("shift", [0.0, -0.1, 0.3, 0.7, 2.0])
@pytest.mark.parametrize("width", [0.0, 0.4, 1.0])
def test_shifted_uniforms_against_histograms(shift, width):
    """Both laws cut into cells of length 0.01, which their edges meet exactly; lines are single cells."""
    edge = round(width / 0.01) or 1
    p, q = np.zeros(1000), np.zeros(1000)
    start, moved = 400, 400 + round(shift / 0.01)
    p[start : start + edge], q[moved : moved + edge] = 1 / edge, 1 / edge
    found = shifted_uniforms(shift, width)
    check.matches(found.js, jensenshannon(p, q) ** 2, name="JS", rtol=1e-7, atol=1e-9)
    check.matches(found.tv, 0.5 * np.abs(p - q).sum(), name="TV", rtol=1e-9, atol=1e-12)
    cells = np.arange(1000) * 0.01
    oracle = stats.wasserstein_distance(cells, cells, p, q)
    check.matches(found.w1, oracle, name="W1", rtol=1e-8, atol=1e-9)
    assert found.kl == (math.inf if shift else 0.0)


# ------------------------------------------------------------------ losses and penalties


def test_losses_are_differences_of_means_with_the_right_signs():
    real, fake = torch.tensor([[2.0], [4.0]]), torch.tensor([[1.0], [0.0]])
    assert critic_loss(real, fake).tolist() == [-1.0, -4.0]
    assert generator_loss(fake).tolist() == [-1.0, 0.0]
    x, y = (torch.as_tensor(a) for a in two_samples(50, 50, 1, 0))
    loss = critic_loss(*(torch.as_tensor(optimal_critic(x, y)(a)) for a in (x, y)))
    check.matches(-loss.mean(), wasserstein_1d(x, y), name="minus the best loss is W1", rtol=1e-7)


def test_interpolates_are_on_their_own_segments_and_out_of_the_graph():
    real, fake = torch.randn(2, 200, 3, generator=seeded(), dtype=torch.float64)
    points = interpolates(real, fake.requires_grad_(), generator=seeded(1))
    t = ((points - fake) / (real - fake)).detach()
    assert not points.requires_grad
    assert bool((t >= 0).all() and (t <= 1).all())
    torch.testing.assert_close(t, t[:, :1].expand(-1, 3))  # one number for each row
    # 200 uniform numbers: a right answer fails with probability below 1e-6.
    assert stats.kstest(t[:, 0].numpy(), "uniform").pvalue > 1e-6


def test_input_gradients_are_finite_differences():
    critic, x = net(), torch.randn(5, 2, generator=seeded(), dtype=torch.float64)
    slopes, eps = input_gradients(critic, x), 1e-6
    for j in range(2):
        step = torch.zeros(2).double()
        step[j] = eps
        oracle = (critic(x + step) - critic(x - step))[:, 0] / (2 * eps)
        torch.testing.assert_close(slopes[:, j], oracle.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("one_sided", [False, True])
@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_penalty_of_a_linear_critic(slope, one_sided):
    real, fake = torch.randn(2, 6, 2, generator=seeded(), dtype=torch.float64)
    direction = torch.tensor([0.6, -0.8], dtype=torch.float64)
    found = gradient_penalty(lambda x: slope * (x @ direction)[:, None], real, fake, one_sided=one_sided)
    wanted = max(slope - 1, 0) ** 2 if one_sided else (slope - 1) ** 2
    check.matches(found.detach(), np.full(6, wanted), name="penalty", rtol=1e-9)


def test_penalty_is_differentiated_with_respect_to_the_weights():
    """A detached gradient gives a penalty of the right size that teaches the critic nothing."""
    critic, (real, fake) = net(), torch.randn(2, 4, 2, generator=seeded(), dtype=torch.float64)

    def penalty():
        return gradient_penalty(critic, real, fake, generator=seeded(3)).mean()

    found = torch.autograd.grad(penalty(), list(critic.parameters())[:-1])
    for weight, slope in zip(critic.parameters(), found, strict=False):
        flat, eps = weight.data.view(-1), 1e-6
        before = flat[0].item()
        flat[0] = before + eps
        up = penalty()
        flat[0] = before - eps
        oracle = (up - penalty()).item() / (2 * eps)
        flat[0] = before
        assert abs(slope.reshape(-1)[0].item() - oracle) < 1e-5 * max(1.0, abs(oracle))


def test_penalty_works_where_gradients_are_switched_off():
    with torch.no_grad():
        found = gradient_penalty(net(), torch.zeros(2, 2).double(), torch.ones(2, 2).double())
    assert found.shape == (2,)


def descended(start, shift, weight, *, one_sided):
    """Slope of a linear critic of two points on the line, after gradient descent on its penalized loss."""
    slope = torch.full((1,), start, dtype=torch.float64, requires_grad=True)
    real, fake = torch.full((4, 1), shift).double(), torch.zeros(4, 1).double()
    descent = torch.optim.SGD([slope], lr=0.1 / weight)

    for _ in range(200):
        descent.zero_grad()
        critic = lambda x: x * slope
        loss = critic_loss(critic(real), critic(fake))
        loss = loss + weight * gradient_penalty(critic, real, fake, one_sided=one_sided)
        loss.mean().backward()
        descent.step()
    return slope.item()


@pytest.mark.parametrize(("shift", "weight"), [(0.5, 1.0), (2.0, 1.0), (2.0, 10.0)])
def test_a_penalized_critic_overestimates_by_a_known_amount(shift, weight):
    """Two points apart by s: the best slope is 1 + s / (2 lambda), the claim s + s^2 / (2 lambda)."""
    claim = shift * descended(1.0, shift, weight, one_sided=False)
    check.matches(claim, shift + shift**2 / (2 * weight), name="critic's claim", rtol=1e-6)


def test_on_the_line_the_two_sided_penalty_has_a_second_minimum_of_the_wrong_sign():
    """From a negative slope it stays so, at -(1 - s / (2 lambda)); one-sided, it comes through."""
    check.matches(descended(-0.5, 2.0, 10.0, one_sided=False), -0.9, name="stuck slope", rtol=1e-6)
    check.matches(descended(-0.5, 2.0, 10.0, one_sided=True), 1.1, name="free slope", rtol=1e-6)


def test_clipping_forces_every_number_into_the_interval():
    critic = net()
    clip_weights(critic, 0.05)
    assert all(weight.abs().max() <= 0.05 for weight in critic.parameters())
    assert lipschitz_bound(critic) <= 0.05**3 * 16**0.5 * 64**0.5 * 8**0.5  # Frobenius norms: 2x8, 8x8, 8x1


def test_spectral_normalization_divides_by_the_largest_singular_value():
    critic = spectral_normalized(net(hidden=(8, 8), activation=nn.ReLU), n_power_iterations=1)
    for _ in range(300):  # each pass in training mode is one iteration
        critic(torch.zeros(1, 2).double())
    critic.eval()
    for layer in critic:
        if isinstance(layer, nn.Linear):
            check.matches(np.linalg.svd(layer.weight.detach())[1][0], 1.0, name="largest value", rtol=1e-4)
            raw = layer.parametrizations.weight.original.detach().numpy()
            np.testing.assert_allclose(
                layer.weight.detach(), raw / np.linalg.svd(raw)[1][0], rtol=1e-3, atol=1e-4
            )
    check.matches(lipschitz_bound(critic), 1.0, name="bound", rtol=1e-3)
    x, y = torch.randn(2, 100, 2, generator=seeded(), dtype=torch.float64)
    assert steepest_slope(critic, x, y) <= 1.001


def test_slopes_are_below_the_bound():
    for seed in range(5):
        critic = net(seed, hidden=(16, 16))
        real, fake = torch.randn(2, 100, 2, generator=seeded(seed), dtype=torch.float64)
        assert 0 < steepest_slope(critic, real, fake) <= lipschitz_bound(critic)


def test_spectral_normalization_and_bounds_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="no linear"):
        spectral_normalized(nn.Sequential(nn.ReLU()))
    with pytest.raises(TypeError, match="BatchNorm1d"):
        lipschitz_bound(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))


# ------------------------------------------------------------------ the model


def made(seed=0, **options):
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return WGAN(2, **{"hidden": (16,), **options}).double()


def test_the_critics_turn_leaves_the_generator_alone_and_the_other_way_round():
    model, x = made(), torch.randn(8, 2, generator=seeded(), dtype=torch.float64)
    model.loss(x, player="discriminator", generator=seeded()).mean().backward()
    assert all(weight.grad is None for weight in model.generator.parameters())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, x, steps=5, lr=1e-2, random_state=0, device="cpu")  # the first five are the critic's
    after = model.state_dict()
    assert all(torch.equal(after[k], before[k]) for k in before if k.startswith("generator"))
    assert not torch.equal(after["discriminator.net.0.weight"], before["discriminator.net.0.weight"])


@pytest.mark.parametrize("constraint", ["penalty", "one-sided", "clip", "spectral"])
def test_training_moves_samples_to_the_data(constraint):
    """A normal law six standard deviations away; W1 falls by a factor of three at least."""
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.normal([4.0, -4.0], 1.0, (256, 2)))
    model = made(constraint=constraint, d_steps=2, hidden=(32,))
    far = optimal_transport(model.sample(256, generator=seeded()), x).cost
    adam = lambda weights, lr: torch.optim.Adam(weights, lr=lr, betas=(0.0, 0.9))
    train(model, x, steps=400, batch_size=64, lr=1e-2, optimizer=adam, random_state=0, device="cpu")
    near = optimal_transport(model.sample(256, generator=seeded()), x).cost
    assert near < far / 3
    if constraint == "clip":
        assert all(weight.abs().max() <= 0.1 + 1e-12 for weight in model.critic.parameters())


def test_a_trained_critic_claims_the_distance_of_two_known_laws():
    """The generator is held: a shift of 3. The critic's claim over its slope is below W1 and near it."""

    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.by = nn.Parameter(torch.zeros(1))

        def forward(self, z):
            return z + self.by

    torch.manual_seed(0)
    model = WGAN(
        1, latent_dim=1, hidden=(32,), generator=Shift(), constraint="one-sided", strength=10.0
    ).double()
    model.turns = ("discriminator",)
    x = torch.randn(2000, 1, generator=seeded(), dtype=torch.float64) + 3.0
    train(model, x, steps=400, batch_size=200, lr=5e-3, random_state=0, device="cpu")
    estimate, slope = model.estimate(x, generator=seeded(1))
    exact = wasserstein_of_gaussians(3.0, 1.0, 0.0, 1.0)
    noise = 10 / 2000**0.5  # standard deviations of the two means, generously
    assert estimate / slope < exact + noise
    assert 0.6 * exact < estimate < 1.6 * exact


def test_same_seed_same_samples_and_no_density():
    model = made()
    assert torch.equal(model.sample(5, generator=seeded(3)), model.sample(5, generator=seeded(3)))
    with pytest.raises(NotImplementedError, match="instead"):
        model.log_prob(torch.zeros(1, 2).double())


def test_a_batch_of_one_row_trains():
    x = torch.zeros(1, 2).double()
    train(made(d_steps=1), x, steps=4, batch_size=1, random_state=0, device="cpu")


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wasserstein_1d([], [1.0]), "at least one"),
        (lambda: wasserstein_1d([np.nan], [1.0]), "row 0 holds NaN"),
        (lambda: wasserstein_1d(np.zeros((3, 2)), np.zeros((3, 2))), "quantiles need an order"),
        (lambda: wasserstein_1d([0.0], [1.0], p=0.5), "p: got 0.5"),
        (lambda: wasserstein_1d([0.0, 1.0], [1.0], x_weights=[1.0]), r"x_weights: got shape \(1,\)"),
        (lambda: wasserstein_1d([0.0, 1.0], [1.0], x_weights=[1.0, -1.0]), "at least 0"),
        (lambda: optimal_transport(np.zeros((2, 2)), np.zeros((2, 3))), "2 and 3 columns"),
        (lambda: optimal_transport(np.zeros(3), np.zeros(3)), r"expected \(n, d\)"),
        (lambda: optimal_transport(np.zeros((1000, 1)), np.ones((999, 1))), "999,000 pairs"),
        (lambda: optimal_critic(np.arange(999.0)[:, None], np.zeros((1, 1))), "take fewer points"),
        (lambda: wasserstein_of_gaussians(0, -1, 0, 1), "at least 0"),
        (lambda: shifted_uniforms(math.nan), "finite"),
        (lambda: shifted_uniforms(1.0, -1.0), "width at least 0"),
        (lambda: critic_loss(torch.zeros(2), torch.zeros(3)), "2 and 3 values"),
        (lambda: generator_loss(torch.zeros(2, 2)), "one value per row"),
        (lambda: interpolates(torch.zeros(2, 2), torch.zeros(3, 2)), "expected the same"),
        (lambda: clip_weights(nn.Linear(1, 1), 0.0), "bound: got 0.0"),
        (lambda: WGAN(0), "dim: got 0"),
        (lambda: WGAN(2, latent_dim=0), "latent_dim: got 0"),
        (lambda: WGAN(2, d_steps=0), "d_steps: got 0"),
        (lambda: WGAN(2, constraint="hinge"), "constraint: got 'hinge'"),
        (lambda: WGAN(2, strength=-1.0), "strength: got -1.0"),
        (lambda: WGAN(2, constraint="spectral", strength=1.0), "None with 'spectral'"),
        (lambda: made().sample(0), "n: got 0"),
        (lambda: made().estimate(torch.zeros(2, 3).double()), r"expected \(n, 2\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_text_is_no_sample():
    with pytest.raises(TypeError, match="real numbers"):
        wasserstein_1d(["a"], ["b"])
