"""A boat before mountains and a rising sun as a leaded glass window: the second style image."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from drawing.canvas import HEIGHT, WIDTH, mix, rgb, shrink, smoothstep, srgb
from drawing.noise import Array, cells, fbm, perlin

_SCALE = 2  # pixels per picture pixel, each way
_SUN = (0.40, 0.34)
_SEA = 0.665
_BOAT = (0.90, 0.715)

Ids: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]


def _shards(x: Array, y: Array, inside: Mask, size: tuple[float, float], tilt: float, seed: int) -> Ids:
    """Return shard numbers (H, W) of pieces of ``size`` (across, along), turned by ``tilt`` radians."""
    cosine, sine = float(np.cos(tilt)), float(np.sin(tilt))
    across, along = (x * cosine + y * sine) / size[0], (y * cosine - x * sine) / size[1]
    random = np.random.default_rng(seed)
    spots = []
    low, high = (
        (float(across[inside].min()), float(along[inside].min())),
        (float(across[inside].max()), float(along[inside].max())),
    )
    for i in np.arange(low[0] - 1, high[0] + 1):
        for j in np.arange(low[1] - 1, high[1] + 1):
            spots.append((i + random.uniform(-0.36, 0.36) + 0.5 * (int(j) % 2), j + random.uniform(-0.36, 0.36)))
    number = np.zeros(x.shape, np.int64)
    number[inside] = cKDTree(np.array(spots)).query(np.stack([across[inside], along[inside]], axis=-1))[1]
    return number


class _Window:
    """The design: what each pixel belongs to, and the colour of its glass."""

    def __init__(self, x: Array, y: Array) -> None:
        self.x, self.y = x, y
        self.shape: Ids = np.zeros(x.shape, np.int64)
        self.shard: Ids = np.zeros(x.shape, np.int64)
        self.color: Array = np.zeros((*x.shape, 3), np.float32)
        self.count = 0

    def put(self, inside: Mask, shard: Ids | int, color: Array, vary: float = 0.30) -> None:
        """Lay a shape over what is there: ``shard`` numbers its pieces, ``color`` is (3,) or (H, W, 3)."""
        self.count += 1
        self.shape[inside] = self.count
        self.shard[inside] = (np.broadcast_to(shard, inside.shape) + 100000 * self.count)[inside]
        chosen = np.broadcast_to(color, (*inside.shape, 3))[inside]
        # One sheet of glass has one colour: its shape's colour at its middle, a little off.
        sheets, index = np.unique(self.shard[inside], return_inverse=True)
        weight = np.bincount(index)
        mean = np.stack([np.bincount(index, chosen[:, i]) / weight for i in range(3)], axis=-1)
        random = np.random.default_rng(self.count)
        mean *= np.exp(random.normal(0, vary, (len(sheets), 1))) * np.exp(
            random.normal(0, vary * 0.4, (len(sheets), 3))
        )
        self.color[inside] = mean[index]


def _sky(window: _Window) -> None:
    """Put rays of glass around the sun, and the sun."""
    x, y = window.x, window.y
    dx, dy = x - _SUN[0], y - _SUN[1]
    reach, turn = np.hypot(dx, dy), np.arctan2(dy, dx) / (2 * np.pi) + 0.5
    sway = turn + 0.012 * np.sin(reach * 17)
    sector = np.floor(sway * 30).astype(np.int64) % 30
    random = np.random.default_rng(3)
    offset = random.uniform(0, 1, 30)[sector]
    ring = np.floor(np.log(np.maximum(reach, 0.02) / 0.11) * 2.5 + offset + 0.10 * np.sin(turn * 190)).astype(np.int64)
    color = mix(rgb("ffb21e"), rgb("f0702a"), smoothstep(0.12, 0.27, reach))
    color = mix(color, rgb("d8447a"), smoothstep(0.24, 0.38, reach))
    color = mix(color, rgb("3a62c8"), smoothstep(0.34, 0.54, reach))
    color = mix(color, rgb("122a86"), smoothstep(0.55, 0.95, reach))
    bright = np.where(sector % 3 == 0, 1.9, np.where(sector % 3 == 1, 1.0, 0.62))
    color = mix(color, rgb("7fd0e0"), (sector % 3 == 0) * smoothstep(0.34, 0.6, reach) * 0.55) * bright[..., None]
    window.put(reach >= 0, sector * 64 + ring + 8, color, 0.26)
    petals = np.floor(turn * 16).astype(np.int64)
    window.put(reach < 0.128, petals, mix(rgb("ff8c14"), rgb("ffd23a"), (petals % 2) * 1.0), 0.08)
    window.put(reach < 0.083, 1, rgb("fff0a0"), 0.0)
    for cx, cy, size in (
        (0.95, 0.15, 0.10),
        (1.12, 0.20, 0.085),
        (0.82, 0.20, 0.07),
        (0.10, 0.13, 0.08),
        (0.20, 0.17, 0.06),
    ):
        puff = np.minimum(np.hypot((x - cx) / 1.7, y - cy), np.hypot((x - cx - size) / 1.2, y - cy - 0.02) * 1.25)
        swirl = np.floor(4 * np.hypot((x - cx) / 1.7, y - cy) / size + np.arctan2(y - cy, x - cx) / np.pi * 1.0).astype(
            np.int64
        )
        window.put(
            (puff < size) & (y < cy + 0.35 * size),
            swirl + 5,
            mix(rgb("fff0dc"), rgb("f08ab0"), (swirl % 2) * 0.8),
            0.10,
        )


def _mountains(window: _Window) -> None:
    """Put three ranges, each peak split into a bright and a dark side."""
    x, y = window.x, window.y
    for base, seed, tall, bright, dark in (
        (0.47, 5, 0.19, "8a6ad0", "3c2f96"),
        (0.56, 9, 0.17, "d8588a", "5a2a86"),
        (0.63, 13, 0.11, "3aa88a", "145a6a"),
    ):
        random = np.random.default_rng(seed)
        line: Array = np.full_like(x, base + 0.05)
        side: Array = np.zeros_like(x)
        for peak in np.arange(-0.1, 1.5, 0.23):
            top_x, top = peak + random.uniform(-0.06, 0.06), base - tall * random.uniform(0.25, 1.0)
            bent = x - top_x - 0.05 * np.sin((y - top) * 34)
            slope = top + np.abs(x - top_x) * random.uniform(0.75, 1.25)
            side = np.where(slope < line, bent > 0, side)
            line = np.minimum(line, slope)
        inside = y > line
        shard = _shards(x, y, inside, (0.075, 0.12), 0.5, seed)
        toward = _SUN[0] < x
        lit = np.where(toward, side < 0.5, side > 0.5)
        color = mix(rgb(dark), rgb(bright), lit * 1.0)
        cap = inside & (y < line + 0.045 + 0.02 * np.sin(x * 90))
        window.put(inside, shard * 4 + (side > 0.5) * 2, color)
        if seed == 5:
            window.put(
                cap,
                (side > 0.5) * 1 + np.floor(x / 0.16).astype(np.int64) * 2,
                mix(rgb("a8b8e8"), rgb("fff4e0"), lit * 1.0),
                0.1,
            )


def _sea(window: _Window) -> None:
    """Put rows of scalloped waves that grow towards the viewer, with the sun's path on them."""
    x, y = window.x, window.y
    for row in range(9):
        top = _SEA + 0.34 * (row / 8.6) ** 1.35
        size = 0.075 + 0.022 * row
        phase = x / size + 0.5 * (row % 2)
        wave = np.mod(phase, 1) - 0.5
        line = top - size * 0.30 * np.sqrt(np.clip(1 - (wave * 1.9) ** 2, 0, 1)) * (row > 0)
        number = np.floor(phase).astype(np.int64) + 50
        inside = y > line
        deep = mix(rgb("1a9ab0"), rgb("0a2f78"), np.full_like(x, row / 9))
        middle = (number - 49.5 - 0.5 * (row % 2)) * size
        lane = smoothstep(0.10 + 0.02 * row, 0.03, np.abs(middle - _SUN[0]))
        deep = mix(deep, rgb("ffb43a"), lane * 0.85)
        window.put(inside, number, deep, 0.34)
        for ring, (share, tint) in enumerate(((0.66, "38b8c0"), (0.36, "d8f0e8"))):
            arc = np.hypot(wave, (y - top) / size * 1.5) < 0.5 * share
            window.put(arc & inside & (row > 0), number + 200 * ring, mix(rgb(tint), rgb("ffe08a"), lane * 0.8), 0.22)


