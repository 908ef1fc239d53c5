"""Orientation of the frames of a film, from its display matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from impasto.types import FloatArray


@dataclass(frozen=True)
class Orientation:
    """One of the eight orientations of stored frames: first transposed, then mirrored and flipped."""

    transposed: bool = False
    mirrored: bool = False
    """Exchange left and right."""
    flipped: bool = False
    """Exchange top and bottom."""

    @classmethod
    def of(cls, frame: Any) -> Orientation:
        """Return the orientation nearest to the display matrix of ``frame``, an `av.VideoFrame`."""
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return cls()
        # ISO 14496-12, section 6.2.2: the pixel (x, y) is shown at (a x + c y, b x + d y).
        (a, b), (c, d) = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2].tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def upright(self, pixels: FloatArray) -> FloatArray:
        """Return ``pixels`` (H, W, 3) as they are shown."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        return np.ascontiguousarray(pixels[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1])
