"""Views: a density from histograms along directions, normal views in high dimension, and sliced distances.

    python -m benchmarks.projections [--fresh] [--output FILE]

writes `results/projections.json`, row by row (resumable)::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {
       "angles":  {"n_angles", "error": {kind: [m]}, "error_se": {kind: [m]}, "mass", "seeds", "metric"},
       "bins":    {"n_bins", "error": [bins], "error_se", "predicted_noise": [bins], "seeds", "metric"},
       "mass":    {"ramps", "mass": [ramp][window], "windows", "metric"},
       "sizes":   {"n", "models", "error": [model][n], "error_se", "nll": [model][n], "nll_se", "entropy"},
       "normal":  {"data", "dim", "shell", "overlap", "distance", "own_scale", "farthest", "distance_se"},
       "ghosts":  {"n_angles", "aligned", "random", "random_se", "wasserstein", "floor", "seeds", "metric"},
       "sliced":  {"dim", "n", "distance": [dim][n], "distance_se", "wasserstein": [dim][n], "seeds"}}}

Nothing here is a timing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from benchmarks._common import Results, arguments
from coursekit.data import SwissRoll, digits, mnist_sample
from coursekit.density import KernelDensity
from coursekit.gaussianization import (
    RadonDensity,
    back_project,
    distance_to_normal,
    filter_views,
    ghost_sample,
    view_angles,
    view_histograms,
)
from coursekit.metrics import random_directions, sliced_wasserstein

Float = NDArray[np.float64]

SETTINGS: dict[str, Any] = {
    "seeds": 5,
    "radius": 2.3,
    "n": 200_000,
    "n_bins": 128,
    "n_angles": [4, 8, 16, 32, 64, 128],
    "bins": [32, 48, 64, 96, 128, 192],
    "bins_n": 20_000,
    "sizes": [500, 2000, 8000],
    "normal_n": 1500,
    "normal_views": 200,
    "ghost_n": 20_000,
    "ghost_angles": [1, 2, 3, 4, 6, 8, 12],
    "sliced_n": [50, 200, 800],
    "sliced_dim": [2, 8, 32],
}
SEEDS = range(SETTINGS["seeds"])
RADIUS, PIXELS = SETTINGS["radius"], 256


def summary(values: Any) -> tuple[Float, Float]:
    """Mean over the first axis, and its standard error."""
    values = np.asarray(values, dtype=float)
    return values.mean(0), values.std(0, ddof=1) / np.sqrt(len(values))


# ------------------------------------------------------------------------------------ the roll from its views
def pixels() -> tuple[Float, Float, float]:
    """Points of a fine grid inside the disc, the roll's density there, and the area of a cell."""
    axis = RADIUS * ((np.arange(PIXELS) + 0.5) * 2 / PIXELS - 1)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    points = points[np.sum(points**2, axis=1) <= RADIUS**2]
    return points, np.exp(SwissRoll().log_prob(points)), float(axis[1] - axis[0]) ** 2


def reconstruct(X: Float, n_angles: int, n_bins: int, points: Float) -> Float:
    """The unclipped estimate at the points."""
    edges = RADIUS * np.linspace(-1, 1, n_bins + 1)
    angles, centers = view_angles(n_angles), (edges[1:] + edges[:-1]) / 2
    filtered = filter_views(view_histograms(X, angles, edges), edges[1] - edges[0])
    return back_project(filtered, angles, centers, points)


def errors(estimate: Float, truth: Float, area: float) -> dict[str, float]:
    """Relative integrated squared error of the estimate as it is, and clipped and normalized; its mass."""
    clipped = np.maximum(estimate, 0)
    clipped = clipped / (clipped.sum() * area)
    norm = np.sum(truth**2)
    return {
        "linear": float(np.sum((estimate - truth) ** 2) / norm),
        "clipped": float(np.sum((clipped - truth) ** 2) / norm),
        "mass": float(estimate.sum()) * area,
    }


