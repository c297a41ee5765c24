"""Patches and pyramids: bijections of whole images, with the determinant that autograd finds."""

import io
import math

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard
from scipy.stats import multivariate_normal, norm

from coursekit import check
from coursekit.gaussianization import (
    Haar,
    HaarPyramid,
    LaplacianPyramid,
    LevelMap,
    MultiScaleGaussianizer,
    OnColumns,
    PatchLayer,
)

LIKELIHOOD = {"MultiScaleGaussianizer": "exact"}
SHAPE = (2, 4, 8)
DIM = math.prod(SHAPE)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*size, seed=0):
    return torch.randn(*size, generator=seeded(seed), dtype=torch.float64)


def pictures(n=300, shape=SHAPE, seed=0):
    """Smooth, skewed images: a running mean of noise, bent."""
    c, h, w = shape
    noise = normal(n, c, h + 1, w + 1, seed=seed)
    smooth = noise[..., 1:, 1:] + noise[..., :-1, 1:] + noise[..., 1:, :-1] + noise[..., :-1, :-1]
    return (smooth + 0.2 * smooth.square()).flatten(1)


LAYERS = {
    "patches": lambda: PatchLayer(2, shape=SHAPE, layers=1),
    "shifted": lambda: PatchLayer((2, 4), shift=(1, 3), shape=SHAPE, layers=2),
    "strided": lambda: PatchLayer(1, 2, shape=SHAPE, layers=1),
    "not turned back": lambda: PatchLayer(2, shape=SHAPE, layers=2, turn_back=False),
    "kept border": lambda: PatchLayer(3, shift=1, shape=SHAPE, padding="keep", layers=1),
    "some columns": lambda: OnColumns(PatchLayer(2, shape=(2, 2, 4), layers=1), band(1)),
    "haar": lambda: HaarPyramid(2, shape=SHAPE),
    "haar undone": lambda: HaarPyramid(2, shape=SHAPE, undo=True),
    "laplacian": lambda: LaplacianPyramid(2, shape=SHAPE),
}


def band(level, kind="coarse"):
    return HaarPyramid(2, shape=SHAPE).band(level, kind)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_each_is_a_bijection_that_survives_a_file(make):
    x = pictures()
    layer = make().double().fit(x, generator=seeded())
    check.inverse_undoes_forward(layer, x[:6], tolerance=1e-8)
    check.log_det_matches_jacobian(layer, x[:3], tolerance=1e-8)
    check.one_log_det_per_sample(layer, x[:3])
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = make().double()
    other.load_state_dict(torch.load(file, weights_only=True))
    if hasattr(other, "inner"):
        assert other.inner.fitted
    assert torch.equal(other.forward_and_log_det(x)[0], layer.forward_and_log_det(x)[0])


# ------------------------------------------------------------------------------------ patches


def test_patches_are_the_windows_that_numpy_cuts():
    x = torch.arange(DIM, dtype=torch.float64).view(1, DIM)
    image = x.view(SHAPE).numpy()
    cut = PatchLayer((2, 4), shape=SHAPE).patches(x)[0].numpy()
    expected = [image[:, i : i + 2, j : j + 4].ravel() for i in (0, 2) for j in (0, 4)]
    np.testing.assert_array_equal(cut, expected)
    moved = PatchLayer((2, 4), shift=(1, 2), shape=SHAPE).patches(x)[0].numpy()
    turned = np.roll(image, (-1, -2), axis=(1, 2))
    expected = [turned[:, i : i + 2, j : j + 4].ravel() for i in (0, 2) for j in (0, 4)]
    np.testing.assert_array_equal(moved, expected)


def test_every_patch_goes_through_the_same_map_and_log_dets_add():
    x = pictures()
    layer = PatchLayer(2, shape=SHAPE, layers=1).double().fit(x, generator=seeded())
    z, log_det = layer.forward_and_log_det(x[:5])
    total = torch.zeros(5, dtype=torch.float64)
    for place in layer.places:
        part, more = layer.inner.forward_and_log_det(x[:5][:, place])
        torch.testing.assert_close(z[:, place], layer.inner.layers[0].inverse(part), atol=1e-10, rtol=0)
        total += more
    torch.testing.assert_close(log_det, total, atol=1e-9, rtol=0)


