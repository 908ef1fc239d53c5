"""Pictures whose parts are computed on request. The memory depends on the part, not on the whole picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from impasto.images.libvips import pyvips
from impasto.images.scale import computed, fit_size, resize_image

if TYPE_CHECKING:
    from impasto.types import FloatArray, Picture

_VISIBLE = 1 / 255
_ROWS = 512
"""Number of rows of the whole picture from which a part of the thumbnail is computed."""


@dataclass(frozen=True, eq=False)
class LazyPicture:
    """A picture that need not be in memory."""

    pixels: Any
    """A libvips image in sRGB, with one band or three."""
    alpha: Any | None
    """A libvips image; None if the picture is opaque."""
    outline: Picture
    """A Picture of one pixel with all other properties of the whole picture."""
    white: float = 1.0
    """The value in ``pixels`` that represents 1."""
    opaque: float = 1.0
    """The value in ``alpha`` that represents 1."""
    unclipped: Any | None = None
    """``pixels`` as floats with 1 as white, not clipped to sRGB; None if no colours outside it are kept."""

    @classmethod
    def of(cls, picture: Picture) -> Self:
        """Wrap a picture that is in memory."""
        alpha = None if picture.alpha is None else picture.alpha[:1, :1]
        return cls(
            _image(picture.pixels),
            None if picture.alpha is None else _image(picture.alpha),
            replace(picture, pixels=picture.pixels[:1, :1], alpha=alpha, beyond=None),
            unclipped=None if picture.beyond is None else _image(picture.pixels + picture.beyond),
        )

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.pixels.height)

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.pixels.width)

    def read(self, top: int = 0, bottom: int | None = None, *, exact: bool = False) -> Picture:
        """Return the rows from ``top`` up to, but not including, ``bottom``; all by default.

        Fully transparent pixels become white, because nobody sees the colours that they have in the file. With
        ``exact``, these colours and those outside sRGB are kept, for a picture that is written without being painted.
        """
        rows = (self.height if bottom is None else bottom) - top
        alpha = None if self.alpha is None else _clipped(_array(self.alpha, top, rows, self.opaque))[:, :, 0]
        if not exact or self.unclipped is None:
            pixels = _rgb(_clipped(_array(self.pixels, top, rows, self.white)))
            if alpha is not None and not exact:
                pixels[alpha < _VISIBLE] = 1
            return replace(self.outline, pixels=pixels, alpha=alpha)
        whole = _rgb(_array(self.unclipped, top, rows, 1.0))
        pixels = _clipped(whole.copy())
        whole -= pixels
        return replace(self.outline, pixels=pixels, alpha=alpha, beyond=whole if whole.any() else None)

    def resized(self, width: int, height: int) -> Self:
        """Scale to ``width`` x ``height``. The colours of transparent pixels do not bleed into visible pixels."""
        if (width, height) == (self.width, self.height):
            return self
        if self.alpha is None:

            def scaled(given: Any) -> Any:
                return resize_image(given, width, height)

            alpha = None
        else:
            given_alpha = self.alpha / self.opaque
            alpha = resize_image(given_alpha, width, height).clamp()

            def scaled(given: Any) -> Any:
                weighted = resize_image(given * given_alpha, width, height)
                # With less alpha, the division would only amplify rounding errors.
                return (alpha > _VISIBLE).ifthenelse(weighted / alpha, resize_image(given, width, height))

        pixels = scaled(self.pixels / self.white).clamp()
        unclipped = None if self.unclipped is None else scaled(self.unclipped)
        return replace(self, pixels=pixels, alpha=alpha, white=1.0, opaque=1.0, unclipped=unclipped)

    def thumbnail(self, long_side: int) -> FloatArray:
        """Return the whole picture as pixels (H, W, 3) whose longer side is at most ``long_side``."""
        if max(self.width, self.height) <= long_side:
            return self.read().pixels
        width, height = fit_size(self.width, self.height, long_side)
        small = self.resized(width, height)
        # libvips keeps in memory all rows of the whole picture that one call needs.
        rows = max(1, _ROWS * height // self.height)
        parts = [small.read(top, min(top + rows, height)).pixels for top in range(0, height, rows)]
        return np.concatenate(parts)


def resize_picture(picture: Picture, width: int, height: int) -> Picture:
    """Scale a picture to ``width`` x ``height``: see `LazyPicture.resized`."""
    if (width, height) == (picture.width, picture.height):
        return picture  # no copy, because the picture may be large
    return LazyPicture.of(picture).resized(width, height).read(exact=True)


def _image(array: FloatArray) -> Any:
    return pyvips.Image.new_from_array(np.ascontiguousarray(array))


def _array(image: Any, top: int, rows: int, white: float) -> FloatArray:
    part = computed(image, top, 0, rows, image.width)
    array: FloatArray = part.astype(np.float32)
    if np.issubdtype(part.dtype, np.floating):
        np.nan_to_num(array, copy=False)
    array /= np.float32(white)
    return array


def _clipped(array: FloatArray) -> FloatArray:
    return np.clip(array, 0, 1, out=array)


def _rgb(pixels: FloatArray) -> FloatArray:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
