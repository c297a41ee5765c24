"""The numbers of the nearest-neighbour chapter: a slice is run again and compared within its stated spread.

One seed is allowed 6 standard deviations of the stored seeds: a false alarm in a million at most.
"""

import json
import math

import numpy as np
import pytest

from benchmarks import knn
from benchmarks._common import RESULTS
from coursekit.data import SwissRoll

FILE = json.loads((RESULTS / "knn.json").read_text())
ROWS = FILE["rows"]


def spread(row, error, i):
    """Standard deviation of one seed, from the standard error of the mean."""
    return np.asarray(row[error])[i] * math.sqrt(row["seeds"])


def test_the_file_says_how_it_was_made():
    assert set(ROWS) == set(knn.ROWS)
    assert FILE["meta"]["settings"] == knn.SETTINGS
    assert FILE["meta"]["versions"]["scikit-learn"]
    assert all(row["seeds"] >= 20 for name, row in ROWS.items() if name != "speed")


@pytest.mark.parametrize("i", range(len(knn.MODELS)))
def test_swiss_roll_error_of_a_fresh_seed(i):
    row, law = ROWS["swiss_roll"], SwissRoll()
    held_out = law.sample(1000, random_state=5)
    model = list(knn.MODELS.values())[i]().fit(law.sample(row["n"][0], random_state=6))
    error = np.abs(model.log_prob(held_out) - law.log_prob(held_out)).mean()
    assert abs(error - row["error"][i][0]) < 6 * spread(row, "error_se", i)[0]


def test_dimension_of_a_fresh_seed():
    row = ROWS["dimension"]
    for i, (_, draw, sizes) in enumerate(knn.sources().values()):
        estimate = knn.felt_dimension(draw, sizes, np.random.default_rng(77))
        assert abs(estimate - row["estimate"][i]) < 6 * spread(row, "estimate_se", i), row["data"][i]


def test_felt_dimension_of_a_regular_lattice_is_its_own():
    """Points evenly spread over a square or a cube have the dimension of the square or the cube."""
    for d in (1, 2, 3):
        rng = np.random.default_rng(d)
        estimate = knn.felt_dimension(lambda n, r, d=d: r.uniform(size=(n, d)), [500, 2000, 8000], rng)
        assert estimate == pytest.approx(d, rel=0.1)


def test_turning_into_64_dimensions_keeps_distances():
    x = np.random.default_rng(0).standard_normal((5, 3))
    y = knn.in_64_dimensions(x)
    assert y.shape == (5, 64)
    np.testing.assert_allclose(np.linalg.norm(y[0] - y[1]), np.linalg.norm(x[0] - x[1]))


def test_digits_are_nearer_to_digits_than_to_noise():
    radius, error = np.array(ROWS["digits"]["radius"]), np.array(ROWS["digits"]["radius_se"])
    assert np.all(radius[1:] > 2 * radius[0])
    assert np.all(error < 0.01 * radius)


def test_the_sorted_window_is_ahead_of_every_peer_on_the_line():
    for case in ROWS["speed"]["cases"]:
        if case["d"] == 1:
            assert case["ratio"]["coursekit"] > 5
            assert case["ratio"]["coursekit"] == max(case["ratio"].values())
