"""The files of the GANs: slices run again, and the claims of the chapter within their stated spread."""

import json

import numpy as np
import pytest
import torch

from benchmarks import gan, gan_images
from benchmarks._common import RESULTS
from coursekit.adversarial.gan import mode_report
from coursekit.data import DataError

FILE = json.loads((RESULTS / "gan.json").read_text())
ROWS = FILE["rows"]
IMAGES = json.loads((RESULTS / "gan_images.json").read_text())


def test_the_files_have_every_row_and_say_how_they_were_made():
    assert set(ROWS) == set(gan.ROWS)
    assert FILE["meta"]["command"] == "python -m benchmarks.gan"
    assert FILE["meta"]["settings"] == json.loads(json.dumps(gan.SETTINGS))
    for name, row in ROWS.items():
        if name != "film":
            assert len(row["cpu"]) == len(gan.SEEDS)
    assert set(IMAGES["rows"]) == set(gan_images.ROWS)
    assert IMAGES["meta"]["settings"] == json.loads(json.dumps(gan_images.SETTINGS))


def test_a_shorter_run_of_the_ring_goes_the_same_way():
    """A sixth of the updates, one seed. Helvetica finds at most two modes; equal turns do better by far."""
    model, history = gan.fit(0, "non-saturating", 1, 1, updates=1500)
    fair = gan.judge(model, 0)
    assert len(history.loss) == 1500
    model, _ = gan.fit(0, "non-saturating", 1, 10, updates=1500)
    lost = gan.judge(model, 0)
    assert lost["modes"] <= 2
    assert fair["kl"] < lost["kl"]


def test_what_the_chapter_says_about_ratios():
    modes = {
        name.removeprefix("ring, "): row["modes"] for name, row in ROWS.items() if name.startswith("ring")
    }
    for ratio in ("1:2", "1:5", "1:10"):
        assert max(modes[f"non-saturating, {ratio}"]) <= 2
    assert min(modes["saturating, 1:1"]) == 8
    assert sorted(modes["non-saturating, 1:1"])[1] == 8
    assert np.mean(modes["non-saturating, 10:1"]) < np.mean(modes["non-saturating, 1:1"])


def test_the_leak_and_its_repair():
    ink = {
        name.removeprefix("augmentation, "): row["outer_ink"]
        for name, row in ROWS.items()
        if "outer_ink" in row
    }
    assert min(ink["shifted copies as data"]) > 2 * max(ink["none"]) > 0
    assert max(ink["DiffAugment"]) < 0.1


def test_frames_of_the_film():
    """The last frame of the fair run is as good as its row; samples of the other crowd together."""
    for name, (objective, d_steps, g_steps) in gan.FILM.items():
        frames = ROWS["film"]["runs"][name]
        assert len(frames) == len(gan.FRAMES)
        assert {len(frame["field"]) for frame in frames} == {gan.CELLS**2}
        last = np.array(frames[-1]["samples"]).reshape(-1, 2) / 100
        report = mode_report(last, gan.LAW.means, std=gan.LAW.std)
        stored = ROWS[f"ring, {objective}, {d_steps}:{g_steps}"]
        assert report.modes == pytest.approx(stored["modes"][0], abs=2)


@pytest.mark.parametrize("name", gan_images.SIDES)
def test_larger_networks_come_closer(name):
    rows = [row for row in IMAGES["rows"].values() if row["data"] == name]
    small, large = (
        np.mean([row["frechet"] for row in rows if row["size"] == size]) for size in ("small", "large")
    )
    assert large < small
    assert all(row["frechet"] > row["frechet_real"] for row in rows)
    model = gan_images.build(name, "small", 0)
    stored = IMAGES["rows"][f"{name}, small, seed 0"]
    assert sum(weight.numel() for weight in model.parameters()) == stored["parameters"]
    side, channels = gan_images.SIDES[name]
    assert len(bytes.fromhex(stored["images"][0])) == channels * side**2


@pytest.mark.dataset
def test_a_few_updates_on_mnist_again():
    try:
        gan_images.data("mnist")
    except DataError:
        pytest.skip("MNIST is not here")
    model, history = gan_images.fit("mnist", "small", 0, "cpu", updates=60)
    assert history.turns == ("discriminator", "generator")
    assert torch.isfinite(model.sample(4)).all()
    stored = IMAGES["rows"]["mnist, small, seed 0"]["curves"]["discriminator"][0]
    assert history.of("discriminator")[1].mean() == pytest.approx(stored, abs=0.4)
