"""Blobs as files of one folder."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from impasto.errors import BlobMissingError, StorageError
from impasto.service.blobs.keys import check_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TEMPORARY = ".part"
_MEASURED_EVERY = 10.0
_LEFT_FREE = 1 << 30
"""Bytes of the disk that others may need."""


class FileBlobs:
    """See `impasto.service.ports.BlobStore`."""

    def __init__(self, folder: Path, quota: int = 10 << 30) -> None:
        """Keep up to ``quota`` bytes in ``folder``, which is made if it is not there."""
        self._folder = folder
        self._quota = quota
        self._room, self._measured = 0, float("-inf")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, key: str, data: bytes) -> None:
        """See `impasto.service.ports.BlobStore.put`."""
        path = self._path(key)
        temporary = path.with_name(f"{path.name}.{os.getpid()}{_TEMPORARY}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                temporary.touch(mode=0o600)
                with temporary.open("wb") as file:
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

    def get(self, key: str) -> bytes:
        """See `impasto.service.ports.BlobStore.get`."""
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BlobMissingError(f"{key} was deleted, or never kept") from error
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StorageError(f"a picture cannot be read: {reason}; try again later") from error

    def delete(self, key: str) -> None:
        """See `impasto.service.ports.BlobStore.delete`."""
        path = self._path(key)
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._folder:
                break
            try:
                folder.rmdir()
            except OSError:  # something else is in it, or it is gone
                break

    def entries(self, prefix: str = "") -> Iterator[tuple[str, float]]:
        """See `impasto.service.ports.BlobStore.entries`."""
        for path in sorted(self._folder.rglob("*")):
            key = path.relative_to(self._folder).as_posix()
            try:
                if key.startswith(prefix) and path.is_file() and path.suffix != _TEMPORARY:
                    yield key, path.stat().st_mtime
            except FileNotFoundError:  # deleted since
                continue

    def room(self) -> int:
        """See `impasto.service.ports.BlobStore.room`."""
        if time.monotonic() - self._measured > _MEASURED_EVERY:
            try:
                used = 0
                for path in self._folder.rglob("*"):
                    with suppress(FileNotFoundError):  # deleted since
                        used += path.stat().st_size
                free = shutil.disk_usage(self._folder).free - _LEFT_FREE
            except OSError as error:
                raise StorageError(f"the pictures cannot be reached: {error.strerror}; try again later") from error
            self._room, self._measured = max(0, min(self._quota - used, free)), time.monotonic()
        return self._room

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)


def _sync(folder: Path) -> None:
    """Make names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