def _triangle(x: Array, y: Array, corners: tuple[tuple[float, float], ...], belly: float) -> Mask:
    """Return where a triangle is whose sides are bent outwards by ``belly``."""
    inside: Mask = np.ones(x.shape, np.bool_)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        length = float(np.hypot(bx - ax, by - ay))
        off = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / length
        share = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length**2
        inside = inside & (off > -belly * np.clip(share * (1 - share) * 4, 0, 1))
    return inside


def _boat(window: _Window) -> None:
    """Put the sailing boat."""
    x, y = window.x, window.y
    cx, cy = _BOAT
    main = _triangle(x, y, ((cx + 0.012, cy - 0.49), (cx + 0.235, cy - 0.075), (cx + 0.012, cy - 0.055)), 0.022)
    panel = np.floor((y - 0.22 * (x - cx) - cy) / 0.062).astype(np.int64) + 20
    tint = np.array([rgb("e8301e"), rgb("ff9a1e"), rgb("fff0c8")])[panel % 3]
    window.put(main, panel * 3 + (x > cx + 0.09) * 1, tint, 0.14)
    jib = _triangle(x, y, ((cx - 0.012, cy - 0.44), (cx - 0.012, cy - 0.06), (cx - 0.20, cy - 0.065)), 0.018)
    panel = np.floor((y + 0.5 * (x - cx) - cy) / 0.075).astype(np.int64) + 20
    window.put(jib, panel, mix(rgb("fff4d0"), rgb("ffc04a"), (panel % 2) * 1.0), 0.12)
    window.put(
        (np.abs(x - cx) < 0.010) & (y > cy - 0.53) & (y < cy),
        np.floor(y / 0.14).astype(np.int64),
        rgb("7a3a14"),
    )
    window.put(_triangle(x, y, ((cx, cy - 0.535), (cx + 0.085, cy - 0.515), (cx, cy - 0.495)), 0.0), 1, rgb("20a060"))
    share = (x - cx - 0.01) / 0.245
    hull = (
        (y > cy - 0.045 - 0.035 * share**2 - 0.01 * share)
        & (y < cy + 0.052 - 0.09 * np.abs(share) ** 2.6)
        & (np.abs(share) < 1.05)
    )
    plank = np.floor((y - cy + 0.035 * share**2) / 0.036).astype(np.int64) + 9
    window.put(
        hull,
        plank * 16 + np.floor(share * 2.5 + 0.4 * plank).astype(np.int64),
        mix(rgb("8a1a1a"), rgb("d87a2a"), (plank % 2) * 1.0),
        0.2,
    )


