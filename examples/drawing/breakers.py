"""A breaking wave, a sailing boat and a snow-capped mountain: a content image for the pictures of the gallery."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from drawing.brush import dabs, strokes
from drawing.canvas import HEIGHT, WIDTH, mix, photograph, rgb, shrink, smoothstep
from drawing.noise import Array, cells, fbm

_SCALE = 2  # samples per pixel, each way
_UNIT = HEIGHT * _SCALE  # samples per unit of x and y; the picture is 4/3 wide and 1 high
_CURL = (0.80, 0.40)
"""Centre of the breaking wave's hollow."""
_FOAM, _SHADED = rgb("fffaf0") * 1.25, rgb("8fb0c4")


def _sky(x: Array, y: Array) -> Array:
    """Return the light of the sky (H, W, 3): a low sun on the left behind torn clouds."""
    reach = np.hypot(x - 0.27, (y - 0.36) * 1.3)
    color = mix(rgb("ffd78a") * 1.3, rgb("7fb2cc"), smoothstep(0.02, 0.55, reach))
    color = mix(color, rgb("2c5f9c"), smoothstep(0.42, 0.0, y) * 0.75)
    warp = fbm(x * 1.8, y * 2.6, 501, 3)

    def body(dx: float, dy: float) -> Array:
        px, py = x + dx, y + dy
        heap = 1 - 2 * np.abs(fbm(px * 2.6 + 0.6 * warp, py * 4.2 + 0.6 * warp, 503, 6, 0.55))
        thick: Array = 0.5 * heap + 1.3 * fbm(px * 1.6, py * 2.4, 511, 3) - 0.12
        return thick

    thick = body(0, 0)
    lit = np.clip(0.55 + 1.6 * (thick - body(-0.03, 0.02)), 0, 1)
    cloud = mix(rgb("5c6a8c"), rgb("ffeccc") * 1.2, lit)
    cloud = mix(cloud, rgb("ff9a5c") * 1.2, smoothstep(0.36, 0.05, reach) * 0.7)
    color = mix(color, cloud, smoothstep(-0.05, 0.22, thick) * 0.95)
    return mix(color, rgb("fff0b0") * 1.6, smoothstep(0.052, 0.045, reach))


def _mountain(light: Array, x: Array, y: Array) -> Array:
    """Return ``light`` with the mountain and the far coast."""
    across = np.abs(x - 0.47)
    ridge = 0.30 + 0.62 * across**0.86 + 0.035 * fbm(x * 9, 0 * x, 521, 5)
    slope = fbm(x * 16 + 6 * y, y * 5, 523, 5)
    rock = mix(rgb("4a4f78"), rgb("a08a90"), np.clip(0.5 + 1.3 * slope - 2.2 * (x - 0.47), 0, 1))
    snow = smoothstep(0.105, 0.055, y - 0.30 - 0.05 * slope - 0.1 * fbm(x * 22, y * 3, 527, 3))
    white = mix(rgb("a6b8dc"), rgb("fff6e4") * 1.1, np.clip(0.5 + 1.5 * slope - 3 * (x - 0.47), 0, 1))
    light = np.where((y > ridge)[..., None], mix(rock, white, snow), light)
    coast = 0.525 + 0.018 * fbm(x * 7, 0 * x, 531, 4) + 0.03 * smoothstep(0.25, 0.6, x)
    wood = mix(rgb("1e3a3c"), rgb("6f8a4a"), np.clip(0.5 + fbm(x * 40, y * 40, 533, 4), 0, 1))
    return np.where((y > coast)[..., None], wood, light)


