"""Distance functions of the things on a table (fruit, vessels, cloth), and rays traced among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

from drawing.canvas import smoothstep
from drawing.noise import Array, perlin

Distance: TypeAlias = Callable[[Array], Array]
"""Points (N, 3) in the solid's own frame -> signed distances (N,), never too large by much."""


@dataclass(frozen=True)
class Solid:
    """A named thing: where its frame stands and turns, half the sides of its box, and its distance."""

    name: str
    center: Array
    turn: Array
    half: Array
    shape: Distance

    def local(self, points: Array) -> Array:
        """Return ``points`` (N, 3) in the solid's frame."""
        moved: Array = (points - self.center) @ self.turn
        return moved

    def distance(self, points: Array) -> Array:
        """Return the distance (N,) from ``points`` (N, 3) to the surface."""
        return self.shape(self.local(points))

    def normal(self, points: Array) -> Array:
        """Return the outward unit normals (N, 3) at ``points`` on the surface."""
        # Four corners of a tetrahedron: a third fewer evaluations than central differences.
        total: Array = np.zeros_like(points)
        for corner in ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)):
            direction = np.array(corner, np.float32)
            total = total + direction * self.distance(points + 0.002 * direction)[:, None]
        unit: Array = total / (np.linalg.norm(total, axis=-1, keepdims=True) + 1e-9)
        return unit

    def span(self, origins: Array, directions: Array, margin: float) -> tuple[Array, Array]:
        """Return where (N,) rays enter and leave the box plus ``margin``; they miss it if enter > leave."""
        inverse = 1 / np.where(np.abs(directions) < 1e-6, 1e-6, directions)
        one = (self.center - self.half - margin - origins) * inverse
        two = (self.center + self.half + margin - origins) * inverse
        return np.minimum(one, two).max(axis=-1), np.maximum(one, two).min(axis=-1)


def solid(
    name: str,
    center: tuple[float, float, float],
    tilt: tuple[float, float, float],
    half: float,
    distance: Distance,
) -> Solid:
    """Return a solid at ``center``, tilted by Euler angles in degrees, that reaches at most ``half`` far."""
    turn = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix().astype(np.float32)
    return Solid(name, np.array(center, np.float32), turn, np.full(3, half, np.float32), distance)


def fruit(size: float, radius: Callable[[Array], Array], stem: float = 0.0) -> Distance:
    """Return a fruit whose ``radius`` depends on the angle from its top, with a stem of length ``stem``."""

    def distance(points: Array) -> Array:
        length = np.sqrt(np.einsum("ij,ij->i", points, points)) + 1e-6
        angle = np.arccos(np.clip(points[:, 1] / length, -1, 1))
        skin: Array = 0.8 * (length - size * radius(angle))
        if stem:
            top = size * float(radius(np.zeros(1, np.float32))[0])
            up = np.clip(points[:, 1], top - 0.1, top + stem)
            lean = points[:, 0] - 0.25 * (up - top) ** 2 / stem
            stick = np.sqrt(lean**2 + points[:, 2] ** 2 + (points[:, 1] - up) ** 2) - 0.028
            skin = np.minimum(skin, stick)
        return skin

    return distance


def apple(angle: Array) -> Array:
    """Return an apple's radius at the angle from its stem."""
    dents = 0.30 * np.exp(-((angle / 0.36) ** 2)) + 0.14 * np.exp(-(((np.pi - angle) / 0.4) ** 2))
    shape: Array = (1 + 0.05 * np.cos(angle)) * (1 - dents)
    return shape


def pear(angle: Array) -> Array:
    """Return a pear's radius at the angle from its stem."""
    shape: Array = 1 + 0.80 * np.exp(-((angle / 0.62) ** 2)) - 0.10 * np.exp(-(((np.pi - angle) / 0.4) ** 2))
    return shape


