"""Series told at different rates: classes found from the series, by warping time, and from codes.

    python -m benchmarks.rate_invariant [--fresh] [--output FILE] [--only ROW ...]

writes `results/rate_invariant.json`, row by row (resumable). Three seeds, each with its own 4000 training and
600 test series of `coursekit.data.warped_series` and its own first weights. Networks train for 1000 steps of
Adam at 1e-2 with a cosine, batch 64. Accuracies are of the 5 nearest neighbours (dynamic time warping: on the
first 60 test series, and of all to the six true templates).

Rows "raw", "dtw", "AE 3", "AE 13", "warp 3 + 10", with one number per seed::

    {"label", "accuracy": [...]}                          of every row
    {"templates": [...], "package"}                       of "dtw"
    {"linear", "mse", "train_mse", "weights", "cpu"}      of networks; "linear" is a linear probe of the code
    {"correlation", "own_correlation", "within", "within_sequence", "within_aligned", "gauge", "gauge_test"}

the last ones of the warp. "correlation": of found and true warps within classes; "own_correlation" without
taking the means of the classes off. "within": shares of variance within the classes, of the test series, of
their rate-invariant sequences, of the series read at the inverse warps. "gauge": angle between the identity
and the mean of the inverse warps of the training series before the gauge is fixed; "gauge_test": of the test
series after.

Row "few": the same numbers of the warp with 1200 training series, and "raw", the accuracy of these series.

Rows "trace", "gunpoint", "pickup_gestures" (they need the data in the cache, or a network)::

    {"label", "length", "lengths", "raw", "dtw", "dtw_own_lengths",
     "AE": [...], "warp": [...], "warp_sequence": [...], "mse": {"AE": [...], "warp": [...]}}

accuracies of the nearest neighbour (1-NN, as usual for these sets) in the official split, all series brought
to `length` values, except for "dtw_own_lengths". "warp_sequence": of rate-invariant sequences.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
import torch
from dtaidistance import dtw
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from benchmarks._common import Results, arguments
from coursekit.data import WarpedSeries, load_series, to_length, warped_series
from coursekit.disentangling.rate_invariant import (
    RateInvariantAutoencoder,
    TCNAutoencoder,
    identity_warp,
    invert,
    karcher_mean,
    warp_correlation,
    warp_distance,
    within_class_share,
)
from coursekit.train import train

SEEDS = [0, 1, 2]
PACKAGE = f"dtaidistance {metadata.version('dtaidistance')}"
FEW = 1200  # training series of the row "few"
SETTINGS = {
    "seeds": SEEDS,
    "train": 4000,
    "test": 600,
    "dtw_test": 60,
    "length": 64,
    "steps": 1000,
    "batch_size": 64,
    "lr": 1e-2,
    "real_length": 64,
    "real_steps": 300,
}


def draw(seed: int) -> tuple[WarpedSeries, WarpedSeries]:
    """Training and test series of a seed."""
    return tuple(  # type: ignore[return-value]
        warped_series(SETTINGS[part], random_state=1000 * (k + 1) + seed)
        for k, part in enumerate(("train", "test"))
    )


def tensor(x: np.ndarray) -> Tensor:
    return torch.as_tensor(x, dtype=torch.float32)


def plain(latent_dim: int) -> Callable[[], TCNAutoencoder]:
    return lambda: TCNAutoencoder(SETTINGS["length"], latent_dim=latent_dim)


def warping() -> RateInvariantAutoencoder:
    return RateInvariantAutoencoder(SETTINGS["length"])


def fit(build: Callable[[], TCNAutoencoder], x: np.ndarray, seed: int, steps: int = SETTINGS["steps"]) -> Any:
    """Train one network by the protocol."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        model = build()
    training = {name: SETTINGS[name] for name in ("batch_size", "lr")}
    train(model, tensor(x), steps=steps, schedule="cosine", random_state=seed, device="cpu", **training)
    return model.eval()


@torch.no_grad()
def codes(model: TCNAutoencoder, x: np.ndarray) -> np.ndarray:
    """What happens, without when: the code, or all that a plain autoencoder has."""
    found = model.code(tensor(x)) if isinstance(model, RateInvariantAutoencoder) else model.encode(tensor(x))
    return found.double().numpy()


def neighbours(train_x: np.ndarray, train_y: np.ndarray, x: np.ndarray, y: np.ndarray, k: int = 5) -> float:
    """Accuracy of the nearest neighbours."""
    return float(KNeighborsClassifier(k).fit(train_x, train_y).score(x, y))


def dtw_distances(rows: list[np.ndarray], columns: list[np.ndarray]) -> np.ndarray:
    """Dynamic time warping distance of every row from every column, (rows, columns)."""
    series = [np.ascontiguousarray(x, dtype=np.float64) for x in [*rows, *columns]]
    block = ((0, len(rows)), (len(rows), len(series)))
    return dtw.distance_matrix_fast(series, block=block, parallel=False)[: len(rows), len(rows) :]


