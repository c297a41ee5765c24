"""Slices of results/flows.json again, and what the page says about its numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import flows

FILE = json.loads((Path(__file__).parents[2] / "results/flows.json").read_text())
ROWS = FILE["rows"]


def test_all_rows_are_there_and_the_settings_are_those_of_the_program():
    assert set(ROWS) == set(flows.rows("cpu"))
    assert FILE["meta"]["settings"] == json.loads(json.dumps(flows.SETTINGS))


def test_splines_come_near_the_truth_and_affine_couplings_less():
    """A few hundredths of a nat for four splines; eight affine couplings are farther away, and may stall."""
    spline, affine = (ROWS[f"swiss roll: {name}"] for name in ("spline x4", "affine x8"))
    assert max(spline["gap"]) <= 0.03
    assert max(spline["gap"]) < min(affine["gap"])
    assert np.median(affine["gap"]) <= 0.27
    for row in (spline, affine):
        assert np.abs(np.array(row["mass"]) - 1).max() < 1e-3
        assert len(row["gap"]) == len(flows.SEEDS)


def test_images_beat_the_mixture_on_the_digits():
    assert max(ROWS["digits: images, two scales"]["bits"]) < min(
        ROWS["digits: mixture of 10 Gaussians"]["bits"]
    )


def test_the_mixture_again():
    """Deterministic up to the linear algebra's rounding."""
    again = flows.digit_mixture(seeds=(0,))["bits"][0]
    assert again == pytest.approx(ROWS["digits: mixture of 10 Gaussians"]["bits"][0], abs=0.02)


def test_one_digit_flow_again():
    """One seed, seconds; within three standard deviations of the seeds, and 0.03 for another processor."""
    row = ROWS["digits: affine x8"]
    again = flows.digit_flow("affine x8", seeds=(0,))["bits"][0]
    assert abs(again - np.mean(row["bits"])) < 3 * np.std(row["bits"], ddof=1) + 0.03


def test_ours_and_the_plain_implementation_are_the_same_function():
    """Otherwise their times say nothing."""
    torch.manual_seed(0)
    plain, ours = flows.Plain(), flows._ours()
    for net, coupling in zip(plain.nets, ours.layers[0].couplings, strict=True):
        coupling.net.load_state_dict(net.state_dict())
    x = torch.randn(16, flows.DIM)
    torch.testing.assert_close(ours.log_prob(x), plain.log_prob(x), atol=1e-3, rtol=1e-4)


def test_speed_is_measured_and_peers_that_are_absent_are_named():
    row = flows.speed(rounds=2, peers=())
    assert set(row["train"]) == {"plain split", "coursekit"}
    assert row["train"]["plain split"] == 1.0
    stored = ROWS["speed"]
    assert stored["absent"] == []
    assert all(stored["sample"]["coursekit"] <= stored["sample"][peer] for peer in flows.PEERS)
    assert all(stored["train"]["coursekit"] < stored["train"][peer] for peer in flows.PEERS)
