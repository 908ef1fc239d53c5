"""Jobs on two machines under faults: see `tests/machines.py`, which is also a command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.servers import missing
from service.two_machines import faketime, obstacle
from service.under_faults import MUST_BE_ZERO

pytestmark = pytest.mark.slow

JOBS, FAULTS = 60, 8
"""One round of all kinds of faults."""


def test_nothing_accepted_is_lost_between_machines():
    for name, is_there in (("iproute2", shutil.which("ip")), ("faketime", faketime())):
        if sys.platform == "linux" and not is_there:
            missing(name)
    if (why := obstacle()) is not None:
        pytest.skip(why)
    options = ["--jobs", str(JOBS), "--faults", str(FAULTS), "--side", "96"]
    command = [sys.executable, Path(__file__).parents[1] / "machines.py", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["states"] == {"succeeded": JOBS} and found["faults"] == FAULTS, found
    assert not any(found[name] for name in MUST_BE_ZERO), found
    assert done.returncode == 0, found
