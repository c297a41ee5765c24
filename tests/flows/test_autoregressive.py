"""Autoregressive models against enumeration, autograd, closed forms, another implementation and zuko.

Statistical tests: the chi-square test of the sampler fails a right model with
probability 1e-6; seeds are fixed.
"""

import itertools
import re

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from zuko_oracle import needs_zuko, zuko

from coursekit import check
from coursekit.data import SwissRoll, digits
from coursekit.density.discrete import LogisticAutoregression
from coursekit.flows.autoregressive import (
    MADE,
    InverseAutoregressiveFlow,
    MaskedAffine,
    MaskedAutoregressiveFlow,
    MaskedConv2d,
    MaskedMLP,
    PixelCNN,
)
from coursekit.train import train

LIKELIHOOD = {
    "MADE": "exact",
    "PixelCNN": "exact",
    "MaskedAutoregressiveFlow": "exact",
    "InverseAutoregressiveFlow": "exact",
}
BITS = [MADE, PixelCNN]
FLOWS = [MaskedAutoregressiveFlow, InverseAutoregressiveFlow]


def wild(make, *args, seed=0, scale=1.5, **options):
    """A model in double precision with large random weights: nothing is near zero by accident."""
    model = make(*args, **options).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            fan = max(weight[0].numel() if weight.ndim > 1 else 1, 1) ** 0.5
            weight.copy_(scale * torch.randn(weight.shape, generator=generator, dtype=weight.dtype) / fan)
    return model


def normal(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape))


def states(dim):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=dim)), dtype=torch.float64)


def orders(dim):
    rng = np.random.default_rng(dim)
    return [None, list(range(dim))[::-1], rng.permutation(dim).tolist(), rng.permutation(dim).tolist()]


# ------------------------------------------------------------------ the mask is a law about gradients


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("hidden", [(), (3,), (7, 40, 11)])
@pytest.mark.parametrize("dim", [1, 2, 5, 8])
def test_masked_networks_are_causal_in_every_order(dim, hidden, direct):
    for order in orders(dim):
        net = wild(MaskedMLP, dim, 3, hidden=hidden, order=order, direct=direct, activation=nn.Tanh)
        law = check.is_causal(net, normal(4, dim), order)
        assert law.value == 0.0


@pytest.mark.parametrize(("hidden", "direct"), [((), False), ((16,), False), ((16, 9), True)])
def test_masked_networks_use_everything_that_they_may_see(hidden, direct):
    """Forbidding too much is a mistake too: each output depends on all of the inputs before it."""
    dim, order = 6, [3, 0, 5, 1, 4, 2]
    net = wild(MaskedMLP, dim, hidden=hidden, order=order, direct=direct, activation=nn.Tanh)
    x = normal(5, dim)
    slopes = torch.autograd.functional.jacobian(lambda rows: net(rows).sum(dim=0)[:, 0], x)  # (d, n, d)
    seen = slopes.abs().amax(dim=1)[order][:, order] > 0
    assert torch.equal(seen, torch.ones(dim, dim).tril(-1).bool())


def test_a_context_reaches_every_output_and_opens_no_way_back():
    net = wild(MaskedMLP, 4, 2, hidden=(9, 9), order=[2, 0, 3, 1], context_dim=3, activation=nn.Tanh)
    x, context = normal(5, 4), normal(5, 3, seed=1)
    check.is_causal(lambda rows: net(rows, context), x, [2, 0, 3, 1])
    slopes = torch.autograd.functional.jacobian(lambda c: net(x, c).sum(dim=0), context)  # (d, 2, n, 3)
    assert (slopes.abs().amax(dim=2) > 0).all()
    # ... and not only through an affine map: the first column's slope changes with the context.
    assert slopes[2, 0].std(dim=0).min() > 1e-6


