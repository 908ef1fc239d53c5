"""Limits on the pictures that are opened."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from impasto.errors import ImageLimitError, ImageSizeError, UsageError
from impasto.images.scale import fit_size

if TYPE_CHECKING:
    from collections.abc import Callable

ResultT = TypeVar("ResultT")

_DENSEST = {"jpeg": 512, "png": 8300, "gif": 5000}
"""Largest number of pixels per byte of a file, by format. A JPEG has at least one bit for each block of 8x8 pixels,
deflate compresses to 1/1032 at best, and a code of 12 bits in a GIF stands for fewer than 4,096 pixels."""
_DENSE = 50_000
"""The same for other formats, which have no natural limit. Real pictures stay far below."""
_QUICK = 1 << 24
"""Number of pixels that a file of any size may claim, because they are decoded quickly."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest and the smallest picture that is opened."""

    max_bytes: int = 1 << 30
    """Bytes of the file, encoded."""
    max_pixels: int = 500_000_000
    """Width times height, checked in the header before anything is decoded."""
    min_side: int = 1
    """Pixels of the shorter side."""
    max_seconds: float | None = 120
    """Longest time to decode, in seconds; None for no limit."""
    any_density: bool = False
    """True to open files that claim more pixels than their bytes can hold."""

    def check_bytes(self, name: str, size: int) -> None:
        """Check that ``size``, the encoded bytes of the picture called ``name``, is at most ``max_bytes``.

        Raises:
            ImageLimitError: there are more than ``max_bytes``.
        """
        if size > self.max_bytes:
            raise ImageLimitError(
                f"{name} has {size:,} bytes and at most {self.max_bytes:,} are opened; make it smaller"
            )

    def check_size(self, name: str, width: int, height: int) -> None:
        """Check that ``width`` x ``height``, the size of the picture called ``name``, is within the limits.

        Raises:
            ImageLimitError: there are more than ``max_pixels``.
            ImageSizeError: a side is shorter than ``min_side``.
        """
        if width * height > self.max_pixels:
            raise ImageLimitError(
                f"{name} is {width}x{height}, {width * height:,} pixels, and at most {self.max_pixels:,} "
                "are opened; make it smaller"
            )
        if min(width, height) < self.min_side:
            raise ImageSizeError(f"{name} is {width}x{height}; it needs at least {self.min_side} pixels on each side")

    def check_result(self, width: int, height: int, size: int | None) -> None:
        """Refuse a result of long side ``size`` that has more pixels than both ``max_pixels`` and the content image.

        ``width`` and ``height`` are those of the content image. With ``size`` None, the result has the size of the
        content image and is never refused.

        Raises:
            UsageError: the result would have too many pixels.
        """
        wide, high = fit_size(width, height, size)
        if wide * high > (most := max(self.max_pixels, width * height)):
            raise UsageError(
                f"the result would be {wide}x{high}, {wide * high:,} pixels, and at most {most:,} are painted; "
                "choose a smaller size"
            )

    def check_claim(self, name: str, form: str, width: int, height: int, size: int) -> None:
        """Refuse a picture of the format ``form`` that claims more pixels than its ``size`` in bytes can hold.

        A file of a few hundred bytes could take minutes to decode, and would give a picture of one colour.

        Raises:
            ImageLimitError: it claims too many pixels, and ``any_density`` is False.
        """
        if width * height > max(_QUICK, _DENSEST.get(form, _DENSE) * size) and not self.any_density:
            raise ImageLimitError(
                f"{name} claims {width}x{height} pixels and has {size:,} bytes, which cannot hold them; save or "
                "download it again"
            )

    def in_time(self, name: str, work: Callable[[], ResultT]) -> ResultT:
        """Return the result of ``work``, which decodes the picture called ``name``.

        Raises:
            ImageLimitError: ``work`` takes longer than ``max_seconds``. It goes on, because decoders cannot be stopped.
        """
        if self.max_seconds is None:
            return work()
        future: Future[ResultT] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        Thread(target=run, name="decoder", daemon=True).start()
        try:
            return future.result(self.max_seconds)
        except TimeoutError as error:
            raise ImageLimitError(
                f"{name} takes more than {self.max_seconds:g} seconds to decode; make it smaller"
            ) from error


UNLIMITED = Limits(max_bytes=sys.maxsize, max_pixels=sys.maxsize, max_seconds=None, any_density=True)
