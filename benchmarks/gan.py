"""GANs on eight Gaussians and on small digits: step ratios, optimizers, augmentation, and a film of training.

    python -m benchmarks.gan [--fresh] [--output FILE] [--only ROW ...]

writes `results/gan.json`, row by row (resumable). The ring has radius 2 and standard deviation 0.05; both
networks have two hidden layers of 64, two latents; 6,000 updates *in all* of batches of 128, shared out by
the ratio; Adam at 1e-3 with betas (0.5, 0.9); five seeds; 4,000 samples judged by `mode_report`.

"ring, OBJECTIVE, D:G"   {"objective", "d_steps", "g_steps", "modes": [...], "high_quality": [...],
                         "kl": [...], "cpu": [...]}: one number per seed.
"optimizer, NAME"        the same at 1:1 with another optimizer, and "curves": both players' losses, averaged
                         over blocks of 50 turns, from the training history, one list per seed.
"augmentation, NAME"     digits of 8x8, 100 training images: energy distance to test images, share of
                         samples with ink on an outer column, and copy rate, each one per seed.
"film"                   frames of two runs: samples and the discriminator's probability on a grid.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks._common import Results, arguments
from coursekit import metrics
from coursekit.adversarial.gan import GAN, DiffAugment, dcgan_nets, mode_report
from coursekit.data import digits
from coursekit.data.toy import EightGaussians
from coursekit.train import History, train

SEEDS = [0, 1, 2, 3, 4]
RATIOS = [(10, 1), (5, 1), (2, 1), (1, 1), (1, 2), (1, 5), (1, 10)]
FEW_RATIOS = [(5, 1), (1, 1), (1, 10)]  # of the saturating loss
AUGMENTATIONS = ["none", "shifted copies as data", "DiffAugment"]
SETTINGS = {
    "seeds": SEEDS,
    "updates": 6000,
    "batch_size": 128,
    "lr": 1e-3,
    "betas": [0.5, 0.9],
    "hidden": [64, 64],
    "samples": 4000,
    "augmentation": {"images": 100, "updates": 4000, "width": 16, "latent_dim": 16},
}
LAW = EightGaussians()
FILM = {"1:1, non-saturating": ("non-saturating", 1, 1), "1:10, non-saturating": ("non-saturating", 1, 10)}
FRAMES = [0, 100, 200, 300, 400, 600, 800, 1000, 1300, 1600, 2000, 2400, 2800, 3400, 4000, 4600, 5200, 6000]
CELLS, SHOWN, REACH = 20, 160, 3.0  # of a frame: cells along an edge, samples, half side of the square


def adam(betas: tuple[float, float]) -> Any:
    """Adam with these betas, in one kernel."""
    return partial(torch.optim.Adam, betas=betas, fused=True)


OPTIMIZERS: dict[str, tuple[Any, float]] = {
    "SGD": (torch.optim.SGD, 0.05),
    "SGD, momentum 0.9": (partial(torch.optim.SGD, momentum=0.9), 2e-3),
    "RMSprop": (torch.optim.RMSprop, 1e-3),
    "Adam, betas (0.9, 0.999)": (adam((0.9, 0.999)), 1e-3),
    "Adam, betas (0.5, 0.9)": (adam((0.5, 0.9)), 1e-3),
}


def ring_data(seed: int) -> Tensor:
    """Draw 20,000 points of the ring."""
    return torch.as_tensor(LAW.sample(20_000, random_state=seed), dtype=torch.float32)


def build(seed: int, objective: str, d_steps: int, g_steps: int) -> GAN:
    """Make the model of the ring, its first weights drawn from `seed`."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return GAN(2, hidden=SETTINGS["hidden"], objective=objective, d_steps=d_steps, g_steps=g_steps)  # type: ignore[arg-type]


def fit(
    seed: int,
    objective: str,
    d_steps: int,
    g_steps: int,
    *,
    updates: int = 0,
    optimizer: Any = None,
    lr: float = 0.0,
) -> tuple[GAN, History]:
    """Train one model by the protocol."""
    model = build(seed, objective, d_steps, g_steps)
    history = train(
        model,
        ring_data(seed),
        steps=updates or SETTINGS["updates"],
        batch_size=SETTINGS["batch_size"],
        lr=lr or SETTINGS["lr"],
        optimizer=optimizer or adam(tuple(SETTINGS["betas"])),  # type: ignore[arg-type]
        random_state=seed,
        device="cpu",
    )
    return model, history


def judge(model: GAN, seed: int) -> dict[str, float]:
    """Modes, high-quality share and KL of one model's samples; a run that left the numbers finds nothing."""
    samples = model.sample(SETTINGS["samples"], generator=torch.Generator().manual_seed(seed)).numpy()
    return mode_report(samples, LAW.means, std=LAW.std)._asdict()


def collect(row: dict[str, Any], found: dict[str, float]) -> None:
    """Append one seed's numbers."""
    for name, value in found.items():
        row.setdefault(name, []).append(value)


def ring(objective: str, d_steps: int, g_steps: int) -> dict[str, Any]:
    """One ratio."""
    row: dict[str, Any] = {"objective": objective, "d_steps": d_steps, "g_steps": g_steps}
    for seed in SEEDS:
        start = time.process_time()
        model, _ = fit(seed, objective, d_steps, g_steps)
        collect(row, {"cpu": time.process_time() - start} | judge(model, seed))
    return row