def test_the_law_sees_a_mask_that_is_off_by_one_and_a_wrong_order():
    net = wild(MaskedMLP, 5, hidden=(16,), activation=nn.Tanh)
    x = normal(4, 5)
    with pytest.raises(check.LawBroken, match="which comes later"):
        check.is_causal(net, x, [4, 3, 2, 1, 0])
    net.layers[-1].mask = torch.arange(1, 6)[:, None] >= (1 + torch.arange(16) * 4 // 16)
    with pytest.raises(check.LawBroken, match="itself"):
        check.is_causal(net, x)
    with pytest.raises(ValueError, match="permutation of the 5 columns"):
        check.is_causal(net, x, [0, 1, 2, 3, 3])
    with pytest.raises(check.LawBroken, match="returned shape"):
        check.is_causal(lambda rows: rows.sum(dim=1), x)
    with pytest.raises(check.LawBroken):  # NaN is no derivative
        check.is_causal(lambda rows: torch.sqrt(rows - 100), x)


@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_pixelcnn_is_causal_row_by_row(side):
    model = wild(PixelCNN, side**2, channels=6, blocks=2, kernel_size=5)
    for block in [*model.blocks, model.last]:  # a smooth activation, so that no unit is silent
        for i, layer in enumerate(block):
            if isinstance(layer, nn.ReLU):
                block[i] = nn.Tanh()
    check.is_causal(model.logits, normal(3, side**2))


def test_masked_convolution_against_the_sum_written_out():
    for kind in "AB":
        layer = wild(MaskedConv2d, kind, 2, 3, 5)
        x = normal(1, 2, 6, 6)
        out, (row, column) = layer(x)[0], (3, 4)
        by_hand = layer.bias.clone()
        for dy, dx in itertools.product(range(-2, 3), repeat=2):
            earlier = dy < 0 or (dy == 0 and dx < 0) or (kind == "B" and dy == dx == 0)
            if earlier and 0 <= row + dy < 6 and 0 <= column + dx < 6:
                by_hand = by_hand + layer.weight[:, :, dy + 2, dx + 2] @ x[0, :, row + dy, column + dx]
        torch.testing.assert_close(out[:, row, column], by_hand, atol=1e-12, rtol=0)


def test_the_blind_spot_is_where_the_chapter_says():
    """Pixels up and to the right of the 45-degree line, beyond the first kernel's reach, are never seen."""
    model = wild(PixelCNN, 15**2, channels=6, blocks=8, kernel_size=3)
    x = normal(1, 15**2).requires_grad_()
    (slope,) = torch.autograd.grad(model.logits(x)[0, 12 * 15 + 4], x)
    seen = (slope[0].reshape(15, 15) != 0).numpy()
    for up, right in itertools.product(range(1, 9), range(11)):
        assert seen[12 - up, 4 + right] == (right <= up), (up, right)


# ------------------------------------------------------------------ bits


@pytest.mark.parametrize("dim", [1, 3, 12])
def test_made_sums_to_one_in_every_order(dim):
    for order in orders(dim):
        model = wild(MADE, dim, hidden=(20, 15), order=order, scale=3.0)
        check.sums_to_one(model, states(dim).numpy(), tolerance=1e-8)


def test_pixelcnn_sums_to_one():
    for dim in (1, 4, 9):
        check.sums_to_one(
            wild(PixelCNN, dim, channels=6, blocks=2, scale=3.0), states(dim).numpy(), tolerance=1e-8
        )


@pytest.mark.parametrize("kind", BITS)
def test_log_probability_is_the_chain_rule_bit_by_bit(kind):
    """Each conditional from a row in which everything later is replaced by rubbish."""
    model, x = wild(kind, 9), states(9)[[5, 77, 300, 511]]
    total = torch.zeros(4, dtype=torch.float64)
    for place, i in enumerate(model.order.tolist()):
        rubbish = x.clone()
        rubbish[:, model.order[place:]] = 1 - rubbish[:, model.order[place:]]
        bernoulli = torch.distributions.Bernoulli(logits=model.logits(rubbish)[:, i])
        total += bernoulli.log_prob(x[:, i])
    torch.testing.assert_close(model.log_prob(x), total, atol=1e-12, rtol=0)


def test_made_without_hidden_layers_is_logistic_autoregression():
    X = digits("thresholded").train.X[:200, 20:32]
    logistic = LogisticAutoregression().fit(X)
    model = MADE(12, hidden=()).double()
    with torch.no_grad():
        model.net.layers[0].weight.copy_(torch.tensor(logistic.weights_))
        model.net.layers[0].bias.copy_(torch.tensor(logistic.intercepts_))
    log_p = model.log_prob(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(log_p, logistic.log_prob(X), atol=1e-12)


@pytest.mark.parametrize("kind", BITS)
def test_sampler_by_chi_square(kind):
    """Counts of all 512 states, rare ones pooled; false-fail rate 1e-6."""
    options = {"order": [4, 0, 8, 2, 6, 1, 3, 7, 5]} if kind is MADE else {"channels": 6}
    model = wild(kind, 9, scale=1.0, **options)
    n = 20_000
    draws = model.sample(n, generator=torch.Generator().manual_seed(3))
    index = (draws @ (2.0 ** torch.arange(9, dtype=torch.float64).flip(0))).long()
    counts = torch.bincount(index, minlength=512).numpy()
    expected = n * model.log_prob(states(9)).exp().detach().numpy()
    common = expected >= 5
    counts = np.append(counts[common], counts[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    kept = expected > 0
    assert stats.chisquare(counts[kept], expected[kept]).pvalue > 1e-6


def test_sampling_all_columns_at_once_would_be_noticed():
    """The usual shortcut, one pass from zeros, draws another law."""
    model = wild(MADE, 6, hidden=(30,), scale=3.0)
    first_pass = torch.sigmoid(model.logits(torch.zeros(1, 6, dtype=torch.float64)))[0]
    x = states(6)
    shortcut = torch.distributions.Bernoulli(first_pass).log_prob(x).sum(dim=1).exp()
    assert (shortcut - model.log_prob(x).exp()).abs().sum() / 2 > 0.1  # total variation


def test_an_off_by_one_mask_cheats_and_its_probabilities_do_not_sum_to_one():
    torch.manual_seed(0)
    X = torch.tensor(digits("thresholded").train.X[:, 24:36], dtype=torch.float32)
    right, wrong = (MADE(12, hidden=(64,), direct=False) for _ in range(2))
    last = wrong.net.layers[-1]
    last.mask = torch.arange(1, 13)[:, None] >= 1 + torch.arange(64) * 11 // 64  # not strict
    for model in (right, wrong):
        train(model, X, epochs=40, lr=1e-2, batch_size=128, random_state=0, device="cpu", progress=False)
    with torch.no_grad():
        assert right.loss(X).mean() > 3.0
        assert wrong.loss(X).mean() < 0.8
        assert wrong.log_prob(states(12).float()).exp().sum() > 20


def test_huge_log_odds_stay_finite():
    model = wild(MADE, 5, scale=1e4)
    log_p = model.log_prob(states(5))
    assert torch.isfinite(log_p).all()
    assert log_p.min() < -1e3


@pytest.mark.parametrize("kind", BITS)
def test_bad_bits_are_refused(kind):
    model = kind(4)
    with pytest.raises(ValueError, match="expected zeros and ones"):
        model.log_prob(torch.full((2, 4), 0.5))
    with pytest.raises(ValueError, match="expected zeros and ones"):
        train(model, torch.rand(10, 4), epochs=1, progress=False, device="cpu")
    with pytest.raises(ValueError, match=re.escape("got shape (2, 3), expected (n, 4)")):
        model.log_prob(torch.zeros(2, 3))
    with pytest.raises(TypeError, match=r"got torch.float64, expected torch.float32"):
        model.log_prob(torch.zeros(2, 4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PixelCNN(10), "dim: got 10, expected a square number"),
        (lambda: PixelCNN(0), "dim: got 0"),
        (lambda: PixelCNN(4, channels=0), "channels: got 0"),
        (lambda: PixelCNN(4, kernel_size=4), "kernel_size: got 4, expected an odd number"),
        (lambda: MaskedConv2d("C", 1, 1, 3), "kind: got 'C'"),
        (lambda: MADE(3, order=[0, 1, 1]), "order: got .* expected a permutation"),
        (lambda: MADE(3, hidden=(0,)), "hidden: got"),
        (lambda: MADE(0), "dim: got 0"),
        (lambda: MaskedAutoregressiveFlow(2, layers=0), "layers: got 0"),
        (lambda: MaskedAutoregressiveFlow(0), "dim: got 0"),
        (lambda: MaskedAutoregressiveFlow(3, layers=[MaskedAffine(2)]), "expected 3 in each"),
        (lambda: MaskedAutoregressiveFlow(2, context_dim=-1), "context_dim: got -1"),
    ],
)
def test_bad_constructions_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ------------------------------------------------------------------ flows


def test_one_layer_is_a_chain_of_conditional_gaussians():
    """Against torch.distributions, conditional by conditional."""
    model, x = wild(MaskedAutoregressiveFlow, 4, layers=1, hidden=(12,)), normal(6, 4)
    mean, log_scale = model.layers[0].mean_and_log_scale(x)
    by_hand = torch.distributions.Normal(mean, log_scale.exp()).log_prob(x).sum(dim=1)
    torch.testing.assert_close(model.log_prob(x), by_hand, atol=1e-10, rtol=0)
    check.is_causal(lambda rows: torch.stack(model.layers[0].mean_and_log_scale(rows), dim=2), x)


@pytest.mark.parametrize("context_dim", [0, 2])
@pytest.mark.parametrize("dim", [1, 2, 3, 7])
@pytest.mark.parametrize("kind", FLOWS)
def test_flows_are_bijections_with_the_right_log_det(kind, dim, context_dim):
    model, x = wild(kind, dim, layers=3, hidden=(10, 10), context_dim=context_dim), normal(5, dim)
    context = normal(5, context_dim, seed=1) if context_dim else None
    z, log_det = model.forward_and_log_det(x, context)
    back, minus = model.inverse_and_log_det(z, context)
    torch.testing.assert_close(back, x, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(minus, -log_det, atol=1e-8, rtol=1e-8)
    for i in range(5):
        row = None if context is None else context[i : i + 1]
        f = lambda r, c=row: model.forward_and_log_det(r[None], c)[0][0]
        jacobian = torch.autograd.functional.jacobian(f, x[i])
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[i], atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("context_dim", [0, 2])
def test_iaf_with_the_layers_of_a_maf_is_its_inverse(context_dim):
    maf = wild(MaskedAutoregressiveFlow, 3, layers=4, hidden=(10,), context_dim=context_dim)
    iaf = InverseAutoregressiveFlow(3, layers=list(maf.layers))
    x, context = normal(8, 3), normal(8, 2, seed=1) if context_dim else None
    z, log_det = maf.forward_and_log_det(x, context)
    again, minus = iaf.forward_and_log_det(z, context)  # IAF: z plays the data
    torch.testing.assert_close(again, x, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(minus, -log_det, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(iaf.inverse(x, context), z, atol=1e-12, rtol=0)


def test_passes_are_counted():
    """MAF: a density takes one pass for each layer, a sample `dim`; IAF the other way round."""
    for kind, quick in [(MaskedAutoregressiveFlow, "log_prob"), (InverseAutoregressiveFlow, "sample")]:
        model = kind(5, layers=2)
        passes = []
        for layer in model.layers:
            layer.net.register_forward_hook(lambda *_, passes=passes: passes.append(1))
        used = {}
        for verb, argument in (("log_prob", torch.zeros(2, 5)), ("sample", 2)):
            passes.clear()
            getattr(model, verb)(argument)
            used[verb] = len(passes)
        assert used.pop(quick) == 2
        assert list(used.values()) == [10]


def test_another_network_may_be_given():
    class Linear(nn.Module):
        def forward(self, x, context=None):
            return torch.stack([torch.cat([0 * x[:, :1], x[:, :1]], dim=1), 0 * x], dim=2)

    layer = MaskedAffine(2, net=Linear())
    u, log_det = layer.whiten(normal(3, 2))
    torch.testing.assert_close(u[:, 1], normal(3, 2)[:, 1] - normal(3, 2)[:, 0])
    assert (log_det == 0).all()


@pytest.mark.parametrize("kind", FLOWS)
def test_flows_and_contexts_are_checked(kind):
    plain, conditional, x = kind(2), kind(2, context_dim=3), torch.zeros(4, 2)
    with pytest.raises(ValueError, match="context: this model was built without one"):
        plain.log_prob(x, torch.zeros(4, 3))
    for verb in ("log_prob", "forward_and_log_det", "inverse", "inverse_and_log_det"):
        with pytest.raises(
            ValueError, match=re.escape("context: missing, expected a tensor of shape (4, 3)")
        ):
            getattr(conditional, verb)(x)
        with pytest.raises(ValueError, match=re.escape("context: got shape (4, 2), expected (n, 3)")):
            getattr(conditional, verb)(x, torch.zeros(4, 2))
        with pytest.raises(ValueError, match="context: got 1 rows, expected 4"):
            getattr(conditional, verb)(x, torch.zeros(1, 3))
        with pytest.raises(TypeError, match=r"context: got torch.float64, expected torch.float32"):
            getattr(conditional, verb)(x, torch.zeros(4, 3, dtype=torch.float64))
        with pytest.raises(TypeError, match=r"got torch.float64, expected torch.float32"):
            getattr(plain, verb)(x.double())
    assert conditional.sample(4, context=torch.zeros(4, 3)).shape == (4, 2)


def test_a_conditional_flow_learns_a_conditional_law():
    """x = 2 c + noise of scale e^(c/2): the true conditional log-density is matched within 0.05 nats."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    c = rng.uniform(-1, 1, (3000, 1))
    x = 2 * c + np.exp(c / 2) * rng.standard_normal((3000, 2))
    model = MaskedAutoregressiveFlow(2, layers=2, hidden=(24,), context_dim=1).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x, c = torch.tensor(x), torch.tensor(c)
    for step in range(150):
        rows = slice(step % 6 * 500, step % 6 * 500 + 500)
        optimizer.zero_grad()
        model.loss(x[rows], c[rows]).mean().backward()
        optimizer.step()
    truth = torch.distributions.Normal(2 * c, (c / 2).exp()).log_prob(x).sum(dim=1)
    with torch.no_grad():
        gap = (truth - model.log_prob(x, c)).mean()
    assert abs(gap) < 0.05


def test_maf_on_the_roll_has_mass_one():
    torch.manual_seed(0)
    X = torch.tensor(SwissRoll().sample(2000, random_state=0))
    model = MaskedAutoregressiveFlow(2, layers=4, hidden=(32,)).double()
    train(model, X, epochs=6, lr=5e-3, clip=5.0, random_state=0, device="cpu", progress=False)
    check.integrates_to_one(model, dim=2, tolerance=1e-3)


ZUKO = """
import numpy as np, torch, zuko

def main(dim, context_dim, hidden, layers, x, context):
    transforms = []
    for order, weights in layers:
        t = zuko.flows.MaskedAutoregressiveTransform(
            dim, context_dim, order=torch.tensor(order).argsort(), shapes=((), ()), hidden_features=hidden,
            univariate=lambda m, s: torch.distributions.AffineTransform(
                -m * torch.exp(-5 * torch.tanh(s / 5)), torch.exp(-5 * torch.tanh(s / 5))))
        masked = [layer for layer in t.hyper if hasattr(layer, "mask")]
        for layer, (weight, bias, mask) in zip(masked, weights):
            assert np.array_equal(layer.mask.numpy(), mask), "the masks differ"
            layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
        transforms.append(t)
    base = zuko.flows.UnconditionalDistribution(
        zuko.distributions.DiagNormal, torch.zeros(dim).double(), torch.ones(dim).double(), buffer=True)
    flow = zuko.flows.Flow(transforms, base)
    with torch.no_grad():
        return flow(torch.tensor(context) if context_dim else None).log_prob(torch.tensor(x)).numpy()
"""


def unit_order(width, groups):
    """Where each of zuko's hidden units, whose degrees go round, stands among ours, whose degrees rise."""
    ours = np.arange(width) * groups // width
    return np.concatenate([np.flatnonzero(ours == g)[k : k + 1] for k in range(width) for g in range(groups)])


@needs_zuko
@pytest.mark.parametrize(("dim", "context_dim"), [(2, 0), (4, 0), (4, 2)])
def test_maf_agrees_with_zuko_at_copied_weights(dim, context_dim):
    hidden = (12, 24)
    model = wild(
        MaskedAutoregressiveFlow, dim, layers=3, hidden=hidden, context_dim=context_dim, activation=nn.ReLU
    )
    groups = dim if context_dim else dim - 1
    copied = []
    for layer in model.layers:
        inputs, weights = np.arange(dim + context_dim), []
        masked = [part for part in layer.net.layers if hasattr(part, "mask")]
        units = [unit_order(width, groups) for width in hidden] + [np.arange(2 * dim)]
        for part, outputs in zip(masked, units, strict=True):
            pick = np.ix_(outputs, inputs)
            weight, mask = part.weight.detach().numpy()[pick], part.mask.numpy()[pick]
            weights.append((weight, part.bias.detach().numpy()[outputs], mask))
            inputs = outputs
        copied.append((layer.order.numpy(), weights))
    x, context = normal(50, dim), normal(50, context_dim, seed=1)
    theirs = zuko(ZUKO, dim, context_dim, hidden, copied, x.numpy(), context.numpy())
    ours = model.log_prob(x, context if context_dim else None).detach().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
