"""The files of denoising chains: slices are run again, and the page's claims hold within their spread."""

import json

import numpy as np
import pytest
import torch

from benchmarks import denoising, denoising_mnist
from benchmarks._common import RESULTS
from coursekit.data import digits
from coursekit.metrics import parzen_log_likelihood

FILE = json.loads((RESULTS / "denoising.json").read_text())
MNIST = json.loads((RESULTS / "denoising_mnist.json").read_text())
MODES = ("plain", "walkback")
RUNS = {name: row for name, row in FILE["rows"].items() if "mode" in row}
MNIST_RUNS = {name: row for name, row in MNIST["rows"].items() if "mode" in row}


def means(what, t):
    return {key: values.mean() for key, values in denoising.table(FILE["rows"], what, t).items()}


def test_the_files_have_every_row_and_say_how_they_were_made():
    wanted = {
        denoising.name_of(m, q, s) for m in denoising.WALKBACK for q in denoising.LEVELS for s in range(5)
    }
    assert set(RUNS) == wanted
    assert FILE["meta"]["command"] == "python -m benchmarks.denoising"
    assert MNIST["meta"]["command"].startswith("python -m benchmarks.denoising_mnist")
    settings = MNIST["meta"]["settings"]
    assert len(MNIST_RUNS) == denoising_mnist.SCALES["small"]["seeds"] * len(settings["levels"]) * 2
    for file in (FILE, MNIST):
        assert file["meta"]["device"]
        assert {"python", "torch", "numpy"} <= set(file["meta"]["versions"])


def test_a_slice_run_again_gives_the_same_rates():
    """The first ten steps of one model: on other processors the last digits of training differ."""
    row = RUNS[denoising.name_of("walkback", 0.02, 0)]
    model = denoising.fit("walkback", 0.02, 0)
    generator = torch.Generator().manual_seed(0)
    x = denoising.coins(denoising.CHAINS, 64, generator)
    x = denoising.dae_chain(model, x, 10, every=10, generator=generator)[-1]
    again = denoising.judge(x.numpy().astype(float))
    spread = denoising.table(FILE["rows"], "spurious", 10)["walkback", 0.02].std(ddof=1)
    assert abs(again["spurious"] - row["t=10"]["spurious"]) < 3 * spread


def test_references_are_computed_again():
    again = denoising.references()
    for name, numbers in again.items():
        for what, value in numbers.items():
            assert FILE["rows"]["references"][name][what] == pytest.approx(value, rel=1e-4, abs=1e-5)


def test_walkback_helps_at_low_noise_and_hurts_at_high():
    for t in (10, 300):
        found = denoising.table(FILE["rows"], "spurious", t)
        for level, better, worse in ((0.02, "walkback", "plain"), (0.25, "plain", "walkback")):
            a, b = found[better, level], found[worse, level]
            error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
            assert b.mean() - a.mean() > 2 * error, (t, level)


def test_at_low_noise_the_distance_grows_with_time():
    early, late = means("energy", 10), means("energy", 300)
    for mode in denoising.WALKBACK:
        assert late[mode, 0.02] > 1.5 * early[mode, 0.02]


def test_frames_are_a_chain():
    """Corrupted frames differ from clean ones at about the rate q / 2 that salt and pepper flips."""
    for row in RUNS.values():
        if "frames" in row:
            images = [np.unpackbits(np.frombuffer(bytes.fromhex(f), np.uint8)) for f in row["frames"]]
            assert len(images) == 2 * denoising.FRAMES + 1
            flips = np.mean([a != b for a, b in zip(images[0:-1:2], images[1::2], strict=True)])
            n, p = 64 * denoising.FRAMES, row["level"] / 2
            assert abs(flips - p) < 4.9 * np.sqrt(p * (1 - p) / n)


def test_packing_is_undone_by_unpacking():
    bits = digits("thresholded").train.X[0]
    assert np.array_equal(np.unpackbits(np.frombuffer(bytes.fromhex(denoising.pack(bits)), np.uint8)), bits)


# ---------------------------------------------------------------------------------------------
# MNIST


def test_parzen_prefers_walkback_and_prefers_centroids_to_data():
    for level in denoising_mnist.LEVELS:
        rows = [row for row in MNIST_RUNS.values() if row["level"] == level]
        nats = {mode: [r["parzen one chain"]["nats"] for r in rows if r["mode"] == mode] for mode in MODES}
        assert min(nats["walkback"]) > max(nats["plain"]) + 20
    references = MNIST["rows"]["references"]
    assert references["k-means centroids"]["nats"] > references["training images"]["nats"]


def test_the_images_are_quantized_and_few():
    first = [row for row in MNIST_RUNS.values() if "images" in row]
    assert len(first) == 4
    for row in first:
        assert len(row["images"]) == 2 * len(denoising_mnist.SHOWN)
        assert all(len(image) == 784 and set(image) <= set("0123456789abcdef") for image in row["images"])


def test_quantization_keeps_four_bits():
    assert denoising_mnist.quantize(np.array([[0.0, 0.5, 1.0]])) == ["08f"]


def test_a_small_run_of_the_mnist_protocol(monkeypatch):
    """The same code on a hundred noise images: every number is there and finite."""
    rng = np.random.default_rng(0)
    grey = {key: rng.random((n, 784)) for key, n in (("train", 100), ("validation", 20), ("test", 20))}
    data = {**grey, **{f"{key} bits": (x > 0.5).astype(np.float32) for key, x in grey.items()}}
    scale = {"epochs": 1, "hidden": [8], "chains": 10}
    monkeypatch.setattr(denoising_mnist, "PARZEN_SAMPLES", 50)
    row = denoising_mnist.compute("walkback", 0.4, 0, scale, data, "cpu")
    assert np.isfinite(row["parzen one chain"]["nats"])
    assert 0 <= row["t=10"]["spurious"] <= 1
    best = row["parzen many chains"]["bandwidth"]
    assert best in denoising_mnist.BANDWIDTHS
    assert denoising_mnist.parzen(grey["train"], data)["nats"] == pytest.approx(
        max(
            parzen_log_likelihood(grey["test"], grey["train"], bandwidth=h)
            for h in denoising_mnist.BANDWIDTHS
        ),
        rel=0.2,
    )
