"""The record of a painting in its result, with which ``impasto stylize --from RESULT`` paints it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, InstanceOf, TypeAdapter

from impasto.errors import UsageError
from impasto.gallery import style_path
from impasto.images import made_by
from impasto.options import UNRECORDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALPHA = "alpha"
"""Name of the mask that is not a file, but the transparency of the content."""
STDIN = "-"
STDIN_FILE = Path("/dev/stdin")
"""The file that the shell redirects into stdin, if there is one."""
_RUN = "run"
"""Key of the metadata about the pictures and the settings of the file. The engine adds the other metadata."""


@dataclass(frozen=True)
class Source:
    """A picture as it was named: ``name``, or ``name:weight``."""

    name: str
    path: Path | None
    """Path of the picture; None if it is not a file."""
    weight: float = 1.0

    @property
    def where(self) -> str:
        """The path of the picture, or its name if it is not a file."""
        return self.name if self.path is None else str(self.path)

    @cached_property
    def digest(self) -> str | None:
        """The SHA-256 of the file; None if the picture is not a file."""
        if self.path is None:
            return None
        with self.path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Provenance:
    """The pictures of a run, and the settings of its result file."""

    content: Source
    styles: tuple[Source, ...]
    masks: tuple[Source, ...]
    keep_profile: bool
    quality: int | None

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata for the result, in addition to those of the engine."""
        facts = {
            "content": _fact(self.content),
            "styles": [_fact(style) for style in self.styles],
            "masks": [_fact(mask) for mask in self.masks],
            "keep_profile": self.keep_profile,
            "quality": self.quality,
        }
        return {_RUN: json.dumps(facts)}


class _Fact(BaseModel, defer_build=True):
    name: InstanceOf[str]  # a field of type str has to be UTF-8, and a file name need not be
    sha256: str | None
    weight: float


class _Run(BaseModel, defer_build=True):
    content: _Fact | None = None
    styles: tuple[_Fact, ...] | None = None
    masks: tuple[_Fact, ...] = ()
    keep_profile: bool = True
    quality: int | None = None


_Options: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class Painted:
    """A result that is to be painted again."""

    def __init__(self, result: Path) -> None:
        """Read the record in ``result``.

        Raises:
            ImageReadError: ``result`` is not a picture.
            UsageError: ``result`` has no record.
        """
        self._result = result
        self._metadata = made_by(result)
        try:
            self.engine: str = self._metadata["engine"]
            # Pydantic's own parser refuses file names that are not UTF-8.
            recorded = _Options.validate_python(json.loads(self._metadata["options"]))
            self.options = {name: value for name, value in recorded.items() if name not in UNRECORDED}
            self._run = _Run.model_validate(json.loads(self._metadata.get(_RUN, "{}")))
        except (KeyError, ValueError, RecursionError):
            raise UsageError(
                f"{result} does not say how it was painted; it is not a result of 'impasto stylize', or was saved anew"
            ) from None

    @property
    def keep_profile(self) -> bool:
        """True if the content's profile was kept."""
        return self._run.keep_profile

    @property
    def quality(self) -> int | None:
        """Quality of the file; None for the default of the format."""
        return self._run.quality

    def content(self) -> Source:
        """Find the content image.

        Raises:
            UsageError: the picture is missing, or has changed.
        """
        if self._run.content is None:
            raise UsageError(f"{self._result} does not say which picture was painted; name the content")
        return self._found(self._run.content, "the content")

    def styles(self) -> tuple[Source, ...]:
        """Find the style images, as `content` does."""
        if self._run.styles is None:
            raise UsageError(f"{self._result} does not say in which style it was painted; name it with -s")
        return tuple(self._found(fact, "the style with -s") for fact in self._run.styles)

    def masks(self) -> tuple[Source, ...]:
        """Find the masks, as `content` does."""
        return tuple(self._found(fact, "the mask with --mask") for fact in self._run.masks)

    def changes(self, metadata: Mapping[str, str]) -> list[str]:
        """Return those of software, descriptor and network that differ between this ``metadata`` and the old result."""
        return [key for key in ("software", "descriptor", "network") if metadata.get(key) != self._metadata.get(key)]

    def _found(self, fact: _Fact, what: str) -> Source:
        name, digest, weight = fact.name, fact.sha256, fact.weight
        if digest is None and name != STDIN:
            return Source(name, None, weight)
        places = [path for path in _places(name, self._result.parent) if path.is_file()]
        for path in places:
            source = Source(name, path, weight)
            if source.digest == digest:
                return source
        if places:
            raise UsageError(
                f"{name} has changed since {self._result} was painted; name {what} to paint with it all the same"
            )
        if name == STDIN:
            raise UsageError(f"the content of {self._result} was read from stdin; name it")
        raise UsageError(f"{name} is neither here nor beside {self._result}; name {what}")


def named(text: str, weight: float = 1.0) -> Source:
    """Return the source that ``text`` names on the command line: a file, stdin, a style of the gallery, or 'alpha'."""
    if text in (STDIN, ALPHA):
        return Source(text, None, weight)
    path = style_path(text)
    # Results may be passed on, and should not reveal the folders of this machine.
    return Source(path.name if Path(text).is_absolute() else text, path, weight)


def _fact(source: Source) -> dict[str, Any]:
    return {"name": source.name, "sha256": source.digest, "weight": source.weight}


def _places(name: str, beside: Path) -> Iterable[Path]:
    yield style_path(name)
    yield beside / name
    yield beside / Path(name).name
