"""Writing a file as a whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from impasto.errors import ImageWriteError

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_folder(path: Path) -> None:
    """Refuse a path whose folder does not exist or that is a folder itself.

    Raises:
        ImageWriteError: one of the two.
    """
    if path.is_dir():
        raise ImageWriteError(f"cannot write {path}: it is a folder; add a file name")
    if not path.parent.is_dir():
        raise ImageWriteError(f"cannot write {path}: folder {path.parent} does not exist; create it first")


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all.

    Raises:
        ImageWriteError: the folder is missing, or the disk or its permissions refuse.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary name in the same folder to write to, and rename that in the end: no half file is ever seen.

    Raises:
        ImageWriteError: the folder is missing, or the disk or its permissions refuse.
    """
    check_folder(path)
    target = Path(os.path.realpath(path))  # a link stays a link; what it points at is replaced
    temporary = target.with_name(f".impasto-{uuid4().hex}.part")
    try:
        try:
            temporary.touch(exist_ok=False)
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ImageWriteError(f"cannot write {path}: {reason}; free space or choose another folder") from error
