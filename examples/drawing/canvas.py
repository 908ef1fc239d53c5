"""Colours in linear light, and the way from them to a JPEG file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyvips

if TYPE_CHECKING:
    from pathlib import Path

    from drawing.noise import Array

WIDTH, HEIGHT = 768, 576
"""Size of every picture, in pixels."""


def rgb(code: str) -> Array:
    """Return the linear RGB colour, shape (3,), of an sRGB hex code such as ``'1f3a93'``."""
    srgb = np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def srgb(linear: Array) -> Array:
    """Return linear light, any shape, encoded with the sRGB curve, range [0, 1]."""
    linear = np.clip(linear, 0, 1)
    encoded: Array = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded


def film(linear: Array, exposure: float) -> Array:
    """Return scene light, range [0, inf), rolled off to [0, 1] like film does (Narkowicz's ACES fit)."""
    light = linear * exposure
    rolled: Array = np.clip(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0, 1)
    return rolled


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Return 0 below ``low``, 1 above ``high`` (the other way round if low > high), smooth in between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    smooth: Array = t * t * (3 - 2 * t)
    return smooth


def mix(first: Array, second: Array, share: Array) -> Array:
    """Return ``first`` with ``share`` (H, W) of ``second`` mixed in; colours are (3,) or (H, W, 3)."""
    mixed: Array = first + share[..., None].astype(np.float32) * (second - first)
    return mixed


def shrink(image: Array, factor: int) -> Array:
    """Return an image (H, W, C) at 1/factor of its size, each pixel the mean of a block."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    small: Array = blocks.mean(axis=(1, 3))
    return small


def photograph(light: Array, seed: int, exposure: float, grain: float = 0.012) -> Array:
    """Return scene light (H, W, 3) as a camera gives it: vignette, film curve, sRGB, grain."""
    height, width = light.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    shade = 1 - 0.16 * (x * x + y * y) ** 1.3 / 2
    encoded = srgb(film(light * shade[..., None], exposure))
    noise = np.random.default_rng(seed).normal(0, grain, (height, width, 1))
    return np.clip(encoded + noise * (0.4 + 0.6 * np.sqrt(encoded * (1 - encoded) * 4)), 0, 1)


def save(encoded: Array, path: Path, quality: int) -> None:
    """Write sRGB pixels (H, W, 3), range [0, 1], as a JPEG file."""
    pixels = np.rint(np.clip(encoded, 0, 1) * 255).astype(np.uint8)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
    image.jpegsave(str(path), Q=quality, keep="none", optimize_coding=True)
