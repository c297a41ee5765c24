"""Data of the interactive figures, and what they must show.

``script`` writes the data that ``book/_static/figures.js`` draws. ``reference`` computes
with ``coursekit`` what a figure must show at a setting of its controls; the browser tests
compare the two, so that the pages' arithmetic is the package's.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from scipy.integrate import quad
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning

from coursekit.data import sprites
from coursekit.data.images import digits
from coursekit.data.series import warped_series
from coursekit.data.toy import Bimodal, EightGaussians, SwissRoll
from coursekit.density.discrete import Categorical, LogisticAutoregression
from coursekit.density.histogram import Histogram, in_sample_risk, leave_one_out_risk
from coursekit.density.inverse_cdf import generalized_inverse, invert_cdf
from coursekit.density.kde import KernelDensity
from coursekit.density.knn import KNNDensity, mass_on_window
from coursekit.density.mixture import GaussianMixture
from coursekit.gaussianization.projections import back_project, filter_views, view_angles, view_histograms

N = 120
# The lecture's two samples of twenty integers: value to count.
TRAIN = {3: 1, 4: 6, 5: 8, 6: 5}
HELD_OUT = {3: 1, 4: 6, 5: 8, 6: 4, 8: 1}
STATES = list(range(3, 9))
CLUMPS = Path(__file__).resolve().parents[2] / "results" / "neural_cdf.json"
ROUNDS = 40
CHAINS = Path(__file__).resolve().parents[2] / "results" / "denoising.json"
RESULTS = Path(__file__).resolve().parents[2] / "results"
# Views of the roll: half-width and number of the bins, pixels per side of the image, numbers of views.
SCAN = {"reach": 2.4, "bins": 64, "pixels": 48, "views": [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]}
WINDOWS = [10.0, 100.0, 1e3, 1e4, 1e5, 1e6]


def sample() -> np.ndarray:
    """One sample of the running one-dimensional law, rounded as it ships, shape (n, 1)."""
    return np.sort(Bimodal().sample(N, random_state=7), axis=0).round(4)


def bounds() -> tuple[float, float]:
    """Range of the plots: whole numbers that hold the sample."""
    x = sample()
    return float(np.floor(x.min() - 1)), float(np.ceil(x.max() + 1))


def clumps() -> dict[str, Any]:
    """Free networks on two clumps, one for each weight of the penalty: from the results file."""
    row = json.loads(CLUMPS.read_text())["rows"]["two_clumps"]
    return {"lambda": row["lambda"], "sample": row["sample"], "nets": row["nets"]}


def repeat(counts: dict[int, int]) -> np.ndarray:
    """A table of counts as a sample, shape (n, 1)."""
    return np.repeat(list(counts), list(counts.values()))[:, None].astype(float)


def em_model(components: int, rounds: int) -> GaussianMixture:
    """EM after some rounds, from a poor start: the sample cut into unequal pieces at its right end."""
    x = sample()
    piece = np.minimum((N - 1 - np.arange(N)) // 6, components - 1)  # rows of the sorted sample
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is the point
        start = np.eye(components)[piece]
        return GaussianMixture(components, start=start, max_iter=rounds, tol=0, floor=1e-3).fit(x)


def em_frame(components: int, rounds: int) -> dict[str, list[float]]:
    """Parameters after some rounds, as they ship."""
    model = em_model(components, rounds)
    stds = np.sqrt(model.covariances_[:, 0, 0])
    parts = {"weights": model.weights_, "means": model.means_[:, 0], "stds": stds}
    return {name: part.round(9).tolist() for name, part in parts.items()}


def chains() -> dict[str, list[str]]:
    """Recorded denoising chains of seed 0: X_0, corrupted X_0, X_1, ...; sixteen hex digits an image."""
    rows = json.loads(CHAINS.read_text())["rows"]
    return {f"{r['mode']}-{r['level']:g}": r["frames"] for r in rows.values() if "frames" in r}


@cache
def digit_chain() -> tuple[LogisticAutoregression, np.ndarray]:
    """A logistic autoregression of the thresholded digits, rounded as it ships, and coins for six draws."""
    model = LogisticAutoregression().fit(digits("thresholded").train.X)
    model.intercepts_, model.weights_ = model.intercepts_.round(3), model.weights_.round(3)
    return model, np.random.default_rng(11).random((6, 64)).round(4)


def _digit_chain_data() -> dict[str, Any]:
    model, coins = digit_chain()
    rows = [row[:i].tolist() for i, row in enumerate(model.weights_)]  # the bits before i only
    return {"intercepts": model.intercepts_.tolist(), "weights": rows, "coins": coins.tolist()}


def autoencoder() -> dict[str, Any]:
    """Weights of a small decoder and codes of images, as ``python -m benchmarks.autoencoder`` stored them."""
    row = json.loads((RESULTS / "autoencoder.json").read_text(encoding="utf-8"))["rows"]["figure"]
    return {name: row[name] for name in ("w1", "b1", "w2", "b2", "codes", "labels")}


def decoder() -> dict[str, Any]:
    """Weights of the decoder that readers move, from its results file, and codes of some test images."""
    path = Path(__file__).parents[2] / "results" / "vae_plane.json"
    plane = json.loads(path.read_text(encoding="utf-8"))["rows"]["plane"]
    return {key: plane[key] for key in ("layers", "means", "labels")}


@cache
def roll() -> np.ndarray:
    """Points of the Swiss roll, rounded as they ship, shape (2000, 2)."""
    return SwissRoll().sample(2000, random_state=5).round(3)


def scan_pixels() -> np.ndarray:
    """Centres of the pixels inside the disc, column by column from below, shape (n, 2)."""
    axis = SCAN["reach"] * ((np.arange(SCAN["pixels"]) + 0.5) * 2 / SCAN["pixels"] - 1)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    return points[np.sum(points**2, axis=1) <= SCAN["reach"] ** 2]


def _scan_data() -> dict[str, Any]:
    truth = np.exp(SwissRoll().log_prob(scan_pixels())).round(5)
    return {**SCAN, "points": roll().ravel().tolist(), "truth": truth.tolist()}


def steps() -> dict[str, Any]:
    """Points of the roll by layer, as ``python -m benchmarks.gaussianization --steps`` stored them."""
    row = json.loads((RESULTS / "gaussianization_steps.json").read_text(encoding="utf-8"))["rows"]["steps"]
    return {name: row[name] for name in ("forward", "backward", "loss")}


def film() -> dict[str, Any]:
    """Frames of two trainings of a GAN on eight Gaussians, from the results file."""
    row = json.loads((RESULTS / "gan.json").read_text(encoding="utf-8"))["rows"]["film"]
    law = EightGaussians()
    kept = {key: row[key] for key in ("frames", "cells", "reach", "runs")}
    return {**kept, "means": law.means.round(6).tolist(), "std": law.std}


def warp() -> dict[str, Any]:
    """Two templates and the noise of one series, rounded as they ship."""
    data = warped_series(6, strength=0, amplitude=0, random_state=4)
    noise = (data.X - data.templates[data.y])[0]
    return {"templates": data.templates[[1, 3]].round(4).tolist(), "noise": noise.round(4).tolist()}


def rates() -> dict[str, Any]:
    """Seven beta-VAEs, as ``python -m benchmarks.beta_vae --traversals`` stored them."""
    stored = json.loads((RESULTS / "beta_vae_traversals.json").read_text(encoding="utf-8"))
    kept = ("beta", "rate", "distortion", "share", "pixels")
    models = [{key: row[key] for key in kept} for row in stored["rows"].values()]
    return {"models": models, "entropy": np.log(len(sprites().X)), "steps": 9, "side": 16}


def posed() -> dict[str, Any]:
    """A small decoder of templates with its gauge, and codes of ten digits with their spread."""
    path = RESULTS / "transform_autoencoder.json"
    row = json.loads(path.read_text(encoding="utf-8"))["rows"]["figure"]
    kept = {key: row[key] for key in ("layers", "gauge", "codes")}
    return {**kept, "spread": np.std(row["codes"], axis=0).round(3).tolist()}


def script() -> str:
    """The data as a script that sets one global variable."""
    law = Bimodal()
    data = {
        "law": {"weights": law.weights, "means": law.means, "stds": law.stds},
        "sample": sample()[:, 0].tolist(),
        "bounds": bounds(),
        "states": STATES,
        "train": [TRAIN.get(state, 0) for state in STATES],
        "heldOut": [HELD_OUT.get(state, 0) for state in STATES],
        "windows": WINDOWS,
        "clumps": clumps(),
        "em": {K: [em_frame(K, t) for t in range(1, ROUNDS + 1)] for K in (2, 3, 5)},
        "chains": chains(),
        "digitChain": _digit_chain_data(),
        "autoencoder": autoencoder(),
        "decoder": decoder(),
        "scan": _scan_data(),
        "steps": steps(),
        "gan": film(),
        "warp": warp(),
        "rates": rates(),
        "posed": posed(),
    }
    return f"window.courseFigures = {json.dumps(data, separators=(',', ':'))};\n"


def reference(figure: str, **settings: Any) -> dict[str, Any]:
    """What `figure` must show at these settings, computed by the package."""
    return {
        "kde": _kde,
        "histogram": _histogram,
        "knn": _knn,
        "mixture": _mixture,
        "inverse_cdf": _inverse_cdf,
        "what_is": _what_is,
        "neural_cdf": _neural_cdf,
        "denoising": _denoising,
        "autoregressive": _autoregressive,
        "autoencoder": _autoencoder,
        "vae": _vae,
        "projections": _projections,
        "evaluation": _evaluation,
        "iterative": _iterative,
        "gan": _gan,
        "wgan": _wgan,
        "rate_invariant": _rate_invariant,
        "beta_vae": _beta_vae,
        "transform_autoencoder": _transform_autoencoder,
    }[figure](**settings)


def _kde(x: list[float], bandwidth: float, kernel: str) -> dict[str, Any]:
    grid = np.array(x)[:, None]
    density = np.exp(KernelDensity(bandwidth, kernel=kernel).fit(sample()).log_prob(grid))
    error = (density - Bimodal().pdf(grid[:, 0])) ** 2
    return {"y": density, "ise": np.trapezoid(error, grid[:, 0])}


def _histogram(x: list[float], bins: int) -> dict[str, Any]:
    model = Histogram(bins, range=bounds()).fit(sample())
    return {
        "y": np.exp(model.log_prob(np.array(x)[:, None])),
        "inSample": in_sample_risk(model.counts_, model.volumes_),
        "leaveOneOut": leave_one_out_risk(model.counts_, model.volumes_),
    }


def _knn(x: list[float], neighbors: int) -> dict[str, Any]:
    model = KNNDensity(neighbors).fit(sample())
    mass = [mass_on_window(model, window) for window in WINDOWS]
    return {"y": np.exp(model.log_prob(np.array(x)[:, None])), "mass": mass}


def _mixture(x: list[float], rounds: int, components: str) -> dict[str, Any]:
    model = em_model(int(components), int(rounds))
    return {"y": np.exp(model.log_prob(np.array(x)[:, None])), "score": model.score(sample())}


def _inverse_cdf(level: float, law: str) -> dict[str, Any]:
    if law == "atoms":
        cumulative = np.cumsum(list(TRAIN.values())) / sum(TRAIN.values())
        return {"x": float(generalized_inverse(list(TRAIN), cumulative, level))}
    if law == "flat":
        return {"x": float(invert_cdf(lambda x: np.interp(x, [0, 1, 2, 3], [0, 0.5, 0.5, 1]), level))}
    return {"x": float(invert_cdf(Bimodal().cdf, level))}


def _what_is(alpha: float) -> dict[str, Any]:
    model = Categorical(states=STATES, alpha=alpha).fit(repeat(TRAIN))
    states = np.array(STATES, dtype=float)[:, None]
    return {"y": np.exp(model.log_prob(states)), "logLoss": -model.score(repeat(HELD_OUT))}


def _neural_cdf(x: list[float], weight: int) -> dict[str, Any]:
    import torch  # here: the build itself needs no torch

    from coursekit.density.neural_cdf import NeuralCDF

    stored = clumps()["nets"][weight]
    layers = [torch.tensor(layer, dtype=torch.float64) for layer in stored["layers"]]
    hidden = tuple(len(bias) for bias in layers[1:-1:2])
    model = NeuralCDF(1, hidden=hidden).double()
    model.loc.fill_(stored["loc"])
    model.scale.fill_(stored["scale"])
    with torch.no_grad():
        for parameter, layer in zip(model.net.parameters(), layers, strict=True):
            parameter.copy_(layer)
    rows = torch.tensor(x, dtype=torch.float64)[:, None]
    density = model.density(rows).detach().numpy()
    return {"y": model.cdf(rows).detach().numpy(), "density": density, "negative": np.mean(density < 0)}


def _denoising(step: int, chain: str) -> dict[str, Any]:
    images = [np.unpackbits(np.frombuffer(bytes.fromhex(image), np.uint8)) for image in chains()[chain]]
    clean, corrupted, repaired = images[2 * int(step) : 2 * int(step) + 3]
    return {
        "clean": clean,
        "corrupted": corrupted,
        "repaired": repaired,
        "changed": int((clean != corrupted).sum()),
        "moved": int((clean != repaired).sum()),
    }


def _autoregressive(pixels: int, draw: str) -> dict[str, Any]:
    model, coins = digit_chain()
    x, chances = np.zeros(64), np.zeros(64)
    for i, coin in enumerate(coins[int(draw)]):
        chances[i] = expit(model.intercepts_[i] + model.weights_[i] @ x)
        x[i] = coin < chances[i]
    surprise = -np.log(np.where(x == 1, chances, 1 - chances))[:pixels]
    return {"bits": x[:pixels], "y": chances[:pixels], "surprise": surprise.sum()}


def _autoencoder(first: float, second: float) -> dict[str, Any]:
    import torch

    from coursekit.autoencoders.autoencoder import Autoencoder

    row = autoencoder()
    model = Autoencoder(64, latent_dim=2, hidden=(len(row["b1"]),), reconstruction="cross-entropy").double()
    names = ("0.weight", "0.bias", "2.weight", "2.bias")
    arrays = (torch.tensor(row[name], dtype=torch.float64) for name in ("w1", "b1", "w2", "b2"))
    model.decoder.load_state_dict(dict(zip(names, arrays, strict=True)))
    code = torch.tensor([[first, second]], dtype=torch.float64)
    gaps = np.linalg.norm(np.array(row["codes"]) - [first, second], axis=1)
    return {"y": model.decode(code)[0].detach().numpy(), "distance": gaps.min()}


def _vae(z1: float, z2: float) -> dict[str, Any]:
    import torch

    from coursekit.latent.vae import BernoulliDecoder

    layers = decoder()["layers"]
    model = BernoulliDecoder(2, 64, hidden=(len(layers[0]["bias"]),)).double()
    names = [name for name, _ in model.named_parameters()]
    values = [torch.tensor(layer[kind]) for layer in layers for kind in ("weight", "bias")]
    model.load_state_dict(dict(zip(names, values, strict=True)))
    ink = model.mean(torch.tensor([z1, z2], dtype=torch.float64)).detach()
    return {
        "y": ink.numpy(),
        "ink": float(ink.sum()),
        "doubt": float(torch.special.entr(torch.stack([ink, 1 - ink])).sum()),
    }


def _projections(views: int, ramp: str) -> dict[str, Any]:
    angles = view_angles(SCAN["views"][int(views)])
    edges = SCAN["reach"] * np.linspace(-1, 1, SCAN["bins"] + 1)
    found = view_histograms(roll(), angles, edges)
    if ramp == "filtered":
        found = filter_views(found, edges[1] - edges[0])
    image = back_project(found, angles, (edges[1:] + edges[:-1]) / 2, scan_pixels())
    area = (2 * SCAN["reach"] / SCAN["pixels"]) ** 2
    if ramp == "plain":
        image /= image.sum() * area
    truth = np.array(_scan_data()["truth"])
    return {"y": image, "error": np.sum((image - truth) ** 2) / np.sum(truth**2), "mass": image.sum() * area}


def _evaluation(kept: float, scale: float, dimension: float) -> dict[str, Any]:
    """Nats lost by noise among the samples and by a wrong spread, by quadrature over the chi law."""

    def lost(d: int) -> float:
        def integrand(r: float) -> float:
            noise = np.log1p(-kept) + 4 * r * r / 9 - d * np.log(3) if kept < 1 else -np.inf
            return -np.logaddexp(np.log(kept), noise) * stats.chi.pdf(r, d)

        ends = max(0.0, np.sqrt(d) - 10), np.sqrt(d) + 10
        return quad(integrand, *ends, points=[np.sqrt(d)], limit=200, epsabs=1e-11, epsrel=1e-11)[0]

    dims = [2**i for i in range(13)]
    per_column = np.log(scale) + 0.5 / scale**2 - 0.5  # KL of N(0, 1) and N(0, scale^2)
    return {"y": [lost(d) for d in dims], "wide": [d * per_column for d in dims], "bound": -np.log(kept)}


def _iterative(layers: int, way: str) -> dict[str, Any]:
    points = np.array(steps()[way][int(layers)])
    return {
        "y": points.ravel(),
        "radius": (points**2).sum(axis=1).mean(),
        "loss": steps()["loss"][int(layers)],
    }


def _gan(frame: float, run: str) -> dict[str, Any]:
    from coursekit.adversarial.gan import mode_report

    shot, law = film()["runs"][run][int(frame)], EightGaussians()
    points = np.array(shot["samples"]).reshape(-1, 2) / 100
    report = mode_report(points, law.means, std=law.std)
    return {"modes": report.modes, "quality": report.high_quality, "field": shot["field"]}


def _wgan(shift: float, strip: str) -> dict[str, Any]:
    from coursekit.adversarial.wgan import shifted_uniforms  # here: the build itself needs no torch

    return shifted_uniforms(float(shift), float(strip))._asdict()


def _rate_invariant(when: float, what: float, series: str) -> dict[str, Any]:
    import torch
    from dtaidistance import dtw

    from coursekit.disentangling.rate_invariant import identity_warp, invert, resample

    template, noise = (np.array(part) for part in (warp()["templates"][int(series)], warp()["noise"]))
    still = torch.tensor(template)
    times = identity_warp(len(still), like=still).numpy()
    gamma = torch.tensor(np.interp(times, [0, when, 1], [0, what, 1]))[None]
    x = resample(still[None], gamma) + torch.tensor(noise)
    aligned = resample(x, invert(gamma))[0].numpy()
    x = x[0].numpy()
    return {
        "y": x,
        "aligned": aligned,
        "direct": np.linalg.norm(x - template),
        "dtw": dtw.distance(x, template),
        "after": np.linalg.norm(aligned - template),
    }


def _beta_vae(price: float) -> dict[str, Any]:
    row = rates()["models"][int(price)]
    images = np.array([int(digit, 16) for digit in row["pixels"]]).reshape(5, 9, 256) / 15
    return {
        "y": images.sum(axis=(1, 2)),
        "rate": row["rate"],
        "distortion": row["distortion"],
        "elbo": -row["rate"] - row["distortion"],
        "active": (np.array(row["share"]) > 0.1).sum(),
        "perfect": np.log(np.prod(sprites().sizes)) - row["rate"],
    }


def _transform_autoencoder(
    digit: str, turn: float, scale: float, right: float, up: float, first: float, second: float
) -> dict[str, Any]:
    import torch

    from coursekit.disentangling.transform_autoencoder import TransformAutoencoder

    row = posed()
    width = len(row["layers"][0]["bias"])
    model = TransformAutoencoder(256, code_dim=4, hidden=(width,)).double()
    kinds, exact = ("weight", "bias"), torch.float64
    values = [torch.tensor(layer[kind], dtype=exact) for layer in row["layers"] for kind in kinds]
    names = [name for name, _ in model.decoder.named_parameters()]
    model.decoder.load_state_dict(dict(zip(names, values, strict=True)))
    model.gauge.copy_(torch.tensor(row["gauge"], dtype=exact))
    code = np.array(row["codes"][int(digit)]) + np.array(row["spread"]) * [first, second, 0, 0]
    code, pose = torch.tensor(code)[None], torch.tensor([[turn, scale, right, up]], dtype=exact)
    image, template = model.decode(pose, code)[0].detach(), model.template(code)[0].detach()
    return {"y": image.numpy(), "template": template.numpy(), "ink": float(image.sum())}
