"""The process that decodes pictures of strangers may freeze or die: the next picture is checked all the same."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from multiprocessing.context import SpawnProcess

import psutil
import pytest

from impasto.service.submit.checking import Checked, CheckLimits, PictureCheck


def decoder():
    return next(each for each in psutil.Process().children() if "spawn_main" in " ".join(each.cmdline()))


@pytest.mark.parametrize(("harm", "code"), [("suspend", "decode_timeout"), ("kill", None)])
def test_a_child_that_is_harmed(photo, harm, code):
    with closing(PictureCheck(CheckLimits(bytes=1 << 20, seconds=10))) as check:
        whole = check.check(photo.read_bytes())
        assert isinstance(whole, Checked)
        child = decoder()
        getattr(child, harm)()
        if code is None:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        answers = [check.check(photo.read_bytes()) for _ in range(2)]  # of the other child, then of this one
        assert answers[0] == whole and getattr(answers[1], "code", None) == code
        assert [check.check(photo.read_bytes()) for _ in range(2)] == [whole, whole]
        assert child.pid not in {each.pid for each in psutil.Process().children()}


def test_a_picture_that_takes_long_stops_no_other(photo):
    with closing(PictureCheck(CheckLimits(bytes=1 << 20, seconds=10))) as check, ThreadPoolExecutor(2) as people:
        whole = check.check(photo.read_bytes())
        decoder().suspend()
        ended = as_completed([people.submit(check.check, photo.read_bytes()) for _ in range(2)])
        assert next(ended).result() == whole
        assert next(ended).result().code == "decode_timeout"


def test_after_its_end_it_begins_anew(photo):
    with closing(PictureCheck(CheckLimits(bytes=1 << 20, seconds=10))) as check:
        whole = check.check(photo.read_bytes())
        check.close()
        assert check.check(photo.read_bytes()) == whole


def test_a_child_that_could_not_be_started_is_started_later(photo, monkeypatch):
    def refuse(process):
        raise OSError(errno.EAGAIN, "too many processes")

    with closing(PictureCheck(CheckLimits(bytes=1 << 20, seconds=10))) as check:
        with monkeypatch.context() as crowded:
            crowded.setattr(SpawnProcess, "_Popen", staticmethod(refuse))
            for _ in range(3):
                with pytest.raises(OSError, match="too many processes"):
                    check.check(photo.read_bytes())
        assert isinstance(check.check(photo.read_bytes()), Checked)
