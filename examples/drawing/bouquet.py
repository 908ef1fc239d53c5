"""Sunflowers, irises and poppies in a jug below a blossoming branch: a content image for the gallery's pictures."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from drawing.brush import dabs, strokes
from drawing.canvas import HEIGHT, WIDTH, mix, photograph, rgb, shrink, smoothstep
from drawing.noise import Array, cells, fbm, perlin

_SCALE = 2  # samples per pixel, each way
_UNIT = HEIGHT * _SCALE  # samples per unit of x and y; the picture is 4/3 wide and 1 high
_JUG = (0.66, 0.86)
"""Where the jug stands."""
_PROFILE = PchipInterpolator([0, 0.05, 0.35, 0.62, 0.86, 0.95, 1], [0.62, 0.74, 1.0, 0.86, 0.56, 0.60, 0.68])


def _room(x: Array, y: Array) -> Array:
    """Return the light (H, W, 3) of a papered wall and a table with a patterned cloth."""
    glow = smoothstep(1.2, 0.1, np.hypot(x - 0.25, y - 0.2))
    plaster = fbm(x * 5, y * 5, 611, 5, 0.6) + 0.5 * fbm(x * 40 + y * 25, y * 12 - x * 7, 613, 3)
    wall = mix(rgb("2f7f86"), rgb("8fc4b0"), np.clip(0.35 + 0.5 * glow + 0.5 * plaster, 0, 1))
    u, v = np.mod(x * 7 + 0.5 * np.floor(y * 7), 1) - 0.5, np.mod(y * 7, 1) - 0.5
    reach, angle = np.hypot(u, v), np.arctan2(v, u)
    sprig = smoothstep(0.03, -0.03, reach - 0.24 * (0.62 + 0.38 * np.cos(5 * angle + np.floor(x * 7))))
    wall = mix(wall, rgb("e8d490"), sprig * 0.55 * np.clip(0.8 + plaster, 0, 1))
    depth = np.maximum(y - 0.72, 0.0) + 0.12
    s, t = (x - 0.66) / depth * 0.42, 0.36 / depth
    check = smoothstep(-0.1, 0.1, np.sin(s * 9) * np.sin(t * 13))
    weave = fbm(s * 12, t * 30, 621, 3)
    cloth = mix(rgb("c23a24"), rgb("f0dca8"), check) * (0.9 + 0.4 * weave)[..., None]
    fold = fbm(x * 3 + y * 2, y * 7 - x, 623, 3)
    cloth = cloth * np.clip(0.85 + 0.9 * fold, 0.3, 1.4)[..., None]
    shade = smoothstep(0.34, 0.05, np.hypot((x - _JUG[0] - 0.16) * 0.9, (y - _JUG[1] - 0.01) * 2.4))
    cloth = cloth * (1 - 0.62 * shade)[..., None] * (0.65 + 0.5 * glow)[..., None]
    return np.where((y > 0.74 + 0.004 * fbm(x * 9, 0 * x, 625, 2))[..., None], cloth, wall)


def _jug(light: Array, x: Array, y: Array) -> Array:
    """Return ``light`` with a glazed jug, painted in bands."""
    rise = (_JUG[1] - y) / 0.33
    half = 0.155 * _PROFILE(np.clip(rise, 0, 1))
    share = (x - _JUG[0]) / half
    bottom = 0.03 * np.sqrt(np.clip(1 - share**2, 0, 1))
    inside = (np.abs(share) < 1) & (rise < 1) & (y < _JUG[1] + bottom)
    turn = np.arcsin(np.clip(share, -0.999, 0.999))
    wave = rise - bottom * 2 + 0.012 * perlin(turn * 4, rise * 9, 631)
    bands = smoothstep(0.012, 0.006, np.abs(wave - 0.86)) + smoothstep(0.016, 0.008, np.abs(wave - 0.66))
    scroll = smoothstep(0.03, 0.015, np.abs(wave - 0.38 - 0.10 * np.sin(turn * 7)))
    dots = smoothstep(0.24, 0.18, np.hypot(np.mod(turn * 2.2, 1) - 0.5, (wave - 0.14) * 5))
    glaze = mix(rgb("e8dcb4"), rgb("d09a3a"), smoothstep(0.55, 0.60, wave))
    glaze = mix(glaze, rgb("1c4a9a"), np.clip(bands + scroll + dots, 0, 1) * 0.9)
    lit = np.clip(0.62 - 0.62 * share + 0.22 * np.sqrt(np.clip(1 - share**2, 0, 1)), 0.10, 1.2)
    shine = smoothstep(0.10, 0.04, np.hypot(share + 0.45, (rise - 0.47) * 0.55))
    color = glaze * (lit * (1 + 0.3 * fbm(turn * 3, rise * 3, 633, 3)))[..., None] + 0.7 * shine[..., None]
    return np.where(inside[..., None], color, light)


def _leaf(
    image: Array, at: tuple[float, float], turn: float, size: float, pair: tuple[Array, Array], rough: Array
) -> None:
    """Draw a pointed leaf or petal from its foot ``at`` towards ``turn``, dark on its right half, with veins."""
    t = np.linspace(0, 1, 16)
    heading = turn + 0.5 * (t - 0.3) * rough[0]
    px = at[0] + np.cumsum(np.cos(heading)) * size / 16
    py = at[1] + np.cumsum(np.sin(heading)) * size / 16
    wide = size * rough[2] * np.sin(np.pi * np.clip(t, 0.02, 0.98) ** 0.75)
    for across in np.linspace(-1, 1, 11):
        tone = np.clip(0.55 - 0.4 * across + 0.25 * np.cos(9 * across) + 0.35 * (t - 0.4) + rough[1], 0, 1)
        x, y = px - np.sin(heading) * across * wide, py + np.cos(heading) * across * wide
        width = np.maximum(wide * 0.32, 1.6 / _UNIT)
        strokes(image, x[None] * _UNIT, y[None] * _UNIT, width[None] * _UNIT, mix(pair[0], pair[1], tone)[None])


def _stem(image: Array, top: tuple[float, float], random: np.random.Generator) -> None:
    """Draw the stem from the mouth of the jug to ``top``."""
    t = np.linspace(0, 1, 12)
    foot = _JUG[0] + 0.28 * np.clip(top[0] - _JUG[0], -0.25, 0.25)
    x, y = foot + (top[0] - foot) * t**1.6, 0.56 + (top[1] - 0.56) * t
    for across in np.linspace(-1, 1, 5):
        tone = mix(rgb("1c3c14"), rgb("7fa83c"), np.full(12, 0.5 - 0.45 * across) + random.normal(0, 0.05, 12))
        strokes(image, (x + 0.005 * across)[None] * _UNIT, y[None] * _UNIT, np.full((1, 12), 6.0), tone[None])


def _sunflower(image: Array, at: tuple[float, float], size: float, random: np.random.Generator) -> None:
    """Draw a sunflower: two wreaths of petals around a seeded disc."""
    for ring, tones in ((1.0, ("a8560c", "e8a818")), (0.86, ("d07c10", "ffd84a"))):
        for turn in np.arange(0, 2 * np.pi, 2 * np.pi / 17) + random.uniform(0, 1):
            lit = 0.16 * (np.cos(turn + 0.9)) * -1
            rough = np.array([random.normal(0, 1.3), lit + random.normal(0, 0.12), random.uniform(0.10, 0.15)])
            foot = at[0] + 0.36 * size * np.cos(turn), at[1] + 0.36 * size * np.sin(turn) * 0.94
            reach = 0.72 * size * ring * random.uniform(0.8, 1.15)
            _leaf(image, foot, turn + random.normal(0, 0.15), reach, (rgb(tones[0]), rgb(tones[1])), rough)
    count = 900
    radius = size * 0.50 * np.sqrt(np.arange(count) / count)
    angle = np.arange(count) * 2.39996
    x, y = at[0] + radius * np.cos(angle), at[1] + radius * np.sin(angle) * 0.94
    share = radius / (size * 0.5)
    tone = np.clip(
        smoothstep(0.35, 1.0, share) * 0.75 + 0.3 * -np.cos(angle - 0.8) + random.normal(0, 0.16, count), 0, 1
    )
    color = mix(rgb("2c1408"), rgb("b0641a"), tone)
    color = mix(color, rgb("6a7a1c"), smoothstep(0.30, 0.18, share) * 0.8)
    dabs(image, x * _UNIT, y * _UNIT, np.full(count, size * 0.024 * _UNIT), color)


def _iris(image: Array, at: tuple[float, float], size: float, random: np.random.Generator) -> None:
    """Draw an iris: three petals that stand and three that fall, with yellow tongues."""
    for turn, tones, long in (
        (-1.57, ("2c1c70", "7a66d0"), 1.0),
        (-2.35, ("24165c", "6a58c8"), 0.95),
        (-0.8, ("201454", "5c4ab4"), 0.95),
        (2.75, ("3a1c80", "a084e8"), 1.1),
        (0.35, ("2c1866", "8468d0"), 1.1),
        (1.55, ("3c2090", "b49af0"), 1.15),
    ):
        rough = np.array([random.normal(0, 1.6), random.normal(0, 0.1), random.uniform(0.26, 0.32)])
        _leaf(image, at, turn + random.normal(0, 0.15), size * long, (rgb(tones[0]), rgb(tones[1])), rough)
    for turn in (2.75, 0.35, 1.55):
        rough = np.array([0.0, 0.2, 0.12])
        _leaf(image, at, turn, size * 0.5, (rgb("c88a10"), rgb("fff0a0")), rough)


def _poppy(image: Array, at: tuple[float, float], size: float, random: np.random.Generator) -> None:
    """Draw a poppy: crumpled red petals around a black heart."""
    for turn in np.array([0.4, 2.0, 3.5, 5.0]) + random.uniform(0, 1.5):
        for side in (-0.45, 0.0, 0.45):
            rough = np.array([random.normal(0, 1), -0.15 * np.sin(turn) + random.normal(0, 0.12), 0.30])
            _leaf(image, at, turn + side, size * random.uniform(0.8, 1.0), (rgb("8a1210"), rgb("ff5a34")), rough)
    angle = random.uniform(0, 2 * np.pi, 60)
    reach = size * 0.26 * np.sqrt(random.uniform(0, 1, 60))
    heart = mix(rgb("0c0810"), rgb("5a5a34"), random.uniform(0, 1, 60) ** 3)
    spot = (at[0] + reach * np.cos(angle)) * _UNIT, (at[1] + reach * np.sin(angle)) * _UNIT
    dabs(image, *spot, np.full(60, size * 0.05 * _UNIT), heart)


def _branch(image: Array, start: Array, turn: float, size: float, random: np.random.Generator) -> None:
    """Draw a crooked branch with white blossoms, and its twigs."""
    t = np.linspace(0, 1, 14)
    heading = turn + np.cumsum(random.normal(0, 0.16, 14))
    x = start[0] + np.cumsum(np.cos(heading)) * size / 14
    y = start[1] + np.cumsum(np.sin(heading)) * size / 14
    width = (0.040 * size * (1 - 0.65 * t) + 0.002) * _UNIT
    for across in np.linspace(-0.9, 0.9, 7):
        tone = np.clip(0.5 - 0.45 * across + random.normal(0, 0.14, 14), 0, 1)
        bark = mix(rgb("2c1a16"), rgb("a08a72"), tone)
        line = (x * _UNIT)[None], (y * _UNIT + across * width / 2)[None]
        strokes(image, *line, np.maximum(width / 4, 1.5)[None], bark[None])
    if size > 0.12:
        for at in random.choice(np.arange(4, 13), 4, replace=False):
            side = random.choice([-1, 1]) * random.uniform(0.45, 0.95)
            _branch(image, np.array([x[at], y[at]]), heading[at] + side, size * random.uniform(0.40, 0.55), random)
    for at in range(2, 14, 3 if size > 0.12 else 4):
        spot = x[at] + random.normal(0, 0.008), y[at] + random.normal(0, 0.012)
        blossom = random.uniform(0.022, 0.034)
        for petal in np.arange(5) * 2 * np.pi / 5 + random.uniform(0, 1):
            rough = np.array([0.0, -0.25 * np.sin(petal) + 0.2, 0.46])
            _leaf(image, spot, petal, blossom, (rgb("c48ca0"), rgb("fffdf6") * 1.15), rough)
        heart = np.array([spot[0] * _UNIT]), np.array([spot[1] * _UNIT]), np.array([blossom * 0.2 * _UNIT])
        dabs(image, *heart, rgb("d8a02c")[None])


def draw() -> Array:
    """Return the picture: sRGB (H, W, 3), range [0, 1]."""
    random = np.random.default_rng(71)
    y, x = np.mgrid[0 : 1 : HEIGHT * _SCALE * 1j, 0 : 4 / 3 : WIDTH * _SCALE * 1j].astype(np.float32)
    light = _room(x, y).astype(np.float32)
    for foot, turn, size in (((-0.03, 0.62), -0.75, 0.52), ((1.36, 0.16), 2.75, 0.42), ((-0.03, 0.12), 0.25, 0.34)):
        _branch(light, np.array(foot), turn, size, random)
    blooms = [
        (_iris, (0.40, 0.30), 0.10),
        (_iris, (0.94, 0.27), 0.10),
        (_sunflower, (0.64, 0.17), 0.12),
        (_poppy, (0.50, 0.19), 0.075),
        (_iris, (0.79, 0.15), 0.09),
        (_poppy, (0.90, 0.42), 0.08),
        (_sunflower, (0.46, 0.42), 0.125),
        (_iris, (0.34, 0.52), 0.10),
        (_sunflower, (0.78, 0.33), 0.135),
        (_poppy, (0.61, 0.34), 0.085),
        (_iris, (0.91, 0.55), 0.095),
        (_sunflower, (0.66, 0.49), 0.12),
    ]
    for _, top, _ in blooms:
        _stem(light, top, random)
    greens = (rgb("16361a"), rgb("8ab04a"))
    for _ in range(46):
        at = _JUG[0] + random.normal(0, 0.09), random.uniform(0.40, 0.56)
        turn = np.arctan2(at[1] - 0.62, (at[0] - _JUG[0]) * 2.2) + random.normal(0, 0.5)
        rough = np.array([random.normal(0, 1.2), random.normal(-0.1, 0.15), random.uniform(0.08, 0.2)])
        _leaf(light, at, turn, random.uniform(0.12, 0.24), greens, rough)
    light = _jug(light, x, y).astype(np.float32)
    for bloom, at, size in blooms:
        bloom(light, at, size, random)
    for at, turn in (((0.26, 0.91), -0.5), ((0.33, 0.95), 0.2), ((1.02, 0.93), -2.5)):
        _leaf(light, at, turn, 0.11, (rgb("c07010"), rgb("ffd84a")), np.array([1.0, 0.0, 0.16]))
    _poppy(light, (1.12, 0.90), 0.07, random)
    net, _ = cells(x * 260, y * 260, 641)
    light = light * (0.94 + 0.14 * net)[..., None]
    small = shrink(light, _SCALE)
    bloom_light = np.stack([ndimage.gaussian_filter(np.clip(small[..., i] - 0.9, 0, 3), 7) for i in range(3)], axis=-1)
    return photograph(small + 0.2 * bloom_light, 19, 0.85)
