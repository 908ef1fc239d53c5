"""A canal town on a summer evening, with people on the quay: a content image for the pictures of the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from drawing import people, polygons, street, village, water
from drawing.canvas import HEIGHT, WIDTH, mix, photograph, rgb, shrink, smoothstep
from drawing.noise import Array, cells, fbm

if TYPE_CHECKING:
    from drawing.polygons import Face

_SCALE = 2  # samples per pixel, each way
_EYE, _QUAY = 3.3, 1.2
_HALF, _TOP = 0.47, 0.40
_LEFT, _EDGE, _RIGHT = -15.0, 1.2, 7.6
_SUN = np.array([-0.78, 0.30, -0.16]) / np.linalg.norm([-0.78, 0.30, -0.16])
_SUNLIGHT = np.array([1.0, 0.72, 0.48]) * 1.9
_SKYLIGHT = np.array([0.42, 0.46, 0.70]) * 0.62
_LAMPS = [(1.7, 14.0), (1.8, 23.0), (2.1, 34.0), (2.2, 50.0), (-15.6, 24.0), (-15.6, 44.0)]
_PEOPLE = [
    (4.4, 50.0, 1.75, "4a3a30", "2a2a30", "3a2a20", 0.6, False),
    (3.4, 38.0, 1.68, "6a3030", "5a2a2a", "2a1a1a", 0.3, True),
    (6.2, 30.0, 1.75, "3a4a5a", "3a342c", "6a5436", -0.7, False),
    (4.9, 22.5, 1.70, "7a6444", "34323a", "4a3a2a", 0.8, False),
    (5.5, 22.2, 1.62, "8a4a44", "6a3a38", "c0b08a", 0.3, True),
    (3.2, 17.0, 1.18, "3f6a74", "3a2f2a", "5a3a22", 0.9, False),
    (3.75, 16.8, 1.66, "54704e", "3a4a36", "4a2f1c", 0.3, True),
    (5.1, 12.6, 1.78, "3a4458", "28242a", "3a3230", -0.8, False),
]
"""Where people stand (x, z), how tall they are, colours of coat, legs and hat, their stride, and whether in a skirt."""


def _sky(u: Array, v: Array) -> Array:
    """Return the light of the evening sky (..., 3)."""
    up = np.maximum(v, 0.0)
    glow = np.exp(-(((u + 0.10) / 0.42) ** 2))
    color = mix(rgb("ffc878") * 1.15, rgb("e8a088"), smoothstep(0.0, 0.16, up))
    color = mix(color, rgb("8088b8"), smoothstep(0.10, 0.30, up))
    color = mix(color, rgb("3a5490"), smoothstep(0.24, 0.52, up))
    color = color * (0.75 + 0.45 * glow * np.exp(-3 * up))[..., None]
    flat = 1 / (up + 0.12)
    x, y = u * flat * 1.1 + 7, flat * 1.9
    warp = fbm(x * 0.6, y * 0.6, 501, 2)

    def body(dy: float) -> Array:
        return fbm(x * 0.7 + 0.8 * warp, y * 0.9 + 0.8 * warp + dy, 503, 6, 0.55) + 0.03

    thick = body(0)
    lit = np.clip(0.45 + 2.2 * (thick - body(0.14)) + 0.25 * glow, 0, 1)
    cloud = mix(rgb("5f5a86"), rgb("ffb080") * 1.25, lit)
    return mix(color, cloud, smoothstep(0.0, 0.30, thick) * 0.92 * smoothstep(0.0, 0.06, up))


def _roofs(z: Array) -> Array:
    """Return the height of the houses of the left bank, which keep the sun off the street."""
    tall: Array = 10.5 + 2.0 * np.sin(z / 4.1) + 1.3 * np.sin(z / 1.9)
    return tall


def _lit(place: Array, albedo: Array, normal: Array) -> Array:
    """Return the light of surfaces at the points ``place``, all (N, 3): sun, sky and lamps."""
    run = np.maximum(place[:, 0] - _LEFT, 0) / -_SUN[0]
    clear = place[:, 1] + run * _SUN[1] - _roofs(place[:, 2] + run * _SUN[2])
    sun = np.where(place[:, 2] > 66, 1.0, smoothstep(-0.35, 0.35, clear)) * np.clip(normal @ _SUN, 0, 1)
    low = 0.55 + 0.45 * smoothstep(0.0, 5.0, place[:, 1])
    light = sun[:, None] * _SUNLIGHT + _SKYLIGHT * ((0.65 + 0.35 * normal[:, 1]) * low)[:, None]
    for x, z in _LAMPS:
        way = np.array([x, _QUAY + 3.7, z]) - place
        far = (way * way).sum(-1)
        facing = np.clip(0.25 + 0.75 * (way * normal).sum(-1) / np.sqrt(far + 1e-6), 0, 1)
        light = light + rgb("ffb050") * (3.6 * facing / (far + 2.0))[:, None]
    lit: Array = albedo * light
    return lit


def _haze(light: Array, depth: Array) -> Array:
    """Return ``light`` (N, 3) as it arrives through ``depth`` metres of evening air."""
    through = np.exp(-depth[:, None] * np.array([0.0018, 0.0020, 0.0024]))
    hazed: Array = light * through + rgb("f0b890") * 0.75 * (1 - through)
    return hazed


def _row(x: float, start: float, end: float, seed: int, outward: float) -> list[Face]:
    """Return houses side by side along z at ``x``; they look to the side ``outward``."""
    random = np.random.default_rng(seed)
    faces: list[Face] = []
    z, number = start, 0
    while z < end:
        width, tall = random.uniform(5.0, 7.0), random.choice([8.6, 9.4, 11.6, 12.2])
        foot = 0.4 if outward > 0 else _QUAY
        near, far = np.array([x, foot, z]), np.array([x, foot, z + width])
        # The depth of a house lies to the left of its front.
        front = (near, far) if outward > 0 else (far, near)
        faces += street.town_house(front, 9.0, tall, seed * 100 + number, outward < 0)
        z, number = z + width + 0.02, number + 1
    return faces


def _faces() -> list[Face]:
    """Return all houses, the quays, the bridge, the boats and the lamps."""
    faces = _row(_RIGHT, 4.0, 66, 4, -1) + _row(_LEFT, 13.0, 66, 7, 1)
    wall = street.stone(621, 0.4)
    faces.append(
        polygons.Face(np.array([[_EDGE, -1, 1.5], [_EDGE, -1, 72], [_EDGE, _QUAY, 72], [_EDGE, _QUAY, 1.5]]), wall)
    )
    faces.append(
        polygons.Face(np.array([[_LEFT, -1, 1.5], [_LEFT, -1, 72], [_LEFT, 0.6, 72], [_LEFT, 0.6, 1.5]]), wall)
    )
    random = np.random.default_rng(9)
    for x in np.arange(-52, 44, 8.0):
        z = random.uniform(92, 120)
        p, q = np.array([x, 0.5, z]), np.array([x + 8, 0.5, z])
        faces += street.town_house((p, q), 9, random.uniform(8, 13), int(random.integers(999)), False)
    faces += street.bridge(72, _LEFT - 3, _EDGE + 7) + street.tower(-7.5, 118, 25, 6.5)
    for x, z in _LAMPS:
        faces += street.lamp(x, z, _QUAY if x > 0 else 0.5)
    faces += village.sailboat(-3.6, 24, 1.25, 8.0, "e0d8c4", "7a2a22")
    faces += village.fishing_boat(-8.8, 30, 1.45, 8.0, "2f6d7a", "e6dcc4") + village.sailboat(
        -6.5, 50, 1.6, 8.5, "35506b", "e8e4da"
    )
    return faces + village.fishing_boat(-0.8, 42, 1.5, 7.5, "a8402a", "efe6d2")


def _view(faces: list[Face], u: Array, v: Array, eye: float) -> tuple[Array, Array]:
    """Return light (H, W, 3) of sky and faces, and depth (H, W), for the rows ``v`` (decreasing)."""
    objects = polygons.draw(faces, u, v, eye)
    du, dv = np.broadcast_arrays(u[None, :], v[:, None])
    light = _sky(du, dv).astype(np.float32)
    solid = np.isfinite(objects.depth)
    z = objects.depth[solid]
    place = np.stack([du[solid] * z, eye + dv[solid] * z, z], axis=-1)
    light[solid] = _haze(_lit(place, objects.albedo[solid], objects.normal[solid]), z)
    return light, objects.depth


def _cobbles(x: Array, z: Array) -> Array:
    """Return the light (N, 3) of the pavement at (x, z)."""
    distance, number = cells(x * 4.2, z * 4.2, 631)
    joint = smoothstep(0.34, 0.52, distance) * smoothstep(45, 12, z)
    tone = np.clip(0.3 + 0.45 * number + 0.5 * fbm(x / 2, z / 2, 633, 4), 0, 1)
    albedo: Array = mix(rgb("6a5e54"), rgb("b8a894"), tone) * (1 - 0.68 * joint)[:, None]
    curb = smoothstep(0.55, 0.5, x - _EDGE)
    slab = smoothstep(0.47, 0.49, np.abs(np.mod(z / 1.3, 1) - 0.5))
    albedo = mix(albedo, rgb("b0a490") * (1 - 0.6 * slab)[:, None], curb)
    tilt: Array = np.stack([0.5 * (number - 0.5) + 0 * x, 1 + 0 * x, -0.5 * (distance - 0.3)], axis=-1)
    tilt /= np.linalg.norm(tilt, axis=-1, keepdims=True)
    light = _lit(np.stack([x, np.full_like(x, _QUAY), z], axis=-1), albedo, tilt)
    wet = (0.04 + 0.22 * smoothstep(0.0, 0.3, fbm(x / 3, z / 5, 637, 3))) * (1 - joint) * (0.4 + number)
    light = light + rgb("f0b080") * wet[:, None] * 0.5
    for px, pz, *_ in _PEOPLE:
        light = light * (1 - 0.6 * np.exp(-(((x - px - 0.25) / 0.5) ** 2) - ((z - pz) / 0.30) ** 2))[:, None]
    shade: Array = light * (0.55 + 0.45 * smoothstep(_RIGHT, _RIGHT - 1.6, x))[:, None]
    return shade


def draw() -> Array:
    """Return the picture: sRGB (H, W, 3), range [0, 1]."""
    columns, rows = WIDTH * _SCALE, HEIGHT * _SCALE
    u = np.linspace(-_HALF, _HALF, columns).astype(np.float32)
    step = float(u[1] - u[0])
    v = (_TOP - step * np.arange(rows)).astype(np.float32)
    faces = _faces()
    light, depth = _view(faces, u, v, _EYE)
    mirror_v = (0.52 - step * np.arange(int(0.53 / step))).astype(np.float32)
    mirror, _ = _view(faces, u, mirror_v, -_EYE)
    below = v < 0
    flat = (_EYE / np.maximum(-v[below], 0.0005))[:, None]
    surface = water.surface((mirror, mirror_v), u, v[below], _EYE, (rgb("14303a"), rgb("2a4a4c")), 0.8)
    surface = _haze(surface.reshape(-1, 3), np.broadcast_to(np.minimum(flat, 500), surface.shape[:2]).ravel()).reshape(
        surface.shape
    )
    light[below] = np.where((depth[below] > flat)[..., None], surface, light[below])
    du, dv = np.broadcast_arrays(u[None, :], np.minimum(v, -1e-3)[:, None])
    z = (_EYE - _QUAY) / -dv
    quay = (v[:, None] < 0) & (du * z > _EDGE) & (z < 90) & (depth > z)
    light[quay] = _haze(_cobbles((du * z)[quay], z[quay]), z[quay])
    for x, far, tall, *codes, stride, skirt in _PEOPLE:
        foot = (x / far - u[0]) / step, (v[0] + (_EYE - _QUAY) / far) / step
        colors = [rgb(str(code)) * np.array([0.85, 0.70, 0.62]) for code in codes]
        people.figure(light, foot, tall / far / step, colors, (stride, skirt))
    small = shrink(light.astype(np.float32), _SCALE)
    over = np.clip(small - 1.0, 0, 6)
    bloom = sum(
        np.stack([ndimage.gaussian_filter(over[..., i], size) for i in range(3)], axis=-1) for size in (3, 10, 28)
    )
    return photograph(small + 0.22 * bloom, 17, 0.86)
