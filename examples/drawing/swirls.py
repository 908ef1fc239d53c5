"""Wind over fields at dusk in thick strokes of oil paint: the first style image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from drawing.canvas import HEIGHT, WIDTH, mix, rgb, shrink, smoothstep, srgb
from drawing.noise import Array, fbm, perlin

_SCALE = 2  # canvas pixels per picture pixel, each way
_SUN = (1.02, 0.235)
_EDDIES = (
    (0.36, 0.23, 0.17, 1.0),
    (0.70, 0.36, 0.10, -1.0),
    (0.08, 0.10, 0.10, -1.0),
    (0.60, 0.07, 0.09, 1.0),
    (0.15, 0.42, 0.09, 1.0),
    (1.26, 0.42, 0.10, -1.0),
    (*_SUN, 0.17, 1.0),
)
"""Centres (x, y), radii and senses of the sky's eddies; the picture is 4/3 wide and 1 high."""


@dataclass(frozen=True)
class Motif:
    """What is to be painted: colour (H, W, 3), and the direction (H, W) that strokes follow, in radians."""

    color: Array
    angle: Array


def _hill(x: Array, base: float, seed: int, swing: float) -> Array:
    """Return the height (y, downwards) of a hill's outline over x."""
    line: Array = base + swing * fbm(x * 2.2, np.full_like(x, seed * 1.7), seed, 3)
    return line


