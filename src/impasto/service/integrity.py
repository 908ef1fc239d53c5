"""Verification of blobs by their hashes."""

from __future__ import annotations

import hashlib
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

from impasto.errors import BlobDamagedError

if TYPE_CHECKING:
    from impasto.service.blobs import BlobStore

_BLOCK = 256 << 10
_REMEMBERED = 1000
"""Blobs whose hashes of blocks are remembered: 5 KiB for a blob of 40 MiB."""


class Blocks(NamedTuple):
    """Blocks of a blob whose content was compared with its hash."""

    size: int
    """Bytes of the blob."""
    hashes: tuple[bytes, ...]
    """Hash of each block of `_BLOCK` bytes."""


def verified(blobs: BlobStore, key: str, sha256: str) -> Blocks:
    """Compare the content of a blob with its hash.

    Raises:
        BlobDamagedError: the content has another hash.
        BlobMissingError: there is no such blob.
        StorageError: the store cannot be reached.
    """
    size, seen, hashes = blobs.size(key), hashlib.sha256(), []
    for start in range(0, size, _BLOCK):
        block = blobs.read(key, start, min(_BLOCK, size - start))
        seen.update(block)
        hashes.append(hashlib.sha256(block).digest())
    if seen.hexdigest() != sha256:
        raise _damaged()
    return Blocks(size, tuple(hashes))


class PartVerifier:
    """Verifies parts of blobs. A blob is read as a whole once, and then block by block."""

    def __init__(self, blobs: BlobStore) -> None:
        """Verify parts of ``blobs``."""
        self._blobs = blobs
        self._blocks = lru_cache(_REMEMBERED)(partial(verified, blobs))

    def size(self, key: str, sha256: str) -> int:
        """Return the size in bytes of the blob whose content has this hash.

        Raises:
            BlobDamagedError: the content has another hash, or another size than when it was verified.
            BlobMissingError: there is no such blob.
            StorageError: the store cannot be reached.
        """
        size = self._blocks(key, sha256).size
        if self._blobs.size(key) != size:
            raise _damaged()
        return size

    def verify(self, key: str, sha256: str, start: int, end: int) -> None:
        """Compare the bytes from ``start`` to ``end`` with the content that has this hash.

        Raises:
            BlobDamagedError: they differ.
            BlobMissingError: there is no such blob.
            StorageError: the store cannot be reached.
        """
        hashes = self._blocks(key, sha256).hashes
        for number in range(start // _BLOCK, -(-end // _BLOCK)):
            if hashlib.sha256(self._blobs.read(key, number * _BLOCK, _BLOCK)).digest() != hashes[number]:
                raise _damaged()


def _damaged() -> BlobDamagedError:
    return BlobDamagedError("the picture is damaged in the store; have it painted again")
