"""Whatever people hold in their hands becomes the same Picture."""

from __future__ import annotations

import gzip
import io
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pyvips
import torch
from PIL import Image

from impasto.errors import ImageLimitError, ImageReadError, ImageSizeError
from impasto.images import Limits, as_picture
from impasto.types import Picture

if TYPE_CHECKING:
    from pathlib import Path

LEVELS = np.random.default_rng(0).integers(0, 256, (12, 20, 4), dtype=np.uint8)
RGB, ALPHA = LEVELS[:, :, :3], LEVELS[:, :, 3]


def test_path_bytes_pil_array_and_picture_agree(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = Image.fromarray(LEVELS)
    image.save(path)
    pictures = [as_picture(source) for source in (path, str(path), path.read_bytes(), image, LEVELS)]
    for picture in pictures:
        assert np.array_equal(picture.pixels, RGB.astype(np.float32) / np.float32(255))
        assert np.array_equal(picture.alpha, ALPHA.astype(np.float32) / np.float32(255))
        assert picture.bit_depth == 8
    assert [picture.format for picture in pictures] == ["png", "png", "png", None, None]
    assert as_picture(pictures[0]) is pictures[0]


def test_bytes_and_open_files_of_every_kind_agree(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(LEVELS).save(path)
    data = path.read_bytes()
    with path.open("rb") as plain, path.open("rb", buffering=0) as raw, gzip.open(tmp_path / "a.gz", "wb") as packed:
        packed.write(data)
        packed.close()
        with gzip.open(tmp_path / "a.gz", "rb") as unpacked:
            sources = [bytearray(data), memoryview(data), io.BytesIO(data), plain, raw, unpacked]
            for source in sources:
                assert np.array_equal(np.asarray(as_picture(source), np.uint8), LEVELS)
            # An open file is set back, so that it can be read again.
            assert [as_picture(source).width for source in sources] == [20] * 6
            shifted = io.BytesIO(b"before" + data)
            shifted.seek(6)
            assert (as_picture(shifted).width, shifted.tell()) == (20, 6)
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert as_picture(pipe).width == 20


def test_open_files_that_give_no_picture_say_why(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Dear diary")
    closed = io.BytesIO(b"abc")
    closed.close()
    spent = io.BytesIO(b"abc")
    spent.read()
    text = io.StringIO("abc")
    text.name = "a.txt"
    with path.open("rb") as wrong:
        for source, words in (
            (wrong, f"{path} is not a JPEG, PNG, TIFF, WebP, AVIF or GIF file"),
            (closed, "cannot read image data: I/O operation on closed file"),
            (spent, "image data has no bytes after byte 3, where it stands; call seek(0) first"),
            (text, "a.txt gives str and not bytes; open it in binary mode, 'rb'"),
            (io.BytesIO(), "image data is empty (0 bytes)"),
        ):
            with pytest.raises(ImageReadError) as caught:
                as_picture(source)
            assert words in str(caught.value)
    with pytest.raises(ImageLimitError, match="image data has 11 bytes and at most 10 are opened"):
        as_picture(io.BytesIO(bytes(99)), limits=Limits(max_bytes=10))


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tensors(kind: torch.dtype, channels: int) -> None:
    levels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(LEVELS[:, :, :channels], 2, 0)))
    tensor = levels if kind is torch.uint8 else (levels / 255).to(kind).requires_grad_()
    expected = np.repeat(LEVELS[:, :, :1], 3, axis=2) if channels == 1 else LEVELS[:, :, :channels]
    tolerance = {torch.float16: 1, torch.bfloat16: 2}.get(kind, 0)
    for given in (tensor, tensor[None], tensor.permute(1, 2, 0), *([tensor[0]] if channels == 1 else [])):
        found = np.asarray(as_picture(given), np.uint8).astype(int)
        assert np.abs(found - expected).max() <= tolerance


def test_tensors_go_out_as_they_come_in() -> None:
    picture = as_picture(LEVELS)
    tensor = picture.to_tensor()
    assert (tensor.shape, tensor.dtype) == ((4, 12, 20), torch.float32)
    again = as_picture(tensor)
    assert np.array_equal(again.pixels, picture.pixels) and np.array_equal(again.alpha, picture.alpha)
    assert as_picture(np.ascontiguousarray(RGB)).to_tensor().shape == (3, 12, 20)
    tensor.zero_()
    assert picture.pixels.max() > 0


def test_refuses_tensors_that_are_no_pictures() -> None:
    for tensor, words in (
        (torch.zeros(5, 12, 20), "tensor has shape (5, 12, 20); give (1 to 4 channels, height, width)"),
        (torch.zeros(2, 3, 12, 20), "array has shape (2, 3, 12, 20)"),
        (torch.zeros(3, 12, 20, dtype=torch.int64), "array has type int64"),
        (torch.full((3, 12, 20), 255.0), "array has values from 255 to 255"),
    ):
        with pytest.raises(ImageReadError) as caught:
            as_picture(tensor)
        assert words in str(caught.value)


def test_arrays_of_other_libraries_and_byte_orders() -> None:
    class Array:
        """An array of a library that NumPy can ask for one of its own."""

        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            return LEVELS

    assert np.array_equal(np.asarray(as_picture(Array()), np.uint8), LEVELS)
    big = as_picture((RGB.astype(np.uint16) * 257).astype(">u2"))
    assert big.bit_depth == 16
    assert np.array_equal(np.asarray(big, np.uint8), RGB)


def test_a_pil_image_whose_file_is_closed_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(LEVELS).save(path)
    image = Image.open(path)
    image.close()
    with pytest.raises(ImageReadError, match=r"the PIL image cannot be read .*; load it before its file is closed"):
        as_picture(image)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float16, np.float32, np.float64, bool])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_arrays(kind: type, channels: int | None) -> None:
    unit = LEVELS[:, :, : channels or 1] / 255
    white = np.iinfo(kind).max if np.issubdtype(kind, np.integer) else 1
    array = (unit > 0.5) if kind is bool else (unit * white).astype(kind)
    picture = as_picture(array[:, :, 0] if channels is None else array[::-1, ::-1][::-1, ::-1])
    expected = array.astype(np.float64) / white
    np.testing.assert_allclose(picture.pixels[:, :, 0], expected[:, :, 0], atol=1e-6)
    if channels in (3, 4):
        np.testing.assert_allclose(picture.pixels, expected[:, :, :3], atol=1e-6)
    else:
        assert np.ptp(picture.pixels, axis=2).max() == 0
    if channels in (2, 4):
        np.testing.assert_allclose(picture.alpha, expected[:, :, -1], atol=1e-6)
    else:
        assert picture.alpha is None
    assert picture.bit_depth == (16 if kind is np.uint16 else 8)
    assert picture.pixels.dtype == np.float32
    array[:] = 0
    assert picture.pixels.max() > 0  # a picture does not change behind its owner's back


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 3)) + 255.0, "array has values from 255 to 255; scale and clip floats to [0, 1]"),
        (np.full((4, 5, 3), -0.1), "array has values from -0.1 to -0.1; scale"),
        (np.full((4, 5, 3), np.nan), "array has values from nan to nan; scale"),
        (np.zeros((4, 5, 3), dtype=np.int64), "array has type int64; give uint8, uint16, or float in [0, 1]"),
        (np.zeros((4, 5, 5)), "array has shape (4, 5, 5); give (height, width) or (height, width, 1 to 4)"),
        (np.zeros((1, 3, 4, 5)), "array has shape (1, 3, 4, 5); give"),
        (np.zeros(5), "array has shape (5,); give"),
    ],
)
def test_refuses_arrays_that_are_no_pictures(array: np.ndarray, words: str) -> None:
    with pytest.raises(ImageReadError) as caught:
        as_picture(array)
    assert words in str(caught.value)


