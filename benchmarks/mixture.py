"""Mixtures on the Swiss roll and on the digits: held-out score against the number of components.

    python -m benchmarks.mixture [--fresh] [--output FILE] [--only ROW ...]

writes `results/mixture.json`, row by row (resumable):

`roll`: full covariances on 2,000 points of the 2-D Swiss roll, scored on 4,000 others ::

    {"K": [...], "seeds": S, "entropy": nats,
     "train", "test": [...]           mean negative log-likelihood over seeds, nats
     "train_se", "test_se": [...]     standard error over seeds (new data and new starts)
     "bic": [...]                     seeds in which the Bayesian information criterion picks this K
     "rounds", "cpu": [...]}          mean rounds of EM and CPU seconds of a fit

`digits`: the dequantized 8x8 digits through a logit (5 % at each end), 1,097 to fit, 200 to choose, 500
to report, in bits per dimension ::

    {"seeds": S, "models": {name: {"chosen": [...]   the setting that validation picks, by seed
                                   "train", "test", "test_se"   mean over noise seeds and standard error
                                   "parameters", "cpu"}}}

`bits`: the thresholded digits, mixtures of Bernoullis, nats ::

    {"K": [...], "seeds": S, "train", "test", "test_se": [...]}
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.mixture import GaussianMixture as Reference

from benchmarks._common import Results, arguments
from coursekit.data import Logit, SwissRoll, bits_per_dim, digits
from coursekit.density.mixture import BernoulliMixture, GaussianMixture

SEEDS = 10
ROLL_K = (1, 2, 5, 10, 20, 30, 40, 60, 80)
BITS_K = (1, 10, 20, 40, 80)
ALPHAS = (10, 30, 60, 100)
RIDGES = (0.02, 0.05, 0.1, 0.2)


def mean_and_se(values: Any) -> tuple[Any, Any]:
    """Mean over the first axis, and its standard error."""
    values = np.asarray(values, dtype=float)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def roll_fit(K: int, seed: int) -> tuple[float, float, float, int, float]:
    """Train and test score, BIC, rounds and CPU seconds of one fit."""
    law = SwissRoll()
    train, test = law.sample(2000, random_state=seed), law.sample(4000, random_state=1000 + seed)
    start = time.process_time()
    model = GaussianMixture(K, n_init=3, tol=1e-5, max_iter=2000, random_state=seed).fit(train)
    seconds = time.process_time() - start
    return -model.score(train), -model.score(test), model.bic(train), model.n_iter_, seconds


def roll() -> dict[str, Any]:
    """The row `roll`."""
    table = np.array([[roll_fit(K, seed) for K in ROLL_K] for seed in range(SEEDS)])  # (S, K, 5)
    (train, test, _, rounds, cpu), (train_se, test_se, *_) = (part.T for part in mean_and_se(table))
    picks = np.bincount(table[:, :, 2].argmin(axis=1), minlength=len(ROLL_K))
    return {
        "K": ROLL_K,
        "seeds": SEEDS,
        "entropy": SwissRoll().entropy,
        "train": train,
        "test": test,
        "train_se": train_se,
        "test_se": test_se,
        "bic": picks,
        "rounds": rounds,
        "cpu": cpu,
    }


def digit_models() -> dict[str, tuple[tuple[Any, ...], Callable[[Any, int], Any]]]:
    """Name: the settings to choose from, and a maker of the model at one of them."""
    ours = {"n_init": 1, "tol": 1e-4}
    return {
        "one Gaussian": ((0, 10, 30), lambda alpha, s: GaussianMixture(1, alpha=alpha)),
        "10, full": (ALPHAS, lambda alpha, s: GaussianMixture(10, alpha=alpha, random_state=s, **ours)),
        "20, full": (ALPHAS, lambda alpha, s: GaussianMixture(20, alpha=alpha, random_state=s, **ours)),
        "40, tied": (
            (0,),
            lambda alpha, s: GaussianMixture(40, covariance_type="tied", random_state=s, **ours),
        ),
        "40, diag": (
            (1, 10),
            lambda alpha, s: GaussianMixture(40, covariance_type="diag", alpha=alpha, random_state=s, **ours),
        ),
        "10, full, a ridge added (scikit-learn)": (
            RIDGES,
            lambda ridge, s: Reference(10, reg_covar=ridge, random_state=s),
        ),
    }


def digit_fit(name: str, seed: int) -> tuple[Any, float, float, float]:
    """Setting that validation picks, train and test bits per dimension, CPU seconds of its fit."""
    parts, logit = digits("dequantized", random_state=seed), Logit(0.05)
    mapped = [logit.forward_and_log_det(part.X) for part in parts]  # (z, log-det) of the three parts
    settings, make = digit_models()[name]
    found = []
    for setting in settings:
        start = time.process_time()
        model = make(setting, seed).fit(mapped[0][0])
        seconds = time.process_time() - start
        found.append((*(bits_per_dim(np.mean(model.score_samples(z) + j)) for z, j in mapped), seconds))
    best = int(np.argmin([validation for _, validation, _, _ in found]))
    train, _, test, seconds = found[best]
    return settings[best], float(train), float(test), seconds


def digit_table() -> dict[str, Any]:
    """The row `digits`."""
    models = {}
    for name in digit_models():
        chosen, *numbers = zip(*(digit_fit(name, seed) for seed in range(SEEDS)), strict=True)
        (train, test, cpu), (_, test_se, _) = mean_and_se(np.transpose(numbers))
        models[name] = {"chosen": chosen, "train": train, "test": test, "test_se": test_se, "cpu": cpu}
    return {"seeds": SEEDS, "models": models}


def bits_fit(K: int, seed: int) -> tuple[float, float]:
    """Train and test negative log-likelihood of one fit."""
    parts = digits("thresholded")
    model = BernoulliMixture(K, alpha=0.1, n_init=1, tol=1e-4, random_state=seed).fit(parts.train.X)
    return -model.score(parts.train.X), -model.score(parts.test.X)


def bits() -> dict[str, Any]:
    """The row `bits`."""
    (train, test), (_, se) = (
        part.T for part in mean_and_se([[bits_fit(K, seed) for K in BITS_K] for seed in range(SEEDS)])
    )
    return {"K": BITS_K, "seeds": SEEDS, "train": train, "test": test, "test_se": se}


ROWS = {"roll": roll, "digits": digit_table, "bits": bits}


def main(argv: list[str] | None = None) -> None:
    """Compute what the file lacks and print it."""
    parser = arguments("Mixtures on the Swiss roll and the digits.")
    parser.add_argument("--only", nargs="+", choices=list(ROWS), help="these rows only")
    options = parser.parse_args(argv)
    results = Results(
        "mixture", settings={"seeds": SEEDS}, device=options.device, path=options.output, fresh=options.fresh
    )
    for name in options.only or ROWS:
        print(name, results.row(name, ROWS[name]))


if __name__ == "__main__":
    main()
