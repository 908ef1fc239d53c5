"""Trees with branches and leaves, and grass with flowers, drawn with dabs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drawing.brush import dabs, strokes
from drawing.canvas import mix, rgb, smoothstep
from drawing.noise import Array, fbm


@dataclass(frozen=True)
class Tree:
    """A tree: its foot and height in pixels, colours of dark and bright leaves, size of a leaf in pixels."""

    foot: tuple[float, float]
    height: float
    dark: Array
    bright: Array
    leaf: float
    wide: float = 0.42
    leaves: int = 26000
    trunk: float = 0.34
    bend: float = 0.0


def _branches(tree: Tree, random: np.random.Generator) -> tuple[Array, Array]:
    """Return polylines (N, 5, 2) of trunk and branches in pixels, and their widths (N, 5)."""
    lines, widths = [], []
    todo = [(np.array(tree.foot), -np.pi / 2 + 0.12 * tree.bend, tree.height * tree.trunk, tree.height * 0.050, 0)]
    while todo:
        start, angle, length, width, level = todo.pop()
        turns = angle + np.cumsum(random.normal(0, 0.09, 5)) - random.normal(0, 0.05)
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=-1) * length / 4
        line = start + np.vstack([np.zeros(2), np.cumsum(steps[1:], axis=0)])
        lines.append(line)
        widths.append(np.linspace(width * (1.5 if level == 0 else 1), width * 0.62, 5))
        if level < 4:
            for side in np.linspace(-1, 1, 3 if level < 2 else 2):
                turn = side * random.uniform(0.35, 0.62) + random.normal(0, 0.1) + 0.08 * tree.bend
                todo.append((line[-1], angle + turn, length * random.uniform(0.55, 0.8), width * 0.58, level + 1))
    return np.array(lines), np.array(widths)


def tree(image: Array, tree: Tree, sun: tuple[float, float, float], seed: int, haze: Array | None = None) -> None:
    """Draw a tree with the ``sun`` in the direction (right, down, towards us); ``haze`` (3,) lies over it."""
    random = np.random.default_rng(seed)
    lines, widths = _branches(tree, random)
    light = np.array(sun) / np.linalg.norm(sun)
    # Bark: strips along the branch, each with its own tone, lit as parts of a cylinder.
    for across in np.linspace(-0.92, 0.92, 13):
        facing = across * light[0] + np.sqrt(1 - across**2) * light[2]
        tone = np.clip(0.30 + 0.75 * facing + random.normal(0, 0.16, widths.shape), 0.02, 1.2)
        bark = mix(rgb("1d1612"), rgb("8d7a66"), tone)
        strokes(image, lines[..., 0] + across * widths / 2, lines[..., 1], np.maximum(widths / 7, 1), bark)

    # Tufts of leaves around the ends of the branches, in depth too; each tuft is a ball that is lit as one.
    ends = lines[:, -1][widths[:, -1] < np.quantile(widths[:, -1], 0.75)]
    ends = ends[random.permutation(len(ends))[:110]]
    middle = np.array([ends[:, 0].mean(), ends[:, 1].mean()])
    half = tree.height * np.array([tree.wide, 0.36])
    tuft = np.column_stack([(ends - middle) / half, random.uniform(-0.9, 0.9, len(ends))])
    more = random.normal(0, 1, (110, 3))
    more *= (random.uniform(0.5, 0.95, 110) / np.linalg.norm(more, axis=1))[:, None]
    tuft = np.concatenate([tuft, more * np.array([1, 0.8, 1])])
    number = random.integers(len(tuft), size=tree.leaves)
    ball = random.normal(0, 1, (tree.leaves, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    radius = 0.17 * random.uniform(0.7, 1.2, len(tuft))[number] * random.uniform(0.35, 1, tree.leaves) ** 0.5
    place = tuft[number] + ball * (radius * np.where(ball[:, 1] > 0, 0.7, 1.0))[:, None]
    outside = place / np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 0.5)
    facing = 0.62 * (ball @ light) + 0.5 * (outside @ light) - 0.25 * (place[:, 1] > 0.3)
    shade = np.clip(0.42 + 0.5 * facing + random.normal(0, 0.13, tree.leaves), 0, 1)
    tint = np.clip(random.normal(0.5, 0.25, len(tuft))[number], 0, 1)
    color = mix(tree.dark, tree.bright, shade**1.3)
    color = color * mix(np.array([0.9, 1.0, 1.05]), np.array([1.2, 1.0, 0.75]), tint)
    color = color * (0.55 + 0.45 * smoothstep(-0.9, 0.3, place[:, 2]))[:, None]
    if haze is not None:
        color = mix(color, haze, np.full(len(color), 0.35))
    order = np.argsort(place[:, 2] + random.normal(0, 0.08, tree.leaves))
    x, y = middle[0] + place[:, 0] * half[0], middle[1] + place[:, 1] * half[1]
    turn = random.uniform(0, np.pi, tree.leaves)
    size = tree.leaf * random.uniform(0.6, 1.2, tree.leaves)
    stretch = np.stack([np.cos(turn), np.sin(turn)], axis=-1) * (1.7 * size)[:, None]
    dabs(image, x[order], y[order], size[order], color[order], stretch[order])


def grass(image: Array, x: Array, y: Array, length: Array, seed: int, light: Array) -> None:
    """Draw blades that stand at ``x``, ``y``, ``length`` pixels tall, each (N,), lit by ``light`` (N,)."""
    random = np.random.default_rng(seed)
    order = np.argsort(y)
    x, y, length, light = x[order], y[order], length[order], light[order]
    steps = np.linspace(0, 1, 4)
    lean = random.normal(0.15, 0.35, len(x)) * length
    px = x[:, None] + lean[:, None] * steps**2
    py = y[:, None] - length[:, None] * steps * (1 - 0.2 * steps)
    patch = fbm(x / 160, y / 60, seed, 3)
    tone = np.clip(0.45 + 0.6 * patch + random.normal(0, 0.2, len(x)), 0, 1)
    root = mix(rgb("1f3312"), rgb("3d5520"), tone)
    tip = mix(rgb("6f8f2e"), rgb("c2bf5a"), np.clip(tone + random.normal(0, 0.15, len(x)), 0, 1))
    color = root[:, None] + (tip - root)[:, None] * steps[:, None] ** 0.8
    width = np.maximum(length * 0.055, 0.9)[:, None] * np.linspace(1.2, 0.5, 4)
    for part in np.array_split(np.arange(len(x)), max(1, len(x) // 6000)):
        strokes(image, px[part], py[part], width[part], color[part] * light[part, None, None])


def flowers(image: Array, x: Array, y: Array, size: Array, color: Array, seed: int) -> None:
    """Draw flowers of five petals at ``x``, ``y`` with the radius ``size``, each (N,), ``color`` (N, 3)."""
    random = np.random.default_rng(seed)
    petal = random.uniform(0, 2 * np.pi, len(x))[:, None] + np.arange(5) * 2 * np.pi / 5
    dx, dy = np.cos(petal) * size[:, None] * 0.6, np.sin(petal) * size[:, None] * 0.45
    tone = (1 + 0.35 * -np.sin(petal) + random.normal(0, 0.1, petal.shape))[..., None] * color[:, None]
    half = np.repeat(size * 0.42, 5)
    stretch = np.stack([dx.ravel(), dy.ravel()], axis=-1) * 0.9
    dabs(image, (x[:, None] + dx).ravel(), (y[:, None] + dy).ravel(), half, tone.reshape(-1, 3), stretch)
    dabs(image, x, y, np.maximum(size * 0.22, 0.6), np.broadcast_to(rgb("d8a01e"), (len(x), 3)))
