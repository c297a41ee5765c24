"""Autoregressive models side by side: thresholded digits, binarized MNIST, and flows on the Swiss roll.

    python -m benchmarks.autoregressive [--only NAME ...] [--device cpu|cuda] [--fresh] [--output FILE]

writes `results/autoregressive.json`, row by row (resumable)::

    {"meta": {"command", "settings": {...}, "device", "versions", "seconds"},
     "rows": {"digits <model>": {"test", "validation", "train", "test_se_images", "n_seeds", "parameters"},
              "roll <model>":   {"gap", "gap_se_points", "n_seeds", "parameters"},
              "mnist <model>":  {"test", "validation", "train", "test_se_images", "n_seeds", "parameters"}}}

Losses are negative log-probabilities in nats for an image: lists with one value for each seed, which decides
the first weights and the order of the batches. `gap` is the mean of log p(true) - log p(model) over test
points, the same for every model. `..._se_...` is the standard error over images or points for the first seed.

Binarized MNIST is the fixed binarization of Larochelle. The rows here are sized for one CPU core; at full
scale the same command is run with `--scale full --device cuda` and another output file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from benchmarks._common import Results, arguments
from coursekit.data import SwissRoll, digits, load
from coursekit.density.discrete import IndependentBernoulli, LogisticAutoregression
from coursekit.flows.autoregressive import MADE, MaskedAutoregressiveFlow, MaskedConv2d, PixelCNN
from coursekit.nn import MaskedLinear
from coursekit.train import train

Float = NDArray[np.float64]

SETTINGS: dict[str, Any] = {
    "seeds": 5,
    "epochs": 150,
    "patience": 12,
    "batch_size": 64,
    "orders": 4,
    "ensemble_seeds": 3,
    "roll_steps": 3000,
    "roll_seeds": 3,
    "mnist_epochs": {"small": {"MADE": 5, "PixelCNN": 1}, "full": {"MADE": 100, "PixelCNN": 60}},
    "mnist_seeds": {"small": 1, "full": 3},
}


def mixture_loss(train_x: Float, k: int, seed: int, iterations: int = 200) -> Callable[[Float], Float]:
    """Mixture of `k` laws of independent bits by EM, each probability smoothed by one count."""
    rng = np.random.default_rng(seed)
    n, d = train_x.shape
    p, weights = rng.uniform(0.25, 0.75, (k, d)), np.full(k, 1 / k)

    def joint(x: Float) -> Float:  # (n, k)
        return np.log(weights) + x @ np.log(p).T + (1 - x) @ np.log1p(-p).T

    for _ in range(iterations):
        log_joint = joint(train_x)
        share = np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))  # (n, k)
        counts = share.sum(axis=0)
        weights, p = (counts + 1) / (n + k), (share.T @ train_x + 0.5) / (counts[:, None] + 1)
    return lambda x: -logsumexp(joint(x), axis=1)


def parameters(model: torch.nn.Module) -> int:
    """Count the weights that the masks let through."""
    masked = [m for m in model.modules() if isinstance(m, MaskedLinear | MaskedConv2d)]
    closed = sum(int((~m.mask.expand_as(m.weight)).sum()) for m in masked)
    return sum(w.numel() for w in model.parameters()) - closed


def losses(model: torch.nn.Module, x: torch.Tensor, device: str) -> Float:
    """Loss of each row, in tiles."""
    with torch.no_grad():
        return torch.cat([model.loss(tile.to(device)) for tile in x.split(500)]).double().cpu().numpy()


def fit(
    make: Callable[[], torch.nn.Module], parts: list[torch.Tensor], seed: int, device: str, **options: Any
) -> torch.nn.Module:
    """Build and train one network; the weights of the epoch with the least validation loss are kept."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = make()
    train(model, parts[0], held_out=parts[1], random_state=seed, device=device, progress=False, **options)
    return model


