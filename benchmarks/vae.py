"""Variational autoencoders on the stochastically binarized digits: bounds, gaps, gradients, speed.

    python -m benchmarks.vae [--fresh] [--output FILE] [--only ROW ...]

writes `results/vae.json`, row by row (resumable). Training images are binarized anew at each step, a pixel
being 1 with probability count / 16; the 500 test images once. MLP 64-100-100, batch 100, Adam 2e-3 with a
cosine, KL warm-up over two fifths of the steps, three seeds.

Rows of models ("k4", "k2", "k2 conv", "k2 iwae10", "k2 dreg10") ::

    {"label", "latent_dim", "steps", "parameters", "active": [...], "elbo": [...], "reconstruction": [...],
     "kl": [...], "iwae5": [...], "iwae50": [...], "iwae500": [...], "cpu": [...]}

and, for two latents, {"evidence": [...], "per_row_elbo": [...]}: by quadrature, and with a posterior fitted
to each image. Nats per test image, one number per seed.

"gradients": total variance of the encoder's gradient for one image and one draw, for each estimator.
"snr": signal-to-noise of gradients against the number of draws, in the linear model, with fitted slopes.
"speed": CPU time of loops over images and over draws, as a ratio to the bound with all draws at once.

With ``--plane`` it writes `results/vae_plane.json` instead: the weights of the decoder that readers move.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks._common import Results, arguments
from coursekit.data import digits
from coursekit.latent.vae import (
    VAE,
    BernoulliDecoder,
    GaussianEncoder,
    ProbabilisticPCA,
    active_units,
    conv_nets,
    infer_per_row,
    linear_vae,
    log_evidence,
)
from coursekit.train import train

SEEDS = [0, 1, 2]
SETTINGS = {"seeds": SEEDS, "hidden": [100, 100], "batch_size": 100, "lr": 2e-3, "warm_up": 0.4}


class Rebinarized(VAE):
    """A VAE whose training batches hold probabilities: every step draws its own bits."""

    def loss(self, batch: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return super().loss(torch.bernoulli(batch, generator=generator), generator=generator)


def images() -> tuple[Tensor, Tensor]:
    """Training probabilities (1097, 64) and test bits (500, 64), float32."""
    train_x, test_x = digits("grey").train.X / 16, digits("stochastic").test.X
    return torch.as_tensor(train_x, dtype=torch.float32), torch.as_tensor(test_x, dtype=torch.float32)


def fit(latent_dim: int, steps: int, seed: int, *, conv: bool = False, **options: Any) -> VAE:
    """Train one model by the protocol."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        if conv:
            encoder, decoder = conv_nets(8, latent_dim)
            options["encoder"] = GaussianEncoder(64, latent_dim, net=encoder)
            options["decoder"] = BernoulliDecoder(latent_dim, 64, net=decoder)
        warm_up = int(SETTINGS["warm_up"] * steps) if options.get("objective", "elbo") == "elbo" else 0
        model = Rebinarized(64, latent_dim=latent_dim, hidden=SETTINGS["hidden"], warm_up=warm_up, **options)
    train(
        model,
        images()[0],
        steps=steps,
        batch_size=SETTINGS["batch_size"],
        lr=SETTINGS["lr"],
        schedule="cosine",
        random_state=seed,
        device="cpu",
    )
    return model


def judge(model: VAE, x: Tensor) -> dict[str, float]:
    """Every bound of one model; with two latents also what it loses and where."""
    generator = torch.Generator().manual_seed(0)
    elbo = model.elbo(x, 100, generator=generator).mean()
    with torch.no_grad():
        kl = model.encoder(x).kl_to_prior().mean()
    found = {"elbo": elbo, "kl": kl, "reconstruction": elbo + kl}
    for k in (5, 50, 500):
        found[f"iwae{k}"] = model.iwae(x, k, generator=generator).mean()
    if model.latent_dim == 2:
        found["evidence"] = log_evidence(model, x).mean()
        q = infer_per_row(model, x, generator=generator)
        with torch.no_grad():
            z = q.rsample(100, generator=generator)
            found["per_row_elbo"] = (model.decoder.log_prob(x, z).mean(0) - q.kl_to_prior()).mean()
    found["active"] = (active_units(model, x) > 0.01).sum()
    return {name: float(value) for name, value in found.items()}


