"""Metrics: speed beside scipy, and what each metric says of known generators of digits.

    python -m benchmarks.metrics [--fresh] [--output FILE]

writes `results/metrics.json`, row by row (resumable)::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {
       "sliced":      {"n", "d", "projections", "times": {method: s}, "ratio", "largest_difference"},
       "frechet":     {"cases": [{"d", "times": {method: s}, "ratio", "relative_difference"}]},
       "permutation": {"n", "d", "permutations", "times": {method: s}, "ratio", "p": {method: p}},
       "digits":      {"generators", "metrics", "value": [generator][metric], "value_sd", "seeds"}}}

Times are processor seconds on one thread, the least of the runs. A ratio says how many times faster ours is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance
from sklearn.mixture import GaussianMixture

from benchmarks._common import Results, arguments
from coursekit import metrics
from coursekit.data import digits

Float = NDArray[np.float64]

SETTINGS = {
    "seeds": 3,
    "sliced": {"n": 5000, "d": 64, "projections": 200},
    "frechet_d": [64, 512, 2048],
    "permutation": {"n": 200, "d": 8, "permutations": 199},
    "digits_samples": 500,
}


def timed(compute: Callable[[], Any], *, runs: int = 3) -> tuple[float, Any]:
    """Processor seconds, the least of `runs`, and the value."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        value = compute()
        times.append(time.process_time() - start)
    return min(times), value


def sliced() -> dict[str, Any]:
    """Sliced Wasserstein distance: one sort of all projections, against scipy's function on each."""
    n, d, projections = SETTINGS["sliced"].values()  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, d)), rng.normal(0.1, 1.1, (n, d))
    theta = metrics.random_directions(projections, d, random_state=0)
    loop_s, loop = timed(lambda: np.mean([wasserstein_distance(x @ row, y @ row) for row in theta]), runs=2)
    times = {"scipy, loop, p = 1": loop_s}
    for p in (1, 2):
        times[f"coursekit, p = {p}"], value = timed(
            lambda p=p: metrics.sliced_wasserstein(x, y, p=p, directions=theta)
        )
        if p == 1:
            difference = abs(value - loop)
    times["coursekit, p = 1, unequal sizes"], _ = timed(
        lambda: metrics.sliced_wasserstein(x[:-7], y, p=1, directions=theta)
    )
    return {
        **SETTINGS["sliced"],  # type: ignore[dict-item]
        "times": times,
        "ratio": loop_s / times["coursekit, p = 1"],
        "largest_difference": difference,
    }


def frechet_by_root(shift: Float, a: Float, b: Float) -> float:
    """The textbook way: a general matrix square root."""
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(a @ b).real))


def frechet() -> dict[str, Any]:
    """Frechet distance of two Gaussians: Cholesky and symmetric eigenvalues, against a matrix root."""
    cases = []
    for d in SETTINGS["frechet_d"]:  # type: ignore[attr-defined]
        rng = np.random.default_rng(d)
        first, second = rng.standard_normal((2, 2 * d, d))
        a, b, shift = first.T @ first / (2 * d), second.T @ second / (2 * d), np.ones(d)
        runs = 3 if d < 1000 else 1
        ours_s, ours = timed(
            lambda a=a, b=b, shift=shift: metrics.frechet_distance_of_gaussians(shift, a, 0 * shift, b),
            runs=runs,
        )
        root_s, root = timed(lambda a=a, b=b, shift=shift: frechet_by_root(shift, a, b), runs=runs)
        cases.append(
            {
                "d": d,
                "times": {"coursekit": ours_s, "scipy sqrtm": root_s},
                "ratio": root_s / ours_s,
                "relative_difference": abs(ours - root) / root,
            }
        )
    return {"cases": cases}


def permutation() -> dict[str, Any]:
    """p-value of the energy distance: distances once, against the distance anew for each split."""
    n, d, count = SETTINGS["permutation"].values()  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, d)), rng.normal(0.05, 1, (n, d))
    options = {"n_permutations": count, "random_state": 0}
    once_s, once = timed(lambda: metrics.permutation_p_value(metrics.energy_distance, x, y, **options))
    anew_s, anew = timed(
        lambda: metrics.permutation_p_value(lambda a, b: metrics.energy_distance(a, b), x, y, **options),
        runs=1,
    )
    return {
        **SETTINGS["permutation"],  # type: ignore[dict-item]
        "times": {"distances once": once_s, "distances anew": anew_s},
        "ratio": anew_s / once_s,
        "p": {"distances once": once, "distances anew": anew},
    }


