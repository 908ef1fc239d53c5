"""A woman's head as a surface: its shape, the colours of its skin, eyes and lips, and where a turn puts them.

Units: half the height of the head; x to the right, y down, z towards us; the eyes are at y = 0, the chin at y = 1.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from drawing.canvas import mix, rgb, smoothstep
from drawing.noise import Array, fbm

TURN, ROLL = 0.34, 0.05
"""Radians by which the head looks to our left, and leans to our left."""

_LEVELS = [-1.06, -1.0, -0.9, -0.7, -0.4, -0.1, 0.15, 0.4, 0.6, 0.76, 0.88, 0.96, 1.02]
_WIDTH = PchipInterpolator(_LEVELS, [0.05, 0.30, 0.48, 0.63, 0.70, 0.69, 0.665, 0.605, 0.505, 0.385, 0.275, 0.18, 0.05])
_FRONT = PchipInterpolator(_LEVELS, [0.0, 0.30, 0.50, 0.70, 0.82, 0.85, 0.84, 0.84, 0.84, 0.82, 0.82, 0.76, 0.60])
_DROP = PchipInterpolator(_LEVELS, [0.1, 0.35, 0.55, 0.72, 0.80, 0.80, 0.78, 0.72, 0.62, 0.48, 0.36, 0.26, 0.12])
_NOSE = PchipInterpolator(
    [-0.3, -0.12, 0.0, 0.12, 0.24, 0.33, 0.385, 0.435, 0.50], [0, 0.015, 0.072, 0.122, 0.175, 0.212, 0.190, 0.100, 0]
)
_NOSE_WIDTH = PchipInterpolator([-0.3, 0.0, 0.15, 0.30, 0.40, 0.47], [0.10, 0.058, 0.066, 0.080, 0.090, 0.09])
_EYE, _EYE_HALF = 0.272, 0.152


def _spot(x: Array, y: Array, at: tuple[float, float], size: tuple[float, float]) -> Array:
    """Return a smooth bump of height one."""
    bump: Array = np.exp(-(((x - at[0]) / size[0]) ** 2) - ((y - at[1]) / size[1]) ** 2)
    return bump


def depth(x: Array, y: Array) -> Array:
    """Return z of the skin at the points (x, y)."""
    level = np.clip(y, _LEVELS[0], _LEVELS[-1])
    share = np.clip(np.abs(x) / _WIDTH(level), 0, 1)
    z = _FRONT(level) - _DROP(level) * (1 - np.sqrt(np.clip(1 - share**2.3, 0, 1)))
    side = np.abs(x)
    nose = np.clip(level, -0.3, 0.50)
    z = z + _NOSE(nose) * np.exp(-((side / _NOSE_WIDTH(nose)) ** 2))
    for at, size, tall in (
        ((0.0, 0.335), (0.062, 0.055), 0.035),
        ((0.098, 0.375), (0.042, 0.045), 0.085),
        ((0.27, -0.02), (0.17, 0.095), -0.105),
        ((0.15, 0.0), (0.05, 0.08), -0.050),
        ((0.27, 0.0), (0.115, 0.070), 0.070),
        ((0.27, -0.185), (0.19, 0.055), 0.030),
        ((0.44, 0.20), (0.18, 0.15), 0.045),
        ((0.34, 0.42), (0.14, 0.12), 0.025),
        ((0.268, 0.575), (0.035, 0.05), -0.018),
        ((0.0, 0.735), (0.13, 0.042), -0.040),
        ((0.0, 0.875), (0.14, 0.085), 0.045),
        ((0.0, 0.505), (0.022, 0.05), -0.016),
        ((0.05, 0.425), (0.022, 0.014), -0.03),
    ):
        z = z + tall * _spot(side, y, at, size)
    upper, line, lower = mouth(x)
    in_upper = np.clip((line - y) / np.maximum(line - upper, 1e-3), 0, 1)
    in_lower = np.clip((y - line) / np.maximum(lower - line, 1e-3), 0, 1)
    z = z + 0.045 * np.sin(np.pi * np.clip(in_upper, 0, 1) ** 0.8) * (side < 0.25)
    z = z + 0.060 * np.sin(np.pi * in_lower**0.85) * (side < 0.25)
    # The upper lid lies over the eye as a thin edge.
    top, _ = lids(side)
    inside = np.abs(side - _EYE) < _EYE_HALF
    lifted: Array = z + 0.014 * smoothstep(0.006, -0.006, y - top) * smoothstep(-0.075, -0.02, y - top) * inside
    return lifted


def mouth(x: Array) -> tuple[Array, Array, Array]:
    """Return y of the upper lip's edge, of the line between the lips and of the lower lip's edge at ``x``."""
    share = np.clip(np.abs(x) / 0.252, 0, 1)
    line = 0.612 - 0.030 * share**2.4 + 0.006 * np.cos(np.pi * np.clip(share * 2.2, 0, 1)) - 0.006
    bow = 0.064 * (1 - share**1.5) - 0.013 * np.exp(-((share / 0.13) ** 2))
    return line - bow, line, line + 0.078 * np.sqrt(np.clip(1 - share**2.4, 0, 1)) * (1 - 0.25 * share)


def lids(side: Array) -> tuple[Array, Array]:
    """Return y of the edges of the upper and the lower lid at the distance ``side`` from the middle of the face."""
    e = np.clip((side - _EYE) / _EYE_HALF, -1, 1)
    tilt = -0.012 * e
    upper = 0.012 + tilt - 0.084 * np.clip(1 - np.abs(e + 0.08 * (1 - e * e)) ** 2.3, 0, 1) ** 0.9
    return upper, 0.012 + tilt + 0.040 * np.clip(1 - np.abs(e - 0.15 * (1 - e * e)) ** 2.2, 0, 1)


def turned(x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    """Return points of the head's frame as they are seen after its turn."""
    x, z = x * np.cos(TURN) - z * np.sin(TURN), z * np.cos(TURN) + x * np.sin(TURN)
    return x * np.cos(ROLL) + y * np.sin(ROLL), y * np.cos(ROLL) - x * np.sin(ROLL), z