def _motif() -> Motif:
    """Return the scene: a whirling sky with a low sun, hills, a village road of rows, and dark trees."""
    rows, columns = HEIGHT * _SCALE // 2, WIDTH * _SCALE // 2
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 4 / 3 : columns * 1j].astype(np.float32)
    flow_x = 1.0 + 0.25 * perlin(x * 2, y * 2, 3)
    flow_y = 0.55 * np.sin(5.2 * x + 3 * y) + 0.3 * perlin(x * 2, y * 2, 5)
    phase = np.zeros_like(x)
    for cx, cy, size, sense in _EDDIES:
        dx, dy = x - cx, (y - cy) * 1.1
        reach = np.hypot(dx, dy)
        pull = 5.5 * np.exp(-((reach / size) ** 2) * 0.8)
        spin = pull * sense / (reach + 0.02)
        flow_x = flow_x - dy * spin - 0.15 * dx * pull / (reach + 0.02)
        flow_y = flow_y + dx * spin - 0.15 * dy * pull / (reach + 0.02)
        phase = phase + np.exp(-((reach / size) ** 2) * 0.7) * (reach / size * 7 - sense * np.arctan2(dy, dx))
    angle = np.arctan2(flow_y, flow_x)

    bands = 0.5 + 0.5 * np.sin(phase * 1.0 + 16 * (y + 0.10 * np.sin(5.2 * x)) + 2.5 * fbm(x * 3, y * 3, 7, 3))
    sky = mix(rgb("12245c"), rgb("2c62a8"), smoothstep(0.1, 0.75, bands))
    sky = mix(sky, rgb("9cc4d4"), smoothstep(0.74, 0.98, bands) * 0.9)
    sky = mix(sky, rgb("2a9aa0"), smoothstep(0.1, 0.5, fbm(x * 4, y * 4, 9, 3)) * 0.55)
    low = smoothstep(0.30, 0.56, y)
    sky = mix(sky, mix(rgb("e0b25a"), rgb("86b8b4"), bands), low * 0.75)
    for cx, cy, size, _ in _EDDIES[:-1]:
        reach = np.hypot(x - cx, (y - cy) * 1.1) / size
        sky = mix(sky, rgb("f0cfae"), smoothstep(0.62, 0.20, reach) * 0.62)
    reach = np.hypot(x - _SUN[0], (y - _SUN[1]) * 1.05)
    rings = 0.5 + 0.5 * np.cos(reach * 105)
    halo = smoothstep(0.30, 0.10, reach)
    sky = mix(sky, mix(rgb("e89a2a"), rgb("f6dc7a"), rings), halo * 0.93)
    sky = mix(sky, mix(rgb("fff3b0"), rgb("f8c53a"), smoothstep(0.02, 0.075, reach)), smoothstep(0.085, 0.07, reach))

    color = sky
    for base, seed, swing, dark, light, lean in (
        (0.575, 11, 0.10, "1c3a70", "5a86b0", 0.35),
        (0.640, 13, 0.09, "1f5560", "6a9c86", -0.3),
        (0.695, 17, 0.06, "3a5a2a", "a8a040", 0.25),
    ):
        line = _hill(x, base, seed, swing)
        inside = smoothstep(-0.003, 0.003, y - line)
        tone = 0.5 + 0.5 * np.sin((y - line) * 95 + 9 * x * lean + 4 * fbm(x * 4, y * 4, seed + 1, 3))
        color = mix(color, mix(rgb(dark), rgb(light), tone), inside)
        color = mix(color, rgb("10183a"), smoothstep(0.006, 0.002, np.abs(y - line)) * 0.8)
        slope = np.gradient(line, x[0], axis=1)
        angle = np.where(inside > 0.5, np.arctan(slope + lean * smoothstep(0, 0.1, y - line)), angle)

    line = 0.735 + 0.02 * np.sin(x * 4)
    field = smoothstep(-0.003, 0.003, y - line)
    depth = np.maximum(y - 0.665, 0.01)
    furrow = (x - 0.52) / depth
    row = np.mod(furrow * 1.15 + 0.15 * np.sin(9 * y), 1)
    wheat = mix(rgb("b8701a"), rgb("f0c848"), smoothstep(0.15, 0.75, row))
    wheat = mix(wheat, rgb("6a7a2a"), smoothstep(0.18, 0.02, row) * 0.9)
    wheat = mix(wheat, rgb("fbeaa0"), smoothstep(0.80, 0.97, row) * 0.7)
    wheat = mix(wheat, rgb("c8402a"), smoothstep(0.36, 0.46, perlin(x * 26, y * 34, 19)) * 0.85)
    path = smoothstep(0.42, 0.32, np.abs(furrow + 0.80))
    wheat = mix(wheat, mix(rgb("7a5a8a"), rgb("d8b0a0"), 0.5 + 0.5 * np.sin(y * 120 + furrow * 4)), path)
    color = mix(color, wheat, field)
    toward = np.arctan2(depth, x - 0.52 + 0.02 * np.sin(30 * y))
    angle = np.where(field > 0.5, np.where(path > 0.5, 0.25 * np.sin(furrow * 3), toward), angle)

    for cx, foot, tall, wide in (
        (0.115, 0.93, 0.80, 0.062),
        (0.215, 0.90, 0.47, 0.045),
        (0.925, 0.79, 0.20, 0.030),
        (0.990, 0.80, 0.27, 0.034),
        (1.06, 0.785, 0.17, 0.028),
    ):
        share = (foot - y) / tall
        sway = cx + 0.022 * tall * np.sin(share * 9 + cx * 40) * (0.3 + share)
        half = (
            wide
            * np.clip(share * 9, 0, 1) ** 0.5
            * np.clip(1 - share, 0, 1) ** 0.62
            * (1 + 0.30 * perlin(y * 16, x * 5, 23))
        )
        across = (x - sway) / np.maximum(half, 1e-4)
        inside = smoothstep(1.0, 0.9, np.abs(across)) * (share > 0) * (share < 1)
        flame = 0.5 + 0.5 * np.sin(across * 5 + share * 42 * tall + 3 * fbm(x * 9, y * 5, 29, 2))
        leaf = mix(rgb("0c1f22"), rgb("2f6a3a"), flame)
        leaf = mix(leaf, rgb("b8a83a"), smoothstep(0.80, 1.0, flame) * smoothstep(-0.2, 0.9, across) * 0.8)
        color = mix(color, leaf, inside)
        angle = np.where(inside > 0.5, -np.pi / 2 + 0.55 * np.sin(share * 40 * tall + across * 2), angle)
    return Motif(color, angle)


@dataclass
class _Canvas:
    """Paint on the canvas: colour (H, W, 3) and thickness (H, W)."""

    color: Array
    height: Array


