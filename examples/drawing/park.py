"""People under the trees of a park by a lake: a content image for the pictures of the gallery."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from drawing import people, plants
from drawing.brush import strokes
from drawing.canvas import HEIGHT, WIDTH, mix, photograph, rgb, shrink, smoothstep
from drawing.noise import Array, cells, fbm
from drawing.plants import Tree

_SCALE = 2  # samples per pixel, each way
_UNIT = HEIGHT * _SCALE  # samples per unit of x and y; the picture is 4/3 wide and 1 high
_HORIZON, _SHORE = 0.36, 0.50
_SUN = (-0.55, -0.6, 0.5)

_PEOPLE = (
    (0.60, 0.535, "3a3f5c 2c2c3a 1c1c24", 0.5, False, ""),
    (0.645, 0.538, "c84a5c d8a0a0 f0e0c0", 0.4, True, "f0e4d0"),
    (0.80, 0.56, "e8dcc0 e0d0b0 c8a050", -0.5, True, ""),
    (0.86, 0.565, "6a8a4c 3c4a30 a88848", -0.6, False, ""),
    (0.44, 0.575, "4a6cb0 6a88c0 e8d8a8", 0.5, True, "d8482c"),
    (0.49, 0.572, "d89a3c b87828 7a3a20", 0.5, True, ""),
    (0.28, 0.63, "2c3048 22242e 14141a", 0.6, False, ""),
    (0.35, 0.635, "e0e4e8 d0d8e8 3c64a8", 0.5, True, "3c78a8"),
    (0.98, 0.66, "8a3a6c a04a80 e0c890", -0.5, True, ""),
    (0.915, 0.65, "d0b060 7a5a3a 5a3c20", -0.7, False, ""),
    (0.62, 0.73, "d8442c e86a3c f0d890", 0.5, True, ""),
    (0.545, 0.735, "38506c 2a3440 e0c880", 0.5, False, ""),
    (0.16, 0.86, "ece4d4 d8dcec c86a2c", 0.4, True, "58a060"),
    (0.81, 0.90, "2f5aa0 3f78c0 e8c860", -0.5, True, "f0c23c"),
    (1.10, 0.97, "24283c 1c1c28 0e0e14", -0.6, False, ""),
    (0.96, 0.985, "e8b8b4 f0d0c4 b83a4c", -0.5, True, ""),
)
"""From far to near: foot (x, y), colours of coat, legs and hat, stride, skirt or trousers, colour of a parasol."""


def _sky(x: Array, y: Array) -> Array:
    """Return the light of a summer sky (H, W, 3) with the far shore's trees."""
    color = mix(rgb("4f8fd0"), rgb("dce8e0"), smoothstep(0.0, 0.36, y))
    warp = fbm(x * 2, y * 3, 651, 3)
    thick = fbm(x * 2.4 + 0.5 * warp, y * 5 + 0.5 * warp, 653, 6, 0.55) + 0.08
    lean = thick - fbm(x * 2.4 + 0.5 * warp - 0.08, y * 5 + 0.5 * warp - 0.1, 653, 6, 0.55) - 0.08
    cloud = mix(rgb("9aa6c4"), rgb("fff6e0") * 1.2, np.clip(0.6 - 1.8 * lean, 0, 1))
    color = mix(color, cloud, smoothstep(0.0, 0.25, thick))
    for base, tall, seed, low, high in (
        (0.345, 0.09, 661, "5a7890", "a0b0a8"),
        (0.362, 0.085, 663, "2c5030", "90a84c"),
    ):
        crown = base - tall * (0.45 + 0.6 * fbm(x * 6, 0 * x, seed, 4))
        ball, number = cells(x * 34, y * 40, seed + 1)
        tone = np.clip(0.75 - 0.8 * ball + 0.4 * number + 0.4 * fbm(x * 50, y * 50, seed + 2, 3), 0, 1)
        color = np.where((y > crown - 0.02 * number)[..., None], mix(rgb(low), rgb(high), tone), color)
    return color


def _shore(x: Array) -> Array:
    """Return y of the lake's near shore."""
    line: Array = _SHORE + 0.05 * smoothstep(0.55, 0.0, x) - 0.10 * smoothstep(0.62, 1.1, x) + 0.01 * np.sin(x * 17)
    return line


