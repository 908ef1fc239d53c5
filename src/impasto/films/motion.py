"""Temporal consistency: the painted frame before, warped by the optical flow, and mixed into each painted frame.

Ruder et al. (2016), "Artistic Style Transfer for Videos", section 4, use a loss that keeps a frame close to the warped
previous one where the optical flow is reliable. Mixing the frames has a similar effect without optimisation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.base import MovedFrame
from impasto.errors import needs_extra
from impasto.images.color import luminance
from impasto.images.scale import fit_size, resize_pixels

with needs_extra("a film", "film"):
    import cv2

if TYPE_CHECKING:
    from impasto.types import FloatArray

_FLOW_SIDE = 512
"""Long side in pixels of the frames for the computation of optical flow."""
_LEAST = 12
"""Short side in pixels below which no optical flow is computed."""
_TOLERANCE = 0.06
"""Colour difference in [0, 1] up to which the flow is fully trusted. From twice this difference on, it is not used."""
_AROUND = 5
"""Side in pixels of the squares in which colours are compared."""
_SOFT = 9
"""Side in pixels of the squares over which the trust fades, so that new content begins without an edge."""


class Steady:
    """Mixes each painted frame with the one before, within a shot.

    Attributes:
        painted: the last frame that was returned, (H, W, 3); None at the beginning of a shot.
    """

    def __init__(self, weight: float) -> None:
        """Set the ``weight`` of the previous frame, from 0 (no mixing) to less than 1."""
        self.painted: FloatArray | None = None
        self._weight = weight
        self._seen: FloatArray | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def begin(self) -> None:
        """Begin a new shot: discard the previous frame."""
        self.painted = self._seen = None

    def see(self, seen: FloatArray) -> None:
        """Take a frame of the film that is not painted again. The caller sets ``painted`` to its painted frame."""
        self._seen = seen

    def before(self, seen: FloatArray) -> MovedFrame | None:
        """Return the last painted frame, moved to where ``seen`` (H, W, 3), the film's next frame, shows the same.

        It is None at the beginning of a shot, in films too small for optical flow, and if nothing is mixed.
        """
        if not self._weight or self.painted is None or self._seen is None:
            return None
        height, width = self.painted.shape[:2]
        if min(_flow_size(width, height)) < _LEAST:
            return None
        before, now = (resize_pixels(each, height, width) for each in (self._seen, seen))
        flow = self._find(before, now)
        columns, rows = flow[..., 0] + np.arange(width), flow[..., 1] + np.arange(height)[:, None]
        x, y = columns.astype(np.float32), rows.astype(np.float32)
        strange = np.abs(cv2.blur(_moved(before, x, y) - now, (_AROUND, _AROUND))).max(2)
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        trust = (inside * (2 - strange / _TOLERANCE).clip(0, 1)).astype(np.float32)
        soft = (_SOFT, _SOFT)
        trust = np.asarray(cv2.blur(cv2.erode(trust, np.ones(soft, np.uint8)), soft), np.float32)
        return MovedFrame(_moved(self.painted, x, y).clip(0, 1), trust)

    def mix(self, seen: FloatArray, painted: FloatArray, before: MovedFrame | None) -> FloatArray:
        """Return ``painted`` (H, W, 3), the frame ``seen`` of the film, mixed with what `before` returned for it."""
        if before is not None:
            share = np.float32(self._weight) * before.trust[:, :, None]
            painted = painted + share * (before.pixels - painted)
        self._seen, self.painted = seen, painted
        return painted

    def _find(self, before: FloatArray, now: FloatArray) -> FloatArray:
        """Return the optical flow from ``now`` to ``before``: (H, W, 2), in pixels to the right and down."""
        height, width = now.shape[:2]
        small = _flow_size(width, height)
        greys = [(luminance(resize_pixels(each, small[1], small[0])) * 255).astype(np.uint8) for each in (now, before)]
        found = self._flow.calc(greys[0], greys[1], np.zeros((*greys[0].shape, 2), np.float32))
        scale = np.array([width / small[0], height / small[1]])
        return np.asarray(cv2.resize(found, (width, height)) * scale, np.float32)


def _flow_size(width: int, height: int) -> tuple[int, int]:
    return fit_size(width, height, min(_FLOW_SIDE, max(width, height)))


def _moved(pixels: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    return np.asarray(cv2.remap(pixels, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)