def blocks(history: History, player: str, length: int = 50) -> list[float]:
    """A player's losses, averaged over blocks of its steps."""
    losses = history.of(player)[1]
    return losses[: len(losses) // length * length].reshape(-1, length).mean(axis=1).round(4).tolist()


def optimizers(name: str) -> dict[str, Any]:
    """One optimizer."""
    optimizer, lr = OPTIMIZERS[name]
    row: dict[str, Any] = {"optimizer": name, "lr": lr, "curves": {"discriminator": [], "generator": []}}
    for seed in SEEDS:
        start = time.process_time()
        model, history = fit(seed, "non-saturating", 1, 1, optimizer=optimizer, lr=lr)
        collect(row, {"cpu": time.process_time() - start} | judge(model, seed))
        for player, curves in row["curves"].items():
            curves.append(blocks(history, player))
    return row


def small_images() -> tuple[Tensor, np.ndarray]:
    """A hundred training images and all test images of the digits, in [-1, 1]."""
    parts = digits("grey")
    count = SETTINGS["augmentation"]["images"]  # type: ignore[index]
    return torch.as_tensor(parts.train.X[:count] / 8 - 1, dtype=torch.float32), parts.test.X / 8 - 1


def outer_ink(x: np.ndarray) -> float:
    """Share of images with more than a quarter of full ink somewhere on the two outer columns."""
    columns = x.reshape(-1, 8, 8)[:, :, [0, 7]]
    return float((columns > -0.5).any(axis=(1, 2)).mean())


def augmentation(name: str) -> dict[str, Any]:
    """Train on few images: as they are, as shifted copies, or with shifts before D on both sides."""
    options = SETTINGS["augmentation"]
    x, test = small_images()
    shifts = DiffAugment((1, 8, 8), shift=1)
    row: dict[str, Any] = {"name": name, "data_outer_ink": outer_ink(test)}
    for seed in SEEDS:
        start = time.process_time()
        data, augment = x, None
        if name == "shifted copies as data":
            data = shifts(x.repeat(50, 1), generator=torch.Generator().manual_seed(seed))
        elif name == "DiffAugment":
            augment = shifts
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(seed)
            nets = dcgan_nets(8, latent_dim=options["latent_dim"], width=options["width"])  # type: ignore[index]
            model = GAN(
                64,
                latent_dim=options["latent_dim"],  # type: ignore[index]
                generator=nets[0],
                discriminator=nets[1],
                augment=augment,
            )
        train(
            model,
            data,
            steps=options["updates"],  # type: ignore[index]
            batch_size=64,
            lr=5e-4,
            optimizer=adam((0.5, 0.999)),
            random_state=seed,
            device="cpu",
        )
        drawn = model.sample(2000, generator=torch.Generator().manual_seed(seed)).numpy()
        collect(
            row,
            {
                "cpu": time.process_time() - start,
                "energy_distance": metrics.energy_distance(drawn, test),
                "outer_ink": outer_ink(drawn),
                "copies": metrics.copy_rate(drawn, x.numpy(), test),
            },
        )
        if seed == SEEDS[0]:
            row["images"] = np.clip(np.rint(8 * (drawn[:10] + 1)), 0, 16).astype(int).tolist()
    return row


def film() -> dict[str, Any]:
    """Frames of two runs, from a checkpoint that is trained longer and longer."""
    edge = -REACH + 2 * REACH * (np.arange(CELLS) + 0.5) / CELLS
    cells = np.stack(np.meshgrid(edge, edge), axis=-1).reshape(-1, 2)  # row by row, from below
    row: dict[str, Any] = {"frames": FRAMES, "cells": CELLS, "reach": REACH, "runs": {}}
    for name, (objective, d_steps, g_steps) in FILM.items():
        frames = []
        with tempfile.TemporaryDirectory() as folder:
            for step in FRAMES:
                model = build(0, objective, d_steps, g_steps)
                if step:
                    train(
                        model,
                        ring_data(0),
                        steps=step,
                        batch_size=SETTINGS["batch_size"],
                        lr=SETTINGS["lr"],
                        optimizer=adam(tuple(SETTINGS["betas"])),  # type: ignore[arg-type]
                        random_state=0,
                        device="cpu",
                        checkpoint=Path(folder) / "film.ckpt",
                    )
                with torch.no_grad():
                    real = torch.sigmoid(model.logit(torch.as_tensor(cells, dtype=torch.float32)))
                drawn = model.sample(SHOWN, generator=torch.Generator().manual_seed(0)).numpy()
                frames.append(
                    {
                        "samples": np.rint(100 * drawn).astype(int).ravel().tolist(),
                        "field": np.rint(99 * real.numpy()).astype(int).tolist(),
                    }
                )
        row["runs"][name] = frames
    return row


ROWS: dict[str, Any] = {
    "film": film,
    **{f"ring, non-saturating, {d}:{g}": partial(ring, "non-saturating", d, g) for d, g in RATIOS},
    **{f"augmentation, {name}": partial(augmentation, name) for name in AUGMENTATIONS},
    **{f"optimizer, {name}": partial(optimizers, name) for name in OPTIMIZERS},
    **{f"ring, saturating, {d}:{g}": partial(ring, "saturating", d, g) for d, g in FEW_RATIOS},
}


def main(argv: list[str] | None = None) -> None:
    """Compute what is missing and write the file."""
    parser = arguments("GANs on eight Gaussians and small digits")
    parser.add_argument("--only", nargs="+", choices=list(ROWS), help="compute these rows")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    results = Results(
        "gan", settings=SETTINGS, device=options.device, path=options.output, fresh=options.fresh
    )
    for name in options.only or ROWS:
        row = results.row(name, ROWS[name])
        print(
            name,
            {
                key: value
                for key, value in row.items()
                if key in ("modes", "high_quality", "kl", "energy_distance", "outer_ink")
            },
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
