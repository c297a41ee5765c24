"""The results on mixtures: a slice runs again, and the numbers say what the chapter says of them.

Everything is seeded; where libraries round differently, EM may take another
path, which the stated standard errors allow for.
"""

import json

import numpy as np
import pytest

from benchmarks import mixture
from benchmarks._common import RESULTS
from coursekit.data import SwissRoll

FILE = json.loads((RESULTS / "mixture.json").read_text())
ROWS = FILE["rows"]


def test_the_file_has_every_row_and_says_how_it_was_made():
    assert set(ROWS) == set(mixture.ROWS)
    assert FILE["meta"]["command"] == "python -m benchmarks.mixture"
    assert FILE["meta"]["device"]
    assert {"python", "numpy", "scipy", "scikit-learn"} <= set(FILE["meta"]["versions"])
    assert all(row["seeds"] == mixture.SEEDS for row in ROWS.values())


@pytest.mark.parametrize("K", [1, 5, 10])
def test_the_roll_again_with_two_seeds(K):
    """Two seeds against ten: five standard errors of the difference."""
    row, i = ROWS["roll"], ROWS["roll"]["K"].index(K)
    again = np.mean([mixture.roll_fit(K, seed)[1] for seed in range(2)])
    spread = row["test_se"][i] * np.sqrt(10) * np.sqrt(1 / 2 + 1 / 10)
    assert abs(again - row["test"][i]) < 5 * spread


def test_the_roll_is_what_theory_and_earlier_measurements_say():
    row = ROWS["roll"]
    assert row["test"][0] == pytest.approx(2.771, abs=0.02)  # one Gaussian
    assert row["entropy"] == pytest.approx(SwissRoll().entropy, abs=1e-4)
    assert min(row["test"]) > row["entropy"]  # no model beats the law
    assert row["train"] == sorted(row["train"], reverse=True)  # the training score falls on and on
    best = int(np.argmin(row["test"]))
    assert 0 < best < len(row["K"]) - 1  # the held-out score has a minimum inside
    assert row["K"][int(np.argmax(row["bic"]))] <= row["K"][best]


@pytest.mark.parametrize("name", ["one Gaussian", "10, full, a ridge added (scikit-learn)"])
def test_the_digits_again_with_one_seed(name):
    row = ROWS["digits"]["models"][name]
    setting, train, test, _ = mixture.digit_fit(name, 0)
    if name != "one Gaussian":  # which is the same at every setting, so that the last bit would choose
        assert setting == row["chosen"][0]
    spread = row["test_se"] * np.sqrt(mixture.SEEDS)
    assert abs(test - row["test"]) < 5 * spread
    assert train < test


def test_the_digits_in_their_order():
    models = ROWS["digits"]["models"]
    one = models["one Gaussian"]["test"]
    for name in ("10, full", "20, full", "40, tied", "10, full, a ridge added (scikit-learn)"):
        assert models[name]["test"] < one - 0.05, name


def test_the_bits_again():
    row = ROWS["bits"]
    train, test = mixture.bits_fit(10, 0)
    i = row["K"].index(10)
    assert abs(test - row["test"][i]) < 5 * row["test_se"][i] * np.sqrt(10)
    assert train < test
    assert row["test"][i] < row["test"][0] - 3  # independent bits are far behind
