"""Division of a picture into tiles, which are computed with a halo so that no seam is visible."""

from __future__ import annotations

from dataclasses import dataclass


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
