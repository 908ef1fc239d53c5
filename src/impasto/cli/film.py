"""``impasto stylize FILM``: films, frame by frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli.run_files import parts_path
from impasto.engines.base import result_metadata
from impasto.engines.catalog import ENGINES
from impasto.errors import FileWriteError, UsageError
from impasto.films import ANIMATION_SUFFIXES, FILM_FORMATS, FILM_SUFFIXES
from impasto.images import fit_size, is_animated

if TYPE_CHECKING:
    from impasto.cli.console import RunDisplay
    from impasto.cli.provenance import Provenance
    from impasto.engines.base import Engine, Style
    from impasto.options import EngineOptions

STEADY = 0.7
_QUALITY = 90
_LONGEST_SIDE = 16384
"""Longest side, in pixels, of frames that the codecs take."""
_PART, _SLOW_PART = 96, 4
"""Largest number of frames that are painted again after a run was killed. This takes a quarter of a minute for engines
of one pass, and minutes for engines of many steps."""


def is_film(path: Path | None, output: Path | None) -> bool:
    """Return True if ``path`` is a film, by its suffix, or an animation that ``output`` can hold with all its frames.

    ``output`` is None for stdout.
    """
    if path is None or output is None:
        return path is not None and path.suffix.lower() in FILM_SUFFIXES
    suffix, result = path.suffix.lower(), output.suffix.lower()
    moving = suffix in ANIMATION_SUFFIXES and result in FILM_FORMATS
    return suffix in FILM_SUFFIXES or (moving and is_animated(path))


@dataclass(frozen=True)
class Film:
    """A film to paint, and the path of the result."""

    provenance: Provenance
    output: Path | None
    styles: tuple[Style, ...]
    steady: float
    resume: bool

    def check(self) -> Path:
        """Refuse a film that cannot be painted, before anything is loaded; return the path of the result.

        Raises:
            UsageError: there are masks, the result would not be a film, or an option is out of range.
        """
        if self.output is None or self.output.suffix.lower() not in FILM_FORMATS:
            suffixes = ", ".join(FILM_FORMATS)
            raise UsageError(f"the result of a film is a film; give -o a name that ends with one of {suffixes}")
        if not 0 <= self.steady < 1:
            raise UsageError(f"--steady is {self.steady:g}; it should be at least 0 and less than 1")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"--quality is {self.quality}; it should be from 1 to 100")
        if self.provenance.masks:
            raise UsageError("a mask is one picture, and what a film shows moves; leave --mask")
        return self.output

    @property
    def quality(self) -> int:
        """Quality of the frames, from 1 to 100."""
        return _QUALITY if self.provenance.quality is None else self.provenance.quality

    def paint(
        self, target: Path, name: str, engine: Engine, options: EngineOptions, display: RunDisplay
    ) -> dict[str, object]:
        """Paint into ``target``, the path from `check`, with ``engine``, called ``name``; return fields for ``--json``.

        If the source is cut off or damaged, 'missing' has a sentence about it, and the result has the other frames.

        Raises:
            ImageReadError: the source is not a film.
            FileWriteError: the result cannot be written.
            CheckpointError: ``--resume`` finds parts of another run.
        """
        from impasto.films.animations import open_film
        from impasto.films.containers import Encoding
        from impasto.films.joining import check_joining
        from impasto.films.motion import Steady
        from impasto.films.painting import PaintedFrames, Parts, paint_film

        clip = open_film(Path(self.provenance.content.where))
        width, height = fit_size(clip.width, clip.height, options.size)
        if max(width, height) > _LONGEST_SIDE:
            raise FileWriteError(
                f"frames would be {width}x{height}; films hold at most {_LONGEST_SIDE} pixels a side; choose a smaller "
                "size"
            )
        encoding = Encoding.of(width, height, FILM_FORMATS[target.suffix.lower()], self.quality)
        tracks, lost = check_joining(clip, encoding, target)
        for sentence in lost:
            display.note(sentence)
        made = result_metadata(name, options, network=engine.network.identity, steady=str(self.steady))
        run = {**made, **self.provenance.metadata}
        frames_of_a_part = _SLOW_PART if ENGINES[name].steps else _PART
        parts = Parts(parts_path(target), json.dumps(run), frames_of_a_part)
        frames = PaintedFrames(clip, engine, self.styles, Steady(self.steady), display.step, display.note)
        paint_film(frames, clip, tracks, encoding, target, parts, resume=self.resume)
        report: dict[str, object] = {
            "output": str(target),
            "width": encoding.width,
            "height": encoding.height,
            "frames": frames.frames,
            "shots": frames.shots,
        }
        return {**report, "missing": frames.missing} if frames.missing else report
