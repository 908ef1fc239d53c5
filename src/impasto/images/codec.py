"""Picture files in and out, through libvips.

Reading, and what is lost: the content decides the format, never the file name. EXIF orientation is
applied. An embedded ICC profile is converted to sRGB, which clips colours outside of its gamut; RGB
profiles are kept and restored on writing, grey and CMYK ones cannot be (the output is sRGB). Of
animations and multi-page files, the first page is read. Float TIFF is taken as sRGB with its transfer
curve, unless a profile says otherwise, and clipped to [0, 1]. Other EXIF and XMP data (places, cameras,
names) are dropped for privacy: only impasto's own metadata are read and written.

Writing: a format that cannot hold the bit depth gets the nearest it can (JPEG, WebP and GIF 8 bits, PNG
16, AVIF 12); alpha is laid over white for JPEG, and cut to on or off by GIF. Float TIFF carries an sRGB
profile, since programs disagree about what bare floats mean.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyvips

from impasto.errors import ImageReadError, ImageWriteError, UsageError
from impasto.images import profiles, xmp
from impasto.images.atomic import check_folder, write_whole
from impasto.images.limits import Limits
from impasto.types import FloatArray, Picture

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
}
"""File name suffixes that can be written, and their format."""

PICTURE_SUFFIXES = frozenset(f".{suffix}" for suffix in SUFFIXES)
"""As `pathlib.Path.suffix` has them, in small letters."""


def read_picture(source: str | Path | bytes, *, limits: Limits = Limits()) -> Picture:  # noqa: B008 - frozen
    """Read a JPEG, PNG, TIFF, WebP, AVIF or GIF file, given as path or as its bytes.

    Raises:
        ImageReadError: missing, empty, broken, truncated, or none of these formats.
        ImageLimitError: more bytes or pixels than ``limits`` allow.
        ImageSizeError: a side shorter than ``limits`` allow.
    """
    name, data = _load(source, limits)
    form = _recognise(name, data)
    try:
        header = getattr(pyvips.Image, _LOADERS[form])(data, access="sequential", fail_on="error")
        limits.check_size(name, header.width, header.height)
        image = header.copy_memory().autorot()
        return _decode(name, form, image)
    except (pyvips.Error, UnicodeDecodeError) as error:  # the latter: libvips quotes bytes of a broken file
        raise ImageReadError(
            f"{name} is a broken or truncated {form.upper()} file ({_cause(error)}); save or download it again"
        ) from error


def encode_picture(picture: Picture, format: str, *, keep_profile: bool = True, quality: int | None = None) -> bytes:
    """Return the bytes of a file in ``format`` (a suffix or name of a format, such as 'png').

    ``keep_profile`` converts back into the ICC profile of the original file and embeds it; otherwise the file
    is sRGB. ``quality`` is 1 to 100, for JPEG (95 if None), WebP (90) and AVIF (80). JPEG leaves out metadata
    beyond 50 kB and GIF all of it.

    Raises:
        ImageWriteError: an unknown format, or a picture larger than the format can hold.
        UsageError: a quality out of range or for a lossless format.
    """
    form = _known_format(format, format)
    saver = _SAVERS[form]
    options = dict(saver.options)
    if quality is not None and (saver.quality is None or not 1 <= quality <= 100):
        raise UsageError(f"quality {quality} for {form}: give 1 to 100, and only for JPEG, WebP or AVIF")
    if saver.quality is not None:
        options["Q"] = quality or saver.quality
    if max(picture.width, picture.height) > saver.longest_side:
        raise ImageWriteError(
            f"picture is {picture.width}x{picture.height}; {form} holds at most "
            f"{saver.longest_side} pixels a side; choose png or tiff, or a smaller size"
        )
    depth = max(d for d in saver.depths if d <= max(picture.bit_depth, 8))
    if form == "tiff":
        options["predictor"] = "float" if depth == 32 else "horizontal"
        options["bigtiff"] = picture.pixels.nbytes > 1 << 31
    image = _encodable(picture, depth, alpha=saver.alpha, keep_profile=keep_profile)
    if picture.metadata:
        image.set_type(pyvips.GValue.blob_type, xmp.XMP_FIELD, xmp.pack(picture.metadata))
    try:
        data: bytes = getattr(image, saver.function)(keep="xmp,icc", **options)
    except pyvips.Error as error:
        raise ImageWriteError(f"libvips cannot encode {form}: {_cause(error)}; choose png") from error
    return data


def write_picture(picture: Picture, path: str | Path, *, keep_profile: bool = True, quality: int | None = None) -> None:
    """Write a file whole or not at all; the suffix chooses the format. Options as in `encode_picture`.

    Raises:
        ImageWriteError: unknown suffix, missing folder, a full or read-only disk, or a picture too large.
        UsageError: a quality out of range or for a lossless format.
    """
    form = output_format(path)
    write_whole(Path(path), encode_picture(picture, form, keep_profile=keep_profile, quality=quality))


def output_format(path: str | Path) -> str:
    """Return the format that ``path`` will be written in; call it before long work, to fail early.

    Raises:
        ImageWriteError: the suffix is unknown, or the folder does not exist.
    """
    path = Path(path)
    form = _known_format(path.suffix.removeprefix("."), str(path))
    check_folder(path)
    return form


def _known_format(suffix: str, name: str) -> str:
    if suffix.lower() not in SUFFIXES:
        kind = f"{suffix!r} is no format" if suffix else "no suffix"
        raise ImageWriteError(f"cannot write {name}: {kind} that impasto writes; use one of {', '.join(SUFFIXES)}")
    return SUFFIXES[suffix.lower()]


# --- reading ------------------------------------------------------------------------------------------------

# Only these six decoders ever see a byte of the input; libvips would also try SVG, PDF and ImageMagick.
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
_DEPTHS = {"uchar": 8, "ushort": 16, "uint": 32, "float": 32, "double": 32}


def _load(source: str | Path | bytes, limits: Limits) -> tuple[str, bytes]:
    """Return a name for messages and the bytes. We never let libvips open paths: it caches by file name."""
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


def _decode(name: str, form: str, image: Any) -> Picture:
    """Turn a decoded, upright libvips image into a Picture."""
    colours = profiles.colour_bands(image)
    if image.format not in _WHITE or image.bands > colours + (1 if image.hasalpha() else 0):
        raise ImageReadError(
            f"{name} has {image.bands} channels of type {image.format}; "
            "save it as grey, RGB or CMYK of 8 or 16 bits or float"
        )
    rgb, icc = profiles.to_srgb(image.extract_band(0, n=colours))
    pixels = _unit_range(rgb)
    alpha = _unit_range(image[colours])[:, :, 0] if image.bands > colours else None
    return Picture(
        pixels=np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels,
        alpha=alpha,
        bit_depth=_DEPTHS[image.format],
        icc=icc,
        format=form,
        metadata=xmp.unpack(image),
    )


def _unit_range(image: Any) -> FloatArray:
    """Return float32 (H, W, bands) in [0, 1]."""
    array: FloatArray = image.numpy().astype(np.float32).reshape(image.height, image.width, image.bands)
    if image.format in ("float", "double"):
        np.nan_to_num(array, copy=False)
    array /= _white(image)
    return np.clip(array, 0, 1, out=array)


def _white(image: Any) -> float:
    fields = image.get_fields()
    if image.format == "ushort" and "heif-compression" in fields and profiles.ICC_FIELD not in fields:
        bits = image.get("bits-per-sample")  # AVIF has 10 or 12 bits, which libvips shifts up, so white misses 65535
        return float(((1 << bits) - 1) << (16 - bits))
    return _WHITE[image.format]


def _cause(error: Exception) -> str:
    """Return the first useful line of what libvips says, without the names of its functions."""
    lines = str(getattr(error, "detail", error)).splitlines()
    useful = [line for line in lines if line.strip() and not line.startswith("source: ")]
    cause = useful[0].split(": ", 1)[-1] if useful else "its data do not decode"
    return textwrap.shorten(cause, 80, placeholder="...")


# --- writing ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Saver:
    function: str
    depths: tuple[int, ...]
    longest_side: int
    alpha: bool = True
    quality: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


_ANY_SIDE = 10_000_000  # the most that libvips accepts
_SAVERS = {
    "jpeg": _Saver("jpegsave_buffer", (8,), 65500, alpha=False, quality=95, options={"optimize_coding": True}),
    "png": _Saver("pngsave_buffer", (8, 16), _ANY_SIDE),
    "tiff": _Saver("tiffsave_buffer", (8, 16, 32), _ANY_SIDE, options={"compression": "deflate"}),
    "webp": _Saver("webpsave_buffer", (8,), 16383, quality=90, options={"exact": True}),
    "avif": _Saver("heifsave_buffer", (8, 16), 16384, quality=80, options={"compression": "av1"}),
    "gif": _Saver("gifsave_buffer", (8,), 65535),
}


def _encodable(picture: Picture, depth: int, *, alpha: bool, keep_profile: bool) -> Any:
    """Return a fresh libvips image of the pixels at ``depth`` bits, with its profile."""
    pixels = picture.pixels.clip(0, 1)
    if picture.alpha is not None and not alpha:
        pixels = 1 - (1 - pixels) * picture.alpha.clip(0, 1)[:, :, None]
    image = None
    if keep_profile and picture.icc is not None:
        image = profiles.from_srgb(_quantised(pixels, 16), picture.icc)
    if image is not None:
        pixels, profile = image.numpy().astype(np.float32) / 65535, picture.icc
    else:
        profile = profiles.SRGB if depth == 32 else None
    if picture.alpha is not None and alpha:
        pixels = np.dstack([pixels, picture.alpha.clip(0, 1)])
    image = _quantised(pixels, depth)
    return image if profile is None else profiles.with_profile(image, profile)


def _quantised(pixels: FloatArray, depth: int) -> Any:
    if depth == 32:
        return pyvips.Image.new_from_array(np.ascontiguousarray(pixels)).copy(interpretation="scrgb")
    levels = np.rint(pixels * np.float32(2**depth - 1)).astype(f"uint{depth}")
    return pyvips.Image.new_from_array(levels).copy(interpretation="srgb" if depth == 8 else "rgb16")
