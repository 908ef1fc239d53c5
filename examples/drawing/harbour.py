"""A fjord harbour in the evening sun: the first content image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from drawing import polygons, terrain, village
from drawing.canvas import HEIGHT, WIDTH, mix, photograph, rgb, shrink, smoothstep
from drawing.noise import Array, fbm

if TYPE_CHECKING:
    from drawing.polygons import Face

_SCALE = 2  # samples per pixel, each way
_EYE = 7.0
_HALF = 0.47
_SUN = np.array([0.86, 0.30, 0.30]) / np.linalg.norm([0.86, 0.30, 0.30])
_SUNLIGHT = np.array([1.0, 0.71, 0.43]) * 3.1
_SKYLIGHT = np.array([0.36, 0.50, 0.78]) * 0.62


def _sky(u: Array, v: Array) -> Array:
    """Return the light of the sky, shape (..., 3), in the directions (u, v, 1)."""
    up = np.maximum(v, 0.0)
    color = mix(rgb("f3d9b0"), rgb("9cc0da"), smoothstep(-0.02, 0.16, up))
    color = mix(color, rgb("3f74b0"), smoothstep(0.08, 0.42, up))
    length = np.sqrt(u * u + v * v + 1)
    toward = (u * _SUN[0] + v * _SUN[1] + _SUN[2]) / length
    glow = np.clip(toward, 0, 1)
    color = color * (0.72 + 0.35 * glow[..., None] ** 2)
    color = color + rgb("ffb35c") * (0.9 * glow**7 + 0.22 * glow**2 * np.exp(-9 * up))[..., None]

    flat = 1 / (up + 0.085)
    x, z = u * flat * 0.95 + 4.3, flat * 1.25

    def thickness(dx: float, dz: float) -> Array:
        warp = fbm(x * 0.6 + dx, z * 0.6 + dz, 101, 2)
        body = fbm(x * 0.55 + 0.7 * warp + dx, z * 0.9 + 0.7 * warp + dz, 103, 6, 0.53)
        return body + 0.10 + 0.25 * _bank(x + dx, z + dz)

    body = thickness(0, 0)
    lean = body - thickness(0.16, 0.02)
    cover = smoothstep(0.02, 0.34, body)
    light = np.clip(0.62 + 2.4 * lean - 0.55 * np.clip(body - 0.25, 0, 1), 0.12, 1.25)
    cloud = mix(rgb("8089a0"), rgb("fff0d8"), np.clip(light, 0, 1)) * (0.8 + 0.45 * glow[..., None])
    cloud = mix(cloud, rgb("ffc890") * 1.05, 0.5 * np.exp(-14 * up))
    return mix(color, cloud, cover * 0.92 * smoothstep(0.0, 0.07, up))


def _bank(x: Array, z: Array) -> Array:
    """Return the slow change between cloudy and clear parts of the sky."""
    return fbm(x * 0.21, z * 0.3, 107, 2)


def _haze(light: Array, u: Array, v: Array, depth: Array) -> Array:
    """Return ``light`` (N, 3) as it arrives through ``depth`` metres of evening air."""
    through = np.exp(-depth[:, None] * np.array([0.00011, 0.000135, 0.00018]) * 1.15)
    length = np.sqrt(u * u + v * v + 1)
    toward = np.clip((u * _SUN[0] + v * _SUN[1] + _SUN[2]) / length, 0, 1)
    air = mix(rgb("8fb0d0") * 0.85, rgb("ffd3a0") * 1.05, smoothstep(0.15, 0.95, toward))
    lit: Array = light * through + air * (1 - through)
    return lit


def _lit(albedo: Array, normal: Array, sun: Array) -> Array:
    """Return the light that surfaces (N, 3) send back, ``sun`` [0, 1] says how much of it they see."""
    direct = np.clip(normal @ _SUN, 0, 1) * sun
    ambient = _SKYLIGHT * (0.55 + 0.45 * normal[:, 1:2]) + _SUNLIGHT * 0.07 * np.clip(0.7 - normal[:, :1], 0, 1)
    light: Array = albedo * (direct[:, None] * _SUNLIGHT + ambient)
    return light


def _view(land: terrain.Terrain, faces: list[Face], u: Array, v: Array, eye: float) -> tuple[Array, Array]:
    """Return light (H, W, 3) without the water, and depth (H, W), for the rows ``v`` (decreasing)."""
    surface = terrain.look(land, v, eye)
    objects = polygons.draw(faces, u, v, eye)
    du, dv = np.broadcast_arrays(u[None, :], v[:, None])
    solid = objects.depth < surface.depth
    ground = np.isfinite(surface.depth) & ~solid & (surface.height > 0.02)
    above = ~(ground | solid)
    light: Array = np.zeros((*du.shape, 3), np.float32)
    light[above] = _sky(du[above], dv[above])
    z = surface.depth[ground]
    x, height, normal = du[ground] * z, surface.height[ground], surface.normal[ground]
    albedo = terrain.colors(x, z, height, normal)
    light[ground] = _haze(_lit(albedo, normal, surface.lit[ground]), du[ground], dv[ground], z)
    # Faces take the sun of the ground around them, so that a house in the hill's shadow stays dark.
    share = np.clip(ndimage.uniform_filter(surface.lit, 9) * 1.5, 0, 1)[solid]
    share = np.where(objects.depth[solid] < 130, 1.0, share)
    z = objects.depth[solid]
    light[solid] = _haze(_lit(objects.albedo[solid], objects.normal[solid], share), du[solid], dv[solid], z)
    return light, np.minimum(surface.depth, objects.depth)


def _water(mirror: Array, mirror_v: Array, u: Array, v: Array) -> Array:
    """Return the light of the water (H, W, 3) for the rows ``v`` < 0, given the mirrored camera's view."""
    down = np.minimum(v, -0.002)[:, None]
    z = _EYE / -down
    x = u[None, :] * z
    # Far waves are smaller than a pixel: they blur the reflection instead of bending it.
    calm = 1 / (1 + z / 160)
    gust = 0.55 + 0.9 * smoothstep(-0.25, 0.45, fbm(x / 30, z / 55, 113, 3))
    along = gust * (0.055 * fbm(x / 2.2, z / 1.5, 117, 3) + 0.028 * fbm(x / 0.55, z / 0.35, 121, 2) * calm)
    across = gust * 0.016 * fbm(x / 1.8, z / 1.8, 127, 3)
    bend = 0.12 + 0.88 * calm
    ray_v = np.clip(-down + 2 * along * bend, 0.003, mirror_v[0])
    ray_u = u[None, :] + 2 * across * bend
    row = (mirror_v[0] - ray_v) / (mirror_v[0] - mirror_v[1])
    column = (ray_u - u[0]) / (u[1] - u[0])
    reflected = np.stack(
        [ndimage.map_coordinates(mirror[..., i], [row, column], order=1, mode="nearest") for i in range(3)],
        axis=-1,
    )
    cosine = np.clip((-down + 1.4 * along) / np.sqrt(1 + down * down), 0.02, 1)
    fresnel = 0.03 + 0.97 * (1 - cosine) ** 4.2
    deep = mix(rgb("0d3540"), rgb("1f5a5c"), np.clip(0.5 + fbm(x / 14, z / 20, 131, 3), 0, 1))
    share = fresnel[..., None]
    light: Array = deep * 0.55 * (1 - share) + reflected * share * np.array([0.93, 0.96, 0.97])
    return light