def _lake(light: Array, x: Array, y: Array) -> Array:
    """Return ``light`` with the lake, which mirrors what is above its far shore."""
    down = np.clip(y - _HORIZON, 0, 1)
    ripple = fbm(x * 9, y * 70 + 40 / (down + 0.12), 671, 4)
    row = (_HORIZON - 1.25 * down + 0.035 * ripple) * _UNIT
    column = x * _UNIT + 26 * ripple
    seen = [ndimage.map_coordinates(light[..., i], [row, column], order=1, mode="nearest") for i in range(3)]
    glint = smoothstep(0.28, 0.5, ripple)
    water = mix(np.stack(seen, axis=-1) * np.array([0.72, 0.84, 0.92]), rgb("2f6a8a"), 0.25 + 0 * x)
    water = mix(water, rgb("fff8e8"), 0.7 * glint)
    return np.where(((y > _HORIZON) & (y < _shore(x)))[..., None], water, light)


def _sail(light: Array, x: Array, y: Array, at: tuple[float, float], size: float) -> Array:
    """Return ``light`` with a small sailing boat."""
    a, b = (x - at[0]) / size, (y - at[1]) / size
    sail = (b > -1) & (b < -0.16) & (np.abs(a - 0.05) < 0.34 * (b + 1))
    light = np.where(sail[..., None], mix(rgb("d8c8b0"), rgb("fffaf0"), smoothstep(0.2, -0.1, a)), light)
    hull = (b > -0.14) & (b < 0.05) & (np.abs(a) < 0.5 - b)
    return np.where(hull[..., None], rgb("8a3a20") * (0.8 - 0.6 * a)[..., None], light)


def _lawn(light: Array, x: Array, y: Array, random: np.random.Generator) -> Array:
    """Return ``light`` with a sunny lawn, a path and dappled shadows, grown with grass and flowers."""
    depth = np.maximum(y - _HORIZON, 0.02)
    s, t = (x - 0.66) / depth, 1 / depth
    dapple = smoothstep(-0.12, 0.12, fbm(s * 2.3, t * 2.6, 681, 4) + 0.12 * smoothstep(0.4, -0.1, y - 0.62))
    turf = mix(rgb("3f6a20"), rgb("a8b84a"), np.clip(0.5 + 0.8 * fbm(s * 5, t * 6, 683, 4), 0, 1))
    way = np.abs(s - 0.55 + 0.09 * (t - 2) ** 2 * np.sign(2 - t)) + 0.06 * fbm(s * 6, t * 6, 685, 3)
    sand = mix(rgb("c09868"), rgb("f0d8a8"), np.clip(0.5 + fbm(s * 12, t * 9, 687, 4), 0, 1))
    path = smoothstep(0.40, 0.34, way)
    lawn = mix(turf, sand, path) * (0.42 + 0.75 * dapple)[..., None]
    lawn = mix(lawn, lawn * np.array([0.75, 0.85, 1.35]), 0.7 * (1 - dapple))
    ground = y > _shore(x)
    light = np.where(ground[..., None], lawn, light).astype(np.float32)
    count = 60000
    px, py = (
        random.uniform(0, 4 / 3, count),
        _SHORE - 0.09 + (1.02 - _SHORE + 0.09) * random.uniform(0, 1, count) ** 0.8,
    )
    at = np.clip(py * _UNIT, 0, _UNIT - 1).astype(int), np.clip(px * _UNIT, 0, WIDTH * _SCALE - 1).astype(int)
    keep = (ground & (path < 0.3))[at]
    px, py, shine = px[keep], py[keep], (0.45 + 0.75 * dapple)[at][keep]
    length = 0.055 * (py - _HORIZON) * random.uniform(0.5, 1.2, len(px)) * _UNIT
    plants.grass(light, px * _UNIT, py * _UNIT, length, 691, shine)
    bloom = fbm(px * 7, py * 12, 693, 3) + random.normal(0, 0.2, len(px)) > 0.42
    palette = np.array([rgb(code) for code in ("e03a28", "fff4e0", "f0c030", "8a5cc0", "f090a8")])
    order = np.nonzero(bloom)[0][np.argsort(py[bloom])]
    size = np.maximum(0.017 * (py - _HORIZON)[order] * _UNIT, 1.2)
    color = palette[random.integers(0, 5, len(order))] * shine[order, None]
    plants.flowers(light, px[order] * _UNIT, (py[order] * _UNIT) - length[order] * 0.7, size, color, 695)
    return light


