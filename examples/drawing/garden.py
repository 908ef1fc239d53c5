"""A house in a meadow at a mountain lake on a summer day: a content image for the pictures of the gallery."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from drawing import people, plants, polygons, terrain, village, water
from drawing.canvas import HEIGHT, WIDTH, mix, photograph, rgb, shrink, smoothstep
from drawing.noise import Array, cells, fbm, perlin, ridged
from drawing.plants import Tree
from drawing.polygons import Face, box

_SCALE = 2  # samples per pixel, each way
_EYE, _MEADOW = 3.4, 1.3
_HALF, _TOP = 0.47, 0.30
_SUN = np.array([-0.62, 0.60, -0.34]) / np.linalg.norm([-0.62, 0.60, -0.34])
_SUNLIGHT = np.array([1.0, 0.90, 0.72]) * 2.7
_SKYLIGHT = np.array([0.42, 0.56, 0.80]) * 0.75


def _bank(x: Array) -> Array:
    """Return z of the lake's near shore at ``x``; the house stands on the part that reaches far out."""
    line: Array = 25 + 36 * smoothstep(0, 13, x) + 2.5 * np.sin(x / 4.5) + 1.2 * np.sin(x / 1.7)
    return line


def _relief(x: Array, z: Array) -> Array:
    """Return the height of the ground: meadow, lake, wooded hills, mountains."""
    warp = fbm(x / 150, z / 150, 211, 4)
    meadow = _MEADOW - 4.5 * smoothstep(-2.5, 2.5, z - _bank(x)) + 0.10 * fbm(x / 3, z / 3, 213, 3)
    side = np.maximum(-x - 34 - 0.16 * z - 50 * warp, x - 60 - 0.20 * z + 60 * warp)
    inland = np.maximum(side, 0.5 * (z - 900 - 260 * warp))
    hills = np.where((inland > 0) & (z > 70), 150 * (1 - np.exp(-0.36 * inland / 150)) * (1 + 0.5 * warp), -4)
    height = np.maximum(meadow, hills)
    near = z[:, 0] < 3500
    xs, zs = x[near], z[near]
    wood = smoothstep(-0.2, 0.12, fbm(xs / 90, zs / 90, 223, 4) + 0.003 * inland[near]) * (hills[near] > 0.5)
    distance, number = cells(xs / 7, zs / 7, 31)
    crown = np.sqrt(np.clip(1 - (distance / 0.62) ** 2, 0, 1)) * (5 + 6 * number) + 1.6 * perlin(xs / 1.6, zs / 1.6, 37)
    height[near] += np.where(distance < 0.62, crown, 0) * wood
    far = z[:, 0] > 1300
    xs, zs, us = x[far], z[far], (x / z)[far]
    rise = smoothstep(2200, 6500, zs) * (0.42 + 0.58 * smoothstep(0.30, 0.05, np.abs(us + 0.03)))
    peaks = 2050 * rise * ridged(xs / 3300 + 8.1, zs / 3300 + 2.2, 247) ** 1.2 - 60
    height[far] = np.maximum(height[far], peaks)
    return height


def _ground(x: Array, z: Array, height: Array, normal: Array) -> Array:
    """Return the albedo (N, 3) of the ground."""
    fine, patch = fbm(x / 3, z / 3, 267, 3), fbm(x / 45, z / 45, 261, 4)
    meadow = mix(rgb("4f6a22"), rgb("97a043"), np.clip(0.5 + 0.7 * fine + 0.6 * patch, 0, 1))
    _, number = cells(x / 7, z / 7, 31)
    leaf = mix(rgb("20401c"), rgb("5f7a2a"), np.clip(number + 0.6 * fine, 0, 1))
    wooded = (z > 70) & (height > 2)
    color = mix(meadow, leaf, wooded * smoothstep(0.97, 0.80, normal[:, 1] + 0.06 * fine) * (z < 3500))
    strata = fbm(x / 210 + height / 130, height / 90 + z / 300, 279, 5)
    rock = mix(rgb("5a5560"), rgb("a39a94"), np.clip(0.5 + 1.1 * strata, 0, 1))
    bare = smoothstep(0.84, 0.62, normal[:, 1]) * smoothstep(1300, 2500, z)
    color = mix(color, mix(rgb("46602e"), rgb("7d8040"), np.clip(0.5 + patch, 0, 1)), smoothstep(1900, 2600, z))
    color = mix(color, rock, np.maximum(bare, smoothstep(380, 700, height + 170 * patch)))
    snow = smoothstep(620, 900, height + 260 * patch + 90 * strata) * smoothstep(0.42, 0.66, normal[:, 1] + 0.1 * fine)
    color = mix(color, rgb("f4f6fb"), snow)
    return mix(color, rgb("6a5c40"), smoothstep(0.75, 0.2, height) * (z < 200))


