"""What every store of pictures must do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from impasto.errors import BlobMissingError, StorageError
from impasto.service.blobs.filesystem import FileBlobs


@pytest.fixture
def blobs(tmp_path):
    return FileBlobs(tmp_path / "blobs", quota=1 << 20)


def test_what_is_put_is_there(blobs):
    blobs.put("inputs/a/content", b"one")
    blobs.put("inputs/a/content", b"two")
    blobs.put("inputs/b/content", b"")
    assert blobs.get("inputs/a/content") == b"two" and blobs.get("inputs/b/content") == b""
    assert [key for key, _ in blobs.entries()] == ["inputs/a/content", "inputs/b/content"]
    assert [key for key, _ in blobs.entries("inputs/b")] == ["inputs/b/content"]


def test_what_is_deleted_is_gone(blobs):
    blobs.put("inputs/a/content", b"one")
    blobs.delete("inputs/a/content")
    blobs.delete("inputs/a/content")
    assert list(blobs.entries()) == []
    for key in ("inputs/a/content", "inputs", "nothing"):
        with pytest.raises((BlobMissingError, StorageError)):
            blobs.get(key)


@pytest.mark.parametrize(
    "key", ["../a", "/etc/passwd", "a/../b", "a//b", "", ".hidden", "a/.b", "a\0b", "ä", "a" * 256]
)
def test_keys_that_are_none(blobs, key):
    for use in (blobs.get, blobs.delete, lambda key: blobs.put(key, b"x")):
        with pytest.raises(ValueError, match="no key"):
            use(key)


def test_a_full_disk(blobs, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    blobs.put("inputs/a/content", b"before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="no space left on device; try again later"):
        blobs.put("inputs/a/content", b"after")
    assert blobs.get("inputs/a/content") == b"before"
    assert [path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == ["content"], (
        "nothing half-written"
    )


def test_room(tmp_path):
    store = FileBlobs(tmp_path / "blobs", quota=1 << 20)
    store.put("inputs/a/content", bytes(1 << 19))
    assert 0 < store.room() <= 1 << 19
    assert FileBlobs(tmp_path / "blobs", quota=1 << 18).room() == 0


def test_files_are_private(blobs, tmp_path):
    blobs.put("inputs/a/content", b"one")
    assert Path(tmp_path / "blobs/inputs/a/content").stat().st_mode & 0o077 == 0
