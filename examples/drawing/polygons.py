"""Flat faces of houses and boats, drawn into a view with a depth buffer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from drawing.noise import Array

Paint: TypeAlias = Callable[[Array, Array], Array]
"""(metres along the first edge, metres across it), each (N,) -> albedo (N, 3)."""


@dataclass(frozen=True)
class Face:
    """A convex flat polygon: corners (N, 3) in metres, and its paint, measured from the first corner."""

    corners: Array
    paint: Paint


@dataclass
class Layer:
    """What a view sees of the faces; arrays (H, W), depth is infinite where it sees none."""

    depth: Array
    albedo: Array
    normal: Array


def plain(color: Array) -> Paint:
    """Return a paint of one colour, shape (3,)."""

    def paint(along: Array, across: Array) -> Array:
        return np.broadcast_to(color, (*along.shape, 3))

    return paint


def box(center: tuple[float, float, float], size: tuple[float, float, float], yaw: float, paint: Paint) -> list[Face]:
    """Return the sides and the top of a box that stands on ``center`` with the ``size`` (x, y, z)."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    right = np.array([cosine, 0, sine]) * size[0] / 2
    front = np.array([sine, 0, -cosine]) * size[2] / 2
    up = np.array([0, size[1], 0])
    base = np.asarray(center)
    ring = [base - right + front, base + right + front, base + right - front, base - right - front]
    sides = [np.array([a, b, b + up, a + up]) for a, b in zip(ring, ring[1:] + ring[:1], strict=True)]
    return [Face(corners, paint) for corners in [*sides, np.array([corner + up for corner in ring])]]


def draw(faces: list[Face], u: Array, v: Array, eye: float) -> Layer:
    """Draw ``faces`` for columns ``u`` (increasing) and rows ``v`` (decreasing) seen from height ``eye``."""
    shape = (len(v), len(u))
    layer = Layer(np.full(shape, np.inf, np.float32), np.zeros((*shape, 3), np.float32), np.zeros((*shape, 3)))
    for face in faces:
        _draw(face, layer, u, v, eye)
    return layer


def _draw(face: Face, layer: Layer, u: Array, v: Array, eye: float) -> None:
    """Draw one face where it is nearer than what is there."""
    points = face.corners - np.array([0, eye, 0])
    if points[:, 2].min() < 1:
        return
    pu, pv = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    left, right = np.searchsorted(u, [pu.min(), pu.max()])
    top, bottom = np.searchsorted(-v, [-pv.max(), -pv.min()])
    if left == right or top == bottom:
        return
    du, dv = u[left:right][None, :], v[top:bottom][:, None]
    signs = [(pu[i] - pu[i - 1]) * (dv - pv[i - 1]) - (pv[i] - pv[i - 1]) * (du - pu[i - 1]) for i in range(len(pu))]
    inside = np.all([sign >= 0 for sign in signs], axis=0) | np.all([sign <= 0 for sign in signs], axis=0)
    normal = np.cross(points[1] - points[0], points[2] - points[1])
    normal = normal / max(float(np.linalg.norm(normal)), 1e-9)
    toward = normal[0] * du + normal[1] * dv + normal[2]
    depth = (normal @ points[0]) / np.where(np.abs(toward) < 1e-9, 1e-9, toward)
    window = layer.depth[top:bottom, left:right]
    seen = inside & (depth > 0) & (depth < window)
    rows, columns = np.nonzero(seen)
    if not len(rows):
        return
    z = depth[rows, columns]
    place = np.stack([du[0, columns] * z, dv[rows, 0] * z, z], axis=-1) - points[0]
    along = points[1] - points[0]
    along = along / np.linalg.norm(along)
    across = np.cross(normal, along)
    if across @ (points[2] - points[1]) < 0:
        across = -across
    window[rows, columns] = z
    layer.albedo[top + rows, left + columns] = face.paint(place @ along, place @ across)
    layer.normal[top + rows, left + columns] = -normal * np.sign(toward[rows, columns])[:, None]
