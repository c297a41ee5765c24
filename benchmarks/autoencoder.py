"""What samples from an autoencoder's code are worth, and what exp(-loss) adds up to.

    OMP_NUM_THREADS=1 python -m benchmarks.autoencoder [--device cpu|cuda] [--fresh] [--output FILE]

writes `results/autoencoder.json` (resumable); lists have one value for each seed::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {"digits, code of 2": {
                  "seeds": [0, ...],
                  "error", "pca_error",    squared error of a test image; PCA with as many components
                  "samplers": {name: {"spurious", "copies", "energy"}}},
              ...
              "digits, densities of pixels": {"samplers": {...}},
              "digits, held-out images": {"samplers": {...}},    what images that hands wrote score
              "mass": {"by_bottleneck": {k: sum over x of exp(-loss)}},
              "figure": {...},                                   the small decoder that a page draws with
              "mnist sample, code of 16": like the digits, on 28x28 images of the package}}

The codes' samplers draw a code and decode it: from the standard normal law that one assumes without looking,
evenly over the codes' range, from a normal law fitted to the training codes, or from ten.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from benchmarks._common import Results, arguments
from coursekit import metrics
from coursekit.autoencoders.autoencoder import Autoencoder, log_mass_of_exp_minus_loss
from coursekit.data import digits, mnist_sample
from coursekit.train import train

Array = NDArray[np.float64]
WIDTHS, SEEDS, DRAWS = (2, 4, 8, 16, 32), tuple(range(5)), 1000
BOTTLENECKS = (1, 2, 4, 8)
EPOCHS, BATCH, LR = 60, 64, 3e-3


def bars() -> Array:
    """All pictures of 2 rows and 4 columns made of whole columns, or of whole rows: 18 of the 256."""
    columns = [[(mask >> c) & 1 for c in range(4)] * 2 for mask in range(16)]
    rows = [[(mask >> r) & 1 for r in range(2) for _ in range(4)] for mask in range(4)]
    return np.unique(np.array(columns + rows, dtype=np.float64), axis=0)  # (18, 8)


def fitted(X: Array, *, seed: int, device: str = "cpu", **options: Any) -> Autoencoder:
    """An autoencoder with cross-entropy, trained on `X`; options of `train` and of the model mixed."""
    building = {name: options.pop(name) for name in ("latent_dim", "hidden") if name in options}
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        model = Autoencoder(X.shape[1], reconstruction="cross-entropy", **building)
    data = torch.as_tensor(X, dtype=torch.float32)
    train(model, data, random_state=seed, device=device, schedule="cosine", **options)
    return model


def on_digits(latent_dim: int, seed: int, device: str = "cpu") -> Autoencoder:
    """The autoencoder of the tables: 64-128-code-128-64 on grey digits."""
    X = digits("grey").train.X / 16
    settings = {"epochs": EPOCHS, "batch_size": BATCH, "lr": LR, "device": device}
    return fitted(X, seed=seed, latent_dim=latent_dim, hidden=(128,), **settings)


def apply(function: Callable[[torch.Tensor], torch.Tensor], x: Array) -> Array:
    """`encode` or `decode` on arrays."""
    weight = next(function.__self__.parameters())  # type: ignore[attr-defined]
    with torch.no_grad():
        return function(torch.as_tensor(x).to(weight)).double().cpu().numpy()


def code_samplers(codes: Array, seed: int) -> dict[str, Array]:
    """Codes drawn in four ways, each (DRAWS, k)."""
    rng, k = np.random.default_rng(seed), codes.shape[1]
    mixture = GaussianMixture(10, random_state=seed, reg_covar=1e-4).fit(codes)
    cov = np.cov(codes.T).reshape(k, k)
    return {
        "standard normal": rng.standard_normal((DRAWS, k)),
        "even over the range": rng.uniform(codes.min(axis=0), codes.max(axis=0), (DRAWS, k)),
        "normal law of the codes": rng.multivariate_normal(codes.mean(axis=0), cov, DRAWS),
        "ten normal laws": mixture.sample(DRAWS)[0],
    }


def judge(samples: Array, training: Array, held_out: Array) -> dict[str, float]:
    """Spurious and copy rate against held-out images, and the energy distance to them."""
    report = metrics.nearest_neighbour_report(samples, training, held_out)
    energy = metrics.energy_distance(samples, held_out[:DRAWS])
    return {"spurious": report.spurious_rate, "copies": report.copy_rate, "energy": energy}


def by_seed(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, list[float]]]:
    """Lists over seeds of what `judge` found."""
    return {name: {key: [row[name][key] for row in rows] for key in rows[0][name]} for name in rows[0]}


def samples_of_codes(latent_dim: int, seeds: tuple[int, ...] = SEEDS, device: str = "cpu") -> dict[str, Any]:
    """The row of one bottleneck on the digits."""
    parts = digits("grey")
    X, H, T = (part.X / 16 for part in parts)
    pca, rows, errors = PCA(latent_dim).fit(X), [], []
    for seed in seeds:
        model = on_digits(latent_dim, seed, device)
        errors.append(((apply(model.reconstruct, T) - T) ** 2).sum(axis=1).mean())
        draws = code_samplers(apply(model.encode, X), seed)
        held_out = np.concatenate([T, H])
        rows.append({name: judge(apply(model.decode, z), X, held_out) for name, z in draws.items()})
    pca_error = ((pca.inverse_transform(pca.transform(T)) - T) ** 2).sum(axis=1).mean()
    return {"seeds": list(seeds), "error": errors, "pca_error": pca_error, "samplers": by_seed(rows)}


def samples_of_pixels(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """Densities of the pixels themselves: ten normal laws, and a normal law on 16 components plus noise."""
    X, H, T = (part.X / 16 for part in digits("grey"))
    held_out, rows = np.concatenate([T, H]), []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        mixture = GaussianMixture(10, random_state=seed, reg_covar=1e-3).fit(X)
        pca = PCA(16).fit(X)
        draws = {
            "ten normal laws, pixels": mixture.sample(DRAWS)[0],
            "probabilistic PCA, 16": rng.multivariate_normal(pca.mean_, pca.get_covariance(), DRAWS),
        }
        rows.append({name: judge(x, X, held_out) for name, x in draws.items()})
    return {"seeds": list(seeds), "samplers": by_seed(rows)}


def held_out_images() -> dict[str, Any]:
    """What real images score: the validation part, judged like samples against the test part."""
    X, H, T = (part.X / 16 for part in digits("grey"))
    return {"seeds": [0], "samplers": by_seed([{"images that hands wrote": judge(H, X, T)}])}


def mass(bottleneck: int, seed: int) -> float:
    """Sum over all 256 pictures of exp(-loss), after training on the bars."""
    settings = {"steps": 1000, "batch_size": 18, "lr": 1e-2}
    model = fitted(bars(), seed=seed, latent_dim=bottleneck, hidden=(32,), **settings)
    return float(np.exp(log_mass_of_exp_minus_loss(model)))


def masses(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    return {
        "seeds": list(seeds),
        "by_bottleneck": {k: [mass(k, seed) for seed in seeds] for k in BOTTLENECKS},
    }


def figure() -> dict[str, Any]:
    """A decoder of a two-dimensional code, 2-24-64 units, and codes of 300 images, rounded as they ship."""
    parts = digits("grey")
    X = parts.train.X / 16
    settings = {"epochs": 150, "batch_size": BATCH, "lr": LR}
    model = fitted(X, seed=2, latent_dim=2, hidden=(24,), **settings)
    codes = apply(model.encode, X)
    centre, scale = codes.mean(axis=0), codes.std(axis=0)  # the page's sliders go from -2.5 to 2.5
    first, _, last = model.decoder  # type: ignore[misc]
    weight = first.weight.detach().double().numpy()
    return {
        "w1": (weight * scale).round(3),
        "b1": (first.bias.detach().numpy() + weight @ centre).round(3),
        "w2": last.weight.detach().double().numpy().round(3),
        "b2": last.bias.detach().double().numpy().round(3),
        "codes": ((codes - centre) / scale)[:300].round(2),
        "labels": parts.train.y[:300],
    }


def on_mnist(latent_dim: int, seeds: tuple[int, ...], device: str) -> dict[str, Any]:
    """The same on 28x28 images: the part of MNIST that ships with the package."""
    X, H, T = (part.X / 255.0 for part in mnist_sample())
    held_out = np.concatenate([H, T])
    rows, errors = [], []
    settings = {"epochs": 20, "batch_size": 128, "lr": 2e-3, "device": device}
    for seed in seeds:
        model = fitted(X, seed=seed, latent_dim=latent_dim, hidden=(512,), **settings)
        errors.append(((apply(model.reconstruct, T) - T) ** 2).sum(axis=1).mean())
        draws = code_samplers(apply(model.encode, X), seed)
        rows.append({name: judge(apply(model.decode, z), X, held_out) for name, z in draws.items()})
    pca = PCA(latent_dim, random_state=0).fit(X)
    pca_error = ((pca.inverse_transform(pca.transform(T)) - T) ** 2).sum(axis=1).mean()
    return {"seeds": list(seeds), "error": errors, "pca_error": pca_error, "samplers": by_seed(rows)}


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__.splitlines()[0], devices=("cpu", "cuda"))
    parser.add_argument("--only", help="one row, by name")
    options = parser.parse_args(argv)
    settings = {
        "seeds": SEEDS,
        "draws": DRAWS,
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "lr": LR,
        "mnist": {"seeds": 3, "epochs": 20, "hidden": 512},
    }
    device = options.device
    rows: dict[str, Callable[[], dict[str, Any]]] = {
        "figure": figure,
        "mass": masses,
        "digits, held-out images": held_out_images,
        "digits, densities of pixels": samples_of_pixels,
    }
    for k in WIDTHS:
        rows[f"digits, code of {k}"] = lambda k=k: samples_of_codes(k, device=device)
    rows["mnist sample, code of 16"] = lambda: on_mnist(16, (0, 1, 2), device)
    results = Results(
        "autoencoder", settings=settings, device=device, path=options.output, fresh=options.fresh
    )
    for name, compute in rows.items():
        if options.only in (None, name):
            row = results.row(name, compute)
            print(f"{name}: {row['seconds']} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
