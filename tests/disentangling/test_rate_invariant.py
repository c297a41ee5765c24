"""Warps against numpy, finite differences, scipy and their own laws; the networks by their parts.

Everything is in float64 unless a test says otherwise; seeds are fixed.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize
from torch import nn

from coursekit.data import warped_series
from coursekit.disentangling.rate_invariant import (
    MonotoneWarp,
    RateInvariantAutoencoder,
    TCNAutoencoder,
    TCNEncoder,
    centring_warp,
    compose,
    identity_warp,
    invert,
    karcher_mean,
    receptive_field,
    resample,
    warp_correlation,
    warp_distance,
    within_class_share,
)
from coursekit.train import train

LIKELIHOOD = {"TCNAutoencoder": "none", "RateInvariantAutoencoder": "none"}

FREE = arrays(np.float64, (3, 6), elements=st.floats(-1e4, 1e4))
QUICK = settings(max_examples=25, deadline=None)


def normal(*shape, seed=0, scale=1.0):
    return torch.as_tensor(scale * np.random.default_rng(seed).standard_normal(shape))


DOUBLE = torch.zeros(1, dtype=torch.float64)
ONCE64 = torch.linspace(0, 1, 64, dtype=torch.float64)


def warps(n=5, length=40, pieces=7, seed=0, scale=0.8):
    return MonotoneWarp(length, pieces=pieces)(normal(n, pieces, seed=seed, scale=scale))


# ------------------------------------------------------------------ laws of a warp


@QUICK
@given(FREE, st.integers(2, 90))
def test_a_warp_rises_from_zero_to_one_whatever_comes(h, length):
    for dtype in (torch.float64, torch.float32):
        gamma = MonotoneWarp(length, pieces=6)(torch.as_tensor(h, dtype=dtype))
        assert (gamma[:, 0] == 0).all()
        assert (gamma[:, -1] == 1).all()
        assert (gamma.diff(dim=1) > 0).all()


@QUICK
@given(FREE)
def test_slopes_have_a_floor_and_knots_are_the_cumulated_softmax(h):
    layer = MonotoneWarp(31, pieces=6, least=0.01)
    knots = layer.knots(torch.as_tensor(h)).numpy()
    soft = np.exp(h - h.max(axis=1, keepdims=True))
    soft /= soft.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.diff(knots, axis=1), 0.01 + 0.94 * soft, atol=1e-12)
    gamma = layer(torch.as_tensor(h)).numpy()
    for row, one in zip(knots, gamma, strict=True):
        np.testing.assert_allclose(
            one, np.interp(np.linspace(0, 1, 31), np.linspace(0, 1, 7), row), atol=1e-12
        )
    assert np.diff(gamma, axis=1).min() > 0.01 * 6 / 30 - 1e-9


@QUICK
@given(FREE, st.floats(-50, 50))
def test_only_differences_of_the_free_numbers_count(h, shift):
    layer = MonotoneWarp(20, pieces=6)
    moved = layer(torch.as_tensor(h + shift))
    torch.testing.assert_close(moved, layer(torch.as_tensor(h)), rtol=0, atol=1e-9)


def test_equal_numbers_are_the_identity():
    for pieces in (1, 3, 10):
        gamma = MonotoneWarp(64, pieces=pieces)(torch.full((2, pieces), 7.0).double())
        torch.testing.assert_close(gamma[0], ONCE64, rtol=0, atol=1e-14)


def test_the_layer_has_no_weights():
    assert sum(p.numel() for p in MonotoneWarp(64).parameters()) == 0


@QUICK
@given(FREE)
def test_inverse_undoes_the_warp(h):
    gamma = MonotoneWarp(33, pieces=6)(torch.as_tensor(h))
    back = invert(gamma)
    torch.testing.assert_close(
        compose(gamma, back), identity_warp(33, like=DOUBLE).expand(3, -1), rtol=0, atol=1e-9
    )


def test_inverse_is_numpys_with_roles_exchanged():
    gamma, t = warps(), np.linspace(0, 1, 40)
    for row, back in zip(gamma.numpy(), invert(gamma).numpy(), strict=True):
        np.testing.assert_allclose(back, np.interp(t, row, t), atol=1e-13)


def test_the_other_order_is_the_identity_up_to_straight_lines():
    """The error of straight lines falls with the number of times; corners keep it from falling faster."""
    errors = []
    for length in (50, 200, 800):
        gamma = warps(length=length)
        errors.append(float((compose(invert(gamma), gamma) - identity_warp(length, like=DOUBLE)).abs().max()))
    assert errors[0] < 0.05
    assert errors[2] < errors[0] / 8


@QUICK
@given(FREE, FREE, FREE)
def test_warps_are_a_group(a, b, c):
    """Closed, with a neutral identity; associative up to what straight lines can hold."""
    layer = MonotoneWarp(61, pieces=6, least=0.02)
    a, b, c = (layer(torch.as_tensor(h)) for h in (a, b, c))
    once = identity_warp(61, like=DOUBLE).expand(3, -1).contiguous()
    ab = compose(a, b)
    assert (ab[:, 0] == 0).all()
    assert (ab[:, -1] == 1).all()
    assert (ab.diff(dim=1) > 0).all()
    torch.testing.assert_close(compose(a, once), a, rtol=0, atol=1e-12)
    torch.testing.assert_close(compose(once, a), a, rtol=0, atol=1e-12)
    exact = resample(a, resample(b, c))  # each function evaluated where it is asked
    held = compose(compose(a, b), c)  # the composition of a and b held as straight lines
    slope = float(a.diff(dim=1).max() * b.diff(dim=1).max()) * 60
    assert float((exact - held).abs().max()) <= slope  # within one piece of the grid


def test_two_inverses_in_the_other_order_invert_a_composition():
    a, b = warps(length=2001, seed=1), warps(length=2001, seed=2)
    left, right = invert(compose(a, b)), compose(invert(b), invert(a))
    torch.testing.assert_close(left, right, rtol=0, atol=2e-3)


# ------------------------------------------------------------------ reading a series


@QUICK
@given(
    arrays(np.float64, (2, 9), elements=st.floats(-100, 100)),
    arrays(np.float64, (2, 5), elements=st.floats(0, 1)),
)
def test_resample_is_numpys_interp(x, at):
    found = resample(torch.as_tensor(x), torch.as_tensor(at)).numpy()
    for i in range(2):
        np.testing.assert_allclose(found[i], np.interp(at[i], np.linspace(0, 1, 9), x[i]), atol=1e-11)


def test_resample_along_the_identity_changes_nothing():
    x = normal(3, 64)
    torch.testing.assert_close(resample(x, ONCE64.expand(3, -1)), x, rtol=0, atol=1e-12)


def test_a_warp_and_its_inverse_give_a_smooth_series_back():
    t = torch.linspace(0, 1, 801).double()
    x = torch.sin(2 * math.pi * torch.stack([t, 2 * t]))
    gamma = warps(2, length=801)
    torch.testing.assert_close(resample(resample(x, gamma), invert(gamma)), x, rtol=0, atol=2e-3)


def test_the_warp_tells_where_to_read():
    """A peak at 0.5 that is read along t^2 comes late, at the square root of one half."""
    t = torch.linspace(0, 1, 1001).double()
    peak = torch.exp(-200 * (t - 0.5) ** 2)[None]
    late = resample(peak, (t**2)[None])
    assert float(t[late.argmax()]) == pytest.approx(math.sqrt(0.5), abs=1.1e-3)


def test_gradients_are_finite_differences():
    x, h = normal(2, 12).requires_grad_(), normal(2, 5, seed=1).requires_grad_()
    layer = MonotoneWarp(12, pieces=5)
    assert torch.autograd.gradcheck(lambda x, h: resample(x, layer(h)), (x, h), eps=1e-7, atol=1e-5)
    assert torch.autograd.gradcheck(lambda h: invert(layer(h)), (h,), eps=1e-7, atol=1e-5)


# ------------------------------------------------------------------ distances and means


def test_distance_is_the_angle_of_the_square_roots():
    a, b = warps(seed=1), warps(seed=2)
    roots = [np.sqrt(np.diff(g.numpy(), axis=1)) for g in (a, b)]
    np.testing.assert_allclose(warp_distance(a, b), np.arccos((roots[0] * roots[1]).sum(1)), atol=1e-9)
    assert (warp_distance(a, a) < 1e-12).all()
    torch.testing.assert_close(warp_distance(a, b), warp_distance(b, a))


def test_distance_does_not_change_when_both_are_read_at_other_times():
    """By a warp with corners on the grid the sampled law is nearly exact; finer grids come nearer."""
    gaps = []
    for length in (201, 3201):
        a, b, phi = (warps(length=length, seed=seed, pieces=5) for seed in (1, 2, 3))
        gaps.append(
            float((warp_distance(compose(a, phi), compose(b, phi)) - warp_distance(a, b)).abs().max())
        )
    assert gaps[1] < 2e-3
    assert gaps[1] < gaps[0] / 4


def test_karcher_mean_is_the_minimum_that_scipy_finds():
    gamma = warps(6, length=5, pieces=4, scale=1.5)

    def cost(free):
        rise = np.exp(free) / np.exp(free).sum()
        roots = np.sqrt(np.diff(gamma.numpy(), axis=1))
        return np.sum(np.arccos(np.clip(roots @ np.sqrt(rise), -1, 1)) ** 2)

    best = minimize(
        cost, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-14, "maxiter": 9000}
    )
    rise = np.exp(best.x) / np.exp(best.x).sum()
    np.testing.assert_allclose(karcher_mean(gamma).diff(), rise, atol=1e-6)


def test_mean_of_one_and_of_two():
    a, b = warps(1, seed=1), warps(1, seed=2)
    torch.testing.assert_close(karcher_mean(a), a[0], rtol=0, atol=1e-10)
    middle = karcher_mean(torch.cat([a, b]))[None]
    half = warp_distance(a, b) / 2
    torch.testing.assert_close(warp_distance(middle, a), half, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(warp_distance(middle, b), half, rtol=1e-8, atol=1e-10)


def test_the_first_step_is_already_near():
    gamma = warps(50, scale=0.7)
    first, last = karcher_mean(gamma, steps=0), karcher_mean(gamma)
    assert 0 < float(warp_distance(first[None], last[None])) < 0.05


def test_centring_makes_the_identity_the_mean_of_the_inverses():
    gamma = compose(warps(1, length=1601, seed=9, scale=1.2).expand(60, -1), warps(60, length=1601, seed=1))
    once = identity_warp(1601, like=DOUBLE)[None]
    before = float(warp_distance(karcher_mean(invert(gamma))[None], once))
    mu = centring_warp(gamma)
    after = float(warp_distance(karcher_mean(invert(compose(mu.expand(60, -1), gamma)))[None], once))
    assert before > 0.3
    assert after < 0.1 * before


# ------------------------------------------------------------------ networks


def small(kind=RateInvariantAutoencoder, length=16, seed=0, **options):
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return kind(
            length, **{"channels": 4, "kernel": 3, "dilations": (1, 2), "hidden": (8,), **options}
        ).double()


def moved(model, seed=0):
    """Weights at which warps are no longer the identity."""
    with torch.no_grad():
        last = [layer for layer in model.encoder.head if isinstance(layer, nn.Linear)][-1]
        last.weight.copy_(normal(*last.weight.shape, seed=seed, scale=0.5))
    return model


@pytest.mark.parametrize(("kernel", "dilations"), [(3, (1,)), (3, (1, 2)), (5, (1, 2, 4)), (7, (3, 1))])
def test_receptive_field_is_what_reaches_an_output(kernel, dilations):
    """Count the inputs with a gradient: one output of the last layer, in the middle."""
    length = 4 * receptive_field(kernel, dilations)
    net = TCNEncoder(length, 1, channels=3, kernel=kernel, dilations=dilations).double()
    x = normal(1, length).requires_grad_()
    y = x[:, None, :]
    for layer in net.layers:
        y = y + nn.functional.silu(layer(y))
    y[0, :, length // 2].sum().backward()
    seen = x.grad[0].nonzero()[:, 0]
    assert net.receptive_field == receptive_field(kernel, dilations)
    assert int(seen.max() - seen.min()) + 1 == net.receptive_field


def test_a_model_starts_without_a_warp():
    model, x = small(), normal(5, 16)
    torch.testing.assert_close(model.warp(x), identity_warp(16, like=DOUBLE).expand(5, -1), rtol=0, atol=1e-6)


def test_reconstruction_is_the_decoder_read_along_the_warp():
    model, x = moved(small()), normal(5, 16)
    both = model.encode(x)
    code, h = both[:, :3], both[:, 3:]
    gamma = MonotoneWarp(16, pieces=10)(h)
    assert bool(((gamma - identity_warp(16)).abs() > 0.02).any())
    torch.testing.assert_close(model.reconstruct(x), resample(model.decoder(code), gamma))
    torch.testing.assert_close(model.code(x), code)
    torch.testing.assert_close(model.warp(x), gamma, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.rate_invariant(x), model.decoder(code), rtol=0, atol=1e-6)
    torch.testing.assert_close(model.loss(x), (x - model.reconstruct(x)).square().sum(1))
    torch.testing.assert_close(model.align(x), resample(x, invert(model.warp(x))))


def test_the_code_does_not_see_the_warp_columns():
    """Moving the free numbers of the warp moves the series, and the rate-invariant sequence stays."""
    model, x = moved(small()), normal(5, 16)
    before = model.rate_invariant(x), model.reconstruct(x)
    with torch.no_grad():
        model.encoder.head[-1].bias[3:] += normal(10, seed=5)
    torch.testing.assert_close(model.rate_invariant(x), before[0])
    assert bool(((model.reconstruct(x) - before[1]).abs() > 1e-3).any())


def test_fixing_the_gauge_changes_no_series():
    model, x, other = moved(small(length=200, hidden=()), seed=1), normal(40, 200), normal(7, 200, seed=3)
    with torch.no_grad():  # smooth series, which straight lines can hold
        model.decoder[0].weight.copy_(
            torch.sin(torch.outer(math.pi * identity_warp(200), torch.arange(1, 4)))
        )
        model.decoder[0].bias.zero_()
    before = model.reconstruct(other), model.loss(other)
    model.fix_gauge(x)
    once = identity_warp(200, like=DOUBLE)[None]
    assert float(warp_distance(model.gauge[None], once)) > 0.02
    torch.testing.assert_close(model.reconstruct(other), before[0])
    torch.testing.assert_close(model.loss(other), before[1])
    smooth = (model.rate_invariant(other).detach(), model.warp(other).detach())
    assert float((resample(*smooth) - before[0]).abs().mean()) < 0.02 * float(before[0].std())
    mean = karcher_mean(invert(model.warp(x).detach()))[None]
    assert float(warp_distance(mean, once)) < 0.01


def test_the_gauge_is_that_of_the_series_that_were_given_and_is_saved():
    x, other = normal(30, 16), normal(9, 16, seed=3)
    one, two = (moved(small(seed=1), seed=1).fix_gauge(rows) for rows in (x, other))
    assert float((one.gauge - two.gauge).abs().max()) > 1e-4
    kept = one.gauge.clone()
    one.warp(other)
    one.align(other)
    assert torch.equal(one.gauge, kept)
    again = small(seed=2)
    again.load_state_dict(one.state_dict())
    assert torch.equal(again.gauge, kept)


def test_bottlenecks_and_weights_are_counted():
    model, plain = RateInvariantAutoencoder(64), TCNAutoencoder(64)
    assert model.latent_dim == plain.latent_dim == 13
    x = torch.zeros(2, 64)
    assert model.encode(x).shape == plain.encode(x).shape == (2, 13)
    counts = [sum(p.numel() for p in m.parameters()) for m in (model, plain)]
    assert counts[1] - counts[0] == 10 * 64  # the decoder sees three columns instead of thirteen


def test_training_finds_the_warps_of_one_template():
    """One class, no noise: what is left to learn is when."""
    gamma = MonotoneWarp(32, pieces=3)(normal(120, 3, scale=0.5)).float()
    x = torch.sin(2 * math.pi * gamma)
    torch.manual_seed(0)
    model = RateInvariantAutoencoder(32, code_dim=1, pieces=3, channels=8, dilations=(1, 2, 4))
    train(model, x, steps=150, batch_size=40, lr=1e-2, schedule="cosine", random_state=0, device="cpu")
    with torch.no_grad():
        assert float(model.loss(x).mean()) / 32 < 0.02
        assert warp_correlation(model.warp(x), gamma, np.zeros(120)) > 0.8


# ------------------------------------------------------------------ scores


def test_within_class_share_is_the_share_of_the_analysis_of_variance():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = rng.normal(size=(3, 8))[y] + 0.5 * rng.normal(size=(90, 8))
    between = sum(30 * np.square(x[y == k].mean(0) - x.mean(0)).sum() for k in range(3))
    assert within_class_share(x, y) == pytest.approx(1 - between / np.square(x - x.mean(0)).sum())
    assert within_class_share(x, np.zeros(90)) == pytest.approx(1)


def test_correlation_forgives_a_shift_of_each_class_and_nothing_else():
    data = warped_series(300, random_state=0)
    offset = 0.1 * np.sin(np.arange(6))[data.y][:, None] * np.sin(np.pi * np.linspace(0, 1, 64))
    assert warp_correlation(data.warps + offset, data.warps, data.y) == pytest.approx(1)
    shuffled = data.warps[np.random.default_rng(0).permutation(300)]
    assert abs(warp_correlation(shuffled, data.warps, data.y)) < 0.25
    back = invert(torch.as_tensor(data.warps)).numpy()
    assert warp_correlation(back, data.warps, data.y) < -0.8


# ------------------------------------------------------------------ bad input

GAMMA = warps()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: MonotoneWarp(1), "length: got 1"),
        (lambda: MonotoneWarp(9, pieces=0), "pieces: got 0"),
        (lambda: MonotoneWarp(9, pieces=4, least=0.25), "least: got 0.25"),
        (lambda: MonotoneWarp(9, pieces=4, least=0.0), "least: got 0.0"),
        (lambda: MonotoneWarp(9, pieces=4)(torch.zeros(2, 5)), r"h: got shape \(2, 5\)"),
        (lambda: MonotoneWarp(9, pieces=2)(torch.tensor([[0.0, math.inf]])), "h: row 0 holds NaN"),
        (lambda: identity_warp(1), "length: got 1"),
        (lambda: resample(torch.zeros(2, 1), torch.zeros(2, 3)), "x: got series of 1 values"),
        (lambda: resample(torch.zeros(5), torch.zeros(2, 3)), r"x: got shape \(5,\)"),
        (lambda: resample(torch.zeros(2, 4), torch.zeros(3, 4)), "gamma: got 3 rows"),
        (lambda: resample(torch.zeros(2, 4), torch.full((2, 4), 1.01)), "times from 1.01 to 1.01"),
        (lambda: resample(torch.zeros(2, 4), torch.full((2, 4), -0.01)), "expected times in"),
        (lambda: resample(torch.full((2, 4), math.nan), torch.zeros(2, 4)), "x: row 0 holds NaN"),
        (lambda: invert(torch.tensor([[0.1, 0.5, 1.0]])), "row 0 goes from 0.1 to 1"),
        (lambda: invert(torch.tensor([[0.0, 0.5, 0.9]])), "expected a warp"),
        (lambda: invert(torch.tensor([[0.0, 0.5, 0.5, 1.0]])), "strictly increasing"),
        (lambda: compose(GAMMA, GAMMA.flip(1)), "inner: row 0"),
        (lambda: warp_distance(GAMMA, GAMMA[:2]), "second: got shape"),
        (lambda: karcher_mean(GAMMA[:0]), "no warps"),
        (lambda: receptive_field(0, (1,)), "kernel: got 0"),
        (lambda: receptive_field(3, (1, 0)), "dilations: got 0"),
        (lambda: TCNEncoder(60, 3), "got series of 60 values, shorter than the receptive field of 61"),
        (lambda: RateInvariantAutoencoder(32), "shorter than the receptive field"),
        (lambda: TCNAutoencoder(64, kernel=4), "expected an odd number"),
        (lambda: TCNAutoencoder(64, pool=65), "pool: got 65"),
        (lambda: TCNAutoencoder(64, latent_dim=0), "latent_dim: got 0"),
        (lambda: RateInvariantAutoencoder(64, code_dim=0), "code_dim: got 0"),
        (lambda: RateInvariantAutoencoder(64, pieces=0), "pieces: got 0"),
        (lambda: small().code(normal(2, 20)), "got series of 20 values, expected 16; bring them"),
        (lambda: small().fix_gauge(normal(0, 16)), "no warps"),
        (lambda: within_class_share(np.zeros((3, 2)), [0, 1]), "x: got shape"),
        (lambda: within_class_share(np.zeros((3, 2)), [0, 1, 1]), "all series are alike"),
        (lambda: within_class_share([[np.nan, 1.0]], [0]), "hold NaN"),
        (lambda: warp_correlation(GAMMA, GAMMA, np.arange(5)), "all alike"),
        (lambda: warp_correlation(GAMMA, GAMMA[:, ::3], np.zeros(5)), "true: got shape"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_what_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match="expected a torch tensor"):
        resample(np.zeros((2, 4)), np.zeros((2, 4)))
    with pytest.raises(NotImplementedError, match=r"TCNAutoencoder has no density.*loss"):
        TCNAutoencoder(64).log_prob(torch.zeros(1, 64))
