"""Formats of picture files: their suffixes, and their recognition by content."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from impasto.errors import ImageReadError

if TYPE_CHECKING:
    from collections.abc import Mapping

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
