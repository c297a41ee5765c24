"""Building blocks of the neural topics: shapes, and errors that say what to do."""

import numpy as np
import pytest
import torch
from torch import nn

from coursekit.nn import Flow, MaskedLinear, check_count, check_rows, mlp, rq_spline


def test_an_mlp_is_the_composition_of_its_layers():
    """Against the matrix products written out in numpy."""
    net = mlp(3, 2, hidden=(5, 4), activation=nn.Tanh).double()
    x = torch.tensor(np.random.default_rng(0).standard_normal((7, 3)))
    (a, p), (b, q), (c, r) = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in net[::2]
    ]
    by_hand = np.tanh(np.tanh(x.numpy() @ a.T + p) @ b.T + q) @ c.T + r
    np.testing.assert_allclose(net(x).detach().numpy(), by_hand, atol=1e-14)


def test_no_hidden_layer_is_an_affine_map():
    assert [type(layer) for layer in mlp(3, 2, hidden=())] == [nn.Linear]


def test_counts_are_whole_numbers_that_are_large_enough():
    assert check_count("layers", np.int64(3), 3) == 3
    assert type(check_count("layers", np.int64(3))) is int
    for bad in (0, True, 2.0, "2", None):
        with pytest.raises(ValueError, match=r"layers: got .*, expected a whole number of at least 1"):
            check_count("layers", bad)
    with pytest.raises(ValueError, match="got 2, expected a whole number of at least 3"):
        check_count("layers", 2, 3)


@pytest.mark.parametrize("widths", [(0, 2, (4,)), (2, 0, (4,)), (2, 2, (0,)), (2, 2, (1.5,))])
def test_widths_are_checked(widths):
    with pytest.raises(ValueError, match="expected whole numbers of at least 1"):
        mlp(widths[0], widths[1], hidden=widths[2])


def test_good_rows_come_back_as_they_are():
    x = torch.zeros(4, 2)
    assert check_rows(x, 2, like=torch.zeros(1)) is x


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 2)), TypeError, "got ndarray, expected a torch tensor"),
        (torch.zeros(2), ValueError, r"got shape \(2,\), expected \(n, 2\)"),
        (torch.zeros(2, 3), ValueError, r"got shape \(2, 3\)"),
        (torch.zeros(2, 2, dtype=torch.int64), TypeError, "got torch.int64"),
        (torch.zeros(2, 2, dtype=torch.float64), TypeError, "expected torch.float32, as the module has"),
        (torch.tensor([[0.0, 0.0], [torch.nan, 1.0]]), ValueError, "row 1 holds NaN"),
        (torch.tensor([[torch.inf, 0.0]]), ValueError, "row 0 holds NaN or infinity"),
    ],
)
def test_bad_rows_are_refused(x, error, message):
    with pytest.raises(error, match=message):
        check_rows(x, 2, like=torch.zeros(1), name="query")


def spline_parameters(rows=400, bins=6, scale=2.0, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(rows, bins), (rows, bins), (rows, bins - 1)]
    return [torch.tensor(scale * rng.standard_normal(shape), requires_grad=True) for shape in shapes]


def test_a_spline_and_its_inverse_undo_each_other_and_so_do_their_slopes():
    parts = spline_parameters()
    x = torch.linspace(-4, 4, 400, dtype=torch.float64)
    y, log_slope = rq_spline(x, *parts)
    back, minus = rq_spline(y, *parts, inverse=True)
    assert (back - x).abs().max() < 1e-9
    assert (log_slope + minus).abs().max() < 1e-8


