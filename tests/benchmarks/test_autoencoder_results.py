"""The file about autoencoders: a slice is run again, and what the chapter says of it holds in the numbers.

A seed that was run is run again: the stored numbers come back to within what other versions of torch change.
"""

import json

import numpy as np
import pytest

from benchmarks import autoencoder
from benchmarks._common import RESULTS

FILE = json.loads((RESULTS / "autoencoder.json").read_text())
ROWS = FILE["rows"]
CODES = {k: ROWS[f"digits, code of {k}"] for k in autoencoder.WIDTHS}


def within_spread(value, stored):
    """Within five standard deviations over seeds, and no less than a tenth of the value."""
    return abs(value - np.mean(stored)) < max(5 * np.std(stored, ddof=1), 0.1 * abs(np.mean(stored)))


def mean(row, sampler, key="spurious"):
    return float(np.mean(row["samplers"][sampler][key]))


def test_the_file_says_how_it_was_made():
    assert FILE["meta"]["command"] == "python -m benchmarks.autoencoder"
    assert FILE["meta"]["device"]
    assert {"python", "torch", "scikit-learn"} <= set(FILE["meta"]["versions"])
    assert FILE["meta"]["settings"]["seeds"] == list(autoencoder.SEEDS)
    for row in CODES.values():
        lists = [row["error"], *(x for judged in row["samplers"].values() for x in judged.values())]
        assert {len(x) for x in lists} == {len(autoencoder.SEEDS)}


def test_a_slice_of_the_samplers_run_again():
    again, stored = autoencoder.samples_of_codes(8, seeds=(0,)), CODES[8]
    assert again["error"][0] == pytest.approx(stored["error"][0], rel=0.05)
    assert again["pca_error"] == pytest.approx(stored["pca_error"], rel=1e-4)
    for name, judged in again["samplers"].items():
        for key, values in judged.items():
            if key != "copies":  # a handful of samples in a thousand
                assert within_spread(values[0], stored["samplers"][name][key]), (name, key)


def test_a_slice_of_the_masses_run_again_with_another_seed():
    assert within_spread(autoencoder.mass(2, seed=17), ROWS["mass"]["by_bottleneck"]["2"])


def test_the_densities_of_pixels_run_again():
    again = autoencoder.samples_of_pixels(seeds=(0,))["samplers"]
    for name, judged in again.items():
        assert within_spread(
            judged["spurious"][0], ROWS["digits, densities of pixels"]["samplers"][name]["spurious"]
        )


def test_bars_are_whole_columns_or_whole_rows():
    pictures = autoencoder.bars().reshape(-1, 2, 4)
    assert len(pictures) == 18
    for picture in pictures:
        whole_columns = (picture == picture[0]).all()
        whole_rows = (picture == picture[:, :1]).all()
        assert whole_columns or whole_rows


def test_no_sum_is_one_and_wide_bottlenecks_add_more():
    sums = [np.mean(ROWS["mass"]["by_bottleneck"][str(k)]) for k in autoencoder.BOTTLENECKS]
    assert (np.diff(sums) > 0).all()
    assert sums[0] > 5
    assert 18 < sums[1] < sums[-1] < 256


def test_what_the_chapter_says_of_the_samplers():
    for k in (8, 16, 32):
        row = CODES[k]
        rates = [
            mean(row, name) for name in ("ten normal laws", "normal law of the codes", "standard normal")
        ]
        assert rates[0] < 0.1 < rates[1] < rates[2]
        assert rates[2] > 0.9
    pixels = ROWS["digits, densities of pixels"]
    assert mean(CODES[16], "ten normal laws") < mean(pixels, "ten normal laws, pixels")
    assert mean(CODES[16], "ten normal laws", "energy") > mean(pixels, "ten normal laws, pixels", "energy")
    assert mean(CODES[2], "ten normal laws") < 0.02
    assert mean(CODES[2], "ten normal laws", "energy") > 5 * mean(CODES[16], "ten normal laws", "energy")


def test_the_network_beats_components_until_the_code_is_wide():
    for k in (2, 4, 8, 16):
        assert max(CODES[k]["error"]) < CODES[k]["pca_error"]
    assert min(CODES[32]["error"]) > CODES[32]["pca_error"]


def test_the_figures_decoder_draws_its_own_images():
    """The shipped weights decode the shipped codes to their images, far better than the mean image does."""
    row = ROWS["figure"]
    z = np.array(row["codes"])
    inner = z @ np.array(row["w1"]).T + row["b1"]
    pixels = 1 / (1 + np.exp(-(inner / (1 + np.exp(-inner))) @ np.array(row["w2"]).T - row["b2"]))
    X = autoencoder.digits("grey").train.X[:300] / 16
    assert ((pixels - X) ** 2).sum(axis=1).mean() < 0.7 * ((X.mean(axis=0) - X) ** 2).sum(axis=1).mean()
    assert row["labels"] == autoencoder.digits("grey").train.y[:300].tolist()
