"""Neural distribution functions against the empirical one and an oracle kernel estimate.

    python -m benchmarks.neural_cdf [--device cpu|cuda] [--fresh] [--output FILE] [--only ROW ...]

writes `results/neural_cdf.json`, row by row (resumable)::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {"ecdf", "kde", and each of MODELS below:
                  {"label", "n": [...], "repetitions": R,
                   "cdf_error": [n][R]     integral of (H - G)^2 dG (none for kde),
                   "ise": [n][R]           integral of (h - g)^2 (none for ecdf),
                   "mass": [n][R]          H(infinity) - H(-infinity),
                   "cdf_slope", "cdf_slope_se", "ise_slope", "ise_slope_se"
                                           least squares of the log of the mean on log n; bootstrap},
              "two_clumps": what the penalty does to a free net on two far clumps, see `two_clumps`}}

Every model sees the same samples: repetition r at size n is one data set for all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._common import Results, arguments
from coursekit.data import Bimodal
from coursekit.density.kde import KernelDensity, optimal_bandwidth
from coursekit.density.neural_cdf import LogisticMixtureCDF, NeuralCDF
from coursekit.train import train

Float = NDArray[np.float64]

SEED = 0
REPETITIONS = 4
SIZES = (100, 400, 1600)
STEPS, LR = 600, 0.02
LAMBDAS = (0.0, 10.0, 100.0, 1e3, 1e4, 1e5)
SEEDS = 6  # of the two clumps
CLUMP_STEPS, CLUMP_LR = 500, 0.015
HIDDEN, SPREAD = (16, 16), 4.0  # of the two clumps: widths, and the factor on the first weights

LAW = Bimodal()
MIXTURE = {"weights": LAW.weights, "means": [[m] for m in LAW.means], "sds": LAW.stds}
GRID = np.linspace(-6.0, 8.0, 2001)
CLUMP_GRID = np.linspace(-5.0, 5.0, 1001)

MODELS: dict[str, tuple[str, Callable[..., Any], str]] = {
    "sic_free": ("free net, SIC", NeuralCDF, "sic"),
    "slc_free": ("free net, SLC", NeuralCDF, "slc"),
    "sic_mixture": ("24 logistics, SIC", LogisticMixtureCDF, "sic"),
    "slc_mixture": ("24 logistics, SLC", LogisticMixtureCDF, "slc"),
    "mle_mixture": ("24 logistics, maximum likelihood", LogisticMixtureCDF, "mle"),
}


def sample(n: int, repetition: int, seed: int = SEED) -> Float:
    """One data set, (n, 1), the same for all rows."""
    return LAW.sample(n, random_state=int(np.random.default_rng([seed, n, repetition]).integers(2**31)))


def fit(
    cls: Callable[..., Any], x: Float, *, seed: int, device: str, steps: int = STEPS, lr: float = LR,
    **options: Any,
) -> Any:  # fmt: skip
    """A model in float64, trained on all rows at each step."""
    torch.manual_seed(seed)
    model = cls(1, loc=float(x.mean()), scale=float(x.std()), **options).double()
    train(
        model, torch.tensor(x), steps=steps, batch_size=len(x), lr=lr, schedule="cosine", random_state=seed,
        device=device, progress=False,
    )  # fmt: skip
    return model


def on_grid(values: Float) -> Any:
    """Rows of a CPU tensor."""
    return torch.tensor(values)[:, None]


def errors_of(H: Float | None, h: Float | None) -> dict[str, float]:
    """Errors of a distribution function and of a density on the grid."""
    found = {}
    if H is not None:
        found["cdf_error"] = float(np.trapezoid((H - LAW.cdf(GRID)) ** 2 * LAW.pdf(GRID), GRID))
    if h is not None:
        found["ise"] = float(np.trapezoid((h - LAW.pdf(GRID)) ** 2, GRID))
    return found


def one(name: str, n: int, repetition: int, *, seed: int = SEED, device: str = "cpu") -> dict[str, float]:
    """Errors of one row's method on one data set."""
    x = sample(n, repetition, seed)
    if name == "ecdf":
        return errors_of(np.searchsorted(np.sort(x[:, 0]), GRID, side="right") / n, None)
    if name == "kde":
        model = KernelDensity(optimal_bandwidth(n, **MIXTURE)).fit(x)
        return errors_of(None, np.exp(model.log_prob(GRID[:, None])))
    _, cls, targets = MODELS[name]
    net = fit(cls, x, seed=repetition, device=device, targets=targets).cpu()
    with torch.no_grad():
        found = errors_of(net.cdf(on_grid(GRID)).numpy(), net.log_prob(on_grid(GRID)).exp().numpy())
        ends = net.cdf(on_grid(np.array([-1e9, 1e9])))
    return {**found, "mass": float(ends[1] - ends[0])}


def slope(n: Any, error: Any) -> Any:
    """Least squares of log error on log n; `error` may carry leading axes."""
    t = np.log(np.asarray(n, dtype=float))
    t -= t.mean()
    return np.log(error) @ t / (t @ t)