def vote(distances: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Most frequent class among the k nearest columns; the smaller number among equals."""
    nearest = labels[np.argsort(distances, axis=1)[:, :k]]
    return np.array([np.bincount(row).argmax() for row in nearest])


@torch.no_grad()
def judge_warps(model: RateInvariantAutoencoder, known: WarpedSeries, test: WarpedSeries) -> dict[str, float]:
    """What there is to say about the warps, with the gauge fixed on the training series."""
    x, once = tensor(test.X), identity_warp(SETTINGS["length"], like=torch.zeros(1).double())[None]

    def away(series: np.ndarray) -> float:
        return float(warp_distance(karcher_mean(invert(model.warp(tensor(series)).double()))[None], once))

    before = away(known.X)
    model.fix_gauge(tensor(known.X))
    found = model.warp(x).double().numpy()
    return {
        "correlation": warp_correlation(found, test.warps, test.y),
        "own_correlation": warp_correlation(found, test.warps, np.zeros(len(found))),
        "within": within_class_share(test.X, test.y),
        "within_sequence": within_class_share(model.rate_invariant(x).numpy(), test.y),
        "within_aligned": within_class_share(model.align(x).numpy(), test.y),
        "gauge": before,
        "gauge_test": away(test.X),
    }


@torch.no_grad()
def judge(model: TCNAutoencoder, known: WarpedSeries, test: WarpedSeries) -> dict[str, float]:
    """Accuracies and errors of one network."""
    z, z_test = codes(model, known.X), codes(model, test.X)
    probe = LogisticRegression(max_iter=2000).fit((z - z.mean(0)) / z.std(0), known.y)
    found = {
        "accuracy": neighbours(z, known.y, z_test, test.y),
        "linear": float(probe.score((z_test - z.mean(0)) / z.std(0), test.y)),
        "mse": float(model.loss(tensor(test.X)).mean()) / SETTINGS["length"],
        "train_mse": float(model.loss(tensor(known.X)).mean()) / SETTINGS["length"],
        "weights": sum(p.numel() for p in model.parameters()),
    }
    if isinstance(model, RateInvariantAutoencoder):
        found |= judge_warps(model, known, test)
    return found


def gather(label: str, each: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    """One row: a list of numbers, one for each seed."""
    found: dict[str, Any] = {"label": label}
    for seed in SEEDS:
        for name, value in each(seed).items():
            found.setdefault(name, []).append(value)
    return found


def raw(seed: int) -> dict[str, float]:
    known, test = draw(seed)
    return {"accuracy": neighbours(known.X, known.y, test.X, test.y)}


def warping_distance(seed: int) -> dict[str, float]:
    """Dynamic time warping: to the training series, and to the templates that nobody has in practice."""
    known, test = draw(seed)
    few = slice(SETTINGS["dtw_test"])
    start = time.process_time()
    found = vote(dtw_distances([*test.X[few]], [*known.X]), known.y, 5)
    cpu = time.process_time() - start
    to_templates = vote(dtw_distances([*test.X], [*test.templates]), np.arange(6), 1)
    return {
        "accuracy": float(np.mean(found == test.y[few])),
        "templates": float(np.mean(to_templates == test.y)),
        "cpu": cpu,
    }


def network(build: Callable[[], TCNAutoencoder]) -> Callable[[int], dict[str, Any]]:
    def each(seed: int) -> dict[str, Any]:
        known, test = draw(seed)
        start = time.process_time()
        model = fit(build, known.X, seed)
        return {"cpu": time.process_time() - start} | judge(model, known, test)

    return each


def few(seed: int) -> dict[str, Any]:
    """The warp with the first of the training series only, and what their neighbours say."""
    known, test = draw(seed)
    known = known._replace(X=known.X[:FEW], y=known.y[:FEW], warps=known.warps[:FEW])
    model = fit(warping, known.X, seed)
    return {"raw": neighbours(known.X, known.y, test.X, test.y)} | judge(model, known, test)


def real(name: str) -> dict[str, Any]:
    """Nearest neighbour on a real set, by four distances."""
    known, test = load_series(name)
    length = SETTINGS["real_length"]
    x, x_test = to_length(known.X, length), to_length(test.X, length)
    centre, scale = x.mean(), x.std()  # of the training series
    x, x_test = (x - centre) / scale, (x_test - centre) / scale

    def share(distances: np.ndarray) -> float:
        return float(np.mean(vote(distances, known.y, 1) == test.y))

    found: dict[str, Any] = {
        "label": name,
        "length": length,
        "lengths": [min(map(len, known.X + test.X)), max(map(len, known.X + test.X))],
        "raw": neighbours(x, known.y, x_test, test.y, 1),
        "dtw": share(dtw_distances([*x_test], [*x])),
        "dtw_own_lengths": share(dtw_distances(test.X, known.X)),
        "mse": {"AE": [], "warp": []},
        "warp_sequence": [],
    }
    for seed in SEEDS:
        for label, build in (("AE", plain(13)), ("warp", warping)):
            model = fit(build, x, seed, SETTINGS["real_steps"])
            score = neighbours(codes(model, x), known.y, codes(model, x_test), test.y, 1)
            found.setdefault(label, []).append(score)
            with torch.no_grad():
                found["mse"][label].append(float(model.loss(tensor(x_test)).mean()) / length)
        with torch.no_grad():
            model.fix_gauge(tensor(x))
            both = [model.rate_invariant(tensor(part)).numpy() for part in (x, x_test)]
        found["warp_sequence"].append(neighbours(both[0], known.y, both[1], test.y, 1))
    return found


ROWS: dict[str, Callable[[], dict[str, Any]]] = {
    "raw": lambda: gather("the series", raw),
    "dtw": lambda: {**gather("dynamic time warping", warping_distance), "package": PACKAGE},
    "AE 3": lambda: gather("code of 3", network(plain(3))),
    "AE 13": lambda: gather("code of 13", network(plain(13))),
    "warp 3 + 10": lambda: gather("code of 3, warp of 10", network(warping)),
    "few": lambda: {**gather("code of 3, warp of 10, fewer series", few), "train": FEW},
    "trace": lambda: real("trace"),
    "gunpoint": lambda: real("gunpoint"),
    "pickup_gestures": lambda: real("pickup_gestures"),
}


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help="these rows only")
    options = parser.parse_args(argv)
    results = Results("rate_invariant", settings=SETTINGS, path=options.output, fresh=options.fresh)
    for name in options.only or ROWS:
        found = results.row(name, ROWS[name])
        print(name, found, file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
