"""Coupling flows against autograd, torch's own layers, zuko at copied weights, and laws of determinants.

The laws that all models share (mass one, samples, Jacobians, saved weights) run in test_laws.py.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn
from zuko_oracle import needs_zuko, zuko

from coursekit import check
from coursekit.base import Fitted
from coursekit.data import Logit, TwoMoons
from coursekit.flows.coupling import (
    ActNorm,
    AffineCoupling,
    Alternating,
    ConvCoupling,
    FlowBatchNorm,
    ImageFlow,
    InvertibleLinear,
    NeuralSpline,
    Permutation,
    RealNVP,
    SplineCoupling,
    WeightNormConv2d,
    WeightNormLinear,
    dequantize,
)
from coursekit.train import train

LIKELIHOOD = {"RealNVP": "exact", "NeuralSpline": "exact", "ImageFlow": "exact"}


def scrambled(module, seed=0, scale=0.3):
    """The module in float64 with random weights: what starts as the identity hides mistakes."""
    module = module.double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(scale * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return module


def rows(n, *shape, seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Flat(nn.Module):
    """A layer for images, on flat rows."""

    def __init__(self, layer, shape):
        super().__init__()
        self.layer, self.shape = layer, shape

    def forward_and_log_det(self, x):
        z, log_det = self.layer.forward_and_log_det(x.view(-1, *self.shape))
        return z.flatten(1), log_det

    def inverse(self, z):
        return self.layer.inverse(z.view(-1, *self.shape)).flatten(1)


LAYERS = {
    "affine": lambda d: AffineCoupling(d),
    "affine, flipped": lambda d: AffineCoupling(d, flip=True),
    "affine, weight norm": lambda d: AffineCoupling(d, weight_norm=True),
    "spline": lambda d: SplineCoupling(d, bins=4),
    "spline, flipped": lambda d: SplineCoupling(d, bins=4, flip=True),
    "act norm": ActNorm,
    "batch norm": FlowBatchNorm,
    "permutation": Permutation,
    "linear": InvertibleLinear,
    "checkerboard": lambda d: Flat(ConvCoupling((1, 1, d), channels=4), (1, 1, d)),
    "channels": lambda d: Flat(ConvCoupling((d, 1, 1), pattern="channel", flip=True, channels=4), (d, 1, 1)),
    "act norm of channels": lambda d: Flat(ActNorm(1), (1, 1, d)),
    "alternating": lambda d: RealNVP(d, layers=3, normalization=None),
    "alternating, even": lambda d: NeuralSpline(d, layers=2, bins=3, normalization=None),
    "whole flow": lambda d: RealNVP(d, layers=5, normalization="batch", mixing="linear"),
    "whole spline flow": lambda d: NeuralSpline(d, layers=3, mixing="permutation"),
}


@pytest.mark.parametrize("dim", [2, 3, 5])
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_is_a_bijection_with_its_determinant(name, dim):
    """Odd and even columns, and a batch of one; the Jacobian is autograd's."""
    scale = 0.1 if "spline flow" in name else 0.3  # wild splines in a row, nearly flat, lose digits honestly
    layer, x = scrambled(LAYERS[name](dim), seed=dim, scale=scale), rows(5, dim)
    for batch in (x, x[:1]):
        check.inverse_undoes_forward(layer, batch, tolerance=1e-9)
        check.log_det_matches_jacobian(layer, batch, tolerance=1e-8)
    check.one_log_det_per_sample(layer, x)


def test_the_determinant_adds_up_and_the_inverse_has_its_negative():
    flow, x = scrambled(RealNVP(3, layers=4)), rows(6, 3)
    z, log_det = flow.forward_and_log_det(x)
    step, total = x, 0.0
    for layer in flow.layers:
        step, part = layer.forward_and_log_det(step)
        total = total + part
    torch.testing.assert_close(total, log_det)
    back = [torch.autograd.functional.jacobian(lambda r: flow.inverse(r[None])[0], row) for row in z]
    torch.testing.assert_close(torch.stack([torch.linalg.slogdet(j)[1] for j in back]), -log_det)


def test_couplings_that_alternate_do_what_the_same_couplings_do_one_by_one():
    flow, x = scrambled(RealNVP(5, layers=3, normalization=None)), rows(4, 5)
    step, total = x, 0.0
    for layer in flow.layers[0].couplings:
        step, part = layer.forward_and_log_det(step)
        total = total + part
    z, log_det = flow.forward_and_log_det(x)
    torch.testing.assert_close(z, step)
    torch.testing.assert_close(log_det, total)
    with pytest.raises(ValueError, match="in turn"):
        Alternating([AffineCoupling(4), AffineCoupling(4)])


