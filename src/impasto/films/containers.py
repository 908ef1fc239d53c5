"""Film files through FFmpeg's libraries: opening them, and encoding painted frames into parts of a film."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.errors import FileWriteError, ImageReadError, needs_extra
from impasto.films import ANIMATION_SUFFIXES
from impasto.films.colors import UNKNOWN

with needs_extra("a film", "film"):
    import av

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from impasto.films.clips import Clip, Frame

FAILURES = (av.FFmpegError, OSError)
"""Errors that FFmpeg's libraries raise for files."""

_CODECS = {"webm": "libvpx-vp9", "gif": "ffv1", "webp": "ffv1"}
_COMMON_CODEC = "libx264"
_PART_FORMAT = "nut"  # keeps frame times exactly


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Open the film ``path`` for reading.

    Raises:
        ImageReadError: the file is missing or not a film.
    """
    try:
        with av.open(_url(path), metadata_errors="replace") as container:
            yield container
    except FAILURES as error:
        raise ImageReadError(f"{path} cannot be read as a film: {_reason(error)}") from error


@contextmanager
def writing(path: Path, form: str, options: dict[str, str] | None = None) -> Iterator[Any]:
    """Open the film ``path`` for writing in the container ``form``, with ``options`` of the container.

    Raises:
        FileWriteError: the codec fails, or the disk is full or read-only.
    """
    try:
        with av.open(_url(path), "w", format=form, options=options) as container:
            yield container
    except FAILURES as error:
        raise FileWriteError(
            f"the film cannot be written: {_reason(error)}; free space, or try another container"
        ) from error


def packets(container: Any, *streams: Any) -> Iterator[Any]:
    """Yield the packets of ``streams``, or of all streams, up to the end of the file or the first unreadable packet.

    At the end, each stream has an empty packet, for which its decoder returns the frames that it still holds.
    """
    try:
        yield from container.demux(*streams)
    except FAILURES:
        for stream in streams or container.streams:
            empty = av.Packet()
            empty.stream = stream
            yield empty


@dataclass(frozen=True)
class Encoding:
    """Settings of the encoder."""

    width: int
    """Width in pixels, an even number unless the result is an animation."""
    height: int
    """Height in pixels, an even number unless the result is an animation."""
    form: str
    """Container of the film, a value of `FILM_FORMATS`."""
    quality: int
    """Quality from 1 to 100."""
    codec: str | None = None
    """Name of FFmpeg's encoder; None for the usual one of the container."""

    @classmethod
    def of(cls, width: int, height: int, form: str, quality: int) -> Encoding:
        """Return the encoding of frames of this size.

        Width and height of a film are rounded down to even numbers, because films store one chroma sample per 2x2
        pixels.
        """
        fit = cls(width, height, form, quality)
        return fit if fit.is_animation else cls(max(2, width - width % 2), max(2, height - height % 2), form, quality)

    @property
    def is_animation(self) -> bool:
        """True if the result is an animated picture. Its parts are then encoded without loss."""
        return f".{self.form}" in ANIMATION_SUFFIXES

    def write_part(self, path: Path, frames: Iterable[Frame], like: Clip) -> None:
        """Encode ``frames`` into a part of a film, with the times and colour space of ``like``.

        Raises:
            FileWriteError: the codec fails, or the disk is full or read-only.
        """
        with writing(path, _PART_FORMAT) as container:
            stream = container.add_stream(self.codec or _CODECS.get(self.form, _COMMON_CODEC), rate=like.rate)
            stream.width, stream.height, stream.pix_fmt = self.width, self.height, self._pixel_format
            stream.time_base = stream.codec_context.time_base = like.time_base
            stream.codec_context.sample_aspect_ratio = like.shape
            # The constant rate factor is 18 at quality 90, which is visually almost lossless. Without B-frames, a part
            # begins at the time of its first frame, so that parts can be joined.
            if not self.is_animation:
                stream.options = {"crf": str(round(45 - 0.3 * self.quality)), "b:v": "0", "bf": "0"}
                for name, value in like.colors.items():
                    setattr(stream.codec_context, name, value)
            for frame in frames:
                container.mux(stream.encode(self._encoded(frame, like)))
            container.mux(stream.encode())

    @property
    def _pixel_format(self) -> str:
        return "bgr0" if self.is_animation else "yuv420p"

    def _encoded(self, frame: Frame, like: Clip) -> Any:
        whole = frame.pixels[: self.height, : self.width]
        pixels = np.ascontiguousarray((whole.clip(0, 1) * 255 + 0.5).astype(np.uint8))
        made = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        if self.is_animation:
            made = made.reformat(format=self._pixel_format)
        else:
            matrix = like.colors["colorspace"]
            made = made.reformat(
                format=self._pixel_format,
                dst_colorspace=matrix if matrix != UNKNOWN else None,
                dst_color_range=like.colors["color_range"] or None,
            )
            for name, value in like.colors.items():
                setattr(made, name, value)
        made.pts, made.time_base = frame.time, like.time_base
        return made


def _url(path: Path) -> str:
    return f"file:{path}"  # otherwise the part before a colon would be taken for a protocol


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
