"""What every store of pictures must do."""

from __future__ import annotations

import errno
import itertools
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import httpx
import pytest
from moto.server import ThreadedMotoServer

from impasto.errors import BlobMissingError, StorageError
from impasto.service import measured
from impasto.service.blobs.filesystem import FileBlobs
from impasto.service.blobs.quota import MeasuredRoom
from impasto.service.blobs.s3 import S3Blobs
from service.servers import wait_for


@pytest.fixture(scope="module")
def s3_server():
    """A real S3 server on loopback, which gives URLs of new buckets."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_variables(s3_server, monkeypatch):
    for name, value in (
        ("AWS_ENDPOINT_URL", s3_server),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["files", "s3"])
def blobs(request, tmp_path):
    if request.param == "files":
        return FileBlobs(tmp_path / "blobs", quota=1 << 20)
    request.getfixturevalue("s3_variables")
    bucket = f"b{secrets.token_hex(4)}"
    httpx.put(f"{os.environ['AWS_ENDPOINT_URL']}/{bucket}").raise_for_status()
    return S3Blobs(f"s3://{bucket}/folder", quota=1 << 20)


def test_what_is_put_is_there(blobs):
    blobs.put("inputs/a/content", b"one")
    blobs.put("inputs/a/content", b"two")
    blobs.put("inputs/b/content", b"")
    assert blobs.get("inputs/a/content") == b"two" and blobs.get("inputs/b/content") == b""
    assert [key for key, _ in blobs.entries()] == ["inputs/a/content", "inputs/b/content"]


def test_many_are_deleted_at_once(blobs):
    keys = [f"inputs/{number}/content" for number in range(120)]
    for key in keys:
        blobs.put(key, b"one")
    blobs.delete(*keys[1:], "inputs/nothing")
    blobs.delete()
    assert [key for key, _ in blobs.entries()] == keys[:1]


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
        with pytest.raises(ValueError, match="not a key"):
            use(key)


def test_a_full_disk(tmp_path, monkeypatch):
    blobs = FileBlobs(tmp_path / "blobs", quota=1 << 20)

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


def test_room(blobs):
    blobs.put("inputs/a/content", bytes(1 << 19))
    assert 0 < blobs.room() <= 1 << 19
    blobs.put("inputs/b/content", bytes(1 << 19))
    assert blobs.room() == 0, "although the folder is measured now and then only"


def test_only_the_first_request_waits_for_a_measurement():
    """To list a bucket of millions of pictures takes minutes."""
    began, goes_on, sizes = Event(), Event(), iter([10, StorageError("away"), 20])

    def measure():
        began.set()
        assert goes_on.wait(60)
        if isinstance(size := next(sizes), StorageError):
            raise size
        return size

    room = MeasuredRoom(100, measure, every=0.0)
    goes_on.set()
    assert room.left() == 90
    goes_on.clear()
    began.clear()
    room.stored(5)
    wait_for(lambda: room.left() == 85 and began.is_set(), what="a measurement beside")
    assert room.left() == 85
    goes_on.set()
    wait_for(lambda: room.left() == 80, what="its result, after one that failed")


def test_a_first_measurement_that_takes_long_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(measured, "_FIRST_WITHIN", 0.0)
    goes_on, sizes, begun = Event(), iter([StorageError("away"), 10]), []

    def measure():
        begun.append(1)
        assert goes_on.wait(60)
        if isinstance(size := next(sizes), StorageError):
            raise size
        return size

    room = MeasuredRoom(100, measure, every=3600.0)
    for _ in range(3):
        with pytest.raises(StorageError, match="the stored pictures are not counted yet; try again"):
            room.left()
    assert len(begun) == 1, "all wait for the same"
    goes_on.set()

    def left():
        with suppress(StorageError):
            return room.left()

    assert wait_for(left, what="another measurement, after one that failed") == 90
    assert len(begun) == 2


def test_what_is_stored_during_a_measurement_is_counted():
    def measure():
        room.stored(7)
        return 10

    room = MeasuredRoom(100, measure, every=3600.0)
    room.stored(5)
    assert room.left() == 83, "5 of the 10 bytes that were found have been counted before"


@pytest.mark.parametrize(("takes", "pause"), [(0.1, 60.0), (2.0, 100.0), (100.0, 600.0), (1500.0, 1500.0)])
def test_the_pause_between_measurements(monkeypatch, takes, pause):
    clock, count = SimpleNamespace(time=0.0), itertools.count()
    monkeypatch.setattr(measured, "time", SimpleNamespace(monotonic=lambda: clock.time))

    def measure():
        clock.time += takes
        return next(count)

    value = measured.Measured(measure, every=60.0, what="it")
    with suppress(StorageError):  # by this clock, the first measurement takes too long to wait for
        value.value()
    wait_for(value._ended.is_set, what="its end")
    clock.time += pause - 0.01
    assert value.value() == 0 and value._ended.is_set(), "no other measurement has begun"
    clock.time += 0.02
    wait_for(lambda: value.value() == 1, what="the next")


def test_others_use_the_folder_meanwhile(tmp_path):
    blobs = FileBlobs(tmp_path / "blobs", quota=1 << 20)

    def come_and_go(job):
        for _ in range(100):
            blobs.put(f"inputs/{job}/content", b"one")
            blobs.delete(f"inputs/{job}/content")

    with ThreadPoolExecutor() as pool:
        others = [pool.submit(come_and_go, job) for job in "abcd"]
        while not all(other.done() for other in others):
            assert {key for key, _ in blobs.entries()} <= {f"inputs/{job}/content" for job in "abcd"}
        assert [other.result() for other in others] == [None] * 4


def test_no_room(tmp_path):
    FileBlobs(tmp_path / "blobs", quota=1 << 20).put("inputs/a/content", bytes(1 << 19))
    assert FileBlobs(tmp_path / "blobs", quota=1 << 18).room() == 0


def test_a_store_that_is_not_there(s3_variables, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = S3Blobs("s3://bucket", quota=1, timeout=1, retries=0)
    for use in (lambda: away.put("a", b"x"), lambda: away.get("a"), lambda: away.delete("a"), away.room, away.check):
        with pytest.raises(StorageError, match="request to the object store failed"):
            use()


def test_files_are_private(tmp_path):
    FileBlobs(tmp_path / "blobs", quota=1 << 20).put("inputs/a/content", b"one")
    assert Path(tmp_path / "blobs/inputs/a/content").stat().st_mode & 0o077 == 0


def test_the_pictures_of_a_folder_that_is_gone_are_not_deleted(tmp_path):
    blobs = FileBlobs(tmp_path / "blobs", quota=1 << 20)
    blobs.put("inputs/a/content", b"one")
    (tmp_path / "blobs").rename(tmp_path / "away")
    for call in (blobs.get, blobs.size, blobs.delete):
        with pytest.raises(StorageError, match="the folder of the pictures is gone"):
            call("inputs/a/content")
    (tmp_path / "away").rename(tmp_path / "blobs")
    assert blobs.get("inputs/a/content") == b"one"
