"""Kernel densities side by side with their peers: CPU time as a ratio to scikit-learn's exact sum.

    OMP_NUM_THREADS=1 python -m benchmarks.kde [--quick] [--fresh] [--output FILE]

prints the table and writes `results/kde_speed.json`, case by case (resumable)::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {"1-D, n = 1e4": {"d", "n", "m", "rounds", "methods": {name: {
         "ratio",                    median over rounds of CPU time / scikit-learn's exact CPU time
         "ratio_low", "ratio_high",  quartiles of those ratios
         "cpu",                      median CPU seconds
         "error", "error_99"}}},     largest and 99 % error of the log-density against a literal sum
      "exponentials": {"ranges", "nanoseconds": {kind: [per element, for each range of exponents]}}}}

A time is that of fitting and of evaluating m queries together, on one thread, process CPU time. In a
round every method runs once, in shuffled order, so that a busy neighbour hits all of them alike.
`--quick` takes the smallest size and three rounds, and writes nothing unless `--output` is given.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from scipy.interpolate import RegularGridInterpolator  # noqa: E402
from scipy.special import gammaln, logsumexp  # noqa: E402
from scipy.stats import gaussian_kde  # noqa: E402
from sklearn.neighbors import KernelDensity as SklearnKernelDensity  # noqa: E402

from benchmarks._common import Results, arguments, versions  # noqa: E402
from coursekit.base import Table  # noqa: E402
from coursekit.density.kde import KernelDensity  # noqa: E402

Answer = Callable[[Any, Any, float], Any]  # (data, queries, bandwidth) -> log-density

QUERIES = {10**4: 1000, 10**5: 300, 10**6: 60}
ROUNDS = 7
BASE = "scikit-learn exact"


def sklearn_(kernel: str = "gaussian", **options: Any) -> Answer:
    return lambda X, x, h: SklearnKernelDensity(bandwidth=h, kernel=kernel, **options).fit(X).score_samples(x)


def ours(**options: Any) -> Answer:
    return lambda X, x, h: KernelDensity(h, **options).fit(X).log_prob(x)


def scipy_(X: Any, x: Any, h: float) -> Any:
    factor = h / X.std(ddof=1) if X.shape[1] == 1 else h  # in one dimension exactly the same estimate
    return gaussian_kde(X.T, bw_method=factor).logpdf(x.T)


def kdepy_points(name: str) -> Answer:
    def answer(X: Any, x: Any, h: float) -> Any:
        import KDEpy

        with np.errstate(divide="ignore"):
            return np.log(getattr(KDEpy, name)(bw=h).fit(X).evaluate(x))

    return answer


def kdepy_grid(X: Any, x: Any, h: float) -> Any:
    """KDEpy's FFT on 4096 or 512 x 512 points, and linear interpolation of the logarithm."""
    from KDEpy import FFTKDE

    with np.errstate(divide="ignore"):
        if X.shape[1] == 1:
            grid, values = FFTKDE(bw=h).fit(X)(4096)
            return np.interp(x[:, 0], np.ravel(grid), np.log(values), left=np.nan, right=np.nan)
        grid, values = FFTKDE(bw=h).fit(X)((512, 512))
        axes = [np.unique(grid[:, i]) for i in range(2)]
        log_values = np.log(np.maximum(values, 1e-300)).reshape(512, 512)
    return RegularGridInterpolator(axes, log_values, bounds_error=False)(x)


def methods(d: int, n: int) -> dict[str, tuple[str, Answer]]:
    """Name: (kernel, how to answer). Peers that would take minutes are left out."""
    found: dict[str, tuple[str, Answer]] = {
        BASE: ("gaussian", sklearn_()),
        "scikit-learn rtol=1e-4": ("gaussian", sklearn_(rtol=1e-4)),
        "scipy gaussian_kde": ("gaussian" if d == 1 else "unchecked", scipy_),
        "coursekit float64": ("gaussian", ours()),
        "coursekit float32": ("gaussian", ours(dtype="float32")),
    }
    if n <= 10**4:
        found["KDEpy NaiveKDE"] = ("gaussian", kdepy_points("NaiveKDE"))
    if d <= 2 and n <= 10**5:
        found["KDEpy TreeKDE"] = ("gaussian", kdepy_points("TreeKDE"))
    if d <= 2:
        found["KDEpy FFTKDE + interpolation"] = ("gaussian", kdepy_grid)
        found["coursekit grid"] = ("gaussian", ours(method="grid"))
    found["scikit-learn Epanechnikov"] = ("epanechnikov", sklearn_("epanechnikov"))
    found["coursekit Epanechnikov"] = ("epanechnikov", ours(kernel="epanechnikov"))
    return found


def literal(X: Any, x: Any, h: float, kernel: str) -> Any:
    """The definition, independent of the package: log mean of the scaled kernels."""
    n, d = X.shape
    out = []
    for row in x:
        square = ((row - X) ** 2).sum(axis=1) / h**2
        if kernel == "gaussian":
            out.append(logsumexp(-0.5 * square) - 0.5 * d * np.log(2 * np.pi))
        else:
            log_volume = 0.5 * d * np.log(np.pi) - gammaln(0.5 * d + 1)
            with np.errstate(divide="ignore"):
                out.append(np.log(np.maximum(1 - square, 0).sum()) + np.log((d + 2) / 2) - log_volume)
    return np.array(out) - np.log(n) - d * np.log(h)


