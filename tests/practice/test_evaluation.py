"""What the chapter on evaluation claims: its stored numbers repeat, and its facts hold.

Stored runs are repeated in slices. Fits by EM may end elsewhere where a processor rounds differently, so
slices are compared within five standard deviations over seeds, or within a third; claims on stored numbers
have margins.
"""

import functools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from benchmarks import evaluation
from coursekit import metrics
from coursekit.data import digits

ROOT = Path(__file__).parents[2]
STORED = json.loads((ROOT / "results/evaluation.json").read_text())
ROWS = STORED["rows"]
SPEED = json.loads((ROOT / "results/metrics.json").read_text())


# ------------------------------------------------------------------------------------ stored runs
def test_the_stored_settings_are_those_of_the_program():
    assert STORED["meta"]["settings"] == evaluation.SETTINGS
    assert set(ROWS) == set(evaluation.ROWS)
    assert {"command", "device", "versions", "seconds"} <= set(STORED["meta"])


@functools.cache
def table():
    found = ROWS["generators"]
    return {
        name: dict(zip(found["metrics"], row, strict=True))
        for name, row in zip(found["generators"], found["value"], strict=True)
    }


def test_the_memorizer_wins_most_numbers_and_two_tell():
    judged = {name: row for name, row in table().items() if name != "held-out digits"}
    least = ["sliced", "max-sliced", "energy", "frechet", "kernel", "spurious"]
    for metric in least:
        assert min(judged, key=lambda name, metric=metric: judged[name][metric]) == "memorizer", metric
    for metric in ("precision", "parzen"):
        assert max(judged, key=lambda name, metric=metric: judged[name][metric]) == "memorizer", metric
    assert judged["memorizer"]["copy"] > 0.95
    assert judged["memorizer"]["log-likelihood"] is None  # minus infinity
    assert all(row["copy"] < 0.1 for name, row in table().items() if name != "memorizer")


def test_noise_is_cheap_and_ruins_everything_else():
    rows = table()
    noisy, ten, one = (rows[name] for name in ("mixture, 99 % noise", "mixture of 10", "one Gaussian"))
    assert 0 < ten["log-likelihood"] - noisy["log-likelihood"] <= math.log(100) + 1e-6
    assert noisy["log-likelihood"] > one["log-likelihood"] + 2
    for metric in ("sliced", "max-sliced", "energy", "frechet", "kernel"):
        assert noisy[metric] == max(row[metric] for row in rows.values())
    assert noisy["recall"] == min(row["recall"] for row in rows.values())


def test_a_lost_half_of_the_classes_costs_recall():
    rows = table()
    assert rows["mixture of 10"]["recall"] - rows["mixture of 0 to 4"]["recall"] > 0.15
    assert abs(rows["mixture of 10"]["precision"] - rows["mixture of 0 to 4"]["precision"]) < 0.15


def test_a_slice_of_the_table_repeats():
    """One seed, without the classifiers, against mean and spread over seeds."""
    train, validation, test = digits("dequantized")
    fresh = np.random.default_rng(0).permutation(np.concatenate([validation.X, test.X]))
    reference = fresh[: evaluation.ROWS_EACH]
    _, sample = evaluation.generators(train.X, train.y, 0)["memorizer"]
    drawn = sample(evaluation.ROWS_EACH)
    mean, sd = (
        dict(zip(ROWS["generators"]["metrics"], ROWS["generators"][key][1], strict=True))
        for key in ("value", "value_sd")
    )
    report = metrics.nearest_neighbour_report(drawn, train.X, reference)
    found = {
        "sliced": metrics.sliced_wasserstein(drawn, reference, random_state=0),
        "energy": metrics.energy_distance(drawn, reference),
        "copy": report.copy_rate,
        "spurious": report.spurious_rate,
        "parzen": evaluation.best_parzen(reference, drawn),
    }
    for name, value in found.items():
        assert abs(value - mean[name]) <= 5 * sd[name] + 1e-6, name


def test_the_bias_is_stored_as_it_is():
    row = ROWS["bias"]
    n, same, kernel = (np.array(row[key]) for key in ("n", "frechet", "kernel"))
    assert np.all(np.diff(same[0]) < 0)  # only a bias falls
    assert 0.5 < same[0][-1] * n[-1] / (same[0][3] * n[3]) < 1.5  # about as 1/n from 200 on
    assert np.all(np.abs(kernel[0]) < 5 * np.array(row["kernel_se"][0]))
    assert np.all(kernel[1][3:] > 5 * np.array(row["kernel_se"][1][3:]))
    assert same[0][0] > 3 * same[1][-1]  # 20 samples of the right law look worse than 2000 of the wrong one
    slice_of = evaluation.bias_values(evaluation.LAWS[0], 100, range(4))
    assert slice_of[:, 0].mean() == pytest.approx(same[0][row["n"].index(100)], rel=1 / 3)


def test_parzen_prefers_centroids():
    row = ROWS["parzen"]
    assert row["gap"] - 5 * row["gap_sd"] / math.sqrt(row["seeds"]) > 2
    samples, centroids, one, ten, _ = row["test"]
    assert centroids > samples > ten > one
    for value, mean, sd in zip(evaluation.parzen_scores(0), row["test"], row["test_sd"], strict=True):
        assert abs(value - mean) <= 5 * sd + 0.5
    growth = ROWS["parzen_n"]
    assert np.all(np.diff(growth["estimate"]) > 0)
    assert growth["truth"] - growth["estimate"][-1] > 20  # nats, at 30 000 samples


