"""How near results are to their content and style images, and how fast, on pictures that no training saw.

    python benchmarks/quality.py --content photos --style paintings [--engine fast] [--engine adain:FOLDER]
        [--engine gatys --gatys-steps 100] [--pairs 24] [--sheet PNG]

Content: mean squared difference of VGG19's relu4_2, each channel scaled to mean 0 and variance 1. Style: mean over
relu1_1 to relu5_1 of ``|G - A|^2 / |A|^2`` for the Gram matrices. 24 pairs of squares of 384 pixels, from the middle of
pictures that are kept from training by their names (`impasto.training.data.is_held_out`). 0 is the same. With a
file as --style, all pairs have this one style, for the networks that know one. The time for 1024x1024 pixels is that
of a photograph in memory, with a warm network, the median of five runs of all engines in turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from impasto.descriptors.catalog import load_vgg
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.catalog import create_engine, engine_row
from impasto.images import Cell, LazyPicture, read_picture, resize_picture, resize_pixels, sheet, write_picture
from impasto.images.color import prepare_style
from impasto.losses.functional import content_distance, style_distance
from impasto.networks.conditional import STYLE_LAYERS
from impasto.optimization.tensors import to_tensor
from impasto.training.data import held_out_files
from impasto.training.loop import STATE_FILE
from impasto.training.stylizer import CONTENT_LAYER
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.descriptors.vgg import VGG
    from impasto.engines.base import Engine

SIDE = 384
PAIRS = 24
TIMED = 1024
RUNS = 5
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


class Way:
    """One engine, with its network warm."""

    def __init__(self, text: str, gatys_steps: int) -> None:
        self.name, _, network = text.partition(":")
        row = engine_row(self.name)
        self._takes_styles = row.styles == "any"
        values: dict[str, object] = {"network": network} if network else {}
        if self._takes_styles:
            values["style_margin"] = 0.0
        if self.name == "gatys":
            values |= {"steps": gatys_steps, "descriptor": "vgg19"}
        self._engine: Engine = create_engine(self.name, row.options.parse(values))

    def __call__(self, content: Picture, style: Picture) -> Picture:
        """Paint."""
        styles = (Style(style),) if self._takes_styles else ()
        return self._engine.stylize(StylizeInputs(LazyPicture.of(content), styles), on_step=lambda step: None)

    @property
    def parameters(self) -> int | None:
        """How many numbers its checkpoint holds; None where it has no network of its own."""
        folder = getattr(self._engine.network, "folder", None)
        if folder is None:
            return None
        weights = next(path for path in folder.glob("*.safetensors") if path.name != STATE_FILE)
        with safe_open(weights, framework="np") as file:
            return sum(int(file.get_tensor(name).size) for name in file.keys())  # noqa: SIM118


def main() -> None:
    """Print one table, a line for each way to paint."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--content", type=Path, action="append", required=True)
    parser.add_argument("--style", type=Path, action="append", required=True)
    parser.add_argument("--engine", action="append")
    parser.add_argument("--gatys-steps", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()

    vgg = load_vgg("vgg19")
    contents = chosen(held_out_files(arguments.content), arguments.pairs)
    (one, *_) = arguments.style
    styles = (
        [square(one)] * arguments.pairs if one.is_file() else chosen(held_out_files(arguments.style), arguments.pairs)
    )
    engines = {text: Way(text, arguments.gatys_steps) for text in arguments.engine or ["fast"]}
    ways: dict[str, Callable[[Picture, Picture], Picture]] = {
        "the photograph, unchanged": lambda content, style: content,
        "colours matched": lambda content, style: Picture(prepare_style(content.pixels, style.pixels, "coral")),
        **engines,
    }
    pairs = list(zip(contents, styles, strict=True))
    rows = [[Cell(content, "content"), Cell(style, "style")] for content, style in pairs]
    found: dict[str, list[tuple[float, float]]] = {}
    for name, paint in ways.items():
        painted = [paint(content, style) for content, style in pairs]
        found[name] = [distances(vgg, each, *pair) for each, pair in zip(painted, pairs, strict=True)]
        for row, each in zip(rows, painted, strict=True):
            row.append(Cell(each, name.partition(":")[0]))
    seconds = timed(engines, *pairs[0])
    print("| | content, mean | style, mean | style, median | s for 1024x1024 | parameters |\n|---|---|---|---|---|---|")
    for name, measured in found.items():
        content_mean = statistics.mean(content for content, _ in measured)
        style_mean, style_median = (f([style for _, style in measured]) for f in (statistics.mean, statistics.median))
        more = f"{seconds[name]:.2f} | {engines[name].parameters or 0:,}" if name in engines else "|"
        print(f"| {name} | {content_mean:.2f} | {style_mean:.3f} | {style_median:.3f} | {more} |")
    if arguments.sheet:
        write_picture(sheet(rows, title="Pictures kept from training", cell_side=256), arguments.sheet)


def chosen(files: list[Path], count: int) -> list[Picture]:
    """Read ``count`` of the pictures, spread evenly."""
    return [square(files[index * len(files) // count]) for index in range(count)]


def timed(engines: dict[str, Way], content: Picture, style: Picture) -> dict[str, float]:
    """Return the median seconds of each engine for a large picture, all of them in turn."""
    large = resize_picture(content, TIMED, TIMED)
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for run in range(RUNS + 1):
        for name, way in engines.items():
            if way.name == "gatys" and run > 1:
                continue  # once is long enough
            started = time.perf_counter()
            way(large, style)
            if run:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
