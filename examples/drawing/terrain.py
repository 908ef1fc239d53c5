"""A fjord as a field of heights, seen through a camera at the water's edge.

Metres: x to the right, y up, z into the picture; the water is y = 0. A pixel is a direction (u, v, 1) from
the camera, so u is a column and v a row of the picture. The field is sampled on a grid over (u, log z): every
column of pixels is one column of samples, and sees the first sample that reaches above its line of sight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from drawing.canvas import mix, rgb, smoothstep
from drawing.noise import Array, cells, fbm, perlin, ridged

Relief: TypeAlias = Callable[[Array, Array], Array]
"""Points x and z, each (STEPS, columns) -> heights of the ground there."""

NEAR, FAR, STEPS = 16.0, 15000.0, 1800
_MARGIN = 260  # columns right of the picture, for what casts shadows into it


@dataclass(frozen=True)
class Terrain:
    """Samples of the field; arrays (STEPS, columns), the first ``visible`` columns are the picture's."""

    u: Array
    z: Array
    height: Array
    normal: Array
    lit: Array
    visible: int


@dataclass(frozen=True)
class Surface:
    """What the pixels of a view see; arrays (H, W), depth is infinite where there is only sky."""

    depth: Array
    height: Array
    normal: Array
    lit: Array


def shore(z: Array) -> Array:
    """Return x of the village's shore at the distance z; land is left of it."""
    line: Array = -15 - 0.105 * z - 3 * np.sin(z / 23) - 0.012 * z * np.sin(z / 97 + 1)
    return line


def village(x: Array, z: Array) -> Array:
    """Return the height of the village's ground: a quay, a gentle strip, then the hillside."""
    inland = shore(z) - x
    quay = 1.9 * smoothstep(-0.4, 0.4, inland) - 6 * smoothstep(0.4, -8, inland)
    hill = 0.04 * np.maximum(inland, 0) + 0.30 * np.maximum(inland - 11, 0) + 0.2 * np.maximum(inland - 70, 0)
    cap = 130 + 0.11 * z
    lift: Array = quay + cap * (1 - np.exp(-hill / cap))
    return lift


def _relief(x: Array, z: Array) -> Array:
    """Return the height at every point, trees included, shape of x."""
    warp = fbm(x / 170, z / 170, 11, 4)
    left = village(x, z) * (1 + 0.35 * warp * smoothstep(30, 90, shore(z) - x))
    tip = 420 + 160 * warp
    inland = np.minimum(x - (70 + 0.07 * z + 60 * warp), 0.8 * (z - tip))
    right = np.where(inland > 0, 190 * (1 - np.exp(-0.45 * inland / 190)) * (1 + 0.5 * warp), -5)
    height = np.maximum(left, right)

    trees = z[:, 0] < 3200
    xs, zs, ground = x[trees], z[trees], height[trees]
    inland = np.where(left > right, shore(z) - x - 62 - 0.05 * z, inland - 8)[trees]
    wood = smoothstep(-0.15, 0.1, fbm(xs / 120, zs / 120, 23, 4) + 0.004 * inland) * (inland > 0)
    distance, number = cells(xs / 7, zs / 7, 31)
    spruce = np.maximum(0, 1 - distance / 0.62) * (8 + 7 * number) + 2.0 * perlin(xs / 1.7, zs / 1.7, 37)
    height[trees] = ground + np.where(distance < 0.62, spruce, 0) * wood

    far = z[:, 0] > 1300
    xs, zs, us = x[far], z[far], (x / z)[far]
    gate = 0.30 + 0.70 * smoothstep(0.02, 0.30, np.abs(us - 0.05) + 0.04 * warp[far])
    rise = smoothstep(2300, 7000, zs) * gate + 0.35 * smoothstep(1300, 3000, zs) * smoothstep(0.10, 0.5, np.abs(us))
    peaks = 2350 * rise * ridged(xs / 3100 + 3.7, zs / 3100 + 1.3, 47) ** 1.25 - 60
    height[far] = np.maximum(height[far], peaks)
    return height


