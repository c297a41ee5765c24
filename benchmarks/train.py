"""An epoch of a small variational autoencoder: CPU time of `train` as a ratio to a plain loop.

    OMP_NUM_THREADS=1 python -m benchmarks.train [--quick] [--fresh] [--output FILE]

prints the table and writes `results/train.json` (resumable)::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {module: {"rounds", "loops": {name: {
         "ratio",                    median over rounds of CPU time / the plain DataLoader loop's CPU time
         "ratio_low", "ratio_high",  quartiles of those ratios
         "cpu",                      median CPU seconds
         "loss"}}}}}                 mean loss of the epoch's second half: all loops do the same work

Two modules: 784-512-16-512-784 units, where matrix products take most of the time that can be taken, and
64-128-8-128-64 (images of digits); the data are 10,000 rows of ones and zeros, batches of 100. In a
round every loop trains one epoch from the same weights, in shuffled order, on one thread, timed by process
CPU time. The plain loop is the one that most tutorials write: a shuffling `DataLoader`, `Adam` as it comes,
`.item()`. "Forward and backward alone" takes no step: the module's own share, which no loop can make less.
`--quick` takes 2,000 rows and three rounds, and writes nothing unless `--output` is given.
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
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from benchmarks._common import Results, arguments  # noqa: E402
from coursekit.base import Table  # noqa: E402
from coursekit.train import train  # noqa: E402

BASE, BARE = "plain loop, DataLoader", "forward and backward alone"
MODULES = {"784 pixels": (784, 512, 16), "64 pixels": (64, 128, 8)}
ROWS, BATCH, ROUNDS, SEED, LR = 10_000, 100, 9, 0, 1e-3


class SmallVAE(nn.Module):
    """Enough of a variational autoencoder to time: its loss is the negative bound, one value per row."""

    def __init__(self, dim: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def loss(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(dim=1) + kl


def dataloader_loop(model: Any, X: Tensor) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    losses = []
    for (batch,) in DataLoader(TensorDataset(X), batch_size=BATCH, shuffle=True):
        loss = model.loss(batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def index_loop(model: Any, X: Tensor, fused: bool = False) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=fused)
    losses = []
    for rows in torch.randperm(len(X)).split(BATCH):
        loss = model.loss(X[rows]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def bare_loop(model: Any, X: Tensor) -> list[float]:
    """Forward and backward alone, without a step: what no training loop can save."""
    losses = []
    for rows in torch.randperm(len(X)).split(BATCH):
        model.zero_grad()
        loss = model.loss(X[rows]).mean()
        loss.backward()
        losses.append(loss.item())
    return losses


def coursekit_loop(model: Any, X: Tensor) -> list[float]:
    return list(train(model, X, epochs=1, batch_size=BATCH, lr=LR, random_state=SEED, device="cpu").loss)


LOOPS: dict[str, Callable[[Any, Tensor], list[float]]] = {
    BASE: dataloader_loop,
    "plain loop, index batches": index_loop,
    "plain loop, index batches, fused Adam": lambda model, X: index_loop(model, X, fused=True),
    "coursekit train": coursekit_loop,
    BARE: bare_loop,
}


def race(shape: tuple[int, int, int], rows: int, rounds: int) -> dict[str, Any]:
    """Every loop, `rounds` times, from the same weights on the same data."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    codes = rng.standard_normal((rows, 8)) @ rng.standard_normal((8, shape[0]))
    X = torch.as_tensor((codes + rng.standard_normal(codes.shape) > 0).astype(np.float32))
    with torch.random.fork_rng([]):
        torch.manual_seed(SEED)
        start = SmallVAE(*shape).state_dict()
    ratios: dict[str, list[float]] = {name: [] for name in LOOPS}
    cpu: dict[str, list[float]] = {name: [] for name in LOOPS}
    losses: dict[str, list[float]] = {name: [] for name in LOOPS}
    for i in range(-1, rounds):  # the first round warms up and does not count
        spent = {}
        for name in rng.permutation(list(LOOPS)):
            model = SmallVAE(*shape)
            model.load_state_dict(start)
            before = time.process_time()
            loss = LOOPS[name](model, X)
            spent[name] = time.process_time() - before
            losses[name].append(float(np.mean(loss[len(loss) // 2 :])))
        if i >= 0:
            for name in LOOPS:
                cpu[name].append(spent[name])
                ratios[name].append(spent[name] / spent[BASE])
    table = {}
    for name in LOOPS:
        low, middle, high = np.quantile(ratios[name], [0.25, 0.5, 0.75])
        table[name] = {
            "ratio": middle,
            "ratio_low": low,
            "ratio_high": high,
            "cpu": np.median(cpu[name]),
            "loss": np.mean(losses[name]),
        }
    return {"rows": rows, "rounds": rounds, "loops": table}


def ratio_table(row: dict[str, Any]) -> Table:
    """One loop per line: CPU time of an epoch relative to the plain DataLoader loop's."""
    lines = [
        [name, f"{x['ratio']:.2f}", f"{x['ratio_low']:.2f} to {x['ratio_high']:.2f}", f"{x['cpu']:.2f}"]
        for name, x in row["loops"].items()
    ]
    return Table(["loop", "CPU time, ratio", "quartiles", "CPU seconds"], lines)


def main() -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2,000 rows, three rounds")
    options = parser.parse_args()
    rows, rounds = (2000, 3) if options.quick else (ROWS, ROUNDS)
    output = options.output
    settings = {
        "modules": MODULES,
        "rows": rows,
        "batch_size": BATCH,
        "rounds": rounds,
        "seed": SEED,
        "lr": LR,
    }
    with tempfile.TemporaryDirectory() as folder:
        if options.quick and output is None:
            output = Path(folder) / "train.json"
        results = Results("train", settings=settings, path=output, fresh=options.fresh)
        for name, shape in MODULES.items():
            row = results.row(name, lambda shape=shape: race(shape, rows, rounds))
            print(f"\n{name}\n\n{ratio_table(row)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
