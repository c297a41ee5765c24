"""The file of the beta-VAEs: a slice runs again, and what the chapter says about it holds."""

import json

import numpy as np
import pytest

from benchmarks import beta_vae
from benchmarks._common import RESULTS
from coursekit.disentangling.beta_vae import mig, rate_distortion

FILE = json.loads((RESULTS / "beta_vae.json").read_text())
ROWS = FILE["rows"]


def test_the_file_has_every_row_and_says_how_it_was_made():
    assert set(ROWS) == set(beta_vae.ROWS)
    assert FILE["meta"]["command"] == "python -m benchmarks.beta_vae"
    assert FILE["meta"]["settings"] == beta_vae.SETTINGS
    for row in ROWS.values():
        assert len(row["rate"]) == len(row["mig"]) == len(row["cpu"]) == len(beta_vae.SEEDS)


def test_a_shorter_run_of_one_seed_comes_near_the_stored_numbers():
    """Beta 4, half of the steps: a rate within a third, the objective above the stored one."""
    model, row = beta_vae.fit(0, beta=4, steps=250), ROWS["beta 4"]
    found = rate_distortion(model, beta_vae.images(), 5)
    assert found.rate == pytest.approx(np.mean(row["rate"]), rel=0.34)
    stored = np.mean(row["distortion"]) + 4 * np.mean(row["rate"])
    assert -1 < found.distortion + 4 * found.rate - stored < 12
    assert mig(beta_vae.codes(model), beta_vae.DATA.factors) < 0.6


def test_rate_falls_and_distortion_rises_with_the_price():
    rows = [ROWS[f"beta {beta:g}"] for beta in beta_vae.BETAS]
    assert (np.diff([np.mean(row["rate"]) for row in rows]) < 0).all()
    assert (np.diff([np.mean(row["distortion"]) for row in rows]) > 0).all()
    for row in rows:  # no code and decoder together are cheaper than the entropy of the images
        assert (np.add(row["rate"], row["distortion"]) > np.log(1296)).all()


def test_a_capacity_is_held():
    np.testing.assert_allclose(ROWS["capacity 3 (beta 20)"]["rate"], 3, atol=0.5)


def test_a_rotation_costs_no_bound_and_most_of_the_score():
    """At beta = 1 the axes are as good as random, so there is nothing to lose: see the chapter."""
    for row in ROWS.values():
        assert max(row["turned"]["elbo_change"]) < 0.01
    assert np.mean(ROWS["beta 4"]["turned"]["mig"]) < 0.6 * np.mean(ROWS["beta 4"]["mig"])


def test_the_figure_walks_down_the_curve():
    stored = json.loads((RESULTS / "beta_vae_traversals.json").read_text())
    assert stored["meta"]["command"] == "python -m benchmarks.beta_vae --traversals"
    rows = [stored["rows"][f"beta {beta:g}"] for beta in beta_vae.FIGURE["betas"]]
    assert (np.diff([row["rate"] for row in rows]) < 0).all()
    assert (np.diff([row["distortion"] for row in rows]) > 0).all()
    for row in rows:
        assert len(row["pixels"]) == 5 * 9 * 256
        assert (np.diff(row["share"]) <= 0).all()
        assert sum(row["share"]) == pytest.approx(row["rate"], abs=1e-3)
    silent = np.array([int(digit, 16) for digit in rows[-1]["pixels"]]).reshape(5, 9, 256)
    assert np.ptp(silent, axis=1).max() <= 2  # of fifteen shades: at the largest price no row moves
