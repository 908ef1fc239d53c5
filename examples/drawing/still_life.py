"""Fruit, a painted jug and a bottle in the light of a window: the second content image."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from drawing import solids
from drawing.canvas import HEIGHT, WIDTH, mix, photograph, rgb, smoothstep
from drawing.noise import Array, cells, fbm, perlin
from drawing.solids import Scene, Solid, solid

_LIGHT = np.array([-0.74, 0.58, -0.42], np.float32) / np.float32(np.linalg.norm([-0.74, 0.58, -0.42]))
_KEY = np.array([1.0, 0.90, 0.74], np.float32) * 2.5
_EYE = np.array([0.25, 3.3, -10.2], np.float32)
_TARGET = np.array([0.22, 1.16, 0.0], np.float32)
_ZOOM = 2.86
_CHUNK = 60000

_JUG = [
    (0, 0.55),
    (0.08, 0.62),
    (0.5, 0.90),
    (1.05, 1.05),
    (1.6, 0.92),
    (2.1, 0.60),
    (2.45, 0.52),
    (2.8, 0.58),
    (2.92, 0.66),
    (2.97, 0.67),
]
_BOTTLE = [
    (0, 0.42),
    (0.08, 0.47),
    (0.3, 0.48),
    (1.85, 0.48),
    (2.25, 0.40),
    (2.62, 0.20),
    (2.9, 0.155),
    (3.45, 0.15),
    (3.5, 0.19),
    (3.62, 0.19),
]


def _scene() -> Scene:
    """Return everything on the table."""
    flat = (0.0, 0.0, 0.0)
    linen = Solid(
        "cloth",
        np.zeros(3, np.float32),
        np.eye(3, dtype=np.float32),
        np.array([3.6, 0.35, 3.1], np.float32),
        solids.cloth,
    )
    return Scene(
        [
            linen,
            solid("jug", (-1.55, 1.45, 0.75), flat, 1.52, _raised(solids.lathe(_JUG, 0.07), 1.45)),
            solid("handle", (-2.28, 1.85, 0.62), (0, 10, -4), 1.0, solids.handle(0.62, 0.10)),
            solid("bottle", (0.30, 2.0, 1.75), flat, 2.1, _raised(solids.lathe(_BOTTLE, 0.05), 2.0)),
            solid("red apple", (-0.42, 0.58, -0.42), (12, 40, -10), 0.95, solids.fruit(0.60, solids.apple, 0.22)),
            solid("apple", (0.78, 0.56, 0.22), (-16, 80, 16), 0.95, solids.fruit(0.58, solids.apple, 0.2)),
            solid("pear", (1.72, 0.55, 0.55), (4, 20, -7), 1.35, solids.fruit(0.56, solids.pear, 0.28)),
            solid("fallen pear", (1.55, 0.54, -0.92), (20, 30, 68), 1.35, solids.fruit(0.52, solids.pear, 0.25)),
            solid("orange", (2.62, 0.55, -0.30), (30, 0, 20), 0.6, solids.fruit(0.55, solids.orange)),
            solid("lemon", (-1.55, 0.45, -1.20), (6, 28, 82), 0.62, solids.fruit(0.41, solids.lemon)),
            solid("grapes", (0.22, 0.05, -1.35), (0, -14, 0), 1.1, solids.bunch(12)),
        ],
        wall=4.2,
    )


def _raised(distance: solids.Distance, height: float) -> solids.Distance:
    """Return a solid whose frame's origin lies ``height`` above its foot."""
    return lambda points: distance(points + np.array([0, height, 0], np.float32))


def _window(directions: Array) -> Array:
    """Return the light (N,) of the window, with its bars, in the ``directions`` (N, 3)."""
    side = np.maximum(-directions[:, 0], 1e-3)
    up, along = directions[:, 1] / side, directions[:, 2] / side
    frame = smoothstep(0.22, 0.26, up) * smoothstep(1.32, 1.28, up)
    frame = frame * smoothstep(-1.15, -1.1, along) * smoothstep(0.10, 0.05, along)
    bars = smoothstep(0.02, 0.05, np.abs(along + 0.52)) * smoothstep(0.02, 0.05, np.abs(up - 0.80))
    light: Array = frame * bars * (directions[:, 0] < 0)
    return light


