"""A small DCGAN on MNIST and CIFAR-10: real data, one command, resumable.

    python -m benchmarks.gan_images [--device cpu|cuda] [--only ROW ...] [--work FOLDER]

writes `results/gan_images.json`, row by row. MNIST at 28x28; CIFAR-10 averaged down to 16x16 in colour, and
every text that shows it must say so. Two sizes: "small" is meant for a CPU (a few minutes a seed), "large"
for a GPU. A row is one data set, one size and one seed, such as "mnist, small, seed 0" ::

    {"data", "size", "seed", "parameters", "updates", "frechet", "frechet_real", "class_kl", "sure",
     "accuracy", "train_seconds", "device", "curves": {player: [...]}, "images": [hex, ...]}

"frechet" compares 10,000 samples with the 10,000 test images by the 64 features of a small classifier that
this program trains itself ("accuracy" on the test images): a *course Frechet distance*, not FID, and not to
be compared with any number from elsewhere. "frechet_real" is the same for 10,000 training images: what a
perfect sampler gets. "class_kl": KL of the histogram of classes that the classifier gives to samples, from
that of the test images. "sure": share of samples for which it gives a class more than 0.9.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks._common import Results, arguments
from coursekit import metrics
from coursekit.adversarial.gan import GAN, dcgan_nets
from coursekit.data import load
from coursekit.train import train

SIZES: dict[str, dict[str, Any]] = {
    "small": {"width": 16, "latent_dim": 32, "updates": 3000, "batch_size": 64, "seeds": [0, 1, 2]},
    "large": {"width": 64, "latent_dim": 64, "updates": 20000, "batch_size": 128, "seeds": [0, 1, 2]},
}
SETTINGS = {"sizes": SIZES, "lr": 4e-4, "betas": [0.5, 0.999], "samples": 10_000, "features": 64}
SIDES = {"mnist": (28, 1), "cifar10": (16, 3)}


@cache
def data(name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, test images and labels: rows in [-1, 1], channels first."""
    parts = load(name)
    side, channels = SIDES[name]
    found = []
    for part in (parts.train, parts.test):
        x = torch.as_tensor(np.asarray(part.X), dtype=torch.float32)
        x = x.reshape(len(x), channels, -1)
        x = x.reshape(len(x), channels, round(x.shape[2] ** 0.5), -1)
        if x.shape[-1] != side:
            x = F.avg_pool2d(x, x.shape[-1] // side)
        found += [(x / 127.5 - 1).flatten(1), torch.as_tensor(np.asarray(part.y), dtype=torch.int64)]
    return tuple(found)  # type: ignore[return-value]


class Classifier(nn.Module):
    """The feature network: two convolutions, 64 features, ten classes."""

    def __init__(self, name: str) -> None:
        super().__init__()
        side, channels = SIDES[name]
        self.features = nn.Sequential(
            nn.Unflatten(1, (channels, side, side)),
            nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * (side // 4) ** 2, SETTINGS["features"]), nn.ReLU(),  # type: ignore[call-overload]
        )  # fmt: skip
        self.top = nn.Linear(SETTINGS["features"], 10)  # type: ignore[call-overload]

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy of each row."""
        x, y = batch
        return F.cross_entropy(self.top(self.features(x)), y, reduction="none")


def classifier(name: str, device: str, work: Path, epochs: int = 2) -> Classifier:
    """Train the feature network once; its weights are kept in the work folder."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(0)
        model = Classifier(name)
    x, y, _, _ = data(name)
    options = {"batch_size": 128, "lr": 1e-3, "random_state": 0, "device": device}
    train(model, [x, y], epochs=epochs, checkpoint=work / f"{name}-{device}-classifier", **options)  # type: ignore[arg-type]
    return model


@torch.no_grad()
def look(model: Classifier, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Features and class probabilities, in float64."""
    place = next(model.parameters()).device
    parts = [model.features(block.to(place)) for block in x.split(1000)]
    features = torch.cat(parts)
    return features.double().cpu().numpy(), model.top(features).double().softmax(dim=1).cpu().numpy()


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance where features may be dead: a spark of noise in every direction, the same for both."""
    spark = 1e-3 * np.random.default_rng(0).standard_normal((2, *a.shape))
    return metrics.frechet_distance(a + spark[0], b + spark[1])


def build(name: str, size: str, seed: int) -> GAN:
    """The model of one row, its first weights drawn from `seed`, as DCGAN draws them."""
    options = SIZES[size]
    side, channels = SIDES[name]
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        nets = dcgan_nets(side, channels=channels, latent_dim=options["latent_dim"], width=options["width"])
        for net in nets:
            for layer in net.modules():
                if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                    nn.init.normal_(layer.weight, std=0.02)
        dim = channels * side**2
        return GAN(dim, latent_dim=options["latent_dim"], generator=nets[0], discriminator=nets[1])


def fit(name: str, size: str, seed: int, device: str, *, updates: int = 0, **options: Any) -> tuple[GAN, Any]:
    """Train one model by the protocol."""
    model = build(name, size, seed)
    history = train(
        model,
        data(name)[0],
        steps=updates or SIZES[size]["updates"],
        batch_size=SIZES[size]["batch_size"],
        lr=SETTINGS["lr"],  # type: ignore[arg-type]
        optimizer=partial(torch.optim.Adam, betas=tuple(SETTINGS["betas"]), fused=True),  # type: ignore[arg-type]
        random_state=seed,
        device=device,
        **options,
    )
    return model, history


def as_hex(x: np.ndarray) -> list[str]:
    """Images in [-1, 1] as bytes, two hexadecimal digits each."""
    return [row.tobytes().hex() for row in np.clip(np.rint(127.5 * (x + 1)), 0, 255).astype(np.uint8)]


def row(name: str, size: str, seed: int, device: str, work: Path) -> dict[str, Any]:
    """Train and judge one model."""
    start = time.perf_counter()
    checkpoint = work / f"{name}-{size}-{seed}-{device}"
    model, history = fit(name, size, seed, device, checkpoint=checkpoint, save_every=2)
    seconds = time.perf_counter() - start
    judge = classifier(name, device, work)
    train_x, _, test_x, test_y = data(name)
    place = torch.Generator(next(model.parameters()).device).manual_seed(seed)
    samples = torch.cat([model.sample(1000, generator=place) for _ in range(SETTINGS["samples"] // 1000)])  # type: ignore[operator]
    (ours, odds), (theirs, test_odds), (floor, _) = (
        look(judge, x) for x in (samples, test_x, train_x[: len(test_x)])
    )
    share = np.bincount(odds.argmax(1), minlength=10) / len(odds)
    truth = np.bincount(test_odds.argmax(1), minlength=10) / len(test_odds)
    curves = {}
    for player in ("discriminator", "generator"):
        losses = history.of(player)[1]
        curves[player] = losses[: len(losses) // 50 * 50].reshape(50, -1).mean(axis=1).round(4).tolist()
    return {
        "data": name,
        "size": size,
        "seed": seed,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "updates": len(history.loss),
        "frechet": frechet(ours, theirs),
        "frechet_real": frechet(floor, theirs),
        "class_kl": float((share * np.log(np.maximum(share, 1e-12) / truth)).sum()),
        "sure": float((odds.max(axis=1) > 0.9).mean()),
        "accuracy": float((test_odds.argmax(1) == test_y.numpy()).mean()),
        "train_seconds": seconds,
        "device": history.device,
        "curves": curves,
        "images": as_hex(samples[:30].cpu().numpy()) if seed == 0 else [],
    }


ROWS = {
    f"{name}, {size}, seed {seed}": (name, size, seed)
    for size, options in SIZES.items()
    for name in SIDES
    for seed in options["seeds"]
}


def main(argv: list[str] | None = None) -> None:
    """Compute what is missing and write the file."""
    parser = arguments("A small DCGAN on MNIST and CIFAR-10", devices=("cpu", "cuda"))
    parser.add_argument("--only", nargs="+", choices=list(ROWS), help="compute these rows")
    parser.add_argument("--work", type=Path, help="folder of the trainings' states")
    options = parser.parse_args(argv)
    results = Results(
        "gan_images", settings=SETTINGS, device=options.device, path=options.output, fresh=options.fresh
    )
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        for name in options.only or ROWS:
            done = results.row(name, partial(row, *ROWS[name], options.device, work))
            shown = ("frechet", "frechet_real", "class_kl", "sure", "accuracy", "train_seconds")
            print(name, {key: done[key] for key in shown}, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