@pytest.mark.parametrize("inverse", [False, True])
def test_the_slope_of_a_spline_is_its_derivative(inverse):
    """Against autograd and, so that a shared mistake shows, against differences."""
    parts = spline_parameters(seed=1)
    x = torch.linspace(-3.5, 3.5, 400, dtype=torch.float64, requires_grad=True)
    y, log_slope = rq_spline(x, *parts, inverse=inverse)
    (derivative,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(log_slope, derivative.log(), atol=1e-9, rtol=0)
    low, high = (rq_spline(x + e, *parts, inverse=inverse)[0] for e in (-1e-7, 1e-7))
    assert ((high - low) / 2e-7 / derivative - 1).abs().median() < 1e-5
    assert (derivative > 0).all()


def test_a_spline_passes_through_its_knots_and_fills_its_square():
    """One spline at many points: monotone, continuous, from corner to corner, the identity outside."""
    parts = [part[:1].expand(20001, -1) for part in spline_parameters(seed=2)]
    x = torch.linspace(-3, 3, 20001, dtype=torch.float64)
    y, _ = rq_spline(x, *parts)
    assert (y.diff() > 0).all()
    assert y[0] == -3
    assert y[-1] == 3
    widths = 1e-3 + (1 - 6e-3) * np.exp(w := parts[0][0].detach().numpy()) / np.exp(w).sum()
    heights = 1e-3 + (1 - 6e-3) * np.exp(h := parts[1][0].detach().numpy()) / np.exp(h).sum()
    knots = torch.tensor(6 * np.cumsum(widths)[:-1] - 3)
    at_knots, _ = rq_spline(knots, *[part[:5] for part in parts])
    np.testing.assert_allclose(at_knots.detach().numpy(), 6 * np.cumsum(heights)[:-1] - 3, atol=1e-12)


def test_far_inputs_pass_a_spline_unchanged_and_leave_gradients_finite():
    parts = spline_parameters(rows=4)
    x = torch.tensor([1e300, -1e30, 3.0, -3.0], dtype=torch.float64, requires_grad=True)
    y, log_slope = rq_spline(x, *parts)
    assert (y == x).all()
    assert (log_slope == 0).all()
    (y + log_slope).sum().backward()
    assert all(torch.isfinite(t.grad).all() for t in [x, *parts])


def test_free_parameters_of_a_spline_may_be_extreme():
    parts = [part.detach() * 1e4 for part in spline_parameters(seed=3)]
    x = torch.linspace(-2.9, 2.9, 400, dtype=torch.float64)
    y, log_slope = rq_spline(x, *parts)
    assert torch.isfinite(y).all()
    assert torch.isfinite(log_slope).all()


def test_bad_arguments_of_a_spline_are_refused():
    widths, heights, slopes = spline_parameters(rows=2)
    with pytest.raises(ValueError, match=r"expected \(..., K\), \(..., K\) and \(..., K - 1\)"):
        rq_spline(torch.zeros(2, dtype=torch.float64), widths, heights, widths)
    with pytest.raises(ValueError, match="bound"):
        rq_spline(torch.zeros(2, dtype=torch.float64), widths, heights, slopes, bound=0.0)


class Affine(nn.Module):
    """x -> a x + b."""

    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))

    def forward_and_log_det(self, x):
        return self.a * x + self.b, (self.a.abs().log() * x.shape[1]).expand(len(x))

    def inverse(self, z):
        return (z - self.b) / self.a


def test_a_flow_of_affine_maps_is_a_normal_law():
    """2 (-3 x + 1) - 4 is standard normal, so x has mean -1/3 and standard deviation 1/6."""
    flow = Flow(3, [Affine(-3.0, 1.0), Affine(2.0, -4.0)]).double()
    x = torch.tensor(np.random.default_rng(0).standard_normal((5, 3)))
    normal = torch.distributions.Normal(x.new_tensor(-1 / 3), x.new_tensor(1 / 6))
    torch.testing.assert_close(flow.log_prob(x), normal.log_prob(x).sum(1), atol=1e-9, rtol=0)
    torch.testing.assert_close(flow.loss(x), -flow.log_prob(x))
    z, _ = flow.forward_and_log_det(x)
    torch.testing.assert_close(flow.inverse(z), x)
    draws = flow.sample(4, generator=torch.Generator().manual_seed(0))
    assert draws.shape == (4, 3)
    assert draws.dtype == torch.float64
    assert not draws.requires_grad


def test_bad_flows_are_refused():
    with pytest.raises(ValueError, match="layers: got 0"):
        Flow(2, [])
    with pytest.raises(ValueError, match="dim: got 0"):
        Flow(0, [Affine(1.0, 0.0)])
    with pytest.raises(TypeError, match=r"got torch.float64, expected torch.float32"):
        Flow(2, [Affine(1.0, 0.0)]).log_prob(torch.zeros(2, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match="z: row 0 holds NaN"):
        Flow(1, [Affine(1.0, 0.0)]).inverse(torch.tensor([[torch.nan]]))


def test_a_masked_layer_is_the_product_with_the_masked_matrix_and_its_gradient_is_masked_too():
    mask = torch.tensor([[True, False, True], [False, False, True]])
    layer = MaskedLinear(mask).double()
    x = torch.tensor(np.random.default_rng(0).standard_normal((5, 3)))
    by_hand = x.numpy() @ (mask.numpy() * layer.weight.detach().numpy()).T + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), by_hand, atol=1e-14)
    layer(x).square().sum().backward()
    assert torch.equal(layer.weight.grad != 0, mask)
    assert "mask" in layer.state_dict()
    assert MaskedLinear(mask, bias=False).bias is None
    with pytest.raises(ValueError, match=r"mask: got shape \(3,\), expected \(dim_out, dim_in\)"):
        MaskedLinear(torch.ones(3))
