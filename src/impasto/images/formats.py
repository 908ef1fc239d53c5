"""Formats of picture files: their suffixes, and their recognition by content.

Among them are kinds of files that libvips does not read, or reads wrongly without an error.
"""

from __future__ import annotations

import re
import struct
from pathlib import PurePath
from typing import TYPE_CHECKING

from impasto.errors import ImageReadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUFFIXES: Mapping[str, str] = {
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "png": "png",
    "tif": "tiff",
    "tiff": "tiff",
    "webp": "webp",
    "avif": "avif",
    "gif": "gif",
    "jpe": "jpeg",
    "jfif": "jpeg",
}
"""File name suffixes of the formats that are written, and these formats."""

NEAREST: Mapping[str, str] = {"bmp": "png", "heic": "jpeg", "jxl": "png"}
"""Formats that are only read, and the formats in which their results are written."""

_READ_ONLY = {"bmp": "bmp", "dib": "bmp", "heic": "heic", "heif": "heic", "hif": "heic", "jxl": "jxl"}
"""File name suffixes of the formats that are only read, and these formats."""

PICTURE_SUFFIXES = frozenset(f".{suffix}" for suffix in (*SUFFIXES, *_READ_ONLY))
"""Suffixes of files that are read, with a leading dot as in `pathlib.Path.suffix`, in lower case."""

_SIGNATURES = {
    "jpeg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG\r\n\x1a\n",
    "tiff": rb"II[*+]\0|MM\0[*+]",
    "webp": rb"RIFF.{4}WEBP",
    "avif": rb".{4}ftyp(?:.{4})*?avi[fs]",
    "heic": rb".{4}ftyp(?:.{4})*?(?:hei[cmsx]|hev[cmsx]|mif1|msf1)",
    "gif": rb"GIF8[79]a",
    "bmp": rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "jxl": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
}
_OTHERS = {
    "a PDF": rb"%PDF",
    "an SVG drawing": rb"\s*(?:<\?xml.*)?<svg",
    "a Photoshop": rb"8BPS",
    "a JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "an OpenEXR": rb"v/1\x01",
    "a Radiance HDR": rb"#\?RA",
    "an icon": rb"\0\0[\x01\x02]\0[^\0]\0",  # a TGA begins almost the same
    "a camera's raw": rb".{4}ftypcrx|FUJIFILM|IIU\0|IIR[OS]|FOVb",
    "a film, not a picture": rb".{4}ftyp|\x1a\x45\xdf\xa3|RIFF.{4}AVI ",
    "a web page, not a picture": rb"\s*<(?:!DOCTYPE|html)",
    "a ZIP archive, not a picture": rb"PK\x03\x04",
}
"""Kinds of files that are not read, with their signatures."""
_SNIFFED_BYTES = 64

_BITS, _COMPRESSION, _PHOTOMETRIC, _TILE_WIDTH, _PLANAR, _SUBFILE = 258, 259, 262, 322, 284, 254
_SUB_DIRECTORIES, _DNG = 330, 50706
_JPEG, _OLD_JPEG = 7, 6
_YCBCR, _LAB, _ICC_LAB, _ITU_LAB, _CFA, _LINEAR_RAW = 6, 8, 9, 10, 32803, 34892
_COMMON_BITS = {1, 2, 4, 8, 16, 32, 64}
_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
"""Integer types of TIFF values, with the format characters of `struct`."""
_MOST_ENTRIES = 1000
_EXTENSION, _TRAILER = 0x21, 0x3B
"""Bytes that introduce an extension and the trailer of a GIF."""
_MONOCHROME = 0x10
HEAD = 1 << 16
"""Number of bytes at the start of an AVIF file that are searched for its header boxes."""


def result_name(name: str) -> str:
    """Return the name for a result of the file ``name``: the same, or with the suffix of the format in `NEAREST`."""
    path = PurePath(name)
    form = _READ_ONLY.get(path.suffix.removeprefix(".").lower())
    return name if form is None else str(path.with_suffix({"jpeg": ".jpg", "png": ".png"}[NEAREST[form]]))


