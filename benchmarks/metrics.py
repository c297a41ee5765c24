"""Metrics: speed beside scipy.

    python -m benchmarks.metrics [--fresh] [--output FILE]

writes `results/metrics.json`, row by row (resumable)::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {
       "sliced":      {"n", "d", "projections", "times": {method: s}, "ratio", "largest_difference"},
       "frechet":     {"cases": [{"d", "times": {method: s}, "ratio", "ratios", "relative_difference"}]},
       "permutation": {"n", "d", "permutations", "times": {method: s}, "ratio", "p": {method: p}}}}

Times are processor seconds on one thread, the least of the runs. A ratio says how many times faster ours is.
The two ways to a Frechet distance run by turns, so that other work on the machine slows both; `ratio` is the
median of the rounds' `ratios`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance

from benchmarks._common import Results, arguments
from coursekit import metrics

Float = NDArray[np.float64]

SETTINGS = {
    "sliced": {"n": 5000, "d": 64, "projections": 200},
    "frechet_d": [64, 512, 2048],
    "frechet_rounds": 3,
    "permutation": {"n": 200, "d": 8, "permutations": 199},
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
        ways = {
            "coursekit": lambda a=a, b=b, shift=shift: metrics.frechet_distance_of_gaussians(
                shift, a, 0 * shift, b
            ),
            "scipy sqrtm": lambda a=a, b=b, shift=shift: frechet_by_root(shift, a, b),
        }
        rounds = []
        for _ in range(SETTINGS["frechet_rounds"]):  # type: ignore[call-overload]
            rounds.append({name: timed(way, runs=1) for name, way in ways.items()})
        ours, root = (rounds[0][name][1] for name in ways)
        ratios = [race["scipy sqrtm"][0] / race["coursekit"][0] for race in rounds]
        cases.append(
            {
                "d": d,
                "times": {name: min(race[name][0] for race in rounds) for name in ways},
                "ratio": float(np.median(ratios)),
                "ratios": ratios,
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


ROWS = {"sliced": sliced, "frechet": frechet, "permutation": permutation}


def main(argv: list[str] | None = None) -> None:
    """Compute what the file lacks and print it."""
    options = arguments("Metrics: speed beside scipy.").parse_args(argv)
    results = Results(
        "metrics", settings=SETTINGS, device=options.device, path=options.output, fresh=options.fresh
    )
    for name, compute in ROWS.items():
        row = results.row(name, compute)
        print(f"\n{name}  ({row['cpu_seconds']:.1f} CPU s)", flush=True)
        if name == "frechet":
            for case in row["cases"]:
                print(f"  d = {case['d']}: {case['ratio']:.1f} times faster than sqrtm, {case['times']}")
        else:
            print(f"  {row['ratio']:.1f} times faster: {row['times']}")


if __name__ == "__main__":
    main()
