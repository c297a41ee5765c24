"""Series: known warps, templates and noise; a made archive in the place of the real one."""

import hashlib
import io

import numpy as np
import pytest

from coursekit.data import DATASETS, DataError, load, load_series, series, to_length, warped_series
from coursekit.data.download import DataFile, Dataset, cache_dir

T = np.linspace(0, 1, 64)


def test_every_series_is_its_template_read_along_its_warp():
    data = warped_series(60, noise=0.0, length=401, random_state=0)
    fine = np.linspace(0, 1, 20001)
    templates = warped_series(6, length=20001, random_state=0).templates
    for i in range(60):
        wanted = np.interp(data.warps[i], fine, templates[data.y[i]])
        np.testing.assert_allclose(data.X[i], data.amplitudes[i] * wanted, atol=1e-5)


def test_warps_rise_from_zero_to_one_and_are_straight_in_pieces():
    data = warped_series(50, length=81, pieces=8, strength=1.5, random_state=1)
    assert (data.warps[:, 0] == 0).all()
    assert (data.warps[:, -1] == 1).all()
    assert (np.diff(data.warps, axis=1) > 0).all()
    bends = np.abs(np.diff(data.warps, 2, axis=1)) > 1e-12
    corners = np.arange(10, 80, 10) - 1
    assert not np.delete(bends, corners, axis=1).any()
    assert bends[:, corners].mean() > 0.95


def test_increments_are_a_softmax_of_normal_numbers():
    """Logarithms of two increments differ by a normal number of variance 2 strength^2."""
    data = warped_series(4000, length=11, pieces=10, strength=0.7, random_state=2)
    logs = np.log(np.diff(data.warps, axis=1))
    gaps = logs[:, ::2] - logs[:, 1::2]
    assert gaps.mean() == pytest.approx(0, abs=0.04)  # standard error 0.007
    assert gaps.var() == pytest.approx(2 * 0.49, rel=0.06)  # 0.01


def test_noise_and_amplitude_are_as_stated():
    data = warped_series(3000, amplitude=0.2, noise=0.3, random_state=3)
    clean = warped_series(3000, amplitude=0.2, noise=0.0, random_state=3)
    assert (data.X - clean.X).std() == pytest.approx(0.3, rel=0.02)
    assert (np.abs(data.amplitudes - 1) <= 0.2).all()
    assert data.amplitudes.std() == pytest.approx(0.4 / np.sqrt(12), rel=0.05)


def test_without_warp_and_noise_the_templates_come_out():
    data = warped_series(6, strength=0.0, amplitude=0.0, noise=0.0, random_state=0)
    np.testing.assert_allclose(data.X, data.templates, atol=1e-12)
    np.testing.assert_allclose(data.warps, np.tile(T, (6, 1)), atol=1e-15)
    assert data.y.tolist() == list(range(6))


def test_a_seed_is_a_draw():
    one, two, three = (warped_series(9, random_state=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.X, two.X)
    assert np.abs(one.X - three.X).max() > 0.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 0}, "n must be"),
        ({"n": 3, "length": 1}, "length must be at least 2"),
        ({"n": 3, "pieces": 0}, "pieces must be"),
        ({"n": 3, "noise": -0.1}, "noise must be at least 0"),
        ({"n": 3, "strength": np.nan}, "strength must be a finite"),
        ({"n": 3, "amplitude": -1.0}, "amplitude must be at least 0"),
    ],
)
def test_bad_settings_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        warped_series(**options)


def test_one_length_keeps_ends_and_straight_lines():
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=n) for n in (2, 17, 64, 200)]
    found = to_length(rows, 64)
    assert found.shape == (4, 64)
    for row, one in zip(rows, found, strict=True):
        assert (one[0], one[-1]) == (row[0], row[-1])
    np.testing.assert_array_equal(found[2], rows[2])
    np.testing.assert_allclose(to_length([2 * T + 1], 9)[0], 2 * np.linspace(0, 1, 9) + 1, atol=1e-14)


@pytest.mark.parametrize(
    ("rows", "length", "words"),
    [
        ([[1.0]], 5, "series 0 must hold at least two"),
        ([[1.0, 2.0], [[1.0, 2.0]]], 5, "series 1 must hold"),
        ([[1.0, np.nan]], 5, "series 0 must be finite"),
        ([[1.0, 2.0]], 1, "length must be at least 2"),
    ],
)
def test_series_that_have_no_length_are_refused(rows, length, words):
    with pytest.raises(ValueError, match=words):
        to_length(rows, length)


# ------------------------------------------------------------------ real series, from files made here

TS = "# about\n@problemName x\n@classLabel true 2 10\n@data\n1.5,2,-3:10\n\n4,5:2\n"


def put(name, contents, monkeypatch, tmp_path):
    """Fill a cache with made files, and let the registry know their hashes."""
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path))
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    folder = cache_dir() / name
    folder.mkdir(parents=True)
    old, files = DATASETS[name], []
    for file, body in zip(old.files, contents, strict=True):
        (folder / file.name).write_bytes(body)
        files.append(DataFile(file.name, hashlib.sha256(body).hexdigest()))
    made = Dataset(name, old.about, old.licence, old.citation, tuple(files), old.sources)
    monkeypatch.setitem(DATASETS, name, made)


def test_a_ts_file_is_read(monkeypatch, tmp_path):
    put("pickup_gestures", [TS.encode(), TS.replace(":2", ":10").encode()], monkeypatch, tmp_path)
    data = load_series("pickup_gestures")
    assert [row.tolist() for row in data.train.X] == [[1.5, 2.0, -3.0], [4.0, 5.0]]
    assert data.train.y.tolist() == [1, 0]  # classes in the order of their numbers, not of their letters
    assert data.test.y.tolist() == [1, 1]


def test_an_npz_file_is_read(monkeypatch, tmp_path):
    rng, buffer = np.random.default_rng(0), io.BytesIO()
    X = rng.normal(size=(4, 7, 1))
    np.savez(buffer, X_train=X, y_train=[1, 2, 2, 4], X_test=X[:2], y_test=[4, 1])
    put("trace", [buffer.getvalue()], monkeypatch, tmp_path)
    data = load_series("trace")
    np.testing.assert_array_equal(np.array(data.train.X), X[:, :, 0])
    assert data.train.y.tolist() == [0, 1, 1, 2]
    assert data.test.y.tolist() == [2, 0]


def test_what_is_no_set_of_series(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="name must be one of 'trace'"):
        load_series("mnist")
    with pytest.raises(ValueError, match=r"load_series\('trace'\)"):
        load("trace")
    put("gunpoint", [b"1,2:1", b"1,2:1"], monkeypatch, tmp_path)
    with pytest.raises(DataError, match="no line @data"):
        load_series("gunpoint")


@pytest.mark.dataset
@pytest.mark.parametrize("name", series.REAL_SERIES)
def test_the_real_series_load(name):
    data = load_series(name)
    sizes = {"trace": (100, 100, 4), "gunpoint": (50, 150, 2), "pickup_gestures": (50, 50, 10)}[name]
    assert (len(data.train.X), len(data.test.X), data.train.y.max() + 1) == sizes
    lengths = sorted({len(row) for row in [*data.train.X, *data.test.X]})
    assert (lengths[0], lengths[-1]) == {"trace": (275,) * 2, "gunpoint": (150,) * 2}.get(name, (29, 361))
