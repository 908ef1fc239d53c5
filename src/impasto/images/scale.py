"""Cropping and resizing: a Lanczos kernel to reduce, a bicubic kernel to enlarge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from impasto.errors import OutOfMemoryError
from impasto.images.libvips import pyvips

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.types import FloatArray


def fit_size(width: int, height: int, long_side: int | None) -> tuple[int, int]:
    """Return the (width, height), at least 1, with the same aspect ratio and the longer side ``long_side``.

    If ``long_side`` is None, the size is kept.
    """
    if long_side is None:
        return width, height
    scale = long_side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def crop_margin(pixels: FloatArray, share: float) -> FloatArray:
    """Crop ``share`` (0 to less than 0.5) of the width and height of pixels (H, W, C) from each edge."""
    height, width = pixels.shape[:2]
    down, across = (min(round(extent * share), (extent - 1) // 2) for extent in (height, width))
    return pixels[down : height - down, across : width - across]


def resize_pixels(pixels: FloatArray, height: int, width: int) -> FloatArray:
    """Scale float32 pixels, (H, W) or (H, W, C) in [0, 1], to ``height`` x ``width``, clipped to [0, 1]."""
    if pixels.shape[:2] == (height, width):
        return pixels
    scaled = resize_image(pyvips.Image.new_from_array(np.ascontiguousarray(pixels)), width, height)
    result: FloatArray = scaled.numpy().reshape(height, width, *pixels.shape[2:])
    return np.clip(result, 0, 1, out=result)


def enlarge(pixels: FloatArray, height: int, width: int) -> Callable[[int, int, int, int], FloatArray]:
    """Enlarge float32 pixels (H, W) or (H, W, C), which may be negative, to ``height`` x ``width``, part by part.

    Returns:
        A function that computes a part (rows, columns, C) from its top, left, number of rows and number of columns.
    """
    scaled = resize_image(pyvips.Image.new_from_array(np.ascontiguousarray(pixels)), width, height)
    return lambda top, left, rows, columns: computed(scaled, top, left, rows, columns)


def computed(image: Any, top: int, left: int, rows: int, columns: int) -> npt.NDArray[Any]:
    """Compute a part of a libvips image: (rows, columns, bands), with the number type of the image.

    Raises:
        OutOfMemoryError: the memory does not suffice.
    """
    try:
        part: npt.NDArray[Any] = image.crop(left, top, columns, rows).numpy()
    except pyvips.Error as error:
        if "out of memory" not in str(error):
            raise
        raise OutOfMemoryError(
            f"the memory does not suffice for {rows} rows of {columns} pixels; choose a smaller size"
        ) from error
    return part.reshape(rows, columns, image.bands)


def resize_image(image: Any, width: int, height: int) -> Any:
    """Scale a libvips image."""
    across, down = width / image.width, height / image.height
    scaled = image.resize(min(across, 1), vscale=min(down, 1), kernel="lanczos3")
    if across > 1 or down > 1:
        # Plain resize would shift the picture by up to half a pixel, but the scales of a run must be aligned.
        across, down = max(across, 1), max(down, 1)
        scaled = scaled.affine(
            [across, 0, 0, down],
            interpolate=pyvips.Interpolate.new("bicubic"),
            oarea=[0, 0, width, height],
            idx=0.5 - 0.5 / across,
            idy=0.5 - 0.5 / down,
            extend="copy",
        )
    return scaled