class Jagged(nn.Module):
    """Floors, signs and a look into a table: no derivative says anything about such a network."""

    def __init__(self, dim_in, dim_out):
        super().__init__()
        self.table = nn.Parameter(torch.randn(7, dim_out))

    def forward(self, x):
        return self.table[(x.sum(1) * 3).floor().long() % 7] * torch.sign(x[:, :1])


def test_any_network_will_do_even_a_jagged_one():
    """log|det| is exact where s and t have no useful derivative: the triangle does not need one."""
    layer, x = AffineCoupling(4, net=Jagged).double(), rows(50, 4)
    check.inverse_undoes_forward(layer, x, tolerance=1e-12)
    z, log_det = layer.forward_and_log_det(x)
    moved = x.clone()
    moved[:, 2:] += torch.tensor([1e-6, 2e-6])  # the moved part only: the map there is affine
    ratio = (layer.forward_and_log_det(moved)[0] - z)[:, 2:] / torch.tensor([1e-6, 2e-6])
    torch.testing.assert_close(ratio.log().sum(1), log_det, atol=1e-7, rtol=0)


def test_a_coupling_leaves_what_is_given_and_does_not_look_at_what_it_moves():
    for flip in (False, True):
        layer, x = scrambled(AffineCoupling(5, flip=flip)), rows(1, 5)
        jacobian = torch.autograd.functional.jacobian(lambda r, f=layer: f.forward_and_log_det(r)[0], x)
        jacobian = jacobian[0, :, 0]
        given, moved = ([2, 3, 4], [0, 1]) if flip else ([0, 1], [2, 3, 4])
        assert torch.equal(jacobian[given][:, given], torch.eye(len(given), dtype=torch.float64))
        assert (jacobian[given][:, moved] == 0).all()
        block = jacobian[moved][:, moved]
        assert torch.equal(block, torch.diag(block.diagonal()))
        assert (jacobian[moved][:, given] != 0).all()


def test_two_couplings_move_every_column_and_masks_cover_every_pixel():
    x = rows(3, 5)
    z, _ = scrambled(RealNVP(5, layers=2, normalization=None)).forward_and_log_det(x)
    assert (z != x).all()
    masks = [ConvCoupling((3, 4, 4), flip=flip).mask for flip in (False, True)]
    assert torch.equal(masks[0] + masks[1], torch.ones(3, 4, 4))
    assert torch.equal(masks[0][0, :2, :2], torch.eye(2))
    assert ConvCoupling((4, 2, 2), pattern="channel").mask.sum(dim=(1, 2)).tolist() == [4, 4, 0, 0]


def test_a_new_flow_changes_nothing_but_location_and_scale():
    x = rows(200, 3) * 5 + 2
    flow = RealNVP(3, layers=4).double().train()
    z, _ = flow.forward_and_log_det(x)  # the first batch sets the normalization
    torch.testing.assert_close(z, (x - x.mean(0)) / x.std(0, correction=0))


# ------------------------------------------------------------------------------------ normalization


def test_batch_norm_agrees_with_torch_in_training_and_in_evaluation():
    ours, theirs = FlowBatchNorm(3).double(), nn.BatchNorm1d(3).double()
    for k in range(4):
        x = 2 * rows(8, 3, seed=k) + 1
        torch.testing.assert_close(ours.forward_and_log_det(x)[0], theirs(x))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    ours.eval()
    theirs.eval()
    torch.testing.assert_close(ours.forward_and_log_det(x)[0], theirs(x))
    images, norm = rows(6, 3, 2, 4), FlowBatchNorm(3).double()
    torch.testing.assert_close(norm.forward_and_log_det(images)[0], nn.BatchNorm2d(3).double()(images))


def test_batch_norm_starts_as_the_identity_and_counts_its_determinant():
    norm = FlowBatchNorm(4, eps=0.0).double().eval()
    z, log_det = norm.forward_and_log_det(rows(3, 4))
    assert torch.equal(z, rows(3, 4))  # the running variance starts at one, not at zero
    assert (log_det == 0).all()
    norm.train()
    x = 3 * rows(50, 4)
    _, log_det = norm.forward_and_log_det(x)
    torch.testing.assert_close(log_det[0], -0.5 * x.var(0, correction=0).log().sum())


