"""Spurious samples of denoising chains on the digits, plain against walkback, at three corruption levels.

Writes `results/denoising.json`. One row for each seed, level and way of training: the fraction of chain
states that are farther from every training image than 95 % of the test images are, after 10, 100 and 300
steps from coin noise. The rows of seed 0 hold the first steps of one chain, 16 hexadecimal digits an image,
for the page's moving figure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks._common import Results, arguments
from coursekit.autoencoders.denoising import DenoisingAutoencoder, dae_chain
from coursekit.data import digits
from coursekit.metrics import energy_distance, nearest_neighbour_report
from coursekit.train import train

LEVELS = (0.02, 0.10, 0.25)
WALKBACK = {"plain": 0.0, "walkback": 0.5}
SEEDS = range(5)
STEPS, BATCH, HIDDEN, MAX_STEPS = 2000, 128, (192, 192), 4
CHAINS, TIMES, FRAMES = 1000, (10, 100, 300), 40


def name_of(mode: str, level: float, seed: int) -> str:
    """Name of a row."""
    return f"{mode} q={level:g} seed={seed}"


def fit(
    mode: str, level: float, seed: int, *, device: str = "cpu", steps: int = STEPS
) -> DenoisingAutoencoder:
    """Train one model in single precision."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        model = DenoisingAutoencoder(
            64, level=level, walkback=WALKBACK[mode], max_steps=MAX_STEPS, hidden=HIDDEN
        )
    X = torch.tensor(digits("thresholded").train.X, dtype=torch.float32)
    train(model, X, steps=steps, batch_size=BATCH, random_state=seed, device=device, progress=False)
    return model


def coins(n: int, dim: int, generator: torch.Generator) -> torch.Tensor:
    """Coin noise, where every chain starts."""
    return torch.randint(2, (n, dim), generator=generator, device=generator.device).float()


def judge(states: np.ndarray) -> dict[str, float]:
    """Rates and distance of one set of states."""
    data = digits("thresholded")
    report = nearest_neighbour_report(states, data.train.X, data.test.X)
    return {
        "spurious": report.spurious_rate,
        "copies": float(np.mean(report.distance == 0)),
        "energy": energy_distance(states, data.test.X),
    }


def pack(bits: np.ndarray) -> str:
    """Bits of an image as hexadecimal digits, first pixel first."""
    return np.packbits(bits.astype(np.uint8)).tobytes().hex()


def frames(model: DenoisingAutoencoder, seed: int) -> list[str]:
    """One chain, packed: X_0, corrupted X_0, X_1, corrupted X_1, ..."""
    generator = torch.Generator(next(model.parameters()).device).manual_seed(1000 + seed)
    x, found = coins(1, model.dim, generator), []
    for _ in range(FRAMES):
        seen = model.corrupt(x, generator=generator)
        found += [pack(x.cpu().numpy()), pack(seen.cpu().numpy())]
        x = model.denoise(seen, generator=generator)
    return [*found, pack(x.cpu().numpy())]


def compute(mode: str, level: float, seed: int, *, device: str = "cpu") -> dict[str, Any]:
    """One row of the file."""
    model = fit(mode, level, seed, device=device)
    generator = torch.Generator(device).manual_seed(seed)
    x, done, row = coins(CHAINS, 64, generator), 0, {"mode": mode, "level": level, "seed": seed}
    for t in TIMES:
        x = dae_chain(model, x, t - done, every=t - done, generator=generator)[-1]
        row[f"t={t}"], done = judge(x.cpu().numpy().astype(float)), t
    if seed == 0:
        row["frames"] = frames(model, seed)
    return row


def table(rows: dict[str, Any], what: str = "spurious", t: int = 300) -> dict[tuple[str, float], np.ndarray]:
    """Values over the seeds that are there, by way of training and level."""
    found: dict[tuple[str, float], list[float]] = {}
    for row in rows.values():
        if "mode" in row:
            found.setdefault((row["mode"], row["level"]), []).append(row[f"t={t}"][what])
    return {key: np.array(values) for key, values in sorted(found.items(), key=lambda item: item[0][1])}


def references() -> dict[str, Any]:
    """Same numbers for samples that are no chain's: independent pixels, and the data themselves."""
    data, rng = digits("thresholded"), np.random.default_rng(0)
    pixels = (rng.random((CHAINS, 64)) < data.train.X.mean(axis=0)).astype(float)
    return {"independent pixels": judge(pixels), "validation images": judge(data.validation.X)}


def main(argv: list[str] | None = None) -> None:
    """Compute what the file lacks and print the table."""
    parser = arguments("Denoising chains on the digits.", devices=("cpu", "cuda"))
    options = parser.parse_args(argv)
    settings = {
        "levels": LEVELS, "walkback": WALKBACK, "steps": STEPS, "batch": BATCH, "hidden": HIDDEN,
        "max_steps": MAX_STEPS, "chains": CHAINS, "times": TIMES,
    }  # fmt: skip
    results = Results(
        "denoising", settings=settings, device=options.device, path=options.output, fresh=options.fresh
    )
    results.row("references", references)
    for seed in SEEDS:
        for level in LEVELS:
            for mode in WALKBACK:
                results.row(
                    name_of(mode, level, seed),
                    lambda m=mode, q=level, s=seed: compute(m, q, s, device=options.device),  # type: ignore[misc]
                )
    for t in TIMES:
        for (mode, level), values in table(results.rows, t=t).items():
            spread = f"{values.mean():.3f} +- {values.std(ddof=1):.3f}"
            print(f"t={t:<4d} q={level:<5g} {mode:9s} spurious {spread}")


if __name__ == "__main__":
    main()
