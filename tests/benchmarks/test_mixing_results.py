"""The file of the mixing autoencoders: a slice runs again, and what the chapter says about it holds."""

import json

import numpy as np
import torch

from benchmarks import mixing
from benchmarks._common import RESULTS

FILE = json.loads((RESULTS / "mixing.json").read_text())
ROWS = FILE["rows"]
WITH_CYCLE = ["cycle", "cycle, adversary", "cycle, classifier", "all"]
MODELS = [name for name in mixing.ROWS if name != "labels"]


def mean(row, key):
    return float(np.mean(ROWS[row][key]))


def test_the_file_has_every_row_and_says_how_it_was_made():
    assert set(ROWS) == set(mixing.ROWS)
    assert FILE["meta"]["command"] == "python -m benchmarks.mixing"
    assert FILE["meta"]["settings"] == mixing.SETTINGS
    for name in MODELS:
        chunks = 5 if name == "beta-VAE" else 4
        assert np.shape(ROWS[name]["moved"]) == np.shape(ROWS[name]["retrieval"]) == (3, chunks, 5)
        assert len(ROWS[name]["mig"]) == len(ROWS[name]["cpu"]) == len(mixing.SEEDS)


def test_a_shorter_run_of_one_seed_comes_near_the_stored_numbers():
    """A third of the steps: worse, and better than a code that says nothing, which costs about 66 nats."""
    model = mixing.fit(0, "cycle", steps=300)
    with torch.no_grad():
        costs = model.terms(mixing.images(), generator=mixing.seeded(0))
    for name in ("reconstruction", "cycle"):
        assert ROWS["cycle"][name][0] < float(getattr(costs, name).mean()) < 55
    found = mixing.arithmetic(model, 0, trials=500)
    assert found["factor_control"] < found["factor"] < mean("cycle", "factor")


def test_the_cycle_is_cheap_only_where_it_is_trained():
    for name in WITH_CYCLE:
        assert mean(name, "cycle") < mean("reconstruction", "cycle")


def test_the_cycle_moves_factors_and_kills_chunks():
    assert mean("cycle", "gap") > 2 * mean("reconstruction", "gap")
    assert ROWS["reconstruction"]["alive"] == [4, 4, 4]
    assert max(ROWS["cycle"]["alive"]) < 4


def test_no_model_is_disentangled():
    for name in MODELS:
        assert max(ROWS[name]["gap"]) < 0.5
        assert max(ROWS[name]["mig"]) < 0.3


def test_arithmetic_beats_its_control_and_still_mostly_fails():
    for name in MODELS:
        assert min(ROWS[name]["factor"]) > 1.5 * max(ROWS[name]["factor_control"])
        assert min(ROWS[name]["arithmetic"]) > max(ROWS[name]["control"])
        assert max(ROWS[name]["arithmetic"]) < 0.2
    assert min(ROWS["labels"]["edited"]) > 2 * max(max(ROWS[name]["arithmetic"]) for name in MODELS)
