"""Moved digits against scipy's interpolation, and against what is known of their poses."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from coursekit.data import Part, Splits, affine_digits, affine_mnist, digits, mnist_sample

FEW = Splits(*(Part(part.X[:40], part.y[:40]) for part in mnist_sample()))


def by_scipy(original, pose, side, extent):
    """One moved image, pixel by pixel: matrices written out, interpolation by scipy."""
    k, turn = len(original), pose[0]
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if len(pose) == 4:
        A, t = rotation * np.exp(pose[1]), pose[2:]
    else:
        A = rotation @ [[1, pose[3]], [0, 1]] @ np.diag(np.exp(pose[1:3]))
        t = pose[4:]
    rows, columns = np.mgrid[:side, :side]
    half = (side - 1) / 2
    seen = np.stack([columns - half, half - rows], axis=-1) - side / 2 * t  # in pixels from the centre
    back = seen @ np.linalg.inv(A).T * k / extent
    where = [(k - 1) / 2 - back[..., 1], (k - 1) / 2 + back[..., 0]]
    return map_coordinates(original, where, order=1, mode="grid-constant", cval=0).ravel()


def test_images_are_scipys():
    found, source = affine_digits(random_state=3).test, digits("grey").test.X.reshape(-1, 8, 8) / 16
    for i in (0, 7, 99):
        np.testing.assert_allclose(found.X[i], by_scipy(source[i], found.pose[i], 16, 12), atol=1e-12)
        np.testing.assert_allclose(found.clean[i], by_scipy(source[i], np.zeros(4), 16, 12), atol=1e-12)
    moved, source = affine_mnist(source=FEW).train, FEW.train.X.reshape(-1, 28, 28) / 255
    for i in (0, 5, 39):
        np.testing.assert_allclose(moved.X[i], by_scipy(source[i], moved.pose[i], 40, 28), atol=1e-12)
        framed = np.pad(source[i], 6).ravel()
        np.testing.assert_allclose(moved.clean[i], framed, atol=1e-12)


def test_poses_fill_their_limits_and_not_more():
    pose = affine_digits(rotation=0.5, log_scale=0.1, shift=0.2, copies=2).train.pose
    np.testing.assert_allclose(np.abs(pose).max(axis=0), [0.5, 0.1, 0.2, 0.2], rtol=0.02)
    np.testing.assert_allclose(pose.std(axis=0), np.array([0.5, 0.1, 0.2, 0.2]) / np.sqrt(3), rtol=0.06)
    assert np.abs(np.corrcoef(pose.T) - np.eye(4)).max() < 0.12
    pose = affine_mnist(source=FEW).train.pose
    assert np.abs(pose[:, 0]).max() < np.pi / 9
    assert np.exp(pose[:, 1:3]).min() > 0.8
    assert np.exp(pose[:, 1:3]).max() < 1.2
    assert np.abs(pose[:, 3]).max() < 0.2


def test_no_ink_of_mnist_is_cut_off():
    """Moved ink is the clean ink times the area factor, up to interpolation; and it touches the edges."""
    part = affine_mnist(source=FEW, copies=3).train
    area = np.exp(part.pose[:, 1:3].sum(axis=1))
    np.testing.assert_allclose(part.X.sum(axis=1), part.clean.sum(axis=1) * area, rtol=0.03)
    frame = part.X.reshape(-1, 40, 40)
    assert max(frame[:, :2].max(), frame[:, -2:].max(), frame[..., :2].max(), frame[..., -2:].max()) > 0.1


def test_copies_repeat_training_images_only():
    parts = affine_digits(copies=3, random_state=1)
    assert [len(part.X) for part in parts] == [3 * 1097, 200, 500]
    clean, y = parts.train.clean.reshape(3, 1097, -1), parts.train.y.reshape(3, 1097)
    assert (clean == clean[0]).all()
    assert (y == y[0]).all()
    assert not (parts.train.X[:1097] == parts.train.X[1097:2194]).all(axis=1).any()


def test_seeds():
    one, same, other = (affine_digits(random_state=seed).test for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.X, same.X)
    assert not np.array_equal(one.pose, other.pose)
    np.testing.assert_array_equal(one.clean, other.clean)


def test_zero_limits_leave_images_alone():
    part = affine_digits(rotation=0, log_scale=0, shift=0).test
    np.testing.assert_array_equal(part.X, part.clean)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copies": 0}, "copies"),
        ({"side": 7}, "side"),
        ({"rotation": -0.1}, "at least 0"),
        ({"shift": np.nan}, "shift"),
        ({"random_state": "x"}, "random_state"),
    ],
)
def test_bad_arguments_of_digits(options, message):
    with pytest.raises(ValueError, match=message):
        affine_digits(**options)


def test_bad_images_for_mnist():
    with pytest.raises(ValueError, match="784"):
        affine_mnist(source=digits("grey"))
    with pytest.raises(ValueError, match="copies"):
        affine_mnist(0)