def _sky(u: Array, v: Array) -> Array:
    """Return the light of the sky (..., 3): summer blue with heaped clouds."""
    up = np.maximum(v, 0.0)
    color = mix(rgb("cfe0ea"), rgb("7fb0dc"), smoothstep(-0.02, 0.14, up))
    color = mix(color, rgb("2f6cb8"), smoothstep(0.08, 0.36, up)) * 0.95
    flat = 1 / (up + 0.16)
    x, y = u * 2.1 * flat**0.5 + 0.9, up * 9.0 * flat**0.25

    def body(dx: float, dy: float) -> Array:
        px, py = x + dx, y + dy
        warp = fbm(px * 1.2, py * 1.2, 301, 3)
        heap = 1 - np.abs(fbm(px * 1.7 + 0.5 * warp, py * 1.7 + 0.5 * warp, 303, 6, 0.55)) * 2.0
        where = fbm(px * 0.7, py * 0.55, 311, 3)
        thick: Array = 0.55 * heap + 1.25 * where - 0.36
        return thick

    thick = body(0, 0)
    lean = thick - body(-0.09, 0.13)
    cover = smoothstep(0.0, 0.20, thick)
    light = np.clip(0.74 + 1.3 * lean - 0.42 * np.clip(thick - 0.2, 0, 1), 0, 1)
    cloud = mix(rgb("8d9db5"), rgb("fffaf0") * 1.25, light)
    return mix(color, cloud, cover * 0.96 * smoothstep(0.0, 0.06, up))


def _lit(albedo: Array, normal: Array, sun: Array) -> Array:
    """Return the light that surfaces (N, 3) send back; they see the share ``sun`` of the sun."""
    direct = np.clip(normal @ _SUN, 0, 1) * sun
    light: Array = albedo * (direct[:, None] * _SUNLIGHT + _SKYLIGHT * (0.6 + 0.4 * normal[:, 1:2]))
    return light


def _haze(light: Array, depth: Array) -> Array:
    """Return ``light`` (N, 3) as it arrives through ``depth`` metres of summer air."""
    through = np.exp(-depth[:, None] * np.array([0.00008, 0.0001, 0.00014]))
    hazed: Array = light * through + rgb("9fc0e0") * 0.95 * (1 - through)
    return hazed


def _view(land: terrain.Terrain, faces: list[Face], u: Array, v: Array, eye: float) -> tuple[Array, Array]:
    """Return light (H, W, 3) without the water, and depth (H, W), for the rows ``v`` (decreasing)."""
    surface = terrain.look(land, v, eye)
    objects = polygons.draw(faces, u, v, eye)
    du, dv = np.broadcast_arrays(u[None, :], v[:, None])
    light = _sky(du, dv).astype(np.float32)
    solid = objects.depth < surface.depth
    ground = np.isfinite(surface.depth) & ~solid & (surface.height > 0.02)
    z, normal = surface.depth[ground], surface.normal[ground]
    albedo = _ground(du[ground] * z, z, surface.height[ground], normal)
    light[ground] = _haze(_lit(albedo, normal, surface.lit[ground]), z)
    z = objects.depth[solid]
    light[solid] = _haze(_lit(objects.albedo[solid], objects.normal[solid], np.ones_like(z)), z)
    return light, np.minimum(surface.depth, objects.depth)


def _path(z: Array) -> Array:
    """Return x of the middle of the path at the distance ``z``."""
    line: Array = -1.2 + 0.0062 * z**2 + 0.7 * np.sin(z / 5.5)
    return line


def _rail(z: Array) -> Array:
    """Return x of the fence, which follows the path, at the distance ``z``."""
    line: Array = _path(z) + 2.7 - 0.014 * z
    return line


def _house() -> list[Face]:
    """Return the house with its red roof."""
    return village.house(16.5, 54, _MEADOW + 0.6, (11.0, 3.4, 7.5), 0.62, 3, (rgb("c9b690"), rgb("8f3a2a")))


