"""What critics claim of a known distance, and what Wasserstein GANs do with eight Gaussians and with digits.

    OMP_NUM_THREADS=1 python -m benchmarks.wgan [--device cpu|cuda] [--fresh] [--output FILE]

writes `results/wgan.json` (resumable); lists have one value for each seed::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {"claims, 2 columns, penalty 10": {"seeds": [0, ...], "shifts": [0.5, ...],
                  "claim": [[shifts] seeds],    critic's mean on data minus its mean on samples, fresh rows
                  "slope": [[shifts] seeds]},   its steepest gradient there and between
              ...                               two normal laws with unit variances, shifted: W1 is the shift
              "ring, penalty 1": {"seeds", "modes", "high_quality", "kl",
                  "w1",                         exact W1 of 1000 samples to 1000 rows of data
                  "steps": [...], "curves": [{"claim": [...], "slope": [...], "w1": [...]} for each seed]},
              "ring, GAN": the same; its claim is the bound on the Jensen-Shannon divergence,
              "ring, penalty 1, longer": twice the steps,
              "ring, data": {"w1": [...]},      two samples of the law itself
              "digits, penalty 10": {"seeds", "energy", "spurious", "c2st"},
              ...}}

A ring's row trains in pieces, by a checkpoint, to look at the critic on the way.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks._common import Results, arguments
from coursekit import metrics
from coursekit.adversarial.gan import GAN, mode_report
from coursekit.adversarial.wgan import WGAN, optimal_transport
from coursekit.data import EightGaussians, digits
from coursekit.train import train

Float = NDArray[np.float64]
SEEDS, SHIFTS = (0, 1, 2), (0.5, 2.0, 4.0)
RING_STEPS, PIECES = 2400, 6
CLAIM_STEPS, DIGIT_STEPS = 200, 1200
CLAIMS: dict[str, tuple[str, float | None]] = {
    "penalty 1": ("penalty", 1.0),
    "penalty 10": ("penalty", 10.0),
    "one-sided 10": ("one-sided", 10.0),
    "clip 0.01": ("clip", 0.01),
    "clip 0.1": ("clip", 0.1),
    "spectral": ("spectral", None),
}
RINGS: dict[str, tuple[str, float | None] | None] = {
    "penalty 1": ("penalty", 1.0),
    "clip 0.1": ("clip", 0.1),
    "spectral": ("spectral", None),
    "GAN": None,
}


class Held(nn.Module):
    """A generator that does not learn: the noise itself. Its one weight is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z + 0 * self.unused


def claim(
    kind: str, strength: float | None, dim: int, shift: float, seed: int, steps: int = CLAIM_STEPS
) -> tuple[float, float]:
    """What a critic says of two normal laws `shift` apart along the diagonal, after training."""
    torch.manual_seed(seed)
    model = WGAN(dim, latent_dim=dim, constraint=kind, strength=strength, generator=Held())  # type: ignore[arg-type]
    model.turns = ("discriminator",)
    generator = torch.Generator().manual_seed(1000 + seed)
    x, fresh = (torch.randn(4000, dim, generator=generator) + shift / dim**0.5 for _ in range(2))
    adam = partial(torch.optim.Adam, betas=(0.0, 0.9))
    settings: dict[str, Any] = {"batch_size": 256, "lr": 2e-3, "optimizer": adam, "schedule": "cosine"}
    train(model, x, steps=steps, random_state=seed, device="cpu", **settings)
    return model.estimate(fresh, generator=generator)


