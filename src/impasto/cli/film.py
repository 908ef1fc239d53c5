"""``impasto stylize FILM``: films, frame by frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.engines.catalog import ENGINES
from impasto.engines.metadata import result_metadata
from impasto.errors import UsageError
from impasto.files import check_folder
from impasto.films import FILM_FORMATS, FILM_SUFFIXES
from impasto.images import fit_size

if TYPE_CHECKING:
    from impasto.cli.console import RunDisplay
    from impasto.cli.provenance import Provenance
    from impasto.engines.base import Engine, Style
    from impasto.options import EngineOptions

STEADY = 0.7
_QUALITY = 90
_PART, _SLOW_PART = 96, 4
"""Frames that are painted anew at most if a run is killed: a quarter of a minute by one pass, minutes by many steps."""


def is_film(path: Path | None) -> bool:
    """Say whether ``path`` is taken for a film, by its suffix."""
    return path is not None and path.suffix.lower() in FILM_SUFFIXES


@dataclass(frozen=True)
class Film:
    """A film to paint, and where the result goes."""

    provenance: Provenance
    output: Path | None
    styles: tuple[Style, ...]
    steady: float
    resume: bool

    def check(self) -> Path:
        """Refuse what cannot be painted before anything is loaded; return where the result goes.

        Raises:
            UsageError: there are masks, or the result would be no film.
            FileWriteError: the folder of the result is missing.
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
        check_folder(self.output)
        return self.output

    @property
    def quality(self) -> int:
        """Of the pictures."""
        return _QUALITY if self.provenance.quality is None else self.provenance.quality

    def paint(
        self, target: Path, name: str, engine: Engine, options: EngineOptions, display: RunDisplay
    ) -> dict[str, object]:
        """Paint into ``target``, which `check` returned, with ``engine``, called ``name``; return what ``--json`` says.

        Raises:
            ImageReadError: the source is no film, or is damaged.
            FileWriteError: the result cannot be written.
            CheckpointError: ``--resume`` finds parts of another run.
        """
        from impasto.films.clips import Clip, Encoding
        from impasto.films.motion import Steady
        from impasto.films.painting import PaintedFrames, Parts, paint_film

        clip = Clip(Path(self.provenance.content.where))
        width, height = fit_size(clip.width, clip.height, options.size)
        # Colours are stored for 2x2 pixels.
        encoding = Encoding(
            max(2, width - width % 2),
            max(2, height - height % 2),
            FILM_FORMATS[target.suffix.lower()],
            self.quality,
        )
        made = result_metadata(name, options, network=engine.network.identity, steady=str(self.steady))
        run = {**made, **self.provenance.metadata}
        frames_of_a_part = _SLOW_PART if ENGINES[name].steps else _PART
        parts = Parts(target.with_name(f"{target.name}.parts"), json.dumps(run), frames_of_a_part)
        frames = PaintedFrames(clip, engine, self.styles, Steady(self.steady), display.step, display.note)
        paint_film(frames, clip, encoding, target, parts, resume=self.resume)
        return {
            "output": str(target),
            "width": encoding.width,
            "height": encoding.height,
            "frames": frames.frames,
            "shots": frames.shots,
        }
