"""Labelled contact sheets, and curves of losses."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from impasto.errors import needs_extra
from impasto.images.lazy import resize_picture
from impasto.images.libvips import pyvips
from impasto.images.scale import fit_size
from impasto.types import FloatArray, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_INK = 0.13


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet and its caption."""

    picture: Picture | None
    """The picture; None leaves the cell empty."""
    caption: str = ""
    """Caption, which is wrapped to the width of the cell and may contain line breaks."""


def sheet(
    rows: Sequence[Sequence[Cell]],
    *,
    title: str,
    column_labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    cell_side: int = 320,
) -> Picture:
    """Return a contact sheet with dark text on white. The longer side of every picture is ``cell_side`` pixels.

    Raises:
        MissingDependencyError: matplotlib, whose font is used, is not installed.
    """
    text, gap = max(12, cell_side // 20), max(8, cell_side // 16)
    tiles = [[_tile(cell.picture, cell_side) for cell in row] for row in rows]
    columns = max([len(column_labels), *map(len, rows)])
    box = max((tile.shape[1] for row in tiles for tile in row), default=0) or cell_side
    captions = [[_write(cell.caption, text, box, "centre") for cell in row] for row in rows]
    heads = [_write(label, text * 9 // 8, box, "centre") for label in column_labels]
    sides = [_write(label, text * 9 // 8, cell_side * 2 // 3, "low") for label in row_labels]
    sides += [_blank()] * (len(rows) - len(sides))
    margin = max(side.shape[1] + gap if side.size else 0 for side in [_blank(), *sides])

    def line(side: FloatArray, blocks: Sequence[FloatArray], vertical: float) -> FloatArray:
        height = max((block.shape[0] for block in [side, *blocks]), default=0)
        padded = [*blocks, *[_blank()] * (columns - len(blocks))]
        boxes = [_boxed(block, height, box + gap, vertical, 0.5) for block in padded]
        return np.concatenate([_boxed(side, height, margin, 0.5, 0), *boxes], axis=1)

    lines = [line(_blank(), heads, 1.0), _blank(gap // 2)]
    for side, row_tiles, row_captions in zip(sides, tiles, captions, strict=True):
        lines += [
            line(side, row_tiles, 0.5),
            _blank(gap // 3),
            line(_blank(), row_captions, 0.0),
            _blank(gap),
        ]
    width = margin + columns * (box + gap)
    lines = [_write(title, text * 3 // 2, width, "low"), _blank(gap), *lines]
    canvas = np.concatenate([_boxed(block, block.shape[0], width, 0, 0) for block in lines])
    frame = ((2 * gap, gap), (2 * gap, 2 * gap), (0, 0))
    return Picture(pixels=np.pad(canvas, frame, constant_values=1))


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


def _blank(height: int = 0) -> FloatArray:
    return np.ones((height, 0, 3), dtype=np.float32)


def _boxed(block: FloatArray, height: int, width: int, vertical: float, horizontal: float) -> FloatArray:
    """Return ``block`` in a white box; alignment 0 is the top or left, 1 is the bottom or right."""
    result = np.ones((height, width, 3), dtype=np.float32)
    top, left = int((height - block.shape[0]) * vertical), int((width - block.shape[1]) * horizontal)
    result[top : top + block.shape[0], left : left + block.shape[1]] = block
    return result


def _tile(picture: Picture | None, side: int) -> FloatArray:
    """Return the pixels of a picture over white, with the longer side ``side``; no pixels for None."""
    if picture is None:
        return _blank()
    return resize_picture(picture, *fit_size(picture.width, picture.height, side)).over_white


def _write(words: str, size: int, width: int, align: str) -> FloatArray:
    """Return dark text of ``size`` pixels on white, wrapped to ``width`` pixels; no pixels for ''."""
    if not words.strip():
        return _blank()
    ink = pyvips.Image.text(
        escape(words, quote=False),
        font=f"DejaVu Sans {size}",
        fontfile=str(_font()),
        dpi=72,
        width=width,
        wrap="word-char",
        align=align,
    )
    mask = np.asarray(ink.numpy(), dtype=np.float32) / 255
    # libvips crops the image to the ink. It is padded to whole lines, so that adjacent captions share baselines.
    top, line = max(ink.yoffset, 0), size * 5 // 4
    mask = np.pad(mask, ((top, -(top + ink.height) % line), (0, 0)))[:, :width]
    return np.repeat(1 - mask[:, :, None] * np.float32(1 - _INK), 3, axis=2)


def _font() -> Path:
    """Return the font file of matplotlib, since a server may have no fonts."""
    with needs_extra("a labelled sheet", "torch"):
        import matplotlib
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
