"""The numbers of the autoregressive chapter: a slice is run again and compared within its stated spread.

A fresh seed is allowed 6 standard deviations of the stored seeds, and never less than 0.15 nats for a
network: with few seeds their own spread is uncertain.
"""

import json

import numpy as np
import pytest

from benchmarks import autoregressive
from benchmarks._common import RESULTS

FILE = json.loads((RESULTS / "autoregressive.json").read_text())
ROWS = FILE["rows"]


def allowed(values, least):
    return max(6 * np.std(values, ddof=1), least)


def test_the_file_says_how_it_was_made():
    assert set(ROWS) <= set(autoregressive.experiments("small", "cpu"))
    not_yet = ("mnist", "digits MADE, 4")  # the chapter says so
    assert {
        name for name in autoregressive.experiments("small", "cpu") if not name.startswith(not_yet)
    } <= set(ROWS)
    assert FILE["meta"]["settings"] == autoregressive.SETTINGS | {"scale": "small"}
    assert FILE["meta"]["versions"]["torch"]
    assert all(row["n_seeds"] >= 3 for name, row in ROWS.items() if "MADE" in name or "roll" in name)


@pytest.mark.parametrize("name", ["independent bits", "logistic autoregression"])
def test_models_without_seeds_come_out_the_same(name):
    again = autoregressive.classical_row(name)
    assert again["test"] == pytest.approx(ROWS[f"digits {name}"]["test"], rel=1e-5)
    assert again["parameters"] == ROWS[f"digits {name}"]["parameters"]


def test_made_with_a_fresh_seed():
    row = ROWS["digits MADE"]
    runs, parameters = autoregressive.digit_runs("MADE", range(77, 78))
    assert abs(runs[0][0].mean() - np.mean(row["test"])) < allowed(row["test"], 0.15)
    assert parameters == row["parameters"]


def test_one_layer_on_the_roll_with_a_fresh_seed():
    """A layer by itself is a chain of Gaussians: after a tenth of the steps it is nearly there."""
    row = ROWS["roll MAF x1"]
    gap, parameters = autoregressive.roll_gap(1, 77, 300)
    assert abs(gap.mean() - np.mean(row["gap"])) < allowed(row["gap"], 0.15)
    assert parameters == row["parameters"]


def test_the_mixture_of_bernoullis_is_a_law():
    """Summed over all states of four bits."""
    rng = np.random.default_rng(0)
    x = (rng.random((50, 4)) < 0.4).astype(float)
    states = np.array(np.meshgrid(*[[0.0, 1.0]] * 4)).reshape(4, -1).T
    assert np.exp(-autoregressive.mixture_loss(x, 3, 0, iterations=20)(states)).sum() == pytest.approx(1)


def test_what_the_chapter_says_of_the_table():
    test = {name: np.mean(row["test"]) for name, row in ROWS.items() if "test" in row}
    assert test["digits MADE"] < test["digits logistic autoregression"] < test["digits independent bits"] - 5
    gaps = [np.mean(ROWS[f"roll MAF x{layers}"]["gap"]) for layers in (1, 4, 8)]
    assert gaps == sorted(gaps, reverse=True)