def _room(directions: Array) -> Array:
    """Return the dim light (N, 3) that comes from the room in the ``directions``."""
    left = 0.5 - 0.5 * directions[:, 0]
    return mix(rgb("3a2c22") * 0.5, rgb("a9b4bd") * 0.62, left**1.5) * (0.65 + 0.35 * directions[:, 1:2])


def _skin(name: str, p: Array) -> tuple[Array, Array, float]:
    """Return albedo (N, 3), bump height (N,) and gloss of the solid ``name`` at points of its own frame."""
    none: Array = np.zeros(len(p), np.float32)
    around = np.arctan2(p[:, 2], p[:, 0])
    length = np.linalg.norm(p, axis=-1) + 1e-6
    up = p[:, 1] / length
    if name in ("red apple", "apple"):
        streak = 0.6 * fbm(around * 7, up * 1.6, 21, 4) + 0.5 * fbm(around * 1.3, up * 1.3, 23, 2)
        base, blush = (rgb("b98a2e"), rgb("8f1218")) if name == "red apple" else (rgb("9aa83a"), rgb("b8402a"))
        cover = smoothstep(-0.55, 0.35, streak + (0.35 if name == "red apple" else -0.12) + 0.25 * np.cos(around - 2))
        color = mix(base, blush, cover * 0.95)
        spots, _ = cells(around * 6, up * 7, 25)
        color = mix(color, rgb("e2c98a"), smoothstep(0.10, 0.05, spots) * 0.6)
        color = mix(color, rgb("6b6a25"), smoothstep(0.90, 0.97, up) * 0.7)
        return mix(color, rgb("3d2a18"), (length < 0.5) * (up > 0.96) * 1.0), none, 0.75
    if "pear" in name:
        mottle = fbm(around * 2, p[:, 1] * 4, 27, 4)
        color = mix(rgb("a8a03a"), rgb("c9a63a"), np.clip(0.5 + mottle, 0, 1))
        color = mix(color, rgb("a8542a"), smoothstep(0.1, 0.9, np.cos(around - 0.4) + 0.8 * mottle) * 0.55)
        spots, _ = cells(around * 11, p[:, 1] * 14, 29)
        color = mix(color, rgb("5c4a1e"), smoothstep(0.20, 0.08, spots) * 0.65)
        stem = (np.hypot(p[:, 0], p[:, 2]) < 0.07) & (p[:, 1] > 0.94)
        return mix(color, rgb("3a2716"), stem * 1.0), none, 0.35
    if name in ("orange", "lemon"):
        pores, _ = cells(p[:, 0] * 22 + 3, p[:, 1] * 22 + p[:, 2] * 15, 33)
        bump = 0.004 * smoothstep(0.0, 0.4, pores) + 0.008 * perlin(p[:, 0] * 7, p[:, 1] * 7 + p[:, 2] * 5, 35)
        shift = np.clip(0.5 + fbm(p[:, 0] * 2, p[:, 1] * 2 + p[:, 2], 37, 3), 0, 1)
        pair = (rgb("d9720f"), rgb("e08a1c")) if name == "orange" else (rgb("dfb516"), rgb("e8cb3a"))
        return mix(pair[0], pair[1], shift), bump, 0.45
    if name == "grapes":
        bloom = smoothstep(-0.2, 0.6, fbm(p[:, 0] * 8, p[:, 1] * 8 + p[:, 2] * 5, 39, 3) + 0.4 * up)
        return mix(rgb("2c0f2e"), rgb("6d5a80"), bloom * 0.35), none, 0.6
    if name in ("jug", "handle"):
        height = p[:, 1] + 1.45
        glaze = rgb("e6e2d6") * (1 + 0.05 * fbm(around * 2, height * 2, 41, 3))[:, None]
        return mix(glaze, rgb("1f3f86"), _painted(around, height) if name == "jug" else none), none, 0.9
    if name == "bottle":
        return np.broadcast_to(rgb("0c1f12"), p.shape), none, 1.0
    if name == "cloth":
        weave = 0.005 * fbm(p[:, 0] * 14, (p[:, 2] + p[:, 1]) * 14, 43, 2) + 0.02 * fbm(
            p[:, 0] * 2.4, p[:, 2] * 2.4, 44, 3
        )
        stripe = smoothstep(0.035, 0.025, np.abs(p[:, 2] + 2.02)) + smoothstep(0.016, 0.01, np.abs(p[:, 2] + 1.90))
        stripe = np.clip(stripe, 0, 1)
        return mix(rgb("ded6c6"), rgb("3d5f94"), stripe * 0.75), weave, 0.0
    if name == "table":
        warp = fbm(p[:, 0] * 0.35, p[:, 2] * 1.2 + p[:, 1], 45, 3)
        grain = fbm(p[:, 0] * 0.7, (p[:, 2] + p[:, 1]) * 9 + 4 * warp, 47, 5, 0.62)
        plank = np.abs(np.mod(p[:, 2] + 0.4, 1.7) - 0.85) > 0.83
        color = mix(rgb("4a2b18"), rgb("8a5a32"), np.clip(0.5 + 1.1 * grain + 0.4 * warp, 0, 1))
        return color * np.where(plank, 0.35, 1.0)[:, None], 0.006 * grain, 0.4
    patch = fbm(p[:, 0] * 0.7, p[:, 1] * 0.7, 51, 5, 0.6)
    plaster = mix(rgb("5d5f55"), rgb("8a8470"), np.clip(0.5 + 0.9 * patch, 0, 1))
    return plaster, 0.009 * fbm(p[:, 0] * 2, p[:, 1] * 2, 53, 4), 0.0


