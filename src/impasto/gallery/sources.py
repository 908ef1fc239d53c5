"""Styles that are given as a picture, a file or a name in the gallery."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from impasto.gallery.catalog import StyleCatalog
from impasto.gallery.style_file import SUFFIX, GalleryStyle, read_style_file
from impasto.images import PICTURE_SUFFIXES, PictureSource, as_picture

if TYPE_CHECKING:
    from impasto.types import Picture

StyleSource: TypeAlias = "PictureSource | GalleryStyle"


def as_style_source(source: StyleSource) -> Picture | GalleryStyle:
    """Return the picture or the gallery style that ``source`` stands for.

    A picture may be given in any form. A gallery style may be given as itself, its file or its name.

    Raises:
        ImageError: the picture cannot be read.
        StyleError: the style file cannot be read.
        UnknownNameError: neither a file nor a style has this name.
    """
    if isinstance(source, GalleryStyle):
        return source
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.suffix.lower() == SUFFIX:
            return read_style_file(path)
        if _is_name(source):
            return StyleCatalog().get(path.name)
    return as_picture(source)


def style_path(source: str | Path) -> Path:
    """Return the file of a style that is given by its name in the gallery; return any other ``source`` as it is."""
    path = Path(source)
    return StyleCatalog().paths().get(path.name, path) if _is_name(source) else path


def _is_name(source: str | os.PathLike[str]) -> bool:
    path = Path(source)
    there = os.path.exists(path)  # noqa: PTH110 - for pathlib, a name that is too long is an error
    return not there and path.suffix.lower() not in PICTURE_SUFFIXES and path.name == os.fspath(source)
