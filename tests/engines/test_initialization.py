"""The pictures that an optimisation can start from."""

from __future__ import annotations

import numpy as np
import pytest

from impasto.engines.initialization import initial_pixels
from impasto.errors import ImageReadError, UsageError
from impasto.images import resize_pixels, write_picture
from impasto.types import Picture

HEIGHT, WIDTH = 30, 40


def ramp(height, width):
    """Red grows to the right, green downwards."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([columns / max(width - 1, 1), rows / max(height - 1, 1), np.full_like(rows, 0.25)], axis=2)


CONTENT, STYLE = ramp(60, 80), 1 - ramp(100, 50)


def start(init, seed=0, style=STYLE):
    pixels = initial_pixels(init, CONTENT, style, HEIGHT, WIDTH, seed)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    return pixels


def test_content_is_the_content():
    np.testing.assert_array_equal(start("content"), resize_pixels(CONTENT, HEIGHT, WIDTH))


def test_noise_is_white_and_faint():
    noise = start("noise")
    assert noise.mean() == pytest.approx(0.5, abs=1e-3)
    assert noise.std() == pytest.approx(2 / 255 / 3**0.5, rel=0.05)
    neighbours = np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.05


def test_content_and_noise_are_mixed_in_the_stated_shares():
    rest = start("content+noise") - 0.4 * start("content") - 0.6 * 0.5
    assert np.abs(rest).max() <= 0.6 * 20 / 255 + 1e-6
    assert rest.std() == pytest.approx(0.6 * 20 / 255 / 3**0.5, rel=0.05)


@pytest.mark.parametrize("init", ["noise", "content+noise"])
def test_the_seed_decides_the_noise(init):
    np.testing.assert_array_equal(start(init, seed=7), start(init, seed=7))
    assert np.abs(start(init, seed=7) - start(init, seed=8)).mean() > 1e-3


@pytest.mark.parametrize("init", ["content", "style"])
def test_nothing_else_is_random(init):
    np.testing.assert_array_equal(start(init, seed=7), start(init, seed=8))


@pytest.mark.parametrize("shape", [(100, 50), (50, 100), (30, 40), (7, 300)])
def test_style_is_its_middle_undistorted(shape):
    height, width = shape
    pixels = start("style", style=ramp(height, width))
    # The slope of red along a row, in units of the whole width of the style, tells how much of it is seen.
    seen_across = float(pixels[:, -1, 0].mean() - pixels[:, 0, 0].mean()) * width
    seen_down = float(pixels[-1, :, 1].mean() - pixels[0, :, 1].mean()) * height
    assert seen_across / seen_down == pytest.approx(WIDTH / HEIGHT, rel=0.25)
    assert pixels[:, :, 0].mean() == pytest.approx(0.5, abs=0.02)
    assert pixels[:, :, 1].mean() == pytest.approx(0.5, abs=0.02)


def test_a_file_is_read_and_cut_to_the_aspect(tmp_path):
    path = tmp_path / "start.png"
    stripes = np.zeros((40, 160, 3), dtype=np.float32)
    stripes[:, 60:100] = 1
    write_picture(Picture(stripes), path)
    pixels = start(str(path))
    # 53 of the 160 columns are kept: the white 40 in their middle, and 7 black ones on each side.
    assert pixels[:, 10:30].min() > 0.95
    assert pixels[:, :3].max() < 0.05
    assert pixels[:, -3:].max() < 0.05


@pytest.mark.parametrize("init", ["contnet", "missing.png", ""])
def test_neither_a_name_nor_a_file(init, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        start(init)
    assert str(caught.value) == (
        f"init is {init!r}, which is not a file; choose 'content', 'noise', 'content+noise', 'style' or a file"
    )


def test_a_file_that_is_no_picture(tmp_path):
    path = tmp_path / "start.png"
    path.write_text("not a picture")
    with pytest.raises(ImageReadError, match=r"start\.png is not a JPEG, PNG"):
        start(str(path))
