"""Styles as the command line names them: ``STYLE`` or ``STYLE:WEIGHT``."""

from __future__ import annotations

import os
from pathlib import Path

from impasto.engines.base import Style
from impasto.errors import UsageError
from impasto.gallery import as_style_source


def read_style(text: str) -> Style:
    """Read ``STYLE`` or ``STYLE:WEIGHT``, where STYLE is a picture, a .style file, or a name in the gallery."""
    name, weight = split_weight(text)
    return Style(as_style_source(name), weight)


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