def test_swapping_patches_swaps_latents():
    """The same everywhere: what a convolution is to a network."""
    x = pictures()
    layer = PatchLayer(2, shape=SHAPE, layers=2).double().fit(x, generator=seeded())
    order = torch.randperm(len(layer.places), generator=seeded(3))
    swapped = x.clone()
    swapped[:, layer.places.flatten()] = x[:, layer.places[order].flatten()]
    z, log_det = layer.forward_and_log_det(x[:9])
    other, same = layer.forward_and_log_det(swapped[:9])
    torch.testing.assert_close(other[:, layer.places.flatten()], z[:, layer.places[order].flatten()])
    torch.testing.assert_close(same, log_det, atol=1e-9, rtol=0)


def test_pixels_that_no_patch_holds_stay():
    x = pictures()
    layer = PatchLayer(3, shape=SHAPE, padding="keep", layers=1).double().fit(x, generator=seeded())
    held = set(layer.places.flatten().tolist())
    rest = [j for j in range(DIM) if j not in held]
    assert len(held) == 2 * 9 * 2
    z, _ = layer.forward_and_log_det(x)
    assert torch.equal(z[:, rest], x[:, rest])
    assert not torch.equal(z, x)


def test_a_fixed_grid_never_sees_across_its_lines_and_a_shifted_one_does():
    """Each line runs between neighbours correlated 0.9: only a shifted grid gains their information."""
    ends = [normal(4000, 1, seed=s) for s in range(4)]
    left, right = (0.9 * ends[k] + math.sqrt(1 - 0.81) * ends[k + 1] for k in (0, 2))
    x = torch.cat([ends[2], ends[0], left, right], dim=1)  # | 0 1 | 2 3 |, correlated: 1 2 and 3 0

    def loss(shift):
        plan = [PatchLayer((1, 2), shift=(0, s), shape=(1, 1, 4), layers=4) for s in shift]
        model = MultiScaleGaussianizer(4, shape=(1, 2, 2), size=1, scales=1)
        model.layers = torch.nn.ModuleList(plan)
        model.patience = None
        return -float(model.double().fit(x, random_state=0).log_prob(x).mean())

    information = -math.log(1 - 0.81)  # of both pairs
    entropy = 2 * math.log(2 * math.pi * math.e) - information
    fixed, moved = loss((0, 0)), loss((0, 1))
    assert abs(fixed - entropy - information) < 0.1
    assert moved < fixed - 0.6 * information


# ------------------------------------------------------------------------------------ pyramids


def test_haar_is_the_hadamard_matrix_on_each_block_and_orthonormal():
    layer = HaarPyramid(1, shape=(1, 2, 2))
    matrix = layer.forward_and_log_det(torch.eye(4, dtype=torch.float64))[0].T
    np.testing.assert_allclose(np.abs(matrix.numpy()), 0.5)
    np.testing.assert_allclose(matrix.numpy(), hadamard(4) / 2, atol=1e-15)
    whole = HaarPyramid(2, shape=SHAPE).forward_and_log_det(torch.eye(DIM, dtype=torch.float64))[0]
    torch.testing.assert_close(whole @ whole.T, torch.eye(DIM, dtype=torch.float64), atol=1e-13, rtol=0)


def test_bands_are_small_images():
    x = pictures(3)
    z, _ = HaarPyramid(2, shape=SHAPE).forward_and_log_det(x)
    image = x.view(3, *SHAPE)
    means = image.reshape(3, 2, 1, 4, 2, 4).mean(dim=(3, 5))
    torch.testing.assert_close(z[:, band(2)].view_as(means), 4 * means)
    assert sorted(torch.cat([band(2), band(2, "detail"), band(1, "detail")]).tolist()) == list(range(DIM))
    undo = HaarPyramid(2, shape=SHAPE, undo=True)
    torch.testing.assert_close(undo.forward_and_log_det(z)[0], x)