def _parasol(light: Array, at: tuple[float, float], size: float, color: Array) -> None:
    """Draw an open parasol of the radius ``size`` whose stick is held at ``at``, in pixels."""
    top = np.array([at[0] + 0.25 * size, at[1] - 2.1 * size])
    stick = np.array([[at[0], top[0]]]), np.array([[at[1], top[1]]])
    strokes(light, *stick, np.full((1, 2), max(size * 0.05, 2)), np.broadcast_to(rgb("4a3020"), (1, 2, 3)))
    turn, fall = np.linspace(-1, 1, 81), np.linspace(0, 1, 24)
    x = top[0] + size * turn[:, None] * np.sin(fall * np.pi / 2) + 0.10 * size * fall**2
    scallop = 0.07 * size * np.abs(np.sin(turn * 4 * np.pi / 2))[:, None] * fall**3
    y = top[1] + size * (0.10 + 0.52 * (1 - np.cos(fall * np.pi / 2)) - 0.10 * (1 - turn[:, None] ** 2)) - scallop
    panel = np.mod(np.floor((turn + 1) * 4), 2)
    tone = (0.85 - 0.5 * turn + 0.22 * panel)[:, None] * np.linspace(1.15, 0.75, 24)
    paint = np.clip(color * tone[..., None], 0, 1.3)
    strokes(light, x, y, np.full(x.shape, max(size * 0.05, 2)), paint)


def _visitors(light: Array) -> None:
    """Draw the people with their shadows, the far ones first."""
    for x, y, codes, stride, skirt, shade in _PEOPLE:
        child = 0.8 if codes.startswith(("d8442c", "d89a3c")) else 1.0
        tall = 0.74 * (y - _HORIZON) * _UNIT * child
        foot = x * _UNIT, y * _UNIT
        t = np.linspace(0, 1, 8)
        along = (foot[0] + 0.42 * tall * t)[None], (foot[1] - 0.05 * tall * t)[None]
        gloom = np.broadcast_to(rgb("2c4a2c") * 0.7, (1, 8, 3))
        strokes(light, *along, (tall * (0.12 - 0.07 * np.abs(t - 0.4)))[None] * 0.7, gloom)
        people.figure(light, foot, tall, [rgb(code) * 1.25 for code in codes.split()], (stride, skirt))
        if shade:
            near = 1 if stride < 0 else -1
            hand = foot[0] + near * 0.11 * tall, foot[1] - 0.50 * tall
            _parasol(light, hand, tall * 0.34, rgb(shade) * 1.1)


def draw() -> Array:
    """Return the picture: sRGB (H, W, 3), range [0, 1]."""
    random = np.random.default_rng(83)
    y, x = np.mgrid[0 : 1 : HEIGHT * _SCALE * 1j, 0 : 4 / 3 : WIDTH * _SCALE * 1j].astype(np.float32)
    light = _lake(_sky(x, y), x, y)
    for at, size in (((0.26, 0.42), 0.07), ((0.50, 0.395), 0.04), ((0.12, 0.46), 0.10)):
        light = _sail(light, x, y, at, size)
    light = _lawn(light, x, y, random)
    dark, bright = rgb("12300f"), rgb("9cb03c") * 1.15
    for foot, tall, wide, leaves, seed in (
        ((1.22, 0.46), 0.42, 0.46, 20000, 41),
        ((1.05, 0.47), 0.30, 0.5, 12000, 43),
        ((0.93, 0.455), 0.20, 0.5, 9000, 47),
    ):
        tree = Tree((foot[0] * _UNIT, foot[1] * _UNIT), tall * _UNIT, dark, bright, 3.0, wide, leaves)
        plants.tree(light, tree, _SUN, seed)
    plants.tree(light, Tree((0.05 * _UNIT, 0.80 * _UNIT), 0.98 * _UNIT, dark, bright, 5.5, 0.34, 42000), _SUN, 53)
    plants.tree(
        light, Tree((1.27 * _UNIT, 0.74 * _UNIT), 0.86 * _UNIT, dark, rgb("c8a83c"), 5.0, 0.30, 34000), _SUN, 59
    )
    _visitors(light)
    small = shrink(light, _SCALE)
    bloom = np.stack([ndimage.gaussian_filter(np.clip(small[..., i] - 0.9, 0, 3), 7) for i in range(3)], axis=-1)
    return photograph(small + 0.25 * bloom, 23, 0.82)
