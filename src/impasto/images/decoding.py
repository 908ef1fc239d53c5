"""Reading of picture files through libvips.

The format is recognised by the content of the file, not by its name. EXIF orientation is applied. Pixels with an
embedded ICC profile are converted to sRGB, which clips colours outside the sRGB gamut. RGB profiles are kept and
restored on writing. Grey and CMYK profiles cannot be restored, so the output is sRGB. Only the first page of animations
and multi-page files is read. Float TIFF without a profile is read as sRGB with its transfer curve, and clipped to
[0, 1]. Other EXIF and XMP data, such as places, cameras and names, are dropped for privacy. Only impasto's own metadata
are read.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from impasto.errors import ImageReadError, OutOfMemoryError
from impasto.images import profiles, xmp
from impasto.images.lazy import LazyPicture
from impasto.images.limits import Limits
from impasto.types import Picture

LARGE_PICTURE = 1 << 25
"""Number of pixels above which a decoded picture is kept in a temporary file."""
_LARGEST_SIDECAR = 1 << 20


def open_picture(
    source: str | Path | bytes,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    short_side: int | None = None,
) -> LazyPicture:
    """Open a JPEG, PNG, TIFF, WebP, AVIF or GIF file, given as a path or as bytes.

    With ``short_side``, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, if its short side keeps that many pixels.
    This is much faster.

    Raises:
        ImageReadError: the file is missing, empty, broken, truncated, or of another format.
        ImageLimitError: the file has more bytes or pixels than ``limits`` allow.
        ImageSizeError: a side is shorter than ``limits`` allow.
        OutOfMemoryError: the memory does not suffice.
    """
    name, data = _load(source, limits)
    form = _recognise(name, data)
    try:
        header = getattr(pyvips.Image, _LOADERS[form])(data, access="sequential", fail_on="error")
        limits.check_size(name, header.width, header.height)
        if short_side is not None and form == "jpeg":
            short = max(short_side, min(header.width, header.height))
            shrink = max(factor for factor in (1, 2, 4, 8) if factor * short_side <= short)
            header = pyvips.Image.jpegload_buffer(data, access="sequential", fail_on="error", shrink=shrink)
        return _lazy(name, form, _decoded(header).autorot())
    except (pyvips.Error, UnicodeDecodeError) as error:  # messages of libvips may quote bytes of a broken file
        if "out of memory" in str(error):
            raise OutOfMemoryError(f"the memory does not suffice to read {name}; close other programs") from error
        raise ImageReadError(
            f"{name} is a broken or truncated {form.upper()} file ({cause(error)}); save or download it again"
        ) from error


def read_picture(source: str | Path | bytes, *, limits: Limits = Limits()) -> Picture:  # noqa: B008 - frozen
    """Read a whole picture: see `open_picture`."""
    return open_picture(source, limits=limits).read()


def made_by(path: Path) -> dict[str, str]:
    """Return impasto's metadata from a picture file or from its sidecar; {} if there are none.

    Raises:
        ImageReadError: the file is not a picture.
    """
    found = open_picture(path).outline.metadata
    beside = xmp.sidecar(path)
    if not found and beside.is_file() and beside.stat().st_size <= _LARGEST_SIDECAR:
        found = xmp.unpack(beside.read_bytes())
    return dict(found)


def _decoded(header: Any) -> Any:
    if header.width * header.height <= LARGE_PICTURE:
        return header.copy_memory()
    decoded = pyvips.Image.new_temp_file("%s.v")  # libvips deletes the file together with the image
    needed, folder = header.width * header.height * header.bands * _BYTES[header.format], tempfile.gettempdir()
    if shutil.disk_usage(folder).free < needed:
        raise ImageReadError(f"{header.width}x{header.height} pixels need {needed >> 20} MiB in {folder}; free space")
    header.write(decoded)
    return decoded


def _lazy(name: str, form: str, image: Any) -> LazyPicture:
    """Wrap a decoded, upright libvips image."""
    colours = profiles.colour_bands(image)
    if image.format not in _WHITE or image.bands > colours + (1 if image.hasalpha() else 0):
        raise ImageReadError(
            f"{name} has {image.bands} channels of type {image.format}; "
            "save it as grey, RGB or CMYK of 8 or 16 bits or float"
        )
    rgb, icc = profiles.to_srgb(image.extract_band(0, n=colours))
    alpha = image[colours] if image.bands > colours else None
    outline = Picture(
        pixels=np.zeros((1, 1, 3), np.float32),
        alpha=None if alpha is None else np.zeros((1, 1), np.float32),
        bit_depth=_DEPTHS[image.format],
        icc=icc,
        format=form,
        metadata=xmp.unpack(xmp.packet_of(image)),
    )
    return LazyPicture(rgb, alpha, outline, _white(rgb), 1.0 if alpha is None else _white(alpha))


# Only these six decoders are used; libvips itself would also try SVG, PDF and ImageMagick.
_LOADERS = {
    "jpeg": "jpegload_buffer",
    "png": "pngload_buffer",
    "tiff": "tiffload_buffer",
    "webp": "webpload_buffer",
    "avif": "heifload_buffer",
    "gif": "gifload_buffer",
}
_SIGNATURES = {
    "jpeg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG\r\n\x1a\n",
    "tiff": rb"II[*+]\0|MM\0[*+]",
    "webp": rb"RIFF.{4}WEBP",
    "avif": rb".{4}ftyp(?:.{4})*?avi[fs]",
    "gif": rb"GIF8[79]a",
}
_SNIFFED_BYTES = 64
_WHITE = {"uchar": 255.0, "ushort": 65535.0, "uint": 2.0**32 - 1, "float": 1.0, "double": 1.0}
_BYTES = {"uchar": 1, "ushort": 2, "uint": 4, "float": 4, "double": 8}
_DEPTHS = {"uchar": 8, "ushort": 16, "uint": 32, "float": 32, "double": 32}


def _load(source: str | Path | bytes, limits: Limits) -> tuple[str, bytes]:
    """Return a name for messages and the bytes. libvips does not open paths, because it caches files by name."""
    if isinstance(source, bytes):
        name, data = "image data", source
        limits.check_bytes(name, len(data))
    else:
        path = Path(source)
        name = str(path)
        try:
            if path.is_dir():
                raise ImageReadError(f"{name} is a folder; name a picture file in it")
            limits.check_bytes(name, path.stat().st_size)
            if not path.is_file():
                raise ImageReadError(f"{name} is not a regular file; copy it into one")
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise ImageReadError(f"{name} does not exist; check the path") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise ImageReadError(f"cannot read {name}: {reason}; check the path and its permissions") from error
    if not data:
        raise ImageReadError(f"{name} is empty (0 bytes); save or download it again")
    return name, data


def _recognise(name: str, data: bytes) -> str:
    for form, signature in _SIGNATURES.items():
        if re.match(signature, data[:_SNIFFED_BYTES], re.DOTALL):
            return form
    raise ImageReadError(f"{name} is not a JPEG, PNG, TIFF, WebP, AVIF or GIF file; convert it to one of these")


def _white(image: Any) -> float:
    fields = image.get_fields()
    if image.format == "ushort" and "heif-compression" in fields and profiles.ICC_FIELD not in fields:
        bits = image.get("bits-per-sample")  # libvips shifts the 10 or 12 bits of AVIF up, so white is below 65535
        return float(((1 << bits) - 1) << (16 - bits))
    return _WHITE[image.format]


def cause(error: Exception) -> str:
    """Return the first useful line of an error message of libvips, without function names."""
    lines = str(getattr(error, "detail", error)).splitlines()
    useful = [line for line in lines if line.strip() and not line.startswith("source: ")]
    cause = useful[0].split(": ", 1)[-1] if useful else "its data do not decode"
    return textwrap.shorten(cause, 80, placeholder="...")