def angles() -> dict[str, Any]:
    points, truth, area = pixels()
    table = []
    for seed in SEEDS:
        X = SwissRoll().sample(SETTINGS["n"], random_state=seed)
        runs = [
            errors(reconstruct(X, m, SETTINGS["n_bins"], points), truth, area) for m in SETTINGS["n_angles"]
        ]
        table.append([[run[kind] for run in runs] for kind in ("linear", "clipped", "mass")])
    mean, error = summary(table)
    return {
        "metric": "integrated squared error over that of the zero function",
        "n_angles": SETTINGS["n_angles"],
        "error": {"linear": mean[0], "clipped": mean[1]},
        "error_se": {"linear": error[0], "clipped": error[1]},
        "mass": mean[2],
        "seeds": len(SEEDS),
    }


def interpolated_share() -> float:
    """Share of the noise of band-limited views that linear interpolation between the bins leaves."""
    pieces = [
        quad(lambda f: (f - round(f)) ** 2 * np.sinc(f) ** 4 / f, k / 2, (k + 1) / 2)[0] for k in range(8)
    ]
    return 8 * float(sum(pieces))


def bins() -> dict[str, Any]:
    """64 views of fewer data: bias falls and noise rises with the number of bins."""
    points, truth, area = pixels()
    n, table = SETTINGS["bins_n"], []
    for seed in SEEDS:
        X = SwissRoll().sample(n, random_state=100 + seed)
        table.append(
            [errors(reconstruct(X, 128, b, points), truth, area)["linear"] for b in SETTINGS["bins"]]
        )
    error, error_se = summary(table)
    widths = 2 * RADIUS / np.array(SETTINGS["bins"])
    return {
        "metric": "integrated squared error over that of the zero function, 128 views, not clipped",
        "n_bins": SETTINGS["bins"],
        "error": error,
        "error_se": error_se,
        "predicted_noise": interpolated_share() * np.pi / (4 * widths**2 * n) / (np.sum(truth**2) * area),
        "seeds": len(SEEDS),
    }


def mass() -> dict[str, Any]:
    """The integral of the reconstruction of a normal law from its exact views, for two ramps and windows."""
    windows, ramps, table = [1.1, 2**0.5, 2.0, 4.0], ["band-limited", "sampled"], []
    for ramp in ramps:
        row = []
        for window in windows:  # half-width of the views, in units of the radius 3.5 that holds the law
            half = 3.5 * window
            n_bins = round(64 * window)
            edges = half * np.linspace(-1, 1, n_bins + 1)
            centers = (edges[1:] + edges[:-1]) / 2
            view = np.exp(-0.5 * centers**2) / np.sqrt(2 * np.pi)
            filtered = filter_views(np.tile(view, (64, 1)), edges[1] - edges[0], ramp=ramp)
            axis = 3.5 * ((np.arange(128) + 0.5) / 64 - 1)
            points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
            points = points[np.sum(points**2, axis=1) <= 3.5**2]
            found = back_project(filtered, view_angles(64), centers, points)
            row.append(float(found.sum()) * (axis[1] - axis[0]) ** 2)
        table.append(row)
    return {
        "metric": "integral over the disc of radius 3.5 of a normal law rebuilt from its exact views",
        "windows": windows,
        "ramps": ramps,
        "mass": table,
    }


MODELS: dict[str, Callable[[], Any]] = {
    "16 views": lambda: RadonDensity(16),
    "64 views": lambda: RadonDensity(64),
    "KDE, cross-validated": lambda: KernelDensity("ucv"),
}


def sizes() -> dict[str, Any]:
    points, truth, _ = pixels()
    held_out = SwissRoll().sample(4000, random_state=999)
    error, nll = [], []
    for seed in SEEDS:
        X = SwissRoll().sample(max(SETTINGS["sizes"]), random_state=200 + seed)
        fits = [[make().fit(X[:n]) for n in SETTINGS["sizes"]] for make in MODELS.values()]
        error.append(
            [
                [np.sum((np.exp(model.log_prob(points)) - truth) ** 2) / np.sum(truth**2) for model in row]
                for row in fits
            ]
        )
        nll.append([[-model.score(held_out) for model in row] for row in fits])
    (error_mean, error_se), (nll_mean, nll_se) = summary(error), summary(nll)
    return {
        "metric": "integrated squared error over that of the zero function; nats per held-out point",
        "n": SETTINGS["sizes"],
        "models": list(MODELS),
        "error": error_mean,
        "error_se": error_se,
        "nll": nll_mean,
        "nll_se": nll_se,
        "entropy": SwissRoll().entropy,
        "seeds": len(SEEDS),
    }


