"""Poses, warp and gauge against torch's grid_sample, matrices, finite differences and models that are known.

Everything is in float64 unless a test says otherwise; seeds are fixed.
"""

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import nn
from torch.nn import functional

from coursekit import check
from coursekit.data import affine_digits
from coursekit.disentangling.transform_autoencoder import (
    TransformAutoencoder,
    affine_matrix,
    compose_poses,
    inverse_pose,
    parameter_counts,
    pose_of,
    warp,
    within_class_correlation,
    within_class_variance,
)
from coursekit.train import train

LIKELIHOOD = {"TransformAutoencoder": "none"}
KINDS = [4, 6]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def poses(n=20, kind=4, size=0.4, seed=0):
    return size * torch.randn(n, kind, generator=seeded(seed)).double()


def pictures(n=20, side=9, seed=1):
    return torch.rand(n, side * side, generator=seeded(seed)).double()


def full(matrix):
    """Three by three."""
    return torch.cat([matrix, torch.tensor([[[0.0, 0.0, 1.0]]]).double().expand(len(matrix), -1, -1)], dim=1)


def made(seed=0, dim=81, **options):
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        model = TransformAutoencoder(dim, **{"code_dim": 3, "hidden": (12,), **options}).double()
        nn.init.normal_(model.pose_head.weight, std=0.4)
        nn.init.normal_(model.pose_head.bias, std=0.3)
    return model


# ------------------------------------------------------------------ poses are a group


def test_matrix_in_human_units():
    """A turn is an exponential of the generator of turns; a scale multiplies; shifts are what they say."""
    pose = poses()
    for matrix, (turn, log_scale, x, y) in zip(affine_matrix(pose), pose.tolist(), strict=True):
        wanted = np.exp(log_scale) * expm(turn * np.array([[0.0, -1.0], [1.0, 0.0]]))
        np.testing.assert_allclose(matrix[:, :2], wanted, atol=1e-12)
        assert matrix[:, 2].tolist() == [x, y]


