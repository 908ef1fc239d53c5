"""People of a town, seen from some way off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drawing.brush import dabs, strokes
from drawing.canvas import rgb

if TYPE_CHECKING:
    from drawing.noise import Array


def _limb(image: Array, x: Array, y: Array, width: Array, color: Array) -> None:
    """Draw a round limb along the points x, y (S,), lit from the left."""
    for across in np.linspace(-0.9, 0.9, 11):
        light = 0.30 + 0.75 * np.clip(-0.75 * across + 0.65 * np.sqrt(1 - across**2), 0, 1)
        tone = np.broadcast_to(color * light, (1, len(x), 3))
        strokes(image, (x + across * width / 2)[None], y[None], np.maximum(width / 6, 1.2)[None], tone)


def figure(image: Array, foot: tuple[float, float], tall: float, colors: list[Array], walk: tuple[float, bool]) -> None:
    """Draw a person of ``tall`` pixels that stands at ``foot``.

    ``colors`` are of coat, legs and hat; ``walk`` is the stride and whether the person wears a skirt.
    """
    x, y = foot
    stride, skirt = walk
    t = np.linspace(0, 1, 6)
    lean = x + 0.012 * tall * stride * (1 - t)
    for side in (-1, 1):
        toe = x + side * stride * tall * 0.10
        wide = tall * (0.085 - 0.035 * t)
        shade = 1.0 if side * stride < 0 else 0.6
        _limb(image, np.linspace(x + side * 0.03 * tall, toe, 6), y - tall * 0.45 * (1 - t), wide, colors[1] * shade)
        shoe = np.array([toe - 0.015 * tall, toe + 0.045 * tall * np.sign(stride)])
        _limb(image, shoe, np.full(2, y), np.full(2, tall * 0.035), colors[1] * 0.4)
    far, near = (1, -1) if stride > 0 else (-1, 1)
    swing = 0.05 * tall * abs(stride) * t
    _limb(
        image,
        lean + far * (tall * 0.09 + swing),
        y - tall * (0.79 - 0.35 * t),
        tall * (0.070 - 0.02 * t),
        colors[0] * 0.7,
    )
    hem, end = (0.34, 0.66) if skirt else (0.215, 0.44)
    body = np.interp(t, [0, 0.10, 0.45, 1], [0.11, 0.205, 0.155, hem])
    _limb(image, lean, y - tall * (0.83 - end * t), tall * body, colors[0])
    arm = lean + near * (tall * 0.088 + 0.8 * swing)
    _limb(image, arm, y - tall * (0.79 - 0.34 * t), tall * (0.072 - 0.022 * t), colors[0] * 1.15)
    dabs(image, arm[-1:], np.array([y - tall * 0.44]), np.array([tall * 0.022]), rgb("a87458")[None] * 0.6)
    head = x + 0.018 * tall * stride
    _limb(image, np.full(2, head), y - tall * np.array([0.86, 0.80]), np.full(2, tall * 0.055), rgb("8a5a42") * 0.7)
    for shift, size, tone in ((0.0, 0.058, 0.32), (-0.008, 0.050, 0.50), (-0.018, 0.034, 0.72)):
        spot = np.array([head + shift * tall]), np.array([y - tall * 0.895])
        dabs(image, *spot, np.array([size * tall]), (rgb("c8906c") * tone)[None], np.array([[0.0, 1.25 * size * tall]]))
    top = y - tall * np.array([0.975, 0.935])
    _limb(image, np.full(2, head + 0.004 * tall), top, tall * np.array([0.085, 0.118]), colors[2])
    if skirt:
        _limb(
            image,
            np.full(2, head + 0.03 * tall),
            y - tall * np.array([0.93, 0.84]),
            tall * np.array([0.09, 0.06]),
            colors[2],
        )
    else:
        brim = np.array([[0.082 * tall, 0.0]])
        dabs(
            image,
            np.array([head]),
            np.array([y - tall * 0.935]),
            np.array([0.012 * tall]),
            (colors[2] * 0.6)[None],
            brim,
        )
