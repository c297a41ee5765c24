"""Evaluation: what each number says of generators whose faults are known, and how each is wrong.

    python -m benchmarks.evaluation [--fresh] [--output FILE]

writes `results/evaluation.json`, row by row (resumable)::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {
       "generators": {"generators", "metrics", "value", "value_sd": [generator][metric], "accuracy", ...},
       "bias":       {"n", "laws", "frechet": [law][n], "frechet_se", "kernel", "kernel_se"},
       "parzen":     {"samples", "test", "test_sd", "gap", "gap_sd"},
       "parzen_n":   {"n", "estimate": [n], "truth"},
       "power":      {"alternatives", "tests", "rejected": [alternative][test], "repetitions"}}}

Digits are the dequantized ones. Feature distances are those of the course's own network, trained anew for
each seed.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsClassifier

from benchmarks._common import Results, arguments
from coursekit import metrics
from coursekit.data import digits
from coursekit.density.kde import KernelDensity
from coursekit.density.mixture import GaussianMixture

Float = NDArray[np.float64]

SETTINGS = {
    "seeds": 5,
    "rows": 350,
    "features": 16,
    "bandwidth": 0.15,
    "noise": 0.99,
    "widths": [0.08, 0.1, 0.12, 0.15, 0.18, 0.22, 0.27, 0.33],
    "bias": {"n": [20, 50, 100, 200, 500, 1000, 2000], "repetitions": 20},
    "parzen": {"points": 200, "samples": 1000},
    "parzen_n": [100, 300, 1000, 3000, 10000, 30000],
    "power": {"n": 60, "d": 8, "repetitions": 60, "permutations": 59, "neighbours": 5},
}
ROWS_EACH, N_SEEDS = SETTINGS["rows"], SETTINGS["seeds"]


LAWS = ["the same law", "another law"]


def mixture(X: Float, components: int, seed: int) -> GaussianMixture:
    """A mixture that does not overfit 64 pixels: part of the pooled covariance in each component."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(components, alpha=30, n_init=1, random_state=seed).fit(X)


@functools.cache
def features(seed: int) -> metrics.FeatureNetwork:
    """The digits' feature network of a seed."""
    train = digits("dequantized").train
    return metrics.FeatureNetwork((8, 8), n_features=SETTINGS["features"], random_state=seed).fit(
        train.X, train.y
    )


def with_noise(samples: Float, rng: np.random.Generator) -> Float:
    """Replace samples by uniform noise, each with the settings' chance."""
    noise = rng.random(samples.shape)
    return np.where(rng.random((len(samples), 1)) < SETTINGS["noise"], noise, samples)


def best_parzen(held_out: Float, samples: Float) -> float:
    """The Parzen estimate at the width that flatters these samples most."""
    return max(metrics.parzen_log_likelihood(held_out, samples, bandwidth=h) for h in SETTINGS["widths"])


def generators(
    train: Float, labels: Float, seed: int
) -> dict[str, tuple[Callable[[Float], Float] | None, Callable[[int], Float]]]:
    """Log-density, where there is one, and sampler of each generator that is judged."""
    rng = np.random.default_rng(seed)
    grey = digits("grey").train.X
    kernels = KernelDensity(bandwidth=SETTINGS["bandwidth"]).fit(train)
    one, ten = mixture(train, 1, seed), mixture(train, 10, seed)
    five = mixture(train[labels < 5], 10, seed)
    share = SETTINGS["noise"]

    def memorized(n: int) -> Float:
        return (grey[rng.integers(len(grey), size=n)] + rng.random((n, 64))) / 17

    return {
        "memorizer": (None, memorized),
        "kernel density": (kernels.log_prob, lambda n: kernels.sample(n, random_state=seed)),
        "one Gaussian": (one.log_prob, lambda n: one.sample(n, random_state=seed)),
        "mixture of 10": (ten.log_prob, lambda n: ten.sample(n, random_state=seed)),
        "mixture, 99 % noise": (
            lambda x: np.logaddexp(np.log(share), np.log(1 - share) + ten.log_prob(x)),
            lambda n: with_noise(ten.sample(n, random_state=seed), rng),
        ),
        "mixture of 0 to 4": (five.log_prob, lambda n: five.sample(n, random_state=seed)),
    }


METRICS = [
    *("log-likelihood", "sliced", "max-sliced", "energy", "c2st", "c2st, 16 components"),
    *("frechet", "kernel", "precision", "recall", "copy", "spurious", "parzen"),
]


