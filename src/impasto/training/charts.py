"""Charts and sheets of a trained classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

_SMOOTH = 50


def plot_confusion(counts: npt.NDArray[np.int64], classes: Sequence[str], path: Path) -> None:
    """Draw the confusion matrix as PNG: true classes in rows, predicted classes in columns."""
    side = max(4.0, 0.7 * len(classes) + 2)
    figure = Figure(figsize=(side, side), dpi=120, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=45, ha="right")
    axes.set_yticks(places, classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    for row in places:
        for column in places:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)
    figure.savefig(path)


def plot_accuracy(
    training: Sequence[Mapping[str, float]], validation: Sequence[Mapping[str, float]], path: Path
) -> None:
    """Draw the training accuracy (mean over 50 steps) and the validation accuracy, as PNG.

    Args:
        training: 'step' and 'accuracy' of each step.
        validation: 'step' and 'accuracy' of each validation.
        path: the PNG file.
    """
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    values = [row["accuracy"] for row in training]
    means = [sum(values[max(0, end - _SMOOTH) : end]) / min(end, _SMOOTH) for end in range(1, len(values) + 1)]
    axes.plot([row["step"] for row in training], means, label="training")
    axes.plot([row["step"] for row in validation], [row["accuracy"] for row in validation], "o-", label="validation")
    axes.set_xlabel("step")
    axes.set_ylabel("accuracy")
    axes.set_ylim(0, 1)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path)