def models(label: str, latent_dim: int, steps: int, **options: Any) -> dict[str, Any]:
    """One row: train and judge for each seed."""
    row: dict[str, Any] = {"label": label, "latent_dim": latent_dim, "steps": steps}
    for seed in SEEDS:
        start = time.process_time()
        model = fit(latent_dim, steps, seed, **options)
        found = {"cpu": time.process_time() - start} | judge(model, images()[1])
        row["parameters"] = sum(weight.numel() for weight in model.parameters())
        for name, value in found.items():
            row.setdefault(name, []).append(value)
    return row


def encoder_gradients(
    model: VAE, x: Tensor, repeats: int, part: str = "encoder", generator: torch.Generator | None = None
) -> Tensor:
    """Gradients of the loss of `x`, (repeats, weights of the part)."""
    weights = list(getattr(model, part).parameters())
    found = []
    for _ in range(repeats):
        slopes = torch.autograd.grad(VAE.loss(model, x, generator=generator).mean(), weights)
        found.append(torch.cat([slope.flatten() for slope in slopes]))
    return torch.stack(found)


def gradients(repeats: int = 300, n_images: int = 20) -> dict[str, Any]:
    """Total variance of the encoder's gradient, image by image, of a model half-way through training."""
    model, x = fit(4, 500, 0).eval(), images()[1][:n_images]
    estimators = {
        "reparametrized": ("elbo", 1),
        "reparametrized, path only": ("dreg", 1),
        "score function": ("reinforce", 1),
        "score function, baseline of 8 draws": ("reinforce", 8),
    }
    found: dict[str, list[float]] = {}
    for name, (model.objective, model.k) in estimators.items():
        generator = torch.Generator().manual_seed(1)
        per_image = [
            encoder_gradients(model, row, repeats, generator=generator).var(0).sum() * model.k
            for row in x.split(1)
        ]
        found[name] = [float(value) for value in per_image]
    mean = {name: float(np.mean(values)) for name, values in found.items()}
    ratio = {name: np.array(values) / found["reparametrized"] for name, values in found.items()}
    return {
        "variance": mean,
        "ratio_median": {name: float(np.median(values)) for name, values in ratio.items()},
        "ratio_low": {name: float(values.min()) for name, values in ratio.items()},
        "ratio_high": {name: float(values.max()) for name, values in ratio.items()},
        "repeats": repeats,
        "images": n_images,
    }


def snr(repeats: int = 2000, ks: tuple[int, ...] = (1, 4, 16, 64, 256)) -> dict[str, Any]:
    """Signal-to-noise of gradients against k, and the slopes of its logarithm."""
    X = digits("dequantized").train.X
    X = X @ np.linalg.svd(X - X.mean(0), full_matrices=False)[2][:6].T  # six principal coordinates
    model = linear_vae(ProbabilisticPCA(2).fit(X), posterior_scale=1.3)
    with torch.no_grad():  # off the optimum, as during training: there every mean gradient is zero
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(5)))
    x = torch.as_tensor(X[:1])
    found: dict[str, Any] = {"ks": list(ks), "repeats": repeats, "snr": {}, "slope": {}}
    for name, objective, part in (
        ("IWAE, decoder", "iwae", "decoder"),
        ("IWAE, encoder", "iwae", "encoder"),
        ("DReG, encoder", "dreg", "encoder"),
    ):
        model.objective, ratios = objective, []
        for model.k in ks:
            generator = torch.Generator().manual_seed(model.k)
            draws = encoder_gradients(model, x, repeats, part, generator)
            alive = draws.std(0) > 1e-12
            ratios.append(float((draws.mean(0).abs() / draws.std(0))[alive].median()))
        found["snr"][name] = ratios
        found["slope"][name] = float(np.polyfit(np.log(ks), np.log(ratios), 1)[0])
    return found