def judge(
    samples: Float, reference: Float, train: Float, network: metrics.FeatureNetwork, seed: int
) -> list[float]:
    """Every number but the likelihood, of one set of samples."""
    ours, theirs = network.transform(samples), network.transform(reference)
    report = metrics.nearest_neighbour_report(samples, train, reference)
    return [
        metrics.sliced_wasserstein(samples, reference, random_state=0),
        metrics.max_sliced_wasserstein(samples, reference, n_starts=4, n_steps=20, random_state=0).distance,
        metrics.energy_distance(samples, reference),
        metrics.c2st(samples, reference, random_state=seed),
        metrics.c2st(samples, reference, pca=16, random_state=seed),
        metrics.frechet_distance(ours, theirs),
        metrics.polynomial_mmd(ours, theirs),
        *metrics.precision_recall(ours, theirs),
        report.copy_rate,
        report.spurious_rate,
        best_parzen(reference, samples),
    ]


def one_table(seed: int) -> tuple[list[str], Float, float]:
    """Names, numbers and the network's accuracy for one seed."""
    train, validation, test = digits("dequantized")
    rng = np.random.default_rng(seed)
    fresh = rng.permutation(np.concatenate([validation.X, test.X]))
    reference, held_out = fresh[:ROWS_EACH], fresh[ROWS_EACH : 2 * ROWS_EACH]
    network = features(seed)
    models = generators(train.X, train.y, seed)
    table = [[np.nan, *judge(held_out, reference, train.X, network, seed)]]
    for log_prob, sample in models.values():
        score = float(log_prob(reference).mean()) if log_prob else -np.inf
        table.append([score, *judge(sample(ROWS_EACH), reference, train.X, network, seed)])
    return ["held-out digits", *models], np.array(table), network.score(test.X, test.y)


def generators_row() -> dict[str, Any]:
    """What the numbers say of generators whose faults are known."""
    runs = [one_table(seed) for seed in range(N_SEEDS)]
    tables = np.array([table for _, table, _ in runs])
    with np.errstate(invalid="ignore"):
        return {
            "generators": runs[0][0],
            "metrics": METRICS,
            "value": tables.mean(axis=0),
            "value_sd": tables.std(axis=0, ddof=1),
            "accuracy": np.mean([accuracy for _, _, accuracy in runs]),
            "seeds": N_SEEDS,
        }


def bias_values(law: str, n: int, repetitions: range) -> Float:
    """Fréchet distance and polynomial MMD of features, between n draws of the mixture and n of a law."""
    train = digits("dequantized").train.X
    network, one, ten = features(0), mixture(train, 1, 0), mixture(train, 10, 0)
    other, j, found = {LAWS[0]: ten, LAWS[1]: one}[law], SETTINGS["bias"]["n"].index(n), []
    for r in repetitions:
        x = network.transform(ten.sample(n, random_state=1000 * r + j))
        y = network.transform(other.sample(n, random_state=10**6 + 1000 * r + j))
        found.append([metrics.frechet_distance(x, y), metrics.polynomial_mmd(x, y)])
    return np.array(found)  # (repetitions, 2)


def bias_row() -> dict[str, Any]:
    """Two estimates at many sample sizes: a law against itself, and against another one."""
    sizes, repetitions = SETTINGS["bias"]["n"], SETTINGS["bias"]["repetitions"]
    values = np.array([[bias_values(law, n, range(repetitions)) for n in sizes] for law in LAWS])
    found: dict[str, Any] = {"n": sizes, "laws": LAWS}
    for name, value in zip(("frechet", "kernel"), np.moveaxis(values, -1, 0), strict=True):
        found[name] = value.mean(axis=-1)  # (laws, sizes)
        found[f"{name}_se"] = value.std(axis=-1, ddof=1) / np.sqrt(repetitions)
    return found


def parzen_scores(seed: int) -> list[float]:
    """Parzen estimates of test digits, the width chosen on validation digits."""
    train, validation, test = digits("dequantized")
    rng = np.random.default_rng(seed)
    points, n = SETTINGS["parzen"].values()
    sets = [
        rng.permutation(train.X)[:points],
        KMeans(points, n_init=1, random_state=seed).fit(train.X).cluster_centers_,
        mixture(train.X, 1, seed).sample(n, random_state=seed),
        mixture(train.X, 10, seed).sample(n, random_state=seed),
        train.X,
    ]
    scores = []
    for samples in sets:
        on_validation = [
            metrics.parzen_log_likelihood(validation.X, samples, bandwidth=h) for h in SETTINGS["widths"]
        ]
        h = SETTINGS["widths"][int(np.argmax(on_validation))]
        scores.append(metrics.parzen_log_likelihood(test.X, samples, bandwidth=h))
    return scores


