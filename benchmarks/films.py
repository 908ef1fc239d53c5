"""Films: flicker of single frames, of shots and of steady shots, and frames per second.

``python benchmarks/films.py``; films are made of the example pictures, so that their motion is known exactly.
"""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from impasto.engines.base import Style, StylizeInputs
from impasto.engines.fast import FastEngine
from impasto.films.motion import Steady
from impasto.gallery import as_style_source
from impasto.images import LazyPicture, read_picture, resize_picture
from impasto.options import FastOptions
from impasto.types import Picture

if TYPE_CHECKING:
    from impasto.types import FloatArray

Counts = npt.NDArray[np.bool_] | None
"""Which pixels of a frame are compared; None for all."""
PICTURES = Path(__file__).parent.parent / "examples" / "pictures"
WIDTH, HEIGHT, FRAMES = 640, 360, 24
STYLES = ("great-wave", "starry-night", "the-scream")
ABOUT = 100
"""Pixels around what moves that are not counted: the network sees it from there."""


def scene(name: str, factor: int = 1) -> FloatArray:
    """Read an example picture, so many times as large as a frame."""
    return resize_picture(read_picture(PICTURES / name), factor * WIDTH, factor * HEIGHT).pixels


def pan() -> list[tuple[FloatArray, Counts]]:
    """Move over a picture by two pixels to the right and one down in each frame."""
    whole = scene("harbour.jpg", 2)
    return [(grainy(whole[n : n + HEIGHT, 2 * n : 2 * n + WIDTH], n), None) for n in range(FRAMES)]


def passer() -> list[tuple[FloatArray, Counts]]:
    """Let something pass before a picture that stays; what is around it does not count."""
    behind, before = scene("harbour.jpg"), scene("still-life.jpg")[:, 200:360]
    frames: list[tuple[FloatArray, Counts]] = []
    for n in range(FRAMES):
        left = -160 + n * (WIDTH + 160) // FRAMES
        begin, end = max(0, left), min(WIDTH, left + 160)
        frame, counts = behind.copy(), np.ones((HEIGHT, WIDTH), bool)
        if begin < end:
            frame[:, begin:end] = before[:, begin - left : end - left]
            counts[:, max(0, begin - ABOUT) : end + ABOUT] = False
        frames.append((grainy(frame, n), counts))
    return frames


def grainy(frame: FloatArray, seed: int) -> FloatArray:
    """Add what a camera's sensor adds."""
    noise = np.random.default_rng(seed).normal(0, 0.01, frame.shape)
    return np.clip(frame + noise, 0, 1).astype(np.float32)


def warping_error(frames: list[FloatArray], counted: list[Counts], move: tuple[int, int]) -> float:
    """Return the mean difference of each frame from the one before, moved as the camera moved."""
    down, right = move
    errors = []
    for (a, seen), (b, also) in pairwise(zip(frames, counted, strict=True)):
        difference = np.abs(a[down:, right:] - b[: HEIGHT - down, : WIDTH - right]).mean(2)
        errors.append(difference.mean() if seen is None or also is None else difference[seen & also].mean())
    return float(np.mean(errors))


def main() -> None:
    """Print the table."""
    engine = FastEngine(FastOptions())
    print(
        "| film | style | as filmed | single frames | shot | steady | steady / single |\n|---|---|---|---|---|---|---|"
    )
    seconds = []
    for title, film, move in (("pan", pan(), (1, 2)), ("passer-by", passer(), (0, 0))):
        given, counted = [frame for frame, _ in film], [counts for _, counts in film]
        for name in STYLES:
            style = (Style(as_style_source(name)),)

            def strips(like: FloatArray, frame: FloatArray, style: tuple[Style, ...] = style) -> FloatArray:
                shot = engine.shot(StylizeInputs(LazyPicture.of(Picture(like)), style), print)
                return np.concatenate([strip.pixels for strip in shot(LazyPicture.of(Picture(frame)))])

            single = [strips(frame, frame) for frame in given]
            shot = engine.shot(StylizeInputs(LazyPicture.of(Picture(given[0])), style), print)
            steady, together, calm = Steady(0.7), [], []
            for frame in given:
                started = time.monotonic()
                together.append(np.concatenate([strip.pixels for strip in shot(LazyPicture.of(Picture(frame)))]))
                calm.append(steady.mix(frame, together[-1]))
                seconds.append(time.monotonic() - started)
            errors = [warping_error(frames, counted, move) for frames in (given, single, together, calm)]
            print(
                f"| {title} | {name} | {' | '.join(f'{each:.4f}' for each in errors)} | {errors[3] / errors[1]:.2f} |"
            )
    print(f"\nFrames of {WIDTH}x{HEIGHT} in a second: {1 / np.median(seconds):.1f} (median of {len(seconds)}).")


if __name__ == "__main__":
    main()
