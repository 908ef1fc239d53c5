"""``impasto stylize FILM``: films, frame by frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.engines.base import ShotEngine
from impasto.errors import UsageError
from impasto.films import FILM_FORMATS
from impasto.images import fit_size
from impasto.images.atomic import check_folder

if TYPE_CHECKING:
    from impasto.cli.console import RunDisplay
    from impasto.cli.recipe import Recipe
    from impasto.engines.base import Engine, Style
    from impasto.options import EngineOptions

STEADY = 0.7
_QUALITY = 90


def is_film(path: Path | None) -> bool:
    """Say whether ``path`` is taken for a film, by its suffix."""
    return path is not None and path.suffix.lower() in FILM_FORMATS


@dataclass(frozen=True)
class Film:
    """A film to paint, and where the result goes."""

    recipe: Recipe
    target: Path | None
    styles: tuple[Style, ...]
    steady: float
    resume: bool

    def paint(self, name: str, engine: Engine, options: EngineOptions, display: RunDisplay) -> dict[str, object]:
        """Paint with ``engine``, which is called ``name``; return what ``--json`` says.

        Raises:
            UsageError: the engine paints no films, there are masks, or the result would be no film.
            ImageReadError: the source is no film, or is damaged.
            ImageWriteError: the result cannot be written.
            CheckpointError: ``--resume`` finds parts of another run.
        """
        if not isinstance(engine, ShotEngine):
            raise UsageError(
                f"engine {name!r} paints single pictures; for films choose --engine fast, adain, sanet, transformer or "
                "texture-net"
            )
        if self.target is None or not is_film(self.target):
            suffixes = ", ".join(FILM_FORMATS)
            raise UsageError(f"the result of a film is a film; give -o a name that ends with one of {suffixes}")
        if not 0 <= self.steady < 1:
            raise UsageError(f"--steady is {self.steady:g}; it should be at least 0 and less than 1")
        if self.recipe.masks:
            raise UsageError("a mask is one picture, and what a film shows moves; leave --mask")
        check_folder(self.target)
        from impasto.films.clips import Clip, Encoding
        from impasto.films.motion import Steady
        from impasto.films.painting import PaintedFrames, Parts, paint_film

        clip = Clip(Path(self.recipe.content.where))
        width, height = fit_size(clip.width, clip.height, options.size)
        # Colours are stored for 2x2 pixels.
        encoding = Encoding(
            max(2, width - width % 2),
            max(2, height - height % 2),
            FILM_FORMATS[self.target.suffix.lower()],
            self.recipe.quality or _QUALITY,
        )
        facts = {
            "software": f"impasto {version('impasto')}",
            "engine": name,
            "options": options.model_dump_json(),
            "steady": str(self.steady),
            **self.recipe.metadata,
        }
        parts = Parts(self.target.with_name(f"{self.target.name}.parts"), json.dumps(facts))
        frames = PaintedFrames(clip, engine, self.styles, Steady(self.steady), display.step)
        paint_film(frames, clip, encoding, self.target, parts, resume=self.resume)
        return {
            "output": str(self.target),
            "width": encoding.width,
            "height": encoding.height,
            "frames": frames.frames,
            "shots": frames.shots,
        }
