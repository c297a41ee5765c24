"""The file of the patches: slices run again, and what the page says about its numbers."""

import json

import numpy as np
import pytest

from benchmarks import patches
from benchmarks._common import RESULTS

FILE = json.loads((RESULTS / "patches.json").read_text())
ROWS = FILE["rows"]
KINDS = ("mnist", "ships")


def bits(kind, name):
    return np.array([ROWS[f"{kind}, seed {s}"][name]["bits"] for s in patches.SEEDS])


def test_all_rows_are_there_and_the_settings_are_those_of_the_program():
    assert set(ROWS) == set(patches.ROWS)
    assert FILE["meta"]["settings"] == json.loads(json.dumps(patches.SETTINGS))


@pytest.mark.parametrize("kind", ["mnist28", "ships32"])
def test_images_of_full_size(kind):
    """Patches beat pixels alone and a covariance; samples stay in range, and none is a copy."""
    row = ROWS[f"{kind}, seed 0"]
    best = row["patches"]["bits"]
    assert best < row["pixels alone"]["bits"]
    assert best < row["Gaussian, full covariance"]["bits"]
    assert row["neighbours"]["fresh"] > 0.5 * row["neighbours"]["test"]
    length = 10 * np.prod(patches.SETTINGS[kind]["shape"])
    assert all(len(bytes.fromhex(part)) == length for part in row["samples"].values())


def test_each_kind_of_image_has_its_winner():
    """Photographs: shifted patches. Centred digits: exact pixels and one covariance; the list comes near."""
    copula = "pixels, then full covariance"
    for other in ("Gaussian, full covariance", copula, "whole images", "patches, grid never shifted"):
        assert (bits("ships", "patches") < bits("ships", other)).all()
    whole = "patches, pyramid, whole images"
    assert (bits("mnist", copula) < bits("mnist", "patches")).all()
    assert (np.abs(bits("mnist", whole) - bits("mnist", copula)) < 0.03).all()
    assert (np.abs(bits("ships", whole) - bits("ships", "patches")) < 0.1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_shifting_and_turning_back_help(kind):
    assert (bits(kind, "patches") < bits(kind, "patches, grid never shifted")).all()
    assert (bits(kind, "patches") < bits(kind, "patches, not turned back")).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_sample_is_a_copy(kind):
    """Fresh samples are not nearer to training images than half of what test images are."""
    for seed in patches.SEEDS:
        near = ROWS[f"{kind}, seed {seed}"]["neighbours"]
        assert near["fresh"] > 0.5 * near["test"]


def test_polynomials_diverge_on_fresh_ships_and_increasing_curves_do_not():
    for seed in patches.SEEDS:
        row = ROWS[f"transport, seed {seed}"]
        assert row["increasing"]["diverged"] == 0 < row["degree 9"]["diverged"]
        assert row["degree 9"]["cloud"] < 2 * row["increasing"]["cloud"]


def test_the_gain_of_classes_belongs_to_the_gaussian():
    for seed in patches.SEEDS:
        gain = ROWS[f"digits, seed {seed}"]["gain"]
        assert gain["Gaussian"][0] > 5
        assert gain["Gaussianization"][0] < 0


def test_baselines_of_the_digits_again():
    """Closed forms, up to rounding; and a Gaussianizer of the digits, within three spreads and a nat."""
    again, row = patches.classes(0), ROWS["digits, seed 0"]
    for part in ("pooled", "by class"):
        assert again[part]["Gaussian"] == pytest.approx(row[part]["Gaussian"], abs=0.05)
        assert again[part]["Gaussianization"] == pytest.approx(row[part]["Gaussianization"], abs=1.0)


def test_single_pixels_of_mnist_again():
    generator = patches.torch.Generator().manual_seed(0)
    x, _, test = (patches.noisy(part, generator, "cpu") for part in patches.mnist())
    found = -float(patches.Pixels(x).log_prob(test).mean()) / (x.shape[1] * np.log(2))
    assert found == pytest.approx(ROWS["mnist, seed 0"]["pixels alone"]["bits"], abs=1e-3)
