"""The embedded images: the split, the four forms, the logit bijection, and the part of MNIST."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits

from coursekit import check
from coursekit.data import Logit, bits_per_dim, digits, mnist_sample
from coursekit.data.images import FORMS
from coursekit.data.mnist_subset import SHA256, digest

COUNTS, CLASSES = load_digits(return_X_y=True)
ORDER = np.random.default_rng(0).permutation(1797)
PLACES = {"train": ORDER[:1097], "validation": ORDER[1097:1297], "test": ORDER[1297:]}


@pytest.mark.parametrize("form", FORMS)
def test_one_split_for_every_form(form):
    splits = digits(form, random_state=9)
    for name, rows in PLACES.items():
        part = getattr(splits, name)
        np.testing.assert_array_equal(part.y, CLASSES[rows])
        assert part.X.shape == (len(rows), 64)
        assert part.X.dtype == np.float64
        assert part.y.dtype == np.int64
    assert [len(part.X) for part in splits] == [1097, 200, 500]
    assert len(np.unique(np.concatenate(list(PLACES.values())))) == 1797


def test_grey_is_the_counts_and_thresholded_follows_from_them():
    for name, rows in PLACES.items():
        np.testing.assert_array_equal(getattr(digits("grey"), name).X, COUNTS[rows])
        np.testing.assert_array_equal(getattr(digits("thresholded"), name).X, COUNTS[rows] > 7.5)
    assert set(np.unique(digits().train.X)) == set(range(17))


def test_dequantized_is_uniform_within_its_cell():
    grey, dequantized = digits("grey"), digits("dequantized")
    u = np.concatenate([17 * d.X - g.X for d, g in zip(dequantized, grey, strict=True)])
    np.testing.assert_array_equal(np.floor(17 * dequantized.test.X), grey.test.X)
    assert dequantized.train.X.min() >= 0
    assert dequantized.train.X.max() < 1
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-6


def test_stochastic_has_the_probability_of_its_count():
    """Per count, the share of ones within five standard errors: false alarm below 1e-6 each."""
    grey, stochastic = digits("grey").train.X, digits("stochastic", random_state=3).train.X
    assert set(np.unique(stochastic)) == {0.0, 1.0}
    for count in range(17):
        ones = stochastic[grey == count]
        p = count / 16
        assert abs(ones.mean() - p) <= 5 * math.sqrt(p * (1 - p) / len(ones))


def test_randomness_comes_from_the_argument():
    for form in ("dequantized", "stochastic"):
        first = digits(form).train.X
        np.testing.assert_array_equal(first, digits(form, random_state=0).train.X)
        assert not np.array_equal(first, digits(form, random_state=1).train.X)
    stream = np.random.default_rng(0)
    assert not np.array_equal(
        digits("stochastic", random_state=stream).train.X, digits("stochastic", random_state=stream).train.X
    )


def test_a_caller_cannot_spoil_the_next_ones_digits():
    for form in FORMS:
        spoiled = digits(form)
        spoiled.train.X[:] = -1
        spoiled.train.y[:] = -1
        assert digits(form).train.X.min() >= 0
        assert digits(form).train.y.min() >= 0


@pytest.mark.parametrize("form", ["gray", "", None, 3])
def test_unknown_form(form):
    with pytest.raises(ValueError, match="form must be one of 'grey', 'dequantized'"):
        digits(form)


def test_digits_bad_seed():
    with pytest.raises(ValueError, match="random_state"):
        digits("stochastic", random_state=-1)


# --- bits per dimension -------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_uniform_density_has_log2_levels_bits(levels):
    assert bits_per_dim(0.0, dim=5, levels=levels) == pytest.approx(math.log2(levels), rel=1e-14)


def test_bits_are_those_of_the_probability_of_a_cell():
    """A density that is constant in every cell: Jensen's bound is then an equality."""
    pmf = np.bincount(digits().train.X.astype(int).ravel(), minlength=17) / (1097 * 64)
    grey, dequantized = digits("grey").test.X.astype(int), digits("dequantized").test.X
    log_density = np.log(17 * pmf[np.floor(17 * dequantized).astype(int)]).sum(1)
    expected = -np.log2(pmf[grey]).sum(1) / 64
    np.testing.assert_allclose(bits_per_dim(log_density), expected, rtol=1e-12)


