"""The pictures of one ``impasto stylize`` and the files of their results."""

from __future__ import annotations

import glob
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli.console import SOME_FAILED, fail
from impasto.errors import ImpastoError, Interrupted, UsageError
from impasto.images import PICTURE_SUFFIXES, result_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from impasto.cli.provenance import Source

_LISTED = 10
"""Number of names that a message lists."""
_PLACEHOLDER = re.compile(r"\{(stem|suffix|folder|style)\}")


def expand(arguments: Sequence[str], on_note: Callable[[str], None]) -> list[str]:
    """Replace folders and patterns by their picture files. A file that is named twice is returned once.

    Raises:
        UsageError: there are no pictures.
    """
    sources: list[str] = []
    for argument in arguments:
        # pathlib raises errors for names that are too long
        if os.path.isdir(argument):  # noqa: PTH112
            sources += _pictures_in(Path(argument), on_note)
        elif glob.has_magic(argument) and not os.path.lexists(argument):
            matches = glob.glob(argument, recursive=True)  # noqa: PTH207 - the pattern may be absolute
            found = sorted(match for match in matches if not os.path.isdir(match))  # noqa: PTH112
            if not found:
                raise UsageError(f"no file matches {argument!r}")
            sources += found
        else:
            sources.append(argument)
    if not sources:
        raise UsageError("no content image is given; name a file, a folder, a pattern, or '-' for stdin")
    return list(dict.fromkeys(sources))


def _pictures_in(folder: Path, on_note: Callable[[str], None]) -> list[str]:
    # Hidden files are left out: macOS puts files such as ._photo.jpg, which are not pictures, beside pictures.
    files = sorted(file for file in folder.iterdir() if not file.name.startswith(".") and not file.is_dir())
    found = [str(file) for file in files if file.suffix.lower() in PICTURE_SUFFIXES]
    if not found:
        raise UsageError(f"folder {folder} holds no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
    if skipped := [file.name for file in files if file.suffix.lower() not in PICTURE_SUFFIXES]:
        on_note(f"{len(skipped)} files in {folder} are not pictures that can be read: {listed(skipped)}")
    return found


def pair_outputs(sources: list[Source], output: str, styles: Sequence[Source]) -> list[tuple[Source, Path | None]]:
    """Return each content image with the path of its result; None is stdout.

    Raises:
        UsageError: ``output`` cannot hold all results, or two would have the same name.
    """
    if output == "-":
        if len(sources) > 1:
            raise UsageError(f"stdout takes one picture and {len(sources)} are given; name a folder with -o")
        return [(sources[0], None)]
    style = "+".join(Path(each.name).stem for each in styles) or "styled"
    pairs: list[tuple[Source, Path | None]] = []
    taken: dict[Path, Source] = {}
    for source in sources:
        place = _placed(output, source, style)
        folder = ends_as_folder(place) or Path(place).is_dir()
        if folder and source.path is None:
            raise UsageError("a picture from stdin has no name; give its result one with -o FILE")
        if not folder and not _PLACEHOLDER.search(output) and len(sources) > 1:
            raise UsageError(
                f"{len(sources)} pictures need a folder for their results, such as painted/, or {{stem}} in their "
                f"name; {output!r} is neither"
            )
        target = Path(place, result_name(Path(source.name).name)) if folder else Path(place)
        if (other := taken.setdefault(target, source)) is not source:
            raise UsageError(
                f"{other.where} and {source.where} would both become {target}; tell them apart in -o with {{suffix}} "
                "or {folder}, as in 'painted/{folder}/{stem}-{suffix}.png'"
            )
        pairs.append((source, target))
    return pairs


def _placed(output: str, source: Source, style: str) -> str:
    """Fill in the placeholders of ``output`` for one content image."""
    path = source.path or Path("stdin")
    folder = Path(*(part for part in path.parent.parts if part not in (path.anchor, os.pardir)))
    values = {"stem": path.stem, "suffix": path.suffix[1:], "folder": str(folder), "style": style}
    return _PLACEHOLDER.sub(lambda found: values[found[1]], output)


def ends_as_folder(output: str) -> bool:
    """Return whether ``output`` is written like a folder, with a slash at the end."""
    return output.endswith(("/", os.sep))


def listed(names: Sequence[str]) -> str:
    """Join ``names``. After the first ten, only the number of the others is given."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


class Failures:
    """The pictures of a batch that failed. A failure does not stop the others."""

    def __init__(self, total: int) -> None:
        """Begin a batch of ``total`` pictures. If there is only one, its error is raised and not reported."""
        self._total = total
        self._names: list[str] = []

    @contextmanager
    def of(self, source: Source) -> Iterator[None]:
        """Report an error of this block as one of ``source``, and go on."""
        try:
            yield
        except (Interrupted, BrokenPipeError):
            raise
        except (ImpastoError, OSError, MemoryError) as error:
            if self._total == 1:
                raise
            self.add(source, error)

    def checked(
        self, pairs: Sequence[tuple[Source, Path | None]], check: Callable[[Source, Path | None], None]
    ) -> list[tuple[Source, Path | None]]:
        """Return the ``pairs`` that ``check`` accepts, and report the others.

        Raises:
            ImpastoError: every picture is refused for the same reason.
        """
        good, refused = [], []
        for source, target in pairs:
            try:
                check(source, target)
            except ImpastoError as error:
                refused.append((source, error))
            else:
                good.append((source, target))
        if not good and len({str(error) for _, error in refused}) == 1:
            raise refused[0][1]
        for source, reason in refused:
            self.add(source, reason)
        return good

    def add(self, source: Source, error: BaseException) -> None:
        """Report that ``source`` failed with ``error``."""
        self._names.append(source.where)
        text = str(error) or "the memory does not suffice"
        fail(text if source.where in text else f"{source.where}: {text}", 1)

    def exit_code(self) -> int:
        """Report how many pictures failed, if any, and return the exit code of the command."""
        failed = len(self._names)
        if not failed:
            return 0
        code = SOME_FAILED if failed < self._total else 1
        return fail(f"{failed} of {self._total} pictures failed: {listed(self._names)}", code)
