"""Files that are no pictures, pictures that are broken, and pictures made to break whoever reads them."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from itertools import pairwise

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401 - registers the format
import pyvips
from PIL import Image

pillow_heif.register_heif_opener()

CUTS, FLIPS = 48, 24


def saved(form: str, **options: object) -> bytes:
    """Return a file of 96x64 pixels of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    return pil(Image.fromarray(pixels), form, **options)


def pil(image: Image.Image, form: str, **options: object) -> bytes:
    """Return ``image`` as a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def tiff(levels: np.ndarray, **options: object) -> bytes:
    """Return ``levels`` (H, W, C) as a TIFF file."""
    return pyvips.Image.new_from_array(levels).tiffsave_buffer(**options)


WHOLE = {
    "png": saved("PNG"),
    "jpeg": saved("JPEG"),
    "progressive jpeg": saved("JPEG", progressive=True),
    "webp": saved("WEBP"),
    "lossless webp": saved("WEBP", lossless=True),
    "gif": saved("GIF"),
    "tiff": saved("TIFF"),
    "lzw tiff": saved("TIFF", compression="tiff_lzw"),
    "deflated tiff": saved("TIFF", compression="tiff_adobe_deflate"),
    "tiled tiff": tiff(np.full((32, 48, 3), 90, np.uint8), tile=True, compression="lzw"),
    "bmp": saved("BMP"),
    "avif": saved("AVIF"),
    "heic": saved("HEIF"),
    "jxl": saved("JXL"),
}
"""A good file of every kind."""


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *between: bytes, pixels: bytes = b"") -> bytes:
    """Return a PNG file that says this size, with the chunks ``between`` and these ``pixels``."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(between) + data + chunk(b"IEND", b"")


def jpeg_of_size(width: int, height: int) -> bytes:
    """Return a JPEG file that lies about its size."""
    data = WHOLE["jpeg"]
    frame = data.index(b"\xff\xc0")
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


def tiff_with(values: dict[int, int]) -> bytes:
    """Return a TIFF file with other ``values`` of some tags."""
    data = bytearray(WHOLE["tiff"])
    start = struct.unpack_from("<I", data, 4)[0]
    for entry in range(struct.unpack_from("<H", data, start)[0]):
        at = start + 2 + 12 * entry
        if (value := values.get(struct.unpack_from("<H", data, at)[0])) is not None:
            struct.pack_into("<HII", data, at + 2, 4, 1, value)
    return bytes(data)


def gif_of_size(width: int, height: int) -> bytes:
    """Return a GIF file that lies about its size."""
    return WHOLE["gif"][:6] + struct.pack("<HH", width, height) + WHOLE["gif"][10:]


def gif_of_an_empty_frame() -> bytes:
    """Return a GIF file whose first frame has no columns."""
    data = WHOLE["gif"]
    descriptor = data.index(b",\0\0\0\0")
    return data[: descriptor + 5] + bytes(2) + data[descriptor + 7 :]


def webp_of_size(width: int, height: int) -> bytes:
    """Return the beginning of a lossless WebP file."""
    pixels = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(4095)
    body = b"WEBPVP8L" + struct.pack("<I", len(pixels)) + pixels
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jxl_of_size(side: int) -> bytes:
    """Return the beginning of a square JPEG XL file."""
    header = (2 << 1) | ((side - 1) << 3) | (1 << 21)  # the height, and a ratio of one
    return b"\xff\x0a" + header.to_bytes(3, "little") + bytes(99)