def _swell(light: Array, x: Array, y: Array, base: float, size: float, seed: int) -> Array:
    """Return ``light`` with a row of waves whose crests lie around ``base``, as high as ``size``."""
    phase = x * 0.26 / size + 0.9 * fbm(x * 3, 0 * x, seed, 3) + 0.35 * fbm(x * 0.2 / size, 0 * x, seed + 2, 2)
    peak = 1 - np.abs(2 * np.mod(phase, 1) - 1)
    tall = 0.75 + 0.9 * fbm(x * 0.15 / size, 0 * x, seed + 4, 2)
    crest = base - size * (tall * peak**1.8 + 0.35 * fbm(x * 0.5 / size, 0 * x, seed + 1, 4))
    below = (y - crest) / size
    streak = fbm(x * 0.8 / size + 2 * below, below * 2.4 - 1.4 * peak, seed + 3, 5, 0.6)
    color = mix(rgb("48a498") * 1.1, rgb("175a80"), smoothstep(0.0, 0.8, below + 0.3 * streak))
    color = mix(color, rgb("0a2a50"), smoothstep(0.3, 1.5, below + 0.7 * streak))
    color = mix(color, rgb("e0d6a8"), smoothstep(0.18, 0.5, streak) * smoothstep(1.0, 0.1, x) * 0.7)
    net, _ = cells(x * 1.1 / size + 0.6 * streak, below * 1.4 + 0.6 * streak, seed + 7)
    lace = smoothstep(0.46, 0.60, net) * smoothstep(1.5, 0.4, below + 0.8 * streak) * 0.8
    top = smoothstep(0.24 * peak + 0.05, 0.0, below + 0.25 * streak) * smoothstep(0.4, 0.8, peak)
    color = mix(color, mix(_SHADED, _FOAM, np.clip(0.6 + streak, 0, 1)), np.clip(lace + top, 0, 1))
    return np.where((below > 0)[..., None], color, light)


def _boat(light: Array, x: Array, y: Array) -> Array:
    """Return ``light`` with the boat, heeling in the wind."""
    a, b = (x - 0.30) * 0.97 + (y - 0.66) * 0.22, (y - 0.66) * 0.97 - (x - 0.30) * 0.22
    cloth = fbm(a * 18, b * 6, 541, 3)
    for side, tall, wide, code in ((1, 0.33, 0.135, "f0e2c0"), (-1, 0.27, 0.10, "c8462e")):
        share = np.clip((b + tall) / (tall - 0.04), 0, 1)
        bulge = wide * share**0.8 * (1 - 0.25 * np.abs(2 * share - 1) ** 2)
        inside = (side * a > 0.006) & (side * a < bulge) & (b > -tall) & (b < -0.045 + 0.02 * side * a)
        shade = np.clip(0.75 + 0.5 * cloth - 2.6 * side * a + (side < 0) * 0.2, 0.3, 1.3)
        light = np.where(inside[..., None], rgb(code) * shade[..., None], light)
    light = np.where(((np.abs(a) < 0.005) & (b > -0.36) & (b < 0))[..., None], rgb("4a3020"), light)
    sheer = -0.032 - 0.9 * a * a
    hull = (b > sheer) & (b < 0.03) & (np.abs(a + 0.1 * b) < 0.165 - 1.0 * np.clip(b, 0, 1))
    plank = np.mod((b - sheer) * 60, 1)
    wood = mix(rgb("5a2c18"), rgb("b06a34"), np.clip(0.35 + plank * 0.5 + 0.4 * cloth - a, 0, 1))
    wood = mix(wood, rgb("e8d8b0"), smoothstep(0.010, 0.006, b - sheer))
    return np.where(hull[..., None], wood, light)


def _spiral(turn: Array, out: Array) -> tuple[Array, Array]:
    """Return x and y on the hollow's wall: ``turn`` runs from its foot, 0, to the lip, 1, and ``out`` is depth.

    Below 0 the wall runs out flat over the sea.
    """
    up = np.clip(turn, 0, 1)
    angle = np.pi * (0.52 - 1.22 * up)
    flat = np.minimum(turn, 0)
    radius = (0.36 - 0.17 * up**1.5) + out * (0.30 - 0.24 * up) * (1 + flat)
    return _CURL[0] + radius * np.cos(angle) * 0.98 + 0.75 * flat, _CURL[1] + radius * np.sin(angle) * 1.02


