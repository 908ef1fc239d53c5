"""Atomic writing of files and folders: as a whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from impasto.errors import FileWriteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LONGEST_NAME = 255
"""Bytes of a file name that common file systems hold."""


def check_folder(path: Path) -> None:
    """Refuse a path whose folder does not exist or cannot be written, or that is a folder itself.

    Raises:
        FileWriteError: the folder does not exist or cannot be written, or the path is a folder.
    """
    if path.is_dir():
        raise FileWriteError(f"cannot write {path}: it is a folder; add a file name")
    if not path.parent.is_dir():
        raise FileWriteError(f"cannot write {path}: folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise FileWriteError(f"cannot write {path}: folder {path.parent} is read-only for this user")


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse outputs that would replace one of the inputs, by its own name or through a link.

    Raises:
        UsageError: an output is the same file as an input.
    """
    read = {identity: path for path in inputs if (identity := _identity(path))}
    for path in outputs:
        if (identity := _identity(path)) and identity in read:
            raise UsageError(
                f"{path} would be replaced, and it is read as an input"
                f"{'' if read[identity] == path else f', {read[identity]}'}; choose another name for the result"
            )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the file that ``path`` leads to; None if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return found.st_dev, found.st_ino


def shown(path: str | Path) -> str:
    """Return the name of a file as text: bytes in it that are not text become question marks."""
    return os.fsencode(Path(path).name).decode("utf-8", "replace")


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file beside ``path``, called like it with ``suffix`` appended.

    A name that would be too long for the file system is shortened, and a digest keeps it unique.
    """
    name = os.fsencode(path.name)
    spare = _LONGEST_NAME - len(os.fsencode(suffix))
    if len(name) > spare:
        digest = hashlib.sha256(name).hexdigest()[:16]
        # Characters may take several bytes, of which none may be cut.
        name = os.fsencode(name[: spare - len(digest) - 1].decode("utf-8", "ignore") + f"-{digest}")
    return path.with_name(os.fsdecode(name) + suffix)


@contextmanager
def folder_made(folder: Path) -> Iterator[None]:
    """Make ``folder`` with its parents for the files of this block; what is empty at the end is removed again.

    Raises:
        FileWriteError: it cannot be made.
    """
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        folder.mkdir(parents=True, exist_ok=True)  # another run may be making it, too
    except OSError as error:
        raise FileWriteError(f"cannot make the folder {folder}: {_reason(error)}") from error
    try:
        yield
    finally:
        for made in missing:
            with suppress(OSError):  # it holds files
                made.rmdir()


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

    A file that is replaced leaves its permissions, and its owner where that is possible, to the new one.

    Raises:
        FileWriteError: the folder is missing, or the file cannot be written.
    """
    check_folder(path)
    target = Path(os.path.realpath(path))  # a link stays a link; its target is replaced
    temporary = target.with_name(f".impasto-{uuid4().hex}.part")
    try:
        try:
            replaced = target.stat() if target.exists() else None
            # Until it has the permissions of the file that it replaces, nobody else may read it.
            temporary.touch(0o600 if replaced else 0o666, exist_ok=False)
            yield temporary
            with temporary.open("r+b") as file:  # Windows syncs only what may be written
                os.fsync(file.fileno())
            if replaced:
                _like(temporary, replaced)
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
        temporary = folder.with_name(f".impasto-{uuid4().hex}.part")
        temporary.mkdir()
        try:
            yield temporary
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if not folder.is_dir():
            raise _refused(folder, error) from error


def _like(path: Path, replaced: os.stat_result) -> None:
    """Give ``path`` the owner and the permissions of the file that it replaces."""
    if hasattr(os, "chown"):
        with suppress(OSError):  # only an administrator may give files away
            os.chown(path, replaced.st_uid, replaced.st_gid)
    with suppress(OSError):  # some file systems have no permissions, and a finished picture must not be lost for them
        path.chmod(stat.S_IMODE(replaced.st_mode))


def _refused(path: Path, error: OSError) -> FileWriteError:
    return FileWriteError(f"cannot write {path}: {_reason(error)}; free space or choose another folder")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
