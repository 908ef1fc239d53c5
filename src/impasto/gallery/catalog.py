"""Catalog of styles by name, the bundled ones and the user's own, and styles given as a name, a file or a picture."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from impasto.errors import FileWriteError, StyleError, UnknownNameError, UsageError
from impasto.folders import user_folder
from impasto.gallery.style_file import SUFFIX, GalleryStyle, read_style_file, write_style_file
from impasto.images import PICTURE_SUFFIXES, PictureSource, as_picture

if TYPE_CHECKING:
    from impasto.types import Picture

BUNDLED = Path(str(files("impasto.bundled") / "styles"))
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

StyleSource: TypeAlias = "PictureSource | GalleryStyle"


class StyleCatalog:
    """The bundled styles and those in one folder, which take precedence over bundled ones of the same name.

    Attributes:
        folder: the folder of the user's own styles: ``IMPASTO_STYLES_DIR``, or one in the user's data folder.
    """

    def __init__(self) -> None:
        """Choose the folder, which need not exist."""
        chosen = os.environ.get("IMPASTO_STYLES_DIR")
        self.folder = Path(chosen) if chosen else user_folder("data") / "styles"

    def paths(self) -> dict[str, Path]:
        """Return the files of all styles by name, in the order of the names."""
        found = {path.stem: path for folder in (BUNDLED, self.folder) for path in folder.glob(f"*{SUFFIX}")}
        return dict(sorted(found.items()))

    def get(self, name: str) -> GalleryStyle:
        """Read the style ``name``.

        Raises:
            UnknownNameError: there is no style of that name.
            StyleError: its file is damaged.
        """
        return replace(read_style_file(self.path(name)), name=name)  # files may have been renamed

    def readable(self) -> list[GalleryStyle]:
        """Return all styles whose files can be read, sorted by look and name; damaged ones are skipped."""
        found = []
        for name in self.paths():
            with suppress(StyleError):
                found.append(self.get(name))
        return sorted(found, key=lambda style: style.place)

    def add(self, style: GalleryStyle) -> Path:
        """Write ``style`` to the folder, replacing any other of the same name, and return its file.

        Raises:
            UsageError: the name is not valid as a file name.
            FileWriteError: the folder cannot be written.
        """
        path = self.folder / f"{check_name(style.name)}{SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise FileWriteError(f"cannot make {self.folder}: {reason}; set IMPASTO_STYLES_DIR") from error
        write_style_file(style, path)
        return path

    def remove(self, name: str) -> None:
        """Delete the user's own style ``name``.

        Raises:
            UnknownNameError: there is no style of that name.
            UsageError: it is a bundled style.
        """
        path = self.path(name)
        if path.parent == BUNDLED:
            raise UsageError(f"style {name!r} is part of impasto and stays; only your own can be removed")
        path.unlink()

    def path(self, name: str) -> Path:
        """Return the file of the style ``name``.

        Raises:
            UnknownNameError: there is no style of that name.
        """
        if Path(name).name == name:
            for folder in (self.folder, BUNDLED):
                path = folder / f"{name}{SUFFIX}"
                if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises OSError if the name is too long
                    return path
        raise UnknownNameError("style", name, self.paths())


def check_name(name: str) -> str:
    """Return ``name`` if it is valid for a style.

    Raises:
        UsageError: the name is not valid.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"style name is {name!r}; use small letters, digits and hyphens, like great-wave")
    return name


def name_from(path: Path) -> str:
    """Derive the name of a style from that of a file: ``The Great Wave (1831).jpg`` becomes ``the-great-wave-1831``.

    Raises:
        UsageError: no usable character is left.
    """
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    if not name:
        raise UsageError(f"{path.name} has no letters to name a style by; choose a name")
    return name


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