# ------------------------------------------------------------------------------------ digits
GENERATORS: dict[str, Callable[[Float, int, np.random.Generator], Float]] = {
    "held-out data": lambda train, n, rng: rng.permutation(digits("grey").validation.X),
    "memorizer (noise 0.05)": lambda train, n, rng: (
        rng.permutation(train)[:n] + 0.05 * rng.standard_normal((n, train.shape[1]))
    ),
    "kernel density (h = 0.25)": lambda train, n, rng: (
        train[rng.integers(len(train), size=n)] + 0.25 * rng.standard_normal((n, train.shape[1]))
    ),
    "full Gaussian": lambda train, n, rng: mixture(train, 1, n, rng),
    "Gaussian mixture (10)": lambda train, n, rng: mixture(train, 10, n, rng),
}


def mixture(train: Float, components: int, n: int, rng: np.random.Generator) -> Float:
    model = GaussianMixture(components, reg_covar=1e-3, random_state=int(rng.integers(2**31))).fit(train)
    return model.sample(n)[0]


def judge(samples: Float, train: Float, test: Float, seed: int) -> dict[str, float]:
    """Every metric of one set of samples."""
    report = metrics.nearest_neighbour_report(samples, train, test)
    precision, recall = metrics.precision_recall(samples, test)
    return {
        "sliced": metrics.sliced_wasserstein(samples, test, random_state=0),
        "energy": metrics.energy_distance(samples, test),
        "c2st": metrics.c2st(samples, test, random_state=seed),
        "c2st, 16 components": metrics.c2st(samples, test, pca=16, random_state=seed),
        "frechet on pixels": metrics.frechet_distance(samples, test),
        "copy": report.copy_rate,
        "spurious": report.spurious_rate,
        "precision": precision,
        "recall": recall,
    }


def digit_generators() -> dict[str, Any]:
    """What the metrics say of generators whose faults are known."""
    data = digits("grey")
    train, test = data.train.X, data.test.X
    scale = np.max(train)
    train, test = train / scale, test / scale
    tables = []
    for seed in range(SETTINGS["seeds"]):  # type: ignore[call-overload]
        rng = np.random.default_rng(seed)
        table = []
        for name, make in GENERATORS.items():
            samples = make(train, SETTINGS["digits_samples"], rng)  # type: ignore[arg-type]
            found = judge(samples / scale if name == "held-out data" else samples, train, test, seed)
            table.append(list(found.values()))
        tables.append(table)
    return {
        "generators": list(GENERATORS),
        "metrics": list(found),
        "value": np.mean(tables, axis=0),
        "value_sd": np.std(tables, axis=0, ddof=1),
        "seeds": SETTINGS["seeds"],
        "scale": "grey levels between 0 and 1",
    }


ROWS = {"sliced": sliced, "frechet": frechet, "permutation": permutation, "digits": digit_generators}


def main(argv: list[str] | None = None) -> None:
    """Compute what the file lacks and print it."""
    options = arguments("Metrics: speed beside scipy, known generators of digits.").parse_args(argv)
    results = Results(
        "metrics", settings=SETTINGS, device=options.device, path=options.output, fresh=options.fresh
    )
    for name, compute in ROWS.items():
        row = results.row(name, compute)
        print(f"\n{name}  ({row['cpu_seconds']:.1f} CPU s)", flush=True)
        if name == "frechet":
            for case in row["cases"]:
                print(f"  d = {case['d']}: {case['ratio']:.1f} times faster than sqrtm, {case['times']}")
        elif name == "digits":
            print(f"  {'':28}" + "".join(f"{metric[:10]:>12}" for metric in row["metrics"]))
            for generator, values in zip(row["generators"], row["value"], strict=True):
                print(f"  {generator:28}" + "".join(f"{value:12.3f}" for value in values))
        else:
            print(f"  {row['ratio']:.1f} times faster: {row['times']}")


if __name__ == "__main__":
    main()