def test_laplacian_joins_exactly_and_is_overcomplete_where_it_is():
    x = pictures(4)
    pyramid = LaplacianPyramid(2, shape=SHAPE)
    bands = pyramid.split(x)
    torch.testing.assert_close(pyramid.join(bands), x, atol=1e-12, rtol=0)
    assert sum(part[0].numel() for part in bands) == DIM + DIM // 4 + DIM // 16
    z, log_det = pyramid.forward_and_log_det(x)
    assert z.shape == x.shape
    assert float(log_det[0]) == pytest.approx(-(DIM // 4 + DIM // 16) * math.log(4))
    torch.testing.assert_close(z[:, pyramid.band(2)], bands[-1].flatten(1))


def test_residuals_of_each_block_sum_to_the_means_of_its_prediction():
    """Why three residuals of four are enough: the mean of a block is known."""
    x = pictures(4)
    residual, mean = LaplacianPyramid(1, shape=SHAPE).split(x)
    small = torch.nn.functional.avg_pool2d(residual, 2)
    enlarged = torch.nn.functional.avg_pool2d(LaplacianPyramid._enlarge(mean), 2)
    torch.testing.assert_close(small, mean - enlarged, atol=1e-12, rtol=0)


# ------------------------------------------------------------------------------------ levels


def counted(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.choice(6, (n, 3), p=[0.7, 0.1, 0.05, 0.05, 0.05, 0.05])
    return torch.tensor(counts + rng.uniform(size=counts.shape)), counts


def test_level_map_is_a_bijection_and_its_columns_become_normal():
    x, _ = counted()
    layer = LevelMap(6).fit(x)
    far = torch.cat([x[:20], x[:5] + 100, x[:5] - 100])
    check.inverse_undoes_forward(layer, far, tolerance=1e-8)
    check.log_det_matches_jacobian(layer, far, tolerance=1e-8)
    z = layer.forward_and_log_det(x)[0].numpy()
    grid = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(
        (z[:, :, None] < grid).mean(axis=0), np.tile(norm.cdf(grid), (3, 1)), atol=0.05
    )


def test_level_map_gives_each_cell_its_share():
    """Mean log-density of a cell is the log of the smoothed share, by hand."""
    x, counts = counted()
    layer = LevelMap(6, weight=20.0).fit(x)
    pooled = (np.bincount(counts.ravel(), minlength=6) + 1) / (counts.size + 6)
    share = (np.bincount(counts[:, 0], minlength=6) + 20 * pooled) / (len(counts) + 20)
    z, log_det = layer.forward_and_log_det(x)
    log_p = (log_det + torch.tensor(norm.logpdf(z.numpy()).sum(axis=1))).numpy()
    others = [(np.bincount(counts[:, j], minlength=6) + 20 * pooled) / (len(counts) + 20) for j in range(3)]
    expected = sum(np.log(others[j][counts[:, j]] * (1 - 2e-5)) for j in range(3))
    np.testing.assert_allclose(log_p, expected, atol=1e-8)
    assert share.sum() == pytest.approx(1)


def test_level_map_keeps_single_precision_usable():
    x, _ = counted()
    wide, narrow = LevelMap(6).fit(x), LevelMap(6).fit(x.float())
    narrow.float()
    assert narrow.below.dtype == torch.float64
    (z, a), (y, b) = wide.forward_and_log_det(x[:200]), narrow.forward_and_log_det(x[:200].float())
    a, b = a - 0.5 * z.square().sum(dim=1), b.double() - 0.5 * y.double().square().sum(dim=1)
    assert float((a - b).abs().max()) < 1e-3  # each cell's log-density, whatever the place in it


# ------------------------------------------------------------------------------------ the model


def test_gaussian_images_reach_their_entropy():
    """On correlated Gaussian images the loss comes near the closed form."""
    rng = np.random.default_rng(0)
    at = np.stack(np.meshgrid(range(4), range(4), indexing="ij"), axis=-1).reshape(-1, 2)
    cov = np.exp(-np.linalg.norm(at[:, None] - at, axis=-1) / 2)
    x, held = (torch.tensor(rng.multivariate_normal(np.zeros(16), cov, n)) for n in (4000, 1000))
    model = (
        MultiScaleGaussianizer(16, size=2, scales=2, whole=6).double().fit(x, held_out=held, random_state=0)
    )
    truth = multivariate_normal(np.zeros(16), cov).logpdf(held.numpy())
    gap = (truth - model.log_prob(held).numpy()).mean()
    alone = (truth - norm.logpdf(held.numpy()).sum(axis=1)).mean()
    assert alone > 2
    assert -0.1 < gap < 0.5


def test_levels_model_bounds_the_probability_of_counts():
    counts = counted(600)[1].astype(float)
    x = torch.tensor(np.tile(counts, (1, 2))[:, :4])
    model = MultiScaleGaussianizer(4, size=1, scales=1, levels=6, whole=1).double()
    noise = torch.rand(x.shape, generator=seeded(), dtype=torch.float64)
    model.fit(x + noise, random_state=0)
    bound = model.log_prob_of_counts(x[:50], draws=2, generator=seeded())
    assert bound.shape == (50,)
    assert bool((bound <= 0).all())
    fresh = model.sample(200, generator=seeded())
    assert float(((fresh > -1) & (fresh < 7)).double().mean()) > 0.99


def test_the_same_seed_gives_the_same_model():
    x = pictures()
    fits = [
        MultiScaleGaussianizer(DIM, shape=SHAPE, size=2, scales=2, sweeps=1, whole=1)
        .double()
        .fit(x, random_state=5)
        .log_prob(x[:4])
        for _ in range(2)
    ]
    assert torch.equal(*fits)


# ------------------------------------------------------------------------------------ bad input

BAD = {
    "does not divide": (lambda: PatchLayer(3, shape=SHAPE), "do not divide"),
    "overlap": (lambda: PatchLayer(4, 2, shape=(1, 8, 8)), "overlap"),
    "too large": (lambda: PatchLayer(5, shape=SHAPE), "larger than the image"),
    "size 0": (lambda: PatchLayer(0, shape=SHAPE), "size"),
    "negative shift": (lambda: PatchLayer(2, shift=-1, shape=SHAPE), "shift"),
    "padding": (lambda: PatchLayer(2, shape=SHAPE, padding="zeros"), "padding"),
    "shape": (lambda: PatchLayer(2, shape=(4, 4)), "shape"),
    "odd": (lambda: HaarPyramid(1, shape=(1, 3, 4)), "halved"),
    "too deep": (lambda: LaplacianPyramid(4, shape=SHAPE), "halved"),
    "band": (lambda: band(3), "level"),
    "kind": (lambda: band(1, "fine"), "kind"),
    "columns twice": (lambda: OnColumns(Haar(), torch.tensor([0, 0])), "columns"),
    "levels": (lambda: LevelMap(1), "levels"),
    "not square": (lambda: MultiScaleGaussianizer(12), "no square image"),
    "wrong shape": (lambda: MultiScaleGaussianizer(12, shape=SHAPE), "holds 64 values"),
    "no scale": (lambda: MultiScaleGaussianizer(16, scales=0), "scales"),
    "no layer": (lambda: MultiScaleGaussianizer(16, sweeps=0, whole=0), "layers"),
    "patches do not divide": (lambda: MultiScaleGaussianizer(16, size=3), "do not divide"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_data_are_named():
    layer = PatchLayer(2, shape=SHAPE, layers=1).double()
    with pytest.raises(ValueError, match=r"expected \(n, 64\)"):
        layer.fit(pictures()[:, :-1])
    with pytest.raises(ValueError, match=r"expected \(n, 64\)"):
        HaarPyramid(1, shape=SHAPE).fit(pictures()[:, :-1])
    bad = pictures()
    bad[3, 5] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        layer.fit(bad)
    with pytest.raises(ValueError, match="NaN"):
        MultiScaleGaussianizer(DIM, shape=SHAPE, size=2).double().fit(bad)
    with pytest.raises(ValueError, match="not scaled"):
        LevelMap(6).fit(torch.full((5, 2), -0.1))
    with pytest.raises(ValueError, match="no NaN"):
        LevelMap(6).fit(torch.full((5, 2), math.nan))
    with pytest.raises(RuntimeError, match="not fitted"):
        LevelMap(6).forward_and_log_det(torch.ones(2, 2))
    with pytest.raises(RuntimeError, match="not fitted"):
        PatchLayer(2, shape=SHAPE).double().forward_and_log_det(pictures())
    flat = torch.zeros(20, DIM, dtype=torch.float64)
    with pytest.raises(ValueError, match="constant"):
        layer.fit(flat)