def recognise(name: str, data: bytes) -> str:
    """Return the format of the file ``data``, by its content. ``name`` is for messages.

    Raises:
        ImageReadError: the file is of another format.
    """
    for form, signature in _SIGNATURES.items():
        if re.match(signature, data[:_SNIFFED_BYTES], re.DOTALL):
            return form
    for kind, signature in _OTHERS.items():
        if re.match(signature, data[:_SNIFFED_BYTES], re.DOTALL | re.IGNORECASE):
            noun = kind if "not a" in kind or "drawing" in kind else f"{kind} file"
            raise ImageReadError(f"{name} is {noun}; convert it to JPEG, PNG, TIFF, WebP, AVIF or GIF")
    raise ImageReadError(f"{name} is not a JPEG, PNG, TIFF, WebP, AVIF or GIF file; convert it to one of these")


def odd_kind(form: str, data: bytes) -> str | None:
    """Return the feature of a file that libvips cannot read, or reads wrongly; None if there is no such feature."""
    if form == "avif":
        return "limited range in grey" if _is_monochrome(data) else None
    return _odd_tiff(_first_directory(data)) if form == "tiff" else None


def is_raw(form: str, data: bytes) -> bool:
    """Return True for a camera's raw file, whose first picture is a thumbnail or undemosaiced sensor data."""
    if form != "tiff":
        return False
    tags = _first_directory(data)
    photometric = tags.get(_PHOTOMETRIC, 0)
    reduced = bool(tags.get(_SUBFILE, 0) & 1) and (_SUB_DIRECTORIES in tags or _DNG in tags)
    return photometric in (_CFA, _LINEAR_RAW) or reduced or data[8:10] == b"CR"


def gif_frames(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield left, top, width and height of each frame of a GIF, up to the end of the file."""
    try:
        at = 13 + _colours(data[10])
        while data[at] != _TRAILER:
            if data[at] == _EXTENSION:
                at += 2
            else:
                left, top, width, height, flags = struct.unpack_from("<4HB", data, at + 1)
                yield left, top, width, height
                at += 11 + _colours(flags)
            while data[at]:  # blocks, which end with an empty one
                at += data[at] + 1
            at += 1
    except (IndexError, struct.error):
        return


def _colours(flags: int) -> int:
    """Return the size in bytes of the table of colours that these flags of a GIF announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _odd_tiff(tags: Mapping[int, int]) -> str | None:
    photometric, compression = tags.get(_PHOTOMETRIC, 0), tags.get(_COMPRESSION, 1)
    if compression == _OLD_JPEG:
        return "JPEG data of TIFF 6.0"
    if photometric == _YCBCR and compression != _JPEG:
        return "YCbCr without JPEG"
    if photometric in (_LAB, _ICC_LAB, _ITU_LAB) and tags.get(_BITS, 8) == 8:
        return "CIELab colours of 8 bits"
    if tags.get(_BITS, 1) not in _COMMON_BITS:
        return f"{tags[_BITS]} bits a channel"
    if tags.get(_PLANAR, 1) == 2 and _TILE_WIDTH in tags:
        return "tiles of one channel each"
    return None


def _first_directory(data: bytes) -> dict[int, int]:
    """Return the tags of a TIFF's first directory, each with its first value; {} if the directory is broken."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    head, entry, size = ("Q", "HHQ8s", 8) if big else ("I", "HHI4s", 4)
    tags: dict[int, int] = {}
    try:
        (start,) = struct.unpack_from(order + head, data, 8 if big else 4)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
        first, step = start + (8 if big else 2), struct.calcsize(order + entry)
        for index in range(min(count, _MOST_ENTRIES)):
            tag, kind, number, inside = struct.unpack_from(order + entry, data, first + index * step)
            if kind not in _TYPES or not number:
                continue
            form = order + _TYPES[kind]
            if struct.calcsize(form) * number > size:
                (place,) = struct.unpack(order + head, inside)
                (tags[tag],) = struct.unpack_from(form, data, place)
            else:
                (tags[tag],) = struct.unpack_from(form, inside)
    except (struct.error, OverflowError):
        return {}
    return tags


def _is_monochrome(data: bytes) -> bool:
    """Return True if all images in an AVIF are grey. A grey image beside one in colour is the alpha of that image."""
    head = data[:HEAD]
    flags = [found.group(1)[0] for found in re.finditer(rb"av1C..(.)", head, re.DOTALL)]
    return bool(flags) and all(each & _MONOCHROME for each in flags)
