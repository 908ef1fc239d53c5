"""Blobs as files in one folder."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from impasto.errors import BlobMissingError, StorageError
from impasto.service.blobs import check_key
from impasto.service.blobs.quota import MeasuredRoom

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEMPORARY = ".part"
_MEASURED_EVERY = 10.0
LEFT_FREE = 1 << 30
"""Bytes of the disk that are left free for other programs."""


def make_folder(folder: Path) -> None:
    """Make a folder of the service unless it exists, and check that files can be written into it.

    Raises:
        StorageError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(
            f"the data folder {folder} cannot be used: {reason}; set IMPASTO_DATA_DIR to another"
        ) from error


class FileBlobs:
    """See `impasto.service.blobs.BlobStore`."""

    def __init__(self, folder: Path, quota: int) -> None:
        """Store up to ``quota`` bytes in ``folder``, which is created if it is missing.

        Raises:
            StorageError: files cannot be written into the folder.
        """
        self._folder = folder
        self._room = MeasuredRoom(quota, lambda: _size(folder), every=_MEASURED_EVERY)
        make_folder(folder)
        self._inode = folder.stat().st_ino

    def put(self, key: str, data: bytes) -> None:
        """See `impasto.service.blobs.BlobStore.put`."""
        self._check_folder()
        path = self._path(key)
        temporary = path.with_name(f"{path.name}.{os.getpid()}{_TEMPORARY}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                with open(temporary, "wb", opener=_private) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
            for folder in (path.parent, path.parent.parent):
                _sync(folder)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StorageError(f"a picture cannot be kept: {reason}; try again later") from error
        self._room.stored(len(data))

    def get(self, key: str) -> bytes:
        """See `impasto.service.blobs.BlobStore.get`."""
        with self._read(key):
            return self._path(key).read_bytes()

    def size(self, key: str) -> int:
        """See `impasto.service.blobs.BlobStore.size`."""
        with self._read(key):
            return self._path(key).stat().st_size

    def read(self, key: str, start: int, length: int) -> bytes:
        """See `impasto.service.blobs.BlobStore.read`."""
        with self._read(key), self._path(key).open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(length)

    def delete(self, *keys: str) -> None:
        """See `impasto.service.blobs.BlobStore.delete`."""
        self._check_folder()
        for path in map(self._path, keys):
            self._delete(path)

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if self._folder in (folder, folder.parent):  # shared folders are kept: another job may be using them
                break
            try:
                folder.rmdir()
            except OSError:  # it is not empty, or already deleted
                break

    def entries(self) -> Iterator[tuple[str, float]]:
        """See `impasto.service.blobs.BlobStore.entries`."""
        for folder, subfolders, names in os.walk(self._folder):  # skips folders that were deleted meanwhile
            subfolders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                with suppress(FileNotFoundError):  # deleted meanwhile
                    if path.suffix != _TEMPORARY:
                        yield path.relative_to(self._folder).as_posix(), path.stat().st_mtime

    def room(self) -> int:
        """See `impasto.service.blobs.BlobStore.room`."""
        self._check_folder()
        try:
            return max(0, min(self._room.left(), shutil.disk_usage(self._folder).free - LEFT_FREE))
        except OSError as error:
            raise StorageError(f"the pictures cannot be reached: {error.strerror}; try again later") from error

    def check(self) -> None:
        """See `impasto.service.blobs.BlobStore.check`."""
        self._check_folder()

    def _check_folder(self) -> None:
        """Check that the folder is still the same, because pictures put into another would not be found again.

        Raises:
            StorageError: the folder is gone.
        """
        try:
            found = self._folder.stat().st_ino
        except OSError:
            found = None
        if found != self._inode:
            raise StorageError("the folder of the pictures is gone; bring it back, or restart the service")

    @contextmanager
    def _read(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            self._check_folder()
            raise BlobMissingError(f"{key} was deleted, or never kept") from error
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StorageError(f"a picture cannot be read: {reason}; try again later") from error

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)


def _size(folder: str | Path) -> int:
    """Return the bytes of the files below ``folder``."""
    size = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:  # a folder deleted meanwhile has no size
        for entry in entries:
            with suppress(FileNotFoundError):
                size += _size(entry.path) if entry.is_dir() else entry.stat().st_size
    return size


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    """Make the directory entries of ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
