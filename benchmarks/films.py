"""Films: flicker and sharpness of single frames, of shots and of steady shots, and seconds for a frame.

``python benchmarks/films.py [--engine nnst]``; films are made of the example pictures, so that their motion is known
exactly.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from impasto.cli.film import STEADY
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.catalog import OPTIONS, create_engine, parse_options
from impasto.films.motion import Steady
from impasto.gallery import as_style_source
from impasto.images import LazyPicture, read_picture, resize_picture, write_picture
from impasto.types import Picture

if TYPE_CHECKING:
    from impasto.engines.base import MovedFrame, PaintFrame
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


def sharpness(frames: list[FloatArray]) -> float:
    """Return the mean difference of neighbouring pixels in the second half of the film."""
    later = frames[len(frames) // 2 :]
    return float(np.mean([np.abs(np.diff(frame, axis=axis)).mean() for frame in later for axis in (0, 1)]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", default="fast")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--pictures", type=Path, help="folder for the last frames")
    given = parser.parse_args()
    engine = create_engine(given.engine, parse_options(given.engine, {}, OPTIONS))
    print(
        "| film | style | as filmed | single frames | shot | steady | steady / single | sharpness, shot / single "
        "| steady / single |\n|---|---|---|---|---|---|---|---|---|"
    )
    seconds = []
    for title, film, move in (("pan", pan(), (1, 2)), ("passer-by", passer(), (0, 0))):
        film = film[: given.frames]
        filmed, counted = [frame for frame, _ in film], [counts for _, counts in film]
        for name in STYLES:
            style = (Style(as_style_source(name)),)

            def begun(first: FloatArray, style: tuple[Style, ...] = style) -> PaintFrame:
                return engine.shot(StylizeInputs(LazyPicture.of(Picture(first)), style), print)

            def frame(paint: PaintFrame, pixels: FloatArray, before: MovedFrame | None = None) -> FloatArray:
                return np.concatenate([strip.pixels for strip in paint(LazyPicture.of(Picture(pixels)), before)])

            single = [frame(begun(each), each) for each in filmed]
            shot, steady, together, calm = begun(filmed[0]), Steady(STEADY), [], []
            for each in filmed:
                started = time.monotonic()
                before = steady.before(each)
                together.append(frame(shot, each, before))
                calm.append(steady.mix(each, together[-1], before))
                seconds.append(time.monotonic() - started)
            errors = [warping_error(frames, counted, move) for frames in (filmed, single, together, calm)]
            clear = [sharpness(frames) for frames in (single, together, calm)]
            print(
                f"| {title} | {name} | {' | '.join(f'{each:.4f}' for each in errors)} | {errors[3] / errors[1]:.2f} "
                f"| {clear[1] / clear[0]:.2f} | {clear[2] / clear[0]:.2f} |",
                flush=True,
            )
            if given.pictures:
                given.pictures.mkdir(exist_ok=True)
                for kind, frames in (("single", single), ("shot", together), ("steady", calm)):
                    write_picture(Picture(frames[-1]), given.pictures / f"{title}-{name}-{kind}.png")
    print(f"\nSeconds for a frame of {WIDTH}x{HEIGHT}: {np.median(seconds):.2f} (median of {len(seconds)}).")


if __name__ == "__main__":
    main()
