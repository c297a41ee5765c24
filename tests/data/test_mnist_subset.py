"""How the embedded part of MNIST is made."""

from importlib import resources

import numpy as np
import pytest

from coursekit.data import Part, load, mnist_sample
from coursekit.data.mnist_subset import SHA256, digest, evenly_spaced, main, subset


def test_evenly_spaced_takes_the_stated_rows():
    y = np.array([0, 1] * 10 + [1] * 5)
    rows = evenly_spaced(y, 5)
    np.testing.assert_array_equal(rows[0], np.arange(20)[::2][::2])
    own = np.flatnonzero(y == 1)
    np.testing.assert_array_equal(rows[1], own[[0, 3, 6, 9, 12]])


def test_evenly_spaced_needs_enough_rows():
    with pytest.raises(ValueError, match="class 1 has 2 rows"):
        evenly_spaced(np.array([0, 0, 0, 1, 1]), 3)


def test_subset_keeps_the_order_and_separates_the_parts():
    y = np.tile(np.arange(10), 700)
    train = Part(np.arange(7000, dtype=np.int64)[:, None], y)
    test = Part(train.X[:3000], y[:3000])
    splits = subset(train, test)
    assert [len(part.X) for part in splits] == [5000, 1000, 2000]
    for part in splits:
        assert np.all(np.diff(part.X[:, 0]) > 0)
        np.testing.assert_array_equal(part.y, part.X[:, 0] % 10)
    zeros = 10 * (np.arange(600) * 700 // 600)  # the evenly spaced rows of the first class
    np.testing.assert_array_equal(splits.validation.X[splits.validation.y == 0, 0], zeros[5::6])
    assert not set(splits.train.X[:, 0]) & set(splits.validation.X[:, 0])


def test_digest_sees_one_changed_pixel():
    splits = mnist_sample()
    assert digest(splits) == SHA256
    splits.test.X[3, 400] ^= 1
    assert digest(splits) != SHA256


def test_the_file_is_small_and_says_its_licence():
    folder = resources.files("coursekit.data")
    assert len((folder / "mnist_sample.npz").read_bytes()) <= 2_000_000
    licence = (folder / "mnist_sample.LICENSE.txt").read_text()
    for words in ("CC BY-SA 3.0", "LeCun", "Cortes", "Burges", "Changes"):
        assert words in licence


@pytest.mark.dataset
def test_the_file_is_made_from_the_official_files(tmp_path, capsys):
    main([str(tmp_path / "again.npz")])
    assert SHA256 in capsys.readouterr().out
    with np.load(tmp_path / "again.npz") as arrays:
        np.testing.assert_array_equal(arrays["test_X"], mnist_sample().test.X)
    rows = {image.tobytes() for image in mnist_sample().test.X}
    assert rows <= {image.tobytes() for image in load("mnist").test.X}
