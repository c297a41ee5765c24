"""What the opening chapter claims: its stored numbers repeat, and its facts hold.

The slices of stored runs repeat with the same seeds, so they agree to the last digits; their
means agree with the stored ones within five standard errors, which a right program would
break with probability below 1e-6.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import entropy, multivariate_normal, norm

from benchmarks import what_is
from coursekit.data import digits
from coursekit.density.discrete import Categorical, DiscretizedGaussian, DiscretizedKernelDensity, Poisson

ROOT = Path(__file__).parents[2]
STORED = json.loads((ROOT / "results/what_is.json").read_text())
CHAPTER = (ROOT / "book/foundations/what_is.md").read_text()
FIRST = np.repeat([3, 4, 5, 6], [1, 6, 8, 5])[:, None].astype(float)
SECOND = np.repeat([3, 4, 5, 6, 8], [1, 6, 8, 4, 1])[:, None].astype(float)


def sample(name):
    """One of the chapter's two samples, read from the page."""
    line = next(line for line in CHAPTER.splitlines() if line.startswith(f"{name} = np.array("))
    return np.array(json.loads(line[line.index("[") : line.index("]") + 1]))


def test_the_two_samples_are_the_stated_ones_and_differ_in_two_places():
    first, second = sample("first"), sample("second")
    np.testing.assert_array_equal(np.sort(first), FIRST[:, 0])
    np.testing.assert_array_equal(np.sort(second), SECOND[:, 0])
    assert np.sum(first != second) == 2  # a 5 became an 8, and the last 6 a 5


# ------------------------------------------------------------------ stored runs


def test_the_stored_settings_are_those_of_the_program():
    assert STORED["meta"]["settings"] == what_is.SETTINGS
    assert set(STORED["rows"]) == set(what_is.ROWS)
    assert {"command", "device", "versions", "seconds"} <= set(STORED["meta"])


def test_a_slice_of_the_learning_curves_repeats():
    row = STORED["rows"]["patches"]
    picked = [0, 1, 2, 3]
    sizes = [row["sizes"][i] for i in picked]
    losses = what_is.patch_losses(sizes, range(5))
    se = np.array(row["log_loss_sd"])[:, picked] / np.sqrt(5)
    assert np.all(np.abs(losses.mean(axis=0) - np.array(row["log_loss"])[:, picked]) < 5 * se)


def test_the_learning_curves_say_what_the_chapter_says():
    row = STORED["rows"]["patches"]
    losses = dict(zip(row["models"], np.array(row["log_loss"]), strict=True))
    independent, logistic, table = (
        losses[name] for name in ("IndependentBernoulli", "LogisticAutoregression", "FullTable")
    )
    assert row["parameters"] == [9, 45, 511]
    assert row["test_entropy"] == pytest.approx(what_is.patch_entropy(), abs=1e-4)
    for curve in losses.values():
        assert np.all(curve > row["test_entropy"])
        assert np.all(np.diff(curve) < 0)
    assert table[0] > logistic[0]
    assert table[-1] < logistic[-1] < independent[-1]
    assert abs(row["crossing"] - 1500) < 700  # where the plan's own prototype saw it


def test_the_crossing_is_interpolated_in_log_size():
    sizes = [10, 100, 1000]
    found = what_is.crossing(sizes, np.array([1.0, 1.0, 1.0]), np.array([3.0, 2.0, 0.0]))
    assert found == pytest.approx(np.sqrt(100 * 1000))
    assert what_is.crossing(sizes, np.ones(3), np.full(3, 2.0)) == np.inf


def test_a_slice_of_the_classifiers_repeats():
    row = STORED["rows"]["classifiers"]
    errors = what_is.class_errors(row["sizes"][:3], range(4))
    se = np.array(row["error_sd"])[:, :3] / np.sqrt(4)
    assert np.all(np.abs(errors.mean(axis=0) - np.array(row["error"])[:, :3]) < 5 * se)


def test_there_is_no_crossing_of_any_size():
    """Naive Bayes is nowhere clearly better, and clearly worse with much data."""
    row = STORED["rows"]["classifiers"]
    gap, se = np.array(row["difference"]), np.array(row["difference_se"])  # (2, sizes)
    assert np.all(gap > -3 * se)
    assert np.all(gap[:, -1] > 10 * se[:, -1])
    assert np.all(gap[0] > 3 * se[0])  # with the usual ridge: ahead from the first row
    assert np.all(np.abs(gap[1, :2]) < 3 * se[1, :2])  # almost without: level for few digits


def test_a_slice_of_the_anomaly_scores_repeats():
    row = STORED["rows"]["anomalies"]
    scores, above = what_is.anomaly_aurocs(0)
    assert above == row["mean_digit_above"] == 1.0
    for i, kind in enumerate(row["kinds"]):
        low, far = scores[kind]
        assert abs(low - row["density_auroc"][i]) <= 5 * row["density_auroc_sd"][i] + 1e-6
        assert abs(far - row["typicality_auroc"][i]) <= 5 * row["typicality_auroc_sd"][i] + 1e-6


