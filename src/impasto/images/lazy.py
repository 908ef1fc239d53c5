"""Pictures of which parts are computed as they are asked for: as much memory as the part takes, whatever the whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyvips

from impasto.images.scale import computed, fit_size, resize_image

if TYPE_CHECKING:
    from impasto.types import FloatArray, Picture

_VISIBLE = 1 / 255
_ROWS = 512
"""Of the whole, that a part of the thumbnail is made of."""


@dataclass(frozen=True, eq=False)
class LazyPicture:
    """A Picture that need not be in memory."""

    pixels: Any
    """A libvips image: one band or three, sRGB."""
    alpha: Any | None
    """A libvips image; None if opaque."""
    outline: Picture
    """A Picture of one pixel, with everything else that a Picture of the whole has."""
    white: float = 1.0
    """What stands for 1 in ``pixels``."""
    opaque: float = 1.0
    """What stands for 1 in ``alpha``."""

    @classmethod
    def of(cls, picture: Picture) -> Self:
        """Wrap a picture that is in memory."""
        alpha = None if picture.alpha is None else picture.alpha[:1, :1]
        return cls(
            pyvips.Image.new_from_array(np.ascontiguousarray(picture.pixels)),
            None if picture.alpha is None else pyvips.Image.new_from_array(np.ascontiguousarray(picture.alpha)),
            replace(picture, pixels=picture.pixels[:1, :1], alpha=alpha),
        )

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.height)

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.width)

    def read(self, top: int = 0, bottom: int | None = None) -> Picture:
        """Return the rows from ``top`` to before ``bottom``; all by default."""
        rows = (self.height if bottom is None else bottom) - top
        alpha = None if self.alpha is None else _array(self.alpha, top, rows, self.opaque)[:, :, 0]
        pixels = _array(self.pixels, top, rows, self.white)
        return replace(
            self.outline, pixels=np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels, alpha=alpha
        )

    def resized(self, width: int, height: int) -> Self:
        """Scale to ``width`` x ``height``; what is transparent does not bleed into what is not."""
        if (width, height) == (self.width, self.height):
            return self
        given = self.pixels / self.white
        pixels = resize_image(given, width, height).clamp()
        if self.alpha is None:
            return replace(self, pixels=pixels, white=1.0)
        given_alpha = self.alpha / self.opaque
        alpha = resize_image(given_alpha, width, height).clamp()
        weighted = resize_image(given * given_alpha, width, height)
        visible = alpha > _VISIBLE  # below, dividing would only amplify rounding
        pixels = visible.ifthenelse((weighted / alpha).clamp(), pixels)
        return replace(self, pixels=pixels, alpha=alpha, white=1.0, opaque=1.0)

    def thumbnail(self, long_side: int) -> FloatArray:
        """Return the pixels (H, W, 3) of the whole; the longer side is at most ``long_side``."""
        if max(self.width, self.height) <= long_side:
            return self.read().pixels
        width, height = fit_size(self.width, self.height, long_side)
        small = self.resized(width, height)
        # libvips holds all that one call needs of the whole.
        rows = max(1, _ROWS * height // self.height)
        parts = [small.read(top, min(top + rows, height)).pixels for top in range(0, height, rows)]
        return np.concatenate(parts)


def resize_picture(picture: Picture, width: int, height: int) -> Picture:
    """Scale a picture to ``width`` x ``height``: see `LazyPicture.resized`."""
    if (width, height) == (picture.width, picture.height):
        return picture  # which may be as large as the memory
    return LazyPicture.of(picture).resized(width, height).read()


def _array(image: Any, top: int, rows: int, white: float) -> FloatArray:
    part = computed(image, top, 0, rows, image.width)
    array: FloatArray = part.astype(np.float32)
    if np.issubdtype(part.dtype, np.floating):
        np.nan_to_num(array, copy=False)
    array /= np.float32(white)
    return np.clip(array, 0, 1, out=array)
