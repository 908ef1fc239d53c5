"""The houses, boats and the jetty of the harbour, as faces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from drawing.canvas import mix, rgb, smoothstep
from drawing.noise import Array, fbm, perlin
from drawing.polygons import Face, Paint, box, plain
from drawing.terrain import shore, village

_WALLS = ["9c2f24", "b3472c", "c98a2b", "d9b45f", "e4ddd0", "d8d2c4", "7f2a22", "5d7486", "a8b3a3", "8a3b2a"]
_ROOFS = ["4a4440", "6b3b2f", "55504e", "7a4634", "3d3f44"]


def _wall(color: Array, width: float, height: float, seed: int) -> Paint:
    """Return the paint of a wooden wall with rows of white-framed windows."""

    def paint(along: Array, across: Array) -> Array:
        board = 0.80 + 0.20 * smoothstep(0.0, 0.06, np.mod(across, 0.26))
        stain = 1 + 0.22 * fbm(along / 1.5, across / 3, seed, 3)
        albedo = color * (board * stain)[:, None]
        spacing = width / max(1, round(width / 2.3))
        across_window = np.mod(along, spacing) - spacing / 2
        up_window = np.mod(across, 2.6) - 1.5
        inside = (np.abs(along - width / 2) < width / 2 - 0.3) & (across < height)
        frame = (np.abs(across_window) < 0.62) & (np.abs(up_window) < 0.78) & inside
        glass = (np.abs(across_window) < 0.48) & (np.abs(up_window) < 0.64) & inside
        glass &= (np.abs(across_window) > 0.05) & (np.abs(up_window - 0.2) > 0.04)
        albedo = np.where(frame[:, None], rgb("efe9dc"), albedo)
        pane = np.floor(along / spacing) * 7 + np.floor(across / 2.6) * 3 + seed
        shine = np.where(np.mod(pane * 0.618, 1) > 0.62, 1.0, 0.0)
        albedo = np.where(glass[:, None], mix(rgb("222d38"), rgb("e8b060"), shine * 0.75), albedo)
        trim = (along < 0.22) | (along > width - 0.22)
        return np.where((trim & (across < height))[:, None], rgb("e6dfd2"), albedo)

    return paint


def _roof(color: Array, seed: int) -> Paint:
    """Return the paint of a tiled roof."""

    def paint(along: Array, across: Array) -> Array:
        tile = 0.72 + 0.28 * smoothstep(0, 0.12, np.mod(across, 0.38))
        row = np.floor(across / 0.38)
        joint = 0.86 + 0.14 * smoothstep(0, 0.06, np.mod(along + 0.15 * np.mod(row, 2), 0.32))
        moss = 1 + 0.35 * fbm(along, across, seed, 3)
        albedo: Array = color * (tile * joint * moss)[:, None]
        return albedo

    return paint


def house(
    x: float,
    z: float,
    ground: float,
    size: tuple[float, float, float],
    yaw: float,
    seed: int,
    colors: tuple[Array, Array] | None = None,
) -> list[Face]:
    """Return a gabled house: ``size`` = (ridge, wall height, depth), ``colors`` of walls and roof."""
    random = np.random.default_rng(seed)
    length, height, depth = size
    walls, roofs = random.integers(len(_WALLS)), random.integers(len(_ROOFS))
    wall, tiles = colors or (rgb(_WALLS[walls]) * random.uniform(0.85, 1.1), rgb(_ROOFS[roofs]))
    right, back = np.array([np.cos(yaw), 0, np.sin(yaw)]), np.array([-np.sin(yaw), 0, np.cos(yaw)])
    base = np.array([x, ground - 1.5, z])
    up = np.array([0, 1.0, 0])
    ridge = depth * random.uniform(0.42, 0.56)
    a, b = base - right * length / 2 - back * depth / 2, base + right * length / 2 - back * depth / 2
    c, d = b + back * depth, a + back * depth
    tall = up * (height + 1.5)
    peak = tall + up * ridge
    faces = [
        Face(np.array([p, q, q + tall, p + tall]), _wall(wall, length, height + 1.2, seed)) for p, q in ((a, b), (c, d))
    ]
    for p, q in ((b, c), (d, a)):
        gable = np.array([p, q, q + tall, (p + q) / 2 + peak, p + tall])
        faces.append(Face(gable, _wall(wall, depth, height + 1.2, seed + 1)))
    middle_left, middle_right = (a + d) / 2 + peak, (b + c) / 2 + peak
    eave, drop = right * 0.45, 1.16
    for p, q in ((a + tall, b + tall), (d + tall, c + tall)):
        low_left = middle_left + (p - middle_left) * drop - eave
        low_right = middle_right + (q - middle_right) * drop + eave
        corners = np.array([low_left, low_right, middle_right + eave, middle_left - eave])
        faces.append(Face(corners + up * 0.08, _roof(tiles, seed)))
        edge = up * 0.22
        faces.append(Face(np.array([low_left, low_right, low_right + edge, low_left + edge]), plain(rgb("d9d2c6"))))
    stack = base + right * length * random.uniform(-0.3, 0.3) + peak - up * 0.7
    faces += box((stack[0], stack[1], stack[2]), (0.8, 1.7, 0.8), yaw, plain(rgb("7b4a3c")))
    return faces


def houses() -> list[Face]:
    """Return the village: rows of houses that follow the shore, thinning out uphill."""
    random = np.random.default_rng(5)
    faces = _church(-62, 168)
    for row, inland in enumerate((9.5, 22.0, 34.0, 46.0, 60.0)):
        z = 62.0 + 7 * row
        while z < 560:
            length = random.uniform(8, 12)
            height = random.choice([2.9, 5.4, 5.4]) if row < 2 else random.choice([2.9, 2.9, 5.4])
            inward = inland + 0.03 * z * (row > 0) + random.uniform(-2, 2)
            if random.uniform() > 0.09 * row + (z > 330) * 0.3:
                spot = np.array([z], np.float32)
                x = float(shore(spot)[0] - inward)
                ground = float(village(np.array([x], np.float32), spot)[0])
                turn = np.pi / 2 if random.uniform() < 0.45 else 0.0
                yaw = 0.12 + turn + random.uniform(-0.18, 0.18)
                faces += house(x, z, ground, (length, height, random.uniform(6.5, 8)), yaw, int(random.integers(9999)))
            z += length + random.uniform(4, 9) * (1 + z / 260)
    return faces


def _church(x: float, z: float) -> list[Face]:
    """Return a white church with a pointed tower."""
    ground = float(village(np.array([x], np.float32), np.array([z], np.float32))[0])
    white, slate = rgb("f0eadd"), rgb("4a5356")
    faces = house(x, z, ground, (17, 6.5, 9), 0.2, 4, (white, slate))
    tower_x, tower_z = x + 9.5, z + 1.9
    faces += box((tower_x, ground - 1, tower_z), (4.6, 14, 4.6), 0.2, _wall(white, 4.6, 13, 8))
    ring = faces[-1].corners
    tip = np.array([tower_x, ground + 24, tower_z])
    faces += [
        Face(np.array([a, b, tip]), _roof(slate, 6)) for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True)
    ]
    return faces


def _hull(x: float, z: float, yaw: float, length: float, beam: float, side: Array, band: Array) -> list[Face]:
    """Return a boat's hull with a deck; ``side`` and ``band`` are its colours."""
    stations = np.linspace(0, 1, 15)
    half = (
        beam / 2 * np.clip(np.sin(np.pi * stations**0.8) ** 0.62 + 0.55 * (1 - stations) ** 2 * (stations < 0.8), 0, 1)
    )
    rail = length * (0.115 + 0.09 * (stations - 0.35) ** 2 * 2 + 0.03 * stations)
    place = (stations - 0.5) * length * 1.0
    cosine, sine = np.cos(yaw), np.sin(yaw)

    def at(station: int, out: float, up: float) -> Array:
        forward = place[station] + 0.06 * length * up / rail[station] * stations[station] ** 3
        return np.array([x + cosine * forward - sine * out, up, z + sine * forward + cosine * out])

    levels = ((-0.2, 0.72, rgb("5a241c")), (0.12, 0.80, side), (0.72, 0.97, band), (1.0, 1.0, band))
    faces: list[Face] = []
    for i in range(len(stations) - 1):
        for hand in (-1, 1):
            for (low, wide_low, color), (high, wide_high, _) in pairwise(levels):
                corner = [
                    at(i, hand * half[i] * wide_low, rail[i] * low),
                    at(i + 1, hand * half[i + 1] * wide_low, rail[i + 1] * low),
                    at(i + 1, hand * half[i + 1] * wide_high, rail[i + 1] * high),
                    at(i, hand * half[i] * wide_high, rail[i] * high),
                ]
                faces += [Face(np.array([corner[j] for j in tri]), plain(color)) for tri in ((0, 1, 2), (0, 2, 3))]
        deck = [
            at(i, -half[i] * 0.98, rail[i] * 0.9),
            at(i + 1, -half[i + 1] * 0.98, rail[i + 1] * 0.9),
            at(i + 1, half[i + 1] * 0.98, rail[i + 1] * 0.9),
            at(i, half[i] * 0.98, rail[i] * 0.9),
        ]
        faces += [Face(np.array([deck[j] for j in tri]), plain(rgb("b08a5a"))) for tri in ((0, 1, 2), (0, 2, 3))]
    return faces


