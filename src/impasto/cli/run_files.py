"""What a run writes beside its picture: pictures on the way, an animation of them, and the curves of the losses."""

from __future__ import annotations

import csv
import itertools
from typing import TYPE_CHECKING

from impasto.errors import UsageError
from impasto.images import resize_picture, write_animation, write_picture

if TYPE_CHECKING:
    from pathlib import Path

    from impasto.types import Picture, Step

_ANIMATION_FRAMES = 40
_FRAME_SECONDS = 0.12


class RunFiles:
    """Takes the steps of one run."""

    def __init__(
        self, output: Path | None, *, save_every: int, animation: Path | None, losses: Path | None, resume: bool
    ) -> None:
        """Decide what to write.

        Args:
            output: the picture's file, beside which pictures on the way are put; None if it goes to stdout.
            save_every: steps between these; 0 for none.
            animation: a GIF or WebP file of the pictures on the way, or of about 40 if none are saved.
            losses: a CSV file of every step; its plot goes beside it as NAME-curves.png.
            resume: whether the CSV file may be of the first part of this run.
        """
        if save_every and output is None:
            raise UsageError("--save-every needs an output file to put its pictures beside; -o - has none")
        if losses is not None and losses.suffix.lower() != ".csv":
            raise UsageError(f"--losses is {str(losses)!r}; its name must end in .csv")
        self._output = output
        self._save_every = save_every
        self._animation = animation
        self._losses = losses
        self._resume = resume
        self._frames: list[Picture] = []
        self._rows: list[dict[str, float]] = []

    def step(self, step: Step) -> None:
        """Keep what is due at this step."""
        if self._save_every and step.done % self._save_every == 0 and self._output is not None:
            frame = self._output.with_name(f"{self._output.stem}-{step.done:06d}{self._output.suffix}")
            write_picture(step.preview(), frame)
        every = self._save_every or max(1, step.total // _ANIMATION_FRAMES)
        if self._animation is not None and (step.done % every == 0 or step.done == 1):
            self._frames.append(step.preview())
        if self._losses is not None:
            if not self._rows and self._resume and self._losses.exists():
                self._rows = [row for row in _read_rows(self._losses) if row["step"] < step.done]
            width, height = step.scale
            self._rows.append({"step": step.done, "width": width, "height": height, **step.losses})

    def close(self, picture: Picture) -> None:
        """Write the animation, which ends in ``picture``, and the curves."""
        if self._animation is not None:
            largest = max([*self._frames, picture], key=lambda frame: frame.width)
            frames = [resize_picture(frame, largest.width, largest.height) for frame in [*self._frames, picture]]
            write_animation(frames, self._animation, frame_seconds=_FRAME_SECONDS)
        if self._losses is not None and self._rows:
            with self._losses.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(self._rows[-1]))
                writer.writeheader()
                writer.writerows(self._rows)
            plot_losses(self._rows, self._losses.with_name(f"{self._losses.stem}-curves.png"))


def plot_losses(rows: list[dict[str, float]], path: Path) -> None:
    """Draw the losses of ``rows`` over the steps, on a logarithmic axis; a line marks where the scale changes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    steps = [row["step"] for row in rows]
    for name in rows[-1]:
        if name not in ("step", "width", "height"):
            axes.semilogy(steps, [max(row[name], 1e-12) for row in rows], label=name)
    for before, after in itertools.pairwise(rows):
        if after["width"] != before["width"]:
            axes.axvline(after["step"], color="0.8", linewidth=1)
            axes.annotate(
                f"{after['width']:.0f}x{after['height']:.0f}",
                (after["step"], 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, -10),
                textcoords="offset points",
                color="0.5",
                fontsize=8,
            )
    axes.set_xlabel("step")
    axes.set_ylabel("weighted loss")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path)


def _read_rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
