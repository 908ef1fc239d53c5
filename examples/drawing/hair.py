"""The hair, brows and lashes of the woman of the portrait, hair by hair."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from drawing import head
from drawing.brush import dabs, strokes
from drawing.canvas import mix, rgb, smoothstep
from drawing.noise import Array, perlin

_POINTS = 220
_KNOTS = np.linspace(0, 1, 8)
# Where a hair runs from the parting to the shoulder, in the head's frame, for a hair at the forehead and one at the
# crown; on the near side the hair lies behind the ear.
_NEAR = np.array(
    [
        [[-0.10, -0.57, 0.82], [-0.10, -1.09, -0.05]],
        [[0.14, -0.60, 0.81], [0.22, -1.17, -0.02]],
        [[0.45, -0.46, 0.68], [0.62, -0.97, -0.06]],
        [[0.665, -0.25, 0.40], [0.84, -0.54, -0.10]],
        [[0.745, -0.06, 0.06], [0.87, -0.02, -0.14]],
        [[0.755, 0.40, -0.24], [0.86, 0.50, -0.14]],
        [[0.80, 0.98, -0.06], [0.93, 1.05, 0.00]],
        [[0.72, 1.62, 0.42], [1.02, 1.75, 0.25]],
    ]
)
_FAR = np.array(
    [
        [[-0.10, -0.57, 0.82], [-0.10, -1.09, -0.05]],
        [[-0.28, -0.56, 0.76], [-0.36, -1.14, -0.02]],
        [[-0.54, -0.40, 0.62], [-0.68, -0.88, 0.02]],
        [[-0.69, -0.18, 0.42], [-0.82, -0.42, 0.00]],
        [[-0.735, 0.20, 0.30], [-0.88, 0.05, 0.00]],
        [[-0.72, 0.62, 0.24], [-0.86, 0.58, 0.00]],
        [[-0.70, 1.08, 0.26], [-0.84, 1.10, 0.06]],
        [[-0.62, 1.60, 0.50], [-0.80, 1.70, 0.25]],
    ]
)


def _lines(guides: Array, count: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Return hairs (N, S, 3) in the head's frame between the ``guides`` (K, 2, 3), and their places (N,) in [0, 1]."""
    place = random.uniform(-0.05, 1, count)
    lock = np.floor(place * 26 + random.normal(0, 0.25, count))
    t = np.linspace(0, 1, _POINTS)
    curve = PchipInterpolator(_KNOTS, guides)(t)
    line = curve[None, :, 0] + (curve[:, 1] - curve[:, 0])[None] * place[:, None, None]
    # Locks wave together; single hairs stray a little, more so towards their ends.
    phase = lock * 2.4
    # Between forehead and crown the parting follows the skull.
    bulge = (
        np.array([0.0, -0.19, 0.15])
        * np.clip(4 * place * (1 - place), 0, 1)[:, None, None]
        * smoothstep(0.5, 0.05, t)[None, :, None]
    )
    wave = np.stack([np.sin(t * 14 + phase[:, None]), 0 * t + 0 * phase[:, None], np.cos(t * 14 + phase[:, None])], -1)
    line = line + bulge + wave * (0.075 * smoothstep(0.30, 0.85, t))[None, :, None]
    length = 0.86 + 0.14 * np.sin(lock * 5.1) + random.normal(0, 0.03, count)
    line = np.where((t[None] > length[:, None])[..., None], np.nan, line)
    stray = random.normal(0, 1, (count, 1, 3)) * 0.015
    line = line + stray * (0.4 + 1.6 * t)[None, :, None]
    return line, place