def _breaker(light: Array, x: Array, y: Array, random: np.random.Generator) -> None:
    """Draw the great wave over ``light``: its back, the wall of its hollow in streaks, foam and spray."""
    back = 0.165 + 0.55 * np.clip(x - 0.88, 0, 1) ** 1.25 + 0.012 * fbm(x * 14, 0 * x, 551, 3)
    body = (y > back) & (x > _CURL[0]) & (np.hypot(x - _CURL[0], y - _CURL[1]) > 0.37)
    streak = fbm(x * 3 + y * 5, y * 9 - x * 9, 553, 5, 0.6)
    color = mix(rgb("0b3060"), rgb("3f8fa8"), np.clip(0.45 + 1.1 * streak, 0, 1))
    light[body] = color[body]
    count, knots = 7000, 26
    out = np.sort(random.uniform(0, 1, count))[::-1]
    start = random.uniform(-0.9, 0.95, count)
    turn = np.clip(start[:, None] + np.linspace(0, 1, knots) * random.uniform(0.12, 0.4, count)[:, None], -0.9, 1)
    px, py = _spiral(turn, out[:, None])
    band = np.round(out * 15 + random.normal(0, 0.3, count))
    tone = np.mod(band * 0.618, 1)[:, None] * 0.6 + 0.4 * turn - 0.25 * out[:, None] + random.normal(0, 0.1, (count, 1))
    shades = mix(rgb("0a2c5c"), rgb("2f86a4"), np.clip(tone * 1.3, 0, 1))
    shades = mix(shades, rgb("8fd8c0") * 1.1, smoothstep(0.55, 0.95, turn) * smoothstep(0.6, 0.0, out)[:, None] * 0.8)
    shades = mix(shades, _SHADED, (np.mod(band, 4) == 1)[:, None] * smoothstep(0.0, 0.5, turn) * 0.75)
    width = np.full((count, knots), 0.007 * _UNIT) * (0.5 + 0.8 * np.sin(np.pi * np.linspace(0, 1, knots)))
    strokes(light, px * _UNIT, py * _UNIT, np.maximum(width, 2), shades)
    _foam(light, random)


def _foam(light: Array, random: np.random.Generator) -> None:
    """Draw the foam of the crest in claws and clusters, and the spray that flies from it."""
    for fingers, low, size in ((120, 0.52, 0.019), (80, 0.74, 0.017)):
        for turn in np.sort(random.uniform(low, 1.0, fingers)):
            root = _spiral(np.array(turn), np.array(random.uniform(0.0, 1.0)))
            t = np.linspace(0, 1, 14)
            bend = random.uniform(0.6, 1.6)
            reach = random.uniform(0.03, 0.085) * (0.6 + turn)
            heading = np.pi * (1.0 + 0.55 * (turn - 0.6)) - bend * t**1.4
            fx = root[0] + np.cumsum(np.cos(heading)) * reach / 14
            fy = root[1] + np.cumsum(np.abs(np.sin(heading)) * 1.2) * reach / 14
            for _ in range(3):
                blob = random.normal(0, size * 0.30, (2, 14))
                radius = size * (1.0 - 0.72 * t) * random.uniform(0.5, 1.0, 14) * _UNIT
                spot = (fx + blob[0] * (1 - t)) * _UNIT, (fy + blob[1] * (1 - t)) * _UNIT
                for grow, shift, share in ((1.25, 2.5, 0.0), (1.0, 0.0, 0.6), (0.6, -2.5, 1.0)):
                    tone = mix(rgb("3f6f98"), _FOAM, np.full(14, share * random.uniform(0.75, 1.0)))
                    dabs(light, spot[0] + shift, spot[1] + shift, np.maximum(radius * grow, 1.5), tone)
    count = 2600
    turn = random.uniform(0.55, 1.05, count)
    px, py = _spiral(turn, np.zeros(count))
    far = random.exponential(0.055, count)
    heading = random.uniform(0.75, 1.6, count) * np.pi
    x, y = px + far * np.cos(heading), py + far * np.sin(heading) + 0.9 * far**2
    dabs(
        light, x * _UNIT, y * _UNIT, random.uniform(1.2, 4.2, count), mix(_SHADED, _FOAM, random.uniform(0.4, 1, count))
    )


def draw() -> Array:
    """Return the picture: sRGB (H, W, 3), range [0, 1]."""
    random = np.random.default_rng(47)
    y, x = np.mgrid[0 : 1 : HEIGHT * _SCALE * 1j, 0 : 4 / 3 : WIDTH * _SCALE * 1j].astype(np.float32)
    light = _mountain(_sky(x, y), x, y)
    for base, size, seed in ((0.565, 0.018, 561), (0.605, 0.030, 571), (0.66, 0.05, 581)):
        light = _swell(light, x, y, base, size, seed)
    light = _swell(_boat(light, x, y), x, y, 0.735, 0.075, 591).astype(np.float32)
    _breaker(light, x, y, random)
    light = _swell(light, x, y, 0.91, 0.13, 603).astype(np.float32)
    small = shrink(light, _SCALE)
    bloom = np.stack([ndimage.gaussian_filter(np.clip(small[..., i] - 0.9, 0, 3), 7) for i in range(3)], axis=-1)
    return photograph(small + 0.3 * bloom, 17, 0.80)
