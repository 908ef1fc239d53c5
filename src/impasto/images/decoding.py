"""Reading of picture files through libvips, and through Pillow where libvips cannot.

The format is recognised by the content of the file, not by its name. EXIF orientation is applied. Pixels with an
embedded ICC profile, in Adobe RGB by their EXIF data, or with a high dynamic range are converted to sRGB. Colours
outside sRGB are kept separately, so that the result can be written in the RGB space of the file. Results of grey and
CMYK files are sRGB. Only the first page of animations and multi-page files is read. Float TIFF without a profile is
read as sRGB with its transfer curve. Other EXIF and XMP data, such as places, cameras and names, are dropped for
privacy. Only impasto's own metadata are read.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import textwrap
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np

from impasto.errors import ImageReadError, OutOfMemoryError
from impasto.images import code_points, pillow, profiles, xmp
from impasto.images.formats import NEAREST, gif_frames, is_raw, odd_kind, recognise
from impasto.images.lazy import LazyPicture
from impasto.images.libvips import pyvips
from impasto.images.limits import Limits
from impasto.types import PathOrFile, Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from impasto.images.code_points import CodePoints

FileSource: TypeAlias = "PathOrFile | bytes | bytearray | memoryview"
"""A picture file: its path, its bytes, or an object that is open for reading them."""

LARGE_PICTURE = 1 << 25
"""Number of pixels above which a decoded picture is kept in a temporary file."""
_LARGEST_SIDECAR = 1 << 20


def open_picture(
    source: FileSource,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    short_side: int | None = None,
) -> LazyPicture:
    """Open a JPEG, PNG, TIFF, WebP, AVIF, GIF or BMP file, or a HEIC or JPEG XL file if its extra is installed.

    An open file is read from its current position, and set back to it if possible.

    With ``short_side``, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, if its short side keeps that many pixels.
    This is much faster.

    Raises:
        ImageReadError: the file is missing, empty, broken, truncated, or of another format.
        ImageLimitError: the file has more bytes or pixels, or takes longer to decode, than ``limits`` allow.
        ImageSizeError: a side is shorter than ``limits`` allow.
        OutOfMemoryError: the memory does not suffice.
    """
    name, data = _load(source, limits)
    form = recognise(name, data)
    if is_raw(form, data):
        raise ImageReadError(f"{name} is a camera's raw file; develop it and save it as TIFF or JPEG")
    odd = odd_kind(form, data)

    def check_size(width: int, height: int) -> None:
        limits.check_size(name, width, height)
        limits.check_claim(name, form, width, height, len(data))

    def opened() -> LazyPicture:
        points = code_points.stated(data)
        if form not in NEAREST and odd is None:
            return _opened(name, form, data, check_size, short_side, points)
        transcoded = pillow.transcoded(name, form, data, check_size, odd)
        plain = _opened(name, "tiff", transcoded, check_size, points=points)
        nearest = NEAREST.get(form, form)
        if nearest == "jpeg" and plain.alpha is not None:
            nearest = "png"
        return replace(plain, outline=replace(plain.outline, format=nearest))

    return limits.in_time(name, opened)


def _opened(
    name: str,
    form: str,
    data: bytes,
    check_size: Callable[[int, int], None],
    short_side: int | None = None,
    points: CodePoints | None = None,
) -> LazyPicture:
    """Decode a file in one of the formats of `_LOADERS`, with colours of these code points."""
    try:
        header = getattr(pyvips.Image, _LOADERS[form])(data, access="sequential", fail_on="error")
        check_size(header.width, header.height)
        if short_side is not None and form == "jpeg":
            short = max(short_side, min(header.width, header.height))
            shrink = max(factor for factor in (1, 2, 4, 8) if factor * short_side <= short)
            header = pyvips.Image.jpegload_buffer(data, access="sequential", fail_on="error", shrink=shrink)
        image = _decoded(header)
        if form == "gif":
            image = _on_its_canvas(image, data)
        if points:
            image = code_points.to_srgb(image, points, _white(image))
        return _lazy(name, form, image.autorot())
    except (pyvips.Error, UnicodeDecodeError) as error:  # messages of libvips may contain bytes of the file
        if "out of memory" in str(error):
            raise OutOfMemoryError(f"the memory does not suffice to read {name}; close other programs") from error
        raise ImageReadError(
            f"{name} is a broken or truncated {form.upper()} file ({cause(error)}); save or download it again"
        ) from error


def read_picture(source: FileSource, *, limits: Limits = Limits()) -> Picture:  # noqa: B008 - frozen
    """Read a whole picture: see `open_picture`."""
    return open_picture(source, limits=limits).read(exact=True)


def is_file_source(source: object) -> TypeGuard[FileSource]:
    """Say if ``source`` is a `FileSource`."""
    return isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(source, "read")


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


def _on_its_canvas(image: Any, data: bytes) -> Any:
    """Make the area that the first frame of a GIF does not cover transparent; libvips makes it black."""
    frame = next(gif_frames(data), None)
    if frame is None or frame == (0, 0, image.width, image.height):
        return image
    left, top, width, height = frame
    if not (width and height):
        raise pyvips.Error("its first frame is empty")
    covered = (pyvips.Image.black(width, height) + 255).cast("uchar")
    covered = covered.embed(left, top, image.width, image.height)
    colours = profiles.colour_bands(image)
    alpha = covered & image[colours] if image.bands > colours else covered
    return image.extract_band(0, n=colours).bandjoin(alpha)


def _lazy(name: str, form: str, image: Any) -> LazyPicture:
    """Wrap a decoded, upright libvips image."""
    colours = profiles.colour_bands(image)
    if image.format not in _WHITE or image.bands > colours + (1 if image.hasalpha() else 0):
        raise ImageReadError(
            f"{name} has {image.bands} channels of type {image.format}; "
            "save it as grey, RGB or CMYK of 8 or 16 bits or float"
        )
    rgb, unclipped, icc = profiles.to_srgb(image.extract_band(0, n=colours))
    alpha = image[colours] if image.bands > colours else None
    outline = Picture(
        pixels=np.zeros((1, 1, 3), np.float32),
        alpha=None if alpha is None else np.zeros((1, 1), np.float32),
        bit_depth=_DEPTHS[image.format],
        icc=icc,
        format=form,
        metadata=xmp.unpack(xmp.packet_of(image)),
    )
    return LazyPicture(rgb, alpha, outline, _white(rgb), 1.0 if alpha is None else _white(alpha), unclipped)


# Only these six decoders of libvips are used; libvips itself would also try SVG, PDF and ImageMagick.
_LOADERS = {
    "jpeg": "jpegload_buffer",
    "png": "pngload_buffer",
    "tiff": "tiffload_buffer",
    "webp": "webpload_buffer",
    "avif": "heifload_buffer",
    "gif": "gifload_buffer",
}
_WHITE = {"uchar": 255.0, "ushort": 65535.0, "uint": 2.0**32 - 1, "float": 1.0, "double": 1.0}
_BYTES = {"uchar": 1, "ushort": 2, "uint": 4, "float": 4, "double": 8}
_DEPTHS = {"uchar": 8, "ushort": 16, "uint": 32, "float": 32, "double": 32}


def _load(source: FileSource, limits: Limits) -> tuple[str, bytes]:
    """Return a name for messages, and the bytes. libvips gets no paths, because it caches files by name."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        name, data = "image data", bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        name, data = os.fspath(source), _load_path(Path(source), limits)
    else:
        name, data = _load_open(source, limits)
    limits.check_bytes(name, len(data))
    if not data:
        raise ImageReadError(f"{name} is empty (0 bytes); save or download it again")
    return name, data


