"""The bridge from torch modules to scikit-learn's estimators."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from coursekit.base import Fitted, Likelihood


class AffineGaussian(nn.Module):
    """z = (x - shift) exp(-log_scale), standard normal, column by column."""

    def __init__(self, dim, start=0.0):
        super().__init__()
        self.shift = nn.Parameter(torch.full((dim,), float(start)))
        self.log_scale = nn.Parameter(torch.zeros(dim))

    def log_prob(self, x):
        z = (x - self.shift) * (-self.log_scale).exp()
        return (-0.5 * z.square() - self.log_scale - 0.5 * math.log(2 * math.pi)).sum(dim=1)

    def loss(self, batch):
        return -self.log_prob(batch)

    def sample(self, n, *, generator=None):
        shape = (n, len(self.shift))
        z = torch.randn(shape, generator=generator, dtype=self.shift.dtype, device=self.shift.device)
        return self.shift + z * self.log_scale.exp()


class OnlySamples(nn.Module):
    """A sampler without a density: a standard normal moved to the mean."""

    likelihood = Likelihood.NONE

    def __init__(self, dim):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(dim))

    def loss(self, batch):
        return (batch - self.mean).square().sum(dim=1)

    def sample(self, n, *, generator=None):
        return self.mean + torch.randn((n, len(self.mean)), generator=generator, dtype=self.mean.dtype)


class RandomStart(AffineGaussian):
    """Starts anywhere: only the seed decides where."""

    def __init__(self, dim):
        super().__init__(dim)
        with torch.no_grad():
            self.shift.normal_()


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal([3.0, -1.0], [0.5, 2.0], size=(400, 2))


@parametrize_with_checks([Fitted(AffineGaussian, epochs=2, device="cpu", random_state=0)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_it_finds_the_maximum_of_the_likelihood(X):
    """Closed form: mean and standard deviation; score is the mean log-density, in nats."""
    model = Fitted(AffineGaussian, epochs=400, batch_size=400, lr=0.05, random_state=0, device="cpu").fit(X)
    expected = norm(X.mean(axis=0), X.std(axis=0)).logpdf(X).sum(axis=1)
    assert model.log_prob(X).dtype == np.float64
    np.testing.assert_allclose(model.log_prob(X), expected, atol=1e-4)
    np.testing.assert_array_equal(model.score_samples(X), model.log_prob(X))
    assert model.score(X) == pytest.approx(expected.mean(), abs=1e-5)
    assert len(model.history_.loss) == 400


def test_samples_follow_the_fitted_law(X):
    """Means of 20,000 samples within five standard errors: wrong once in 1e6 seeds."""
    model = Fitted(AffineGaussian, epochs=400, batch_size=400, lr=0.05, random_state=0, device="cpu").fit(X)
    samples = model.sample(20_000, random_state=1)
    assert isinstance(samples, np.ndarray)
    assert samples.shape == (20_000, 2)
    assert (np.abs(samples.mean(axis=0) - X.mean(axis=0)) < 5 * X.std(axis=0) / np.sqrt(20_000) + 1e-4).all()
    np.testing.assert_array_equal(samples, model.sample(20_000, random_state=1))
    assert (samples != model.sample(20_000, random_state=2)).any()


def test_the_seed_decides_the_first_weights_and_the_training(X):
    options = {"epochs": 1, "device": "cpu"}
    torch.manual_seed(1)
    before = torch.get_rng_state()
    fits = [Fitted(RandomStart, random_state=seed, **options).fit(X).log_prob(X) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(fits[0], fits[1])
    assert (fits[0] != fits[2]).any()


def test_options_are_parameters():
    model = Fitted(AffineGaussian, start=1.5, epochs=3, random_state=0)
    expected = {"module": AffineGaussian, "random_state": 0, "dtype": "float64", "start": 1.5, "epochs": 3}
    assert model.get_params() == expected
    copy = clone(model).set_params(epochs=7, dtype="float32", lr=0.1)
    assert copy.get_params() == {**expected, "epochs": 7, "dtype": "float32", "lr": 0.1}
    assert model.get_params() == expected
    assert "start=1.5" in repr(model)


def test_grid_search_and_pipeline(X):
    """The search finds that a hundred steps are better than one; the scaler undoes a shift of the data."""
    model = Fitted(AffineGaussian, lr=0.05, batch_size=400, random_state=0, device="cpu", epochs=1)
    search = GridSearchCV(model, {"epochs": [1, 100], "start": [0.0]}, cv=2).fit(X)
    assert search.best_params_ == {"epochs": 100, "start": 0.0}
    pipeline = make_pipeline(StandardScaler(), model)
    assert pipeline.fit(X).score(X) == pytest.approx(pipeline.fit(X + 1000).score(X + 1000), abs=1e-9)
    nested = GridSearchCV(pipeline, {"fitted__epochs": [1, 2]}, cv=2).fit(X)
    assert nested.best_params_["fitted__epochs"] in (1, 2)


def test_the_module_computes_in_the_asked_precision(X):
    for dtype in ("float32", "float64"):
        model = Fitted(AffineGaussian, epochs=1, dtype=dtype, random_state=0, device="cpu").fit(X)
        assert model.module_.shift.dtype == getattr(torch, dtype)
        assert model.log_prob(X).dtype == model.sample(3).dtype == np.float64


def test_it_offers_what_the_module_can_do(X):
    assert Fitted(AffineGaussian).likelihood is Likelihood.EXACT
    sampler = Fitted(OnlySamples, epochs=1, random_state=0, device="cpu")
    assert sampler.likelihood is Likelihood.NONE
    assert not hasattr(sampler, "log_prob")
    assert sampler.fit(X).sample(5).shape == (5, 2)
    assert not hasattr(Fitted(type("Silent", (nn.Module,), {})), "sample")


def test_it_survives_pickling(X):
    model = Fitted(AffineGaussian, epochs=1, random_state=0, device="cpu").fit(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).log_prob(X), model.log_prob(X))


def test_bad_input(X):
    model = Fitted(AffineGaussian, epochs=1, random_state=0, device="cpu")
    with pytest.raises(NotFittedError):
        model.sample(3)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 3, np.nan, X))
    with pytest.raises(ValueError, match="has 3 features, but Fitted is expecting 2"):
        model.fit(X).log_prob(np.ones((4, 3)))
    with pytest.raises(ValueError, match="give epochs or steps"):
        Fitted(AffineGaussian).fit(X)
    with pytest.raises(TypeError, match="unexpected keyword argument 'layers'"):
        Fitted(AffineGaussian, epochs=1, layers=3).fit(X)


class Ambiguous(AffineGaussian):
    def __init__(self, dim, steps=3):
        super().__init__(dim)


def test_an_option_of_both_is_refused(X):
    with pytest.raises(TypeError, match=r"\['steps'\]: options of train and of Ambiguous alike"):
        Fitted(Ambiguous, steps=5).fit(X)


def test_importing_the_bridge_loads_no_torch():
    code = "import sys; from coursekit.base import Fitted; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
