"""The stored results of Wasserstein GANs: a slice is made again, and the chapter's sentences are checked."""

import json

import numpy as np
import pytest

from benchmarks import wgan
from benchmarks._common import RESULTS

STORED = json.loads((RESULTS / "wgan.json").read_text(encoding="utf-8"))
ROWS = STORED["rows"]
SHIFTS = np.array(wgan.SHIFTS)


def claims(name, dim=2):
    return np.array(ROWS[f"claims, {dim} columns, {name}"]["claim"])  # (seeds, shifts)


def test_the_file_says_how_it_was_made():
    assert STORED["meta"]["command"] == "python -m benchmarks.wgan"
    settings = STORED["meta"]["settings"]
    assert settings["ring_steps"] == wgan.RING_STEPS
    assert settings["claim_steps"] == wgan.CLAIM_STEPS
    assert settings["digit_steps"] == wgan.DIGIT_STEPS
    assert all(len(row["seeds"]) >= 3 for row in ROWS.values() if "seeds" in row)
    assert {f"ring, {name}" for name in wgan.RINGS} <= set(ROWS)
    assert {f"claims, 2 columns, {name}" for name in wgan.CLAIMS} <= set(ROWS)


@pytest.mark.parametrize("name", ["penalty 10", "spectral"])
def test_a_claim_made_again_agrees(name):
    """Another processor rounds differently; the claim moves by far less than a fifth."""
    again, slope = wgan.claim(*wgan.CLAIMS[name], 2, 2.0, 0)
    stored = ROWS[f"claims, 2 columns, {name}"]
    np.testing.assert_allclose(again, stored["claim"][0][1], rtol=0.2)
    np.testing.assert_allclose(slope, stored["slope"][0][1], rtol=0.3)


def test_the_distance_between_two_samples_of_the_ring_is_made_again():
    np.testing.assert_allclose(wgan.ring_data()["w1"], ROWS["ring, data"]["w1"], rtol=1e-5)


@pytest.mark.parametrize("weight", [1, 10])
def test_penalized_claims_are_too_large_by_the_predicted_amount(weight):
    found = claims(f"penalty {weight}").mean(axis=0)
    predicted = SHIFTS + SHIFTS**2 / (2 * weight)
    assert np.all(np.abs(found - predicted) < 0.05 * predicted + 0.1)


def test_on_the_line_two_sided_critics_are_stuck_at_the_predicted_value_and_one_sided_ones_are_not():
    stuck = claims("penalty 10", dim=1)
    wrong = stuck[stuck[:, 1] < 0]
    assert 1 <= len(wrong) < len(stuck)
    assert np.all(np.abs(wrong + SHIFTS - SHIFTS**2 / 20) < 0.15)
    assert np.all(claims("one-sided 10", dim=1) > 0)


def test_a_clipped_claim_has_an_unknown_unit_and_a_spectral_one_stays_below():
    assert np.all(claims("clip 0.01") < 0.02 * SHIFTS)
    assert np.all(claims("clip 0.1") > 2 * SHIFTS)
    spectral = claims("spectral").mean(axis=0)
    assert np.all(spectral < SHIFTS)
    assert np.all(spectral > 0.8 * SHIFTS)


def test_what_the_chapter_says_of_the_ring():
    data = np.mean(ROWS["ring, data"]["w1"])
    penalty, clip = ROWS["ring, penalty 1, longer"], ROWS["ring, clip 0.1"]
    assert min(penalty["modes"]) == 8
    assert data < np.mean(penalty["w1"]) < np.mean(clip["w1"])
    for curve in penalty["curves"]:
        assert curve["w1"][-1] < curve["w1"][0]
