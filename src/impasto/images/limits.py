"""Limits on the pictures that are opened."""

from __future__ import annotations

from dataclasses import dataclass

from impasto.errors import ImageLimitError, ImageSizeError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest and the smallest picture that is opened."""

    max_bytes: int = 1 << 30
    """Bytes of the file, encoded."""
    max_pixels: int = 500_000_000
    """Width times height, checked in the header before anything is decoded."""
    min_side: int = 1
    """Pixels of the shorter side."""

    def check_bytes(self, name: str, size: int) -> None:
        """Refuse ``size`` encoded bytes of the picture called ``name``.

        Raises:
            ImageLimitError: more than ``max_bytes``.
        """
        if size > self.max_bytes:
            raise ImageLimitError(
                f"{name} has {size:,} bytes and at most {self.max_bytes:,} are opened; "
                "make it smaller or raise max_bytes"
            )

    def check_size(self, name: str, width: int, height: int) -> None:
        """Refuse ``width`` x ``height`` pixels of the picture called ``name``.

        Raises:
            ImageLimitError: more than ``max_pixels``.
            ImageSizeError: a side shorter than ``min_side``.
        """
        if width * height > self.max_pixels:
            raise ImageLimitError(
                f"{name} is {width}x{height}, {width * height:,} pixels, and at most {self.max_pixels:,} "
                "are opened; make it smaller or raise max_pixels"
            )
        if min(width, height) < self.min_side:
            raise ImageSizeError(f"{name} is {width}x{height}; it needs at least {self.min_side} pixels on each side")