def build(u: Array, sun: Array, relief: Relief = _relief) -> Terrain:
    """Return the terrain for the columns ``u`` (increasing), lit from the direction ``sun``, shape (3,)."""
    step = float(u[1] - u[0])
    wide = np.concatenate([u, u[-1] + step * np.arange(1, _MARGIN * 4, 4)])  # coarser: nobody sees it
    log_z = np.linspace(np.log(NEAR), np.log(FAR), STEPS).astype(np.float32)
    z = np.exp(log_z)[:, None] * np.ones_like(wide, np.float32)
    x = (z * wide).astype(np.float32)
    height = relief(x, z)
    slope_u = np.gradient(height, wide, axis=1)
    slope_log = np.gradient(height, log_z, axis=0)
    slope_x = slope_u / z
    slope_z = (slope_log - wide * slope_u) / z
    normal = np.stack([-slope_x, np.ones_like(slope_x), -slope_z], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    lit = _shadows(wide, log_z, x, z, height, sun)
    return Terrain(wide, z, height, normal.astype(np.float32), lit, len(u))


def _shadows(wide: Array, log_z: Array, x: Array, z: Array, height: Array, sun: Array) -> Array:
    """Return how much of the sun each sample sees, [0, 1], by walking towards it over a coarser grid."""
    rows, columns = slice(None, None, 3), slice(None, None, 2)
    px, pz, py = x[rows, columns], z[rows, columns], height[rows, columns]
    open_sky: Array = np.ones_like(py)
    for distance in np.geomspace(3, 4500, 44):
        qx, qz = px + sun[0] * distance, np.maximum(pz + sun[2] * distance, NEAR)
        row = np.clip((np.log(qz) - log_z[0]) / (log_z[1] - log_z[0]), 0, STEPS - 1).astype(np.int32)
        column = np.clip(np.searchsorted(wide, (qx / qz).ravel()).reshape(qx.shape), 0, len(wide) - 1)
        clearance = py + 0.4 + sun[1] * distance - height[row, column]
        open_sky = np.minimum(open_sky, 0.5 + clearance / (0.05 * distance + 0.6))
    soft = np.clip(open_sky, 0, 1)
    return np.repeat(np.repeat(soft, 3, 0), 2, 1)[: height.shape[0], : height.shape[1]]


def look(terrain: Terrain, v: Array, eye: float) -> Surface:
    """Return what the rows ``v`` see from the height ``eye``; below zero is the mirrored camera."""
    count = terrain.visible
    z, ground = terrain.z[:, :count], terrain.height[:, :count]
    # The mirrored camera looks up through the water, so only land can stop its rays.
    line = (ground - eye) / z if eye > 0 else np.where(ground > 0, (ground - eye) / z, -9)
    if eye > 0:
        line = np.maximum(line, -eye / z)
    horizon = np.maximum.accumulate(line, axis=0)
    row = np.empty((len(v), count), np.int32)
    for i in range(count):
        row[:, i] = np.searchsorted(horizon[:, i], v)
    hit = np.clip(row, 1, STEPS - 1)
    column = np.arange(count)[None, :]
    before, after = horizon[hit - 1, column], horizon[hit, column]
    part = np.clip((v[:, None] - before) / np.maximum(after - before, 1e-7), 0, 1)
    depth = terrain.z[hit - 1, column] * (1 - part) + terrain.z[hit, column] * part
    height = np.maximum(eye + v[:, None] * depth, 0)
    lit = terrain.lit[hit - 1, column] * (1 - part) + terrain.lit[hit, column] * part
    depth = np.where(row >= STEPS, np.inf, depth)
    return Surface(depth, height, terrain.normal[hit, column], lit)


def colors(x: Array, z: Array, height: Array, normal: Array) -> Array:
    """Return the albedo of the ground, shape (N, 3), at points with arrays of shape (N,)."""
    inland = shore(z) - x
    flat = normal[:, 1]
    patch = fbm(x / 40, z / 40, 61, 4)
    fine = fbm(x / 3, z / 3, 67, 3)
    grass = mix(rgb("6f7d33"), rgb("a99a4a"), np.clip(0.5 + patch + 0.5 * fine, 0, 1))
    _, number = cells(x / 7, z / 7, 31)
    leaf = mix(rgb("1f3a22"), rgb("4a5a25"), np.clip(number + 0.5 * fine, 0, 1))
    leaf = mix(leaf, rgb("b0741f"), smoothstep(0.80, 0.84, number) * smoothstep(-0.2, 0.4, patch))
    color = mix(grass, leaf, smoothstep(0.93, 0.72, flat + 0.05 * fine) * (z < 3200))
    meadow = fbm(x / 600, z / 600, 71, 5) + 0.4 * fbm(x / 60, z / 60, 73, 3)
    alpine = mix(rgb("41502c"), rgb("77713f"), np.clip(0.5 + 1.3 * meadow, 0, 1))
    color = mix(color, alpine, smoothstep(2000, 3000, z))
    strata = fbm(x / 210 + height / 130, height / 90 + z / 300, 79, 5)
    rock = mix(rgb("5b5148"), rgb("9c8f80"), np.clip(0.5 + 1.1 * strata, 0, 1))
    color = mix(color, rock, smoothstep(0.80, 0.62, flat) * smoothstep(1300, 2500, z))
    color = mix(color, rock, smoothstep(330, 620, height + 160 * meadow))
    snow = smoothstep(520, 800, height + 260 * meadow + 90 * strata) * smoothstep(0.42, 0.66, flat + 0.1 * fine)
    color = mix(color, rgb("f4f6fb"), snow)
    stone = mix(
        rgb("6d665d"),
        rgb("a1978a"),
        np.clip(0.5 + fine + 0.9 * perlin(z * 0.9, x * 1.2 + height * 2, 83), 0, 1),
    )
    course = np.floor(height / 0.48)
    joint = np.minimum(np.abs(np.mod(height / 0.48, 1) - 0.5), 2.2 * np.abs(np.mod(z / 1.5 + 0.5 * course, 1) - 0.5))
    slab = np.minimum(np.abs(np.mod(z / 2.4, 1) - 0.5), np.abs(np.mod(inland / 1.6, 1) - 0.5))
    gap = np.where(height < 1.75, smoothstep(0.40, 0.48, 0.5 - joint), 0.7 * smoothstep(0.45, 0.49, 0.5 - slab))
    stone = stone * (1 - 0.55 * gap * smoothstep(160, 60, z))[:, None]
    quay = smoothstep(9, 5, inland) * smoothstep(-3, 0, inland) * (z < 800)
    wet = smoothstep(1.0, 0.2, height)
    return mix(mix(color, stone, quay), rgb("2d2b27"), wet * 0.8)
