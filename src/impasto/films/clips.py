"""Reading and writing of film files through FFmpeg's libraries."""

from __future__ import annotations

import heapq
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, tee
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.errors import FileWriteError, ImageReadError, needs_extra

with needs_extra("a film", "film"):
    import av

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from impasto.types import FloatArray

_CODECS = {"webm": "libvpx-vp9"}
_COMMON_CODEC = "libx264"
_COLORS = ("color_range", "color_primaries", "color_trc", "colorspace")
_PART_FORMAT = "nut"  # keeps frame times exactly
_CONTAINER_OPTIONS = {form: {"movflags": "faststart"} for form in ("mp4", "mov")}
_RATE = 48_000
"""Sample rate in Hz of sound that has to be encoded again."""
_RGB, _BT709, _UNKNOWN, _LIMITED = 0, 1, 2, 1
"""Numbers of three colour matrices and of the limited range, in ITU-T H.273 and in FFmpeg."""


@dataclass(frozen=True)
class Frame:
    """One frame of a film."""

    pixels: FloatArray
    """Pixels (H, W, 3), sRGB in [0, 1], upright."""
    time: int
    """Time in units of the film's `Clip.time_base`."""


class Clip:
    """A film in a file.

    Attributes:
        width: width of an upright frame in pixels.
        height: height of an upright frame in pixels.
        frames: number of frames, which may be an estimate.
        rate: average number of frames per second.
        time_base: unit of frame times in seconds.
        shape: aspect ratio of a pixel, width divided by height.
        colors: colour space settings, with the attribute names of `av.VideoFrame`.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``.

        Raises:
            ImageReadError: the file contains no film.
        """
        self.path = path
        with self._opened() as container:
            stream = container.streams.video[0]
            first = next(iter(container.decode(stream)), None)
            if first is None:
                raise ImageReadError(f"{path.name} holds no frame that can be read; give another file")
            self.rate: Fraction = stream.guessed_rate or stream.average_rate
            self.time_base: Fraction = stream.time_base
            seconds = float((stream.duration or 0) * stream.time_base) or (container.duration or 0) / av.time_base
            self.frames = stream.frames or max(1, round(seconds * self.rate))
            self.colors = {name: int(getattr(first, name)) for name in _COLORS}
            if self.colors["colorspace"] == _RGB:  # the result is not written as RGB
                self.colors.update(colorspace=_BT709, color_range=_LIMITED)
            self._turns = -round(first.rotation / 90) % 4
            self._sides = (first.width, first.height)
            self.shape: Fraction = stream.sample_aspect_ratio or Fraction(1)
            self.width, self.height = self._sides
            if self._turns % 2:
                self.width, self.height, self.shape = self.height, self.width, 1 / self.shape

    def read(self) -> Iterator[Frame]:
        """Decode the frames in order.

        Raises:
            ImageReadError: the file is damaged after the last yielded frame.
        """
        with self._opened() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            step = max(1, round(1 / (self.rate * self.time_base)))
            frames, timed = tee(container.decode(stream))
            times = whole_times((frame.dts if frame.pts is None else frame.pts for frame in timed), step)
            for frame, time in zip(frames, times, strict=True):
                # The frame size can change within a file, as in recordings of video calls.
                pixels = frame.to_ndarray(format="rgb24", width=self._sides[0], height=self._sides[1])
                upright = np.ascontiguousarray(np.rot90(pixels, -self._turns))
                yield Frame(np.divide(upright, 255, dtype=np.float32), time)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise ImageReadError(f"{self.path.name} holds no pictures; give a film")
                yield container
        except (av.FFmpegError, OSError) as error:
            reason = (error.strerror or str(error)).lower()
            raise ImageReadError(f"{self.path.name} cannot be read as a film: {reason}") from error


def whole_times(given: Iterable[int | None], step: int) -> Iterator[int]:
    """Yield valid frame times: not negative and strictly increasing. A missing time is the last one plus ``step``."""
    time, begin = -step, None
    for at in given:
        shown = time + step if at is None else at
        begin = min(0, shown) if begin is None else begin
        time = max(time + 1, shown - begin) if time >= 0 else shown - begin
        yield time