def errors(answer: Any, truth: Any) -> tuple[float, float]:
    """Largest and 99 % error where both are finite."""
    both = np.isfinite(answer) & np.isfinite(truth)
    gap = np.abs(np.where(both, answer, 0) - np.where(both, truth, 0))
    return float(gap.max()), float(np.quantile(gap, 0.99))


def race(d: int, n: int, rounds: int, seed: int = 0) -> dict[str, Any]:
    """One case: every method, `rounds` times, on the same normal data and queries."""
    rng = np.random.default_rng([seed, d, n])
    m, h = QUERIES[n], n ** (-1 / (d + 4))
    X, x = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    entries = methods(d, n)
    truth = {"gaussian": literal(X, x, h, "gaussian")}
    truth["epanechnikov"] = literal(X, x, h * np.sqrt(d + 4), "epanechnikov")  # the same variance
    cpu: dict[str, list[float]] = {name: [] for name in entries}
    answers = {}
    for _ in range(rounds):
        for name in rng.permutation(list(entries)):
            kernel, answer = entries[name]
            width = h * np.sqrt(d + 4) if kernel == "epanechnikov" else h
            start = time.process_time()
            answers[name] = answer(X, x, width)
            cpu[name].append(time.process_time() - start)
    base = np.array(cpu[BASE])
    table = {}
    for name, (kernel, _) in entries.items():
        low, middle, high = np.quantile(np.array(cpu[name]) / base, [0.25, 0.5, 0.75])
        worst, error_99 = errors(answers[name], truth[kernel]) if kernel in truth else (np.nan, np.nan)
        table[name] = {
            "ratio": middle,
            "ratio_low": low,
            "ratio_high": high,
            "cpu": np.median(cpu[name]),
            "error": worst,
            "error_99": error_99,
        }
    return {"d": d, "n": n, "m": m, "rounds": rounds, "methods": table}


RANGES = [(-10, 0), (-80, 0), (-100, -90), (-500, -200), (-2000, -1000)]


def exponentials(elements: int = 2**18, repeats: int = 5) -> dict[str, Any]:
    """Nanoseconds per exponential, by range of the exponents: the least of a few runs."""
    import torch

    torch.set_num_threads(1)
    rng, found = np.random.default_rng(0), {}
    kinds = [
        (f"{library} {dtype}", library, dtype)
        for library in ("numpy", "torch")
        for dtype in ("float64", "float32")
    ]
    for kind, library, dtype in kinds:
        row = []
        for low, high in RANGES:
            x = rng.uniform(low, high, elements).astype(dtype)
            out = np.empty_like(x)
            call = lambda x=x, out=out: np.exp(x, out=out)
            if library == "torch":
                tensor, target = torch.from_numpy(x), torch.from_numpy(out)
                call = lambda tensor=tensor, target=target: torch.exp(tensor, out=target)
            call()
            times = []
            for _ in range(repeats):
                start = time.process_time()
                for _ in range(4):
                    call()
                times.append((time.process_time() - start) / 4)
            row.append(1e9 * min(times) / elements)
        found[kind] = row
    return {"ranges": [f"{low} and {high}" for low, high in RANGES], "nanoseconds": found}


def ratio_table(rows: dict[str, Any]) -> Table:
    """Methods down, cases across: CPU time relative to scikit-learn's exact sum."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row["methods"]))

    def cell(row: dict[str, Any], name: str) -> str:
        return f"{row['methods'][name]['ratio']:.3f}" if name in row["methods"] else "-"

    return Table(["method", *rows], [[name, *(cell(row, name) for row in rows.values())] for name in names])


def error_table(rows: dict[str, Any]) -> Table:
    """Largest error of the log-density in each case."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row["methods"]))

    def cell(row: dict[str, Any], name: str) -> str:
        error = row["methods"].get(name, {}).get("error")
        return f"{error:.1e}" if error is not None and np.isfinite(error) else "-"

    return Table(["method", *rows], [[name, *(cell(row, name) for row in rows.values())] for name in names])


def main() -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smallest size, three rounds")
    options = parser.parse_args()
    sizes, rounds = ([10**4], 3) if options.quick else (list(QUERIES), ROUNDS)
    output = options.output
    if options.quick and output is None:
        output = Path(tempfile.mkdtemp()) / "kde_speed.json"
    settings = {"sizes": sizes, "rounds": rounds, "queries": [QUERIES[n] for n in sizes], "seed": 0}
    results = Results("kde_speed", settings=settings, path=output, fresh=options.fresh)
    results.meta["command"] = "python -m benchmarks.kde"
    results.meta["versions"] = versions("KDEpy")
    for d in (1, 2, 8):
        for n in sizes:
            name = f"{d}-D, n = 1e{round(np.log10(n))}"
            print(name, file=sys.stderr)
            results.row(name, lambda d=d, n=n: race(d, n, rounds))
    results.row("exponentials", exponentials)
    races = {name: row for name, row in results.rows.items() if "methods" in row}
    print("CPU time of fit and queries, relative to scikit-learn's exact sum (smaller is faster)\n")
    print(ratio_table(races))
    print("\nLargest error of the log-density against a literal sum, nats\n")
    print(error_table(races))
    return 0


if __name__ == "__main__":
    sys.exit(main())
