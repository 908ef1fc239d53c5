"""A disk that becomes full: what is accepted is painted, and the rest is refused."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from threading import Event, Thread

import numpy as np
import pytest

from impasto.api import TERMINAL
from impasto.engines.catalog import OPTIONS, parse_options
from impasto.errors import QuotaError
from impasto.images import encode_picture
from impasto.painting import StyleChoice, arrange
from impasto.service import wiring
from impasto.service.acceptance import Acceptance, Request
from impasto.service.blobs import filesystem
from impasto.service.checking import CheckLimits, PictureCheck
from impasto.service.settings import Settings
from impasto.service.worker import work
from impasto.types import Picture
from service.servers import wait_for

MEBIBYTE = 1 << 20


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={8 * MEBIBYTE}", "impasto-test", folder]
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_what_is_accepted_is_painted_on_a_small_disk(small_disk, tmp_path, monkeypatch):
    monkeypatch.setattr(filesystem, "LEFT_FREE", 0)
    pixels = np.random.default_rng(0).random((192, 256, 3), dtype=np.float32)
    noise = encode_picture(Picture(pixels, alpha=pixels[:, :, 0], bit_depth=16), "png")
    options = parse_options("fast", {"strength": 0}, OPTIONS)  # the result is noise, which no format makes smaller
    painting, _ = arrange("fast", options, [StyleChoice("great-wave")])
    request = Request(tenant="one", arrange=lambda: (painting, {"content": noise}))
    settings = Settings(data_dir=small_disk, database=f"sqlite:///{tmp_path / 'jobs.db'}")
    with closing(wiring.build(settings)) as parts, closing(PictureCheck(CheckLimits(bytes=MEBIBYTE))) as check:
        acceptance, accepted = Acceptance(parts.submissions, parts.blobs, check, settings), []
        with pytest.raises(QuotaError, match=r"up to \d\.\d MiB, beside those of other jobs; choose a smaller size"):
            for _ in range(100):
                accepted.append(acceptance.accept(request)[0].id)
        stop = Event()
        worker = Thread(target=work, args=(parts, stop))
        worker.start()

        def ended():
            found = [parts.submissions.find(job) for job in accepted]
            return found if all(job.state in TERMINAL for job in found) else None

        try:
            jobs = wait_for(ended, what="the end of all jobs")
        finally:
            stop.set()
            worker.join()
        assert len(jobs) >= 5 and {(job.state, job.attempt, job.error_text) for job in jobs} == {("succeeded", 1, None)}
        assert parts.blobs.room() < 3 * MEBIBYTE, "the disk is nearly full"
