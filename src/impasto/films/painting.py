"""Painting of a film shot by shot, and in parts, so that an interrupted run can be resumed.

Feed-forward engines normalise with the statistics of the first frame of each shot, so that objects that do not change
keep their colours. With the statistics of every frame, a passer-by would change the colours of the whole street. `nnst`
continues each frame from the one before, and `gatys` paints each by itself.
"""

from __future__ import annotations

import json
import shutil
from collections import deque
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.base import StylizeInputs
from impasto.errors import CheckpointError, TruncatedFilmError
from impasto.files import whole_file, write_whole
from impasto.films.clips import Frame
from impasto.films.joining import join
from impasto.images import LazyPicture, xmp
from impasto.images.scale import resize_pixels
from impasto.types import Picture, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from impasto.engines.base import Engine, PaintFrame, Style
    from impasto.films.clips import Clip
    from impasto.films.containers import Encoding
    from impasto.films.joining import Track
    from impasto.films.motion import Steady
    from impasto.types import FloatArray, OnStep

_RUN_FILE = "run"

_GRID = (9, 16)
_RECENT = 12
_LEAST = 0.06
"""Mean colour difference in [0, 1] below which a change is not a cut."""
_TIMES = 4.0
"""Minimum change at a cut, as a multiple of the usual change."""


