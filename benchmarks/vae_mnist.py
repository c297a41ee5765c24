"""Variational autoencoders on fixed binarized MNIST: real data, one command, resumable.

    python -m benchmarks.vae_mnist [--protocol cpu|full] [--device cpu|cuda] [--only ROW ...] [--work FOLDER]

writes `results/vae_mnist.json` (with ``--protocol full``: `results/vae_mnist_full.json`), row by row. A run
that is cut off goes on from its last epoch: the state of each training is a file in the folder ``--work``.

* ``cpu``: 784-200-200-50, KL warm-up, fused Adam: a few CPU-minutes a seed.
* ``full``: the architecture and bound (5,000 draws) of Burda et al. 2016, k = 1, 5, 50, for a GPU.

Each row is one model with one seed, such as "vae, seed 0" ::

    {"label", "objective", "k", "seed", "epochs", "parameters", "elbo", "reconstruction", "kl",
     "iwae", "iwae_k", "iwae_se", "active", "train_elbo", "train_seconds", "train_cpu_seconds",
     "curve": [...]}

All numbers are nats per image on the 10,000 test images (larger is better), ``iwae_se`` the standard error
over images, "train_elbo" the same bound on 10,000 training images, ``curve`` the negative bound on the
validation images after each epoch, "train_cpu_seconds" is null where a run was cut off and went on.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks._common import Results, arguments
from coursekit.data import load
from coursekit.latent.vae import VAE, active_units
from coursekit.train import train

# What decides the numbers, by protocol; a row is its objective, k and seeds.
PROTOCOLS: dict[str, dict[str, Any]] = {
    "cpu": {
        "latent_dim": 50, "hidden": [200, 200], "activation": "SiLU", "epochs": 40, "batch_size": 200,
        "lr": 2e-3, "warm_up": 2500, "iwae_k": 500,
        "rows": {"vae": ["elbo", 1, [0, 1, 2]], "dreg5": ["dreg", 5, [0]]},
    },
    "full": {
        "latent_dim": 50, "hidden": [200, 200], "activation": "Tanh", "epochs": 800, "batch_size": 500,
        "lr": 1e-3, "warm_up": 5000, "iwae_k": 5000,
        "rows": {"vae": ["elbo", 1, [0, 1, 2]], "iwae5": ["iwae", 5, [0, 1, 2]],
                 "dreg5": ["dreg", 5, [0, 1, 2]], "iwae50": ["iwae", 50, [0, 1, 2]],
                 "dreg50": ["dreg", 50, [0, 1, 2]]},
    },
}  # fmt: skip
LABELS = {"elbo": "VAE", "iwae": "IWAE", "dreg": "IWAE, DReG gradient"}


def data(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Training, validation and test images as float32 zeros and ones."""
    parts = (torch.as_tensor(part.X, dtype=torch.float32, device=device) for part in load("binarized_mnist"))
    train_x, validation_x, test_x = parts
    return train_x, validation_x, test_x


def build(settings: dict[str, Any], objective: str, k: int, seed: int) -> VAE:
    """The model of one row, its first weights drawn from `seed`."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return VAE(
            784,
            latent_dim=settings["latent_dim"],
            hidden=settings["hidden"],
            activation=getattr(nn, settings["activation"]),
            objective=objective,  # type: ignore[arg-type]
            k=k,
            warm_up=settings["warm_up"] if objective == "elbo" else 0,
        )


def start_at_the_frequencies(model: VAE, x: Tensor) -> None:
    """Set the last bias to the logits of the mean image, so that training does not begin by finding it."""
    frequency = x.mean(0).clamp(1e-3, 1 - 1e-3)
    with torch.no_grad():
        model.decoder.net[-1].bias.copy_(torch.logit(frequency))


def evaluate(model: VAE, x: Tensor, k: int, seed: int = 0) -> dict[str, Any]:
    """Bounds of a trained model on images `x`."""
    generator = torch.Generator(x.device).manual_seed(seed)
    elbo = model.elbo(x, 10, generator=generator)
    with torch.no_grad():
        kl = model.encoder(x).kl_to_prior()
    iwae = model.iwae(x, k, generator=generator)
    return {
        "elbo": float(elbo.mean()),
        "kl": float(kl.mean()),
        "reconstruction": float((elbo + kl).mean()),
        "iwae": float(iwae.mean()),
        "iwae_se": float(iwae.std() / len(x) ** 0.5),
        "active": int((active_units(model, x) > 0.01).sum()),
    }


def run(settings: dict[str, Any], name: str, seed: int, device: str, work: Path) -> dict[str, Any]:
    """Train and evaluate one model."""
    train_x, validation_x, test_x = data(device)
    objective, k, _ = settings["rows"][name]
    model = build(settings, objective, k, seed).to(device)
    start_at_the_frequencies(model, train_x)
    checkpoint = work / f"{name}-{seed}.pt"
    fresh, cpu = not checkpoint.exists(), time.process_time()
    history = train(
        model,
        train_x,
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        lr=settings["lr"],
        schedule="cosine",
        held_out=validation_x,
        random_state=seed,
        device=device,
        checkpoint=checkpoint,
    )
    cpu = time.process_time() - cpu
    return {
        "label": LABELS[objective],
        "objective": objective,
        "k": k,
        "seed": seed,
        "epochs": settings["epochs"],
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "iwae_k": settings["iwae_k"],
        **evaluate(model, test_x, settings["iwae_k"]),
        "train_elbo": float(model.elbo(train_x[:10_000], 10).mean()),
        "train_seconds": history.seconds,
        "train_cpu_seconds": cpu if fresh else None,
        "curve": [round(float(value), 2) for value in history.held_out],
    }


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__.splitlines()[0], devices=("cpu", "cuda"))
    parser.add_argument("--protocol", default="cpu", choices=PROTOCOLS, help="sizes (default: cpu)")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="these rows only")
    parser.add_argument("--work", type=Path, help="folder of the checkpoints")
    options = parser.parse_args(argv)
    settings, device = PROTOCOLS[options.protocol], options.device
    name = "vae_mnist" if options.protocol == "cpu" else "vae_mnist_full"
    work = options.work or Path(tempfile.gettempdir()) / f"coursekit-{name}-{device}"
    work.mkdir(parents=True, exist_ok=True)
    results = Results(name, settings=settings, device=device, path=options.output, fresh=options.fresh)
    results.meta["command"] = f"python -m benchmarks.vae_mnist --protocol {options.protocol}"
    for name, (_, _, seeds) in settings["rows"].items():
        for seed in seeds if options.only is None or name in options.only else ():
            row = results.row(
                f"{name}, seed {seed}", lambda n=name, s=seed: run(settings, n, s, device, work)
            )
            bounds = f"ELBO {row['elbo']:.2f}, IWAE-{row['iwae_k']} {row['iwae']:.2f}"
            print(f"{name}, seed {seed}: {bounds}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
