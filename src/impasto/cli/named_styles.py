"""Styles as the command line names them: ``STYLE`` or ``STYLE:WEIGHT``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli.batch import expand
from impasto.engines.base import Style
from impasto.errors import UsageError
from impasto.gallery import as_style_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def read_style(text: str) -> Style:
    """Read ``STYLE`` or ``STYLE:WEIGHT``, where STYLE is a picture, a .style file, or a name in the gallery."""
    name, weight = split_weight(text)
    return Style(as_style_source(name), weight)


def expand_styles(texts: Iterable[str], on_note: Callable[[str], None]) -> Iterator[tuple[str, float]]:
    """Split each ``STYLE`` or ``STYLE:WEIGHT``. A folder stands for all pictures in it, which share its weight.

    Raises:
        UsageError: a folder holds no pictures.
    """
    for text in texts:
        name, weight = split_weight(text)
        # pathlib raises errors for names that are too long
        pictures = expand([name], on_note) if os.path.isdir(name) else [name]  # noqa: PTH112
        for picture in pictures:
            yield picture, weight / len(pictures)


def split_weight(text: str) -> tuple[str, float]:
    """Split ``NAME:WEIGHT`` into name and weight; the weight is 1 if there is none."""
    name, colon, number = text.rpartition(":")
    if colon and not os.path.exists(text):  # noqa: PTH110 - pathlib raises errors for names that are too long
        try:
            return name, float(number)
        except ValueError:
            if Path(name).is_file():
                raise UsageError(f"style weight is {number!r}; it must be a positive number, like {name}:0.5") from None
    return text, 1.0  # no colon, or one in a file name or after a drive letter
