from __future__ import annotations

import numpy as np
import pytest

from impasto.images import fit_size, resize_picture, resize_pixels
from impasto.images.scale import crop_margin, enlarge
from impasto.types import Picture


@pytest.mark.parametrize(
    ("size", "long_side", "expected"),
    [
        ((400, 300), 200, (200, 150)),
        ((300, 400), 512, (384, 512)),
        ((100, 100), 7, (7, 7)),
        ((10_000, 3), 100, (100, 1)),
        ((1, 5000), 50, (1, 50)),
    ],
)
def test_fit_size(size: tuple[int, int], long_side: int, expected: tuple[int, int]) -> None:
    assert fit_size(*size, long_side) == expected


def test_crop_margin() -> None:
    pixels = np.arange(50 * 200 * 3, dtype=np.float32).reshape(50, 200, 3)
    np.testing.assert_array_equal(crop_margin(pixels, 0.02), pixels[1:-1, 4:-4])
    np.testing.assert_array_equal(crop_margin(pixels, 0), pixels)
    assert crop_margin(pixels[:4, :4], 0.45).shape == (2, 2, 3)  # never nothing


def test_resize_gives_exactly_the_size_asked_for() -> None:
    generator = np.random.default_rng(0)
    for _ in range(60):
        height, width, new_height, new_width = (int(n) for n in generator.integers(1, 300, 4))
        pixels = np.full((height, width, 3), 0.3, dtype=np.float32)
        result = resize_pixels(pixels, new_height, new_width)
        assert result.shape == (new_height, new_width, 3)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, 0.3, atol=1e-5)


def test_resize_keeps_what_is_smooth_and_stays_in_range() -> None:
    y, x = np.mgrid[0:1:96j, 0:1:128j].astype(np.float32)
    wave = np.stack([0.5 + 0.4 * np.sin(6 * x), 0.5 + 0.4 * np.cos(5 * y), x * y], axis=-1).astype(np.float32)
    for height, width in ((48, 64), (200, 300)):
        back = resize_pixels(resize_pixels(wave, height, width), 96, 128)
        np.testing.assert_allclose(back[4:-4, 4:-4], wave[4:-4, 4:-4], atol=0.01)
    edges = np.zeros((16, 16, 3), dtype=np.float32)
    edges[:, 8:] = 1
    sharp = resize_pixels(edges, 50, 50)
    assert sharp.min() == 0 and sharp.max() == 1
    assert resize_pixels(wave, 96, 128) is wave


@pytest.mark.parametrize(("old", "new"), [(128, 64), (1000, 37), (64, 128), (90, 91), (128, 300), (20, 512)])
def test_resize_does_not_shift(old: int, new: int) -> None:
    ramp = np.tile((np.arange(old, dtype=np.float32) + 0.5) / old, (9, 1))
    expected = (np.arange(new) + 0.5) / new
    inner = slice(new // 5, -new // 5)
    for found in (
        resize_pixels(ramp, 9, new)[4],
        resize_pixels(ramp.T, new, 9)[:, 4],
        resize_pixels(ramp, 30, new)[15],
    ):
        assert np.abs(found - expected)[inner].mean() * old < 0.06  # pixels of the original


def test_parts_of_what_is_enlarged_are_those_of_the_whole() -> None:
    pixels = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32)
    part = enlarge(pixels - 0.5, 70, 100)
    whole = part(0, 0, 70, 100)
    assert np.abs((whole + 0.5).clip(0, 1) - resize_pixels(pixels, 70, 100)).max() < 1e-6
    assert whole.min() < -0.4
    assert np.array_equal(part(13, 41, 25, 33), whole[13:38, 41:74])


def test_downscaling_does_not_alias_or_shift() -> None:
    board = (np.indices((200, 200)).sum(axis=0) % 2).astype(np.float32)
    small = resize_pixels(board, 50, 50)
    assert small.shape == (50, 50)
    np.testing.assert_allclose(small[3:-3, 3:-3], 0.5, atol=0.02)
    spot = np.zeros((99, 99), dtype=np.float32)
    spot[49, 49] = 1
    assert np.unravel_index(resize_pixels(spot, 33, 33).argmax(), (33, 33)) == (16, 16)


def test_transparent_colours_do_not_bleed() -> None:
    pixels = np.zeros((40, 40, 3), dtype=np.float32)
    pixels[:, :20], pixels[:, 20:] = (1, 0, 0), (0, 1, 0)  # the green half is invisible
    alpha = np.zeros((40, 40), dtype=np.float32)
    alpha[:, :20] = 1
    result = resize_picture(Picture(pixels, alpha=alpha, bit_depth=16, format="png"), 13, 11)
    assert (result.width, result.height, result.bit_depth, result.format) == (13, 11, 16, "png")
    assert result.alpha is not None and result.alpha.shape == (11, 13)
    seen = result.alpha > 0.02
    assert result.pixels[seen][:, 1].max() < 0.02
    assert result.pixels[seen][:, 0].min() > 0.98
    assert np.isfinite(result.pixels).all()
    opaque = resize_picture(Picture(pixels), 13, 11)
    assert opaque.alpha is None
