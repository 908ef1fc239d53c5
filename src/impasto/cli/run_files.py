"""Files that a run writes beside its picture: intermediate pictures, an animation of them, and curves of the losses."""

from __future__ import annotations

import csv
import itertools
import re
from typing import TYPE_CHECKING

from impasto.errors import UsageError
from impasto.files import beside, check_folder
from impasto.images import plot_losses, resize_picture, write_animation, write_picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from impasto.types import Picture, Step

_ANIMATION_FRAMES = 40
_FRAME_SECONDS = 0.12
_FRAME_NAME = re.compile(r"(.+)-\d{6,}(\.\w+)")
"""Name of an intermediate picture. Its groups are the stem and the suffix of the result."""


def checkpoint_path(output: Path) -> Path:
    """Return the file that keeps the state of the run that paints ``output``."""
    return beside(output, ".checkpoint")


def parts_path(output: Path) -> Path:
    """Return the folder that keeps the parts of the film ``output`` until it is complete."""
    return beside(output, ".parts")


def is_finished(output: Path) -> bool:
    """Return whether ``output`` exists, without a checkpoint or parts of an interrupted run beside it."""
    return output.exists() and not checkpoint_path(output).exists() and not parts_path(output).exists()


def written_files(
    outputs: Sequence[Path], inputs: Iterable[Path], save_every: int, animation: Path | None, losses: Path | None
) -> list[Path]:
    """Return the files that a run writes, with those intermediate pictures that have the name of one of ``inputs``."""
    files = [*outputs, *filter(None, (animation, losses))]
    if losses is not None:
        files.append(_curves_path(losses))
    if save_every:
        frames: dict[str, list[str]] = {}
        for found in filter(None, (_FRAME_NAME.fullmatch(path.name) for path in inputs)):
            frames.setdefault(found[1] + found[2], []).append(found[0])
        files += [output.with_name(name) for output in outputs for name in frames.get(output.name, ())]
    return files


def _curves_path(losses: Path) -> Path:
    return losses.with_name(f"{losses.stem}-curves.png")


class RunFiles:
    """Writes the files beside a picture from the steps of its run."""

    def __init__(
        self, output: Path | None, *, save_every: int, animation: Path | None, losses: Path | None, resume: bool
    ) -> None:
        """Check the names of the files.

        Args:
            output: the file of the picture, beside which intermediate pictures are written; None for stdout.
            save_every: number of steps between intermediate pictures; 0 for none.
            animation: a GIF or WebP file of the intermediate pictures, or of about 40 if none are saved.
            losses: a CSV file that gets a row at every step. Its plot is written beside it as NAME-curves.png.
            resume: whether the CSV file may belong to the first part of this run.

        Raises:
            UsageError: a name has the wrong suffix, or there are intermediate pictures but the result goes to stdout.
            FileWriteError: a folder does not exist.
        """
        if save_every and output is None:
            raise UsageError("--save-every needs an output file to put its pictures beside; -o - has none")
        if losses is not None and losses.suffix.lower() != ".csv":
            raise UsageError(f"--losses is {str(losses)!r}; its name must end in .csv")
        if animation is not None and animation.suffix.lower() not in (".gif", ".webp"):
            raise UsageError(f"--animation is {str(animation)!r}; its name must end in .gif or .webp")
        for path in filter(None, (animation, losses)):
            check_folder(path)
        self._output = output
        self._save_every = save_every
        self._animation = animation
        self._losses = losses
        self._resume = resume
        self._frames: list[Picture] = []
        self._rows: list[dict[str, float]] = []

    def step(self, step: Step) -> None:
        """Save the picture and the losses of this step, if they are due."""
        if self._save_every and step.done % self._save_every == 0 and self._output is not None:
            frame = self._output.with_name(f"{self._output.stem}-{step.done:06d}{self._output.suffix}")
            write_picture(step.preview(), frame)
        every = self._save_every or max(1, step.total // _ANIMATION_FRAMES)
        if self._animation is not None and (step.done % every == 0 or step.done == 1):
            self._frames.append(step.preview())
        if self._losses is not None:
            self._add_row(self._losses, step)

    def close(self, picture: Picture) -> None:
        """Write the animation, which ends with ``picture``, and the plot."""
        if self._animation is not None:
            largest = max([*self._frames, picture], key=lambda frame: frame.width)
            frames = [resize_picture(frame, largest.width, largest.height) for frame in [*self._frames, picture]]
            write_animation(frames, self._animation, frame_seconds=_FRAME_SECONDS)
        if self._losses is not None and self._rows:
            plot_losses(self._rows, _curves_path(self._losses))

    def _add_row(self, path: Path, step: Step) -> None:
        """Write the losses of ``step`` at once, so that they are not lost if the run is killed."""
        width, height = step.scale
        row = {"step": step.done, "width": width, "height": height, **step.losses}
        if self._rows:
            new, mode = [row], "a"
        else:
            earlier = _read_rows(path, list(row), step.done) if self._resume and path.exists() else []
            new, mode = [*earlier, row], "w"
        with path.open(mode, newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if mode == "w":
                writer.writeheader()
            writer.writerows(new)
        self._rows += new


def _read_rows(path: Path, columns: list[str], end: int) -> list[dict[str, float]]:
    """Read the rows of the steps before ``end``; none if the file is of another run, as its other columns show."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != columns:
            return []
        rows = itertools.takewhile(lambda row: int(row["step"]) < end, reader)
        return [{name: int(value) if value.isdigit() else float(value) for name, value in row.items()} for row in rows]
