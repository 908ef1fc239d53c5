"""Ctrl-C after a network has been used and dropped, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, signal, sys
import impasto
for _ in range(2):
    impasto.stylize(sys.argv[1], sys.argv[2], engine="fast", size=32)
    gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_after_painting_is_an_interrupt(photo, painting):
    done = subprocess.run([sys.executable, "-c", SCRIPT, photo, painting], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
