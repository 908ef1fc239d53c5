"""Town houses with shops, a bridge, a church tower and street lamps, as faces."""

from __future__ import annotations

import numpy as np

from drawing.canvas import mix, rgb, smoothstep
from drawing.noise import Array, cells, fbm
from drawing.polygons import Face, Paint, box, plain

_WALLS = ["96563c", "b8965e", "c9b79a", "7f4438", "7f8f8a", "a87a5c", "a8a58c", "d8c6a0", "9c6a50", "6f7f95"]
_ROOFS = ["6b3428", "5a3a30", "4a4548", "7a4030"]
_CLOTHS = [("a82a22", "e8dcc4"), ("24604e", "e8dcc4"), ("c8902a", "f0e6d0"), ("2a4a80", "e8e0d0")]
GLOW = 4.2
"""Albedo of a lit window: it stands for light of its own."""


def stone(seed: int, course: float = 0.45) -> Paint:
    """Return the paint of a wall of cut stones."""

    def paint(along: Array, across: Array) -> Array:
        row = np.floor(across / course)
        joint = np.minimum(np.abs(np.mod(across / course, 1) - 0.5), 2 * np.abs(np.mod(along / 1.1 + row / 2, 1) - 0.5))
        block = np.mod(row * 0.618 + np.floor(along / 1.1 + row / 2) * 0.37, 1)
        tone = np.clip(0.25 + 0.4 * block + 0.5 * fbm(along, across, seed, 4), 0, 1)
        return mix(rgb("5c5348"), rgb("a89a86"), tone) * (1 - 0.5 * smoothstep(0.44, 0.5, 0.5 - joint))[:, None]

    return paint


def facade(color: Array, width: float, tall: float, seed: int, shop: bool) -> Paint:
    """Return the paint of a house front ``width`` by ``tall`` metres: windows with shutters, a shop or a door."""
    random = np.random.default_rng(seed)
    storey = 3.0
    count = max(2, round(width / 1.9))
    lit = random.uniform(0, 1, (12, count + 1)) < 0.42
    shutter = rgb(str(random.choice(["2f5a48", "3a5a78", "7a2f26", "d8d0c0"])))
    door = rgb(str(random.choice(["5a2a1c", "1f4438", "24385a"])))

    def paint(along: Array, across: Array) -> Array:
        stain = 1 + 0.42 * fbm(along / 1.3, across / 3, seed, 4) + 0.16 * fbm(along * 4, across * 4, seed + 3, 3)
        damp = 0.62 + 0.38 * smoothstep(0.0, 2.2, across)
        albedo: Array = color * (stain * damp)[:, None]
        floor = np.floor(across / storey)
        wide = width / count
        column = np.clip(np.floor(along / wide), 0, count - 1)
        dx, dy = along - (column + 0.5) * wide, across - floor * storey - 1.65
        upper = (floor >= 1) & (across < tall - 0.6)
        albedo = np.where((upper & (np.abs(dx) < 0.86) & (np.abs(dy) < 0.78))[:, None], shutter, albedo)
        slat = 0.75 + 0.25 * smoothstep(0.3, 0.6, np.mod(dy * 9, 1))
        albedo = np.where(
            (upper & (np.abs(dx) > 0.5) & (np.abs(dx) < 0.86) & (np.abs(dy) < 0.78))[:, None],
            albedo * slat[:, None],
            albedo,
        )
        frame = upper & (np.abs(dx) < 0.52) & (np.abs(dy) < 0.85)
        albedo = np.where(frame[:, None], rgb("d8d0bc"), albedo)
        pane = frame & (np.abs(dx) < 0.44) & (np.abs(dy) < 0.76) & (np.abs(dx) > 0.035) & (np.abs(dy - 0.2) > 0.03)
        on = lit[np.clip(floor, 0, 11).astype(np.int64), column.astype(np.int64)]
        warm = mix(rgb("d8801e"), rgb("ffc868"), smoothstep(-0.8, 0.8, dy)) * GLOW * 0.55
        albedo = np.where(pane[:, None], np.where(on[:, None], warm, rgb("2c3a48")), albedo)
        sill = upper & (np.abs(dx) < 0.62) & (np.abs(dy + 0.90) < 0.07)
        albedo = np.where(sill[:, None], rgb("c8bea8"), albedo)
        if shop:
            albedo = albedo * (1 - 0.5 * smoothstep(1.6, 2.6, across) * (across < 2.95))[:, None]
            window = (across > 0.7) & (across < 2.5) & (np.abs(along - width * 0.40) < width * 0.32)
            bars = np.abs(np.mod(along, 0.95) - 0.475) > 0.44
            goods, tint = cells(along * 3, across * 3, seed)
            inside = mix(
                rgb("ffbe60") * GLOW * 0.7,
                rgb("a04a20") * 2,
                smoothstep(1.9, 1.0, across) * smoothstep(0.4, 0.2, goods) * tint,
            )
            albedo = np.where(window[:, None], np.where(bars[:, None], rgb("3a2a20"), inside), albedo)
        entry = (across < 2.35) & (np.abs(along - width * 0.87) < 0.48)
        albedo = np.where(
            (entry & (np.abs(along - width * 0.87) < 0.42))[:, None],
            door,
            np.where(entry[:, None], rgb("c8bea8"), albedo),
        )
        band = (np.abs(across - storey) < 0.10) | (np.abs(across - tall) < 0.18)
        return np.where(band[:, None], rgb("cdc3ae"), albedo)

    return paint


