"""Files that libvips reads wrongly without an error, or not at all, give the pixels that a second decoder sees."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

import impasto
from impasto.cli.main import run
from impasto.errors import ImageError, ImageLimitError, ImageReadError
from impasto.images import Limits, read_picture

if TYPE_CHECKING:
    from collections.abc import Callable

HEIGHT, WIDTH = 48, 64
Y, X = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([X * 4, Y * 5, 255 - X * 4], -1).astype(np.uint8)
SOFT = RGB // 2 + 64
GREY = (X * 4).astype(np.uint8)


def pil(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def lab() -> Image.Image:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(Image.fromarray(SOFT), *profiles, outputMode="LAB")


def tiff_of_12_bits() -> bytes:
    """A grey TIFF of two samples in three bytes."""
    levels = GREY.astype(np.uint16) * 16
    first, second = levels[:, ::2], levels[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8).tobytes()
    tags = [(256, WIDTH), (257, HEIGHT), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, HEIGHT)]
    tags += [(279, len(packed))]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory + bytes(4)


def small_frame(**options: object) -> bytes:
    """A GIF whose first frame is a part of its canvas."""
    data = bytearray(pil(Image.fromarray(RGB[:16, :16]).quantize(64), "GIF", **options))
    data[6:10] = struct.pack("<2H", WIDTH, HEIGHT)
    at = data.index(b",", 13 + 3 * 64)
    data[at + 1 : at + 5] = struct.pack("<2H", 8, 4)
    return bytes(data)


def latin_1_keyword() -> bytes:
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"tEXt", b"Cr\xe9ateur\0Andr\xe9")
    return pil(Image.fromarray(RGB), "PNG", pnginfo=chunks)


GREYS = np.repeat(GREY[:, :, None], 3, axis=2)
ODD: dict[str, tuple[Callable[[], bytes], np.ndarray, int]] = {
    "avif grey, limited": (lambda: pil(Image.fromarray(GREY), "AVIF", range="limited", quality=100), GREYS, 3),
    "avif grey, full": (lambda: pil(Image.fromarray(GREY), "AVIF", range="full", quality=100), GREYS, 3),
    "avif limited": (lambda: pil(Image.fromarray(RGB), "AVIF", range="limited", quality=100), RGB, 8),
    "avif full": (lambda: pil(Image.fromarray(RGB), "AVIF", range="full", quality=100), RGB, 8),
    "png latin-1 keyword": (latin_1_keyword, RGB, 0),
    "tiff YCbCr": (lambda: pil(Image.fromarray(RGB).convert("YCbCr"), "TIFF"), RGB, 3),
    "tiff YCbCr, LZW": (lambda: pil(Image.fromarray(RGB).convert("YCbCr"), "TIFF", compression="tiff_lzw"), RGB, 3),
    "tiff YCbCr, JPEG": (lambda: pil(Image.fromarray(RGB), "TIFF", compression="jpeg", quality=100), RGB, 8),
    "tiff Lab": (lambda: pil(lab(), "TIFF"), SOFT, 14),
    "tiff 12 bits": (tiff_of_12_bits, GREYS, 1),
    "tiff planes": (lambda: tiff(np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate"), RGB, 0),
    "tiff tiles": (lambda: tiff(RGB, photometric="rgb", tile=(16, 16)), RGB, 0),
    "tiff tiles of planes": (
        lambda: tiff(np.moveaxis(RGB, 2, 0), photometric="rgb", planarconfig="separate", tile=(16, 16)),
        RGB,
        0,
    ),
    "tiff white is 0": (lambda: tiff(255 - GREY, photometric="miniswhite"), GREYS, 0),
    "bigtiff": (lambda: tiff(RGB, photometric="rgb", bigtiff=True), RGB, 0),
    "big-endian": (lambda: tiff(RGB, photometric="rgb", byteorder=">"), RGB, 0),
}


@pytest.mark.parametrize("name", ODD)
def test_pixels_are_those_of_a_second_decoder(name: str) -> None:
    make, expected, tolerance = ODD[name]
    picture = read_picture(make())
    found = np.asarray(picture, np.uint8).astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance


@pytest.mark.parametrize("options", [{}, {"transparency": 0}, {"interlace": 1}])
def test_a_gif_is_transparent_where_its_first_frame_is_not(options: dict[str, int]) -> None:
    picture = read_picture(small_frame(**options))
    assert (picture.width, picture.height) == (WIDTH, HEIGHT)
    assert picture.alpha is not None
    covered = np.zeros((HEIGHT, WIDTH), bool)
    covered[4:20, 8:24] = True
    assert not picture.alpha[~covered].any()
    if "transparency" not in options:
        assert picture.alpha[covered].all()
        assert np.abs(np.asarray(picture, np.uint8)[4:20, 8:24, :3].astype(int) - RGB[:16, :16]).max() < 40


def raw_of(**tags: int) -> bytes:
    kinds = {"subfile": 254, "photometric": 262, "subdirectories": 330, "dng": 50706}
    entries = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 4, 279: 16}
    entries |= {kinds[name]: value for name, value in tags.items()}
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<I", 24) + bytes(16) + directory + bytes(4)


@pytest.mark.parametrize(
    "data",
    [raw_of(photometric=32803), raw_of(subfile=1, dng=1), raw_of(subfile=1, subdirectories=8)],
    ids=["mosaic", "DNG", "thumbnail before the picture"],
)
def test_a_raw_file_is_not_its_thumbnail(data: bytes) -> None:
    with pytest.raises(ImageReadError, match="is a camera's raw file; develop it and save it as TIFF or JPEG"):
        read_picture(data)


def test_a_page_that_only_says_it_is_small_is_a_picture() -> None:
    assert read_picture(raw_of(subfile=1)).width == 4


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pil(Image.fromarray(RGB).convert("YCbCr"), "TIFF")[:2000], "(YCbCr without JPEG); save it as RGB of 8 or 16"),
        (tiff_of_12_bits().replace(struct.pack("<HHII", 277, 4, 1, 1), struct.pack("<HHII", 277, 4, 1, 3)), "(12 bits"),
    ],
    ids=["cut YCbCr", "RGB of 12 bits"],
)
def test_kinds_that_no_decoder_reads_are_named(data: bytes, words: str) -> None:
    with pytest.raises(ImageReadError) as caught:
        read_picture(data)
    assert words in str(caught.value) and "a kind of TIFF file that impasto does not read" in str(caught.value)


@pytest.mark.parametrize("name", ["tiff YCbCr", "tiff Lab", "bigtiff", "big-endian", "avif grey, limited"])
def test_damaged_directories_are_errors_of_a_sentence(name: str) -> None:
    data = ODD[name][0]()
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(data)
        for place in random.integers(4, len(data), 6):
            damaged[place] = random.integers(256)
        try:
            read_picture(bytes(damaged), limits=Limits(max_pixels=1 << 22))
        except ImageError as error:
            assert "\n" not in str(error)


def claiming(width: int, height: int) -> bytes:
    """A JPEG that claims another size than it has."""
    data = bytearray(pil(Image.fromarray(RGB), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">2H", height, width)
    return bytes(data)


def test_more_pixels_than_the_bytes_can_hold_are_refused_at_once() -> None:
    with pytest.raises(ImageLimitError) as caught:
        read_picture(claiming(20000, 10000))
    assert "image data claims 20000x10000 pixels and has" in str(caught.value)
    assert "bytes, which cannot hold them; save or download it again" in str(caught.value)
    wide = pil(Image.new("1", (5000, 4000)), "PNG", bits=1)
    assert read_picture(wide).width == 5000, "a plain picture in few bytes is a picture"
    claimed = claiming(5000, 4000)
    with pytest.raises(ImageLimitError, match="claims 5000x4000"):
        read_picture(claimed)
    assert read_picture(claimed, limits=Limits(any_density=True)).width == 5000


def test_limits_hold_for_a_painting_and_can_be_lifted() -> None:
    claimed = claiming(5000, 4000)
    with pytest.raises(ImageLimitError, match="claims 5000x4000"):
        impasto.stylize(claimed, "great-wave", engine="fast", size=64)
    lifted = Limits(any_density=True, max_seconds=None)
    assert impasto.stylize(claimed, "great-wave", engine="fast", size=64, limits=lifted).width == 64


def test_the_command_line_lifts_the_limits_for_trusted_pictures(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("claims.jpg").write_bytes(claiming(5000, 4000))
    command = ["stylize", "claims.jpg", "-s", "great-wave", "--engine", "fast", "--size", "64", "-o", "out.png", "-q"]
    assert run(command) == 1
    assert "claims.jpg claims 5000x4000 pixels" in capsys.readouterr().err
    assert run([*command, "--trusted"]) == 0
    assert read_picture("out.png").width == 64


def test_decoding_has_a_limit_of_time() -> None:
    slow = pil(Image.fromarray(np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)), "PNG")
    with pytest.raises(ImageLimitError, match=r"takes more than 0 seconds to decode; make it smaller"):
        read_picture(slow, limits=Limits(max_seconds=0))
    assert read_picture(slow, limits=Limits(max_seconds=None)).width == 1500