def _painted(around: Array, height: Array) -> Array:
    """Return where (N,) the jug carries blue paint: bands, petals and leaves."""
    wobble = 0.02 * perlin(around * 6, height * 6, 55)
    h = height + wobble
    bands = sum(
        smoothstep(w, w * 0.5, np.abs(h - y)) for y, w in ((0.28, 0.03), (0.36, 0.012), (1.72, 0.03), (1.8, 0.012))
    )
    bands = bands + smoothstep(0.05, 0.03, np.abs(h - 2.78)) + smoothstep(0.02, 0.01, np.abs(h - 2.2))
    turn = np.mod(around * 5 / (2 * np.pi) + 0.15, 1) - 0.5
    across, rise = turn * 1.3, h - 1.06
    reach, angle = np.hypot(across, rise), np.arctan2(rise, across)
    petals = smoothstep(0.02, -0.02, reach - 0.30 * (0.62 + 0.38 * np.cos(6 * angle)))
    petals = petals * (0.55 + 0.45 * smoothstep(0.05, 0.25, reach)) * smoothstep(0.05, 0.07, reach)
    vine = smoothstep(0.035, 0.015, np.abs(rise - 0.24 * np.sin(2 * np.pi * turn + 1.6)))
    leaf_turn = np.mod(around * 20 / (2 * np.pi), 1) - 0.5
    leaves = smoothstep(0.02, -0.02, np.hypot(leaf_turn * 0.5, (h - 1.98) * 1.0) - 0.10)
    dabs = smoothstep(0.01, -0.02, np.hypot(leaf_turn * 0.36, h - 0.52) - 0.07)
    shade = 0.75 + 0.5 * perlin(around * 4, height * 4, 57)
    paint: Array = np.clip(bands + petals + vine * (reach > 0.3) + leaves + dabs, 0, 1) * np.clip(shade, 0.35, 1)
    return paint


def _bumped(name: str, local: Array, turn: Array, normals: Array) -> tuple[Array, Array, float]:
    """Return albedo, normals turned by the bumps of the skin, and gloss."""
    albedo, bump, gloss = _skin(name, local)
    if bump.any():
        slope = [(_skin(name, local + 0.004 * axis)[1] - bump) / 0.004 for axis in np.eye(3, dtype=np.float32)]
        gradient = np.stack(slope, axis=-1) @ turn.T
        normals = normals - (gradient - normals * (gradient * normals).sum(-1, keepdims=True))
        normals = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
    return albedo, normals, gloss


