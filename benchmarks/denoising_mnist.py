"""Denoising chains on MNIST: the published figure, spurious rates, and the Parzen numbers put to the test.

Writes `results/denoising_mnist.json`. Published: Parzen windows fitted to 10,000 consecutive samples give
about 50 nats without walkback and 150 with it (code of the authors of arXiv:1305.6663). Here the same
protocol at a size for a CPU, beside 10,000 samples of many chains, 1,000 training images, and 1,000 k-means
centroids. `--scale full` is for a GPU and writes `results/denoising_mnist_full.json`.

The data are found as always (`coursekit data fetch mnist`; COURSEKIT_SHARED_DATA names a shared folder).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks._common import Results, arguments
from benchmarks.denoising import coins
from coursekit.autoencoders.denoising import DenoisingAutoencoder, dae_chain
from coursekit.data import load
from coursekit.metrics import nearest_neighbour_report, parzen_log_likelihood
from coursekit.train import train

SCALES: dict[str, dict[str, Any]] = {
    "small": {"rows": 20_000, "epochs": 6, "hidden": [500], "seeds": 2, "chains": 500, "test": 500},
    "full": {"rows": 50_000, "epochs": 100, "hidden": [1500], "seeds": 5, "chains": 1000, "test": 10_000},
}
LEVELS = (0.1, 0.4)  # salt and pepper; 0.4 is the published one
WALKBACK = {"plain": 0.0, "walkback": 0.5}
MAX_STEPS, BATCH, LR = 5, 100, 1e-3
TIMES, PARZEN_SAMPLES = (10, 100), 10_000
BANDWIDTHS = (0.14, 0.18, 0.23, 0.3)
SHOWN = (1, 2, 3, 5, 8, 12, 20, 35, 60, 100)


def images(rows: int, test: int) -> dict[str, np.ndarray]:
    """Grey images in [0, 1], and bits drawn from them once: what is trained and judged."""
    data, rng = load("mnist"), np.random.default_rng(0)
    grey = {
        "train": data.train.X[:rows] / 255,
        "validation": data.validation.X[:100] / 255,
        "test": data.test.X[:test] / 255,
    }
    bits = {f"{key} bits": (rng.random(x.shape) < x).astype(np.float32) for key, x in grey.items()}
    return {**grey, **bits}


def parzen(samples: np.ndarray, data: dict[str, np.ndarray]) -> dict[str, float]:
    """Parzen log-likelihood of grey test images, its bandwidth chosen on validation images."""
    scores = [parzen_log_likelihood(data["validation"], samples, bandwidth=h) for h in BANDWIDTHS]
    best = BANDWIDTHS[int(np.argmax(scores))]
    return {"nats": parzen_log_likelihood(data["test"], samples, bandwidth=best), "bandwidth": best}


def fit(mode: str, level: float, seed: int, scale: dict[str, Any], X: np.ndarray, device: str) -> Any:
    """Train one model in single precision."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        model = DenoisingAutoencoder(
            784, level=level, walkback=WALKBACK[mode], max_steps=MAX_STEPS, hidden=scale["hidden"]
        )
    train(
        model, torch.tensor(X), epochs=scale["epochs"], batch_size=BATCH, lr=LR, random_state=seed,
        device=device, progress=False,
    )  # fmt: skip
    return model


@torch.no_grad()
def means(model: DenoisingAutoencoder, states: torch.Tensor, generator: torch.Generator) -> np.ndarray:
    """What the published protocol calls samples: the probabilities of the next clean state, grey."""
    return model.reconstruct(model.corrupt(states, generator=generator)).double().cpu().numpy()


def quantize(grey: np.ndarray) -> list[str]:
    """Each image as one hexadecimal digit a pixel."""
    return ["".join(f"{value:x}" for value in row) for row in np.rint(15 * grey).astype(int)]


