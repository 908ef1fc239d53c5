"""Draw the example pictures, contents and styles: ``python examples/draw_pictures.py``."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from drawing import bouquet, breakers, garden, glass, harbour, park, portrait, shapes, still_life, swirls, town
from drawing.canvas import save

if TYPE_CHECKING:
    from collections.abc import Callable

    from drawing.noise import Array

PICTURES: dict[str, tuple[Callable[[], Array], int]] = {
    "portrait.jpg": (portrait.draw, 90),
    "garden.jpg": (garden.draw, 80),
    "still-life.jpg": (still_life.draw, 90),
    "harbour.jpg": (harbour.draw, 88),
    "swirls.jpg": (swirls.draw, 88),
    "glass.jpg": (glass.draw, 88),
    "town.jpg": (town.draw, 88),
    "park.jpg": (park.draw, 84),
    "bouquet.jpg": (bouquet.draw, 88),
    "breakers.jpg": (breakers.draw, 88),
    "shapes.jpg": (shapes.draw, 86),
}
"""File name -> what draws it, and its JPEG quality; the slowest first, so that two cores end together.

``harbour`` and ``still-life`` are content images of the documents and tests, ``swirls`` and ``glass`` style images.
``garden`` (a house, a meadow and a lake below mountains), ``portrait`` (a woman with a scarf) and ``town`` (a canal in
the evening) show what users' photographs show; ``park`` (people under trees), ``bouquet`` (flowers), ``breakers`` (a
wave) and ``shapes`` (an abstract composition) show what paintings show. Painted in the styles of the gallery, all but
``swirls`` and ``glass`` are its pictures.
"""


def draw(name: str, folder: Path) -> str:
    """Draw one picture into ``folder`` and return a line about it."""
    started = time.perf_counter()
    painter, quality = PICTURES[name]
    path = folder / name
    save(painter(), path, quality)
    return f"{name}: {path.stat().st_size / 1000:.0f} kB in {time.perf_counter() - started:.0f} s"


def main() -> None:
    """Draw all pictures into ``pictures/`` beside this file, two at a time."""
    folder = Path(__file__).resolve().parent / "pictures"
    folder.mkdir(exist_ok=True)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for line in pool.map(draw, PICTURES, [folder] * len(PICTURES)):
            print(line)


if __name__ == "__main__":
    main()
