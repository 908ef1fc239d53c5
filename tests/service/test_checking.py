"""The process that decodes pictures of strangers may freeze or die: the next picture is checked all the same."""

from __future__ import annotations

import errno
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from multiprocessing.context import SpawnProcess
from pathlib import Path

import psutil
import pytest

from impasto.errors import BusyError
from impasto.service.checking import CHILDREN, Checked, CheckLimits, PictureCheck
from lanes import slow
from service.servers import wait_for


def decoder():
    return next(each for each in psutil.Process().children() if "spawn_main" in " ".join(each.cmdline()))


@pytest.fixture
def check():
    with closing(PictureCheck(CheckLimits(bytes=1 << 20, seconds=10))) as made:
        yield made


def test_a_child_that_was_killed_is_replaced(check, photo):
    whole = check.check(photo.read_bytes())
    assert isinstance(whole, Checked)
    child = decoder()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert [check.check(photo.read_bytes()) for _ in range(CHILDREN)] == [whole] * CHILDREN
    assert child.pid not in {each.pid for each in psutil.Process().children()}


def test_a_child_that_dies_of_something_else_is_asked_once_more(check, photo):
    whole = check.check(photo.read_bytes())
    with ThreadPoolExecutor(1) as people:
        for _ in range(CHILDREN - 1):
            check.check(photo.read_bytes())
        child = decoder()
        child.suspend()
        asked = people.submit(check.check, photo.read_bytes())
        wait_for(lambda: check._idle.qsize() < CHILDREN, what="a picture that is being checked")
        child.kill()
        assert asked.result() == whole


def test_a_picture_that_kills_every_child(photo):
    with closing(PictureCheck(CheckLimits(bytes=1 << 20, seconds=10), main=dies)) as check:
        assert check.check(photo.read_bytes()).code == "decode_failed"


def dies(connection, limits):
    connection.recv()
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_busy_machine_is_not_the_fault_of_a_picture(check, photo):
    whole = check.check(photo.read_bytes())
    child = decoder()
    child.suspend()
    with ThreadPoolExecutor(CHILDREN) as people:
        ended = as_completed([people.submit(check.check, photo.read_bytes()) for _ in range(CHILDREN)])
        assert [next(ended).result() for _ in range(CHILDREN - 1)] == [whole] * (CHILDREN - 1), "the others go on"
        with pytest.raises(BusyError, match="try again"):
            next(ended).result()
    assert check.check(photo.read_bytes()) == whole


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def sends_pickles(connection, limits):
    path = Path(os.environ["WRITTEN_BY_A_PICKLE"])
    while True:
        connection.recv()
        connection.send(Evil(path))


def sends_nonsense(connection, limits):
    kinds = [
        b"",
        b"\0",
        bytes(100),
        b"\xff\xff\xff\xff{}",
        b"\0\0\0\x02{}",
        b"\0\0\0\x02[]",
        b"\0\1\0\0" + b"[" * 65536,
    ]
    fields = [{"width": 1}, {"width": "a", "height": 1, "format": "png", "bit_depth": 8, "alpha": False}]
    fields += [{"width": 1, "height": 1, "format": "../png", "bit_depth": 8, "alpha": 0}]
    kinds += [len(json.dumps(each)).to_bytes(4, "big") + json.dumps(each).encode() for each in fields]
    number = len(connection.recv()) % len(kinds)
    connection.send_bytes(kinds[number])
    connection.recv()


@pytest.mark.parametrize("main", [sends_pickles, *slow(sends_nonsense)])
def test_a_child_that_was_taken_over_can_only_say_nonsense(main, tmp_path, monkeypatch):
    monkeypatch.setenv("WRITTEN_BY_A_PICKLE", str(tmp_path / "written"))
    with closing(PictureCheck(CheckLimits(bytes=1 << 20, seconds=10), main=main)) as check:
        for size in range(10 if main is sends_nonsense else 1):
            assert check.check(bytes(size)).code == "decode_failed"
    assert not (tmp_path / "written").exists()


def test_after_its_end_it_begins_anew(check, photo):
    whole = check.check(photo.read_bytes())
    check.close()
    assert check.check(photo.read_bytes()) == whole


def test_a_child_that_could_not_be_started_is_started_later(photo, monkeypatch):
    def refuse(process):
        raise OSError(errno.EAGAIN, "too many processes")

    with closing(PictureCheck(CheckLimits(bytes=1 << 20, seconds=10))) as check:
        with monkeypatch.context() as crowded:
            crowded.setattr(SpawnProcess, "start", refuse)
            for _ in range(3):
                with pytest.raises(OSError, match="too many processes"):
                    check.check(photo.read_bytes())
        assert isinstance(check.check(photo.read_bytes()), Checked)
