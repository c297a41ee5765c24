"""The file of neural distribution functions: a slice is run again, and its claims follow from its numbers."""

import json

import numpy as np
import pytest
import torch

from benchmarks import neural_cdf
from benchmarks._common import RESULTS
from coursekit.density.neural_cdf import NeuralCDF

FILE = json.loads((RESULTS / "neural_cdf.json").read_text())
ROWS = {name: row for name, row in FILE["rows"].items() if name != "two_clumps"}
CLUMPS = FILE["rows"]["two_clumps"]


def test_the_file_has_every_row_and_says_how_it_was_made():
    assert set(FILE["rows"]) == set(neural_cdf.ROWS)
    assert FILE["meta"]["command"] == "python -m benchmarks.neural_cdf"
    assert FILE["meta"]["settings"]["steps"] == neural_cdf.STEPS
    for row in ROWS.values():
        for quantity in {"cdf_error", "ise", "mass"} & set(row):
            assert np.shape(row[quantity]) == (len(row["n"]), row["repetitions"])


@pytest.mark.parametrize("name", ROWS)
def test_a_slice_run_again_agrees(name):
    """The first data set of the smallest size. Training amplifies rounding: 5 percent; formulas exactly."""
    again, row = neural_cdf.one(name, ROWS[name]["n"][0], 0), ROWS[name]
    tolerance = 0.05 if name in neural_cdf.MODELS else 1e-4
    for quantity, value in again.items():
        assert value == pytest.approx(row[quantity][0][0], rel=tolerance), quantity


def test_slopes_follow_from_the_stored_numbers():
    for row in ROWS.values():
        for quantity, key in (("cdf_error", "cdf_slope"), ("ise", "ise_slope")):
            if quantity in row:
                found = neural_cdf.slope(row["n"], np.mean(row[quantity], axis=1))
                assert found == pytest.approx(row[key], abs=1e-4)


def test_the_distribution_function_is_as_good_as_the_empirical_one_and_no_faster():
    """Its slope is that of the staircase within both spreads, and the error within a third at every size."""
    staircase = ROWS["ecdf"]
    for name in neural_cdf.MODELS:
        row = ROWS[name]
        ratio = np.mean(row["cdf_error"], 1) / np.mean(staircase["cdf_error"], 1)
        assert np.all((ratio > 0.67) & (ratio < 1.33)), (name, ratio)
        spread = np.hypot(row["cdf_slope_se"], staircase["cdf_slope_se"])
        assert abs(row["cdf_slope"] - staircase["cdf_slope"]) < 3 * spread


def test_masses_are_one_only_where_the_model_makes_them_so():
    for name in neural_cdf.MODELS:
        mass = np.array(ROWS[name]["mass"])
        if "free" in name:
            assert np.all((mass > 0.85) & (mass < 0.999))
        else:
            np.testing.assert_allclose(mass, 1, atol=1e-6)
    assert np.mean(ROWS["slc_free"]["mass"][0]) < np.mean(ROWS["sic_free"]["mass"][0])


def test_likelihood_overfits_where_ranks_do_not():
    assert np.mean(ROWS["mle_mixture"]["ise"][0]) > 2 * np.mean(ROWS["sic_mixture"]["ise"][0])


def test_the_penalty_makes_negative_mass_small():
    mass = np.mean(CLUMPS["negative_mass"], axis=1)
    assert np.mean(CLUMPS["negative_share"][0]) > 0.1
    assert mass[-1] < 0.01 * mass[0]


@pytest.mark.parametrize("weight", [0, -1])
def test_the_stored_network_has_the_stored_share(weight):
    stored = CLUMPS["nets"][weight]
    model = NeuralCDF(1, hidden=neural_cdf.HIDDEN, loc=stored["loc"], scale=stored["scale"]).double()
    with torch.no_grad():
        for parameter, layer in zip(model.net.parameters(), stored["layers"], strict=True):
            parameter.copy_(torch.tensor(layer))
    assert neural_cdf.clump_errors(model)[0] == pytest.approx(CLUMPS["negative_share"][weight][0], abs=0.02)


def test_a_clump_run_again_agrees():
    share, mass = neural_cdf.clump_errors(neural_cdf.clump_fit(0.0, 0))
    assert share == pytest.approx(CLUMPS["negative_share"][0][0], abs=0.05)
    assert mass == pytest.approx(CLUMPS["negative_mass"][0][0], rel=0.2)