def archive() -> bytes:
    """Return a ZIP file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("a.txt", "a")
    return file.getvalue()


def flipped(data: bytes, at: int) -> bytes:
    """Return ``data`` with one byte inverted."""
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


NO_PICTURE = "is not a JPEG, PNG, TIFF, WebP, AVIF or GIF file; convert it to one of these"
CONVERT = "; convert it to JPEG, PNG, TIFF, WebP, AVIF or GIF"
TOO_LARGE = "pixels, and at most 500,000,000 are opened; make it smaller"
BAD = {
    "empty": (b"", "is empty (0 bytes); save or download it again"),
    "text": (b"Dear diary, today I painted.", NO_PICTURE),
    "html": (b"<!DOCTYPE html><script>alert(1)</script>", "is a web page, not a picture" + CONVERT),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>', "is an SVG drawing" + CONVERT),
    "svg of laughs": (
        b'<!DOCTYPE s [<!ENTITY a "haha"><!ENTITY b "&a;&a;">]><svg width="64" height="64">&b;</svg>',
        CONVERT,
    ),
    "pdf": (b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n%%EOF", "is a PDF file" + CONVERT),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n", NO_PICTURE),
    "program": (b"\x7fELF" + bytes(200), NO_PICTURE),
    "archive": (archive(), "is a ZIP archive, not a picture" + CONVERT),
    "film": (b"\x00\x00\x00\x18ftypmp42" + bytes(100), "is a film, not a picture" + CONVERT),
    "raw of a camera": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "is a camera's raw file" + CONVERT),
    "sound": (b"RIFF\x24\0\0\0WAVEfmt ", NO_PICTURE),
    "ico": (saved("ICO"), "is an icon file" + CONVERT),
    "ppm": (saved("PPM"), NO_PICTURE),
    "tga": (saved("TGA"), NO_PICTURE),
    "openexr": (b"\x76\x2f\x31\x01" + bytes(200), "is an OpenEXR file" + CONVERT),
    "photoshop": (b"8BPS\x00\x01" + bytes(200), "is a Photoshop file" + CONVERT),
    "matlab": (b"MATLAB 5.0 MAT-file" + bytes(200), NO_PICTURE),
    "raw numbers": (b"64 64 0.5 0.5", NO_PICTURE),
    "jpeg cut": (WHOLE["jpeg"][:3000], "truncated JPEG file (premature end of JPEG image); save"),
    "jpeg start only": (b"\xff\xd8\xff\xe0", "truncated JPEG"),
    "jpeg of 0x0": (jpeg_of_size(0, 0), "truncated JPEG"),
    "jpeg of 0x64": (jpeg_of_size(0, 64), "truncated JPEG"),
    "jpeg of 64x0": (jpeg_of_size(64, 0), "truncated JPEG"),
    "large jpeg without pixels": (jpeg_of_size(65_500, 65_500), TOO_LARGE),
    "png signature only": (b"\x89PNG\r\n\x1a\n", "truncated PNG"),
    "png with a damaged header": (flipped(WHOLE["png"], 18), "truncated PNG"),
    "png with damaged pixels": (flipped(WHOLE["png"], 3000), "truncated PNG"),
    "png of 0x0": (png(0, 0), "truncated PNG"),
    "png of 0x64": (png(0, 64), "truncated PNG"),
    "png of 64x0": (png(64, 0), "truncated PNG"),
    "png without pixels": (png(64, 64), "truncated PNG"),
    "png of 2^31 pixels a side": (png(2**31 - 1, 2**31 - 1), "truncated PNG"),
    "png of 2^32 pixels a side": (png(2**32 - 1, 2**32 - 1), "truncated PNG"),
    "png of too many pixels": (png(60_000, 50_000), f"is 60000x50000, 3,000,000,000 {TOO_LARGE}"),
    "tiff signature only": (b"II*\0", "truncated TIFF"),
    "tiff with a directory nowhere": (b"II*\0\xff\xff\xff\x7f", "truncated TIFF"),
    "gif of an empty frame": (gif_of_an_empty_frame(), "truncated GIF"),
    "tiff of 0x0": (tiff_with({256: 0}), "truncated TIFF"),
    "tiff of 64x0": (tiff_with({257: 0}), "truncated TIFF"),
    "tiff of many rows": (tiff_with({257: 1 << 30}), "TIFF"),
    "tiff of many columns": (tiff_with({256: 1 << 30}), "TIFF"),
    "tiff of a billion samples": (tiff_with({277: 1 << 30}), "TIFF"),
    "tiff of a billion samples of three bits": (tiff_with({258: 3, 277: 1 << 30}), "TIFF"),
    "tiff with signs": (
        pil(Image.fromarray(np.zeros((40, 50), np.int32)), "TIFF"),
        "has 1 channels of type int; save it as grey, RGB or CMYK",
    ),
    "tiff of seven channels": (
        tiff(np.zeros((40, 50, 7), np.uint8)),
        "has 7 channels of type uchar; save it as grey, RGB or CMYK",
    ),
    "gif signature only": (b"GIF89a", "truncated GIF"),
    "bmp cut": (WHOLE["bmp"][:9000], "truncated BMP file (image file is truncated"),
    "bmp header only": (WHOLE["bmp"][:54], "truncated BMP file"),
    "heic signature only": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "truncated HEIC file"),
    "jxl signature only": (b"\xff\x0a", "truncated JXL file"),
    "jxl of too many pixels": (jxl_of_size(1 << 16), f"is 65536x65536, 4,294,967,296 {TOO_LARGE}"),
}
"""Files that nobody can paint, and what is said about each."""


def damaged() -> dict[str, bytes]:
    """Return files that are cut, without their beginning, put together from two, or noise; nobody can paint them."""
    found = {}
    for name, data in WHOLE.items():
        for number in range(1, CUTS):
            found[f"{name}, cut at {number}/{CUTS}"] = data[: len(data) * number // CUTS]
        for length in (8,) if name in ("avif", "heic") else (2, 4, 8):  # these begin with a size that nobody needs
            found[f"{name} without its first {length} bytes"] = bytes(length) + data[length:]
    for (one, head), (another, tail) in pairwise(WHOLE.items()):
        if one.split()[-1] != another.split()[-1]:
            found[f"head of {one}, body of {another}"] = head[:12] + tail[12:]
    randoms = random.Random(0)
    return found | {f"noise {number}": randoms.randbytes(1 + 50 * number) for number in range(30)}


def odd() -> dict[str, bytes]:
    """Return files that hold more than a picture, or lie; they may be painted or refused."""
    plain = bytes((1 + 3 * 64) * 64)
    text = b"a\0\0" + zlib.compress(bytes(100 << 20))
    frames = [Image.new("RGB", (96, 64), (number, 0, 0)) for number in range(200)]
    return {
        "gif that lies about its size": gif_of_size(65_535, 65_535),
        "a bomb of text": png(64, 64, chunk(b"zTXt", text), pixels=plain),
        "a bomb of a profile": png(64, 64, chunk(b"iCCP", text), pixels=plain),
        "a profile that is none": png(64, 64, chunk(b"iCCP", b"a\0\0" + zlib.compress(b"none")), pixels=plain),
        "jpeg with a profile that is none": saved("JPEG", icc_profile=b"none" * 100),
        "jpeg with a large profile": saved("JPEG", icc_profile=bytes(1 << 20)),
        "jpeg with a strange exif": saved("JPEG", exif=b"Exif\0\0MM\0\x2a" + bytes(200)),
        "jpeg and archive": WHOLE["jpeg"] + archive(),
        "gif and script": WHOLE["gif"] + b"<script>alert(1)</script>",
        "png and page": WHOLE["png"] + b"<!DOCTYPE html><script>alert(1)</script>",
        "gif of many frames": saved("GIF", append_images=frames, save_all=True),
        "tiff of many pages": saved("TIFF", append_images=frames[:50], save_all=True),
    }


def with_flipped_bits() -> dict[str, bytes]:
    """Return good files with a few bits flipped; they may be painted or refused."""
    found, randoms = {}, random.Random(1)
    for name, data in WHOLE.items():
        for number in range(FLIPS):
            changed = bytearray(data)
            for _ in range(1 + number // 4):
                changed[randoms.randrange(len(changed))] ^= 1 << randoms.randrange(8)
            found[f"{name}, damaged {number}"] = bytes(changed)
    return found
