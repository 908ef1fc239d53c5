"""Animated GIF and WebP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyvips

from impasto.errors import FileWriteError, UsageError
from impasto.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.types import FloatArray, Picture

_SAVERS: dict[str, tuple[str, dict[str, int]]] = {
    ".gif": ("gifsave_buffer", {"keep_duplicate_frames": True}),
    ".webp": ("webpsave_buffer", {"Q": 90}),
}


def write_animation(frames: Sequence[Picture], path: str | Path, *, frame_seconds: float) -> None:
    """Write pictures of one size atomically as an endless animation. GIF counts time in 1/100 s.

    Alpha is laid over white.

    Raises:
        UsageError: there are no frames, or the time is zero or less.
        FileWriteError: the suffix is not .gif or .webp, the frames differ in size, or the disk is full or read-only.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _SAVERS:
        raise FileWriteError(f"cannot write {path} as an animation; name it .gif or .webp")
    if not frames or frame_seconds <= 0:
        raise UsageError(f"an animation of {len(frames)} frames of {frame_seconds} s; give at least one, above 0 s")
    sizes = sorted({(frame.width, frame.height) for frame in frames})
    if len(sizes) > 1:
        listed = ", ".join(f"{width}x{height}" for width, height in sizes)
        raise FileWriteError(f"cannot write {path}: frames have sizes {listed}; resize them to one")
    strip = pyvips.Image.new_from_array(np.concatenate([_opaque_bytes(frame) for frame in frames]))
    strip = strip.copy(interpretation="srgb")
    strip.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    strip.set_type(pyvips.GValue.array_int_type, "delay", [max(1, round(frame_seconds * 1000))] * len(frames))
    strip.set_type(pyvips.GValue.gint_type, "loop", 0)
    try:
        function, options = _SAVERS[suffix]
        data: bytes = getattr(strip, function)(**options)
    except pyvips.Error as error:
        raise FileWriteError(
            f"cannot write {path}: {frames[0].width}x{frames[0].height} is too large for {suffix[1:]}; "
            "resize the frames"
        ) from error
    write_whole(path, data)


def _opaque_bytes(frame: Picture) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    levels: FloatArray = np.rint(frame.over_white.clip(0, 1) * 255)
    return levels.astype(np.uint8)