def _pole(start: Array, end: Array, width: float, color: Array) -> Face:
    """Return a thin pole or rope that always faces the camera."""
    along = end - start
    out = np.cross(along, start)
    out = out / np.linalg.norm(out) * width / 2
    return Face(np.array([start - out, end - out, end + out, start + out]), plain(color))


def sailboat(x: float, z: float, yaw: float, length: float, side: str, band: str) -> list[Face]:
    """Return a moored sailing boat with a furled sail."""
    faces = _hull(x, z, yaw, length, length * 0.30, rgb(side), rgb(band))
    forward = np.array([np.cos(yaw), 0, np.sin(yaw)])
    rail = length * 0.115
    faces += box(
        (x - forward[0] * 0.06 * length, rail * 0.9, z - forward[2] * 0.06 * length),
        (0.36 * length, 0.07 * length, 0.17 * length),
        yaw,
        plain(rgb("e9e2d2")),
    )
    foot = np.array([x, rail, z]) + forward * length * 0.12
    top = foot + np.array([0, length * 1.25, 0])
    wood, rope = rgb("8a5a30"), rgb("3b342c")
    faces.append(_pole(foot, top, 0.16, wood))
    boom = foot + np.array([0, length * 0.17, 0])
    end = boom - forward * length * 0.46
    faces.append(_pole(boom, end, 0.42, rgb("c9b99a")))
    faces.append(_pole(boom - [0, 0.2, 0], end - np.array([0, 0.2, 0]), 0.14, wood))
    for share, height in ((0.49, 0.16), (-0.49, 0.14)):
        faces.append(_pole(top, np.array([x, length * height, z]) + forward * length * share, 0.05, rope))
    return faces