def claims(name: str, dim: int, seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    found = [[claim(*CLAIMS[name], dim, shift, seed) for shift in SHIFTS] for seed in seeds]
    both = np.array(found)  # (seeds, shifts, 2)
    return {"seeds": list(seeds), "shifts": SHIFTS, "claim": both[..., 0], "slope": both[..., 1]}


def ring_model(name: str, seed: int) -> GAN:
    """Two hidden layers of 64 in both networks; five steps of the critic for one of the generator."""
    torch.manual_seed(seed)
    case = RINGS[name]
    if case is None:
        return GAN(2)
    return WGAN(2, constraint=case[0], strength=case[1])  # type: ignore[arg-type]


def look(model: GAN, data: torch.Tensor) -> tuple[Float, float, float]:
    """Samples, what the critic claims (of a GAN: its bound on JS), and its slope."""
    generator = torch.Generator().manual_seed(0)
    samples = model.sample(len(data), generator=generator)
    if isinstance(model, WGAN):
        claimed, slope = model.estimate(data, generator=torch.Generator().manual_seed(0))
    else:
        with torch.no_grad():
            loss = model.discriminator_loss(data, samples).mean()
        claimed, slope = 0.5 * (np.log(4) - float(loss)), float("nan")
    return samples.double().cpu().numpy(), claimed, slope


def ring(
    name: str, seeds: tuple[int, ...] = SEEDS, steps: int = RING_STEPS, pieces: int = PIECES
) -> dict[str, Any]:
    law = EightGaussians()
    X = torch.as_tensor(law.sample(4000, random_state=1), dtype=torch.float32)
    fresh = torch.as_tensor(law.sample(1000, random_state=2), dtype=torch.float32)
    row: dict[str, Any] = {"seeds": list(seeds), "modes": [], "high_quality": [], "kl": [], "w1": []}
    row["steps"] = [steps * (k + 1) // pieces for k in range(pieces)]
    row["curves"] = []
    adam = partial(torch.optim.Adam, betas=(0.0, 0.9) if name != "GAN" else (0.5, 0.999))
    settings: dict[str, Any] = {"batch_size": 128, "lr": 1e-3, "optimizer": adam, "device": "cpu"}
    for seed in seeds:
        model, curve = ring_model(name, seed), {"claim": [], "slope": [], "w1": []}
        with tempfile.TemporaryDirectory() as folder:
            for until in row["steps"]:
                file = Path(folder) / "run.pt"
                train(model, X, steps=until, random_state=seed, checkpoint=file, save_every=1000, **settings)
                samples, claimed, slope = look(model, fresh)
                exact = optimal_transport(samples, fresh.numpy()).cost
                for key, value in (("claim", claimed), ("slope", slope), ("w1", exact)):
                    curve[key].append(value)
        report = mode_report(samples, law.means, std=law.std)
        for key, value in report._asdict().items():
            row[key].append(value)
        row["w1"].append(curve["w1"][-1])
        row["curves"].append(curve)
    return row


def ring_data() -> dict[str, Any]:
    """The distance between two samples of the law: what no model can beat but by luck."""
    law = EightGaussians()
    fresh = law.sample(1000, random_state=2)
    return {"w1": [optimal_transport(fresh, law.sample(1000, random_state=3 + k)).cost for k in range(5)]}


def on_digits(name: str, seed: int, steps: int = DIGIT_STEPS, device: str = "cpu") -> dict[str, float]:
    """A model of grey digits in [-1, 1], and three judgements of its samples."""
    train_part, validation, test = digits("grey")
    X, held_out = train_part.X / 8 - 1, np.concatenate([validation.X, test.X]) / 8 - 1
    torch.manual_seed(seed)
    layers = [nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 64), nn.Tanh()]
    sizes: dict[str, Any] = {"latent_dim": 16, "hidden": (128, 128), "generator": nn.Sequential(*layers)}
    model: GAN = GAN(64, **sizes) if name == "GAN" else WGAN(64, constraint="penalty", strength=10.0, **sizes)
    adam = partial(torch.optim.Adam, betas=(0.5, 0.999) if name == "GAN" else (0.0, 0.9))
    settings: dict[str, Any] = {"batch_size": 64, "lr": 1e-3, "optimizer": adam, "device": device}
    train(model, torch.as_tensor(X, dtype=torch.float32), steps=steps, random_state=seed, **settings)
    generator = torch.Generator().manual_seed(0)
    samples = model.cpu().sample(700, generator=generator).double().numpy()
    return judge(samples, X, held_out)


def judge(samples: Float, X: Float, held_out: Float) -> dict[str, float]:
    report = metrics.nearest_neighbour_report(samples, X, held_out)
    return {
        "energy": metrics.energy_distance(samples, held_out),
        "spurious": report.spurious_rate,
        "copies": report.copy_rate,
        "sliced": metrics.sliced_wasserstein(samples, held_out, random_state=0),
    }


def digits_row(name: str, device: str, seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    rows = [on_digits(name, seed, device=device) for seed in seeds]
    return {"seeds": list(seeds), **{key: [row[key] for row in rows] for key in rows[0]}}


def digits_data() -> dict[str, Any]:
    """Training images, judged as if they were samples."""
    train_part, validation, test = digits("grey")
    half = train_part.X[:548] / 8 - 1
    held_out = np.concatenate([validation.X, test.X]) / 8 - 1
    row = judge(half, train_part.X[548:] / 8 - 1, held_out)
    return {key: [value] for key, value in row.items()}


def main(argv: list[str] | None = None) -> int:
    options = arguments(__doc__.splitlines()[0], devices=("cpu", "cuda")).parse_args(argv)
    settings = {"seeds": SEEDS, "shifts": SHIFTS, "ring_steps": RING_STEPS}
    settings |= {"claim_steps": CLAIM_STEPS, "digit_steps": DIGIT_STEPS}
    results = Results(
        "wgan", settings=settings, device=options.device, path=options.output, fresh=options.fresh
    )
    results.row("ring, data", ring_data)
    results.row("digits, data", digits_data)
    cases = [(2, name) for name in CLAIMS] + [(1, "penalty 10"), (1, "one-sided 10")]
    for dim, name in cases:
        results.row(f"claims, {dim} columns, {name}", lambda name=name, dim=dim: claims(name, dim))
    for name in RINGS:
        results.row(f"ring, {name}", lambda name=name: ring(name))
        print(f"ring, {name}", flush=True)
    results.row("ring, penalty 1, longer", lambda: ring("penalty 1", steps=2 * RING_STEPS, pieces=8))
    for name in ("penalty 10", "GAN"):
        results.row(f"digits, {name}", lambda name=name: digits_row(name, options.device))
    return 0


if __name__ == "__main__":
    sys.exit(main())
