"""Calm water that mirrors what stands around it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from drawing.canvas import mix
from drawing.canvas import smoothstep as step
from drawing.noise import Array, fbm


def surface(
    mirror: tuple[Array, Array], u: Array, v: Array, eye: float, deep: tuple[Array, Array], wind: float
) -> Array:
    """Return the light of the water (H, W, 3) in the columns ``u`` and the rows ``v`` < 0, seen from ``eye`` metres.

    ``mirror`` is the light that the mirrored camera sees and its rows v; ``deep`` are two colours of the water.
    """
    seen, rows = mirror
    down = np.minimum(v, -0.002)[:, None]
    z = eye / -down
    x = u[None, :] * z
    # Far waves are smaller than a pixel: they blur the reflection instead of bending it.
    calm = 1 / (1 + z / 130)
    gust = wind * (0.35 + 0.9 * step(-0.1, 0.4, fbm(x / 25, z / 60, 313, 3)))
    along = gust * (0.050 * fbm(x / 2.6, z / 1.3, 317, 3) + 0.03 * fbm(x / 0.6, z / 0.35, 321, 2) * calm)
    bend = 0.14 + 0.86 * calm
    row = (rows[0] - np.clip(-down + 2 * along * bend, 0.003, rows[0])) / (rows[0] - rows[1])
    column = np.arange(len(u))[None, :] + 30 * gust * fbm(x / 1.8, z / 1.8, 327, 3) * bend
    reflected = np.stack(
        [ndimage.map_coordinates(seen[..., i], [row, column], order=1, mode="nearest") for i in range(3)], axis=-1
    )
    cosine = np.clip((-down + 1.4 * along) / np.sqrt(1 + down * down), 0.02, 1)
    share = (0.05 + 0.95 * (1 - cosine) ** 4)[..., None]
    body = mix(deep[0], deep[1], np.clip(0.5 + fbm(x / 14, z / 20, 331, 3), 0, 1))
    light: Array = body * 0.6 * (1 - share) + reflected * share * np.array([0.92, 0.96, 0.98])
    return light
