from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from impasto.engines.tiling import plan_tiles


@pytest.mark.parametrize(("height", "width"), [(1, 1), (32, 32), (33, 100), (200, 31)])
def test_tiles_cover_every_pixel_once_and_see_their_halo(height, width):
    counts = np.zeros((height, width), int)
    for tile in chain.from_iterable(plan_tiles(height, width, 32, 32, halo=8)):
        counts[tile.top : tile.bottom, tile.left : tile.right] += 1
        assert tile.seen_top == max(0, tile.top - 8) and tile.seen_bottom == min(height, tile.bottom + 8)
        assert tile.seen_left == max(0, tile.left - 8) and tile.seen_right == min(width, tile.right + 8)
        assert tile.seen_top % 8 == tile.seen_left % 8 == 0
    assert (counts == 1).all()