def _behind(count: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Return hairs (N, S, 3) that fall behind the neck, and their places."""
    u = random.uniform(-0.80, 0.90, (count, 1))
    t = np.linspace(0, 1, _POINTS)[None]
    wave = 0.02 * np.sin(t * 12 + np.floor(u * 14) * 2.1) * t
    x = u * (0.55 + 0.55 * t**0.6) + wave + random.normal(0, 0.01, (count, 1))
    line = np.stack([x, -0.62 + 2.22 * t + 0 * u, -0.42 + 0.2 * t**2 + wave], axis=-1)
    return line, np.full(count, 0.9)


def _color(line: Array, place: Array, light: Array, random: np.random.Generator) -> Array:
    """Return the light (N, S, 3) that hairs send back, bright where they lie across the ``light``."""
    px, py, pz = head.turned(line[..., 0], line[..., 1], line[..., 2])
    seen = np.stack([px, py, pz], axis=-1)
    along = np.gradient(seen, axis=1)
    along /= np.linalg.norm(along, axis=-1, keepdims=True) + 1e-9
    half = light + np.array([0, 0, 1.0])
    half = half / np.linalg.norm(half)
    outward = seen - np.array([0.0, 0.0, -0.1])
    outward[..., 1] = np.minimum(outward[..., 1], 0.35 * outward[..., 1])
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True) + 1e-9
    facing = np.clip(0.35 + 0.75 * (outward @ light), 0, 1)
    gleam = np.sqrt(np.clip(1 - (along @ half) ** 2, 0, 1)) ** 22
    lock = perlin(place[:, None] * 30, np.linspace(0, 3, _POINTS)[None], 471)
    tone = np.clip(0.45 + 0.55 * lock + random.normal(0, 0.17, (len(line), 1)), 0, 1)
    base = mix(rgb("33190c"), rgb("8a4f26"), tone)
    shade = 0.16 + 0.95 * facing * (0.6 + 0.4 * smoothstep(-0.2, 0.25, seen[..., 2]))
    color: Array = base * (shade * 1.5)[..., None] + rgb("e8b070") * (0.34 * gleam * facing * (0.5 + tone))[..., None]
    return color


def comb(light: Array, center: tuple[float, float], unit: float) -> tuple[Array, Array, Array, Array]:
    """Return pixels x, y (N, S), z (N, S) and colours (N, S, 3) of all hairs, the hindmost first."""
    random = np.random.default_rng(77)
    parts = [_lines(_NEAR, 5200, random), _lines(_FAR, 4300, random), _behind(3000, random)]
    lines, places = zip(*parts, strict=True)
    line, place = np.concatenate(lines), np.concatenate(places)
    color = _color(line, place, light, random)
    x, y, z = head.turned(line[..., 0], line[..., 1], line[..., 2])
    order = np.argsort(z[:, :100].mean(axis=1) + random.normal(0, 0.03, len(line)))
    return (center[0] + unit * x)[order], (center[1] + unit * y)[order], z[order], color[order]


def lay(image: Array, x: Array, y: Array, z: Array, color: Array, before: Array) -> None:
    """Draw hairs over ``image`` in place, where they are nearer than the surface ``before`` (H, W)."""
    stretch = np.stack([np.gradient(x, axis=1), np.gradient(y, axis=1)], axis=-1) * 0.7
    near = ndimage.maximum_filter(before, 7)  # a hair behind an edge keeps off it
    drawn = np.isfinite(stretch).all(axis=-1) & np.isfinite(z)
    x, y, stretch = np.where(drawn, x, -99), np.where(drawn, y, -99), np.where(drawn[..., None], stretch, 0)
    row = np.clip(np.rint(y), 0, image.shape[0] - 1).astype(np.int64)
    column = np.clip(np.rint(x), 0, image.shape[1] - 1).astype(np.int64)
    free = drawn & ~(near[row, column] > z + 0.01)
    dabs(image, x[free], y[free], np.full(int(free.sum()), 1.3), color[free], stretch[free])


def brows(image: Array, center: tuple[float, float], unit: float, tone: float) -> None:
    """Draw the brows and lashes over ``image`` in place."""
    random = np.random.default_rng(79)
    for side in (-1, 1):
        share = random.uniform(0, 1, 230)
        x = 0.12 + 0.375 * share
        y = -0.158 - 0.066 * np.sin(np.pi * share**1.15 * 0.78) + 0.035 * share**2
        thick = 0.019 * (1 - share) ** 0.5 + 0.004
        y = y + random.uniform(-1, 1, 230) * thick
        angle = 1.15 - 1.45 * share**0.6 + random.normal(0, 0.12, 230)
        steps = np.linspace(0, 0.055, 4)[None, :]
        px = x[:, None] + np.cos(angle)[:, None] * steps
        py = y[:, None] - np.sin(angle)[:, None] * steps * 0.8 + 4 * steps**2
        color = mix(rgb("2e1b10"), rgb("6a4528"), random.uniform(0, 1, 230)) * tone
        _hairs(image, side * px, py, color, center, unit, 1.5)
        e = random.uniform(-0.2, 1.0, 30)
        x = 0.272 + 0.142 * e
        top, _ = head.lids(x)
        steps = np.linspace(0, 1, 4)[None, :] * (0.018 + 0.026 * np.clip(e, 0, 1))[:, None]
        px = x[:, None] + steps * (0.3 + 0.9 * e)[:, None]
        py = top[:, None] + 0.3 * steps - 9 * steps**2 - 0.35 * steps
        _hairs(image, side * px, py, np.broadcast_to(rgb("120a07"), (30, 3)), center, unit, 1.3)


def _hairs(
    image: Array, x: Array, y: Array, color: Array, center: tuple[float, float], unit: float, width: float
) -> None:
    """Draw short hairs that lie on the skin at ``x``, ``y`` (N, S) of the head's frame."""
    px, py, _ = head.turned(x, y, head.depth(x, y) + 0.012)
    thin = np.full(x.shape, width) * np.linspace(1.2, 0.7, x.shape[1])
    strokes(image, center[0] + unit * px, center[1] + unit * py, thin, np.repeat(color[:, None], x.shape[1], axis=1))