def _shade(scene: Scene, origins: Array, directions: Array, bounces: int) -> Array:
    """Return the light (N, 3) that arrives at ``origins`` from the ``directions``."""
    travelled, which = scene.trace(origins, directions)
    points = origins + directions * travelled[:, None]
    light: Array = np.zeros_like(points)
    for index in np.unique(which):
        mine = np.nonzero(which == index)[0]
        p, view = points[mine], directions[mine]
        if index >= 0:
            thing = scene.solids[index]
            name, local, turn, n = thing.name, thing.local(p), thing.turn, thing.normal(p)
        else:
            name, local, turn = "table" if index == solids.TABLE else "wall", p, np.eye(3, dtype=np.float32)
            n = np.broadcast_to(np.array([0, 1, 0] if index == solids.TABLE else [0, 0, -1], np.float32), p.shape)
        open_air = scene.occlusion(p, n)
        sun = scene.shadow(p + n * np.float32(0.012), _LIGHT, 0.13)
        albedo, n, gloss = _bumped(name, local, turn, n)
        facing = n @ _LIGHT
        wrap = 0.22 if gloss and name not in ("table", "bottle") else 0.0
        key = np.clip((facing + wrap) / (1 + wrap), 0, 1) * sun
        if name == "wall":
            # The window's edge: its light leaves the upper left of the wall dark.
            key = 0.62 * key * smoothstep(-0.6, 2.6, p[:, 0] * 0.62 - p[:, 1] * 0.75 + 3.1)
        bounce = rgb("c9a780") * 0.20 * np.clip(0.35 - 0.65 * n[:, 1:2], 0, 1)
        shine = _room(n) * 0.9 + bounce
        color = albedo * (key[:, None] * _KEY + shine * open_air[:, None])
        if name == "grapes":
            color = color + rgb("7a1f4a") * (0.5 * np.clip(-facing, 0, 1) * open_air)[:, None]
        if gloss:
            cosine = np.clip(-(n * view).sum(-1), 0, 1)
            mirror = view + 2 * cosine[:, None] * n
            fresnel = 0.04 + 0.96 * (1 - cosine) ** 5
            seen: Array = _room(mirror) * open_air[:, None]
            if bounces and name in ("table", "jug", "bottle", "handle"):
                seen = _shade(scene, p + n * np.float32(0.02), mirror.astype(np.float32), bounces - 1)
            pane = _window(mirror) * np.clip(sun + 0.25, 0, 1) * smoothstep(0.2, 0.7, open_air)
            sharp = gloss if name != "table" else 0.12
            color = color + (fresnel * gloss)[:, None] * seen + (pane * sharp * (0.10 + 1.6 * fresnel))[:, None] * _KEY
        if name == "bottle":
            rim = (1 - np.clip(-(n * view).sum(-1), 0, 1)) ** 2.2
            glow = rim * smoothstep(-0.3, 0.9, n[:, 0]) + 0.16 * smoothstep(0.2, 1, n[:, 0])
            color = color + rgb("4a7a2a") * (0.55 * glow)[:, None]
        light[mine] = color
    return light


def _look(scene: Scene, column: Array, row: Array) -> Array:
    """Return the light (N, 3) at picture positions in pixels."""
    forward = (_TARGET - _EYE) / np.linalg.norm(_TARGET - _EYE)
    right = np.cross(np.array([0, 1, 0], np.float32), forward)
    right = right / np.linalg.norm(right)
    up = np.cross(forward, right)
    x, y = (column - WIDTH / 2) / (WIDTH / 2), (HEIGHT / 2 - row) / (WIDTH / 2)
    rays = x[:, None] * right + y[:, None] * up + _ZOOM * forward
    rays = (rays / np.linalg.norm(rays, axis=-1, keepdims=True)).astype(np.float32)
    parts = [
        _shade(scene, np.broadcast_to(_EYE, part.shape), part, 1)
        for part in np.array_split(rays, max(1, len(rays) // _CHUNK))
    ]
    return np.concatenate(parts)


def draw() -> Array:
    """Return the picture: sRGB (H, W, 3), range [0, 1]."""
    scene = _scene()
    row, column = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32) + 0.5
    light = _look(scene, column.ravel(), row.ravel()).reshape(HEIGHT, WIDTH, 3)
    # Only pixels with an edge in them are worth more rays.
    tone = np.sqrt(np.clip(light.mean(-1), 0, 2))
    edge = ndimage.maximum_filter(tone, 3) - ndimage.minimum_filter(tone, 3) > 0.07
    rows, columns = np.nonzero(edge)
    total = light[edge]
    for down, across in ((-0.33, 0.1), (0.33, -0.1), (-0.1, -0.33), (0.1, 0.33)):
        total = total + _look(scene, columns + 0.5 + np.float32(across), rows + 0.5 + np.float32(down))
    light[edge] = total / 5
    return photograph(light, 9, 0.80, 0.010)
