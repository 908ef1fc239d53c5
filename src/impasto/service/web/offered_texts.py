"""English texts that the API offers and the page translates: names of styles, engines and their options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from impasto.gallery import read_style_file
from impasto.gallery.catalog import BUNDLED
from impasto.gallery.style_file import SUFFIX
from impasto.service.web.offer_routes import engines

if TYPE_CHECKING:
    from collections.abc import Iterator

_ON_THE_PAGE = ("strength", "keep_colors", "stroke_size", "size")
"""Options for which the page has its own labels."""


def extract(*_: object, **__: object) -> Iterator[tuple[int, None, str, list[str]]]:
    """Yield the texts in the form that ``pybabel extract`` expects from an extraction method."""
    for text in _offered():
        yield 0, None, text, []


def _offered() -> Iterator[str]:
    for path in sorted(BUNDLED.glob(f"*{SUFFIX}")):
        style = read_style_file(path)
        yield from (style.title, style.artist)
    for engine in engines():
        yield engine.summary
        for name, schema in engine.options["properties"].items():
            if name not in _ON_THE_PAGE:
                yield from (name.replace("_", " "), schema["description"])
