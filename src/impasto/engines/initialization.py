"""The initial picture of an optimisation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from impasto.errors import UsageError
from impasto.images import read_picture
from impasto.images.scale import resize_pixels

if TYPE_CHECKING:
    from impasto.types import FloatArray

_NAMES = ("content", "noise", "content+noise", "style")
_NOISE_SHARE = 0.6
_MIXED_NOISE = 20 / 255
_FAINT_NOISE = 2 / 255


def initial_pixels(init: str, content: FloatArray, style: FloatArray, height: int, width: int, seed: int) -> FloatArray:
    """Make the starting picture, (height, width, 3) in [0, 1].

    Args:
        init: 'content'; 'noise': `white_noise`; 'content+noise': 40 % content and 60 % noise of +-20/255 around
            mid-grey, as in the TensorFlow scripts of this method; 'style': the middle of the style image; or a file.
        content: pixels of the content image, any size.
        style: pixels of the first style image, any size.
        height: height of the result in pixels.
        width: width of the result in pixels.
        seed: seed of the noise.

    Raises:
        UsageError: ``init`` is neither a name nor a file.
        ImageError: the file cannot be read.
    """
    if init == "noise":
        return white_noise(height, width, seed)
    if init == "content":
        return resize_pixels(content, height, width)
    if init == "content+noise":
        noise = white_noise(height, width, seed, amplitude=_MIXED_NOISE)
        return (1 - _NOISE_SHARE) * resize_pixels(content, height, width) + _NOISE_SHARE * noise
    if init == "style":
        return resize_pixels(_crop_to_aspect(style, height, width), height, width)
    check_init(init)
    return resize_pixels(_crop_to_aspect(read_picture(init).over_white, height, width), height, width)


def check_init(init: str) -> None:
    """Refuse an ``init`` that is neither a name nor a file.

    Raises:
        UsageError: it is neither.
    """
    if init not in _NAMES and not Path(init).is_file():
        raise UsageError(f"init is {init!r}, which is not a file; choose {', '.join(map(repr, _NAMES))} or a file")


def white_noise(height: int, width: int, seed: int, amplitude: float = _FAINT_NOISE) -> FloatArray:
    """Make uniform noise of ``amplitude`` around mid-grey, (height, width, 3).

    By default it is faint, as in the code of the method's first author. Descriptors hardly see the finest grain, so an
    optimisation leaves what it begins with.
    """
    noise = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    return (0.5 + amplitude * (2 * noise - 1)).astype(np.float32)


def _crop_to_aspect(pixels: FloatArray, height: int, width: int) -> FloatArray:
    """Cut out the largest centred part of ``pixels`` with the aspect ratio of ``height`` x ``width``."""
    rows, columns = pixels.shape[:2]
    kept_rows = min(rows, max(1, round(columns * height / width)))
    kept_columns = min(columns, max(1, round(rows * width / height)))
    top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
    return pixels[top : top + kept_rows, left : left + kept_columns]
