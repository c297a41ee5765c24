"""How far the code of an InfoGAN is the digit's class, which nobody told it, and how much of that is luck.

    OMP_NUM_THREADS=1 python -m benchmarks.infogan [--device cpu|cuda] [--fresh] [--output FILE]

writes `results/infogan.json` (resumable); lists have one value for each seed::

    {"meta": {"command", "settings", "device", "versions", "seconds"},
     "rows": {"weight 1, noise 8": {"seeds": [0, ...],
                  "purity", "matched",       of the codes read off test images, against their classes
                  "entropy",                 of those codes, in nats: log 10 if all are used alike
                  "information",             bound on I(c; x) of the model's own samples, in nats
                  "energy"},                 energy distance of samples to test images
              ...
              "clusters": {method: {"seeds", "purity", "matched"}},   other groupings into ten
              "random codes": {"seeds", "purity", "matched"},
              "samples": {"seed", "images": [10 codes][8 images][64], "counts": [10 classes][10 codes]}}}
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from benchmarks._common import Results, arguments
from coursekit import metrics
from coursekit.adversarial.infogan import InfoGAN, contingency, matched_accuracy, purity
from coursekit.data import digits
from coursekit.train import train

SEEDS, FEWER = tuple(range(5)), tuple(range(3))
STEPS, BATCH, LR, HIDDEN, CODES = 2000, 64, 1e-3, (128, 128), 10
# Weight of the information, columns of noise, seeds.
CASES = [(1.0, 8, SEEDS), (0.0, 8, FEWER)]


def tensor(X: NDArray[np.float64]) -> torch.Tensor:
    """Grey levels 0 to 16 as numbers in [-1, 1]."""
    return torch.as_tensor(X / 8 - 1, dtype=torch.float32)


def fitted(
    seed: int, *, weight: float = 1.0, noise: int = 8, steps: int = STEPS, device: str = "cpu"
) -> InfoGAN:
    """The InfoGAN of the tables: 128-128 units in all three networks, a tanh at the generator's end."""
    a, b = HIDDEN
    torch.manual_seed(seed)
    generator = torch.nn.Sequential(
        torch.nn.Linear(noise + CODES, a),
        torch.nn.ReLU(),
        torch.nn.Linear(a, b),
        torch.nn.ReLU(),
        torch.nn.Linear(b, 64),
        torch.nn.Tanh(),
    )
    model = InfoGAN(64, n_codes=CODES, latent_dim=noise, hidden=HIDDEN, weight=weight, generator=generator)
    adam = partial(torch.optim.Adam, betas=(0.5, 0.999))
    settings: dict[str, Any] = {"batch_size": BATCH, "lr": LR, "optimizer": adam, "device": device}
    train(model, tensor(digits("grey").train.X), steps=steps, random_state=seed, **settings)
    return model.cpu()


def judge(model: InfoGAN) -> dict[str, float]:
    """What the codes of test images have to do with their classes, and how good the samples are."""
    test = digits("grey").test
    codes = model.code(tensor(test.X)).argmax(dim=1).numpy()
    generator = torch.Generator().manual_seed(0)
    samples = model.sample(500, generator=generator).double().numpy()
    return {
        "purity": purity(test.y, codes),
        "matched": matched_accuracy(test.y, codes),
        "entropy": float(entropy(np.bincount(codes, minlength=CODES))),
        "information": model.information(5000, generator=generator),
        "energy": metrics.energy_distance(samples, test.X / 8 - 1),
    }


def by_seed(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Lists over seeds."""
    return {key: [row[key] for row in rows] for key in rows[0]}


def case(weight: float, noise: int, device: str, seeds: tuple[int, ...]) -> dict[str, Any]:
    rows = [judge(fitted(seed, weight=weight, noise=noise, device=device)) for seed in seeds]
    return {"seeds": list(seeds), **by_seed(rows)}


def clusters(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """K-means and a mixture of ten normal laws on the same images, without their classes."""
    train_part, _, test = digits("grey")
    found: dict[str, Any] = {}
    for name in ("k-means", "mixture of ten normal laws"):
        codes = []
        for seed in seeds:
            if name == "k-means":
                method = KMeans(CODES, n_init=10, random_state=seed)
            else:
                method = GaussianMixture(CODES, covariance_type="tied", random_state=seed, reg_covar=1e-2)
            codes.append(method.fit(train_part.X / 16).predict(test.X / 16))
        rows = [{"purity": purity(test.y, c), "matched": matched_accuracy(test.y, c)} for c in codes]
        found[name] = {"seeds": list(seeds), **by_seed(rows)}
    return found


def random_codes(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """Purity of codes that know nothing: it is not a tenth, for each code gets its luckiest name."""
    y, rows = digits("grey").test.y, []
    for seed in seeds:
        codes = np.random.default_rng(seed).integers(0, CODES, len(y))
        rows.append({"purity": purity(y, codes), "matched": matched_accuracy(y, codes)})
    return {"seeds": list(seeds), **by_seed(rows)}


def samples(device: str, seed: int = 0) -> dict[str, Any]:
    """Eight images of each code, the same noise in each column, and how classes and codes meet."""
    model, test = fitted(seed, device=device), digits("grey").test
    rows = [model.sample(8, code=c, generator=torch.Generator().manual_seed(1)) for c in range(CODES)]
    codes = model.code(tensor(test.X)).argmax(dim=1).numpy()
    counts = contingency(np.append(test.y, 0), np.append(codes, CODES - 1))
    counts[0, CODES - 1] -= 1  # the row that made sure of ten columns
    images = ((torch.stack(rows) + 1) * 8).round().to(torch.int64).numpy()
    return {"seed": seed, "images": images, "counts": counts}


def main(argv: list[str] | None = None) -> int:
    options = arguments(__doc__.splitlines()[0], devices=("cpu", "cuda")).parse_args(argv)
    settings = {
        "seeds": SEEDS,
        "steps": STEPS,
        "batch_size": BATCH,
        "lr": LR,
        "hidden": HIDDEN,
        "codes": CODES,
    }
    results = Results(
        "infogan", settings=settings, device=options.device, path=options.output, fresh=options.fresh
    )
    results.row("clusters", clusters)
    results.row("random codes", random_codes)
    results.row("samples", lambda: samples(options.device))
    for weight, noise, seeds in CASES:
        name = f"weight {weight:g}, noise {noise}"
        row = results.row(name, lambda w=weight, k=noise, s=seeds: case(w, k, options.device, s))
        print(f"{name}: {row['seconds']} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
