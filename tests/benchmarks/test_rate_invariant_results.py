"""The file of the rate-invariant autoencoder: a slice runs again; what the chapter says about it holds."""

import json

import numpy as np
import pytest
import torch

from benchmarks import rate_invariant
from benchmarks._common import RESULTS

FILE = json.loads((RESULTS / "rate_invariant.json").read_text())
ROWS = FILE["rows"]
NETWORKS = ("AE 3", "AE 13", "warp 3 + 10")


def test_the_file_has_every_row_and_says_how_it_was_made():
    assert set(ROWS) == set(rate_invariant.ROWS)
    assert FILE["meta"]["command"] == "python -m benchmarks.rate_invariant"
    assert FILE["meta"]["settings"] == rate_invariant.SETTINGS
    for name in ("raw", "dtw", *NETWORKS):
        assert len(ROWS[name]["accuracy"]) == len(rate_invariant.SEEDS)


def test_what_needs_no_training_comes_out_again():
    """A neighbour at nearly the same distance may change by rounding: two of 600 series are let go."""
    known, test = rate_invariant.draw(0)
    found = rate_invariant.neighbours(known.X, known.y, test.X, test.y)
    assert found == pytest.approx(ROWS["raw"]["accuracy"][0], abs=2.1 / 600)
    distances = rate_invariant.dtw_distances([*test.X], [*test.templates])
    share = np.mean(rate_invariant.vote(distances, np.arange(6), 1) == test.y)
    assert share == pytest.approx(ROWS["dtw"]["templates"][0], abs=2.1 / 600)


def test_a_shorter_run_of_one_seed_comes_near_the_stored_numbers():
    known, test = rate_invariant.draw(0)
    model = rate_invariant.fit(rate_invariant.warping, known.X, 0, steps=100)
    with torch.no_grad():
        error = float(model.loss(rate_invariant.tensor(test.X)).mean()) / 64
    stored = ROWS["warp 3 + 10"]["mse"][0]
    assert stored < error < 10 * stored
    codes = [rate_invariant.codes(model, part.X) for part in (known, test)]
    assert rate_invariant.neighbours(codes[0], known.y, codes[1], test.y) > 0.6


def test_distances_and_votes_by_hand():
    """Unequal lengths; the smaller label among equals."""
    found = rate_invariant.dtw_distances([np.array([0.0]), np.array([1.0, 1.0])], [np.array([0.0, 2.0])])
    np.testing.assert_allclose(found, [[2.0], [np.sqrt(2)]])
    votes = rate_invariant.vote(np.array([[0.1, 0.2, 0.3, 0.0]]), np.array([4, 2, 2, 4]), 4)
    assert votes.tolist() == [2]


def test_the_warp_helps_the_code():
    """At the same bottleneck, and at the same number of columns of the code."""
    means = {name: np.mean(ROWS[name]["accuracy"]) for name in NETWORKS}
    assert means["warp 3 + 10"] > means["AE 13"]
    assert means["warp 3 + 10"] > means["AE 3"] + 0.03
    warp = ROWS["warp 3 + 10"]
    assert np.mean(warp["within_sequence"]) < 0.6 * np.mean(warp["within"])
    assert np.mean(warp["correlation"]) > np.mean(warp["own_correlation"])


def test_few_series_make_a_worse_code_and_an_overfitted_warp():
    few, many = ROWS["few"], ROWS["warp 3 + 10"]
    assert few["train"] < FILE["meta"]["settings"]["train"]
    assert np.mean(few["accuracy"]) < np.mean(many["accuracy"])
    overfitted, fitted = (np.divide(row["mse"], row["train_mse"]).mean() for row in (few, many))
    assert overfitted > fitted
    assert np.mean(few["accuracy"]) > np.mean(few["raw"])


def test_the_gauge_that_was_fixed_on_training_series_holds_on_test_series():
    warp = ROWS["warp 3 + 10"]
    assert max(warp["gauge_test"]) < 0.5 * min(warp["gauge"])


@pytest.mark.dataset
@pytest.mark.parametrize("name", ["trace", "gunpoint", "pickup_gestures"])
def test_real_distances_come_out_again(name, monkeypatch):
    monkeypatch.setattr(rate_invariant, "SEEDS", [])
    found = rate_invariant.real(name)
    for key in ("raw", "dtw", "dtw_own_lengths"):
        assert found[key] == pytest.approx(ROWS[name][key], abs=0.021)