# ------------------------------------------------------------------------------------ normal views
def cube(dim: int) -> Callable[[int, Any], Float]:
    return lambda n, rng: rng.uniform(-1, 1, (n, dim))


def heavy(dim: int) -> Callable[[int, Any], Float]:
    """Student's t with 5 degrees of freedom: one common random scale for all coordinates."""
    return lambda n, rng: rng.standard_normal((n, dim)) / np.sqrt(rng.chisquare(5, (n, 1)) / 5)


def spikes(dim: int) -> Callable[[int, Any], Float]:
    """Two clumps ten standard deviations apart along one axis, normal in all others."""

    def draw(n: int, rng: Any) -> Float:
        x = rng.standard_normal((n, dim))
        x[:, 0] += np.where(rng.random(n) < 0.5, -5, 5)
        return x

    return draw


def of_images(X: Float) -> Callable[[int, Any], Float]:
    return lambda n, rng: X[rng.permutation(len(X))[:n]]


def sources() -> dict[str, Callable[[int, Any], Float]]:
    eight = np.concatenate([part.X for part in digits("grey")])
    large = mnist_sample().train.X.astype(float)
    return {
        "uniform square": cube(2),
        "uniform cube, 8-D": cube(8),
        "uniform cube, 64-D": cube(64),
        "uniform cube, 784-D": cube(784),
        "Swiss roll": lambda n, rng: SwissRoll().sample(n, random_state=int(rng.integers(2**31))),
        "8x8 digits": of_images(eight),
        "MNIST": of_images(large),
        "normal law, 784-D": lambda n, rng: rng.standard_normal((n, 784)),
        "Student t, 784-D": heavy(784),
        "two clumps, 784-D": spikes(784),
    }


def normality(X: Float, n_views: int, rng: Any) -> dict[str, float]:
    """How far random views of the centred data are from normal, and the two conditions of the theorem."""
    X = X - X.mean(axis=0)
    scale = np.mean(np.sum(X**2, axis=1)) / X.shape[1]  # sigma squared: total variance over d
    lengths = np.sum(X**2, axis=1) / (scale * X.shape[1])
    half = len(X) // 2
    overlaps = np.sum(X[:half] * X[half : 2 * half], axis=1) / (scale * X.shape[1])
    views = random_directions(n_views, X.shape[1], random_state=rng) @ X.T / np.sqrt(scale)
    distances = distance_to_normal(views)
    own = np.linalg.eigh(np.cov(X.T))[1][:, -10:].T @ X.T  # the ten leading principal axes
    farthest = distance_to_normal(own / own.std(axis=1, keepdims=True)).max()
    return {
        "shell": float(lengths.std()),
        "overlap": float(np.sqrt(np.mean(overlaps**2))),
        "distance": float(distances.mean()),
        "own_scale": float(distance_to_normal(views / views.std(axis=1, keepdims=True)).mean()),
        "farthest": float(farthest),
    }


def normal() -> dict[str, Any]:
    found, n = sources(), SETTINGS["normal_n"]
    keys = ("shell", "overlap", "distance", "own_scale", "farthest")
    values, dims = [], []
    for seed in SEEDS:
        rows = []
        for i, draw in enumerate(found.values()):
            rng = np.random.default_rng([seed, i])
            X = draw(n, rng)
            dims = dims if seed else [*dims, X.shape[1]]
            stats = normality(X, SETTINGS["normal_views"], rng)
            rows.append([stats[key] for key in keys])
        values.append(rows)
    mean, error = summary(values)
    return {
        "metric": "mean W2 to the standard normal law over 200 random views of n centred rows, in units of "
        "the root mean variance; own_scale: of each view's own; farthest: worst of ten leading axes",
        "n": n,
        "data": list(found),
        "dim": dims,
        **{key: mean[:, j] for j, key in enumerate(keys)},
        "distance_se": error[:, 2],
        "seeds": len(SEEDS),
    }


