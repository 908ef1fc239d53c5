"""Picture and Step."""

from __future__ import annotations

import io
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from impasto.images import read_picture
from impasto.types import Picture

if TYPE_CHECKING:
    from pathlib import Path


def gradient(height: int, width: int) -> np.ndarray:
    """Red grows to the right, green downwards, both in steps that 8 bits hold exactly; blue is full."""
    rows, columns = np.mgrid[:height, :width] * 10 / 255
    return np.dstack([columns, rows, np.ones((height, width))]).astype(np.float32)


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.zeros((4, 5), np.float32), "float32 (4, 5)"),
        (np.zeros((4, 5, 4), np.float32), "float32 (4, 5, 4)"),
        (np.zeros((1, 4, 5, 3), np.float32), "float32 (1, 4, 5, 3)"),
        (np.zeros((3, 4, 5), np.float32), "float32 (3, 4, 5)"),
        (np.zeros((4, 5, 3), np.uint8), "uint8 (4, 5, 3)"),
        (np.zeros((4, 5, 3)), "float64 (4, 5, 3)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_pixels(pixels: np.ndarray, found: str) -> None:
    with pytest.raises(ValueError) as caught:
        Picture(pixels)
    assert str(caught.value) == f"pixels must be float32 (H, W, 3), not {found}"


@pytest.mark.parametrize(
    ("alpha", "found"),
    [
        (np.ones((5, 4), np.float32), "float32 (5, 4)"),
        (np.ones((4, 5, 1), np.float32), "float32 (4, 5, 1)"),
        (np.ones((4, 5)), "float64 (4, 5)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_alpha(alpha: np.ndarray, found: str) -> None:
    with pytest.raises(ValueError) as caught:
        Picture(gradient(4, 5), alpha)
    assert str(caught.value) == f"alpha must be float32 (4, 5), not {found}"


def test_size_is_rows_and_columns() -> None:
    picture = Picture(gradient(4, 7))
    assert (picture.height, picture.width) == (4, 7)


def test_pictures_are_frozen_and_are_themselves() -> None:
    picture = Picture(gradient(4, 5))
    with pytest.raises(FrozenInstanceError):
        picture.bit_depth = 16  # type: ignore[misc]
    assert picture == picture
    assert picture != Picture(picture.pixels)  # comparing pixels would make an array of answers
    assert len({picture, picture}) == 1


def test_wrong_beyond() -> None:
    with pytest.raises(ValueError, match=r"beyond must be float32 \(4, 5, 3\), not float32 \(4, 5\)"):
        Picture(gradient(4, 5), beyond=np.ones((4, 5), np.float32))


def test_an_array_of_a_picture() -> None:
    pixels, alpha = gradient(4, 5), np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)
    assert np.array_equal(np.asarray(Picture(pixels)), pixels)
    both = np.asarray(Picture(pixels, alpha))
    assert (both.dtype, both.shape) == (np.float32, (4, 5, 4))
    assert np.array_equal(both, np.dstack([pixels, alpha]))
    assert np.array_equal(np.asarray(Picture(pixels), np.uint8)[0, :, 0], [0, 10, 20, 30, 40])
    assert np.asarray(Picture(pixels, alpha), np.uint16).max() == 65535
    assert np.asarray(Picture(pixels), np.float64).dtype == np.float64
    copied = np.array(Picture(pixels))
    copied[:] = 0
    assert pixels.max() == 1


def test_a_picture_in_a_line() -> None:
    assert repr(Picture(gradient(4, 5))) == "<Picture 5x4, 8 bits>"
    alpha = np.ones((4, 5), np.float32)
    whole = Picture(gradient(4, 5), alpha, bit_depth=16, icc=b"x" * 9999, format="png", metadata={"seed": "7"})
    assert repr(whole) == "<Picture 5x4, 16 bits, alpha, ICC profile, png>"


def test_pil_and_files(tmp_path: Path) -> None:
    alpha = np.ones((4, 5), np.float32)
    image = Picture(gradient(4, 5)).to_pil()
    assert (image.mode, image.size, image.getpixel((2, 1))) == ("RGB", (5, 4), (20, 10, 255))
    assert Picture(gradient(4, 5), alpha).to_pil().mode == "RGBA"
    Picture(gradient(4, 5)).save(tmp_path / "a.png")
    buffer = io.BytesIO()
    Picture(gradient(4, 5)).save(buffer, "png")
    for file in (tmp_path / "a.png", io.BytesIO(buffer.getvalue())):
        with Image.open(file) as found:
            assert found.tobytes() == image.tobytes()
    Picture(gradient(4, 5)).save(tmp_path / "b.jpg", quality=10)
    assert read_picture(tmp_path / "b.jpg").format == "jpeg"


def test_a_notebook_shows_the_picture() -> None:
    shown = Image.open(io.BytesIO(Picture(gradient(9, 12))._repr_png_()))
    assert (shown.format, shown.size, shown.mode) == ("PNG", (12, 9), "RGB")
    assert shown.getpixel((11, 0)) == (110, 0, 255)
    assert shown.getpixel((0, 8)) == (0, 80, 255)


def test_a_notebook_shows_transparency() -> None:
    alpha = np.zeros((9, 12), np.float32)
    alpha[:, 6:] = 0.2
    shown = Image.open(io.BytesIO(Picture(gradient(9, 12), alpha)._repr_png_()))
    assert (shown.size, shown.mode) == ((12, 9), "RGBA")
    assert shown.getpixel((5, 1)) == (50, 10, 255, 0)
    assert shown.getpixel((6, 1)) == (60, 10, 255, 51)


def test_a_notebook_shows_values_beyond_white_as_white() -> None:
    pixels = np.stack([np.full((2, 2), value, np.float32) for value in (-0.5, 0.5, 7.0)], axis=2)
    assert Image.open(io.BytesIO(Picture(pixels)._repr_png_())).getpixel((0, 0)) == (0, 128, 255)