def _fence() -> list[Face]:
    """Return the fence along the path."""

    def wood(along: Array, across: Array) -> Array:
        return mix(rgb("6e5b44"), rgb("b09a78"), np.clip(0.5 + fbm(along * 3, across * 25, 391, 3), 0, 1))

    faces: list[Face] = []
    posts = np.arange(5.4, 42, 1.7)
    for z, x, beyond in zip(posts, _rail(posts), _rail(posts + 1.7), strict=True):
        for up in (0.40, 0.80):
            low, high = np.array([x, _MEADOW + up, z]), np.array([beyond, _MEADOW + up, z + 1.7])
            tall = np.array([0, 0.12, 0])
            faces.append(Face(np.array([low, high, high + tall, low + tall]), wood))
        faces += box((x, _MEADOW - 0.1, z), (0.13, 1.2, 0.13), 0.3, wood)
    return faces


def _sunlight(x: Array, z: Array) -> Array:
    """Return how bright the meadow is at (x, z): shadows of clouds and, dappled, of the near tree."""
    cloud = smoothstep(-0.25, 0.30, fbm(x / 22 + 3, z / 13, 381, 2))
    crown = np.hypot((x - 0.5) / 2.3, (z - 9.3) / 2.0) + 0.35 * fbm(x * 1.4, z * 1.4, 383, 3)
    trunk = np.abs(z - 7.3 - 0.55 * (x + 2.8)) + 9.0 * ((x < -2.8) | (x > -0.5))
    dapple = smoothstep(0.05, 0.35, fbm(x * 3.2, z * 2.6, 385, 3))
    shade = np.maximum(smoothstep(1.05, 0.85, crown) * (1 - 0.8 * dapple), smoothstep(0.26, 0.16, trunk))
    light: Array = (0.50 + 0.55 * cloud) * (1 - 0.66 * shade)
    return light


def _plant(image: Array, random: np.random.Generator, step: float, u: Array, v: Array) -> None:
    """Draw the near meadow over ``image``: grass and flowers, and the tree that stands in it."""
    count = 80000
    z = 4.2 * (62 / 4.2) ** (random.uniform(0, 1, count) ** 1.15)
    x = random.uniform(-_HALF * 1.05, _HALF * 1.05, count) * z
    off = np.abs(x - _path(z)) + 0.25 * fbm(x * 1.5, z * 1.5, 351, 3)
    keep = (z < _bank(x) - 1.5) & ((off > 0.62) | (random.uniform(0, 1, count) < 0.03))
    keep &= ~((np.abs(x - 16.5) < 6.5) & (z > 47))
    x, z, off = x[keep], z[keep], off[keep]
    column, row = (x / z - u[0]) / step, (v[0] + (_EYE - _MEADOW) / z) / step
    tall = (0.24 + 0.20 * fbm(x / 2, z / 2, 353, 3)) * smoothstep(0.3, 1.5, off) + 0.07
    light = _sunlight(x, z) * (1.05 + 0.3 * fbm(x / 2, z / 3, 357, 3))
    before = image.copy()
    plants.grass(image, column, row, tall / z / step, 359, light)
    bloom = (fbm(x / 3.5, z / 5, 361, 3) + random.normal(0, 0.25, len(x)) > 0.22) & (off > 0.9) & (z < 40)
    bloom &= random.uniform(0, 1, len(x)) < 0.30
    palette = np.array([rgb(code) for code in ("b8231a", "d8d4c4", "c8981f", "5f3f96", "c05878")])
    kind = np.clip(fbm(x / 6, z / 6, 367, 2) * 3 + random.normal(2, 0.9, len(x)), 0, 4.99).astype(np.int64)
    order = np.nonzero(bloom)[0][np.argsort(-z[bloom])]
    size = np.clip(0.034 * random.uniform(0.6, 1.4, len(x)) / z / step, 1.0, 10)
    color = palette[kind] * light[:, None] * 1.15
    plants.flowers(image, column[order], (row - tall / z / step)[order], size[order], color[order], 371)
    # The fence stands in the grass: its pixels come back, then the blades at its foot.
    fence = np.isfinite(polygons.draw(_fence(), u, v, _EYE).depth)
    image[fence] = before[fence]
    walkers = ((25.0, -0.35, 1.68, "a83a34 8a3a34 6a4424"), (24.7, 0.45, 1.15, "3f6a94 4a3a30 c8a868"))
    for far, off, height, codes in walkers:
        foot = float((_path(np.array(far)) + off) / far - u[0]) / step, float(v[0] + (_EYE - _MEADOW) / far) / step
        colors = [rgb(code) * 1.3 for code in codes.split()]
        people.figure(image, foot, height / far / step, colors, (0.6, height > 1.5))
    big = Tree((140, 960), 900, rgb("0d1f0a"), rgb("7d9636") * 1.15, 4.2, 0.31, 70000, 0.36, -0.3)
    plants.tree(image, big, (-0.62, -0.62, 0.34), 21)
    front = (np.hypot((x + 2.77) * 1.0, z - 7.0) < 0.55) | (
        (np.abs(x - _rail(z)) < 0.30) & (random.uniform(0, 1, len(x)) < 0.7)
    )
    front &= ~((np.abs(x + 2.77) < 0.6) & (z > 7.25) & (z < 8))
    plants.grass(image, column[front], row[front], (tall / z / step * 0.9)[front], 373, light[front])


