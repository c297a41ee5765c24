"""Gaussianization of images: pixels, patches, pyramids and whole images beside full-covariance Gaussians.

    OMP_NUM_THREADS=1 python -m benchmarks.patches [--fresh] [--output FILE] [--device cuda] [--only ROW]

writes `results/patches.json`, row by row (resumable)::

    {"rows": {"mnist, seed S" | "ships, seed S" | "mnist28, seed 0" | "ships32, seed 0":
                  {MODEL: {"bits", "se", "fit", "score", "held_out"}, "neighbours": {"test", "fresh",
                  "Gaussian"},
                   "samples": {"data", "fresh", "Gaussian"}},
              "transport, seed S": {"predicted", "excursions", "dim", "n", "layers", "floor",
                                    CURVE: {"diverged", "cloud", "fresh"}},
              "digits, seed S": {"pooled" | "by class": {MODEL: nats}, "gain": {MODEL: [nats, error]}}}}

MNIST: images that ship with the package, reduced to 14 x 14. Ships: the class of
CIFAR-10 (`load("cifar10")`), grey, reduced to 16 x 16. Of both 2,000 + 500 + 500 images. Reduced are
images by means of blocks of two by two, rounded to 256 levels again. "mnist28" and "ships32" are the same
images as they are: 28 x 28, and 32 x 32 in colour; fewer models, one seed. "bits" are per dimension of the
grey levels, on test images with uniform noise: an upper bound on the cost of the levels themselves.
"neighbours" are median distances to the nearest training image, per pixel value. "fit" and "score" are CPU
seconds ("score": per 1,000 images). Samples are bytes in hexadecimal.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import functools  # noqa: E402
import math  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks._common import Results, arguments  # noqa: E402
from coursekit.data import digits, load, mnist_sample  # noqa: E402
from coursekit.gaussianization import (  # noqa: E402
    LevelMap,
    MultiScaleGaussianizer,
    SlicedTransport,
    expected_excursions,
)
from coursekit.metrics import nearest_neighbours, sliced_wasserstein  # noqa: E402

SEEDS = (0, 1, 2)
SETTINGS = {
    "seeds": SEEDS,
    "mnist": {"shape": (1, 14, 14), "size": 7, "scales": 2, "sweeps": 2, "whole": 3},
    "ships": {"shape": (1, 16, 16), "size": 4, "scales": 2, "sweeps": 2, "whole": 3},
    "mnist28": {"shape": (1, 28, 28), "size": 7, "scales": 2, "sweeps": 2, "whole": 2},
    "ships32": {"shape": (3, 32, 32), "size": 4, "scales": 2, "sweeps": 2, "whole": 1},
    "images": {"train": 2000, "held out": 500, "test": 500},
    "transport": {"n": 1000, "layers": 10, "fresh": 300},
}
SHIP = 8
Bytes = NDArray[np.uint8]


# ------------------------------------------------------------------------------------ data


def small(x: Any) -> Bytes:
    """Block means of (n, h, w), as levels."""
    n, h, w = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2).mean(axis=(2, 4))
    return np.round(x).astype(np.uint8).reshape(n, -1)


def mnist28() -> tuple[Bytes, ...]:
    """Digits as they are, (n, 28 * 28)."""
    sizes = SETTINGS["images"].values()
    return tuple(part.X[:: len(part.X) // n][:n] for part, n in zip(mnist_sample(), sizes, strict=True))


def mnist() -> tuple[Bytes, ...]:
    """The same, reduced, (n, 14 * 14)."""
    return tuple(small(part.reshape(-1, 28, 28)) for part in mnist28())


@functools.lru_cache(maxsize=1)
def ships32() -> tuple[Bytes, ...]:
    """Ships of CIFAR-10 as they are, (n, 3 * 32 * 32)."""
    sizes = SETTINGS["images"].values()
    return tuple(part.X[part.y == SHIP][:n] for part, n in zip(load("cifar10"), sizes, strict=True))


def ships() -> tuple[Bytes, ...]:
    """The same, grey and reduced, (n, 16 * 16)."""
    return tuple(small(part.reshape(-1, 3, 32, 32).mean(axis=1)) for part in ships32())


DATA = {"mnist": mnist, "ships": ships, "mnist28": mnist28, "ships32": ships32}


def noisy(levels: Any, generator: torch.Generator, device: str) -> Tensor:
    x = torch.tensor(levels).float()
    noise = torch.rand(x.shape, generator=generator).clamp(max=0.9999)  # 255 + noise must not round up to 256
    return (x + noise).to(device)


# ------------------------------------------------------------------------------------ baselines


class Gaussian:
    """Full covariance plus a ridge that held-out data choose, by one eigendecomposition."""

    def __init__(self, x: Tensor, held_out: Tensor, ridges: tuple[float, ...]) -> None:
        x = x.double()
        self.mean = x.mean(dim=0)
        self.values, self.vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
        self.values, self.ridge = self.values.clamp(min=0), 0.0
        self.ridge = max(ridges, key=lambda r: float(self.log_prob(held_out, r).mean()))

    def log_prob(self, x: Tensor, ridge: float | None = None) -> Tensor:
        scale = self.values + (self.ridge if ridge is None else ridge)
        z = (x.double() - self.mean) @ self.vectors
        return -0.5 * ((z * z / scale).sum(dim=1) + (2 * math.pi * scale).log().sum())

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        z = torch.randn(n, len(self.mean), generator=generator, dtype=torch.float64).to(self.mean.device)
        return self.mean + (z * (self.values + self.ridge).sqrt()) @ self.vectors.T


class Copula:
    """Exact marginals of the levels, then a Gaussian: what one map of pixels and one covariance can do."""

    def __init__(self, x: Tensor, held_out: Tensor, levels: int = 256) -> None:
        self.pixels = LevelMap(levels).fit(x)
        z, held = (self.pixels.forward_and_log_det(part)[0] for part in (x, held_out))
        self.gaussian = Gaussian(z, held, (0.003, 0.01, 0.03, 0.1, 0.3))

    def log_prob(self, x: Tensor) -> Tensor:
        z, log_det = self.pixels.forward_and_log_det(x)
        return self.gaussian.log_prob(z) + log_det


class Pixels:
    """Every pixel on its own."""

    def __init__(self, x: Tensor, levels: int = 256) -> None:
        self.pixels = LevelMap(levels).fit(x)

    def log_prob(self, x: Tensor) -> Tensor:
        z, log_det = self.pixels.forward_and_log_det(x)
        return log_det - 0.5 * (z.double().square() + math.log(2 * math.pi)).sum(dim=1)


# ------------------------------------------------------------------------------------ images


def gaussianizer(
    x: Tensor, held_out: Tensor, shape: tuple[int, int, int], seed: int, levels: int = 256, **options: Any
) -> MultiScaleGaussianizer:
    model = MultiScaleGaussianizer(x.shape[1], shape=shape, levels=levels, patience=4, **options)
    return model.to(x.device).fit(x, held_out=held_out, random_state=seed)


def images(name: str, seed: int, device: str = "cpu") -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    raw, large = DATA[name](), name in ("mnist28", "ships32")
    x, held, test = (noisy(part, generator, device) for part in raw)
    d, options = x.shape[1], dict(SETTINGS[name])
    shape = options.pop("shape")
    found: dict[str, Any] = {}
    kept: dict[str, Any] = {}

    def judge(label: str, make: Callable[[], Any]) -> None:
        start = time.process_time()
        model = kept[label] = make()
        fit, start = time.process_time() - start, time.process_time()
        with torch.no_grad():
            bits = -model.log_prob(test).double().cpu().numpy() / (d * math.log(2))
        score = (time.process_time() - start) * 1000 / len(test)
        row = {"bits": bits.mean(), "se": bits.std() / len(bits) ** 0.5, "fit": fit, "score": score}
        if isinstance(model, MultiScaleGaussianizer):
            row["held_out"] = [loss / (d * math.log(2)) for loss in model.history["held_out"]]
            row["layers"] = len(model.layers)
        found[label] = row

    judge("pixels alone", lambda: Pixels(x))
    judge("Gaussian, full covariance", lambda: Gaussian(x, held, (0.1, 1.0, 10.0, 100.0, 1000.0)))
    fit = functools.partial(gaussianizer, x, held, shape, seed)
    if not large:
        judge("pixels, then full covariance", lambda: Copula(x, held))
        judge("whole images", lambda: fit(**options | {"scales": 1, "sweeps": 0, "whole": 5}))
        judge("patches, grid never shifted", lambda: still(x, held, shape, seed, options["size"]))
        judge(
            "patches, not turned back", lambda: still(x, held, shape, seed, options["size"], turn_back=False)
        )
    judge("patches", lambda: fit(**options | {"scales": 1, "sweeps": 4, "whole": 0}))
    judge("patches, pyramid, whole images", lambda: fit(**options))

    ours, baseline = kept["patches, pyramid, whole images"], kept["Gaussian, full covariance"]
    draw = torch.Generator(device).manual_seed(100 + seed)
    fresh = ours.sample(300, generator=draw).cpu()
    samples = {"data": raw[2], "fresh": fresh, "Gaussian": baseline.sample(300, draw.manual_seed(1)).cpu()}
    found["samples"], found["neighbours"] = {}, {}
    for label, part in samples.items():
        levels = np.clip(np.floor(np.asarray(part, dtype=np.float64)), 0, 255).astype(np.uint8)
        found["samples"][label] = levels[: 10 if large else 20].tobytes().hex()
        distance, _ = nearest_neighbours(levels[:300] / 256, raw[0] / 256)
        found["neighbours"]["test" if label == "data" else label] = np.median(distance) / d**0.5
    found["beyond"] = float(((fresh < -1) | (fresh > 257)).any(dim=1).float().mean())
    return found


def still(
    x: Tensor, held: Tensor, shape: tuple[int, int, int], seed: int, size: int, *, turn_back: bool = True
) -> Any:
    """Four patch layers on one and the same grid; or on shifted ones, without turning back."""
    from coursekit.gaussianization import PatchLayer

    def patch(shift: int) -> PatchLayer:
        return PatchLayer(size, shift=0 if turn_back else shift, shape=shape, layers=1, turn_back=turn_back)

    model = MultiScaleGaussianizer(x.shape[1], shape=shape, levels=256, scales=1, sweeps=0, patience=4)
    plan = [LevelMap(256), *(patch(k * size // 4) for k in range(4))]
    model.layers = torch.nn.ModuleList(plan)
    return model.to(x.device).fit(x, held_out=held, random_state=seed)


# ------------------------------------------------------------------------------------ from latent to data

CURVES: dict[str, dict[str, Any]] = {
    "degree 9": {"curve": "polynomial", "degree": 9},
    "increasing": {"curve": "quantile"},
}


def transport(seed: int, device: str = "cpu") -> dict[str, Any]:
    """The source's experiment on ships: values scaled to [-1, 3]; "diverged": beyond 1,000."""
    n, layers, fresh = (SETTINGS["transport"][key] for key in ("n", "layers", "fresh"))
    generator = torch.Generator().manual_seed(seed)
    x, _, test = (noisy(part, generator, device) / 64 - 1 for part in ships())
    x = x[:n]
    d = x.shape[1]
    there = x.double().cpu().numpy()
    found: dict[str, Any] = {
        "dim": d,
        "n": n,
        "layers": layers,
        "predicted": expected_excursions(d, layers, n),
    }
    found["floor"] = sliced_wasserstein(test.double().cpu().numpy(), there, random_state=0)
    z = torch.randn(fresh, d, generator=generator).to(device)
    for label, options in CURVES.items():
        model = SlicedTransport(d, layers=layers, **options).to(device).fit(x, random_state=seed)
        moved, cloud = (part.double().cpu().numpy() for part in (model.transport(z), model.arrived))
        good = np.abs(np.nan_to_num(moved, nan=np.inf)).max(axis=1) < 1e3
        found[label] = {
            "diverged": 1 - good.mean(),
            "cloud": sliced_wasserstein(cloud, there, random_state=0),
            "fresh": sliced_wasserstein(moved[good], there, random_state=0) if good.any() else None,
        }
        if label == "increasing":
            found["excursions"] = float(model.excursions(z).double().mean())
    return found