def test_a_row_in_evaluation_does_not_see_its_batch_and_one_row_can_train():
    flow = RealNVP(2, layers=2, normalization="batch").double()
    flow.train()
    assert torch.isfinite(flow.loss(rows(1, 2))).all()  # the last batch of an epoch may have one row
    flow.loss(rows(30, 2) * 4)
    flow.eval()
    alone, together = (
        flow.log_prob(rows(1, 2)),
        flow.log_prob(torch.cat([rows(1, 2), 100 * rows(9, 2, seed=1)])),
    )
    torch.testing.assert_close(alone[0], together[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dim", [3, (2, 3, 5)])
def test_act_norm_takes_its_start_from_the_first_batch_only(dim):
    shape = (dim,) if isinstance(dim, int) else dim
    norm, x = ActNorm(shape[0]).double(), 7 + 4 * rows(40, *shape)
    norm.eval()
    assert torch.equal(norm.forward_and_log_det(x)[0], x)  # nothing is learned in evaluation
    norm.train()
    z, _ = norm.forward_and_log_det(x)
    axes = [0, *range(2, x.ndim)]
    assert z.mean(axes).abs().max() < 1e-12
    torch.testing.assert_close(z.var(axes, correction=0), torch.ones(shape[0], dtype=torch.float64))
    before = norm.center.clone()
    norm.forward_and_log_det(x + 100)
    assert torch.equal(before, norm.center)


def test_weight_norm_has_torchs_function_and_its_rows_have_the_length_of_the_gain():
    torch.manual_seed(0)
    for ours, plain, x in (
        (WeightNormLinear(3, 4), nn.Linear(3, 4), torch.randn(5, 3)),
        (WeightNormConv2d(2, 4, 3), nn.Conv2d(2, 4, 3, padding=1), torch.randn(5, 2, 6, 6)),
    ):
        plain.load_state_dict({k: v for k, v in ours.state_dict().items() if k != "gain"})
        torch.testing.assert_close(ours(x), plain(x))  # at the start
        theirs = nn.utils.parametrizations.weight_norm(plain, dim=0)
        with torch.no_grad():
            ours.gain.mul_(2.5)
            theirs.parametrizations.weight.original0.mul_(2.5)
        torch.testing.assert_close(ours(x), theirs(x))


# ------------------------------------------------------------------------------------ images


@pytest.mark.parametrize(
    ("dim", "shape", "scales"), [(16, None, 2), (64, None, 3), (24, (3, 2, 4), 2), (4, None, 1)]
)
def test_image_flows_of_several_scales(dim, shape, scales):
    flow = scrambled(ImageFlow(dim, shape=shape, scales=scales, channels=4), scale=0.4)
    x = rows(3, dim)
    check.inverse_undoes_forward(flow, x, tolerance=1e-8)
    check.log_det_matches_jacobian(flow, x[:2], tolerance=1e-7)


def test_an_image_flow_learns_its_pixels():
    """4 x 4 images whose pixels share one value, with noise: likelihood beats independent pixels."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(600, 1, generator=generator) * torch.ones(1, 16)
    x = base + 0.3 * torch.randn(600, 16, generator=generator)
    torch.manual_seed(0)
    flow = ImageFlow(16, channels=8, couplings=2)
    train(flow, x[:500], epochs=12, lr=5e-3, random_state=0, device="cpu")
    normal = torch.distributions.Normal(x[:500].mean(0), x[:500].std(0))
    assert flow.log_prob(x[500:]).mean() > normal.log_prob(x[500:]).sum(1).mean() + 3


def test_dequantization_bounds_the_probability_of_a_cell():
    """Against a density whose cells have a mass in closed form: less on average (Jensen), but not much."""
    counts = torch.tensor([[0.0, 16.0, 7.0]], dtype=torch.float64).expand(4000, 3)
    x, log_det = dequantize(counts, 17, generator=torch.Generator().manual_seed(0))
    assert ((x * 17).floor() == counts).all()
    assert (x < 1).all()
    assert log_det[0].item() == pytest.approx(-3 * math.log(17))
    log_p = (2 * x).log().sum(1)  # density 2x on each axis; the mass of a cell is ((c + 1)^2 - c^2) / 17^2
    bound = (log_p + log_det).mean().item()
    mass = np.log((2 * counts[0].numpy() + 1) / 17**2).sum()
    assert mass - 1.0 < bound < mass
    with pytest.raises(ValueError, match="whole numbers from 0 to 16"):
        dequantize(counts + 0.5, 17)


def test_values_outside_the_cube_are_refused_by_the_logit():
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        Logit().forward_and_log_det([[0.5, 1.2]])


# ------------------------------------------------------------------------------------ as models


def test_a_fit_comes_near_the_truth_and_splines_come_nearer():
    law = TwoMoons()
    X, held_out = law.sample(1500, random_state=0), law.sample(1500, random_state=1)
    gap = {}
    for cls in (RealNVP, NeuralSpline):
        model = Fitted(cls, layers=4, hidden=(32, 32), epochs=15, lr=5e-3, device="cpu", random_state=0).fit(
            X
        )
        gap[cls] = float(np.mean(law.log_prob(held_out)) - model.score(held_out))
    assert 0 < gap[NeuralSpline] < gap[RealNVP] < 1.0


ZUKO = """
import numpy as np
import torch
from coursekit.flows.coupling import RealNVP, NeuralSpline
import zuko
from zuko.transforms import CouplingTransform, MonotonicAffineTransform, MonotonicRQSTransform


def main():
    gaps = []
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    for dim in (2, 5):
        x = 1.5 * torch.randn(64, dim)
        for cls in (RealNVP, NeuralSpline):
            ours = cls(dim, layers=4, hidden=(16, 16), normalization=None).eval()
            with torch.no_grad():
                for p in ours.parameters():
                    p.copy_(0.3 * torch.randn_like(p))
            parts = []
            for layer in ours.layers[0].couplings:
                given, moved = layer.sizes
                mask = torch.arange(dim) < given  # true: given
                if layer.flip:
                    mask = ~mask

                def meta(a, layer=layer):
                    free = layer.net(a)
                    if cls is RealNVP:
                        shift, log_scale = free.chunk(2, -1)
                        log_scale = layer.largest * torch.tanh(log_scale / layer.largest)
                        affine = MonotonicAffineTransform(shift, log_scale)
                        affine.log_scale, affine.scale = log_scale, log_scale.exp()  # ours, not bounded anew
                        return zuko.transforms.DependentTransform(affine, 1)
                    # our knots and slopes by numpy, handed to zuko's spline as they are
                    w, h, s = free.view(len(a), -1, 23).split([8, 8, 7], -1)
                    spline = MonotonicRQSTransform(w, h, s, bound=3.0)
                    for name, part in (("horizontal", w), ("vertical", h)):
                        e = np.exp(part.detach().numpy())
                        share = 1e-3 + (1 - 8e-3) * e / e.sum(-1, keepdims=True)
                        knots = np.concatenate([0 * share[..., :1], share.cumsum(-1)], -1) * 6 - 3
                        setattr(spline, name, torch.tensor(knots))
                    inner = 1e-3 + np.log1p(np.exp(s.detach().numpy() + np.log(np.expm1(1 - 1e-3))))
                    spline.derivatives = torch.nn.functional.pad(torch.tensor(inner), (1, 1), value=1.0)
                    return zuko.transforms.DependentTransform(spline, 1)

                parts.append(CouplingTransform(meta, mask))
            normal = torch.distributions.Normal(torch.zeros(dim), torch.ones(dim))
            base = torch.distributions.Independent(normal, 1)
            theirs = zuko.distributions.NormalizingFlow(zuko.transforms.ComposedTransform(*parts), base)
            with torch.no_grad():
                gap = (theirs.log_prob(x) - ours.log_prob(x)).abs().max().item()
                z = torch.randn(64, dim)
                back = (theirs.transform.inv(z) - ours.inverse(z)).abs().max().item()
            gaps += [gap, back]
    return gaps
"""


@needs_zuko
def test_zuko_gives_the_same_densities_and_inverses_at_copied_weights():
    """Affine and spline flows, in two and five columns: largest gaps of log-density and of the inverse."""
    gaps = zuko(ZUKO)
    assert len(gaps) == 8
    assert max(gaps) < 1e-6


# ------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RealNVP(2, layers=0), "layers: got 0"),
        (lambda: NeuralSpline(2, layers=0), "layers: got 0"),
        (lambda: RealNVP(1), "dim: got 1, expected at least 2"),
        (lambda: NeuralSpline(1), "dim: got 1, expected at least 2"),
        (lambda: NeuralSpline(2, bins=1), "bins: got 1"),
        (lambda: RealNVP(2, normalization="layer"), "normalization: got 'layer'"),
        (lambda: RealNVP(2, mixing="twist"), "mixing: got 'twist'"),
        (lambda: ImageFlow(10), "expected dim=10; give shape="),
        (lambda: ImageFlow(9), "can be halved between scales"),
        (lambda: ConvCoupling((1, 4, 4), pattern="channel"), "leaves nothing"),
        (lambda: ConvCoupling((1, 4, 4), pattern="stripes"), "'checkerboard' or 'channel'"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_double_data_in_a_single_precision_flow_are_refused():
    flow = RealNVP(2)
    for method in (flow.log_prob, flow.forward_and_log_det, flow.inverse):
        with pytest.raises(TypeError, match=r"got torch.float64, expected torch.float32, as the module has"):
            method(torch.zeros(3, 2, dtype=torch.float64))
