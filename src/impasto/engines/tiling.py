"""Division of pictures into tiles, whose halo leaves no seam visible, and the progress of a run from tile to tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from impasto.optimization.memory import SPARE, free_memory
from impasto.types import Picture, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.types import OnStep

_ACTIVATIONS = 1000
"""Bytes of address space that a network takes per input pixel; 250 to 570 of them become resident."""


@dataclass(frozen=True)
class Tiling:
    """The tiles that pictures may be divided into. They determine how much memory and time a run takes; the result does
    not depend on them."""

    sizes: tuple[tuple[int, int], ...] = ((512, 768), (256, 384), (128, 192))
    """Heights and widths of tiles in pixels. The smaller ones are used if memory is scarce.

    A strip is one tile high and is held in memory.
    """
    undivided: int = 1 << 20
    """Number of pixels up to which a picture is painted without tiles, if the memory suffices."""

    def rows(self, height: int, width: int, *, halo: int) -> list[list[Tile]]:
        """Divide ``height`` x ``width`` pixels into the largest tiles that fit into the free memory, or else the
        smallest of ``sizes``."""
        # Halos cost time, so a small picture is not divided if it fits into the memory.
        whole = ((height, width),) if height * width <= self.undivided else ()
        free = SPARE * free_memory()
        for size in (*whole, *self.sizes):
            seen = [min(side, part + 2 * halo) for side, part in zip((height, width), size, strict=True)]
            if _ACTIVATIONS * seen[0] * seen[1] <= free:
                break
        return plan_tiles(height, width, *size, halo=halo)


class TileSteps:
    """Reports the progress of a run that paints the tiles of ``rows``. Each tile is a step."""

    def __init__(self, rows: list[list[Tile]], on_step: OnStep, preview: Callable[[], Picture]) -> None:
        """Report to ``on_step``; ``preview`` is a function that returns the current picture."""
        self._total = sum(len(row) for row in rows)
        self._scale = rows[-1][-1].right, rows[-1][-1].bottom
        self._on_step, self._preview = on_step, preview
        self._done = 0

    def made_one(self) -> None:
        """Report that another tile is done. An exception from ``on_step`` stops the run."""
        self._done += 1
        self._on_step(
            Step(
                done=self._done,
                total=self._total,
                fraction=self._done / self._total,
                scale=self._scale,
                losses={},
                preview=self._preview,
            )
        )


@dataclass(frozen=True)
class Tile:
    """A tile of a picture, in pixels, without its halo and (``seen``) with it. Ends are excluded."""

    top: int
    bottom: int
    left: int
    right: int
    seen_top: int
    seen_bottom: int
    seen_left: int
    seen_right: int

    @property
    def seen_pixels(self) -> int:
        """Number of pixels of the tile with its halo."""
        return (self.seen_bottom - self.seen_top) * (self.seen_right - self.seen_left)


def plan_tiles(height: int, width: int, tile_height: int, tile_width: int, *, halo: int) -> list[list[Tile]]:
    """Divide ``height`` x ``width`` pixels into rows of tiles of at most ``tile_height`` x ``tile_width``.

    Each tile has a halo of ``halo`` pixels at every edge, limited by the picture. All edges except the picture's own
    are multiples of the greatest common divisor of the tile's sides and ``halo``.
    """
    rows = []
    for top in range(0, height, tile_height):
        row = []
        for left in range(0, width, tile_width):
            bottom, right = min(top + tile_height, height), min(left + tile_width, width)
            row.append(
                Tile(
                    top,
                    bottom,
                    left,
                    right,
                    max(0, top - halo),
                    min(height, bottom + halo),
                    max(0, left - halo),
                    min(width, right + halo),
                )
            )
        rows.append(row)
    return rows
