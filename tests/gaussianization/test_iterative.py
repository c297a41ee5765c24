"""Iterative Gaussianization: exact, invertible, mergeable, and as fast to converge as the theory says."""

import functools
import io
import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from coursekit import check
from coursekit.base import Fitted, Likelihood
from coursekit.data import SwissRoll
from coursekit.gaussianization import (
    PCA,
    Haar,
    IterativeGaussianizer,
    KDEMap,
    SlicedTransport,
    SplineMap,
    covariance_recursion,
    expected_excursions,
)

LIKELIHOOD = {"IterativeGaussianizer": "exact", "SlicedTransport": "none"}

HAAR = {"rotation": "haar", "marginal": functools.partial(KDEMap, shrink=0.2, bandwidth=0.5)}


def roll(n, seed=0):
    return torch.tensor(SwissRoll().sample(n, random_state=seed))


@pytest.fixture(scope="module")
def model():
    return IterativeGaussianizer(2, layers=16, **HAAR).double().fit(roll(3000), random_state=0)


def test_likelihoods():
    assert IterativeGaussianizer.likelihood is Likelihood(LIKELIHOOD["IterativeGaussianizer"])
    assert SlicedTransport.likelihood is Likelihood(LIKELIHOOD["SlicedTransport"])


def test_it_is_a_density_and_a_bijection(model):
    x = roll(200, seed=1)
    axis = 6.4 * ((torch.arange(400).double() + 0.5) / 400 - 0.5)
    mass = model.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * (6.4 / 400) ** 2
    assert float(mass) == pytest.approx(1.0, abs=1e-3)
    check.inverse_undoes_forward(model, x, tolerance=1e-8)
    check.log_det_matches_jacobian(model, x[:5], tolerance=1e-7)
    far = torch.tensor([[30.0, -40.0], [1e3, 1e3]]).double()
    check.inverse_undoes_forward(model, far, tolerance=1e-8)


def test_it_learns_the_roll(model):
    """Truth 0.78 nats, a Gaussian 2.77: measured 1.1."""
    nll = -float(model.log_prob(roll(3000, seed=2)).mean())
    assert 0.75 < nll < 1.6
    assert model.history["held_out"][0] > model.history["held_out"][-1]


def test_gaussian_data_stay_gaussian():
    """A case with a closed form: the log-density of the true law, within 0.1 nats in the mean."""
    law = multivariate_normal([3, -1, 2], [[2, 1, 0], [1, 2, 0.5], [0, 0.5, 1]], seed=0)
    model = Fitted(IterativeGaussianizer, layers=10, rotation="pca", random_state=0).fit(law.rvs(4000))
    fresh = law.rvs(2000)
    assert np.abs(model.log_prob(fresh) - law.logpdf(fresh)).mean() < 0.1


def test_the_log_density_counts_every_layer(model):
    """Against the loop written out."""
    x = roll(20, seed=3)
    z, total = (x - model.center) / model.log_scale.exp(), -model.log_scale.sum()
    for layer in model.layers:
        z, log_det = layer.forward_and_log_det(z)
        total = total + log_det
    expected = total - 0.5 * (z**2).sum(dim=1) - math.log(2 * math.pi)
    assert torch.allclose(model.log_prob(x), expected, atol=1e-10)


def test_state_goes_through_a_file_into_a_new_model(model):
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = IterativeGaussianizer(2, layers=40, **HAAR).double()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.log_prob(roll(9)), model.log_prob(roll(9)))


def test_early_stopping_keeps_the_best_layer():
    sharp = functools.partial(SplineMap, knots=60)
    model = IterativeGaussianizer(2, layers=25, rotation="haar", marginal=sharp, patience=3).double()
    model.fit(roll(300), held_out=roll(300, seed=1), random_state=0)
    best = int(np.argmin(model.history["held_out"]))
    assert len(model.layers) == 2 * (best + 1)
    kept = -float(model.log_prob(roll(300, seed=1)).mean())
    assert kept == pytest.approx(min(model.history["held_out"]), abs=1e-6)


def test_an_architecture_is_a_list():
    layers = [SplineMap(), Haar(), KDEMap(), PCA(), KDEMap(shrink=0.5)]
    model = IterativeGaussianizer(2, layers=layers, patience=None).double().fit(roll(500), random_state=0)
    assert [type(layer) for layer in model.layers] == [type(layer) for layer in layers]
    check.inverse_undoes_forward(model, roll(20), tolerance=1e-8)


def test_batches_give_the_model_of_the_whole():
    x = roll(1000)
    whole = IterativeGaussianizer(2, layers=4, patience=None, **HAAR).double().fit(x, random_state=0)
    parts = IterativeGaussianizer(2, layers=4, patience=None, **HAAR).double()
    parts.fit_batches(lambda: x.split(130), random_state=0)
    assert torch.allclose(parts.log_prob(x), whole.log_prob(x), atol=1e-8)
    stopped = IterativeGaussianizer(2, layers=6, patience=1, **HAAR).double()
    stopped.fit_batches(lambda: x.split(300), held_out=roll(200, seed=1), random_state=0)
    assert len(stopped.history["held_out"]) >= 1
    with pytest.raises(ValueError, match="column in memory"):
        IterativeGaussianizer(2, layers=1, marginal="ecdf").double().fit_batches(lambda: x.split(130))


