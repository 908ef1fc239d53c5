"""Acceptance of requests, without a server."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace

from impasto.engines.catalog import OPTIONS, parse_options
from impasto.painting import StyleChoice, arrange
from impasto.service import wiring
from impasto.service.acceptance import Acceptance, Request
from impasto.service.checking import Checked
from impasto.service.settings import Settings


def test_the_id_of_a_job_is_made_by_the_clock_of_the_database(tmp_path, monkeypatch):
    """Lists of jobs sort by id, and the clocks of two web processes may differ."""
    painting, _ = arrange("fast", parse_options("fast", {}, OPTIONS), [StyleChoice("great-wave")])
    request = Request(tenant="one", arrange=lambda: (painting, {"content": b"a picture"}))
    check = SimpleNamespace(check=lambda _: Checked(width=64, height=64, format="png", bit_depth=8, alpha=False))
    settings = Settings(data_dir=tmp_path)
    with closing(wiring.build(settings)) as parts:
        monkeypatch.setattr(parts.database, "time", lambda: 1_000_000.0)
        job, _ = Acceptance(parts.submissions, parts.blobs, check, settings).accept(request)
    assert int(job.id[:13].replace("-", ""), 16) == 1_000_000_000, "milliseconds"
