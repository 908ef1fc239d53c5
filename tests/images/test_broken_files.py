"""Every file that is no picture, or no longer one: the words it must fail with, and nothing printed."""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import pyvips
from PIL import Image

from impasto.errors import ImageError, ImageLimitError, ImageReadError, ImageSizeError
from impasto.images import Limits, read_picture

if TYPE_CHECKING:
    from pathlib import Path


def cut(data: bytes, share: float = 0.6) -> bytes:
    return data[: int(len(data) * share)]


def pil(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def vips(array: np.ndarray, **options: object) -> bytes:
    return pyvips.Image.new_from_array(array).tiffsave_buffer(**options)


def noise(form: str, **options: object) -> bytes:
    generator = np.random.default_rng(0)
    return pil(Image.fromarray(generator.integers(0, 256, (32, 48, 3), dtype=np.uint8)), form, **options)


def hollow_png(width: int, height: int) -> bytes:
    """A PNG that promises pixels it does not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


SEVEN = vips(np.zeros((4, 5, 7), dtype=np.uint8))
SIGNED = pil(Image.fromarray(np.zeros((4, 5), dtype=np.int32)), "TIFF")
NOT_A_PICTURE = "is not a JPEG, PNG, TIFF, WebP, AVIF or GIF file; convert it to one of these"
TILED = vips(np.full((32, 48, 3), 90, dtype=np.uint8), tile=True, compression="lzw")
RANDOM = bytes(np.random.default_rng(1).integers(0, 256, 500, dtype=np.uint8))
BROKEN = [
    ("empty", b"", ImageReadError, "is empty (0 bytes)"),
    ("text", b"Dear diary, today I painted.", ImageReadError, NOT_A_PICTURE),
    ("html", b"<!DOCTYPE html><html>404</html>", ImageReadError, NOT_A_PICTURE),
    ("svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', ImageReadError, NOT_A_PICTURE),
    ("pdf", b"%PDF-1.7\n", ImageReadError, NOT_A_PICTURE),
    ("bmp", noise("BMP"), ImageReadError, NOT_A_PICTURE),
    ("wav", b"RIFF\x24\0\0\0WAVEfmt ", ImageReadError, NOT_A_PICTURE),
    ("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ImageReadError, NOT_A_PICTURE),
    ("random bytes", RANDOM, ImageReadError, NOT_A_PICTURE),
    (
        "cut jpeg",
        cut(noise("JPEG")),
        ImageReadError,
        "truncated JPEG file (premature end of JPEG image); save",
    ),
    ("cut progressive jpeg", cut(noise("JPEG", progressive=True)), ImageReadError, "truncated JPEG"),
    ("jpeg start only", b"\xff\xd8\xff\xe0", ImageReadError, "truncated JPEG"),
    ("cut png", cut(noise("PNG")), ImageReadError, "truncated PNG"),
    ("png signature only", b"\x89PNG\r\n\x1a\n", ImageReadError, "truncated PNG"),
    ("png damaged header", damaged(noise("PNG"), 18), ImageReadError, "truncated PNG"),
    ("png damaged pixels", damaged(noise("PNG"), 3000), ImageReadError, "truncated PNG"),
    ("png of zero width", hollow_png(0, 5), ImageReadError, "truncated PNG"),
    ("png without pixels", hollow_png(8, 8), ImageReadError, "truncated PNG"),
    ("cut tiff", cut(noise("TIFF")), ImageReadError, "truncated TIFF"),
    ("cut tiled tiff", cut(TILED, 0.9), ImageReadError, "truncated TIFF"),
    ("tiff signature only", b"II*\0", ImageReadError, "truncated TIFF"),
    ("tiff directory nowhere", b"II*\0\xff\xff\xff\x7f", ImageReadError, "truncated TIFF"),
    ("cut webp", cut(noise("WEBP")), ImageReadError, "truncated WEBP"),
    ("cut lossless webp", cut(noise("WEBP", lossless=True)), ImageReadError, "truncated WEBP"),
    ("cut avif", cut(noise("AVIF")), ImageReadError, "truncated AVIF"),
    ("cut gif", cut(noise("GIF")), ImageReadError, "truncated GIF"),
    ("gif signature only", b"GIF89a", ImageReadError, "truncated GIF"),
    ("signed tiff", SIGNED, ImageReadError, "has 1 channels of type int; save it as grey, RGB or CMYK"),
    ("seven channels", SEVEN, ImageReadError, "has 7 channels of type uchar; save it as grey, RGB or CMYK"),
    (
        "too many pixels",
        hollow_png(60000, 50000),
        ImageLimitError,
        "is 60000x50000, 3,000,000,000 pixels, and at most 500,000,000 are opened; make it smaller or raise",
    ),
]


@pytest.mark.parametrize(("data", "kind", "words"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_refuses(
    data: bytes,
    kind: type[ImageError],
    words: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "odd file.jpg"
    path.write_bytes(data)
    with pytest.raises(kind) as caught:
        read_picture(path)
    check_message(str(caught.value), str(path), words)
    with pytest.raises(kind) as caught:
        read_picture(data)
    check_message(str(caught.value), "image data", words)
    assert capfd.readouterr() == ("", "")


def check_message(message: str, name: str, words: str) -> None:
    assert words in message
    assert name in message
    assert "\n" not in message
    assert "vips" not in message.replace(name, "")
    assert len(message.replace(name, "")) < 200


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(noise("PNG"))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    missing = tmp_path / "missing.jpg"
    for path, words in (
        (missing, f"{missing} does not exist; check the path"),
        (tmp_path, f"{tmp_path} is a folder; name a picture file in it"),
        (file / "b.png", "not a directory; check the path"),
        (fifo, "is not a regular file; copy it into one"),
        ("a\0b.png", "null"),
    ):
        with pytest.raises(ImageReadError) as caught:
            read_picture(path)
        check_message(str(caught.value), str(path), words)


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = noise("PNG")
    path.write_bytes(data)
    fitting = Limits(max_bytes=len(data), max_pixels=48 * 32, min_side=32)
    assert read_picture(path, limits=fitting).width == 48
    bytes_said = f"has {len(data):,} bytes and at most {len(data) - 1:,} are opened; make it smaller or raise"
    for limits, kind, words in (
        (Limits(max_bytes=len(data) - 1), ImageLimitError, bytes_said),
        (Limits(max_pixels=1535), ImageLimitError, "is 48x32, 1,536 pixels, and at most 1,535 are opened"),
        (Limits(min_side=33), ImageSizeError, "is 48x32; it needs at least 33 pixels on each side"),
    ):
        for source, name in ((path, str(path)), (data, "image data")):
            with pytest.raises(kind) as caught:
                read_picture(source, limits=limits)
            check_message(str(caught.value), name, words)