def lemon(angle: Array) -> Array:
    """Return a lemon's radius at the angle from one tip."""
    tips = np.exp(-((angle / 0.26) ** 2)) + np.exp(-(((np.pi - angle) / 0.30) ** 2))
    shape: Array = 1 + 0.20 * np.cos(angle) ** 2 + 0.16 * tips
    return shape


def orange(angle: Array) -> Array:
    """Return an orange's radius at the angle from its stem."""
    shape: Array = 1 - 0.05 * np.exp(-((angle / 0.25) ** 2)) - 0.03 * np.cos(angle) ** 2
    return shape


def lathe(profile: list[tuple[float, float]], wall: float) -> Distance:
    """Return a vessel turned from (height, radius) pairs, hollow above its lowest tenth, ``wall`` thick."""
    heights, radii = np.array(profile).T
    curve = PchipInterpolator(heights, radii)
    top = float(heights[-1])
    table_y = np.linspace(0, top, 400)
    table_r, table_s = curve(table_y), 1 / np.sqrt(1 + curve(table_y, 1) ** 2)

    def distance(points: Array) -> Array:
        out = np.hypot(points[:, 0], points[:, 2])
        radius, steep = np.interp(points[:, 1], table_y, table_r), np.interp(points[:, 1], table_y, table_s)
        side = (out - radius) * np.maximum(steep, 0.35)
        shell = np.maximum(side, np.maximum(-points[:, 1], points[:, 1] - top))
        hole = np.maximum(side + wall, 0.1 * top - points[:, 1])
        vessel: Array = np.maximum(shell, -hole)
        return vessel

    return distance


def handle(size: float, thickness: float) -> Distance:
    """Return the outer half of an ear-shaped ring that stands on x = 0 and reaches to negative x."""

    def distance(points: Array) -> Array:
        around = np.hypot(points[:, 0] * 1.15, points[:, 1] * 0.86) - size
        ring = np.hypot(around, points[:, 2] * 0.75) - thickness
        ear: Array = np.maximum(ring, points[:, 0] - 0.15) * 0.8
        return ear

    return distance


def bunch(seed: int) -> Distance:
    """Return a bunch of grapes that lies on y = 0, its tip towards negative z."""
    random = np.random.default_rng(seed)
    balls: list[tuple[Array, float]] = []
    for _ in range(400):
        share, size = random.uniform(), random.uniform(0.15, 0.18)
        wide = 0.72 * (1 - 0.75 * share)
        x, z = random.uniform(-wide, wide) + 0.25 * share, 0.55 - 1.3 * share + random.uniform(-0.1, 0.1)
        # Each grape falls until it touches the cloth or another grape.
        y = size
        for center, other in balls:
            reach = (size + other) ** 2 - (x - center[0]) ** 2 - (z - center[2]) ** 2
            y = max(y, float(center[1] + np.sqrt(reach))) if reach > 0 else y
        if y < 0.80 * (1 - 0.6 * share):
            balls.append((np.array([x, y, z], np.float32), size))

    def distance(points: Array) -> Array:
        nearest: Array = np.full(len(points), 1e3, np.float32)
        for center, size in balls:
            offset = points - center
            nearest = np.minimum(nearest, np.sqrt(np.einsum("ij,ij->i", offset, offset)) - np.float32(size))
        return nearest

    return distance


def cloth(points: Array) -> Array:
    """Return the distance to the linen: flat under the fruit, in folds around it."""
    x, y, z = points.T
    sweep = 1.3 * x + 0.7 * z + 0.9 * perlin(x * 0.45, z * 0.45, 3)
    crest = (1 - np.abs(perlin(sweep, z * 0.25, 5))) ** 3
    away = smoothstep(0.7, 2.3, np.hypot(x - 0.1, 0.8 * (z - 0.1)))
    top = y - 0.05 - (0.12 * crest + 0.06 * perlin(x * 1.2, z * 1.2, 7)) * away
    left = -2.35 - 0.35 * z + 0.12 * np.sin(2 * z) - x
    right = x - 2.55 - 0.18 * z - 0.1 * np.sin(2.3 * z + 1)
    back = z - 1.05 - 0.25 * x - 0.1 * np.sin(1.7 * x)
    front = -2.5 - 0.09 * x - 0.07 * np.sin(2.1 * x) - z
    sheet: Array = 0.65 * np.maximum(np.maximum(top, np.maximum(left, right)), np.maximum(back, front))
    return sheet


