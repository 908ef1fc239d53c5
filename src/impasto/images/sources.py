"""Conversion of paths, bytes, arrays and PIL images to a Picture."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from impasto.errors import ImageReadError
from impasto.images.decoding import read_picture
from impasto.images.limits import Limits
from impasto.types import Picture

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    PictureSource: TypeAlias = str | Path | bytes | Picture | np.ndarray[Any, Any] | PILImage
else:
    PictureSource: TypeAlias = Any

_ORIENTATION = 274  # the EXIF tag
_TIFF_MODES = {"1", "L", "LA", "RGB", "RGBA", "CMYK", "I;16"}


def as_picture(source: PictureSource, *, limits: Limits = Limits()) -> Picture:  # noqa: B008 - frozen
    """Return a path, the bytes of a file, a PIL image, an array or a Picture as a Picture.

    Arrays are sRGB, of type uint8, uint16, bool, or float in [0, 1], and of shape (H, W), or (H, W, C) with
    C = 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha; floats become 8 bits in files.

    Raises:
        ImageReadError: the file or the array cannot be read as a picture.
        ImageLimitError: the picture has more bytes or pixels than ``limits`` allow.
        ImageSizeError: a side is shorter than ``limits`` allow.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, (str, Path, bytes)):
        return read_picture(source, limits=limits)
    if isinstance(source, np.ndarray):
        return _from_array(source, limits)
    if hasattr(source, "mode") and hasattr(source, "getexif"):
        return _from_pil(source, limits)
    raise ImageReadError(
        f"a {type(source).__name__} is no picture; give a path, bytes, PIL image, numpy array or Picture"
    )


def _from_array(array: np.ndarray[Any, Any], limits: Limits) -> Picture:
    shaped = array[:, :, None] if array.ndim == 2 else array
    if shaped.ndim != 3 or shaped.shape[2] not in (1, 2, 3, 4):
        raise ImageReadError(f"array has shape {array.shape}; give (height, width) or (height, width, 1 to 4)")
    limits.check_size("array", shaped.shape[1], shaped.shape[0])
    values = _unit_values(shaped)
    colours = values[:, :, : 1 if values.shape[2] < 3 else 3]
    return Picture(
        pixels=np.ascontiguousarray(np.broadcast_to(colours, (*values.shape[:2], 3))),
        alpha=np.ascontiguousarray(values[:, :, -1]) if values.shape[2] in (2, 4) else None,
        bit_depth=16 if array.dtype == np.uint16 else 8,
    )


def _unit_values(array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    if array.dtype in (np.uint8, np.uint16):
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    if array.dtype == bool or np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # this form also refuses NaN
            raise ImageReadError(f"array has values from {low:g} to {high:g}; scale and clip floats to [0, 1]")
        return array.astype(np.float32)
    raise ImageReadError(f"array has type {array.dtype}; give uint8, uint16, or float in [0, 1]")


def _from_pil(image: Any, limits: Limits) -> Picture:
    # A TIFF in memory is used, so that profile, orientation and CMYK are handled as for files.
    if image.mode in ("I", "F"):
        array = np.asarray(image)  # PIL stores 16-bit grey as 32-bit integers
        return _from_array(array.clip(0, 65535).astype(np.uint16) if image.mode == "I" else array, limits)
    if image.mode == "La":
        image = image.convert("LA")  # PIL has no direct conversion
    if "transparency" in image.info or image.mode in ("PA", "RGBa"):
        image = image.convert("RGBA")
    elif image.mode not in _TIFF_MODES:
        image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(
        buffer,
        format="TIFF",
        compression="raw",
        tiffinfo={_ORIENTATION: image.getexif().get(_ORIENTATION, 1)},
    )
    return replace(read_picture(buffer.getvalue(), limits=limits), format=None)
