"""Conversion of files, arrays, tensors and PIL images to a Picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from impasto.errors import ImageReadError
from impasto.images.decoding import FileSource, is_file_source, open_picture, read_picture
from impasto.images.lazy import LazyPicture
from impasto.images.limits import Limits
from impasto.images.pillow import as_tiff
from impasto.types import Picture

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as PILImage

    PictureSource: TypeAlias = FileSource | Picture | np.ndarray[Any, Any] | torch.Tensor | PILImage
else:
    PictureSource: TypeAlias = Any

_CHANNELS = (1, 2, 3, 4)


def as_picture(source: PictureSource, *, limits: Limits = Limits()) -> Picture:  # noqa: B008 - frozen
    """Convert a file, a PIL image, an array, a tensor or a Picture to a Picture.

    A file is given as its path, its bytes, or an object that is open for reading them. Arrays are sRGB, of type uint8,
    uint16, bool, or float in [0, 1], and of shape (H, W), or (H, W, C) with C = 1 for grey, 2 for grey and alpha, 3 for
    RGB, 4 for RGB and alpha; floats become 8 bits in files. Tensors of PyTorch have the same types and ranges, and the
    shape (H, W), (C, H, W) or (1, C, H, W). (H, W, C) is accepted, too, if H is more than 4.

    Raises:
        ImageReadError: the file or the array cannot be read as a picture.
        ImageLimitError: the picture has more bytes or pixels than ``limits`` allow.
        ImageSizeError: a side is shorter than ``limits`` allow.
    """
    if isinstance(source, Picture):
        return source
    if is_file_source(source):
        return read_picture(source, limits=limits)
    if type(source).__module__.partition(".")[0] == "torch":
        return _from_array(_tensor_values(source), limits)
    if hasattr(source, "mode") and hasattr(source, "getexif"):
        return _from_pil(source, limits)
    if hasattr(source, "__array__"):
        return _from_array(np.asarray(source), limits)
    raise ImageReadError(
        f"a {type(source).__name__} is not a picture; give a path, bytes, an open file, PIL image, array or tensor"
    )


def open_source(source: PictureSource, *, limits: Limits = Limits()) -> LazyPicture:  # noqa: B008 - frozen
    """Open a source like `as_picture`, as a picture whose parts are computed on request."""
    if is_file_source(source):
        return open_picture(source, limits=limits)
    return LazyPicture.of(as_picture(source, limits=limits))


def _tensor_values(tensor: Any) -> np.ndarray[Any, Any]:
    """Return a tensor as an array (H, W[, C])."""
    if not hasattr(tensor, "detach"):
        raise ImageReadError(f"a {type(tensor).__name__} is not a picture; give a tensor (C, H, W)")
    values = tensor.detach().cpu()
    if values.is_floating_point():
        values = values.float()  # NumPy has no bfloat16
    array: np.ndarray[Any, Any] = values.numpy()
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    if array.ndim == 3 and (array.shape[0] in _CHANNELS or array.shape[2] not in _CHANNELS):
        if array.shape[0] not in _CHANNELS:
            raise ImageReadError(f"tensor has shape {tuple(tensor.shape)}; give (1 to 4 channels, height, width)")
        array = np.moveaxis(array, 0, 2)
    return array


def _from_array(array: np.ndarray[Any, Any], limits: Limits) -> Picture:
    shaped = array[:, :, None] if array.ndim == 2 else array
    if shaped.ndim != 3 or shaped.shape[2] not in _CHANNELS:
        raise ImageReadError(f"array has shape {array.shape}; give (height, width) or (height, width, 1 to 4)")
    limits.check_size("array", shaped.shape[1], shaped.shape[0])
    values = _unit_values(shaped)
    colours = values[:, :, : 1 if values.shape[2] < 3 else 3]
    return Picture(
        pixels=np.ascontiguousarray(np.broadcast_to(colours, (*values.shape[:2], 3))),
        alpha=np.ascontiguousarray(values[:, :, -1]) if values.shape[2] in (2, 4) else None,
        bit_depth=16 if _is_levels(array) and array.itemsize == 2 else 8,
    )


def _is_levels(array: np.ndarray[Any, Any]) -> bool:
    return array.dtype.kind == "u" and array.itemsize in (1, 2)


def _unit_values(array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    if _is_levels(array):
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    if array.dtype == bool or np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # this form also refuses NaN
            raise ImageReadError(f"array has values from {low:g} to {high:g}; scale and clip floats to [0, 1]")
        return array.astype(np.float32)
    raise ImageReadError(f"array has type {array.dtype}; give uint8, uint16, or float in [0, 1]")


def _from_pil(image: Any, limits: Limits) -> Picture:
    try:
        if image.mode == "I" or image.mode.startswith("I;16"):
            # PIL also stores 16-bit grey as 32-bit integers.
            return _from_array(np.asarray(image).clip(0, 65535).astype(np.uint16), limits)
        if image.mode == "F":
            return _from_array(np.asarray(image), limits)
        data = as_tiff(image)
    except (OSError, ValueError) as error:  # ValueError: its file is closed
        raise ImageReadError(f"the PIL image cannot be read ({error}); load it before its file is closed") from error
    return replace(read_picture(data, limits=replace(limits, max_bytes=len(data))), format=None)