# ------------------------------------------------------------------------------------ sliced distances
def ghosts() -> dict[str, Any]:
    """Two laws with disjoint supports: sliced distance over their m equal views, and over random ones."""
    n, table = SETTINGS["ghost_n"], []
    for seed in SEEDS:
        rows = []
        for m in SETTINGS["ghost_angles"]:
            rng = np.random.default_rng([seed, m])
            x, y = (ghost_sample(n, m, sign=sign, random_state=rng) for sign in (1, -1))
            own = np.column_stack([np.cos(view_angles(m)), np.sin(view_angles(m))])
            between = view_angles(200)
            other = np.column_stack([np.cos(between), np.sin(between)])
            again = ghost_sample(n, m, sign=1, random_state=rng)
            few = cdist(x[:400], y[:400], "sqeuclidean")
            matched = few[linear_sum_assignment(few)].mean() ** 0.5
            rows.append(
                [
                    sliced_wasserstein(x, y, directions=own),
                    sliced_wasserstein(x, y, directions=other),
                    sliced_wasserstein(x, again, directions=other),
                    matched,
                ]
            )
        table.append(rows)
    mean, error = summary(table)
    return {
        "metric": "sliced W2 of two ghosts; the floor is that of two samples of one of them",
        "n_angles": SETTINGS["ghost_angles"],
        "aligned": mean[:, 0],
        "all": mean[:, 1],
        "all_se": error[:, 1],
        "floor": mean[:, 2],
        "wasserstein_of_400": mean[:, 3],
        "seeds": len(SEEDS),
    }


def sliced() -> dict[str, Any]:
    """Distance between two samples of one normal law: sliced, times sqrt d, and unsliced."""
    table = []
    for seed in SEEDS:
        rows = []
        for d in SETTINGS["sliced_dim"]:
            for n in SETTINGS["sliced_n"]:
                rng = np.random.default_rng([seed, d, n])
                x, y = rng.standard_normal((2, n, d))
                cost = cdist(x, y, "sqeuclidean")
                whole = cost[linear_sum_assignment(cost)].mean() ** 0.5
                views = sliced_wasserstein(x, y, n_projections=300, random_state=rng) * np.sqrt(d)
                rows.append([views, whole])
        table.append(rows)
    mean, error = summary(table)
    shape = (len(SETTINGS["sliced_dim"]), len(SETTINGS["sliced_n"]))
    return {
        "metric": "W2 between two samples of N(0, I_d); the sliced one is multiplied by sqrt d",
        "dim": SETTINGS["sliced_dim"],
        "n": SETTINGS["sliced_n"],
        "distance": mean[:, 0].reshape(shape),
        "distance_se": error[:, 0].reshape(shape),
        "wasserstein": mean[:, 1].reshape(shape),
        "seeds": len(SEEDS),
    }


ROWS = {
    "angles": angles,
    "bins": bins,
    "mass": mass,
    "sizes": sizes,
    "normal": normal,
    "ghosts": ghosts,
    "sliced": sliced,
}


def main(argv: list[str] | None = None) -> None:
    """Compute what the file lacks and print it."""
    options = arguments("Views: reconstruction, normality, sliced distances.").parse_args(argv)
    results = Results(
        "projections", settings=SETTINGS, device=options.device, path=options.output, fresh=options.fresh
    )
    for name, compute in ROWS.items():
        row = results.row(name, compute)
        print(f"\n{name}  ({row['cpu_seconds']:.1f} CPU s)")
        for key, value in row.items():
            print(f"  {key}: {value}")


if __name__ == "__main__":
    main()