def draw() -> Array:
    """Return the picture: sRGB (H, W, 3), range [0, 1]."""
    columns, rows = WIDTH * _SCALE, HEIGHT * _SCALE
    u = np.linspace(-_HALF, _HALF, columns).astype(np.float32)
    step = float(u[1] - u[0])
    v = (_TOP - step * np.arange(rows)).astype(np.float32)
    land = terrain.build(u, _SUN, _relief)
    faces = _house() + _fence()
    light, depth = _view(land, faces, u, v, _EYE)
    mirror_v = (0.40 - step * np.arange(int(0.41 / step))).astype(np.float32)
    # The mirrored camera stands under the meadow, which must not hide the lake from it.
    over_lake = replace(land, height=np.where(land.z < 66, -1.0, land.height))
    mirror, _ = _view(over_lake, faces, u, mirror_v, -_EYE)
    below = v < 0
    flat = (_EYE / np.maximum(-v[below], 0.0005))[:, None]
    wet = (depth[below] > 0.985 * flat) & (flat > 18)
    surface = water.surface((mirror, mirror_v), u, v[below], _EYE, (rgb("0c4450"), rgb("1f6a74")), 1.0)
    hazed = _haze(surface.reshape(-1, 3), np.broadcast_to(np.minimum(flat, 6000), wet.shape).ravel())
    light[below] = np.where(wet[..., None], hazed.reshape(surface.shape), light[below])
    du, dv = np.broadcast_arrays(u[None, :], np.minimum(v, -1e-3)[:, None])
    z = (_EYE - _MEADOW) / -dv
    near = (v[:, None] < 0) & ((z < _bank(du * z) - 1.0) | (z < 16.5)) & (depth > z * 0.97)
    x, z = (du * z)[near], z[near]
    earth = mix(rgb("6a543a"), rgb("b89a70"), np.clip(0.5 + 0.8 * fbm(x * 2, z * 1.2, 341, 5), 0, 1)) * 1.5
    pebble, tone = cells(x * 9, z * 6, 343)
    earth = earth * (0.8 + 0.5 * tone * smoothstep(0.45, 0.2, pebble))[..., None]
    trod = smoothstep(0.85, 0.6, np.abs(x - _path(z)) + 0.25 * fbm(x * 1.5, z * 1.5, 351, 3))
    turf = rgb("34481c") * (0.9 + 0.5 * fbm(x, z, 347, 4))[..., None]
    light[near] = mix(turf, earth, trod) * _sunlight(x, z)[:, None]
    sun = (-0.62, -0.62, 0.34)
    dark, bright = rgb("10240e"), rgb("6f8a34") * 1.1
    for at, foot, tall, wide, seed in (
        (1500, 590, 430, 0.42, 14),
        (985, 556, 130, 0.5, 12),
        (1050, 562, 90, 0.6, 16),
        (1180, 566, 55, 1.0, 18),
    ):
        plants.tree(light, Tree((at, foot), tall, dark, bright, 2.6, wide, 16000), sun, seed)
    _plant(light, np.random.default_rng(5), step, u, v)
    small = shrink(light.astype(np.float32), _SCALE)
    bloom = np.stack([ndimage.gaussian_filter(np.clip(small[..., i] - 1.0, 0, 3), 8) for i in range(3)], axis=-1)
    return photograph(small + 0.25 * bloom, 11, 0.74)
