"""The rotations: uniform where they say so, orthogonal, and pointing at what is not Gaussian."""

import io

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from coursekit import check
from coursekit.gaussianization import ICA, PCA, Haar, Householder, MaxSliced, haar_matrix
from coursekit.gaussianization.rotations import ROTATIONS

MAKERS = {
    **ROTATIONS,
    "pca, white": lambda: PCA(whiten=True),
    "likelihood": lambda: MaxSliced(objective="likelihood"),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mixed(n=2000):
    """Two independent square waves and a Gaussian, mixed by a rotation."""
    rng = np.random.default_rng(0)
    sources = np.column_stack(
        [rng.choice([-1.0, 1.0], (n, 2)) + 0.2 * rng.standard_normal((n, 2)), rng.standard_normal(n)]
    )
    turn = haar_matrix(3, generator=seeded(5)).numpy()
    return torch.tensor(sources @ turn.T), turn


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_each_is_a_bijection_that_survives_a_file(make):
    x, _ = mixed(300)
    rotation = make().fit(x, generator=seeded())
    check.inverse_undoes_forward(rotation, x[:8], tolerance=1e-8)
    check.log_det_matches_jacobian(rotation, x[:8], tolerance=1e-8)
    file = io.BytesIO()
    torch.save(rotation.state_dict(), file)
    file.seek(0)
    other = make()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.forward_and_log_det(x)[0], rotation.forward_and_log_det(x)[0])
    check.inverse_undoes_forward(other, x[:8], tolerance=1e-8)
    with pytest.raises(RuntimeError, match="not fitted"):
        make().forward_and_log_det(x)


def test_haar_is_uniform_and_plain_qr_is_not():
    """One entry of a uniform 3 x 3 rotation is uniform on [-1, 1]; false alarm 1e-6 (fixed seed)."""
    generator = seeded(1)
    fixed = np.array([float(haar_matrix(3, generator=generator)[0, 0]) for _ in range(3000)])
    assert kstest(fixed, "uniform", args=(-1, 2)).pvalue > 1e-6
    plain = np.array(
        [np.linalg.qr(np.random.default_rng(k).standard_normal((3, 3)))[0][0, 0] for k in range(3000)]
    )
    assert kstest(plain, "uniform", args=(-1, 2)).pvalue < 1e-6


def test_haar_matrices_are_orthogonal_with_both_determinants():
    generator = seeded(2)
    signs = []
    for _ in range(100):
        q = haar_matrix(4, generator=generator)
        assert torch.allclose(q @ q.T, torch.eye(4, dtype=q.dtype), atol=1e-12)
        signs.append(float(torch.linalg.det(q)))
    assert 20 < sum(s > 0 for s in signs) < 80


def test_pca_against_numpy():
    x, _ = mixed()
    x = x * torch.tensor([3.0, 1.0, 0.3])
    z = PCA().fit(x).forward_and_log_det(x)[0]
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    np.testing.assert_allclose(z.var(dim=0, correction=0), values, rtol=1e-10)
    white, log_det = PCA(whiten=True).fit(x).forward_and_log_det(x)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(3), atol=1e-8)
    np.testing.assert_allclose(log_det[0], -0.5 * np.log(values).sum())


def test_ica_finds_the_sources():
    """Each square wave is one axis of the result: its correlation with it is nearly one."""
    x, turn = mixed()
    z = ICA().fit(x, generator=seeded()).forward_and_log_det(x)[0]
    found = np.abs(np.corrcoef(z.T, (x.numpy() @ turn).T)[:3, 3:])
    assert found[:, :2].max(axis=0).min() > 0.97


@pytest.mark.parametrize("objective", ["wasserstein", "likelihood"])
def test_the_search_finds_the_one_direction_that_is_not_gaussian(objective):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 4))
    x[:, 0] = (rng.exponential(size=4000) - 1) * 1.0
    turn = haar_matrix(4, generator=seeded(5)).numpy()
    fitted = MaxSliced(objective=objective).fit(torch.tensor(x @ turn.T), generator=seeded())
    assert np.abs(fitted.matrix.numpy() @ turn)[:, 0].max() > 0.95


def test_the_search_climbs():
    """The summed distance of the axes from normal is larger than for the rotation where it began."""

    def cost(y):
        levels = norm.ppf((np.arange(len(y)) + 0.5) / len(y))
        return ((np.sort(y, axis=0) - levels[:, None]) ** 2).mean(axis=0).sum()

    x, _ = mixed()
    start = MaxSliced(steps=0).fit(x, generator=seeded()).forward_and_log_det(x)[0].numpy()
    end = MaxSliced().fit(x, generator=seeded()).forward_and_log_det(x)[0].numpy()
    assert cost(end) > 1.2 * cost(start)


def test_householder_is_a_product_of_reflections():
    x, _ = mixed(20)
    rotation = Householder(reflections=3).fit(x, generator=seeded())
    product = torch.eye(3, dtype=x.dtype)
    for v in rotation.matrix:
        product = (torch.eye(3, dtype=x.dtype) - 2 * torch.outer(v, v)) @ product
    assert torch.allclose(rotation.forward_and_log_det(x)[0], x @ product.T)
    assert float(torch.linalg.det(product)) == pytest.approx(-1.0)


@pytest.mark.parametrize("make", [lambda: PCA(whiten=True), ICA])
def test_singular_covariance_is_refused(make):
    x, _ = mixed(50)
    with pytest.raises(ValueError, match="singular"):
        make().fit(torch.cat([x, x[:, :1]], dim=1), generator=seeded())
    with pytest.raises(ValueError, match="singular"):  # fewer rows than columns
        make().fit(torch.randn(5, 8, generator=seeded(), dtype=torch.float64), generator=seeded())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Householder(reflections=0),
        lambda: MaxSliced(objective="entropy"),
        lambda: MaxSliced(steps=-1),
        lambda: MaxSliced(first=0.1, last=0.5),
    ],
)
def test_bad_settings_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()


def test_haar_needs_only_the_width():
    x, _ = mixed(20)
    a, b = (Haar().fit(y, generator=seeded(3)).matrix for y in (x, 5 * x))
    assert torch.equal(a, b)