def test_matrix_of_six_numbers():
    pose = poses(kind=6)
    for matrix, (turn, sx, sy, shear, _, _) in zip(affine_matrix(pose), pose.tolist(), strict=True):
        rotation = expm(turn * np.array([[0.0, -1.0], [1.0, 0.0]]))
        wanted = rotation @ np.array([[1, shear], [0, 1]]) @ np.diag(np.exp([sx, sy]))
        np.testing.assert_allclose(matrix[:, :2], wanted, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_composition_is_the_product_of_matrices(kind):
    first, then = poses(kind=kind), poses(kind=kind, seed=1)
    product = full(affine_matrix(then)) @ full(affine_matrix(first))
    check.matches(affine_matrix(compose_poses(first, then)), product[:, :2], name="composition", atol=1e-11)
    undo = full(affine_matrix(inverse_pose(first))) @ full(affine_matrix(first))
    check.matches(undo, torch.eye(3).double().expand(20, -1, -1), name="inverse", atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_pose_of_undoes_the_matrix(kind):
    pose = poses(kind=kind)
    check.matches(pose_of(affine_matrix(pose), kind), pose, name="pose", atol=1e-11)


def test_a_shear_is_no_similarity():
    with pytest.raises(ValueError, match="pose_dim=6"):
        pose_of(affine_matrix(poses(kind=6)), 4)
    with pytest.raises(ValueError, match="mirror"):
        pose_of(torch.tensor([[[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]]))
    with pytest.raises(ValueError, match="expected"):
        pose_of(torch.eye(3)[None])
    with pytest.raises(ValueError, match="then"):
        compose_poses(poses(), poses(kind=6))


# ------------------------------------------------------------------ the warp


def by_torch(x, pose, padding="zeros"):
    """The same map by torch: it wants the inverse, and its second axis points down."""
    side = int(x.shape[1] ** 0.5)
    down = torch.diag(torch.tensor([1.0, -1.0, 1.0])).double()
    theta = (down @ torch.linalg.inv(full(affine_matrix(pose))) @ down)[:, :2]
    places = functional.affine_grid(theta, [len(x), 1, side, side], align_corners=False)
    images = x.view(-1, 1, side, side)
    return functional.grid_sample(images, places, padding_mode=padding, align_corners=False).flatten(1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [2, 5, 16])
def test_warp_is_grid_sample(kind, side):
    """Values and both gradients, with shifts so large that much of the image leaves."""
    x, pose = pictures(side=side).requires_grad_(), poses(kind=kind, size=0.6).requires_grad_()
    weights = torch.randn(20, side * side, generator=seeded(3)).double()
    mine, theirs = warp(x, pose), by_torch(x, pose)
    check.matches(mine, theirs, name="warp", atol=1e-10)
    for a, b in zip(
        *(torch.autograd.grad((y * weights).sum(), [x, pose]) for y in (mine, theirs)), strict=True
    ):
        check.matches(a, b, name="gradient", atol=1e-8)


def test_gradients_are_finite_differences():
    pose = (poses(2, 6) + 0.013).requires_grad_()
    x = pictures(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(warp, (x, pose), eps=1e-7, atol=1e-5)


def test_whole_pixels_and_quarter_turns_are_exact():
    """Against numpy: a shift by one pixel is 2 / side half-widths, a turn is counter-clockwise."""
    x = pictures(4, 6)
    images = x.view(4, 6, 6)
    right = warp(x, torch.tensor([[0.0, 0.0, 2 / 6, 0.0]], dtype=torch.float64).expand(4, -1)).view(4, 6, 6)
    check.matches(right[:, :, 1:], images[:, :, :-1], name="one pixel to the right", atol=1e-12)
    assert float(right[:, :, 0].abs().max()) < 1e-12
    up = warp(x, torch.tensor([[0.0, 0.0, 0.0, 4 / 6]], dtype=torch.float64).expand(4, -1)).view(4, 6, 6)
    check.matches(up[:, :-2], images[:, 2:], name="two pixels up", atol=1e-12)
    turn = warp(x, torch.tensor([[torch.pi / 2, 0.0, 0.0, 0.0]], dtype=torch.float64).expand(4, -1)).view(
        4, 6, 6
    )
    check.matches(turn, np.rot90(images.numpy(), axes=(1, 2)), name="a quarter turn", atol=1e-12)


def test_a_half_size_image_keeps_its_centre():
    """A constant image at half the scale covers the middle quarter of the canvas."""
    out = warp(
        torch.ones(1, 64).double(), torch.tensor([[0.0, -np.log(2), 0.0, 0.0]], dtype=torch.float64)
    ).view(8, 8)
    assert float(out[3:5, 3:5].min()) == 1.0
    assert float(out[0].max()) == 0.0
    assert float(out.sum()) == pytest.approx(16, abs=1e-9)


def smooth(n=4, side=160):
    """Images so smooth that interpolation hardly matters."""
    line = (2 * torch.arange(side).double() + 1) / side - 1
    v, u = torch.meshgrid(-line, line, indexing="ij")
    centre = 0.05 * torch.randn(n, 2, 1, 1, generator=seeded(5)).double()
    r2 = (u - centre[:, 0]).square() + 2 * (v - centre[:, 1]).square() + (u * v)
    return torch.exp(-10 * r2).flatten(1)


@pytest.mark.parametrize("kind", KINDS)
def test_warps_compose_and_undo(kind):
    """Up to interpolation: means, as the frame cuts a few pixels; the other order is an error that counts."""
    x, first, then = smooth(), poses(4, kind, 0.1), poses(4, kind, 0.1, seed=2)
    twice = warp(warp(x, first), then)
    assert float((twice - warp(x, compose_poses(first, then))).abs().mean()) < 0.002
    assert float((warp(warp(x, first), inverse_pose(first)) - x).abs().mean()) < 0.002
    assert float((twice - warp(x, compose_poses(then, first))).abs().mean()) > 0.002


def test_data_and_warp_agree():
    """Moved digits of the data module are the warp of the clean ones, up to interpolating twice."""
    part = affine_digits().validation
    found = warp(torch.as_tensor(part.clean), torch.as_tensor(part.pose)).numpy()
    assert np.abs(found - part.X).mean() < 0.02
    wrong = warp(torch.as_tensor(part.clean), inverse_pose(torch.as_tensor(part.pose))).numpy()
    assert np.abs(wrong - part.X).mean() > 0.1


@pytest.mark.parametrize(
    ("x", "pose", "message"),
    [
        (torch.zeros(2, 12), torch.zeros(2, 4), "square"),
        (torch.zeros(2, 1), torch.zeros(2, 4), "square"),
        (torch.zeros(2, 4, 4), torch.zeros(2, 4), "one observation per row"),
        (torch.zeros(2, 16), torch.zeros(3, 4), "rows"),
        (torch.zeros(2, 16), torch.zeros(2, 5), r"\(n, 4\) or \(n, 6\)"),
        (torch.zeros(2, 16), torch.full((2, 4), torch.nan), "NaN"),
        (torch.full((2, 16), torch.inf), torch.zeros(2, 4), "NaN or infinity"),
    ],
)
def test_bad_images_and_poses(x, pose, message):
    with pytest.raises(ValueError, match=message):
        warp(x, pose)


def test_wrong_types():
    with pytest.raises(TypeError, match="tensor"):
        warp(np.zeros((2, 16)), torch.zeros(2, 4))
    with pytest.raises(TypeError, match="float64"):
        warp(torch.zeros(2, 16), torch.zeros(2, 4).double())
    with pytest.raises(ValueError, match="ndarray"):
        affine_matrix(np.zeros((2, 4)))


# ------------------------------------------------------------------ the model


@pytest.mark.parametrize("kind", KINDS)
def test_loss_is_the_squared_distance_of_a_moved_template(kind):
    model, x = made(pose_dim=kind), pictures()
    inner = model.trunk(x)
    pose = model.reach * torch.tanh(model.pose_head(inner) / model.reach)
    template = torch.sigmoid(model.decoder(model.code_head(inner)))
    wanted = (x - by_torch(template, pose)).square().sum(dim=1)
    check.matches(model.loss(x), wanted, name="loss", rtol=1e-9)
    check.matches((model.reconstruct(x) - x).square().sum(1), wanted, name="reconstruction", rtol=1e-9)


def test_kl_term_is_summed_over_the_code_of_each_row():
    """By torch.distributions, with the same draw; a row alone has the loss that it has in a batch."""
    from torch.distributions import Normal, kl_divergence

    x = pictures()
    model, heavy = (made(strategy="betavae", beta=b) for b in (0.0, 3.0))
    mean, log_scale = model.code_head(model.trunk(x)).chunk(2, dim=1)
    kl = kl_divergence(Normal(mean, log_scale.exp()), Normal(torch.zeros_like(mean), 1.0)).sum(1)
    gap = heavy.loss(x, generator=seeded()) - model.loss(x, generator=seeded())
    check.matches(gap, 3 * kl, name="KL", rtol=1e-8)
    alone = heavy.loss(x[:1], generator=seeded()) - model.loss(x[:1], generator=seeded())
    check.matches(alone, 3 * kl[:1], name="KL of one row", rtol=1e-8)
    check.matches(heavy.encode(x).code, mean, name="code is the mean")


def test_consistency_is_the_distance_to_the_code_of_a_moved_image():
    x = pictures()
    model, with_term = made(), made(consistency=2.0, consistency_reach=0.5)
    noise = 2 * torch.rand(20, 4, generator=seeded(), dtype=torch.float64) - 1
    moved = by_torch(x, 0.5 * model.reach * noise)
    wanted = 2 * (model.encode(moved).code - model.encode(x).code).square().sum(1)
    check.matches(
        with_term.loss(x, generator=seeded()) - model.loss(x), wanted, name="consistency", rtol=1e-6
    )


def test_mixing_swaps_chunks_and_reads_them_back():
    """Row by row through what anybody can call: the mixture stands as A does, its A-chunks draw A again."""
    x = pictures()
    plain = made(code_dim=4)
    model = made(code_dim=4, strategy="mixing", chunks=2)
    model.load_state_dict(plain.state_dict(), strict=False)
    source = seeded()
    shift = int(torch.randint(1, len(x), (1,), generator=source))
    mask = torch.rand(len(x), 2, generator=source) < 0.5
    pose, code = model.encode(x)

    def pick(first, second, row):
        return torch.cat([(first if row[c] else second)[2 * c : 2 * c + 2] for c in range(2)])

    wanted = []
    for a in range(len(x)):
        b = (a + shift) % len(x)
        mixed = pick(code[a], code[b], mask[a])[None]
        again = model.encode(model.decode(pose[a : a + 1], mixed)).code[0]
        cycle = (x[a] - model.decode(pose[a : a + 1], pick(again, code[a], mask[a])[None])).square().sum()
        seen = torch.cat([model.template(code[[a]]), model.template(code[[b]]), model.template(mixed)], 1)
        chance = torch.sigmoid(model.classifier(seen))[0]
        wanted.append(cycle - torch.where(mask[a], chance, 1 - chance).log().mean())
    extra = model.loss(x, generator=seeded()) - plain.loss(x)
    check.matches(extra, torch.stack(wanted), name="mixing", rtol=1e-8)


def test_every_parameter_gets_a_gradient():
    for strategy in ("ae", "betavae", "mixing"):
        model = TransformAutoencoder(
            81, code_dim=4, hidden=(12, 7), strategy=strategy, consistency=0.1
        ).double()
        model.loss(pictures(), generator=seeded()).mean().backward()
        for name, weight in model.named_parameters():
            assert float(weight.grad.abs().max()) > 0, name


def test_training_starts_at_the_identity():
    assert float(TransformAutoencoder(81).encode(pictures().float()).pose.detach().abs().max()) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_gauge_centres_training_poses_and_moves_no_reconstruction(kind):
    model, x, other = made(pose_dim=kind), pictures(200), pictures(50, seed=9)
    before, code = model.reconstruct(x), model.encode(x).code
    old = model.encode(x).pose.detach()
    assert float(old.mean(0).abs().max()) > 0.05
    assert model.fix_gauge(x) is model
    pose = model.encode(x).pose.detach()
    assert float(pose.mean(0).abs().max()) < 1e-12
    check.matches(model.reconstruct(x), before, name="reconstruction", atol=1e-9)
    check.matches(model.encode(x).code, code, name="code")
    # One map h for all rows: A(theta) is A(theta') h, and the template is the old one moved by h.
    h = full(affine_matrix(pose)).inverse() @ full(affine_matrix(old))
    check.matches(h, h[:1].expand(len(h), -1, -1), name="one map", atol=1e-9)
    moved = by_torch(torch.sigmoid(model.decoder(code)), pose_of(h[:, :2], kind))
    check.matches(model.template(code), moved, name="template", atol=1e-9)
    test_mean = model.encode(other).pose.detach().mean(0)
    model.fix_gauge(x)
    check.matches(model.encode(other).pose.mean(0), test_mean, name="test data have no part in it", atol=1e-9)
    assert float(test_mean.abs().max()) > 1e-3


def test_gauge_is_saved():
    model, x = made(), pictures()
    model.fix_gauge(x)
    again = made(seed=1)
    again.load_state_dict(model.state_dict())
    check.matches(again.encode(x).pose, model.encode(x).pose, name="pose")


def test_a_gauge_of_each_code_is_invisible():
    """Move each template by a map of its own, and take it out of the pose: the same images."""
    model, x = made(), pictures()
    pose = model.encode(x).pose.detach()
    own = poses(20, seed=7) * 0.5
    other = compose_poses(inverse_pose(own), pose)
    check.matches(compose_poses(own, other), pose, name="the same map", atol=1e-10)
    assert float((other - pose).abs().mean()) > 0.05


def test_a_trained_model_finds_turns():
    """Two classes of bars, turned: within a class the found turn follows the true one."""
    generator = np.random.default_rng(6)
    line = (2 * np.arange(10) + 1) / 10 - 1
    u, v = np.meshgrid(line, -line)
    shapes = [np.exp(-12 * (v**2) - 2 * (u - 0.2) ** 2), np.exp(-12 * (u**2 + v**2 - 0.3) ** 2) * (u > 0)]
    y, turn = generator.integers(0, 2, 600), generator.uniform(-0.7, 0.7, 600)
    true = np.column_stack([turn, np.zeros((600, 3))])
    x = warp(torch.as_tensor(np.array(shapes)[y].reshape(600, -1)), torch.as_tensor(true)).float()
    torch.manual_seed(6)
    model = TransformAutoencoder(100, code_dim=1, hidden=(32,))
    train(model, x, steps=120, lr=2e-2, batch_size=32, schedule="cosine", random_state=0, device="cpu")
    pose = model.fix_gauge(x).encode(x).pose.detach().numpy()
    assert within_class_correlation(pose, true, y)[0] > 0.7


def test_parameters_by_hand():
    """The warp has none; the pose costs a row of weights for each number: 13 * 4."""
    found = parameter_counts(made(hidden=(12,)))
    trunk, code, decoder = 82 * 12, 13 * 3, 4 * 12 + 13 * 81
    assert found == {
        "trunk": trunk,
        "pose_head": 13 * 4,
        "code_head": code,
        "decoder": decoder,
        "total": trunk + 52 + code + decoder,
    }
    assert parameter_counts(made(hidden=(12,), strategy="betavae"))["code_head"] == 2 * code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 80}, "square"),
        ({"code_dim": 0}, "code_dim"),
        ({"pose_dim": 5}, "pose_dim"),
        ({"hidden": ()}, "hidden"),
        ({"strategy": "mix"}, "strategy"),
        ({"beta": 2.0}, "betavae"),
        ({"beta": 2.0, "strategy": "mixing"}, "betavae"),
        ({"chunks": 2}, "mixing"),
        ({"strategy": "mixing", "code_dim": 6}, "divisor of code_dim=6"),
        ({"strategy": "mixing", "chunks": 1}, "chunks"),
        ({"strategy": "betavae", "beta": -1.0}, "beta"),
        ({"consistency": -1.0}, "consistency"),
        ({"consistency_reach": np.inf}, "consistency_reach"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        TransformAutoencoder(**{"dim": 81, **options})


def test_bad_codes_and_poses():
    model = made()
    with pytest.raises(ValueError, match="code"):
        model.decode(poses(2), torch.zeros(2, 4).double())
    with pytest.raises(ValueError, match="pose"):
        model.decode(poses(2, 6), torch.zeros(2, 3).double())
    with pytest.raises(NotImplementedError, match="instead"):
        model.log_prob(pictures())
    with pytest.raises(RuntimeError, match="mean pose"):
        model.fix_gauge(pictures(), max_iter=1)


# ------------------------------------------------------------------ measures


def test_correlation_within_classes_ignores_offsets_and_scales():
    generator = np.random.default_rng(0)
    true, y = generator.standard_normal((90, 2)), np.repeat([0, 1, 4], 30)
    found = 3 * true + 50 * np.array([[0, 1], [2, -1], [5, 5]])[np.searchsorted([0, 1, 4], y)]
    np.testing.assert_allclose(within_class_correlation(found, true, y), [1, 1])
    np.testing.assert_allclose(within_class_correlation(-found, true, y), [-1, -1])
    assert np.abs(within_class_correlation(generator.standard_normal((90, 2)), true, y)).max() < 0.4
    assert within_class_correlation(np.zeros((90, 2)), true, y).tolist() == [0, 0]


def test_correlation_is_numpys_for_one_class():
    generator = np.random.default_rng(1)
    a, b = generator.standard_normal((2, 50, 1))
    found = within_class_correlation(a, a + b, np.zeros(50))[0]
    assert found == pytest.approx(np.corrcoef(a[:, 0], (a + b)[:, 0])[0, 1])


def test_variance_within_classes_by_hand():
    x, y = np.array([[0.0, 1.0], [2.0, 1.0], [5.0, 0.0], [5.0, 4.0]]), [1, 1, 0, 0]
    assert within_class_variance(x, y) == pytest.approx((1 + 0 + 0 + 4) / 4)


def test_bad_tables():
    with pytest.raises(ValueError, match="y: "):
        within_class_variance(np.zeros((3, 2)), [0, 0])
    with pytest.raises(ValueError, match="one row only"):
        within_class_variance(np.zeros((3, 2)), [0, 0, 1])
    with pytest.raises(ValueError, match="true"):
        within_class_correlation(np.zeros((2, 2)), np.zeros((2, 1)), [0, 0])
    with pytest.raises(ValueError, match="finite"):
        within_class_variance(np.full((2, 2), np.nan), [0, 0])