def fishing_boat(x: float, z: float, yaw: float, length: float, side: str, band: str) -> list[Face]:
    """Return a wooden fishing boat with a wheelhouse and a short mast."""
    faces = _hull(x, z, yaw, length, length * 0.34, rgb(side), rgb(band))
    forward = np.array([np.cos(yaw), 0, np.sin(yaw)])
    house = np.array([x, length * 0.10, z]) - forward * length * 0.2
    cabin = _wall(rgb("ece5d6"), 0.26 * length, 2.1, 3)
    faces += box((house[0], house[1], house[2]), (0.26 * length, 2.0, 0.2 * length), yaw, cabin)
    faces += box((house[0], house[1] + 2.0, house[2]), (0.31 * length, 0.14, 0.24 * length), yaw, plain(rgb("a33c28")))
    foot = np.array([x, length * 0.1, z]) + forward * length * 0.1
    faces.append(_pole(foot, foot + np.array([0, length * 0.62, 0]), 0.16, rgb("8a5a30")))
    tip = foot + np.array([0, length * 0.62, 0])
    bow = np.array([x, length * 0.17, z]) + forward * length * 0.5
    faces.append(_pole(tip, bow, 0.06, rgb("3b342c")))
    return faces


def boats() -> list[Face]:
    """Return the boats at anchor."""
    faces = sailboat(17.5, 78, 2.75, 10.5, "e8e4da", "27506e")
    faces += fishing_boat(-6.5, 60, 0.35, 8.5, "2f6d7a", "e6dcc4")
    faces += fishing_boat(-18, 96, 0.2, 9, "b5482b", "efe6d2")
    faces += sailboat(-13, 150, 0.4, 11, "35506b", "e8e4da")
    faces += sailboat(3, 205, 2.6, 11, "e8e4da", "8e2f24")
    faces += fishing_boat(38, 240, 0.1, 11, "c98a2b", "efe6d2")
    faces += sailboat(-30, 250, 0.9, 10, "e8e4da", "3a5a40")
    return faces + _hull(7.2, 35, 0.55, 4.6, 1.6, rgb("c8862e"), rgb("f0e6d0"))


def jetty() -> list[Face]:
    """Return the wooden jetty that enters from the right."""

    def planks(along: Array, across: Array) -> Array:
        gap = 0.45 + 0.55 * smoothstep(0, 0.03, np.mod(along, 0.24))
        plank = np.floor(along / 0.24)
        tone = 0.8 + 0.35 * np.mod(plank * 0.618, 1) + 0.25 * perlin(along * 9, across * 1.2, 91)
        albedo: Array = rgb("8f7a62") * (gap * tone)[:, None]
        return albedo

    faces: list[Face] = []
    for index in range(10):
        faces += box((9.6 + 2.4 * index, 1.05, 30.5 + 0.5 * index), (2.42, 0.2, 2.6), 0.2, planks)
        for side in (-1.2, 1.2):
            x, z = 9.0 + 2.4 * index, 30.4 + 0.5 * index + side
            faces += box((x, -1, z), (0.26, 3.0 if index % 2 == 0 else 2.1, 0.26), 0.2, plain(rgb("5d4c3c")))
    return faces
