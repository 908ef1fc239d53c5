"""Curves of losses."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def plot_losses(rows: Sequence[Mapping[str, float]], path: Path, *, smooth: int = 1) -> None:
    """Draw the losses of ``rows`` over the steps, on a logarithmic axis, into a PNG file.

    Args:
        rows: 'step' and losses by name. With 'width' and 'height', lines mark the steps at which the width changes.
        path: path of the file.
        smooth: number of steps over which losses are averaged. This is useful for trainings, which use other pictures
            at every step.
    """
    import statistics

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    steps = [row["step"] for row in rows]
    for name in rows[-1]:
        if name not in ("step", "width", "height"):
            values = [row[name] for row in rows]
            means = [statistics.fmean(values[max(0, i - smooth + 1) : i + 1]) for i in range(len(values))]
            # A logarithmic axis has no 0, and a small number in its place would stretch the axis.
            axes.semilogy(steps, [mean or math.nan for mean in means], label=name)
    for before, after in itertools.pairwise(rows):
        if after.get("width") != before.get("width"):
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