TABLE, WALL = -1, -2
"""What :meth:`Scene.trace` calls the two planes that are no solids."""


@dataclass(frozen=True)
class Scene:
    """Solids on a table, y = 0, before a wall, z = ``wall``; each is asked only about the rays near it."""

    solids: list[Solid]
    wall: float

    def trace(self, origins: Array, directions: Array) -> tuple[Array, npt.NDArray[np.int32]]:
        """Return how far (N,) each ray runs, and the index of the solid, TABLE or WALL that it hits."""
        down = np.where(directions[:, 1] < -1e-4, -origins[:, 1] / np.minimum(directions[:, 1], -1e-4), 1e3)
        back = np.where(directions[:, 2] > 1e-4, (self.wall - origins[:, 2]) / np.maximum(directions[:, 2], 1e-4), 1e3)
        nearest: Array = np.minimum(down, back).astype(np.float32)
        which = np.where(down < back, TABLE, WALL).astype(np.int32)
        for index, thing in enumerate(self.solids):
            enter, leave = thing.span(origins, directions, 0.0)
            active = np.nonzero((enter < np.minimum(leave, nearest)) & (leave > 0))[0]
            travelled: Array = np.maximum(enter, 0.01)
            last = np.minimum(leave, nearest)
            for _ in range(90):
                if not len(active):
                    break
                step = thing.distance(origins[active] + directions[active] * travelled[active, None])
                travelled[active] += step
                hit = active[step < 0.0012]
                nearest[hit], which[hit] = travelled[hit], index
                active = active[(step >= 0.0012) & (travelled[active] < last[active])]
        return nearest, which

    def shadow(self, origins: Array, direction: Array, width: float) -> Array:
        """Return how much (N,) of a light of angular ``width`` the points see, [0, 1] (after Quilez)."""
        seen: Array = np.ones(len(origins), np.float32)
        directions = np.broadcast_to(direction, origins.shape)
        for thing in self.solids:
            enter, leave = thing.span(origins, directions, 0.35)
            active = np.nonzero((enter < leave) & (leave > 0))[0]
            travelled: Array = np.maximum(enter, 0.03)
            for _ in range(40):
                if not len(active):
                    break
                step = thing.distance(origins[active] + direction * travelled[active, None])
                seen[active] = np.minimum(seen[active], 0.5 + 0.5 * step / (width * travelled[active]))
                travelled[active] += np.clip(step, 0.03, 0.45)
                active = active[(seen[active] > 0) & (travelled[active] < leave[active])]
        return smoothstep(0, 1, seen)

    def occlusion(self, points: Array, normals: Array) -> Array:
        """Return how open (N,) the surroundings of surface points are, [0, 1]."""
        closed: Array = np.zeros(len(points), np.float32)
        for distance, weight in ((0.07, 2.4), (0.22, 1.2), (0.6, 0.5)):
            probes = points + normals * np.float32(distance)
            free: Array = np.minimum(probes[:, 1], self.wall - probes[:, 2])
            free = np.minimum(free, distance)
            for thing in self.solids:
                near = np.nonzero(np.all(np.abs(probes - thing.center) < thing.half + distance, axis=-1))[0]
                free[near] = np.minimum(free[near], thing.distance(probes[near]))
            closed = closed + weight * (distance - free)
        openness: Array = np.clip(1 - 0.95 * closed, 0, 1)
        return openness
