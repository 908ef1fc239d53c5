"""Stores for the pictures of jobs: their protocol, and the validation of keys, the same in every store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_LONGEST = 255


class BlobStore(Protocol):
    """A store for pictures. Keys are relative paths of letters, digits, '/', '-', '_' and '.'."""

    def put(self, key: str, data: bytes) -> None:
        """Store ``data`` as a whole, or not at all. It is durable when this returns.

        Raises:
            StorageError: the disk is full, or the store cannot be reached.
        """

    def get(self, key: str) -> bytes:
        """Return the data stored under ``key``.

        Raises:
            BlobMissingError: nothing was stored under ``key``, or it was deleted.
            StorageError: the store cannot be reached.
        """

    def size(self, key: str) -> int:
        """Return the number of bytes stored under ``key``.

        Raises:
            BlobMissingError: nothing was stored under ``key``, or it was deleted.
            StorageError: the store cannot be reached.
        """

    def read(self, key: str, start: int, length: int) -> bytes:
        """Return ``length`` bytes of the data stored under ``key``, from offset ``start``; fewer where the data ends.

        Raises:
            BlobMissingError: nothing was stored under ``key``, or it was deleted.
            StorageError: the store cannot be reached.
        """

    def delete(self, *keys: str) -> None:
        """Delete these blobs, as far as they exist.

        Raises:
            StorageError: the store cannot be reached. Some of them may be deleted.
        """

    def entries(self) -> Iterator[tuple[str, float]]:
        """List the keys, each with the time of its last change."""

    def room(self) -> int:
        """Return the number of bytes that can still be stored. What others have stored or deleted may be missing in
        it for a while.

        Raises:
            StorageError: the store cannot be reached.
        """

    def check(self) -> None:
        """Check that the store can be reached.

        Raises:
            StorageError: it cannot.
        """


def check_key(key: str) -> str:
    """Check that ``key`` is a valid key, and return it.

    Raises:
        ValueError: it is not valid.
    """
    if not _KEY.fullmatch(key) or len(key) > _LONGEST:
        raise ValueError(f"{key!r} is not a key of a blob")
    return key