def test_two_processes_give_the_model_of_one(tmp_path):
    """gloo on this machine; each process holds half of the rows."""
    script = tmp_path / "share.py"
    script.write_text(
        textwrap.dedent("""
        import os, sys, torch, functools
        import torch.distributed as dist
        import torch.multiprocessing as mp
        from coursekit.data import SwissRoll
        from coursekit.gaussianization import IterativeGaussianizer, KDEMap

        def fit(x):
            marginal = functools.partial(KDEMap, shrink=0.2)
            model = IterativeGaussianizer(2, layers=4, rotation="haar", marginal=marginal, patience=None)
            return model.double().fit(x, random_state=0)

        def work(rank, folder):
            torch.set_num_threads(1)
            dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
            x = torch.tensor(SwissRoll().sample(400, random_state=0))
            model = fit(x[rank::2])
            torch.save(model.log_prob(x), f"{folder}/{rank}.pt")
            dist.destroy_process_group()

        if __name__ == "__main__":
            folder = sys.argv[1]
            mp.spawn(work, args=(folder,), nprocs=2)
            x = torch.tensor(SwissRoll().sample(400, random_state=0))
            alone = fit(x).log_prob(x)
            for rank in (0, 1):
                assert torch.allclose(torch.load(f"{folder}/{rank}.pt"), alone, atol=1e-8)
        """)
    )
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=300)


@pytest.mark.parametrize("dim", [4, 8, 16])
def test_gaussian_regime_converges_at_the_rate_of_the_theorem(dim):
    """Mean factor per layer against 1 - 2/(d + 2), within five per cent of its logarithm."""
    runs = [covariance_recursion(dim, 10, spread=0.02, random_state=s) for s in range(1200 // dim)]
    total = np.sum(runs, axis=0)
    rate = -np.log(total[-1] / total[0]) / 10
    assert rate == pytest.approx(-math.log(1 - 2 / (dim + 2)), rel=0.05)


def test_excursions_are_counted():
    """One layer, where fresh and fitted points are exchangeable: the mean over 40 clouds."""
    z = torch.randn(2000, 8, generator=torch.Generator().manual_seed(1)).double()
    found = []
    for seed in range(40):
        x = torch.randn(100, 8, generator=torch.Generator().manual_seed(100 + seed)).double()
        model = SlicedTransport(8, layers=1).double().fit(x, random_state=seed)
        found.append(float(model.excursions(z).mean()))
    assert np.mean(found) == pytest.approx(expected_excursions(8, 1, 100), rel=0.25)
    assert float(model.excursions(torch.zeros(1, 8).double())) == 0


def test_transport_brings_the_cloud_to_the_data():
    """Sorted projections of the arrived cloud on the last view equal those of the data at the knots."""
    x = roll(600)
    model = SlicedTransport(2, layers=30).double().fit(x, random_state=0)
    assert torch.allclose(model.arrived.mean(dim=0), x.mean(dim=0), atol=0.05)
    fresh = model.sample(2000, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(fresh).all()
    assert (fresh.std(dim=0) - x.std(dim=0)).abs().max() < 0.1


def test_polynomials_of_high_degree_run_away_and_increasing_curves_do_not():
    x = roll(200)
    wild = SlicedTransport(2, layers=20, curve="polynomial", degree=9).double().fit(x, random_state=0)
    tame = SlicedTransport(2, layers=20).double().fit(x, random_state=0)
    far = torch.tensor([[6.0, -6.0]]).double()
    assert not wild.transport(far).abs().max() < 1e3
    assert tame.transport(far).abs().max() < 50
    with pytest.raises(NotImplementedError, match="use IterativeGaussianizer instead"):
        tame.log_prob(x)


def test_bad_data_are_refused():
    x = roll(50)
    model = IterativeGaussianizer(2, layers=1).double()
    with pytest.raises(RuntimeError, match="not fitted"):
        model.log_prob(x)
    with pytest.raises(ValueError, match="column 1 is constant"):
        model.fit(torch.cat([x[:, :1], torch.ones(50, 1).double()], dim=1))
    with pytest.raises(ValueError, match="columns 0 and 1 are copies"):
        model.fit(x[:, :1].expand(-1, 2).contiguous())
    with pytest.raises(ValueError, match="at least 2"):
        model.fit(x[:1])
    with pytest.raises(TypeError, match="float64"):
        model.fit(x.float())


def test_more_columns_than_rows_can_be_fitted():
    """No covariance is inverted: a Haar or searched rotation needs none."""
    x = torch.randn(12, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = IterativeGaussianizer(30, layers=2, patience=None).double().fit(x, random_state=0)
    assert torch.isfinite(model.log_prob(x)).all()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"dim": 0}, ValueError),
        ({"layers": 0}, ValueError),
        ({"layers": []}, ValueError),
        ({"rotation": "spin"}, ValueError),
        ({"marginal": 3}, TypeError),
        ({"patience": 0}, ValueError),
    ],
)
def test_bad_settings_are_refused(options, error):
    with pytest.raises(error, match="expected"):
        IterativeGaussianizer(**{"dim": 2, **options})


def test_more_bad_settings_are_refused():
    for options in ({"curve": "cubic"}, {"knots": 2}, {"layers": 0}, {"latents": 1}):
        with pytest.raises(ValueError, match="expected"):
            SlicedTransport(2, **options)
    for arguments in ((1, 5), (3, 0)):
        with pytest.raises(ValueError, match="expected"):
            covariance_recursion(*arguments)
    with pytest.raises(ValueError, match="validation"):
        IterativeGaussianizer(2, layers=1).double().fit(roll(50), validation=2.0)
