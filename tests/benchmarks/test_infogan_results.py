"""The stored results of InfoGAN: base lines are made again, and the chapter's sentences are checked."""

import json
import math

import numpy as np

from benchmarks import infogan
from benchmarks._common import RESULTS

STORED = json.loads((RESULTS / "infogan.json").read_text(encoding="utf-8"))
ROWS = STORED["rows"]
MAIN = ROWS["weight 1, noise 8"]


def test_the_file_says_how_it_was_made():
    assert STORED["meta"]["command"] == "python -m benchmarks.infogan"
    assert STORED["meta"]["settings"]["steps"] == infogan.STEPS
    assert len(MAIN["seeds"]) == 5
    assert all(f"weight {weight:g}, noise {noise}" in ROWS for weight, noise, _ in infogan.CASES)


def test_base_lines_made_again_agree():
    """Random codes agree exactly; k-means to a few images, whatever rounds."""
    assert infogan.random_codes()["purity"] == ROWS["random codes"]["purity"]
    again = infogan.clusters(seeds=(0,))["k-means"]["purity"]
    assert abs(again[0] - np.mean(ROWS["clusters"]["k-means"]["purity"])) < 0.05


def test_a_short_run_reads_its_own_codes():
    """Three hundred steps are enough for most of the information; the full run has nearly all of it."""
    short = infogan.judge(infogan.fitted(0, steps=300))
    assert 0.5 < short["information"] <= math.log(10)
    assert set(short) <= set(MAIN)


def test_all_information_is_used_and_k_means_has_the_better_purity():
    assert min(MAIN["information"]) > 0.95 * math.log(10)
    base = ROWS["clusters"]["k-means"]
    assert max(MAIN["purity"]) < min(base["purity"])
    assert np.mean(MAIN["purity"]) > 2 * np.mean(ROWS["random codes"]["purity"])
    assert np.ptp(MAIN["purity"]) > 2 * np.ptp(base["purity"])


def test_without_weight_nobody_teaches_the_reader():
    untaught = ROWS["weight 0, noise 8"]
    assert max(untaught["information"]) < 0.05
    assert np.mean(untaught["purity"]) < np.mean(MAIN["purity"])


def test_stored_samples_and_counts_fit_together():
    row = ROWS["samples"]
    images, counts = np.array(row["images"]), np.array(row["counts"])
    assert images.shape == (10, 8, 64)
    assert images.min() >= 0
    assert images.max() <= 16
    assert counts.shape == (10, 10)
    assert counts.sum() == 500
    assert abs(counts.max(axis=0).sum() / 500 - MAIN["purity"][0]) < 1e-9