def compare(name: str, device: str) -> dict[str, Any]:
    """One row of the file: see the top of this module."""
    runs = [[one(name, n, r, device=device) for r in range(REPETITIONS)] for n in SIZES]
    label = {"ecdf": "empirical distribution function", "kde": "kernel estimate, oracle bandwidth"}
    row: dict[str, Any] = {
        "label": label.get(name) or MODELS[name][0],
        "n": SIZES,
        "repetitions": REPETITIONS,
    }
    again = np.random.default_rng(SEED).integers(REPETITIONS, size=(2000, len(SIZES), REPETITIONS))
    for quantity in runs[0][0]:
        values = np.array([[run[quantity] for run in size] for size in runs])  # (sizes, repetitions)
        row[quantity] = values
        if quantity != "mass":
            short = quantity.removesuffix("_error")
            row[f"{short}_slope"] = slope(SIZES, values.mean(1))
            means = np.take_along_axis(values[None], again, axis=2).mean(2)
            row[f"{short}_slope_se"] = slope(SIZES, means).std(ddof=1)
    return row


# ------------------------------------------------------------------------------------ two clumps
def clumps(seed: int) -> Float:
    """Fifteen points around -3 and fifteen around 3, (30, 1)."""
    rng = np.random.default_rng([SEED, seed])
    return np.concatenate([rng.normal(-3, 0.3, 15), rng.normal(3, 0.3, 15)])[:, None]


def clump_net() -> Any:
    """The free net: steep first weights, as a careless start has them."""
    net = NeuralCDF(1, hidden=HIDDEN).net
    with torch.no_grad():
        for weight in net.parameters():
            weight *= SPREAD
    return net


def clump_fit(penalty: float, seed: int, device: str = "cpu") -> Any:
    """A free net on two clumps."""
    return fit(lambda d, **o: NeuralCDF(d, net=clump_net(), **o), clumps(seed), seed=seed, device=device,
               penalty=penalty, steps=CLUMP_STEPS, lr=CLUMP_LR).cpu()  # fmt: skip


def clump_errors(model: Any) -> tuple[float, float]:
    """Part of the grid with a negative derivative, and the negative mass."""
    h = model.density(on_grid(CLUMP_GRID)).detach().numpy()
    return float(np.mean(h < 0)), float(-h[h < 0].sum() * (CLUMP_GRID[1] - CLUMP_GRID[0]))


def two_clumps(device: str) -> dict[str, Any]:
    """For each weight of the penalty: part of the grid, negative mass; and the nets of the first seed.

    "nets" holds what the page's moving figure draws: loc, scale and, layer by layer, weights and biases.
    """
    share, mass, nets = [], [], []
    for penalty in LAMBDAS:
        models = [clump_fit(penalty, seed, device) for seed in range(SEEDS)]
        found = np.array([clump_errors(model) for model in models])
        share.append(found[:, 0])
        mass.append(found[:, 1])
        layers = [p.detach().numpy() for p in models[0].net.parameters()]
        nets.append({"loc": float(models[0].loc), "scale": float(models[0].scale), "layers": layers})
    return {"lambda": LAMBDAS, "seeds": SEEDS, "negative_share": share, "negative_mass": mass,
            "sample": np.sort(clumps(0)[:, 0]), "nets": nets}  # fmt: skip


ROWS = ("two_clumps", "ecdf", "kde", *MODELS)


def main(argv: list[str] | None = None) -> None:
    """Compute what the file lacks and print the table."""
    parser = arguments("Neural distribution functions: errors and rates.", devices=("cpu", "cuda"))
    parser.add_argument("--only", nargs="+", choices=ROWS, help="these rows only")
    options = parser.parse_args(argv)
    settings = {
        "seed": SEED, "repetitions": REPETITIONS, "sizes": SIZES, "steps": STEPS, "lr": LR,
        "lambdas": LAMBDAS, "clump_seeds": SEEDS, "clump_hidden": HIDDEN, "clump_spread": SPREAD,
        "clump_steps": CLUMP_STEPS, "clump_lr": CLUMP_LR,
    }  # fmt: skip
    results = Results("neural_cdf", settings=settings, device=options.device, path=options.output,
                      fresh=options.fresh)  # fmt: skip
    for name in options.only or ROWS:
        if name == "two_clumps":
            row = results.row(name, lambda: two_clumps(options.device))
            print("two_clumps", [f"{np.mean(share):.3f}" for share in row["negative_share"]])
            continue
        row = results.row(name, lambda name=name: compare(name, options.device))  # type: ignore[misc]
        for quantity in ("cdf_error", "ise", "mass"):
            if quantity in row:
                print(f"{name:13s} {quantity:10s}", [f"{np.mean(v):.3g}" for v in row[quantity]])
        print(f"{name:13s} slopes", {k: row[k] for k in row if "slope" in k}, f"({row['cpu_seconds']} CPU s)")


if __name__ == "__main__":
    main()