def test_limits_hold_for_every_source() -> None:
    for empty in (np.zeros((0, 5, 3)), np.zeros((5, 0))):
        with pytest.raises(ImageSizeError, match="needs at least 1 pixels on each side"):
            as_picture(empty)
    for source in (LEVELS, Image.fromarray(LEVELS)):
        with pytest.raises(ImageLimitError, match="is 20x12, 240 pixels, and at most 239 are opened"):
            as_picture(source, limits=Limits(max_pixels=239))
    with pytest.raises(
        ImageReadError, match="a int is not a picture; give a path, bytes, an open file, PIL image, arr"
    ):
        as_picture(3)  # type: ignore[arg-type]


MODES = [
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "La",
    "RGBX",
    "CMYK",
    "YCbCr",
    "HSV",
    "LAB",
    "I;16",
    "I",
    "F",
]


@pytest.mark.parametrize("mode", MODES)
def test_pil_modes(mode: str) -> None:
    if mode in ("I;16", "I"):
        image = Image.fromarray(LEVELS[:, :, 0].astype(np.uint16) * 257)
        image = image.convert("I") if mode == "I" else image
    elif mode == "F":
        image = Image.fromarray(RGB[:, :, 0].astype(np.float32) / 255)
    elif mode == "LAB":
        image = Image.new("LAB", (20, 12), (200, 0, 0))
    elif mode in ("La", "LA", "PA"):
        image = Image.fromarray(LEVELS).convert("LA")
        image = image if mode == "LA" else image.convert(mode)
    else:
        image = Image.fromarray(LEVELS if mode in ("RGBA", "RGBa") else RGB).convert(mode)
    assert image.mode == mode
    picture = as_picture(image)
    assert (picture.width, picture.height, picture.format) == (20, 12, None)
    assert (picture.alpha is not None) == (mode in ("LA", "PA", "RGBA", "RGBa", "La"))
    assert picture.bit_depth == (16 if mode in ("I;16", "I") else 8)
    if mode in ("I;16", "I", "F"):
        expected = np.repeat(LEVELS[:, :, :1] / 255, 3, axis=2)
    else:
        straight = image.convert("LA") if mode == "La" else image
        expected = np.asarray(straight.convert("RGBA"), dtype=np.float64)[:, :, :3] / 255
    if mode == "CMYK":  # ours goes through a press profile, PIL's does not
        assert np.corrcoef(picture.pixels.ravel(), expected.ravel())[0, 1] > 0.9
    else:
        np.testing.assert_allclose(picture.pixels, expected, atol=1.5 / 255)


def test_pil_files_are_turned_and_colour_managed_like_files() -> None:
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[274] = 6
    buffer = io.BytesIO()
    p3 = pyvips.Image.profile_load("p3")
    image.save(buffer, "PNG", exif=exif, icc_profile=p3)
    direct, opened = as_picture(buffer.getvalue()), as_picture(Image.open(io.BytesIO(buffer.getvalue())))
    assert (direct.width, direct.height) == (12, 20)
    assert np.array_equal(direct.pixels, opened.pixels)
    assert direct.icc == opened.icc == p3


def test_pil_transparency_becomes_alpha() -> None:
    image = Image.fromarray(RGB).quantize(16)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=image.getpixel((0, 0)))
    picture = as_picture(Image.open(io.BytesIO(buffer.getvalue())))
    assert isinstance(picture, Picture)
    assert picture.alpha is not None
    assert picture.alpha[0, 0] == 0 and picture.alpha.max() == 1
