"""Nearest neighbours: speed beside the peers, error on the Swiss roll, and the dimension that data feel.

    python -m benchmarks.knn [--fresh] [--output FILE]

writes `results/knn.json`, row by row (resumable)::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {
       "speed":      {"cases": [{"d", "n", "m", "seconds": {method: s}, "ratio": {method: s_sklearn / s}}]},
       "swiss_roll": {"n", "models", "error": [model][n], "error_se", "seeds", "metric"},
       "dimension":  {"data", "ambient", "estimate", "estimate_se", "seeds", "n", "metric"},
       "digits":     {"data", "radius", "radius_se", "seeds", "metric"}}}

Times are processor seconds, build and query together, the least of three runs, on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.datasets import make_swiss_roll
from sklearn.neighbors import KDTree, NearestNeighbors

from benchmarks._common import Results, arguments
from coursekit.data import SwissRoll, digits
from coursekit.density.kde import KernelDensity
from coursekit.density.knn import KNNDensity

Float = NDArray[np.float64]

SETTINGS = {
    "seeds": 20,
    "roll_n": [500, 2000, 8000],
    "sheet_n": [100, 300, 1000, 3000],
    "digits_n": [50, 100, 200, 400, 800, 1500],
    "k": 10,
}
SEEDS = range(SETTINGS["seeds"])  # type: ignore[call-overload]
K = 10


def summary(values: Any) -> tuple[Float, Float]:
    """Mean over the first axis, and its standard error."""
    values = np.asarray(values)
    return values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))


# ------------------------------------------------------------------------------------ speed
PEERS: dict[str, Callable[[Float, Float], Float]] = {
    "coursekit": lambda X, x: KNNDensity(K).fit(X).radius(x),
    "sklearn KDTree": lambda X, x: KDTree(X).query(x, k=K)[0][:, -1],
    "sklearn NearestNeighbors": lambda X, x: NearestNeighbors(n_neighbors=K).fit(X).kneighbors(x)[0][:, -1],
    "scipy cKDTree": lambda X, x: cKDTree(X).query(x, k=K)[0][:, -1],
}
CASES = [
    (1, 10**4, 10**4),
    (1, 10**5, 10**4),
    (1, 10**6, 10**4),
    (2, 10**5, 10**4),
    (8, 10**4, 2000),
    (32, 10**4, 1000),
]


def seconds(call: Callable[..., Any], *arguments: Any, runs: int = 3) -> float:
    best = np.inf
    for _ in range(runs):
        start = time.process_time()
        call(*arguments)
        best = min(best, time.process_time() - start)
    return best


def speed() -> dict[str, Any]:
    cases = []
    for d, n, m in CASES:
        rng = np.random.default_rng([d, n])
        X, x = rng.standard_normal((n, d)), rng.standard_normal((m, d))
        answers = [peer(X, x) for peer in PEERS.values()]
        assert all(np.allclose(answer, answers[0], rtol=1e-6) for answer in answers)
        took = {name: seconds(peer, X, x) for name, peer in PEERS.items()}
        ratio = {name: took["sklearn KDTree"] / s for name, s in took.items()}
        cases.append({"d": d, "n": n, "m": m, "seconds": took, "ratio": ratio})
    return {"cases": cases}


# ------------------------------------------------------------------------------------ error on the Swiss roll
MODELS: dict[str, Callable[[], Any]] = {
    "kNN, k = 2": lambda: KNNDensity(2),
    "kNN, k = 10": lambda: KNNDensity(10),
    "kNN, rule": lambda: KNNDensity("rule"),
    "KDE, Scott": lambda: KernelDensity("scott"),
    "KDE, cross-validated": lambda: KernelDensity("ucv"),
}


def swiss_roll() -> dict[str, Any]:
    law, table = SwissRoll(), []
    for seed in SEEDS:
        held_out = law.sample(1000, random_state=1000 + seed)
        truth, rows = law.log_prob(held_out), []
        for make in MODELS.values():
            fits = [make().fit(law.sample(n, random_state=seed)) for n in SETTINGS["roll_n"]]  # type: ignore[attr-defined]
            rows.append([np.abs(model.log_prob(held_out) - truth).mean() for model in fits])
        table.append(rows)
    error, error_se = summary(table)
    return {
        "metric": "mean |log estimate - log truth| on 1000 held-out points, nats",
        "n": SETTINGS["roll_n"],
        "models": list(MODELS),
        "error": error,
        "error_se": error_se,
        "seeds": len(SEEDS),
    }


# ------------------------------------------------------------------------------------ felt dimension
def in_64_dimensions(x: Float) -> Float:
    """Turned into 64 dimensions by an isometry: distances stay."""
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 64)))[0]
    return x @ basis[: x.shape[1]]


def all_digits() -> Float:
    return np.concatenate([part.X for part in digits("grey")])


def sources() -> dict[str, tuple[int, Callable[[int, Any], Float], Any]]:
    """Name: ambient dimension, draw(n, rng), sample sizes."""
    images = all_digits()
    small, large = SETTINGS["digits_n"], SETTINGS["sheet_n"]
    return {
        "Gaussian in 2-D": (2, lambda n, rng: rng.standard_normal((n, 2)), large),
        "Gaussian in 8-D": (8, lambda n, rng: rng.standard_normal((n, 8)), large),
        "Gaussian in 64-D": (64, lambda n, rng: rng.standard_normal((n, 64)), large),
        "rolled sheet in 64-D": (64, rolled_sheet, large),
        "8x8 digits": (64, lambda n, rng: images[rng.permutation(len(images))[:n]], small),
    }


def rolled_sheet(n: int, rng: Any) -> Float:
    """A two-dimensional sheet, rolled up without noise in three dimensions and turned into 64."""
    return in_64_dimensions(make_swiss_roll(n, random_state=int(rng.integers(2**31)))[0])


def felt_dimension(draw: Callable[[int, Any], Float], sizes: Any, rng: Any, k: int = 5) -> float:
    """-1 / slope of log median radius on log n: a ball that holds k of n points shrinks like n^(-1/m)."""
    radii = []
    for n in sizes:
        x = draw(n + 200, rng)
        radii.append(np.median(KNNDensity(k).fit(x[200:]).radius(x[:200])))
    return float(-1 / np.polyfit(np.log(sizes), np.log(radii), 1)[0])


def dimension() -> dict[str, Any]:
    found = sources()
    values = [
        [
            felt_dimension(draw, sizes, np.random.default_rng([seed, i]))
            for i, (_, draw, sizes) in enumerate(found.values())
        ]
        for seed in SEEDS
    ]
    estimate, estimate_se = summary(values)
    return {
        "metric": "-1 / slope of log median distance to the 5th neighbour on log n",
        "data": list(found),
        "ambient": [entry[0] for entry in found.values()],
        "n": [entry[2] for entry in found.values()],
        "estimate": estimate,
        "estimate_se": estimate_se,
        "seeds": len(SEEDS),
    }


# ------------------------------------------------------------------------------------ digits
def digit_distances() -> dict[str, Any]:
    """Median distance to the 10th of 1000 digits: from other digits, digits with shuffled pixels, noise."""
    images, radii = all_digits(), []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        images = rng.permutation(images)
        model, others = KNNDensity(K).fit(images[:1000]), images[1000:1500]
        kinds = [others, rng.permuted(others, axis=1), rng.uniform(images.min(), images.max(), others.shape)]
        radii.append([np.median(model.radius(kind)) for kind in kinds])
    radius, radius_se = summary(radii)
    return {
        "metric": "median distance to the 10th nearest of 1000 digits, grey levels",
        "data": ["other digits", "digits, pixels shuffled", "uniform noise"],
        "radius": radius,
        "radius_se": radius_se,
        "seeds": len(SEEDS),
    }


ROWS = {"speed": speed, "swiss_roll": swiss_roll, "dimension": dimension, "digits": digit_distances}


def main(argv: list[str] | None = None) -> None:
    """Compute what the file lacks and print it."""
    options = arguments("Nearest neighbours: speed, error, dimension.").parse_args(argv)
    results = Results(
        "knn", settings=SETTINGS, device=options.device, path=options.output, fresh=options.fresh
    )
    for name, compute in ROWS.items():
        row = results.row(name, compute)
        print(f"\n{name}  ({row['cpu_seconds']:.1f} CPU s)")
        if name == "speed":
            print("d, n, m: times faster than scikit-learn's KDTree")
            for case in row["cases"]:
                print(case["d"], case["n"], case["m"], {key: round(r, 2) for key, r in case["ratio"].items()})
        else:
            for key, value in row.items():
                print(f"  {key}: {value}")


if __name__ == "__main__":
    main()