def _flowers(window: _Window) -> None:
    """Put irises into the lower left corner and leaves into the right one."""
    x, y = window.x, window.y
    for foot, tip_x, tip_y, wide in (
        (0.02, -0.02, 0.50, 0.022),
        (0.10, 0.15, 0.60, 0.020),
        (0.17, 0.29, 0.70, 0.022),
        (0.05, 0.22, 0.78, 0.02),
        (1.30, 1.22, 0.62, 0.022),
        (1.22, 1.10, 0.74, 0.022),
        (1.32, 1.33, 0.48, 0.020),
        (1.27, 1.06, 0.86, 0.02),
    ):
        share = np.clip((1.02 - y) / (1.02 - tip_y), 0, 1)
        middle = foot + (tip_x - foot) * share**2
        blade = (np.abs(x - middle) < wide * (1 - share) ** 0.6 * (0.6 + 1.2 * share)) & (y > tip_y)
        window.put(
            blade,
            np.floor(share * 4).astype(np.int64) * 2 + (x > middle),
            mix(rgb("0f5a2a"), rgb("6ac83a"), (x > middle) * 0.8),
            0.22,
        )
    for cx, cy, size in (
        (0.115, 0.64, 0.078),
        (0.245, 0.755, 0.066),
        (1.20, 0.66, 0.066),
        (0.045, 0.815, 0.06),
    ):
        for turn in (0.62, -0.62, 2.35, -2.35, 0.0):
            dx, dy = x - cx, y - cy
            along, across = -dy * np.cos(turn) + dx * np.sin(turn), dx * np.cos(turn) + dy * np.sin(turn)
            petal = np.hypot((along - 0.62 * size) / (0.70 * size), across / (0.40 * size)) < 1
            vein = mix(rgb("6a2ac8"), rgb("c88af0"), smoothstep(-0.2, 0.3, across / size))
            window.put(petal, 1 + (across > 0) * (turn == 0), vein, 0.25)
        window.put(np.hypot(x - cx, y - cy) < 0.24 * size, 1, rgb("ffc81e"), 0.05)


