"""Jobs under faults: see `tests/chaos.py`, which is also a command."""

from __future__ import annotations

import importlib
import os

import pytest

pytestmark = pytest.mark.slow

JOBS, FAULTS = (120, 45) if os.environ.get("CI") else (66, 33)
"""Three or four rounds of eleven kinds of faults."""


@pytest.mark.parametrize("on", ["sqlite", "postgresql", "celery"])
def test_nothing_accepted_is_lost(on, tmp_path):
    found = importlib.import_module("chaos").run(JOBS, FAULTS, on, 0, tmp_path)
    assert found["jobs"] == JOBS and found["faults"] >= FAULTS // 2 and len(found["kinds"]) >= 8, found
    broken = {name: found[name] for name in ("lost", "two results", "wrong results", "untold", "broken promises")}
    assert not any(broken.values()), found
    assert found["states"] == {"succeeded": JOBS}, found
