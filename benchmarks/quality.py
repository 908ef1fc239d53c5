"""How near results are to their content and style images, on pictures that no training of this project saw.

    python benchmarks/quality.py --content photos --style paintings [--network FOLDER] [--gatys-steps 100] [--sheet PNG]

Content: mean squared difference of VGG19's relu4_2, each channel scaled to mean 0 and variance 1. Style: mean over
relu1_1 to relu5_1 of ``|G - A|^2 / |A|^2`` for the Gram matrices. 24 pairs of squares of 384 pixels, from the middle of
pictures that are kept from training by their names (`impasto.training.data.is_held_out`). 0 is the same.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import impasto
from impasto.descriptors.catalog import load_vgg
from impasto.engines.coarse_to_fine import to_tensor
from impasto.images import Cell, read_picture, resize_pixels, sheet, write_picture
from impasto.images.color import prepare_style
from impasto.losses.functional import content_distance, style_distance
from impasto.networks.arbitrary import STYLE_LAYERS
from impasto.training.data import held_out_files
from impasto.training.stylizer import CONTENT_LAYER
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.descriptors.vgg import VGG

SIDE = 384
PAIRS = 24
CPU = torch.device("cpu")


def square(path: Path) -> Picture:
    """Read the middle of a picture as a square of ``SIDE`` pixels."""
    pixels = read_picture(path).pixels
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return Picture(resize_pixels(pixels[top : top + side, left : left + side], SIDE, SIDE))


def distances(vgg: VGG, painted: Picture, content: Picture, style: Picture) -> tuple[float, float]:
    """Return the content distance and the style distance of ``painted``."""
    with torch.no_grad():
        found = vgg.forward(to_tensor(painted.pixels, CPU), [*STYLE_LAYERS, CONTENT_LAYER])
        wanted = vgg.forward(to_tensor(style.pixels, CPU), STYLE_LAYERS)
        kept = vgg.forward(to_tensor(content.pixels, CPU), [CONTENT_LAYER])[CONTENT_LAYER]
        styles = [float(style_distance(found[layer], wanted[layer])) for layer in STYLE_LAYERS]
        return float(content_distance(found[CONTENT_LAYER], kept)), statistics.mean(styles)


def main() -> None:
    """Print one table, a line for each way to paint."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--content", type=Path, action="append", required=True)
    parser.add_argument("--style", type=Path, action="append", required=True)
    parser.add_argument("--network")
    parser.add_argument("--gatys-steps", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()

    vgg = load_vgg("vgg19")
    contents, styles = (
        [square(files[index * len(files) // arguments.pairs]) for index in range(arguments.pairs)]
        for files in (held_out_files(arguments.content), held_out_files(arguments.style))
    )
    ways: dict[str, Callable[[Picture, Picture], Picture]] = {
        "the photograph, unchanged": lambda content, style: content,
        "colours matched": lambda content, style: Picture(prepare_style(content.pixels, style.pixels, "coral")),
        "fast": lambda content, style: impasto.stylize(
            content, style, engine="fast", network=arguments.network, style_margin=0.0
        ),
    }
    if arguments.gatys_steps:
        ways["gatys"] = lambda content, style: impasto.stylize(
            content, style, engine="gatys", steps=arguments.gatys_steps, style_margin=0.0, descriptor="vgg19"
        )
    rows = [[Cell(content, "content"), Cell(style, "style")] for content, style in zip(contents, styles, strict=True)]
    print("| | content, mean | style, mean | style, median | seconds each |\n|---|---|---|---|---|")
    for name, paint in ways.items():
        found, started = [], time.perf_counter()
        for row, content, style in zip(rows, contents, styles, strict=True):
            painted = paint(content, style)
            found.append((painted, content, style))
            row.append(Cell(painted, name))
        seconds = (time.perf_counter() - started) / len(found)
        measured = [distances(vgg, *each) for each in found]
        content_mean = statistics.mean(content for content, _ in measured)
        style_mean, style_median = (f([style for _, style in measured]) for f in (statistics.mean, statistics.median))
        print(f"| {name} | {content_mean:.2f} | {style_mean:.3f} | {style_median:.3f} | {seconds:.2f} |", flush=True)
    if arguments.sheet:
        write_picture(sheet(rows, title="Pictures kept from training", cell_side=256), arguments.sheet)


if __name__ == "__main__":
    main()