def tiles(color: Array, seed: int) -> Paint:
    """Return the paint of a tiled roof."""

    def paint(along: Array, across: Array) -> Array:
        tile = (0.70 + 0.30 * smoothstep(0, 0.14, np.mod(across, 0.36))) * (1 + 0.4 * fbm(along, across, seed, 4))
        albedo: Array = color * tile[:, None]
        return albedo

    return paint


def town_house(front: tuple[Array, Array], depth: float, tall: float, seed: int, shop: bool) -> list[Face]:
    """Return a house whose front foot runs between two points; it reaches ``depth`` metres back from there."""
    random = np.random.default_rng(seed)
    a, b = front
    right = (b - a) / np.linalg.norm(b - a)
    back = np.array([-right[2], 0, right[0]]) * depth
    width, up = float(np.linalg.norm(b - a)), np.array([0, tall, 0])
    ridge = np.array([0, width * random.uniform(0.42, 0.62), 0])
    color, roof = rgb(str(random.choice(_WALLS))), tiles(rgb(str(random.choice(_ROOFS))), seed)
    paint, peak = facade(color, width, tall, seed, shop), (a + b) / 2 + up + ridge
    faces = [Face(np.array([a, b, b + up, peak, a + up]), paint)]
    side = facade(color * 0.9, depth, tall, seed + 1, False)
    faces += [Face(np.array([p, p + back, p + back + up, p + up]), side) for p in (a, b)]
    over = right * 0.3
    for p, out in ((a, -over), (b, over)):
        eave = p + up + out - np.array([0, 0.3, 0])
        faces.append(Face(np.array([eave, eave + back, peak + back, peak]), roof))
    stack = (a + b) / 2 + up + ridge * 0.6 + back * random.uniform(0.3, 0.7) + right * width * 0.18
    faces += box((stack[0], stack[1], stack[2]), (0.9, 2.2, 0.9), 0, stone(seed, 0.25))
    if shop:
        first, second = (rgb(code) for code in _CLOTHS[seed % len(_CLOTHS)])

        def cloth(along: Array, across: Array) -> Array:
            stripe = smoothstep(0.22, 0.27, np.abs(np.mod(along / 0.62, 1) - 0.5))
            return mix(first, second, stripe) * (0.9 + 0.2 * fbm(along * 2, across * 2, seed, 3))[:, None]

        away = -back / depth * 1.7
        p, q = a + right * width * 0.06 + [0, 2.95, 0], a + right * width * 0.74 + [0, 2.95, 0]
        low = away + np.array([0, -0.75, 0])
        faces.append(Face(np.array([p + low, q + low, q, p]), cloth))
        hem = np.array([0, -0.28, 0])
        faces.append(Face(np.array([p + low, q + low, q + low + hem, p + low + hem]), cloth))
    return faces