def check_file(path: Path, limits: Limits) -> None:
    """Refuse a path at which there is no file within ``limits``, without reading it.

    Raises:
        ImageReadError: the file is missing or cannot be read, or is a folder.
        ImageLimitError: the file has more bytes than ``limits`` allow.
    """
    with _explained(path):
        if path.is_dir():
            raise ImageReadError(f"{path} is a folder; name a picture file in it")
        limits.check_bytes(str(path), path.stat().st_size)
        if not path.is_file():
            raise ImageReadError(f"{path} is not a regular file; copy it into one")


def _load_path(path: Path, limits: Limits) -> bytes:
    check_file(path, limits)
    with _explained(path):
        return path.read_bytes()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Explain why the system cannot read ``path``."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageReadError(f"{path} does not exist; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise ImageReadError(f"cannot read {path}: {reason}; check the path and its permissions") from error


def _load_open(file: IO[bytes], limits: Limits) -> tuple[str, bytes]:
    name = str(getattr(file, "name", "image data"))
    try:
        began = file.tell() if file.seekable() else None
        data = file.read(limits.max_bytes + 1)
        if began is not None:
            file.seek(began)
    except (OSError, ValueError, AttributeError, TypeError) as error:  # ValueError: the file is closed
        raise ImageReadError(f"cannot read {name}: {error}; give an open binary file") from error
    if not isinstance(data, bytes):
        raise ImageReadError(f"{name} gives {type(data).__name__} and not bytes; open it in binary mode, 'rb'")
    if not data and began:
        raise ImageReadError(f"{name} has no bytes after byte {began:,}, where it stands; call seek(0) first")
    return name, data


def _white(image: Any) -> float:
    heif = profiles.has(image, "heif-compression") and not profiles.has(image, profiles.ICC_FIELD)
    if image.format == "ushort" and heif:
        bits = image.get("bits-per-sample")  # libvips shifts the 10 or 12 bits of AVIF up, so white is below 65535
        return float(((1 << bits) - 1) << (16 - bits))
    return _WHITE[image.format]


def cause(error: Exception) -> str:
    """Return the first useful line of an error message of libvips, without function names."""
    lines = str(getattr(error, "detail", error)).splitlines()
    useful = [line for line in lines if line.strip() and not line.startswith("source: ")]
    cause = useful[0].split(": ", 1)[-1] if useful else "its data do not decode"
    return textwrap.shorten(cause, 80, placeholder="...")
