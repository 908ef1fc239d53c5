"""Painting a film: part by part, so that a run that was killed goes on where it was.

The statistics that the network normalises with are those of the first frame of each shot: what is the same in two
frames is painted in the same colours. (Frame by frame, a passer-by would change those of the whole street.)
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.base import StylizeInputs
from impasto.errors import CheckpointError
from impasto.files import whole_file
from impasto.films.clips import Frame, join
from impasto.films.shots import Shots
from impasto.images import LazyPicture
from impasto.types import Picture, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from impasto.engines.base import Engine, Style
    from impasto.films.clips import Clip, Encoding
    from impasto.films.motion import Steady
    from impasto.types import FloatArray, OnStep

    Strips = Callable[[LazyPicture], Iterator[Picture]]

_RUN_FILE = "run"


@dataclass(frozen=True)
class Parts:
    """The folder of a run, with the parts that are painted already."""

    folder: Path
    facts: str
    """Everything that determines the film."""
    frames: int
    """Of a part: so many are painted anew at most if a run is killed."""

    def found(self) -> list[Path]:
        """Return the parts to go on from.

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
        """Make room for parts, and delete older ones."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / _RUN_FILE).write_text(self.facts)

    def path(self, number: int) -> Path:
        """Name the part of this ``number``, counted from 0."""
        return self.folder / f"{number:06d}.part"

    def last_frame(self, number: int) -> Path:
        """Name the file with the last frame of this part, which the next one goes on from."""
        return self.folder / f"{number:06d}.npy"


class PaintedFrames:
    """The frames of a film, painted.

    Attributes:
        shots: that have begun so far.
        frames: that were read so far.
        steady: what mixes each with the one before.
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
        """Paint ``clip`` with ``engine``; ``on_step`` is called after every frame, ``on_note`` once for every note."""
        self.shots = self.frames = 0
        self._clip = clip
        self._engine = engine
        self._styles = styles
        self.steady = steady
        self._on_step = on_step
        self._on_note = on_note
        self._noted: set[str] = set()

    def after(self, skipped: int, last: FloatArray | None) -> Iterator[Frame]:
        """Paint all frames but the first ``skipped``, which are only looked at, and of which ``last`` was the last."""
        shots = Shots()
        paint: Strips | None = None
        for frame in self._clip.read():
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
            painted = np.concatenate([strip.pixels for strip in paint(picture)])
            pixels = self.steady.mix(frame.pixels, painted)
            self._report(pixels)
            yield Frame(pixels, frame.time)

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
    frames: PaintedFrames, clip: Clip, encoding: Encoding, target: Path, parts: Parts, *, resume: bool
) -> None:
    """Write ``target``: the painted ``frames`` of ``clip``, and its sound.

    Args:
        frames: of which those in parts that are there already are not painted again.
        clip: the film.
        encoding: of the result.
        target: the result.
        parts: where parts are kept until the film is done.
        resume: go on from the parts that are there.

    Raises:
        ImageReadError: the film is damaged.
        FileWriteError: the codec or the disk refuses.
        CheckpointError: the parts are of another run.
    """
    done = parts.found() if resume else []
    last = np.load(parts.last_frame(len(done) - 1)) if done else None
    painted = frames.after(parts.frames * len(done), last)
    while (first := next(painted, None)) is not None:
        if not done:
            parts.begin()  # not before a frame is painted: what cannot be painted costs nobody an older run
        path = parts.path(len(done))
        with whole_file(path) as temporary:
            encoding.write_part(temporary, chain([first], islice(painted, parts.frames - 1)), clip)
            # A part counts from when it has its name: by then, this is there.
            with whole_file(parts.last_frame(len(done))) as kept, kept.open("wb") as file:
                np.save(file, np.asarray(frames.steady.painted))
        parts.last_frame(len(done) - 1).unlink(missing_ok=True)
        done.append(path)
    with whole_file(target) as temporary:
        join(done, clip, temporary, encoding.form, parts.facts)
    shutil.rmtree(parts.folder)