def parzen_row() -> dict[str, Any]:
    """Whose samples the Parzen estimate prefers."""
    scores = np.array([parzen_scores(seed) for seed in range(N_SEEDS)])
    gap = scores[:, 1] - scores[:, 0]
    return {
        "samples": [
            "200 training digits",
            "200 centroids of k-means",
            "1,000 samples of one Gaussian",
            "1,000 samples of the mixture of 10",
            "all 1,097 training digits",
        ],
        "test": scores.mean(axis=0),
        "test_sd": scores.std(axis=0, ddof=1),
        "gap": gap.mean(),
        "gap_sd": gap.std(ddof=1),
        "seeds": N_SEEDS,
    }


def parzen_n_row() -> dict[str, Any]:
    """The Parzen estimate of a model whose log-density is known, as its samples grow in number."""
    train, _, test = digits("dequantized")
    model = mixture(train.X, 10, 0)
    sizes = SETTINGS["parzen_n"]
    estimates = [best_parzen(test.X, model.sample(n, random_state=n)) for n in sizes]
    return {"n": sizes, "estimate": estimates, "truth": model.log_prob(test.X).mean()}


# ------------------------------------------------------------------------------------ power
def _rotated(rng: np.random.Generator, shape: tuple[int, int]) -> Float:
    y = rng.standard_normal(shape)
    y[:, 1] = 0.9 * y[:, 0] + np.sqrt(1 - 0.81) * y[:, 1]
    return y


ALTERNATIVES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Float]] = {
    "none": lambda rng, shape: rng.standard_normal(shape),
    "mean moved by 0.5": lambda rng, shape: rng.normal(0.5 / np.sqrt(shape[1]), 1, shape),
    "all spreads times 1.25": lambda rng, shape: rng.normal(0, 1.25, shape),
    "one spread times 2.5": lambda rng, shape: rng.standard_normal(shape) * ([2.5] + [1] * (shape[1] - 1)),
    "two columns tied": _rotated,
    "heavy tails": lambda rng, shape: rng.standard_t(2.5, shape) / np.sqrt(5),
}


def tests(d: int) -> dict[str, Callable[[Float, Float], float]]:
    """Statistics that are large where laws differ, without randomness of their own."""
    theta = metrics.random_directions(50, d, random_state=0)
    return {
        "energy": metrics.energy_distance,
        "MMD": metrics.mmd,
        "polynomial MMD": metrics.polynomial_mmd,
        "sliced": functools.partial(metrics.sliced_wasserstein, directions=theta),
        "max-sliced": lambda x, y: (
            metrics.max_sliced_wasserstein(x, y, n_starts=1, n_steps=3, random_state=0).distance
        ),
        "frechet": metrics.frechet_distance,
    }


def rejections(name: str, repetitions: range) -> Float:
    """Share of rejections at five percent, for every test (the classifier last)."""
    n, d, count = (SETTINGS["power"][key] for key in ("n", "d", "permutations"))
    statistics, found = tests(d), []
    for r in repetitions:
        rng = np.random.default_rng([r, list(ALTERNATIVES).index(name)])
        x, y = rng.standard_normal((n, d)), ALTERNATIVES[name](rng, (n, d))
        options = {"n_permutations": count, "random_state": r}
        p = [metrics.permutation_p_value(statistic, x, y, **options) for statistic in statistics.values()]
        classifier = KNeighborsClassifier(SETTINGS["power"]["neighbours"])
        found.append([*p, metrics.c2st_p_value(x, y, classifier=classifier, **options)])
    return np.mean(np.array(found) <= 0.05, axis=0)


def power_row() -> dict[str, Any]:
    """How often each test notices each difference, at a false-alarm rate of five percent."""
    repetitions = SETTINGS["power"]["repetitions"]
    return {
        "alternatives": list(ALTERNATIVES),
        "tests": [*tests(SETTINGS["power"]["d"]), "C2ST, 5 neighbours"],
        "rejected": [rejections(name, range(repetitions)) for name in ALTERNATIVES],
        "repetitions": repetitions,
    }


ROWS = {
    "generators": generators_row,
    "bias": bias_row,
    "parzen": parzen_row,
    "parzen_n": parzen_n_row,
    "power": power_row,
}


def main(argv: list[str] | None = None) -> None:
    """Compute what the file lacks and print it."""
    options = arguments(__doc__.splitlines()[0]).parse_args(argv)
    results = Results(
        "evaluation", settings=SETTINGS, device=options.device, path=options.output, fresh=options.fresh
    )
    for name, compute in ROWS.items():
        row = results.row(name, compute)
        print(f"\n{name}  ({row['cpu_seconds']:.1f} CPU s)", flush=True)
        for key, value in row.items():
            if not key.endswith(("sd", "se", "seconds")):
                print(f"  {key}: {np.array2string(np.array(value, dtype=object), max_line_width=160)}")


if __name__ == "__main__":
    main()