def test_the_tests_keep_their_level_and_no_one_is_best():
    row = ROWS["power"]
    rejected, runs = np.array(row["rejected"]), row["repetitions"]
    assert row["alternatives"][0] == "none"
    assert np.all(rejected[0] <= 0.05 + 5 * math.sqrt(0.05 * 0.95 / runs))
    best = rejected[1:].max(axis=1, keepdims=True)
    assert not np.any(np.all(rejected[1:] >= best - 0.02, axis=0))
    again = evaluation.rejections("all spreads times 1.25", range(6))
    stored = rejected[row["alternatives"].index("all spreads times 1.25")]
    error = np.sqrt(np.maximum(stored * (1 - stored), 0.05) / 6)
    assert np.all(np.abs(again - stored) < 5 * error + 1e-9)


def test_the_symmetric_form_is_several_times_faster():
    cases = {case["d"]: case for case in SPEED["rows"]["frechet"]["cases"]}
    assert cases[2048]["ratio"] > 4
    assert len(cases[2048]["ratios"]) == SPEED["meta"]["settings"]["frechet_rounds"]
    assert all(case["relative_difference"] < 1e-8 for case in cases.values())


# ------------------------------------------------------------------------------------ facts
@pytest.mark.parametrize("share", [0.3, 0.99])
def test_mixing_in_noise_costs_at_most_the_logarithm(share):
    """A mixture of normals as data law, model and noise, by quadrature."""
    law, model, noise = stats.norm(0, 1), stats.norm(0.3, 1.2), stats.uniform(-40, 80)
    loss = lambda q: quad(lambda x: -law.pdf(x) * np.log(q(x)), -12, 12, limit=200)[0]
    price = loss(lambda x: (1 - share) * model.pdf(x) + share * noise.pdf(x)) - loss(model.pdf)
    assert 0 < price < -math.log(1 - share)


def test_the_prices_in_bits_per_dimension():
    assert round(math.log2(100) / 64, 3) == 0.104
    assert round(math.log2(100) / 3072, 3) == 0.002


def test_no_set_tells_two_laws_apart_better_than_total_variation():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(6), size=2)
    bound = 0.5 + 0.25 * np.abs(p - q).sum()
    right = [
        0.5 * p[chosen].sum() + 0.5 * (1 - q[chosen].sum())
        for chosen in (np.array([i >> j & 1 for j in range(6)], dtype=bool) for i in range(64))
    ]
    assert max(right) == pytest.approx(bound, abs=1e-12)


def test_the_bias_of_the_diagonal():
    """(1 - E k)(1/n + 1/m); 4000 repetitions, five standard errors."""
    n, m, h, rng = 4, 7, 0.9, np.random.default_rng(1)
    mean_kernel = (h * h / (h * h + 2)) ** (2 / 2)
    values = [
        metrics.mmd(rng.standard_normal((n, 2)), rng.standard_normal((m, 2)), bandwidth=h, unbiased=False)
        for _ in range(4000)
    ]
    assert abs(np.mean(values) - (1 - mean_kernel) * (1 / n + 1 / m)) < 5 * np.std(values) / math.sqrt(4000)


def test_the_bias_of_the_frechet_distance():
    """d (d + 5) / 2n to leading order; the next order is smaller by about d/n."""
    d, n, rng = 6, 1200, np.random.default_rng(2)
    values = [metrics.frechet_distance(*rng.standard_normal((2, n, d))) for _ in range(60)]
    assert np.mean(values) == pytest.approx(d * (d + 5) / (2 * n), rel=0.15)


def test_the_exercise_by_hand():
    x, y = [[0.0], [2.0]], [[1.0], [3.0]]
    assert metrics.energy_distance(x, y) == pytest.approx(-1)
    assert metrics.energy_distance(x, y, unbiased=False) == pytest.approx(1)


def test_a_classifier_bounds_the_jensen_shannon_divergence():
    rng = np.random.default_rng(3)
    p, q = rng.dirichlet(np.ones(5), size=2)
    divergence = stats.entropy((p + q) / 2) - (stats.entropy(p) + stats.entropy(q)) / 2
    bound = lambda D: 0.5 * p @ np.log(D) + 0.5 * q @ np.log(1 - D) + math.log(2)
    assert bound(p / (p + q)) == pytest.approx(divergence, abs=1e-12)
    assert all(bound(rng.uniform(0.01, 0.99, 5)) < divergence for _ in range(200))


def test_one_outlier_makes_junk_precise():
    rng = np.random.default_rng(4)
    data, junk = rng.standard_normal((300, 2)), 8 + rng.standard_normal((300, 2))
    assert metrics.precision_recall(junk, data).precision == 0
    outlier = np.concatenate([data, [[30.0, 30.0]]])
    assert metrics.precision_recall(junk, outlier).precision > 0.9


def test_rounding_is_all_that_a_classifier_on_pixels_sees():
    rng = np.random.default_rng(5)
    grey = rng.permutation(digits("grey").train.X)[:400] / 16
    pair = grey[:200], grey[200:] + 1e-3 * rng.standard_normal((200, 64))
    assert metrics.c2st(*pair, random_state=0) > 0.95
    assert metrics.c2st(*pair, pca=16, random_state=0) < 0.7
