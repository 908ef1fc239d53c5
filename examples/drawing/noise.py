"""Seeded gradient and cellular noise: what every texture of these pictures is made of."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]

_PERIOD = 256


@cache
def _table(seed: int) -> tuple[Array, Array]:
    """Return cosines and sines of one random angle per lattice point, shape (65536,)."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, _PERIOD * _PERIOD)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def perlin(x: Array, y: Array, seed: int) -> Array:
    """Return gradient noise at the points (x, y), range about [-1, 1], features of size one."""
    x, y = np.broadcast_arrays(np.asarray(x, np.float32), np.asarray(y, np.float32))
    left, top_edge = np.floor(x), np.floor(y)
    fx, fy = x - left, y - top_edge
    column, row = left.astype(np.int32), top_edge.astype(np.int32)
    cosines, sines = _table(seed)

    def corner(dx: int, dy: int) -> Array:
        index = ((row + dy) & (_PERIOD - 1)) * _PERIOD + ((column + dx) & (_PERIOD - 1))
        dot: Array = cosines[index] * (fx - dx) + sines[index] * (fy - dy)
        return dot

    wx = fx * fx * fx * (fx * (fx * 6 - 15) + 10)
    wy = fy * fy * fy * (fy * (fy * 6 - 15) + 10)
    top = corner(0, 0) * (1 - wx) + corner(1, 0) * wx
    bottom = corner(0, 1) * (1 - wx) + corner(1, 1) * wx
    noise: Array = 1.5 * (top * (1 - wy) + bottom * wy)
    return noise


def fbm(x: Array, y: Array, seed: int, octaves: int = 5, gain: float = 0.5) -> Array:
    """Return a sum of octaves of :func:`perlin`, range about [-1, 1]."""
    total: Array = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)), np.float32)
    amplitude, norm = 1.0, 0.0
    for octave in range(octaves):
        # Turning each octave hides the lattice, which otherwise shows as horizontal and vertical streaks.
        angle, scale = 0.6 * octave, 2.03**octave
        cosine, sine = scale * float(np.cos(angle)), scale * float(np.sin(angle))
        total = total + amplitude * perlin(cosine * x - sine * y, sine * x + cosine * y, seed + octave)
        norm += amplitude
        amplitude *= gain
    return total / norm


def ridged(x: Array, y: Array, seed: int, octaves: int = 7) -> Array:
    """Return ridged multifractal noise, range about [0, 1]: sharp crests, smooth valleys."""
    total: Array = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)), np.float32)
    weight: Array = np.ones_like(total)
    amplitude, norm = 1.0, 0.0
    for octave in range(octaves):
        angle, scale = 0.9 * octave, 2.07**octave
        cosine, sine = scale * float(np.cos(angle)), scale * float(np.sin(angle))
        ridge = 1 - np.abs(perlin(cosine * x - sine * y, sine * x + cosine * y, seed + octave))
        ridge = ridge * ridge * weight
        weight = np.clip(1.6 * ridge, 0, 1)
        total = total + amplitude * ridge
        norm += amplitude
        amplitude *= 0.47
    return total / norm


def cells(x: Array, y: Array, seed: int) -> tuple[Array, Array]:
    """Return the distance to the nearest point of a jittered unit lattice, and that point's random number."""
    x, y = np.broadcast_arrays(np.asarray(x, np.float32), np.asarray(y, np.float32))
    left, top_edge = np.floor(x), np.floor(y)
    column, row = left.astype(np.int32), top_edge.astype(np.int32)
    cosines, sines = _table(seed)
    nearest: Array = np.full(x.shape, 9.0, np.float32)
    number: Array = np.zeros(x.shape, np.float32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            index = ((row + dy) & (_PERIOD - 1)) * _PERIOD + ((column + dx) & (_PERIOD - 1))
            across = left + (dx + 0.5) + 0.4 * cosines[index] - x
            along = top_edge + (dy + 0.5) + 0.4 * sines[index] - y
            distance = np.sqrt(across * across + along * along)
            closer = distance < nearest
            nearest = np.where(closer, distance, nearest)
            number = np.where(closer, np.mod(17.3 * cosines[index] + 5.7 * sines[index], 1), number)
    return nearest, number
