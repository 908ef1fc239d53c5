"""Animated GIF and WebP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.errors import FileWriteError, UsageError
from impasto.files import write_whole
from impasto.images import xmp
from impasto.images.libvips import pyvips

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from impasto.types import FloatArray, Picture

LOADERS = {".gif": "gifload_buffer", ".webp": "webpload_buffer"}
"""Suffixes of animations, and the functions of libvips that read them."""
_VP8X_FLAGS, _ANIMATED = 20, 2
"""Place of the flags in a WebP file with the chunk VP8X, and the flag of animations."""
_SAVERS: dict[str, tuple[str, dict[str, int]]] = {
    ".gif": ("gifsave_buffer", {"keep_duplicate_frames": True}),
    ".webp": ("webpsave_buffer", {}),
}


def write_animation(frames: Sequence[Picture], path: str | Path, *, frame_seconds: float) -> None:
    """Write pictures of one size atomically as an endless animation. GIF counts time in 1/100 s.

    Transparent frames are laid over white.

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
    write_whole(path, encode_animation(strip, [max(1, round(frame_seconds * 1000))] * len(frames), suffix))


def encode_animation(
    strip: Any, delays: Sequence[int], suffix: str, *, quality: int = 90, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Return the bytes of an endless animation.

    Args:
        strip: a libvips image in sRGB, with frames of the same size, one below the other.
        delays: durations of the frames in milliseconds.
        suffix: '.gif' or '.webp'.
        quality: 1 to 100, for WebP only.
        metadata: metadata of a WebP file; GIF cannot hold any.

    Raises:
        FileWriteError: the frames are too large for the format.
    """
    function, options = _SAVERS[suffix]
    if suffix == ".webp":
        options = {**options, "Q": quality}
    height = strip.height // len(delays)
    strip = strip.copy(interpretation="srgb")
    strip.set_type(pyvips.GValue.gint_type, "page-height", height)
    strip.set_type(pyvips.GValue.array_int_type, "delay", list(delays))
    strip.set_type(pyvips.GValue.gint_type, "loop", 0)
    if metadata:
        strip.set_type(pyvips.GValue.blob_type, xmp.XMP_FIELD, xmp.pack(metadata))
    try:
        data: bytes = getattr(strip, function)(**options)
    except pyvips.Error as error:
        raise FileWriteError(f"{strip.width}x{height} is too large for {suffix[1:]}; resize the frames") from error
    return data


def is_animated(path: Path) -> bool:
    """Return True if ``path`` is a GIF or WebP file with several frames, by its suffix and its header."""
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        return False
    try:
        if path.suffix.lower() == ".webp":
            with path.open("rb") as file:
                head = file.read(_VP8X_FLAGS + 1)
            return head[12:16] == b"VP8X" and bool(head[_VP8X_FLAGS] & _ANIMATED)
        header = getattr(pyvips.Image, loader)(path.read_bytes(), access="sequential")
    except (OSError, pyvips.Error):
        return False  # reading the file will report the error
    return "n-pages" in header.get_fields() and header.get("n-pages") > 1


def _opaque_bytes(frame: Picture) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    levels: FloatArray = np.rint(frame.over_white.clip(0, 1) * 255)
    return levels.astype(np.uint8)
