"""Planar and radial flows against autograd, quadrature and scipy's root finder."""

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from coursekit import check
from coursekit.base import Fitted
from coursekit.data import Rings
from coursekit.flows.planar import (
    PlanarFlow,
    PlanarLayer,
    RadialFlow,
    RadialLayer,
    invertible_direction,
    planar,
    transport,
)

LIKELIHOOD = {"PlanarFlow": "exact", "RadialFlow": "exact"}


def scrambled(cls, dim, seed=0, scale=1.5, **options):
    torch.manual_seed(seed)
    module = cls(dim, **options).double()
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(scale * torch.randn(weight.shape, dtype=weight.dtype))
    return module


def rows(n, dim, seed=0):
    return 2 * torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize("cls", [PlanarLayer, RadialLayer])
def test_layers_are_bijections_with_their_determinant(cls, dim):
    for seed in range(4):
        layer, x = scrambled(cls, dim, seed), rows(20, dim, seed)
        check.inverse_undoes_forward(layer, x, tolerance=1e-8)
        check.log_det_matches_jacobian(layer, x[:5], tolerance=1e-8)
        check.inverse_undoes_forward(layer, x[:1], tolerance=1e-8)


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_the_constraint_holds_for_every_u_and_does_not_overflow(dim):
    for scale in (1e-6, 1.0, 30.0, 1e4):
        w, u = rows(200, dim), scale * rows(200, dim, 1)
        inner = (w * invertible_direction(u, w)).sum(1)
        assert torch.isfinite(inner).all()
        assert (inner >= -1 - 1e-9 * scale).all()
        free = (w * u).sum(1)
        expected = np.logaddexp(0, free.numpy()) - 1  # along w: -1 + softplus
        np.testing.assert_allclose(inner.numpy(), expected, rtol=1e-7, atol=1e-9 * scale)
        across = u - invertible_direction(u, w)
        residue = across - (across * w).sum(1, keepdim=True) * w / w.square().sum(1, keepdim=True)
        assert residue.abs().max() < 1e-9 * max(1, scale)  # nothing changes across w


def test_without_the_constraint_the_map_folds():
    """w.u = -2: not monotone along w, and the formula's determinant reaches -1."""
    alpha = torch.linspace(-3, 3, 601, dtype=torch.float64)
    assert (alpha - 2 * torch.tanh(alpha)).diff().min() < 0
    assert (1 - 2 * (1 - torch.tanh(alpha) ** 2)).min() == pytest.approx(-1)
    w, u = torch.tensor([1.0, 0.0]).double(), torch.tensor([-2.0, 0.5]).double()
    z = torch.stack([alpha, 0 * alpha], 1)
    image, log_det = planar(z, w, u, torch.zeros((), dtype=torch.float64))
    assert (image[:, 0].diff() > 0).all()
    assert torch.isfinite(log_det).all()


def test_one_row_of_parameters_per_point_is_the_loop_over_points():
    z, w, u, b = rows(6, 3), rows(6, 3, 1), rows(6, 3, 2), rows(6, 1, 3)[:, 0]
    together = planar(z, w, u, b)
    for i in range(6):
        image, log_det = planar(z[i : i + 1], w[i], u[i], b[i])
        torch.testing.assert_close(image[0], together[0][i])
        torch.testing.assert_close(log_det[0], together[1][i])


def test_the_root_is_scipys_root_near_the_edge_of_the_constraint():
    layer = PlanarLayer(1).double()
    with torch.no_grad():
        layer.w.fill_(3.0)
        layer.u.fill_(-6.0)  # w.u = -18: the slope falls to 1.5e-8 in the middle
        layer.b.fill_(0.4)
    z = torch.linspace(-4, 4, 41, dtype=torch.float64)[:, None]
    x = layer.inverse(z)
    u = invertible_direction(layer.u, layer.w).item()
    slope = 3 * u
    roots = [
        optimize.brentq(lambda t, v=v: t + u * np.tanh(3 * t + 0.4) - v, -10, 10, xtol=1e-14)
        for v in z[:, 0].tolist()
    ]
    assert -1 < slope < -1 + 1e-7
    gap = np.abs(x[:, 0].numpy() - roots)
    assert gap[np.abs(np.array(roots) + 0.4 / 3) > 0.05].max() < 1e-9
    back, _ = layer.forward_and_log_det(x)
    torch.testing.assert_close(back, z, atol=1e-10, rtol=0)


def test_base_density_at_the_start_of_the_path_integrates_to_one_and_at_its_end_does_not():
    """Random layers with strong bends: the quadrature of both formulas, on z0 by change of variables."""
    flow = scrambled(PlanarFlow, 2, seed=1, scale=2.0, layers=4)
    side = torch.linspace(-8, 8, 801, dtype=torch.float64)
    z0 = torch.cartesian_prod(side, side)
    z, log_det = transport(flow.layers, z0)
    cell = float(side[1] - side[0]) ** 2
    normal = stats.multivariate_normal(np.zeros(2))
    log_det = log_det.detach().numpy()
    # an integral over z_K is one over z_0 with the determinant as weight
    mass = {
        k: np.sum(np.exp(normal.logpdf(at) - log_det + log_det)) * cell
        for k, at in (("start", z0.numpy()), ("end", z.detach().numpy()))
    }
    assert mass["start"] == pytest.approx(1, abs=1e-6)
    assert abs(mass["end"] - 1) > 0.1


def test_transport_agrees_with_the_density_of_its_draws():
    """log q(z_K) = log q0(z0) - log det, against the density found through the inverse map."""
    flow = scrambled(PlanarFlow, 2, seed=3, scale=1.0, layers=5)
    z0 = rows(50, 2)
    z, log_det = transport(flow.layers, z0)
    back = flow.inverse(z)
    jacobians = [
        torch.autograd.functional.jacobian(lambda r: transport(flow.layers, r[None])[0][0], r) for r in back
    ]
    expected = [np.linalg.slogdet(j.numpy())[1] for j in jacobians]
    torch.testing.assert_close(back, z0, atol=1e-7, rtol=0)
    np.testing.assert_allclose(log_det.detach().numpy(), expected, atol=1e-6)


def test_the_radius_of_a_radial_map_has_a_closed_inverse():
    layer = scrambled(RadialLayer, 2, seed=5)
    alpha, beta = (s.item() for s in layer._strengths())
    assert alpha > 0
    assert beta > -alpha
    for far in (1e-8, 1.0, 1e8):
        z = layer.center + far * torch.tensor([[0.6, -0.8]], dtype=torch.float64)
        r = optimize.brentq(
            lambda t, f=far: t + beta * t / (alpha + t) - f, 0, 4 * far + 2 * abs(beta) + 1, xtol=1e-16
        )
        away = (layer.inverse(z) - layer.center).norm().item()
        assert away == pytest.approx(r, rel=1e-6)


def test_deep_flows_learn_a_ring_that_one_layer_cannot():
    law = Rings(radii=(1.5,), noise=0.25)
    X, held_out = law.sample(1200, random_state=0), law.sample(1200, random_state=1)
    score = {}
    for layers in (1, 12):
        model = Fitted(PlanarFlow, layers=layers, epochs=40, lr=1e-2, device="cpu", random_state=0).fit(X)
        score[layers] = model.score(held_out)
    assert score[12] > score[1] + 0.1
    assert score[12] < law.log_prob(held_out).mean()


@pytest.mark.parametrize("cls", [PlanarFlow, RadialFlow])
def test_flows_without_layers_are_refused(cls):
    with pytest.raises(ValueError, match="layers: got 0"):
        cls(2, layers=0)