@dataclass(frozen=True)
class Encoding:
    """Settings of the encoder."""

    width: int
    """In pixels, an even number."""
    height: int
    """In pixels, an even number."""
    form: str
    """Container of the film, a value of `FILM_FORMATS`, which determines the codec."""
    quality: int
    """Quality from 1 to 100."""

    def write_part(self, path: Path, frames: Iterator[Frame], like: Clip) -> None:
        """Encode ``frames`` into a part of a film, with the times and colour space of ``like``.

        Raises:
            FileWriteError: the codec fails, or the disk is full or read-only.
        """
        with _written(path, _PART_FORMAT, {}) as container:
            stream = container.add_stream(_CODECS.get(self.form, _COMMON_CODEC), rate=like.rate)
            stream.width, stream.height, stream.pix_fmt = self.width, self.height, "yuv420p"
            stream.time_base = stream.codec_context.time_base = like.time_base
            stream.codec_context.sample_aspect_ratio = like.shape
            # The constant rate factor is 18 at quality 90, which is visually almost lossless. Without B-frames, a part
            # begins at the time of its first frame, so that parts can be joined.
            stream.options = {"crf": str(round(45 - 0.3 * self.quality)), "b:v": "0", "bf": "0"}
            for name, value in like.colors.items():
                setattr(stream.codec_context, name, value)
            for frame in frames:
                container.mux(stream.encode(self._encoded(frame, like)))
            container.mux(stream.encode())

    def _encoded(self, frame: Frame, like: Clip) -> Any:
        whole = frame.pixels[: self.height, : self.width]
        pixels = np.ascontiguousarray((whole.clip(0, 1) * 255 + 0.5).astype(np.uint8))
        matrix = like.colors["colorspace"]
        made = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            format="yuv420p",
            dst_colorspace=matrix if matrix != _UNKNOWN else None,
            dst_color_range=like.colors["color_range"] or None,
        )
        for name, value in like.colors.items():
            setattr(made, name, value)
        made.pts, made.time_base = frame.time, like.time_base
        return made


def join(parts: Sequence[Path], clip: Clip, target: Path, form: str, facts: str) -> None:
    """Write ``target``: the concatenated frames of the ``parts``, and the sound of ``clip``.

    ``facts`` is stored as a comment in the file.

    Raises:
        FileWriteError: the container cannot hold the sound, or the disk is full or read-only.
    """
    with _written(target, form, _CONTAINER_OPTIONS.get(form, {})) as container, av.open(str(clip.path)) as source:
        container.metadata.update({**source.metadata, "comment": facts})
        with av.open(str(parts[0])) as first:
            packets = [_pictures(parts, container.add_stream_from_template(first.streams.video[0]))]
        for number, given in enumerate(source.streams.audio):
            if given.codec_context is None:
                continue  # FFmpeg does not know the codec
            if given.codec_context.name in container.supported_codecs:
                packets.append(_sound(clip, number, container.add_stream_from_template(given)))
            else:
                encoded = container.add_stream(container.default_audio_codec, rate=_RATE)
                packets.append(_sound_again(clip, number, encoded))
        # Packets are sorted by time. Otherwise, the container would have to buffer one stream.
        for _, packet in heapq.merge(*packets, key=itemgetter(0)):
            container.mux(packet)


def _pictures(parts: Sequence[Path], stream: Any) -> Iterator[tuple[float, Any]]:
    for part in parts:
        with av.open(str(part)) as opened:
            yield from _timed(opened.demux(opened.streams.video[0]), stream)


def _sound(clip: Clip, index: int, stream: Any) -> Iterator[tuple[float, Any]]:
    with av.open(str(clip.path)) as source:
        yield from _timed(source.demux(source.streams.audio[index]), stream)


def _sound_again(clip: Clip, index: int, stream: Any) -> Iterator[tuple[float, Any]]:
    """Re-encode sound for a container that does not support its codec."""
    resampler = av.AudioResampler(format=stream.format.name, layout=stream.layout.name, rate=_RATE)
    with av.open(str(clip.path)) as source:
        for frame in chain(source.decode(source.streams.audio[index]), [None]):
            for resampled in resampler.resample(frame):
                yield from _timed(stream.encode(resampled), stream)
        yield from _timed(stream.encode(), stream)


def _timed(packets: Iterable[Any], stream: Any) -> Iterator[tuple[float, Any]]:
    """Yield the decoding time of each packet in seconds, and the packet, assigned to ``stream``."""
    for packet in packets:
        if packet.dts is not None:  # the last packet of a file is empty
            time = float(packet.dts * packet.time_base)
            packet.stream = stream
            yield time, packet


@contextmanager
def _written(path: Path, form: str, options: dict[str, str]) -> Iterator[Any]:
    try:
        with av.open(str(path), "w", format=form, options=options) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        reason = (error.strerror or str(error)).lower()
        raise FileWriteError(f"the film cannot be written: {reason}; free space, or try another container") from error
