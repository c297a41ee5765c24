"""Sprites: a full table of factors, distinct images, and geometry that can be checked by counting."""

import numpy as np
import pytest

from coursekit.data import sprites

DATA = sprites()


def test_the_table_is_full_and_no_two_images_are_alike():
    assert DATA.X.shape == (1296, 256)
    assert int(np.prod(DATA.sizes)) == 1296
    assert len(np.unique(DATA.factors, axis=0)) == 1296
    for column, size in zip(DATA.factors.T, DATA.sizes, strict=True):
        assert np.bincount(column).tolist() == [1296 // size] * size
    assert set(np.unique(DATA.X)) == {0.0, 1.0}
    assert len(np.unique(DATA.X, axis=0)) == 1296


def test_column_and_row_move_the_same_sprite_by_whole_pixels():
    images, factors = DATA.X.reshape(-1, 16, 16), DATA.factors
    for i in np.random.default_rng(0).integers(1296, size=40):
        *kind, column, row = factors[i]
        start = images[(factors == [*kind, 0, 0]).all(axis=1)][0]
        np.testing.assert_array_equal(images[i], np.roll(start, (row, column), axis=(0, 1)))
        assert images[i].sum() == start.sum()  # nothing left the canvas, nothing came in on the other side


def test_areas_are_those_of_the_shapes():
    """At a fine scale: squares of side 1.4 radii, ellipses of half-axes 1 and 1/2."""
    fine = sprites(64)
    radius = 4 * (3.5 + 0.75 * fine.factors[:, 1])
    for shape, area in ((0, 1.4**2), (1, np.pi / 2)):
        mine = fine.factors[:, 0] == shape
        np.testing.assert_allclose(fine.X[mine].sum(1), area * radius[mine] ** 2, rtol=0.08)


def test_an_angle_turns_counterclockwise():
    """An ellipse at 45 degrees leans to the right: its pixels correlate with x y > 0 (y upwards)."""
    rows = np.flatnonzero((DATA.factors == [1, 2, 2, 2, 2]).all(axis=1))
    image = DATA.X[rows[0]].reshape(16, 16)
    y, x = np.nonzero(image)
    assert np.corrcoef(x, -y)[0, 1] > 0.4


@pytest.mark.parametrize("side", [8, 15, 0, 16.5, True])
def test_bad_sizes_are_refused(side):
    with pytest.raises(ValueError, match="side must be"):
        sprites(side)