# ------------------------------------------------------------------------------------ pooled or by class


def classes(seed: int, device: str = "cpu") -> dict[str, Any]:
    """8x8 digits: one fit for all, against ten fits and the mixture of the ten, in nats on the unit cube."""
    generator = torch.Generator().manual_seed(seed)
    parts = digits("grey")
    x, held, test = (noisy(part.X, generator, device) for part in parts)
    y, y_held = (torch.as_tensor(part.y, device=device) for part in parts[:2])
    ridges = (0.01, 0.03, 0.1, 0.3, 1.0)

    def ours(x: Tensor, held: Tensor) -> Any:
        return gaussianizer(x, held, (1, 8, 8), seed, levels=17, size=4, scales=1, sweeps=2, whole=4)

    makers: dict[str, Callable[[Tensor, Tensor], Any]] = {
        "Gaussian": lambda x, held: Gaussian(x, held, ridges),
        "Gaussianization": ours,
    }
    found: dict[str, Any] = {"pooled": {}, "by class": {}, "gain": {}, "accuracy": {}}
    with torch.no_grad():
        for label, make in makers.items():
            shift = 64 * math.log(17)
            pooled = make(x, held).log_prob(test).double() + shift
            each = [make(x[y == k], held[y_held == k]).log_prob(test).double() for k in range(10)]
            joint = torch.stack(each, dim=1) + shift - math.log(10)  # (n, 10)
            mixed = joint.logsumexp(dim=1)
            gain = (mixed - pooled).cpu().numpy()
            found["pooled"][label], found["by class"][label] = float(pooled.mean()), float(mixed.mean())
            found["gain"][label] = [gain.mean(), gain.std() / len(gain) ** 0.5]
            found["accuracy"][label] = float((joint.argmax(dim=1).cpu().numpy() == parts.test.y).mean())
    return found


ROWS: dict[str, Callable[[str], dict[str, Any]]] = {
    **{f"digits, seed {s}": functools.partial(classes, s) for s in SEEDS},
    **{f"mnist, seed {s}": functools.partial(images, "mnist", s) for s in SEEDS},
    **{f"ships, seed {s}": functools.partial(images, "ships", s) for s in SEEDS},
    **{f"transport, seed {s}": functools.partial(transport, s) for s in SEEDS},
    **{f"{name}, seed 0": functools.partial(images, name, 0) for name in ("mnist28", "ships32")},
}


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__ or "", devices=("cpu", "cuda"))
    parser.add_argument("--only", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    results = Results(
        "patches", settings=SETTINGS, device=options.device, path=options.output, fresh=options.fresh
    )
    for name in options.only:
        row = results.row(name, functools.partial(ROWS[name], options.device))
        short = {k: v["bits"] for k, v in row.items() if isinstance(v, dict) and "bits" in v} or row
        print(name, short if "samples" not in short else "", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
