"""Learning curves, a generative against a discriminative classifier, and anomaly scores on the 8x8 digits.

    python -m benchmarks.what_is [--fresh] [--output FILE]

writes `results/what_is.json`, row by row (resumable)::

    {"meta": {"command", "settings": {...}, "device", "versions", "seconds"},
     "rows": {"patches":     {"sizes", "models", "parameters", "log_loss", "log_loss_sd", "test_entropy",
                              "crossing", "crossing_sd", "n_seeds"},
              "classifiers": {"sizes", "models", "error", "error_sd", "difference", "difference_se",
                              "n_seeds"},
              "anomalies":   {"kinds", "density_auroc", "density_auroc_sd", "typicality_auroc",
                              "typicality_auroc_sd", "mean_digit_above", "n_seeds"}}}

`log_loss` and `error` are lists by model, then by size: means over seeds, where a seed chooses the
training rows; losses are in nats for a patch of 9 bits, on all patches of the test images. `crossing`
is the size at which the full table begins to beat the logistic autoregression. A classifier's training
set has equally many digits of each class; `difference` is the error of naive Bayes minus that of each
logistic regression. For anomalies a seed is one draw of the dequantization noise. `..._sd` is the
standard deviation over seeds, `..._se` a standard error of the mean over them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy, multivariate_normal
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks._common import Results, arguments
from coursekit.data import digits
from coursekit.density.discrete import (
    BernoulliNaiveBayes,
    FullTable,
    IndependentBernoulli,
    LogisticAutoregression,
)

Float = NDArray[np.float64]

SETTINGS = {
    "patch_sizes": [30, 100, 300, 1000, 1500, 2000, 3000, 10_000],
    "patch_seeds": 50,
    "class_sizes": [20, 80, 320, 1200],
    "class_seeds": 50,
    "anomaly_seeds": 20,
}
PATCH_MODELS = [IndependentBernoulli(), LogisticAutoregression(), FullTable()]
CLASSIFIERS = {
    "naive Bayes": BernoulliNaiveBayes(),
    "logistic regression": LogisticRegression(max_iter=5000),
    "logistic regression, almost no ridge": LogisticRegression(C=1e4, max_iter=5000),
}


def patches(images: Float) -> Float:
    """All 3x3 patches of flat 8x8 images: (n, 64) -> (36 n, 9)."""
    windows = np.lib.stride_tricks.sliding_window_view(images.reshape(-1, 8, 8), (3, 3), axis=(1, 2))
    return windows.reshape(-1, 9)


def patch_losses(sizes: list[int], seeds: range) -> Float:
    """Test log-loss: (seeds, models, sizes), nats per patch; smaller training sets are parts of larger."""
    data = digits("thresholded")
    train, test = patches(data.train.X), patches(data.test.X)
    rows, weights = np.unique(test, axis=0, return_counts=True)  # at most 512 different patches
    losses = np.empty((len(seeds), len(PATCH_MODELS), len(sizes)))
    for s, seed in enumerate(seeds):
        order = np.random.default_rng(seed).permutation(len(train))
        for i, size in enumerate(sizes):
            for m, model in enumerate(PATCH_MODELS):
                log_p = model.fit(train[order[:size]]).log_prob(rows)
                losses[s, m, i] = -np.average(log_p, weights=weights)
    return losses


def patch_entropy() -> float:
    """Entropy of the test patches' own frequencies, in nats: no model's log-loss on them is smaller."""
    _, counts = np.unique(patches(digits("thresholded").test.X), axis=0, return_counts=True)
    return float(entropy(counts))


def crossing(sizes: list[int], simple: Float, flexible: Float) -> float:
    """Size at which `flexible` falls below `simple` for good, interpolated in log size."""
    gap = flexible - simple
    last = int(np.flatnonzero(gap > 0)[-1])
    if last + 1 == len(gap):
        return np.inf
    share = gap[last] / (gap[last] - gap[last + 1])
    return float(np.exp(np.log(sizes[last]) + share * np.log(sizes[last + 1] / sizes[last])))


def patch_row() -> dict[str, Any]:
    """Learning curves of the three models of patches."""
    sizes = SETTINGS["patch_sizes"]
    losses = patch_losses(sizes, range(SETTINGS["patch_seeds"]))
    found = [crossing(sizes, run[1], run[2]) for run in losses]
    return {
        "sizes": sizes,
        "models": [type(model).__name__ for model in PATCH_MODELS],
        "parameters": [model.n_parameters for model in PATCH_MODELS],
        "log_loss": losses.mean(axis=0),
        "log_loss_sd": losses.std(axis=0, ddof=1),
        "test_entropy": patch_entropy(),
        "crossing": np.mean(found),
        "crossing_sd": np.std(found, ddof=1),
        "n_seeds": len(losses),
    }


def class_errors(sizes: list[int], seeds: range) -> Float:
    """Test error: (seeds, models, sizes). Nothing is chosen, so the validation digits train too."""
    train, validation, test = digits("thresholded")
    X, y = np.concatenate([train.X, validation.X]), np.concatenate([train.y, validation.y])
    errors = np.empty((len(seeds), len(CLASSIFIERS), len(sizes)))
    for s, seed in enumerate(seeds):
        order = np.random.default_rng(seed).permutation(len(X))
        for i, size in enumerate(sizes):
            rows = np.concatenate([order[y[order] == label][: size // 10] for label in range(10)])
            for m, model in enumerate(CLASSIFIERS.values()):
                errors[s, m, i] = 1 - model.fit(X[rows], y[rows]).score(test.X, test.y)
    return errors


def class_row() -> dict[str, Any]:
    """Learning curves of naive Bayes and logistic regression."""
    errors = class_errors(SETTINGS["class_sizes"], range(SETTINGS["class_seeds"]))
    gap = errors[:, :1] - errors[:, 1:]
    return {
        "sizes": SETTINGS["class_sizes"],
        "models": list(CLASSIFIERS),
        "error": errors.mean(axis=0),
        "error_sd": errors.std(axis=0, ddof=1),
        "difference": gap.mean(axis=0),
        "difference_se": gap.std(axis=0, ddof=1) / np.sqrt(len(gap)),
        "n_seeds": len(errors),
    }


def anomaly_kinds(train: Float, test: Float, rng: np.random.Generator) -> dict[str, Float]:
    """Images that do not come from the law of the digits, by kind: (m, 64) each, grey levels 0 to 16."""
    mean = train.mean(axis=0)
    return {
        "the mean digit": mean.round()[None],
        "faded to the mean": (mean + 0.4 * (test - mean)).round(),
        "contrast x 0.4": (0.4 * test).round(),
        "mirrored": test.reshape(-1, 8, 8)[:, :, ::-1].reshape(-1, 64),
        "uniform noise": rng.integers(17, size=test.shape).astype(float),
    }


def anomaly_aurocs(seed: int) -> tuple[dict[str, tuple[float, float]], float]:
    """AUROC of low and of atypical density by kind, and the share of test digits below the mean digit."""
    train, _, test = digits("dequantized", random_state=seed)
    grey = digits("grey")
    rng = np.random.default_rng(seed)
    gaussian = multivariate_normal(train.X.mean(axis=0), np.cov(train.X, rowvar=False))
    usual, typical = gaussian.logpdf(test.X), gaussian.logpdf(train.X).mean()
    scores = {}
    for kind, images in anomaly_kinds(grey.train.X, grey.test.X, rng).items():
        noisy = (images + rng.random(images.shape)) / 17  # dequantized like every digit
        log_p = np.concatenate([usual, np.atleast_1d(gaussian.logpdf(noisy))])
        truth = np.repeat([0, 1], [len(usual), len(images)])
        scores[kind] = (roc_auc_score(truth, -log_p), roc_auc_score(truth, np.abs(log_p - typical)))
        if kind == "the mean digit":
            above = float(np.mean(usual < log_p[-1]))
    return scores, above


def anomaly_row() -> dict[str, Any]:
    """Low density and typicality as scores of anomalies under one full Gaussian."""
    runs = [anomaly_aurocs(seed) for seed in range(SETTINGS["anomaly_seeds"])]
    kinds = list(runs[0][0])
    table = np.array([[scores[kind] for kind in kinds] for scores, _ in runs])  # (seeds, kinds, 2)
    mean, sd = table.mean(axis=0), table.std(axis=0, ddof=1)
    return {
        "kinds": kinds,
        "density_auroc": mean[:, 0],
        "density_auroc_sd": sd[:, 0],
        "typicality_auroc": mean[:, 1],
        "typicality_auroc_sd": sd[:, 1],
        "mean_digit_above": np.mean([above for _, above in runs]),
        "n_seeds": len(runs),
    }


ROWS = {"patches": patch_row, "classifiers": class_row, "anomalies": anomaly_row}


def main(argv: list[str] | None = None) -> None:
    """Compute the missing rows and write them."""
    options = arguments(__doc__.splitlines()[0]).parse_args(argv)
    results = Results(
        "what_is", settings=SETTINGS, device=options.device, path=options.output, fresh=options.fresh
    )
    for name, compute in ROWS.items():
        row = results.row(name, compute)
        print(name, {key: row[key] for key in row if not key.endswith("sd")})


if __name__ == "__main__":
    main()