def skin(x: Array, y: Array) -> Array:
    """Return the albedo (N, 3) of the skin and lips at the points (x, y)."""
    side = np.abs(x)
    mottle = 0.5 * fbm(x * 5, y * 5, 401, 4) + 0.5 * fbm(x * 30, y * 30, 403, 2)
    color = mix(rgb("c98c68"), rgb("dca886"), np.clip(0.5 + 0.55 * mottle, 0, 1))
    rosy = 0.75 * _spot(side, y, (0.42, 0.26), (0.18, 0.14)) + 0.55 * _spot(side, y, (0, 0.35), (0.11, 0.08))
    rosy = rosy + 0.35 * _spot(side, y, (0, 0.90), (0.14, 0.08)) + 0.3 * _spot(side, y, (0.27, -0.07), (0.15, 0.05))
    color = mix(color, rgb("b8503e"), np.clip(0.40 * rosy, 0, 1))
    color = mix(color, rgb("b98a78"), 0.40 * _spot(side, y, (0.25, 0.085), (0.12, 0.03)))
    upper, line, lower = mouth(x)
    inside = (side < 0.254) * smoothstep(-0.006, 0.008, y - upper) * smoothstep(0.006, -0.010, y - lower)
    lip = mix(rgb("9a3434"), rgb("b85250"), smoothstep(0, 0.05, y - line) + 0.25 * fbm(x * 60, y * 8, 407, 2))
    color = mix(color, lip, inside * 0.88)
    gap = np.exp(-(((y - line) / 0.0095) ** 2)) * smoothstep(0.268, 0.235, side)
    color = mix(color, rgb("3c1012"), gap * 0.9)
    hole = _spot(side, y, (0.052, 0.432), (0.024, 0.011)) + 0.35 * _spot(side, y, (0.125, 0.405), (0.02, 0.02))
    return mix(color, rgb("4a1c16"), np.clip(hole * 0.95, 0, 1))


