"""Atomic writing of files and folders: as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from impasto.errors import FileWriteError

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_folder(path: Path) -> None:
    """Refuse a path whose folder does not exist or that is a folder itself.

    Raises:
        FileWriteError: the folder does not exist, or the path is a folder.
    """
    if path.is_dir():
        raise FileWriteError(f"cannot write {path}: it is a folder; add a file name")
    if not path.parent.is_dir():
        raise FileWriteError(f"cannot write {path}: folder {path.parent} does not exist; create it first")


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all.

    Raises:
        FileWriteError: the folder is missing, or the file cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to ``path`` at the end; no partial file is ever visible.

    Raises:
        FileWriteError: the folder is missing, or the file cannot be written.
    """
    check_folder(path)
    target = Path(os.path.realpath(path))  # a link stays a link; its target is replaced
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
        raise _refused(path, error) from error


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder``, and rename it at the end; no partial folder is ever visible.

    If another process finishes first, its folder stays.

    Raises:
        FileWriteError: the disk is full, or a permission is missing.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            yield temporary
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if not folder.is_dir():
            raise _refused(folder, error) from error


def _refused(path: Path, error: OSError) -> FileWriteError:
    reason = (error.strerror or str(error)).lower()
    return FileWriteError(f"cannot write {path}: {reason}; free space or choose another folder")