def bridge(z: float, left: float, right: float) -> list[Face]:
    """Return a stone bridge of two arches across the water."""
    faces: list[Face] = []
    edges = np.linspace(left, right, 45)
    middle, half = (left + right) / 2, (right - left) / 2
    crown = 4.4 - 1.4 * ((edges - middle) / half) ** 2
    part = np.abs(np.abs(edges - middle) - half / 2) / (half / 2 - 0.9)
    arch = np.where(part < 1, 3.1 * np.sqrt(np.clip(1 - part**2, 0, 1)), -0.5)
    paint, top = stone(601), plain(rgb("9a8c78"))
    for i in range(len(edges) - 1):
        p, q = (edges[i], edges[i + 1])
        front = [[p, arch[i], z], [q, arch[i + 1], z], [q, crown[i + 1] + 0.9, z], [p, crown[i] + 0.9, z]]
        under = [[p, arch[i], z], [q, arch[i + 1], z], [q, arch[i + 1], z + 5], [p, arch[i], z + 5]]
        rail = [
            [p, crown[i] + 0.9, z - 0.2],
            [q, crown[i + 1] + 0.9, z - 0.2],
            [q, crown[i + 1] + 1.1, z - 0.2],
            [p, crown[i] + 1.1, z - 0.2],
        ]
        faces += [Face(np.array(front), paint), Face(np.array(under), plain(rgb("4a4238"))), Face(np.array(rail), top)]
    return faces


def tower(x: float, z: float, tall: float, wide: float) -> list[Face]:
    """Return a church tower with a clock and a pointed roof."""

    def wall(along: Array, across: Array) -> Array:
        albedo = stone(611, 0.7)(along, across)
        dx = along - wide / 2
        bell = (np.abs(dx) < 0.16 * wide) & (np.abs(across - 0.80 * tall) < 0.07 * tall)
        clock = np.hypot(dx, across - 0.63 * tall) < 0.23 * wide
        albedo = np.where(bell[:, None], rgb("20242c"), albedo)
        albedo = np.where(clock[:, None], rgb("ffd890") * 2.2, albedo)
        hand = clock & ((np.abs(dx) < 0.15) | (np.abs(across - 0.63 * tall) < 0.15))
        ledge = (np.abs(across - 0.53 * tall) < 0.3) | (np.abs(across - 0.72 * tall) < 0.3)
        return np.where(hand[:, None], rgb("3a2a1a"), np.where(ledge[:, None], rgb("c0b49c"), albedo))

    faces = box((x, 0, z), (wide, tall, wide), 0.25, wall)
    ring, tip = faces[-1].corners, np.array([x, tall * 1.62, z])
    slate = tiles(rgb("4c6a62"), 7)
    return faces + [Face(np.array([a, b, tip]), slate) for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True)]


def lamp(x: float, z: float, ground: float) -> list[Face]:
    """Return a street lamp."""

    def glass(along: Array, across: Array) -> Array:
        bar = (np.abs(along - 0.17) > 0.135) | (np.abs(along - 0.17) < 0.014)
        flame = np.exp(-(((along - 0.17) / 0.11) ** 2) - ((across - 0.22) / 0.20) ** 2)
        light = mix(rgb("e8963a") * 1.6, rgb("fff0b8") * GLOW * 2.5, flame)
        return np.where(bar[:, None], rgb("1c2224"), light)

    iron = plain(rgb("1c2224"))
    faces = box((x, ground, z), (0.11, 3.5, 0.11), 0.3, iron) + box((x, ground, z), (0.26, 0.6, 0.26), 0.3, iron)
    faces += box((x, ground + 3.5, z), (0.34, 0.55, 0.34), 0.3, glass)
    return faces + box((x, ground + 4.05, z), (0.46, 0.12, 0.46), 0.3, iron)
