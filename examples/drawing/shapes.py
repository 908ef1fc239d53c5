"""Discs, beams, arcs, checkers and spirals: an abstract content image for the pictures of the gallery."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from drawing.canvas import HEIGHT, WIDTH, mix, photograph, rgb, shrink, smoothstep
from drawing.noise import Array, cells, fbm

if TYPE_CHECKING:
    import numpy.typing as npt

_SCALE = 2  # samples per pixel, each way
_INK = "14121c"
_COLORS = ("c8281e", "f0b41c", "1c3f9c", "e8641c", "2a8a6c", "f4e6c4", "7a3a94", "5aa8d0", "14121c", "d87a90", "9c5a24")


class _Composition:
    """The picture while it is composed: light (H, W, 3) over x, 4/3 wide, and y, 1 high."""

    def __init__(self) -> None:
        """Lay a ground of large, soft planes."""
        self.y, self.x = np.mgrid[0 : 1 : HEIGHT * _SCALE * 1j, 0 : 4 / 3 : WIDTH * _SCALE * 1j].astype(np.float32)
        self.grain = fbm(self.x * 24, self.y * 24, 701, 4)
        edge, number = cells(self.x * 2.1 + 0.3, self.y * 2.1, 703)
        ground = mix(rgb("f0e2bc"), rgb("d8b27a"), np.clip(number + 0.4 * self.grain, 0, 1))
        ground = mix(ground, rgb("b8c4c0"), smoothstep(0.65, 0.9, number) * 0.8)
        self.light = ground * (1.05 - 0.55 * edge)[..., None]

    def local(self, at: tuple[float, float], turn: float) -> tuple[Array, Array]:
        """Return coordinates around ``at`` whose first axis has the direction ``turn``."""
        dx, dy = self.x - at[0], self.y - at[1]
        return dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)

    def put(self, inside: npt.NDArray[np.bool_], code: str, shade: Array | float = 1.0) -> None:
        """Paint the points ``inside`` (H, W), with a rough surface, in one colour times ``shade``."""
        paint = rgb(code) * (np.clip(shade + 0.22 * self.grain, 0.1, 1.5))[..., None]
        self.light = np.where(inside[..., None], paint, self.light)


def _beams(art: _Composition, random: np.random.Generator) -> None:
    """Add long bars, wedges and grids of bars that cross the picture."""
    for at, turn, size, code in (
        ((0.30, 0.72), -0.62, (0.62, 0.045), "1c3f9c"),
        ((0.95, 0.30), 0.92, (0.55, 0.035), "c8281e"),
        ((0.66, 0.52), -0.25, (0.60, 0.022), "14121c"),
        ((1.06, 0.76), -0.95, (0.40, 0.060), "f0b41c"),
        ((0.22, 0.26), 0.55, (0.36, 0.050), "2a8a6c"),
    ):
        a, b = art.local(at, turn)
        art.put((np.abs(a) < size[0]) & (np.abs(b) < size[1] * (1 + a / size[0]) / 2 + 0.006), code, 0.9 + 0.5 * a)
    for at, turn, wide, tall in (((0.92, 0.60), -0.25, 7, 5), ((0.20, 0.52), 0.3, 5, 4), ((1.20, 0.14), 0.75, 5, 4)):
        a, b = art.local(at, turn)
        u, v = a / 0.042, b / 0.042
        inside = (np.abs(u) < wide / 2) & (np.abs(v) < tall / 2)
        pick = np.floor(u + wide / 2) + 3 * np.floor(v + tall / 2)
        for index, code in enumerate(random.permutation(_COLORS)[:6]):
            art.put(inside & (np.mod(pick * 5 + np.floor(v + tall / 2), 6) == index), code, 0.95 + 0.15 * np.sin(9 * u))
        line = np.minimum(np.abs(np.mod(u + wide / 2 + 0.5, 1) - 0.5), np.abs(np.mod(v + tall / 2 + 0.5, 1) - 0.5))
        art.put(inside & (line < 0.055), _INK)


def _planes(art: _Composition) -> None:
    """Add a pane of rectangles between black bars."""
    x, y = art.x - 0.03, art.y - 0.70
    columns, rows = (0.0, 0.09, 0.25, 0.33, 0.44), (0.0, 0.07, 0.19, 0.28)
    panes = (
        ("f4e6c4", "c8281e", "f4f0e4"),
        ("1c3f9c", "f0b41c", "f4f0e4"),
        ("b8c4c0", "f4f0e4", "14121c"),
        ("f4e6c4", "1c3f9c", "c8281e"),
    )
    for (left, right), codes in zip(pairwise(columns), panes, strict=True):
        for (top, low), code in zip(pairwise(rows), codes, strict=True):
            art.put((x > left) & (x < right) & (y > top) & (y < low), code)
    inside = (x > -0.006) & (x < 0.446) & (y > -0.006) & (y < 0.286)
    bars = np.min([*(np.abs(x - at) for at in columns), *(np.abs(y - at) for at in rows)], axis=0)
    art.put(inside & (bars < 0.007), _INK)


def _discs(art: _Composition) -> None:
    """Add discs of rings, and petals around some of them."""
    for at, size, codes in (
        ((0.30, 0.27), 0.185, ("14121c", "7a3a94", "1c3f9c", "14121c", "c8281e")),
        ((1.06, 0.40), 0.150, ("e8641c", "f4e6c4", "f0b41c", "c8281e")),
        ((0.70, 0.82), 0.130, ("2a8a6c", "f4e6c4", "5aa8d0", "14121c")),
        ((0.62, 0.20), 0.085, ("f0b41c", "c8281e", "f4e6c4")),
        ((1.24, 0.62), 0.085, ("1c3f9c", "5aa8d0", "f4e6c4")),
        ((0.53, 0.55), 0.060, ("c8281e", "14121c")),
        ((0.86, 0.10), 0.050, ("2a8a6c", "f0b41c")),
        ((0.08, 0.48), 0.055, ("d87a90", "7a3a94", "f4e6c4")),
    ):
        a, b = art.local(at, 0.0)
        reach, angle = np.hypot(a, b), np.arctan2(b, a)
        glow = smoothstep(1.5 * size, size, reach)
        art.light = mix(art.light, rgb(codes[-1]), 0.5 * glow)
        petal = reach < size * (1.14 + 0.16 * np.cos(12 * angle))
        art.put(petal, codes[1], 0.7)
        for index, code in enumerate(codes):
            rim = size * (1 - index / len(codes))
            wedge = np.mod(np.floor(angle / 0.52 + index), 2) if index % 2 else 0.0
            art.put(reach < rim, code, 1.05 - 1.6 * (a + b) + 0.25 * wedge - 0.2 * smoothstep(rim * 0.8, rim, reach))


def _lines(art: _Composition) -> None:
    """Add fans of rays, arcs and triangles."""
    for at, turn, long in (((0.50, 0.98), -1.25, 0.62), ((1.30, 0.02), 2.4, 0.5), ((0.78, 0.36), 0.1, 0.35)):
        a, b = art.local(at, turn)
        reach, angle = np.hypot(a, b), np.arctan2(b, a)
        ray = np.abs(np.mod(angle / 0.11 + 0.5, 1) - 0.5) * 0.11 * reach
        art.put((ray < 0.0035) & (np.abs(angle) < 0.45) & (reach < long), _INK)
    for at, radius, start, code in (
        ((0.86, 0.44), 0.34, -2.6, "14121c"),
        ((0.86, 0.44), 0.31, -2.9, "c8281e"),
        ((0.40, 0.42), 0.25, 0.2, "1c3f9c"),
        ((1.15, 0.95), 0.22, -2.4, "7a3a94"),
        ((1.15, 0.95), 0.17, -2.6, "e8641c"),
        ((1.15, 0.95), 0.12, -2.2, "14121c"),
    ):
        a, b = art.local(at, start + 1.0)
        reach, angle = np.hypot(a, b), np.arctan2(b, a)
        art.put((np.abs(reach - radius) < 0.013 * (1 - np.abs(angle) / 1.1)) & (np.abs(angle) < 1.1), code)
    for at, turn, size, code in (
        ((0.47, 0.30), 0.5, 0.12, "f0b41c"),
        ((0.80, 0.66), -0.4, 0.13, "c8281e"),
        ((1.19, 0.28), 2.2, 0.10, "14121c"),
        ((0.12, 0.12), 1.2, 0.10, "e8641c"),
        ((0.62, 0.42), 2.9, 0.09, "5aa8d0"),
    ):
        a, b = art.local(at, turn)
        art.put((a > -size) & (np.abs(b) < 0.5 * (size - a)) & (a < size), code, 0.85 - 2.2 * b)
        art.put((np.abs(np.abs(b) - 0.5 * (size - a)) < 0.004) & (a > -size) & (a < size), _INK)


def _spirals(art: _Composition) -> None:
    """Add a stem of spirals with ornaments between them."""
    for at, size, sense, code in (
        ((0.96, 0.86), 0.120, 1, "9c5a24"),
        ((1.13, 0.52), 0.075, -1, "14121c"),
        ((0.46, 0.80), 0.090, -1, "7a3a94"),
        ((0.76, 0.24), 0.080, 1, "9c5a24"),
        ((0.12, 0.62), 0.060, 1, "c8281e"),
        ((1.28, 0.40), 0.060, -1, "2a8a6c"),
    ):
        a, b = art.local(at, 0.4)
        reach, angle = np.hypot(a, b) + 1e-4, np.arctan2(b, a)
        arm = np.mod(sense * angle / (2 * np.pi) + 3.4 * (reach / size) ** 0.8, 1)
        art.put(reach < size * 1.04, "f4e6c4", 0.95)
        art.put((arm < 0.46) & (reach < size), code, 1.0 - 3 * b)
        dot = np.hypot(np.mod(angle / 0.45, 1) - 0.5, (reach - size * 1.16) / (size * 0.16))
        art.put(dot < 0.38, "f0b41c" if code != "9c5a24" else "1c3f9c")


def draw() -> Array:
    """Return the picture: sRGB (H, W, 3), range [0, 1]."""
    art = _Composition()
    _beams(art, np.random.default_rng(97))
    _planes(art)
    _discs(art)
    _spirals(art)
    _lines(art)
    return photograph(shrink(art.light.astype(np.float32), _SCALE), 29, 0.80)