def summary(runs: list[list[Float]], n_parameters: int) -> dict[str, Any]:
    """Row from the losses of every image: runs by seed, each a list of test, validation and train."""
    test, validation, training = ([float(run[i].mean()) for run in runs] for i in range(3))
    return {
        "test": test,
        "validation": validation,
        "train": training,
        "test_se_images": runs[0][0].std(ddof=1) / np.sqrt(len(runs[0][0])),
        "n_seeds": len(runs),
        "parameters": n_parameters,
    }


# ----------------------------------------------------------------------------- thresholded digits


def digit_networks() -> dict[str, tuple[Callable[[], torch.nn.Module], float]]:
    """The networks for 64 bits and their learning rates."""
    return {
        "MADE": (lambda: MADE(64), 2e-3),
        "PixelCNN": (lambda: PixelCNN(64), 3e-3),
    }


def digit_parts() -> list[torch.Tensor]:
    """Train, validation and test bits in single precision."""
    return [torch.tensor(part.X, dtype=torch.float32) for part in digits("thresholded")]


def digit_runs(name: str, seeds: range, device: str = "cpu") -> tuple[list[list[Float]], int]:
    """Losses of every digit for each seed."""
    parts = digit_parts()
    make, lr = digit_networks()[name]
    options = {key: SETTINGS[key] for key in ("epochs", "patience", "batch_size")}
    models = [fit(make, parts, seed, device, lr=lr, **options) for seed in seeds]
    return [[losses(model, parts[i], device) for i in (2, 1, 0)] for model in models], parameters(models[0])


def classical_row(name: str) -> dict[str, Any]:
    """Models without a gradient."""
    data = digits("thresholded")
    parts = [data.test.X, data.validation.X, data.train.X]
    if name == "mixture of 60":
        fits = [mixture_loss(data.train.X, 60, seed) for seed in range(SETTINGS["seeds"])]
        return summary([[loss(x) for x in parts] for loss in fits], 60 * 65 - 1)
    model = {"independent bits": IndependentBernoulli, "logistic autoregression": LogisticAutoregression}[
        name
    ]()
    model.fit(data.train.X)
    return summary([[-model.log_prob(x) for x in parts]], model.n_parameters)


def network_row(name: str, device: str) -> dict[str, Any]:
    """MADE or PixelCNN on the digits."""
    return summary(*digit_runs(name, range(SETTINGS["seeds"]), device))


def ensemble_row(device: str) -> dict[str, Any]:
    """Equal mixture of MADEs, each in a random order of its own: still exact."""
    parts = digit_parts()
    options = {key: SETTINGS[key] for key in ("epochs", "patience", "batch_size")}
    runs, total = [], 0
    for seed in range(SETTINGS["ensemble_seeds"]):
        members = []
        for k in range(SETTINGS["orders"]):
            order = np.random.default_rng([seed, k]).permutation(64).tolist()
            model = fit(
                lambda order=order: MADE(64, order=order), parts, 100 * seed + k, device, lr=2e-3, **options
            )
            members.append([losses(model, parts[i], device) for i in (2, 1, 0)])
        total = parameters(model) * SETTINGS["orders"]
        by_part = [np.stack([member[i] for member in members]) for i in range(3)]
        runs.append([-logsumexp(-part, axis=0) + np.log(SETTINGS["orders"]) for part in by_part])
    return summary(runs, total)


# ----------------------------------------------------------------------------- the Swiss roll


def roll_gap(layers: int, seed: int, steps: int, device: str = "cpu") -> tuple[Float, int]:
    """Log-density gap of a masked autoregressive flow at 10,000 test points; each batch is fresh."""
    law = SwissRoll()
    x = torch.tensor(law.sample(256 * steps, random_state=1000 + seed), dtype=torch.float32)
    test = law.sample(10_000, random_state=7)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = MaskedAutoregressiveFlow(2, layers=layers)
    options = {"batch_size": 256, "lr": 5e-3, "schedule": "cosine", "clip": 5.0}
    train(model, x, epochs=1, random_state=seed, device=device, progress=False, **options)
    return law.log_prob(test) + losses(model, torch.tensor(test, dtype=torch.float32), device), parameters(
        model
    )