def library_loop(model: VAE, x: Tensor, k: int, batch: int = 100) -> Tensor:
    """The bound as libraries compute it: image by image, copies of it through the whole model in batches."""
    bounds = []
    for row in x.split(1):
        log_w = []
        for _ in range(0, k, batch):
            copies = row.expand(batch, -1)
            q = model.encoder(copies)
            noise = torch.randn_like(q.mean)
            z = q.mean + q.log_scale.exp() * noise
            p = torch.sigmoid(model.decoder.net(z))
            log_p = -torch.nn.functional.binary_cross_entropy(p, copies, reduction="none").sum(-1)
            log_w.append(log_p - 0.5 * z.square().sum(-1) + (0.5 * noise.square() + q.log_scale).sum(-1))
        bounds.append(torch.logsumexp(torch.cat(log_w), 0) - np.log(k))
    return torch.stack(bounds)


@torch.no_grad()
def speed(rounds: int = 7) -> dict[str, Any]:
    """CPU time of the IWAE bound: all draws at once, image by image, and as libraries do it."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {"rounds": rounds, "cases": {}}
    for dim, hidden, latent_dim, k, n in ((64, (100, 100), 4, 500, 100), (784, (200, 200), 50, 1000, 20)):
        torch.manual_seed(0)
        model = VAE(dim, latent_dim=latent_dim, hidden=hidden)
        x = (torch.rand(n, dim) < 0.3).float()
        ways: dict[str, Callable[[], Any]] = {
            "all at once": lambda m=model, x=x, k=k: m.iwae(x, k),
            "image by image": lambda m=model, x=x, k=k: [m.iwae(row, k) for row in x.split(1)],
            "as libraries do it": lambda m=model, x=x, k=k: library_loop(m, x, k),
            "draw by draw": lambda m=model, x=x, k=k: [m.log_weights(x, 1) for _ in range(k)],
        }
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                start = time.process_time()
                way()
                cpu[name].append(time.process_time() - start)
        base = np.array(cpu["all at once"])
        ratio = {name: float(np.median(np.array(values) / base)) for name, values in cpu.items()}
        found["cases"][f"{n} images of {dim} pixels, k = {k}"] = {
            "cpu": float(np.median(base)),
            "ratio": ratio,
        }
    return found


def plane() -> dict[str, Any]:
    """The decoder of the figure on the page: its layers, and where the encoder puts some test images."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(0)
        model = Rebinarized(64, latent_dim=2, hidden=(64,), warm_up=1000)
    options = {"batch_size": 100, "lr": 5e-3, "schedule": "cosine", "random_state": 0, "device": "cpu"}
    train(model, images()[0], steps=3000, **options)
    x, labels = images()[1][:150], digits("stochastic").test.y[:150]
    layers = [layer for layer in model.decoder.net if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        return {
            "layers": [
                {
                    "weight": layer.weight.double().numpy().round(4),
                    "bias": layer.bias.double().numpy().round(4),
                }
                for layer in layers
            ],
            "means": model.encoder(x).mean.double().numpy().round(3),
            "labels": labels,
            "evidence": float(log_evidence(model, images()[1]).mean()),
        }


ROWS: dict[str, Callable[[], dict[str, Any]]] = {
    "k4": lambda: models("VAE, 4 latents", 4, 2500),
    "k2": lambda: models("VAE, 2 latents", 2, 1500),
    "k2 conv": lambda: models("convolutional VAE, 2 latents", 2, 1500, conv=True),
    "k2 iwae10": lambda: models("IWAE, k = 10, 2 latents", 2, 1500, objective="iwae", k=10),
    "k2 dreg10": lambda: models("IWAE with DReG, k = 10, 2 latents", 2, 1500, objective="dreg", k=10),
    "gradients": gradients,
    "snr": snr,
    "speed": speed,
}


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help="these rows only")
    parser.add_argument("--plane", action="store_true", help="write results/vae_plane.json instead")
    options = parser.parse_args(argv)
    results = Results("vae", settings=SETTINGS, path=options.output, fresh=options.fresh)
    if options.plane:
        figure = Results("vae_plane", settings={"seed": 0}, path=options.output, fresh=options.fresh)
        figure.meta["command"] = "python -m benchmarks.vae --plane"
        figure.row("plane", plane)
        return 0
    for name in options.only or ROWS:
        row = results.row(name, ROWS[name])
        print(name, {key: value for key, value in row.items() if key != "snr"}, file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
