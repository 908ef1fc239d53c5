"""Processes that are forked from one that has used pictures, and before it has."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import multiprocessing, sys
import impasto

def work(name):
    return impasto.read_picture(name).width

if __name__ == "__main__":
    name, used = sys.argv[1], sys.argv[2] == "used"
    if used:
        impasto.read_picture(name)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        try:
            print(pool.map_async(work, [name] * 4).get(timeout=60))
        except impasto.ImpastoError as error:
            print(error)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map_async(work, [name]).get(timeout=60))
"""


def forked(photo, tmp_path, used):
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    command = [sys.executable, str(script), str(photo), used]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout.splitlines()


def test_children_of_a_process_that_only_imported_impasto_work(photo, tmp_path):
    assert forked(photo, tmp_path, "imported") == ["[768, 768, 768, 768]", "[768]"]


def test_children_of_a_process_that_used_pictures_are_told_so_in_a_sentence(photo, tmp_path):
    told, spawned = forked(photo, tmp_path, "used")
    assert told.startswith("this process was forked from one that has used pictures already")
    assert "get_context('spawn')" in told
    assert spawned == "[768]", "and that is the way to do it"