def compute(
    mode: str, level: float, seed: int, scale: dict[str, Any], data: Any, device: str
) -> dict[str, Any]:
    """One row of the file."""
    model = fit(mode, level, seed, scale, data["train bits"], device)
    generator = torch.Generator(device).manual_seed(seed)
    row: dict[str, Any] = {"mode": mode, "level": level, "seed": seed}

    # Many chains from coin noise: rates at two times, and independent samples for the windows.
    x, done = coins(scale["chains"], 784, generator), 0
    for t in TIMES:
        x = dae_chain(model, x, t - done, every=t - done, generator=generator)[-1]
        states = x.cpu().numpy().astype(float)
        report = nearest_neighbour_report(states, data["train bits"], data["test bits"])
        row[f"t={t}"], done = {"spurious": report.spurious_rate, "copies": report.copy_rate}, t
    thinned = PARZEN_SAMPLES // scale["chains"]
    many = dae_chain(model, x, 5 * thinned, every=5, generator=generator).reshape(-1, 784)
    row["parzen many chains"] = parzen(means(model, many, generator), data)

    # One chain, consecutive states: the published protocol.
    one = dae_chain(model, x[:1], PARZEN_SAMPLES, generator=generator).reshape(-1, 784)
    row["parzen one chain"] = parzen(means(model, one, generator), data)

    if seed == 0:  # the figure
        path = dae_chain(model, coins(2, 784, generator), max(SHOWN), generator=generator)
        shown = path[[t - 1 for t in SHOWN]].transpose(0, 1).reshape(-1, 784)
        row["images"] = quantize(means(model, shown, generator))
    return row


def references(data: dict[str, np.ndarray], n: int = 1000) -> dict[str, Any]:
    """Parzen numbers of n training images and of n k-means centroids, and both rates of held-out images."""
    from sklearn.cluster import MiniBatchKMeans

    k_means = MiniBatchKMeans(n, n_init=1, random_state=0, batch_size=4096).fit(data["train"])
    centroids = k_means.cluster_centers_
    report = nearest_neighbour_report(data["validation bits"], data["train bits"], data["test bits"])
    return {
        "training images": parzen(data["train"][:n], data),
        "k-means centroids": parzen(centroids, data),
        "validation images": {"spurious": report.spurious_rate, "copies": report.copy_rate},
    }


def main(argv: list[str] | None = None) -> None:
    """Compute what the file lacks and print the table."""
    parser = arguments("Denoising chains on MNIST.", devices=("cpu", "cuda"))
    parser.add_argument("--scale", choices=SCALES, default="small", help="'full' wants a GPU")
    options = parser.parse_args(argv)
    scale = SCALES[options.scale]
    settings = {
        **{key: value for key, value in scale.items() if key != "seeds"},
        "levels": LEVELS, "walkback": WALKBACK, "max_steps": MAX_STEPS, "batch": BATCH, "lr": LR,
        "times": TIMES, "parzen_samples": PARZEN_SAMPLES, "bandwidths": BANDWIDTHS, "shown": SHOWN,
    }  # fmt: skip
    name = "denoising_mnist" + ("" if options.scale == "small" else "_full")
    results = Results(
        name, settings=settings, device=options.device, path=options.output, fresh=options.fresh
    )
    results.meta["command"] = f"python -m benchmarks.denoising_mnist --scale {options.scale}"
    data = images(scale["rows"], scale["test"])
    print(results.row("references", lambda: references(data)), flush=True)
    for seed in range(scale["seeds"]):
        for level in LEVELS:
            for mode in WALKBACK:
                row = results.row(
                    f"{mode} q={level:g} seed={seed}",
                    lambda m=mode, q=level, s=seed: compute(m, q, s, scale, data, options.device),  # type: ignore[misc]
                )
                one, many = row["parzen one chain"]["nats"], row["parzen many chains"]["nats"]
                rate = [row[f"t={t}"]["spurious"] for t in TIMES]
                print(
                    f"{mode:9s} q={level:<4g} seed={seed} spurious {rate} Parzen {one:.0f} / {many:.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