@dataclass(frozen=True)
class Parts:
    """The folder of a run, with the parts that have been painted."""

    folder: Path
    facts: str
    """Description of everything that determines the result."""
    frames: int
    """Number of frames of a part, which is the maximum number of frames to repeat after an interruption."""

    def found(self) -> list[Path]:
        """Return the existing parts, from which the run is resumed.

        Raises:
            CheckpointError: the folder belongs to another run.
        """
        note = self.folder / _RUN_FILE
        if not note.exists():
            return []
        if note.read_text() != self.facts:
            raise CheckpointError(
                f"{self.folder.name} belongs to a run with another film or options; repeat its command exactly, or "
                "begin it anew"
            )
        return sorted(self.folder.glob("[0-9]*.part"))

    def begin(self) -> None:
        """Create an empty folder for parts, and delete older parts."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / _RUN_FILE).write_text(self.facts)

    def path(self, number: int) -> Path:
        """Return the path of the part ``number``, counted from 0."""
        return self.folder / f"{number:06d}.part"

    def last_frame(self, number: int) -> Path:
        """Return the path of the last painted frame of the part ``number``, from which the next part continues."""
        return self.folder / f"{number:06d}.npy"


class PaintedFrames:
    """The painted frames of a film.

    Attributes:
        shots: number of shots that have begun so far.
        frames: number of frames that have been read so far.
        missing: sentence about frames of the film that could not be read; None if there are none so far.
        steady: mixes each frame with the one before.
    """

    def __init__(
        self,
        clip: Clip,
        engine: Engine,
        styles: tuple[Style, ...],
        steady: Steady,
        on_step: OnStep,
        on_note: Callable[[str], None],
    ) -> None:
        """Prepare to paint ``clip``. ``on_step`` is called after every painted frame, ``on_note`` once for each
        distinct note."""
        self.shots = self.frames = 0
        self.missing: str | None = None
        self._clip = clip
        self._engine = engine
        self._styles = styles
        self.steady = steady
        self._on_step = on_step
        self._on_note = on_note
        self._noted: set[str] = set()

    def after(self, skipped: int, last: FloatArray | None) -> Iterator[Frame]:
        """Skip the first ``skipped`` frames and paint the others. ``last`` is the painted version of the last skipped
        frame."""
        shots = Shots()
        paint: PaintFrame | None = None
        for frame in self._read():
            picture = LazyPicture.of(Picture(frame.pixels))
            if shots.begins(frame.pixels):
                self.shots += 1
                first, paint = picture, None
                self.steady.begin()
            self.frames += 1
            if self.frames <= skipped:
                self.steady.see(frame.pixels)
                self.steady.painted = last
                continue
            paint = paint or self._engine.shot(StylizeInputs(first, self._styles), self._note)
            before = self.steady.before(frame.pixels)
            painted = np.concatenate([strip.pixels for strip in paint(picture, before)])
            pixels = self.steady.mix(frame.pixels, painted, before)
            self._report(pixels)
            yield Frame(pixels, frame.time)

    def _read(self) -> Iterator[Frame]:
        try:
            yield from self._clip.read()
        except TruncatedFilmError as error:
            self.missing = str(error)

    def _note(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._on_note(text)

    def _report(self, pixels: FloatArray) -> None:
        total = max(self._clip.frames, self.frames)
        self._on_step(
            Step(
                done=self.frames,
                total=total,
                fraction=self.frames / total,
                scale=(pixels.shape[1], pixels.shape[0]),
                losses={},
                preview=lambda: Picture(pixels),
            )
        )


def paint_film(
    frames: PaintedFrames,
    clip: Clip,
    tracks: Sequence[Track],
    encoding: Encoding,
    target: Path,
    parts: Parts,
    *,
    resume: bool,
) -> None:
    """Write ``target``: the painted ``frames`` of ``clip``, and its other ``tracks``.

    If the film is cut off or damaged, the result has the frames that could be read, and `PaintedFrames.missing` is set.

    Args:
        frames: the painted frames. Frames in existing parts are not painted again.
        clip: the film.
        tracks: tracks of sound and subtitles of the result.
        encoding: encoding of the result.
        target: path of the result.
        parts: storage for parts until the film is complete.
        resume: continue from existing parts.

    Raises:
        FileWriteError: the codec fails, or the disk is full or read-only.
        CheckpointError: the parts belong to another run.
    """
    done = parts.found() if resume else []
    last = np.load(parts.last_frame(len(done) - 1)) if done else None
    painted = frames.after(parts.frames * len(done), last)
    while (first := next(painted, None)) is not None:
        if not done:
            parts.begin()  # after the first painted frame, so that a failing run does not delete older parts
        path = parts.path(len(done))
        with whole_file(path) as temporary:
            encoding.write_part(temporary, chain([first], islice(painted, parts.frames - 1)), clip)
            # The last frame is saved before the part gets its final name, so every complete part has one.
            with whole_file(parts.last_frame(len(done))) as kept, kept.open("wb") as file:
                np.save(file, np.asarray(frames.steady.painted))
        parts.last_frame(len(done) - 1).unlink(missing_ok=True)
        done.append(path)
    with whole_file(target) as temporary:
        join(done, clip, tracks, temporary, encoding, parts.facts)
    if encoding.form == "gif":  # GIF cannot hold metadata
        write_whole(xmp.sidecar(target), xmp.pack(json.loads(parts.facts)))
    shutil.rmtree(parts.folder)


class Shots:
    """Detects the first frame of each shot.

    Frames are compared as mosaics of 16x9 colours. Motion within a shot changes the mosaic gradually, and fast motion
    changes it repeatedly. A cut changes it once, and much more than usual.
    """

    def __init__(self) -> None:
        """Start before the first frame."""
        self._last: FloatArray | None = None
        self._changes: deque[float] = deque(maxlen=_RECENT)

    def begins(self, pixels: FloatArray) -> bool:
        """Return True if the next frame, ``pixels`` (H, W, 3), begins a shot. The first frame does."""
        mosaic = resize_pixels(pixels, *_GRID)
        if self._last is None:
            self._last = mosaic
            return True
        change = float(np.abs(mosaic - self._last).mean())
        usual = float(np.median(self._changes)) if self._changes else 0.0
        self._last = mosaic
        cut = change > max(_LEAST, _TIMES * usual)
        if cut:
            self._changes.clear()
        else:
            self._changes.append(change)
        return cut
