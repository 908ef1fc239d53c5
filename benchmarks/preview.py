"""Whether a small run predicts a large one: how far the large result, reduced, is from the small one.

    python benchmarks/preview.py --photos FOLDER --styles FOLDER [--pairs 10] [--large 4096] [--engine nnst,fast,gatys]

The distance is like LPIPS with equal weights (Zhang et al. 2018): features of VGG19, each position scaled to length 1,
mean squared differences, summed over channels, averaged over positions and layers. Ways of painting:

nnst: 512 against 4096 pixels, or what --large says.
fast: the same, with the statistics of the whole picture for every tile, as impasto paints.
fast, strokes in pixels: as frames of films are painted.
fast, tiles: the same network, where each tile of 512x768 has the statistics of its own.
gatys: 192 against 768 pixels, coarse to fine, with losses relative to the picture, as impasto paints.
gatys, one scale: the same losses and number of steps, from the content at the final size.
"""

from __future__ import annotations

import argparse
import statistics
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from impasto.descriptors.catalog import load_descriptor_of
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.catalog import OPTIONS, create_engine, parse_options
from impasto.engines.fast import FastEngine
from impasto.engines.feedforward import THUMBNAIL
from impasto.images import LazyPicture, read_picture, resize_picture
from impasto.optimization.tensors import to_tensor
from impasto.options import DescentOptions, FastOptions
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from impasto.descriptors import Descriptor

LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
SMALL = 512
SMALL_RUN, LARGE_RUN = 192, 768
TILE = (512, 768)


@torch.no_grad()
def distance(network: Descriptor, one: Picture, other: Picture) -> float:
    """How differently two pictures of one size look to ``network``."""
    seen = [network.forward(to_tensor(picture.pixels, torch.device("cpu")), LAYERS) for picture in (one, other)]
    parts = []
    for layer in LAYERS:
        first, second = (torch.nn.functional.normalize(each[layer], dim=1) for each in seen)
        parts.append(float((first - second).square().sum(1).mean()))
    return statistics.mean(parts)


def sized(picture: Picture, long_side: int) -> Picture:
    """Scale ``picture``."""
    factor = long_side / max(picture.width, picture.height)
    return resize_picture(picture, round(picture.width * factor), round(picture.height * factor))


def painted(content: Picture, style: Picture, engine: str, **options: object) -> Picture:
    """Paint ``content`` as it is."""
    painter = create_engine(engine, parse_options(engine, options, OPTIONS))
    return painter.stylize(StylizeInputs(LazyPicture.of(content), (Style(style),)), on_step=lambda step: None)


def in_one_pass(content: Picture, style: Picture) -> Picture:
    """Paint in one pass, with strokes of a size in pixels."""
    inputs = StylizeInputs(LazyPicture.of(content), (Style(style),))
    thumbnail = inputs.content.thumbnail(THUMBNAIL)
    painter = FastEngine(FastOptions())._painter(inputs, thumbnail)
    return Picture(painter(thumbnail)(content.pixels, 0, 0))


def painted_in_tiles(content: Picture, style: Picture) -> Picture:
    """Paint each tile as a picture of its own."""
    result = np.empty_like(content.pixels)
    edges = [[*range(0, side, tile), side] for side, tile in zip(content.pixels.shape[:2], TILE, strict=True)]
    for top, bottom in pairwise(edges[0]):
        for left, right in pairwise(edges[1]):
            part = Picture(np.ascontiguousarray(content.pixels[top:bottom, left:right]))
            result[top:bottom, left:right] = painted(part, style, "fast").pixels
    return Picture(result)


def neighbors(content: Picture, style: Picture, large: int) -> Iterator[tuple[str, Picture, Picture]]:
    """Name the ways of `nnst`, with small and large results."""
    small = painted(sized(content, SMALL), style, "nnst")
    yield "nnst", small, painted(sized(content, large), style, "nnst", size=large)


def feedforward(content: Picture, style: Picture, large: int) -> Iterator[tuple[str, Picture, Picture]]:
    """Name the ways of `fast`, with small and large results."""
    small, enlarged = painted(sized(content, SMALL), style, "fast"), sized(content, large)
    yield "fast", small, painted(enlarged, style, "fast")
    yield "fast, strokes in pixels", small, in_one_pass(enlarged, style)
    yield "fast, tiles", small, painted_in_tiles(enlarged, style)


def gatys(content: Picture, style: Picture, large: int) -> Iterator[tuple[str, Picture, Picture]]:
    """Name the ways of `gatys`, with small and large results, whose size is always the same."""
    del large
    for name, scales in (("gatys", 0), ("gatys, one scale", 1)):
        how = {"descriptor": "compact", "scales": scales, "steps": 60}
        small, enlarged = (painted(sized(content, side), style, "gatys", **how) for side in (SMALL_RUN, LARGE_RUN))
        yield name, small, enlarged


WAYS = {"nnst": neighbors, "fast": feedforward, "gatys": gatys}


def measure(network: Descriptor, content: Picture, style: Picture, large: int, engines: list[str]) -> dict[str, float]:
    """Return the distances of all ways of painting."""
    return {
        name: distance(network, small, resize_picture(enlarged, small.width, small.height))
        for engine in engines
        for name, small, enlarged in WAYS[engine](content, style, large)
    }


def main() -> None:
    """Measure pairs, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--styles", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--large", type=int, default=4096, help="long side of the large picture, in pixels")
    parser.add_argument("--engine", default=",".join(WAYS), help="of these, with commas between")
    arguments = parser.parse_args()
    network = load_descriptor_of(DescentOptions.parse({"precision": "float32"}))
    photos, styles = (sorted(folder.glob("*.jpg")) for folder in (arguments.photos, arguments.styles))
    rows = []
    for index in range(arguments.pairs):
        photo, style = photos[index * len(photos) // arguments.pairs], styles[index * len(styles) // arguments.pairs]
        rows.append(
            measure(network, read_picture(photo), read_picture(style), arguments.large, arguments.engine.split(","))
        )
        if index == 0:
            print(f"| | {' | '.join(rows[0])} |\n|{'---|' * (1 + len(rows[0]))}")
        print(
            f"| {photo.stem}, {style.stem} | {' | '.join(f'{value:.4f}' for value in rows[-1].values())} |", flush=True
        )
    means = {name: statistics.mean(row[name] for row in rows) for name in rows[0]}
    print(f"| mean | {' | '.join(f'{value:.4f}' for value in means.values())} |")


if __name__ == "__main__":
    main()