@pytest.mark.parametrize("options", [{"dim": 0}, {"levels": 0}, {"dim": 1.5}])
def test_bits_bad_input(options):
    with pytest.raises(ValueError, match="must be an integer of at least 1"):
        bits_per_dim(0.0, **options)


# --- the logit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 1e-6, 0.05, 0.3])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_logit_obeys_the_laws_of_a_bijection(alpha, d):
    x = np.random.default_rng(d).uniform(0.01, 0.99, (7, d))
    bijection = Logit(alpha)
    check.inverse_undoes_forward(bijection, x, tolerance=1e-12)
    check.log_det_matches_jacobian(bijection, x)
    check.one_log_det_per_sample(bijection, x)


def test_logit_pushes_the_uniform_to_the_logistic():
    """With no margin a uniform variable becomes logistic: its log-density is minus the log-det."""
    x = np.random.default_rng(0).uniform(size=(50, 1))
    z, log_det = Logit(0.0).forward_and_log_det(x)
    np.testing.assert_allclose(-log_det, stats.logistic.logpdf(z[:, 0]), rtol=1e-10)


def test_logit_faces_of_the_cube():
    z, log_det = Logit(0.05).forward_and_log_det([[0.0, 1.0]])
    np.testing.assert_allclose(z, [[math.log(0.05 / 0.95), math.log(0.95 / 0.05)]], rtol=1e-12)
    assert np.isfinite(log_det).all()
    beyond = Logit(0.05).inverse([[-50.0, 50.0]])
    np.testing.assert_allclose(beyond, [[-0.05 / 0.9, 1 + 0.05 / 0.9]], rtol=1e-12)  # not clipped


@pytest.mark.parametrize("alpha", [-0.1, 0.5, np.nan, "a"])
def test_logit_bad_alpha(alpha):
    with pytest.raises(ValueError, match="alpha must be"):
        Logit(alpha)


@pytest.mark.parametrize(
    ("alpha", "x", "message"),
    [
        (0.05, [[1.1]], "x must be in"),
        (0.05, [[-0.1]], "x must be in"),
        (0.0, [[0.0]], "because alpha is 0"),
        (0.05, [[np.nan]], "finite"),
        (0.05, [0.5], "shape"),
    ],
)
def test_logit_bad_input(alpha, x, message):
    with pytest.raises(ValueError, match=message):
        Logit(alpha).forward_and_log_det(x)
    with pytest.raises(ValueError, match="finite"):
        Logit(alpha).inverse([[np.nan]])


# --- MNIST --------------------------------------------------------------------------------------------------


def test_mnist_sample_is_the_stated_part():
    splits = mnist_sample()
    assert [part.X.shape for part in splits] == [(5000, 784), (1000, 784), (2000, 784)]
    for part, each in zip(splits, (500, 100, 200), strict=True):
        assert part.X.dtype == np.uint8
        assert part.y.dtype == np.int64
        np.testing.assert_array_equal(np.bincount(part.y), np.full(10, each))
        assert part.X.max() == 255
    assert digest(splits) == SHA256
    images = np.concatenate([part.X for part in splits])
    assert len(np.unique(images, axis=0)) == 8000  # the parts are disjoint


def test_mnist_sample_looks_like_digits():
    """A classifier of nearest class means does what it is known to do on MNIST: about 82 % right."""
    train, _, test = mnist_sample()
    means = np.array([train.X[train.y == k].mean(0) for k in range(10)])
    squares = ((test.X[:, None].astype(float) - means) ** 2).sum(-1)
    assert 0.78 < np.mean(squares.argmin(1) == test.y) < 0.86
