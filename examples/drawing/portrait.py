"""A woman with a scarf before an autumn landscape: a content image for the pictures of the gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from drawing import hair, head, plants
from drawing.canvas import mix, photograph, rgb, shrink, smoothstep
from drawing.noise import Array, fbm, perlin
from drawing.plants import Tree

_SCALE = 2  # samples per pixel, each way
_ROWS, _COLUMNS = 768 * _SCALE, 576 * _SCALE
_CENTER, _UNIT = (590.0, 590.0), 330.0
_LIGHT = np.array([-0.62, -0.50, 0.60]) / np.linalg.norm([-0.62, -0.50, 0.60])
_KEY = np.array([1.0, 0.88, 0.72]) * 1.95
_FILL = np.array([0.55, 0.66, 0.85]) * 0.36


@dataclass
class Relief:
    """A surface seen from the front, all arrays (H, W): z, NaN where it is not, albedo (H, W, 3), gloss."""

    z: Array
    color: Array
    gloss: Array

    def normal(self) -> Array:
        """Return the unit normals (H, W, 3)."""
        seen = np.isfinite(self.z)
        weight = np.maximum(ndimage.gaussian_filter(seen * 1.0, 1.6), 1e-6)
        z = ndimage.gaussian_filter(np.where(seen, self.z, 0), 1.6) / weight
        down, right = np.gradient(z * _UNIT)
        normal = np.stack([-right, -down, np.ones_like(z)], axis=-1)
        unit: Array = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
        return unit


def _frame() -> tuple[Array, Array]:
    """Return x and y (H, W) of every pixel, in units of the head."""
    row, column = np.mgrid[:_ROWS, :_COLUMNS].astype(np.float32)
    return (column - _CENTER[0]) / _UNIT, (row - _CENTER[1]) / _UNIT


def _neck(x: Array, y: Array) -> Relief:
    """Return the neck."""
    half = 0.325 + 0.05 * smoothstep(1.0, 1.5, y) + 0.5 * smoothstep(1.35, 1.9, y)
    share = (x - 0.10) / half
    z = np.where((np.abs(share) < 1) & (y > 0.3), 0.46 * np.sqrt(np.clip(1 - share**2, 0, 1)) - 0.18, np.nan)
    cord = np.exp(-(((share + 0.15 + 0.30 * (1.5 - y)) / 0.12) ** 2)) + np.exp(-(((share - 0.45) / 0.14) ** 2))
    tone = np.clip(0.45 + 0.5 * fbm(x * 5, y * 5, 421, 4), 0, 1)
    return Relief(z + 0.02 * cord, mix(rgb("d09a78"), rgb("e4b494"), tone), np.full_like(x, 0.10))


def _coat(x: Array, y: Array) -> Relief:
    """Return the coat: shoulders, sleeves, lapels, folds."""
    off = x - 0.10
    side = np.abs(off)
    top = 1.42 + 0.52 * smoothstep(0.3, 1.45, side) + 0.9 * np.clip(side - 1.40, 0, 3) ** 1.4
    z = 0.42 * np.sqrt(np.clip(1 - (side / 1.9) ** 2, 0, 1)) + 0.35 * smoothstep(0, 0.5, y - top) - 0.42
    sway = 0.25 * fbm(x * 0.8, y * 0.8, 431, 2)
    arm = smoothstep(0.03, -0.03, np.abs(side - 1.02 - 0.10 * (y - 2.2) + 0.3 * sway) - 0.02)
    fold = (1 - np.abs(perlin(off * 1.7 + 0.9 * y * np.sign(off) + sway * 2, y * 0.4 + side * 0.5, 433))) ** 1.6
    crease = (1 - np.abs(perlin(off * 3.5 - 1.4 * y * np.sign(off), y * 1.2 + sway * 4, 437))) ** 2
    z = z + 0.075 * fold * smoothstep(0.0, 0.5, y - top) + 0.012 * crease - 0.10 * arm * smoothstep(1.9, 2.2, y)
    edge = side - 0.66 + 0.34 * (y - 1.9) - 0.10 * smoothstep(2.05, 2.0, y) + 0.06 * smoothstep(2.0, 2.05, y)
    z = z + 0.07 * smoothstep(0.015, -0.015, edge) * smoothstep(0.0, 0.05, y - 1.75)
    front = smoothstep(0.012, 0.0, np.abs(off - 0.02)) * (y > 2.2)
    z = np.where(y > top, z - 0.03 * front, np.nan)
    weave = 0.5 * perlin(x * 60, y * 60, 441) + 0.5 * fbm(x * 9, y * 9, 443, 3)
    color = mix(rgb("1c3550"), rgb("34587c"), np.clip(0.45 + 0.6 * weave, 0, 1))
    return Relief(z + 0.003 * weave, color, np.full_like(x, 0.03))


def _scarf(x: Array, y: Array) -> Relief:
    """Return the scarf: loops around the neck and an end that hangs down."""
    off = x - 0.10
    warp = 0.05 * fbm(x * 2.2, y * 2.2, 451, 3)
    z: Array = np.full_like(x, np.nan)
    along: Array = np.zeros_like(x)
    loops = ((1.22, 0.15, 0.58, 0.20, -0.10), (1.40, 0.17, 0.68, 0.24, 0.16), (1.58, 0.17, 0.74, 0.26, -0.14))
    for level, thick, wide, sag, skew in loops:
        share = np.clip(off / wide, -1, 1)
        middle = level + sag * (1 - share**2) ** 0.8 - sag * 0.62 + skew * off + warp
        t = (y - middle) / (thick * (1.0 - 0.25 * share**2))
        body = 0.52 * np.sqrt(1 - share**2) + 0.13 * np.sqrt(np.clip(1 - t * t, 0, 1)) + 0.03 * (level - 1.2)
        pleat = 0.022 * np.sin(t * 7 + 3 * share + 8 * warp) + 0.03 * perlin(off * 3, t * 1.5, 453)
        inside = (np.abs(t) < 1) & (np.abs(off) < wide) & ~(body + pleat <= np.nan_to_num(z, nan=-9))
        z = np.where(inside, body + pleat, z)
        along = np.where(inside, off, along)
    bend = off + 0.22 - 0.16 * (y - 1.6) + 0.05 * np.sin(y * 2.5) + warp
    t = bend / (0.20 + 0.05 * (y - 1.6))
    tail = 0.50 + 0.09 * np.sqrt(np.clip(1 - t * t, 0, 1)) + 0.03 * np.sin(t * 6 + y) - 0.02 * (y - 1.6)
    inside = (
        (np.abs(t) < 1)
        & (y > 1.62)
        & (y < 2.72 + 0.02 * perlin(bend * 60, 0 * bend, 457))
        & ~(tail <= np.nan_to_num(z, nan=-9))
    )
    z = np.where(inside, tail, z)
    along = np.where(inside, y * 1.3 + 0.2, along)
    knit = np.sin(x * 150 + 3 * np.sin(y * 150)) * np.sin(y * 110)
    stripe = smoothstep(0.06, 0.09, np.abs(np.mod(along * 1.9, 1) - 0.5))
    color = mix(rgb("d8c49a"), rgb("96261e"), stripe) * (0.85 + 0.25 * knit)[..., None]
    return Relief(z + 0.004 * knit, color, np.full_like(x, 0.02))


def _head() -> tuple[Relief, Array]:
    """Return the head without hair, and the shine (H, W) of its eyes."""
    z, x, y = head.raster((_ROWS, _COLUMNS), _CENTER, _UNIT)
    seen = np.isfinite(z)
    color: Array = np.zeros((_ROWS, _COLUMNS, 3), np.float32)
    shine: Array = np.zeros_like(z)
    color[seen], shine[seen] = head.eyes(x[seen], y[seen], head.skin(x[seen], y[seen]))
    gloss = np.full_like(z, 0.16)
    top, low = head.lids(np.abs(x[seen]))
    gloss[seen] *= 1 - 0.85 * ((y[seen] > top) & (y[seen] < low) & (np.abs(np.abs(x[seen]) - 0.272) < 0.152))
    upper, line, lower = head.mouth(x[seen])
    gloss[seen] += (
        0.18
        * smoothstep(0.010, 0.022, np.abs(y[seen] - line))
        * ((y[seen] > upper) & (y[seen] < lower) & (np.abs(x[seen]) < 0.24))
    )
    return Relief(z, color, gloss), shine


def _shadow(z: Array) -> Array:
    """Return how much (H, W) of the key light a field of heights sees, [0, 1]."""
    height = np.where(np.isfinite(z), z, -3) * _UNIT
    seen: Array = np.ones_like(height)
    for distance in np.geomspace(6, 420, 26):
        moved = ndimage.shift(height, (-_LIGHT[1] * distance, -_LIGHT[0] * distance), order=1, cval=-900)
        clear = height + _LIGHT[2] * distance + 3 - moved
        seen = np.minimum(seen, 0.5 + clear / (0.22 * distance + 2))
    return ndimage.gaussian_filter(np.clip(seen, 0, 1), 2.5)


def _light(parts: list[Relief], behind: Array) -> tuple[Array, Array]:
    """Return the light (H, W, 3) of the parts, the nearest seen, over ``behind``; and z (H, W)."""
    z: Array = np.full((_ROWS, _COLUMNS), np.nan)
    color, normal = np.zeros_like(behind), np.zeros_like(behind)
    gloss = np.zeros_like(z)
    for part in parts:
        nearer = np.isfinite(part.z) & ~(part.z <= np.nan_to_num(z, nan=-9))
        z = np.where(nearer, part.z, z)
        gloss = np.where(nearer, part.gloss, gloss)
        color = np.where(nearer[..., None], part.color, color)
        normal = np.where(nearer[..., None], part.normal(), normal)
    seen = np.isfinite(z)
    shadow = _shadow(z)
    solid = np.where(seen, z, -0.6)
    hollow = sum(np.clip(ndimage.gaussian_filter(solid, size) - solid, 0, 0.3) for size in (8, 24, 60))
    open_air = np.clip(1 - 2.2 * hollow, 0.25, 1)
    facing = normal @ _LIGHT
    # Light that has travelled under the skin comes out red.
    wrap = np.array([0.34, 0.17, 0.10])
    key = np.clip((facing[..., None] + wrap) / (1 + wrap), 0, 1) * shadow[..., None] ** np.array([0.75, 1.0, 1.1])
    fill = _FILL * (0.75 - 0.35 * normal[..., 1:2] + 0.25 * normal[..., :1])
    bounce = rgb("c98a5a") * 0.22 * np.clip(0.2 + normal[..., 1:2], 0, 1)
    rim = (
        rgb("ffd9a0") * (0.9 * np.clip(1 - normal[..., 2], 0, 1) ** 3 * smoothstep(0.2, 0.9, normal[..., 0]))[..., None]
    )
    light = color * (key * _KEY + (fill + bounce) * open_air[..., None] + rim)
    half = (_LIGHT + np.array([0, 0, 1])) / np.linalg.norm(_LIGHT + np.array([0, 0, 1]))
    shine = gloss * np.clip(normal @ half, 0, 1) ** 26 * shadow
    return np.where(seen[..., None], light + shine[..., None] * _KEY * 0.7, behind), z


def _ear(x: Array, y: Array) -> Relief:
    """Return the near ear."""
    cx, cy, cz = (float(part) for part in head.turned(*(np.array(at) for at in (0.70, 0.10, 0.02))))
    a, b = (x - cx) + 0.16 * (y - cy) - 0.03, y - cy
    wide = 0.080 * (1 - 0.28 * smoothstep(-0.02, 0.20, b))
    reach = np.hypot(a / wide, b / 0.170)
    rim = np.exp(-(((reach - 0.82) / 0.16) ** 2)) * smoothstep(0.17, 0.06, b)
    inner = np.exp(-(((np.hypot((a + 0.012) / 0.05, (b + 0.005) / 0.11) - 0.8) / 0.3) ** 2))
    bowl = np.exp(-(((a + 0.022) / 0.030) ** 2) - ((b - 0.035) / 0.055) ** 2)
    z = np.where(reach < 1, cz + 0.06 + 0.035 * rim + 0.02 * inner - 0.05 * bowl - 0.03 * reach**4, np.nan)
    color = mix(rgb("c08060"), rgb("a04a3a"), np.clip(0.35 * rim + 0.75 * bowl, 0, 1))
    return Relief(z, color, np.full_like(x, 0.12))


def _landscape() -> Array:
    """Return the light (H, W, 3) of the landscape, a little out of focus."""
    row, column = np.mgrid[:_ROWS, :_COLUMNS].astype(np.float32)
    x, y = column / _COLUMNS, row / _COLUMNS
    light = mix(rgb("5f97cc"), rgb("f0d8b4"), smoothstep(0.0, 0.72, y))
    warp = fbm(x * 2.5, y * 4, 481, 3)
    cloud = fbm(x * 2.6 + 0.5 * warp, y * 5.5 + 0.5 * warp, 483, 6, 0.55)
    lit = np.clip(
        0.6 + 2.2 * (cloud - fbm(x * 2.6 + 0.5 * warp + 0.06, y * 5.5 + 0.5 * warp + 0.1, 483, 6, 0.55)), 0, 1
    )
    light = mix(light, mix(rgb("a09aa8"), rgb("fff2da") * 1.15, lit), smoothstep(-0.02, 0.3, cloud) * 0.9)
    for base, tall, seed, low, high in (
        (0.72, 0.16, 485, "7f93b4", "a9b4c8"),
        (0.79, 0.10, 487, "5a7388", "8a94a0"),
        (0.86, 0.07, 489, "6a5a30", "b8862e"),
    ):
        line = base - tall * (0.5 + 0.8 * fbm(x * 2.2, 0 * x, seed, 5))
        texture = fbm(x * 16, y * 22 + x * 4, seed + 1, 4)
        light = np.where((y > line)[..., None], mix(rgb(low), rgb(high), np.clip(0.5 + texture, 0, 1)), light)
    ripple = fbm(x * 6, y * 70, 491, 4)
    lake = mix(rgb("6f94b4"), rgb("f0dcb8"), np.clip(0.5 + 0.9 * ripple, 0, 1))
    light = np.where(((y > 0.895) & (y < 1.0))[..., None], lake, light)
    field = mix(rgb("5f6a24"), rgb("c8a840"), np.clip(0.5 + 0.7 * fbm(x * 9, y * 20, 493, 5), 0, 1))
    light = np.where((y > 0.985 + 0.02 * fbm(x * 5, 0 * x, 495, 3))[..., None], field, light).astype(np.float32)
    gold = Tree((1090, 1330), 1050, rgb("4a2408"), rgb("d88a20") * 1.2, 6.0, 0.30, 26000, 0.32, 0.5)
    plants.tree(light, gold, (-0.6, -0.5, 0.5), 31)
    for at, tall, seed in ((70, 360, 33), (215, 250, 35), (330, 190, 37)):
        plants.tree(
            light, Tree((at, 1140), tall, rgb("3a2a0c"), rgb("b8902c"), 4.0, 0.34, 7000), (-0.6, -0.5, 0.5), seed
        )
    return np.stack([ndimage.gaussian_filter(light[..., i], 2.6) for i in range(3)], axis=-1)


def draw() -> Array:
    """Return the picture: sRGB (H, W, 3), range [0, 1]."""
    x, y = _frame()
    behind = _landscape()
    hx, hy, hz, color = hair.comb(_LIGHT, _CENTER, _UNIT)
    back = hz < 0.15
    hair.lay(behind, hx, hy, np.where(back, hz, np.nan), color * 0.7, np.full(x.shape, -9.0))
    face, shine = _head()
    light, z = _light([_neck(x, y), _coat(x, y), _scarf(x, y), _ear(x, y), face], behind)
    light = light + np.nan_to_num(shine)[..., None] * 0.9
    hair.brows(light, _CENTER, _UNIT, 0.8)
    combed = light.copy()
    hair.lay(combed, hx, hy, hz, color, np.nan_to_num(z, nan=-9))
    mask = np.any(combed != light, axis=-1)
    cast = ndimage.shift(ndimage.gaussian_filter(mask * 1.0, 9), (14, 14), order=1)
    light = np.where(mask[..., None], combed, light * (1 - 0.45 * np.clip(cast, 0, 1) * np.isfinite(z))[..., None])
    small = shrink(light.astype(np.float32), _SCALE)
    bloom = np.stack([ndimage.gaussian_filter(np.clip(small[..., i] - 0.9, 0, 3), 9) for i in range(3)], axis=-1)
    return photograph(small + 0.3 * bloom, 13, 0.80)
