"""What makes pixels move together with their surroundings."""

from __future__ import annotations

import numpy as np
import pytest

from impasto.optimization.lbfgs import spread_over_scales, spread_over_tile

SIZES = [(16, 16), (1, 1), (1, 9), (9, 1), (2, 2), (7, 5), (13, 16), (33, 31), (40, 39)]


def noise(count, size):
    return np.random.default_rng(0).uniform(-1, 1, (count, *size))


@pytest.mark.parametrize("size", SIZES)
def test_is_linear(size):
    x, y = noise(2, size)
    np.testing.assert_allclose(
        spread_over_scales(2 * x - 3 * y), 2 * spread_over_scales(x) - 3 * spread_over_scales(y), atol=1e-12
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spread", [spread_over_scales, spread_over_tile])
def test_is_symmetric(size, spread):
    x, y = noise(2, size)
    assert (spread(x) * y).sum() == pytest.approx((x * spread(y)).sum())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spread", [spread_over_scales, spread_over_tile])
def test_is_positive(size, spread):
    pixels = size[0] * size[1]
    matrix = np.stack([spread(single.reshape(size)).reshape(-1) for single in np.eye(pixels)])
    assert np.linalg.eigvalsh((matrix + matrix.T) / 2).min() > 0.99


def test_is_the_same_for_what_is_turned():
    (x,) = noise(1, (33, 40))
    np.testing.assert_allclose(spread_over_scales(np.ascontiguousarray(x.T)).T, spread_over_scales(x), atol=1e-12)


def test_adds_the_same_to_all_of_an_even_ground():
    even = np.full((32, 48), 0.25, np.float32)
    spread = spread_over_scales(even, scales=4)
    assert spread.dtype == np.float32
    np.testing.assert_allclose(spread, (1 + 1.5 + 1.5**2 + 1.5**3) * even, rtol=1e-6)


def test_adds_averages_that_are_enlarged_bilinearly():
    column = np.zeros((2, 8))
    column[:, 2] = 1
    # Pairs are averaged with weights 1/8, 3/8, 3/8, 1/8, so that two pairs see the column; the scale counts 1.5 times.
    averages = 1.5 * np.array([1, 3, 0, 0]) / 8
    enlarged = np.array([4, 3 + 3, 1 + 9, 9, 3, 0, 0, 0]) / 4 * 1.5 / 8
    np.testing.assert_allclose(enlarged[[0, 7]], averages[[0, 3]])
    np.testing.assert_allclose(spread_over_scales(column, scales=2) - column, np.stack([enlarged, enlarged]))


def test_moves_the_neighbours_of_a_pixel_along():
    single = np.zeros((32, 32))
    single[16, 16] = 1
    spread = spread_over_scales(single)
    assert spread[16, 16] > spread[16, 18] > spread[16, 24] > 0
    assert (spread_over_scales(single) != spread_over_scales(single, scales=4)).any()


def test_leaves_what_it_spreads_alone():
    (x,) = noise(1, (13, 16))
    before = x.copy()
    spread_over_scales(x)
    np.testing.assert_array_equal(x, before)


def test_a_tile_spreads_across_its_edges():
    block = np.zeros((128, 96))
    block[:8, :8] = 1
    spread = spread_over_tile(block)
    assert spread[-1, 4] == pytest.approx(spread[8, 4], rel=0.1)
    assert spread[4, -1] == pytest.approx(spread[4, 8], rel=0.1)
    assert spread_over_scales(block)[-1].max() == 0
