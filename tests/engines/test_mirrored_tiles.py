"""Tiles of a picture that is continued by its mirror image."""

from __future__ import annotations

import numpy as np
import pytest

from impasto.engines.feature_distance import Features
from impasto.engines.mirrored_tiles import STRIDE, margin_cut, padded_size, plan_tiles, with_margin

SIZES = [(1, 1), (3, 50), (40, 56), (101, 73), (300, 90)]


@pytest.mark.parametrize("most", [500, 10**6])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_beyond_its_edges_a_picture_is_mirrored(height, width, most):
    image = np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)
    mirrored = np.pad(image, ((0, 0), (0, 0), (16, 32), (16, 32)), mode="symmetric")
    for tile in plan_tiles(height, width, most):
        rows, columns = (slice(side.seen_first + 16, side.seen_last + 16) for side in (tile.rows, tile.columns))
        np.testing.assert_array_equal(tile.cut(image), mirrored[:, :, rows, columns])


@pytest.mark.parametrize("most", [500, 10**6])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_gradients_come_back_to_the_pixels_that_were_cut(height, width, most):
    random = np.random.default_rng(0)
    image = random.random((1, 3, height, width), dtype=np.float32)
    gradient = np.zeros_like(image)
    expected = 0.0
    for tile in plan_tiles(height, width, most):
        part = tile.cut(image)
        pull = random.random(part.shape, dtype=np.float32)
        expected += float(np.vdot(part, pull))
        tile.add(pull, gradient)
    assert float(np.vdot(image, gradient)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("most", [500, 10**6])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_each_position_belongs_to_one_tile(height, width, most):
    rows, columns = (side // STRIDE for side in padded_size(height, width))
    marked = np.zeros((1, 1, rows, columns), np.float32)
    counted = with_margin(marked, STRIDE)
    for tile in plan_tiles(height, width, most):
        tile.own(marked, STRIDE)[:] += 1
        tile.seen(counted, STRIDE)[:] += tile.mask
    np.testing.assert_array_equal(marked, 1)
    np.testing.assert_array_equal(margin_cut(counted, STRIDE), 1)
    assert counted.sum() == rows * columns


@pytest.mark.parametrize(("largest", "kind"), [(100, np.float16), (1e6, np.float32)])
def test_large_targets_take_half_the_memory_if_their_range_allows(largest, kind):
    array = np.random.default_rng(6).random((1, 32, 512, 512), np.float32) * np.float32(largest)
    features = Features.of(array, 1)
    (tile,) = plan_tiles(512, 512, 1 << 20)
    assert features.array.dtype == kind
    assert features.square == pytest.approx(float(np.vdot(array, array)), rel=1e-3)
    seen = tile.kept(features.seen(tile), 1)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, array, rtol=1e-3)