def draw() -> Array:
    """Return the picture: sRGB (H, W, 3), range [0, 1]."""
    columns, rows = WIDTH * _SCALE, HEIGHT * _SCALE
    u = np.linspace(-_HALF, _HALF, columns).astype(np.float32)
    step = float(u[1] - u[0])
    v = (0.335 - step * np.arange(rows)).astype(np.float32)
    land = terrain.build(u, _SUN)
    faces = village.houses() + village.boats() + village.jetty()
    light, depth = _view(land, faces, u, v, _EYE)
    mirror_v = (0.46 - step * np.arange(int(0.47 / step))).astype(np.float32)
    mirror, _ = _view(land, faces, u, mirror_v, -_EYE)
    wet = (v[:, None] < 0) & (depth > 0.985 * _EYE / np.maximum(-v[:, None], 1e-6))
    below = v < 0
    surface = _water(mirror, mirror_v, u, v[below])
    flat_depth = np.broadcast_to((_EYE / np.maximum(-v[below], 0.0005))[:, None], surface.shape[:2])
    du, dv = np.broadcast_arrays(u[None, :], v[below][:, None])
    hazed = _haze(surface.reshape(-1, 3), du.ravel(), dv.ravel(), np.minimum(flat_depth, 6000).ravel())
    light[below] = np.where(wet[below][..., None], hazed.reshape(surface.shape), light[below])
    small = shrink(light.astype(np.float32), _SCALE)
    bloom = np.stack([ndimage.gaussian_filter(np.clip(small[..., i] - 0.9, 0, 3), 9) for i in range(3)], axis=-1)
    return photograph(small + 0.35 * bloom, 7, 0.72)