def roll_row(layers: int, device: str) -> dict[str, Any]:
    """Gap over seeds."""
    found = [roll_gap(layers, seed, SETTINGS["roll_steps"], device) for seed in range(SETTINGS["roll_seeds"])]
    gaps = [gap for gap, _ in found]
    return {
        "gap": [gap.mean() for gap in gaps],
        "gap_se_points": gaps[0].std(ddof=1) / np.sqrt(len(gaps[0])),
        "n_seeds": len(gaps),
        "parameters": found[0][1],
    }


# ----------------------------------------------------------------------------- binarized MNIST


def mnist_row(name: str, scale: str, device: str) -> dict[str, Any]:
    """One network on binarized MNIST: 50,000 training, 10,000 validation and 10,000 test images."""
    data = load("binarized_mnist")
    parts = [torch.tensor(np.asarray(part.X, dtype=np.float32).reshape(len(part.X), -1)) for part in data]
    full = scale == "full"
    make, lr = {
        "MADE": (lambda: MADE(784, hidden=(8000,) if full else (512,)), 1e-3),
        "PixelCNN": (
            lambda: PixelCNN(784, channels=64 if full else 16, blocks=12 if full else 4),
            1e-3 if full else 4e-3,
        ),
    }[name]
    options = {
        "epochs": SETTINGS["mnist_epochs"][scale][name],
        "batch_size": 100,
        "lr": lr,
        "schedule": "cosine",
    }
    runs = []
    for seed in range(SETTINGS["mnist_seeds"][scale]):
        model = fit(make, parts, seed, device, patience=options["epochs"], **options)
        runs.append([losses(model, part, device) for part in (parts[2], parts[1], parts[0][:5000])])
    return summary(runs, parameters(model)) | {"epochs": options["epochs"]}


def experiments(scale: str, device: str) -> dict[str, Callable[[], dict[str, Any]]]:
    """Every row and how to compute it."""
    rows: dict[str, Callable[[], dict[str, Any]]] = {}
    for name in ("independent bits", "logistic autoregression", "mixture of 60"):
        rows[f"digits {name}"] = lambda name=name: classical_row(name)
    for name in digit_networks():
        rows[f"digits {name}"] = lambda name=name: network_row(name, device)
    rows["digits MADE, 4 orders"] = lambda: ensemble_row(device)
    for layers in (1, 4, 8):
        rows[f"roll MAF x{layers}"] = lambda layers=layers: roll_row(layers, device)
    for name in ("MADE", "PixelCNN"):
        rows[f"mnist {name}"] = lambda name=name: mnist_row(name, scale, device)
    return rows


def main(argv: list[str] | None = None) -> None:
    """Compute the missing rows and write them."""
    parser = arguments(__doc__.splitlines()[0], devices=("cpu", "cuda"))
    parser.add_argument("--only", nargs="+", metavar="NAME", help="rows whose names start so")
    parser.add_argument("--scale", choices=("small", "full"), default="small", help="size of the MNIST rows")
    options = parser.parse_args(argv)
    settings = SETTINGS | {"scale": options.scale}
    results = Results(
        "autoregressive", settings=settings, device=options.device, path=options.output, fresh=options.fresh
    )
    for name, compute in experiments(options.scale, options.device).items():
        if options.only is None or name.startswith(tuple(options.only)):
            row = results.row(name, compute)
            value = row.get("test", row.get("gap"))
            print(
                f"{name}: {np.mean(value):.3f} over {row['n_seeds']} seeds", f"({row['cpu_seconds']} CPU-s)"
            )


if __name__ == "__main__":
    main()