def _lead(numbers: Ids, width: float) -> tuple[Array, Array]:
    """Return how much (H, W) of each pixel lead covers, and the roundness of its bars, both [0, 1]."""
    edge = np.zeros(numbers.shape, bool)
    edge[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    edge[1:, :] |= numbers[1:, :] != numbers[:-1, :]
    distance = ndimage.distance_transform_edt(~edge)
    distance = ndimage.gaussian_filter(distance.astype(np.float32), 1.2)
    round_top = np.sqrt(np.clip(1 - (distance / (width + 0.5)) ** 2, 0, 1))
    return smoothstep(width + 0.9, width - 0.9, distance), round_top * width


def _light(window: _Window, x: Array, y: Array) -> Array:
    """Return the light (H, W, 3) that streaky, hammered glass of the window's colours lets through."""
    turn = np.mod(window.shard * 0.618034, 1).astype(np.float32) * 6.283
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    shift = np.mod(window.shard, 97).astype(np.float32)
    streaks = fbm(along * 5 + shift, across * 26 + shift, 101, 4)
    clouds = fbm(x * 11 + shift, y * 11, 107, 3)
    color = window.color * np.exp(0.85 * streaks + 0.45 * clouds)[..., None]
    milk = color.mean(-1, keepdims=True) * rgb("fff2d8") * 1.7
    color = mix(color, milk, np.clip(0.55 * streaks + 0.12, 0, 0.5))
    bubbles, number = cells(x * 62, y * 62, 113)
    color = color * (1 + 0.9 * smoothstep(0.16, 0.08, bubbles) * (number > 0.78))[..., None]
    hammered = 2.0 * perlin(x * 34, y * 34, 117) + 0.45 * perlin(x * 90, y * 90, 119)
    slope_y, slope_x = np.gradient(hammered)
    ripple = np.clip(1 - 1.15 * (slope_x + slope_y), 0.5, 1.8)
    glow = 1.12 + 0.8 * np.exp(-((x - _SUN[0]) ** 2 + (y - _SUN[1]) ** 2) / 0.16)
    light: Array = color * (ripple * glow)[..., None]
    return light


def draw() -> Array:
    """Return the picture: sRGB (H, W, 3), range [0, 1]."""
    rows, columns = HEIGHT * _SCALE, WIDTH * _SCALE
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 4 / 3 : columns * 1j].astype(np.float32)
    # A hand has cut the glass: no line is quite straight.
    window = _Window(x + 0.005 * fbm(x * 6, y * 6, 91, 3), y + 0.005 * fbm(x * 6, y * 6, 95, 3))
    for part in (_sky, _mountains, _sea, _boat, _flowers):
        part(window)
    light = _light(window, x, y)

    thick, thick_top = _lead(window.shape, 4.6)
    thin, thin_top = _lead(window.shard, 2.7)
    covered = np.maximum(thick, thin)
    # Old paint and dirt gather beside the lead.
    near = np.exp(-ndimage.distance_transform_edt(covered < 0.5) / 7.0)
    light = light * (1 - 0.55 * near)[..., None]
    top = ndimage.gaussian_filter(np.maximum(thick_top, thin_top), 0.8) + 0.25 * perlin(x * 90, y * 90, 121)
    slope_y, slope_x = np.gradient(top)
    metal = np.clip(0.30 - 0.75 * (slope_x + slope_y), 0.02, 1.6) ** 1.4
    picture = mix(light / (1 + 0.30 * light), rgb("3c4048") * 0.42 * metal[..., None], covered)
    small = shrink(picture.astype(np.float32), _SCALE)
    halo = ndimage.gaussian_filter(np.clip(small, 0, 1.5), (7, 7, 0))
    return srgb(small + 0.10 * halo)
