"""Mixing autoencoders on the sprites: each loss left out, what chunks hold, and arithmetic with codes.

    python -m benchmarks.mixing [--fresh] [--output FILE] [--only ROW ...]

writes `results/mixing.json`, row by row (resumable). All 1296 sprites train; what is measured is what a code
holds, not how it does on new images, except in the row "labels". Four chunks of eight columns, MLP
256-128-64, batch 64, 1000 steps of Adam at 2e-3 with a cosine for the autoencoder, and as many for the
adversary in between; three seeds. The weights of the losses (cycle 1, adversary 5, classifier 300) were
chosen by looking at one other seed, 100.

Rows "reconstruction", "cycle", "cycle, adversary", "cycle, classifier", "adversary, classifier" and "all";
"deep, cycle" and "deep, all" with MLP 256-256-128; "beta-VAE", that of the chapter before (beta 4, five
latents, each a chunk)::

    {"label", "reconstruction": [...], "cycle": [...], "classifier": [...], "cpu": [...],
     "moved": [[[...]]], "floor": [[...]], "gap": [...], "alive": [...], "retrieval": [[[...]]],
     "mig": [...], "disentanglement": [...], "completeness": [...], "informativeness": [...],
     "arithmetic": [...], "control": [...], "factor": [...], "factor_control": [...]}

one entry per seed; cross-entropies in nats per image, of the sources in nats per chunk (null without a
classifier). "moved" and "retrieval" are chunks x factors. "arithmetic": share of trials in which the sprite
nearest to the decoded z(A) - z(B) + z(C) is the right one; "factor": in which at least the changed factor is
right; "control": the same with a random step of the same length.

Row "labels": a classifier and a conditional decoder that were given the factors of nine tenths of the
sprites. "read": share of factors read rightly; "drawn": share of sprites drawn from their true factors to
which the nearest sprite is the right one; "edited": the same after one factor that was read is replaced. Each
is given for the sprites that were shown, and "new", for those that were not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import beta_vae as before
from benchmarks._common import Results, arguments
from coursekit.data import sprites
from coursekit.disentangling.beta_vae import dci, mig
from coursekit.disentangling.mixing import (
    MixingAutoencoder,
    arithmetic_trials,
    chunk_retrieval,
    nearest_image,
    random_like,
    transfer,
)
from coursekit.nn import mlp
from coursekit.train import train

SEEDS = [0, 1, 2]
SETTINGS = {
    "seeds": SEEDS,
    "chunks": 4,
    "latent_dim": 32,
    "hidden": [128, 64],
    "deep": [256, 128],
    "steps": 1000,
    "batch_size": 64,
    "lr": 2e-3,
    "weights": {"cycle": 1.0, "adversary": 5.0, "classifier": 300.0},
    "trials": 1000,
}
DATA = sprites()


def images() -> Tensor:
    """All sprites, (1296, 256), float32."""
    return torch.as_tensor(DATA.X, dtype=torch.float32)


def read(x: Tensor) -> np.ndarray:
    """Factors of the nearest sprite of each image."""
    return DATA.factors[nearest_image(x, images())]


def fit(
    seed: int, *terms: str, steps: int = SETTINGS["steps"], hidden: list[int] = SETTINGS["hidden"]
) -> MixingAutoencoder:
    """Train one model by the protocol, with these terms beside the reconstruction."""
    weights = {f"{name}_weight": w if name in terms else 0.0 for name, w in SETTINGS["weights"].items()}
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        sizes = {name: SETTINGS[name] for name in ("chunks", "latent_dim")}
        model = MixingAutoencoder(256, **sizes, hidden=hidden, **weights)
    training = {name: SETTINGS[name] for name in ("batch_size", "lr")}
    moves = steps * (2 if "adversary" in terms else 1)
    train(model, images(), steps=moves, schedule="cosine", random_state=seed, device="cpu", **training)
    return model.eval()


class Means:
    """A VAE with the face of the judge: codes are posterior means."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def encode(self, x: Tensor) -> Tensor:
        return self.model.encoder(x).mean

    def decode(self, z: Tensor) -> Tensor:
        return self.model.decoder.mean(z)


@torch.no_grad()
def arithmetic(model: Any, seed: int, trials: int = SETTINGS["trials"]) -> dict[str, float]:
    """Success of z(A) - z(B) + z(C), and of a random step of the same length."""
    t = arithmetic_trials(DATA.factors, trials, random_state=seed)
    z, each = model.encode(images()), np.arange(trials)
    step = z[t.a] - z[t.b]
    found = {}
    for name, move in (("", step), ("control", random_like(step, generator=seeded(seed)))):
        got = nearest_image(model.decode(z[t.c] + move), images())
        right = DATA.factors[got][each, t.factor] == DATA.factors[t.target][each, t.factor]
        found[name or "arithmetic"] = float((got == t.target).mean())
        found["factor_control" if name else "factor"] = float(right.mean())
    return found


def seeded(seed: int) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def judge(model: Any, seed: int, chunks: int) -> dict[str, Any]:
    """What the chunks of one model hold."""
    x = images()
    z = model.encode(x).double().numpy()
    swapped = transfer(model, x, DATA.factors, read=read, chunks=chunks, pairs=1000, random_state=seed)
    forest = dci(z, DATA.factors)
    return {
        "moved": swapped.moved,
        "floor": swapped.floor,
        "gap": swapped.gap,
        "alive": swapped.alive,
        "retrieval": chunk_retrieval(z, DATA.factors, chunks=chunks),
        "mig": mig(z, DATA.factors),
        "disentanglement": forest.disentanglement,
        "completeness": forest.completeness,
        "informativeness": forest.informativeness,
        **arithmetic(model, seed),
    }


