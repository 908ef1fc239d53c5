"""Reading of films through FFmpeg's libraries, and the orientation of their frames, from the display matrix."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import tee
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.errors import ImageReadError, TruncatedFilmError, needs_extra
from impasto.films.colors import Colors
from impasto.films.containers import FAILURES, packets, reading

with needs_extra("a film", "film"):
    import av
    from av.stream import Disposition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from impasto.types import FloatArray

_STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_USUAL_RATE = Fraction(25)
_SHORTAGE = 0.25
"""Seconds by which a film may fall short of its declared duration without counting as cut off. Programs differ by a few
frames in where a film ends."""


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
        path: the file.
        width: width of an upright frame in pixels.
        height: height of an upright frame in pixels.
        frames: number of frames, which may be an estimate.
        rate: average number of frames per second.
        time_base: unit of frame times in seconds.
        begin: time in the file, in seconds, at which frame times begin; 0 or more.
        shape: aspect ratio of a pixel, width divided by height.
        colors: colour space of the result, with the attribute names of `av.VideoFrame`.
        tags: metadata of the file, with lower-case names.
        chapters: chapters of the film, in the form of PyAV.
        others: numbers of the tracks of sound and subtitles.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``.

        Raises:
            ImageReadError: the file contains no film.
        """
        self.path = path
        with reading(path) as container:
            if not container.streams.video:
                raise ImageReadError(f"{path} holds no pictures; give a film")
            self._track = _main_track(container)
        with reading(path) as container:
            stream = container.streams[self._track]
            self.rate: Fraction = stream.guessed_rate or stream.average_rate or _USUAL_RATE
            self.time_base: Fraction = stream.time_base
            self.begin = max(Fraction(0), Fraction(container.start_time or 0, av.time_base))
            self._seconds = (container.duration or 0) / av.time_base
            seconds = float((stream.duration or 0) * stream.time_base) or self._seconds
            self.frames: int = stream.frames or max(1, round(seconds * self.rate))
            self.tags: dict[str, str] = {name.lower(): value for name, value in container.metadata.items()}
            self.chapters: list[dict[str, Any]] = container.chapters()
            others = (*container.streams.audio, *container.streams.subtitles)
            self.others: list[int] = [stream.index for stream in others]
            first = next(self._decoded(container))
            self._colors = Colors(first)
            self.colors = self._colors.result
            self._orientation = Orientation.of(first)
            self._sides = (first.width, first.height)
            self.shape: Fraction = stream.sample_aspect_ratio or Fraction(1)
            self.width, self.height = self._sides
            if self._orientation.transposed:
                self.width, self.height, self.shape = self.height, self.width, 1 / self.shape

    def read(self) -> Iterator[Frame]:
        """Decode the frames in order.

        Raises:
            TruncatedFilmError: after the last frame, if the file ends before the end that it declares, or if frames
                that cannot be decoded were left out.
        """
        with reading(self.path) as container:
            step = max(1, round(1 / (self.rate * self.time_base)))
            begin = round(self.begin / self.time_base)
            frames, timed = tee(self._decoded(container))
            times = whole_times((None if (at := _time(frame)) is None else at - begin for frame in timed), step)
            for frame, time in zip(frames, times, strict=True):
                # The frame size can change within a file, as in recordings of video calls.
                yield Frame(self._orientation.upright(self._colors.pixels(frame, *self._sides)), time)

    def _decoded(self, container: Any) -> Iterator[Any]:
        """Yield the frames as FFmpeg decodes them; see `read` for the errors."""
        stream = container.streams[self._track]
        stream.thread_type = "AUTO"
        expected = len(stream.index_entries)  # many containers have an index of all packets, others of some or none
        found = damaged = frames = 0
        end = 0.0
        for packet in packets(container):
            if (at := _time(packet)) is not None:
                end = max(end, float((at + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index != self._track:
                continue
            found += packet.size > 0
            try:
                decoded = packet.decode()
            except FAILURES:
                damaged += 1
                continue
            for frame in decoded:
                frames += 1
                yield frame
        if not frames:
            raise ImageReadError(f"{self.path} holds no frame that can be read; give another file")
        if found < expected or end - float(self.begin) < self._seconds - _SHORTAGE:
            raise TruncatedFilmError(f"{self.path} is cut off after {frames} of about {self.frames} frames")
        if damaged:
            raise TruncatedFilmError(f"{self.path} is damaged: {damaged} of about {self.frames} frames cannot be read")


def whole_times(given: Iterable[int | None], step: int) -> Iterator[int]:
    """Yield valid frame times: not negative and strictly increasing. A missing time is the last one plus ``step``."""
    time, begin = -step, None
    for at in given:
        shown = time + step if at is None else at
        begin = min(0, shown) if begin is None else begin
        time = max(time + 1, shown - begin) if time >= 0 else shown - begin
        yield time


@dataclass(frozen=True)
class Orientation:
    """One of the eight orientations of stored frames: first transposed, then mirrored and flipped."""

    transposed: bool = False
    mirrored: bool = False
    """Exchange left and right."""
    flipped: bool = False
    """Exchange top and bottom."""

    @classmethod
    def of(cls, frame: Any) -> Orientation:
        """Return the orientation nearest to the display matrix of ``frame``, an `av.VideoFrame`."""
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return cls()
        # ISO 14496-12, section 6.2.2: the pixel (x, y) is shown at (a x + c y, b x + d y).
        (a, b), (c, d) = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2].tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def upright(self, pixels: FloatArray) -> FloatArray:
        """Return ``pixels`` (H, W, 3) as they are shown."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        return np.ascontiguousarray(pixels[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1])


def _main_track(container: Any) -> int:
    """Return the number of the video track that is the film, not a cover or thumbnail."""
    pictures = container.streams.video
    found: Counter[int] = Counter()
    if len(pictures) > 1:
        for packet in packets(container, *pictures):
            found[packet.stream.index] += packet.size > 0
            if len(found) == len(pictures) and min(found.values()) > 1:
                break

    def rank(stream: Any) -> tuple[bool, bool, int, bool]:
        default = bool(stream.disposition & Disposition.default)
        return not stream.disposition & _STILL, found[stream.index] > 1, stream.width * stream.height, default

    main: int = max(pictures, key=rank).index
    return main


def _time(timed: Any) -> int | None:
    """Return the time of a packet or frame in its own unit."""
    at: int | None = timed.dts if timed.pts is None else timed.pts
    return at
