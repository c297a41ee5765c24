"""The numbers of the projections chapter: slices are run again and compared within their stated spread.

One seed is allowed 8 standard deviations of the stored seeds, which are few.
"""

import itertools
import json
import math

import numpy as np
import pytest

from benchmarks import projections
from benchmarks._common import RESULTS
from coursekit.data import SwissRoll
from coursekit.gaussianization import distance_to_normal
from coursekit.metrics import random_directions

FILE = json.loads((RESULTS / "projections.json").read_text())
ROWS = FILE["rows"]


def test_the_file_says_how_it_was_made():
    assert set(ROWS) == set(projections.ROWS)
    assert FILE["meta"]["settings"] == projections.SETTINGS
    assert all(row["seeds"] >= 5 for name, row in ROWS.items() if name != "mass")


def test_error_of_a_fresh_seed():
    row = ROWS["bins"]
    points, truth, area = projections.pixels()
    X = SwissRoll().sample(projections.SETTINGS["bins_n"], random_state=77)
    for i in (0, 3):
        found = projections.reconstruct(X, 128, row["n_bins"][i], points)
        error = projections.errors(found, truth, area)["linear"]
        assert abs(error - row["error"][i]) < 8 * math.sqrt(row["seeds"]) * row["error_se"][i]


def test_error_falls_with_views_and_mass_stays_one():
    row = ROWS["angles"]
    error = row["error"]["linear"]
    assert all(a > b for a, b in itertools.pairwise(error))
    assert error[0] > 200 * error[row["n_angles"].index(64)]
    np.testing.assert_allclose(row["mass"], 1, atol=0.01)
    few, many = row["error"]["clipped"][0], row["error"]["clipped"][-1]
    assert few < error[0]  # clipping helps with few views
    assert many > error[-1]  # and keeps noise with many


def test_noise_is_as_predicted_where_bias_is_small():
    """The finest bins: error less the bias, which is below that with 200,000 points, is the noise."""
    row = ROWS["bins"]
    i = row["n_bins"].index(192)
    assert row["predicted_noise"][i] < row["error"][i] < 2 * row["predicted_noise"][i]


def test_interpolation_leaves_half_of_the_noise():
    """Against white noise on a fine grid: the mean of 1/f times the spectrum of interpolated noise."""
    f = (np.arange(200_000) + 0.5) / 50_000  # to 4 times the sampling rate
    spectrum = np.abs(f - np.round(f)) ** 2 * np.sinc(f) ** 4 / f
    assert projections.interpolated_share() == pytest.approx(8 * spectrum.sum() / 50_000, rel=1e-3)


def test_mass_of_both_ramps_again():
    row = projections.mass()
    np.testing.assert_allclose(row["mass"], ROWS["mass"]["mass"], atol=1e-5)
    assert max(row["mass"][1]) < 0.98 < min(row["mass"][0])


def test_views_of_a_fresh_cube():
    row = ROWS["normal"]
    i = row["data"].index("uniform cube, 8-D")
    rng = np.random.default_rng(99)
    X = projections.cube(8)(row["n"], rng)
    found = projections.normality(X, 50, rng)
    assert found["distance"] == pytest.approx(row["distance"][i], rel=0.25)
    assert found["shell"] == pytest.approx(row["shell"][i], rel=0.25)


def test_only_what_breaks_a_condition_stays_far_from_normal():
    row = ROWS["normal"]
    at = {name: row["distance"][i] for i, name in enumerate(row["data"])}
    assert at["uniform cube, 784-D"] == pytest.approx(at["normal law, 784-D"], rel=0.05)
    assert at["Student t, 784-D"] > 3 * at["normal law, 784-D"]
    clumps = row["data"].index("two clumps, 784-D")
    assert row["farthest"][clumps] > 5 * row["distance"][clumps]


def test_two_clumps_are_normal_in_random_views_only():
    X = projections.spikes(784)(1000, np.random.default_rng(0))
    X = X - X.mean(axis=0)
    views = random_directions(20, 784, random_state=1) @ X.T  # with seed 0 they would be rows of X
    assert distance_to_normal(views / views.std(axis=1, keepdims=True)).mean() < 0.1
    first = X[:, 0] / X[:, 0].std()
    assert distance_to_normal(first[None])[0] > 0.3


def test_ghosts_agree_on_their_views_and_sliced_distances_fall_at_the_root_rate():
    ghosts, sliced = ROWS["ghosts"], ROWS["sliced"]
    assert max(ghosts["aligned"]) < 2 * max(ghosts["floor"])
    assert ghosts["all"][0] > 20 * ghosts["floor"][0]
    rate = np.log(np.array(sliced["distance"])[:, 0] / np.array(sliced["distance"])[:, -1]) / np.log(16)
    np.testing.assert_allclose(rate, 0.5, atol=0.12)
    whole = np.array(sliced["wasserstein"])
    assert whole[-1, -1] > 0.7 * whole[-1, 0]
