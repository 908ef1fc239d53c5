"""Opening of film files through FFmpeg's libraries."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from impasto.errors import FileWriteError, ImageReadError, needs_extra

with needs_extra("a film", "film"):
    import av

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAILURES = (av.FFmpegError, OSError)
"""Errors that FFmpeg's libraries raise for files."""


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Open the film ``path`` for reading.

    Raises:
        ImageReadError: the file is missing or not a film.
    """
    try:
        with av.open(_url(path), metadata_errors="replace") as container:
            yield container
    except FAILURES as error:
        raise ImageReadError(f"{path} cannot be read as a film: {_reason(error)}") from error


@contextmanager
def writing(path: Path, form: str, options: dict[str, str] | None = None) -> Iterator[Any]:
    """Open the film ``path`` for writing in the container ``form``, with ``options`` of the container.

    Raises:
        FileWriteError: the codec fails, or the disk is full or read-only.
    """
    try:
        with av.open(_url(path), "w", format=form, options=options) as container:
            yield container
    except FAILURES as error:
        raise FileWriteError(
            f"the film cannot be written: {_reason(error)}; free space, or try another container"
        ) from error


def packets(container: Any, *streams: Any) -> Iterator[Any]:
    """Yield the packets of ``streams``, or of all streams, up to the end of the file or the first unreadable packet.

    At the end, each stream has an empty packet, for which its decoder returns the frames that it still holds.
    """
    try:
        yield from container.demux(*streams)
    except FAILURES:
        for stream in streams or container.streams:
            empty = av.Packet()
            empty.stream = stream
            yield empty


def _url(path: Path) -> str:
    return f"file:{path}"  # otherwise the part before a colon would be taken for a protocol


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
