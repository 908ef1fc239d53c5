"""Blobs in a bucket of any S3-compatible store; credentials come from the usual ``AWS_*`` variables."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from impasto.errors import BlobMissingError, StorageError
from impasto.service.blobs import check_key
from impasto.service.blobs.quota import MeasuredRoom

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEASURED_EVERY = 60.0
_NOBODY = "nobody"
"""A key under which nothing is stored."""


class S3Blobs:
    """See `impasto.service.blobs.BlobStore`."""

    def __init__(self, url: str, quota: int, *, timeout: int = 20, retries: int = 3) -> None:
        """Keep up to ``quota`` bytes under ``url``, such as 's3://bucket/folder'.

        A request takes at most ``timeout`` seconds. One that fails is repeated up to ``retries`` times.
        """
        self._store = S3Store.from_url(
            url,
            client_options={"timeout": f"{timeout}s", "connect_timeout": "5s", "allow_http": True},
            retry_config={"max_retries": retries},
        )
        self._room = MeasuredRoom(quota, self._used, every=_MEASURED_EVERY)

    def put(self, key: str, data: bytes) -> None:
        """See `impasto.service.blobs.BlobStore.put`."""
        with _said(key):
            obstore.put(self._store, check_key(key), data)
        self._room.stored(len(data))

    def get(self, key: str) -> bytes:
        """See `impasto.service.blobs.BlobStore.get`."""
        with _said(key):
            return bytes(obstore.get(self._store, check_key(key)).bytes())

    def size(self, key: str) -> int:
        """See `impasto.service.blobs.BlobStore.size`."""
        with _said(key):
            return obstore.head(self._store, check_key(key))["size"]

    def read(self, key: str, start: int, length: int) -> bytes:
        """See `impasto.service.blobs.BlobStore.read`."""
        with _said(key):
            return bytes(obstore.get_range(self._store, check_key(key), start=start, length=length))

    def delete(self, *keys: str) -> None:
        """See `impasto.service.blobs.BlobStore.delete`."""
        with suppress(BlobMissingError), _said("a blob"):
            obstore.delete(self._store, [check_key(key) for key in keys])  # up to 1,000 in one request

    def entries(self) -> Iterator[tuple[str, float]]:
        """See `impasto.service.blobs.BlobStore.entries`."""
        with _said(""):
            for page in obstore.list(self._store):
                for entry in page:
                    yield entry["path"], entry["last_modified"].timestamp()

    def room(self) -> int:
        """See `impasto.service.blobs.BlobStore.room`."""
        return self._room.left()

    def check(self) -> None:
        """See `impasto.service.blobs.BlobStore.check`."""
        with suppress(BlobMissingError):
            self.size(_NOBODY)

    def _used(self) -> int:
        with _said(""):
            return sum(entry["size"] for page in obstore.list(self._store) for entry in page)


@contextmanager
def _said(key: str) -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise BlobMissingError(f"{key} was deleted, or never kept") from error
    except (BaseError, OSError) as error:
        # The message of the store may contain addresses and names of keys.
        raise StorageError(f"a request to the object store failed ({type(error).__name__}); try again later") from error
