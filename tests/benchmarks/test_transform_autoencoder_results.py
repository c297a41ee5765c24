"""The file of poses and templates: a slice runs again, and what the chapter says about it holds."""

import json

import numpy as np
import pytest

from benchmarks import transform_autoencoder
from benchmarks._common import RESULTS
from coursekit.data import affine_digits
from coursekit.disentangling.transform_autoencoder import within_class_correlation

FILE = json.loads((RESULTS / "transform_autoencoder.json").read_text())
ROWS = FILE["rows"]
MAIN = ROWS["pose + code"]


def mean(row, key="knn"):
    return np.mean(ROWS[row][key])


def test_the_file_has_every_row_and_says_how_it_was_made():
    assert set(ROWS) == set(transform_autoencoder.ROWS)
    assert FILE["meta"]["command"] == "python -m benchmarks.transform_autoencoder"
    assert FILE["meta"]["settings"] == transform_autoencoder.SETTINGS
    for name, row in ROWS.items():
        if name != "figure":
            assert len(row["knn"]) == len(transform_autoencoder.SEEDS)


def test_a_shorter_run_comes_near_the_stored_numbers():
    """A tenth of the steps: its error is above the stored one, and its poses are already found."""
    parts = affine_digits(2)
    X, test = (transform_autoencoder.tensor(part.X) for part in (parts.train, parts.test))
    model = transform_autoencoder.fit("pose + code", X, 0, steps=200, hidden=[128, 64], code_dim=8)
    error = float((model.reconstruct(test) - test).detach().square().sum(dim=1).mean())
    assert np.mean(MAIN["error"]) < error < 6 * np.mean(MAIN["error"])
    pose = model.encode(test).pose.detach().numpy()
    assert within_class_correlation(pose, parts.test.pose, parts.test.y)[2:].min() > 0.5


def test_a_pose_makes_the_code_tell_classes_apart():
    """By more than the spread over seeds, at the same width, with less error: the claim of the chapter."""
    for plain in ("ae", "pixels"):
        assert min(MAIN["knn"]) > max(ROWS[plain]["knn"]) + 0.1
    assert max(MAIN["error"]) < min(ROWS["ae"]["error"])
    assert min(ROWS["clean pixels"]["knn"]) > max(MAIN["knn"])


def test_the_claim_holds_under_each_strategy():
    for name in ("pose + code, beta 0.03", "pose + code, mixing"):
        assert min(ROWS[name]["knn"]) > max(ROWS["ae"]["knn"]) + 0.2
        assert np.array(ROWS[name]["correlation"]).min() > 0.85
    assert min(ROWS["pose + code, mixing"]["knn"]) > max(MAIN["knn"])
    assert min(ROWS["pose + code, mixing"]["error"]) > max(MAIN["error"])


def test_poses_are_found_within_classes():
    assert np.array(MAIN["correlation"]).min() > 0.85
    assert np.array(MAIN["r2"]).min() > 0.8


def test_templates_vary_less_than_images():
    images, clean, aligned, templates = (
        np.mean(MAIN["variance"][key]) for key in ("images", "clean", "aligned", "templates")
    )
    assert templates < aligned < clean < images
    assert templates < images / 5


def test_strong_regularization_collapses_the_code():
    for name in ("pose + code, beta 0.5", "pose + code, consistency 100"):
        assert max(ROWS[name]["knn"]) < min(MAIN["knn"]) - 0.1
        assert min(ROWS[name]["error"]) > max(MAIN["error"])
    assert min(ROWS["pose + code, consistency 3"]["knn"]) > np.mean(MAIN["knn"])


def test_the_pose_costs_a_few_parameters_and_the_warp_none():
    counts = MAIN["parameters"]
    assert sum(value for name, value in counts.items() if name != "total") == counts["total"]
    assert counts["pose_head"] == 4 * 129


def test_mnist_finds_where_its_digits_are():
    """Shifts are found, neighbours gain, and classes become linear."""
    row = ROWS["mnist pose + code"]
    assert np.array(row["correlation"])[:, 4:].min() > 0.9
    assert min(row["knn"]) > max(ROWS["mnist ae"]["knn"])
    assert min(row["linear"]) > 2 * max(ROWS["mnist ae"]["linear"])
    assert np.mean(row["variance"]["aligned"]) < np.mean(row["variance"]["images"]) / 2


def test_maps_depend_on_their_settings():
    for name in ("ae", "pose + code"):
        rows = ROWS[name]["tsne"]
        assert len({(row["perplexity"], row["seed"]) for row in rows}) == len(rows)
        assert all(0.5 < row["trust"] <= 1 for row in rows)


def test_the_figure_is_a_decoder():
    figure = ROWS["figure"]
    sizes = [np.shape(layer["weight"]) for layer in figure["layers"]]
    assert [sizes[0][1], sizes[-1][0]] == [4, 256]
    assert all(
        np.shape(layer["bias"]) == size[:1] for layer, size in zip(figure["layers"], sizes, strict=True)
    )
    assert np.shape(figure["codes"]) == (10, 4)
    assert figure["labels"] == pytest.approx(range(10))
