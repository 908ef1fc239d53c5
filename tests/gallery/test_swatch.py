"""The swatches of styles."""

from __future__ import annotations

import numpy as np
import pytest

from impasto.gallery import StyleCatalog
from impasto.gallery.looks import crop_swatch
from impasto.images import read_picture


def test_the_most_varied_part_is_shown():
    image = np.full((576, 768, 3), 0.5, np.float32)
    blobs = np.random.default_rng(3).uniform(0, 1, (27, 36, 3)).astype(np.float32)
    image[306:, 408:] = np.kron(blobs, np.ones((10, 10, 1), np.float32))
    swatch = read_picture(crop_swatch(image)).pixels
    assert swatch.shape == (270, 360, 3)
    assert np.abs(swatch - image[306:, 408:]).mean() < 0.12


@pytest.mark.parametrize(("size", "expected"), [((90, 120), (90, 120)), ((40, 400), (40, 53)), ((1, 1), (1, 1))])
def test_small_images_give_small_swatches(size, expected):
    assert read_picture(crop_swatch(np.full((*size, 3), 0.5, np.float32))).pixels.shape[:2] == expected


def test_noise_still_fits():
    noise = np.random.default_rng(5).uniform(0, 1, (300, 400, 3)).astype(np.float32)
    assert len(crop_swatch(noise)) < 40_000


def test_bundled_swatches_are_small_parts_of_their_images():
    for style in StyleCatalog().readable():
        assert len(style.swatch) <= 14_000 and len(style.image) <= 150_000, style.name
        assert read_picture(style.swatch).pixels.shape == (270, 360, 3), style.name
        assert style.swatch == crop_swatch(style.picture.pixels), style.name
