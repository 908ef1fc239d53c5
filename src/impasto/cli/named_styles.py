"""Styles as the command line names them: ``STYLE`` or ``STYLE:WEIGHT``."""

from __future__ import annotations

from pathlib import Path

from impasto.engines.base import Style
from impasto.errors import UsageError
from impasto.gallery import as_style_source


def read_style(text: str) -> Style:
    """Read ``STYLE`` or ``STYLE:WEIGHT``, where STYLE is a picture, a .style file, or a name in the gallery."""
    name, weight = split_weight(text)
    return Style(as_style_source(name), weight)


def split_weight(text: str) -> tuple[str, float]:
    """Divide ``NAME:WEIGHT``; the weight is 1 if none is named."""
    name, colon, number = text.rpartition(":")
    if colon and not Path(text).exists():
        try:
            return name, float(number)
        except ValueError:
            if Path(name).is_file():
                raise UsageError(f"style weight is {number!r}; it must be a positive number, like {name}:0.5") from None
    return text, 1.0  # a colon in a file name, or a drive letter