def eyes(x: Array, y: Array, color: Array) -> tuple[Array, Array]:
    """Return ``color`` (N, 3) with eyes in it, and their shine (N,)."""
    side, sign = np.abs(x), np.sign(x)
    top, low = lids(side)
    e = (side - _EYE) / _EYE_HALF
    across = np.abs(e) < 1
    opening = smoothstep(-0.004, 0.004, y - top) * smoothstep(0.003, -0.004, y - low) * across
    # They look at us, although the head looks past us.
    dx, dy = x - sign * _EYE - 0.030, y + 0.008
    reach = np.hypot(dx, dy * 1.02)
    white = mix(rgb("d5c8bf"), rgb("a08078"), np.clip(np.abs(e) ** 3 + 0.15, 0, 1))
    fibre = 0.5 + 0.5 * fbm(np.arctan2(dy, dx) * 6, reach * 12, 411, 3)
    iris = mix(rgb("24180e"), rgb("684a26"), np.clip(fibre + 1.2 * (dy > 0) * dy / 0.06 - 0.1, 0, 1))
    iris = mix(iris, rgb("1a120c"), smoothstep(0.050, 0.066, reach))
    ball = mix(white, iris, smoothstep(0.070, 0.063, reach))
    ball = mix(ball, rgb("060404"), smoothstep(0.031, 0.025, reach))
    ball = ball * (0.45 + 0.55 * smoothstep(0.0, 0.050, y - top))[:, None]
    tear = _spot(side, y, (_EYE - 0.128, 0.020), (0.018, 0.014))
    ball = mix(ball, rgb("c07a70"), np.clip(tear, 0, 1))
    crease = np.exp(-(((y - top + 0.040 + 0.010 * e) / 0.0085) ** 2)) * smoothstep(1.1, 0.7, np.abs(e)) * (y < top)
    color = mix(color, rgb("7a4434"), crease * 0.55)
    color = mix(color, ball, opening)
    thick = 0.009 + 0.007 * np.clip(e, -0.5, 1)
    lash = np.exp(-(((y - top + 0.003) / thick) ** 2)) * smoothstep(1.10, 0.98, np.abs(e + 0.04))
    rim = np.exp(-(((y - low) / 0.0065) ** 2)) * smoothstep(1.02, 0.9, np.abs(e))
    color = mix(mix(color, rgb("8a5448"), rim * 0.6), rgb("1c100c"), np.clip(lash * 1.15, 0, 1))
    shine = smoothstep(0.018, 0.010, np.hypot(dx + 0.026, dy + 0.024))
    return color, shine * opening


def raster(shape: tuple[int, int], center: tuple[float, float], scale: float) -> tuple[Array, Array, Array]:
    """Return z, x and y of the head's frame for the pixels (H, W) that see it, NaN elsewhere."""
    level = np.linspace(_LEVELS[0], _LEVELS[-1], 1500)[:, None]
    angle = np.linspace(-np.pi / 2, np.pi / 2, 1700)[None, :]
    x = _WIDTH(level) * np.sin(angle)
    y = np.broadcast_to(level, x.shape)
    px, py, pz = turned(x, y, depth(x, y))
    column = np.rint(center[0] + scale * px).astype(np.int64).ravel()
    row = np.rint(center[1] + scale * py).astype(np.int64).ravel()
    order = np.argsort(pz.ravel())
    place = (row * shape[1] + column)[order]
    found = []
    for values in (pz, x, y):
        buffer: Array = np.full(shape[0] * shape[1], np.nan)
        buffer[place] = values.ravel()[order]
        image = buffer.reshape(shape)
        seen = np.isfinite(image)
        weight = ndimage.gaussian_filter(seen * 1.0, 1.1)
        soft = ndimage.gaussian_filter(np.where(seen, image, 0), 1.1) / np.maximum(weight, 1e-6)
        found.append(np.where(weight > 0.35, soft, np.nan))
    return found[0], found[1], found[2]