def _stroke(
    canvas: _Canvas, motif: Motif, random: np.random.Generator, x: float, y: float, size: tuple[float, float]
) -> None:
    """Lay one stroke of (length, width) ``size`` in pixels from (x, y) along the motif's direction."""
    length, width = size
    rows, columns = motif.angle.shape
    count = max(4, int(length / 5))
    spine = np.empty((count, 2))
    turn = random.normal(0, 0.10)
    for i in range(count):
        spine[i] = x, y
        angle = motif.angle[min(max(int(y / 2), 0), rows - 1), min(max(int(x / 2), 0), columns - 1)] + turn
        x, y = x + 5 * float(np.cos(angle)), y + 5 * float(np.sin(angle))
    tangent = np.gradient(spine, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
    s = np.linspace(0, 1, int(count * 5 / 0.62))
    t = np.linspace(-1, 1, int(width / 0.62) + 2)
    knots = np.linspace(0, 1, count)
    px, py = np.interp(s, knots, spine[:, 0]), np.interp(s, knots, spine[:, 1])
    nx, ny = -np.interp(s, knots, tangent[:, 1]), np.interp(s, knots, tangent[:, 0])
    taper = np.minimum(1, np.minimum(s * 7, (1 - s) * 3.5)) ** 0.5 * width / 2

    # Bristles leave furrows along the stroke; the paint is pushed to its sides and to its end.
    bristles = ndimage.gaussian_filter1d(random.normal(0, 1, len(t)), 0.9)
    start = random.uniform(-0.04, 0.1, len(t))
    gone = random.uniform(0.8, 1.1, len(t))
    covered = (s[:, None] > start) & (s[:, None] < gone)
    body = 0.55 + 0.30 * bristles + 0.55 * np.abs(t) ** 4 + 0.5 * smoothstep(0.75, 1.0, s)[:, None] * (1 - t * t)
    column = np.rint(px[:, None] + nx[:, None] * t * taper[:, None]).astype(np.int32)
    row = np.rint(py[:, None] + ny[:, None] * t * taper[:, None]).astype(np.int32)
    inside = covered & (column >= 0) & (column < columns * 2) & (row >= 0) & (row < rows * 2)
    column, row = column[inside], row[inside]
    at = min(max(int(py[len(py) // 3] / 2), 0), rows - 1), min(max(int(px[len(px) // 3] / 2), 0), columns - 1)
    base = motif.color[at] * np.exp(random.normal(0, 0.16)) * np.exp(random.normal(0, 0.07, 3))
    # A loaded brush carries two colours that are not fully mixed.
    second = base * np.exp(random.normal(0, 0.22, 3))
    blend = np.broadcast_to(np.clip(0.5 + 0.5 * bristles + 0.4 * t, 0, 1), covered.shape)[inside]
    paint = base + (second - base) * blend[:, None]
    canvas.color[row, column] = 0.93 * paint + 0.07 * canvas.color[row, column]
    canvas.height[row, column] = 0.35 * canvas.height[row, column] + body[inside] * min(width, 16) * 0.32


def _paint(motif: Motif) -> _Canvas:
    """Return the canvas after all strokes, the broad ones first."""
    rows, columns = HEIGHT * _SCALE, WIDTH * _SCALE
    random = np.random.default_rng(31)
    ground = np.broadcast_to(rgb("6a4a2a"), (rows, columns, 3)).astype(np.float32).copy()
    canvas = _Canvas(ground, np.zeros((rows, columns), np.float32))
    tone = np.sqrt(motif.color.mean(-1))
    detail = ndimage.gaussian_gradient_magnitude(tone, 2.0)
    for spacing, length, width, threshold in (
        (22, 110, 26, -1.0),
        (14, 84, 15, -1.0),
        (11, 58, 10, 0.012),
        (9, 40, 6.5, 0.035),
    ):
        y, x = np.mgrid[-length : rows + length : spacing, -length : columns + length : spacing]
        x = (x + random.uniform(-spacing, spacing, x.shape)).ravel()
        y = (y + random.uniform(-spacing, spacing, y.shape)).ravel()
        for i in random.permutation(len(x)):
            spot = min(max(int(y[i] / 2), 0), rows // 2 - 1), min(max(int(x[i] / 2), 0), columns // 2 - 1)
            if detail[spot] > threshold:
                reach = length * random.uniform(0.6, 1.25)
                _stroke(canvas, motif, random, x[i], y[i], (reach, width * random.uniform(0.75, 1.2)))
    return canvas


def draw() -> Array:
    """Return the picture: sRGB (H, W, 3), range [0, 1]."""
    canvas = _paint(_motif())
    rows, columns = canvas.height.shape
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    weave = 0.25 * (np.sin(x * 1.05) * np.sin(y * 1.05))
    height = ndimage.gaussian_filter(canvas.height + weave, 0.9)
    slope_y, slope_x = np.gradient(height)
    light = (0.55 * -slope_x + 0.62 * -slope_y + 1.1) / np.sqrt(slope_x**2 + slope_y**2 + 1) / 1.1
    gleam = np.clip(0.62 * -slope_x * 0.9 + 0.7 * -slope_y * 0.9 + 0.35, 0, 3) / np.sqrt(slope_x**2 + slope_y**2 + 1)
    lit = canvas.color * np.clip(0.35 + 0.65 * light, 0.12, 1.8)[..., None] + 0.10 * (gleam**4)[..., None]
    return srgb(np.clip(shrink(lit.astype(np.float32), _SCALE), 0, 1))