def gather(label: str, one: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    """One row: what `one` gives, for each seed."""
    found: dict[str, Any] = {"label": label}
    for seed in SEEDS:
        start = time.process_time()
        numbers = one(seed)
        for name, value in {**numbers, "cpu": time.process_time() - start}.items():
            found.setdefault(name, []).append(value)
    return found


def mixing(label: str, *terms: str, **options: Any) -> Callable[[], dict[str, Any]]:
    """Row of a mixing autoencoder with these terms."""

    def one(seed: int) -> dict[str, Any]:
        model = fit(seed, *terms, **options)
        with torch.no_grad():
            costs = model.terms(images(), generator=seeded(seed))
        found = {
            name: float(getattr(costs, name).mean()) for name in ("reconstruction", "cycle", "classifier")
        }
        if "classifier" not in terms:
            found["classifier"] = None
        return found | judge(model, seed, SETTINGS["chunks"])

    return lambda: gather(label, one)


def beta_vae() -> dict[str, Any]:
    """Row of the chapter before: each latent is a chunk of one column."""

    def one(seed: int) -> dict[str, Any]:
        model = Means(before.fit(seed, beta=4))
        with torch.no_grad():
            p = model.decode(model.encode(images())).clamp(1e-6, 1 - 1e-6)
        cost = F.binary_cross_entropy(p, images(), reduction="none").sum(1).mean()
        return {"reconstruction": float(cost), "cycle": None, "classifier": None} | judge(model, seed, 5)

    return gather("beta-VAE, β = 4", one)


class Labelled(nn.Module):
    """Supervised: one network reads the factors, another draws from them; they share nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = mlp(256, sum(DATA.sizes), hidden=[128])
        self.drawer = mlp(sum(DATA.sizes), 256, hidden=[128, 256])

    @staticmethod
    def one_hot(v: Tensor) -> Tensor:
        """Factors (n, 5) as (n, 22) zeros and ones."""
        parts = [F.one_hot(column, size) for column, size in zip(v.T.long(), DATA.sizes, strict=True)]
        return torch.cat(parts, dim=1).float()

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy of the factors and of the pixels, in nats."""
        x, v = batch
        drawn = self.drawer(self.one_hot(v))
        total = F.binary_cross_entropy_with_logits(drawn, x, reduction="none").sum(1)
        for logits, column in zip(self.reader(x).split(DATA.sizes, dim=1), v.T.long(), strict=True):
            total = total + F.cross_entropy(logits, column, reduction="none")
        return total


@torch.no_grad()
def judge_labelled(model: Labelled, rows: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """How well factors of these sprites are read, drawn and edited."""
    truth, each, k = DATA.factors[rows], np.arange(len(rows)), np.arange(len(rows)) % 5
    parts = model.reader(images()[rows]).split(DATA.sizes, 1)
    seen = torch.stack([part.argmax(1) for part in parts], 1).numpy()
    sizes = np.array(DATA.sizes)[k]
    wanted, edited = truth.copy(), seen.copy()
    wanted[each, k] = edited[each, k] = (truth[each, k] + rng.integers(1, sizes)) % sizes

    def drawn(v: np.ndarray) -> np.ndarray:
        return read(torch.sigmoid(model.drawer(model.one_hot(torch.as_tensor(v)))))

    return {
        "read": float((seen == truth).mean()),
        "drawn": float((drawn(truth) == truth).all(1).mean()),
        "edited": float((drawn(edited) == wanted).all(1).mean()),
    }


def labels() -> dict[str, Any]:
    """Row of the supervised base line, on sprites that it was not shown."""

    def one(seed: int) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        order, x = rng.permutation(len(DATA.X)), images()
        new, old = order[: len(order) // 10], order[len(order) // 10 :]
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(seed)
            model = Labelled()
        data = (x[old], torch.as_tensor(DATA.factors[old], dtype=torch.float32))
        train(
            model,
            data,
            steps=1000,
            batch_size=64,
            lr=5e-3,
            schedule="cosine",
            random_state=seed,
            device="cpu",
        )
        found = {
            f"{name}{end}": value
            for end, rows in (("", old), (" new", new))
            for name, value in judge_labelled(model.eval(), rows, rng).items()
        }
        return found

    return gather("labels", one)


ROWS: dict[str, Callable[[], dict[str, Any]]] = {
    "reconstruction": mixing("reconstruction alone"),
    "cycle": mixing("+ cycle", "cycle"),
    "cycle, adversary": mixing("+ cycle, adversary", "cycle", "adversary"),
    "cycle, classifier": mixing("+ cycle, classifier", "cycle", "classifier"),
    "adversary, classifier": mixing("+ adversary, classifier", "adversary", "classifier"),
    "all": mixing("+ all three", "cycle", "adversary", "classifier"),
    "deep, cycle": mixing("deeper, + cycle", "cycle", hidden=SETTINGS["deep"]),
    "deep, all": mixing("deeper, + all three", "cycle", "adversary", "classifier", hidden=SETTINGS["deep"]),
    "beta-VAE": beta_vae,
    "labels": labels,
}


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help="these rows only")
    options = parser.parse_args(argv)
    results = Results("mixing", settings=SETTINGS, path=options.output, fresh=options.fresh)
    for name in options.only or ROWS:
        found = results.row(name, ROWS[name])
        print(
            name,
            {k: v for k, v in found.items() if k not in ("moved", "retrieval")},
            file=sys.stderr,
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