# ----------------------------------------------------------------------- facts


def test_the_parameter_counts_of_the_large_image():
    count = 2**784 - 1
    assert count == sum(2 ** (i - 1) for i in range(1, 785))
    assert str(count)[:3] == "101"
    assert len(str(count)) == 237  # 1.01... times 10 to the 236
    assert 784 * 785 // 2 == 307_720


def test_what_the_five_models_say_about_seven_and_eight():
    states = range(11)
    probability = lambda model, x, value: np.exp(model.fit(x).log_prob([[value]])[0])
    shares, smoothed = Categorical(states=states, alpha=0), Categorical(states=states, alpha=1)
    assert probability(shares, FIRST, 7) == probability(shares, FIRST, 8) == 0
    assert probability(smoothed, FIRST, 7) == probability(smoothed, FIRST, 8) == pytest.approx(1 / 31)
    assert probability(smoothed, SECOND, 8) == pytest.approx(2 / 31)
    for model in (Poisson(), DiscretizedGaussian(), DiscretizedKernelDensity(bandwidth=0.6)):
        assert probability(model, FIRST, 7) > probability(model, FIRST, 8) > 0


def leave_one_out(model, x):
    rows = np.arange(len(x))
    return -np.mean([model.fit(x[rows != i]).log_prob(x[[i]])[0] for i in rows])


def test_the_order_of_the_models_by_leave_one_out():
    models = [
        DiscretizedGaussian(),
        DiscretizedKernelDensity(bandwidth=0.6),
        Categorical(states=range(11), alpha=1),
        Poisson(),
        Categorical(states=range(11), alpha=0),
    ]
    for x in (FIRST, SECOND):
        losses = [leave_one_out(model, x) for model in models]
        assert losses == sorted(losses)
        assert losses[-1] == np.inf
    lead = [leave_one_out(models[2], x) - leave_one_out(models[0], x) for x in (FIRST, SECOND)]
    assert lead[1] < lead[0] / 2


def test_held_out_loss_is_not_below_the_entropy():
    """On draws from a known law, for every model of the chapter; five standard errors."""
    truth = Categorical(states=range(11), alpha=1).fit(FIRST)
    floor = entropy(truth.probabilities_[0])
    draws = truth.sample(20_000, random_state=0)
    for model in (Categorical(states=range(11)), Poisson(), DiscretizedKernelDensity(bandwidth=1.0)):
        loss = -model.fit(truth.sample(200, random_state=1)).log_prob(draws)
        assert loss.mean() > floor - 5 * loss.std() / np.sqrt(len(loss))


def test_spikes_make_the_density_of_new_integers_as_large_as_you_like():
    new = SECOND[SECOND <= 6][:, None]
    mean = lambda h: np.log(norm.pdf(new, FIRST.T, h).mean(axis=1)).mean()
    assert mean(1e-8) - mean(1e-4) == pytest.approx(4 * np.log(10), rel=1e-10)


def test_dequantization_bounds_the_mass_and_is_tight_for_constant_cells():
    u = (np.arange(20_000) + 0.5) / 20_000
    cells = np.arange(-3, 4)[:, None]
    gap = np.log(norm.cdf(cells[:, 0] + 1) - norm.cdf(cells[:, 0])) - norm.logpdf(cells + u).mean(axis=1)
    assert np.all(gap > 1e-3)
    wide = norm(scale=1e4)
    assert np.log(wide.cdf(1) - wide.cdf(0)) - wide.logpdf(u).mean() == pytest.approx(0, abs=1e-8)


def test_the_mode_of_a_gaussian_is_half_the_dimension_above_its_typical_set():
    X = digits("dequantized").train.X
    gaussian = multivariate_normal(X.mean(axis=0), np.cov(X, rowvar=False))
    gap = gaussian.logpdf(gaussian.mean) - gaussian.logpdf(X).mean()
    assert gap == pytest.approx(32 * (len(X) - 1) / len(X), rel=1e-6)  # the unbiased covariance's factor


def test_units_decide_which_images_have_a_low_density():
    """Faint digits: hidden where pixels are cubed, found where their logarithm is taken."""
    train, _, test = digits("dequantized")
    gaussian = multivariate_normal(train.X.mean(axis=0), np.cov(train.X, rowvar=False))
    rng = np.random.default_rng(0)
    faint = ((0.4 * digits("grey").test.X).round() + rng.random(test.X.shape)) / 17
    low = {}
    for unit, log_slope in {"cubed": lambda x: 2 * np.log(x), "log": lambda x: -np.log(x)}.items():
        usual, odd = (gaussian.logpdf(x) - log_slope(x).sum(axis=1) for x in (test.X, faint))
        low[unit] = np.mean(odd[:, None] < usual)  # the area under the ROC curve, by its definition
    assert low["cubed"] < 0.1
    assert low["log"] > 0.8
