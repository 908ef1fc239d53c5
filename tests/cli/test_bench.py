"""``impasto bench``: the table, the file, and wrong inputs."""

from __future__ import annotations

import json
from importlib.resources import files
from itertools import product

import pytest

from impasto.cli.main import run
from impasto.engines.catalog import OPTIONS


@pytest.mark.slow
def test_whole_commands_are_measured(photo, painting, tmp_path, capsys):
    out = tmp_path / "bench.json"
    arguments = ["--engine", "fast,transformer", "--size", "96", "--size", "128", "--runs", "2", "-o", str(out)]
    assert run(["bench", str(photo), "-s", str(painting), *arguments, "--quiet"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [(row[0].removeprefix("| "), row[1]) for row in rows[2:]] == [
        ("fast", "96"),
        ("transformer", "96"),
        ("fast", "128"),
        ("transformer", "128"),
    ]
    found = json.loads(out.read_text())
    assert found["runs"] == 2
    for each in found["figures"]:
        assert 0.1 < each["seconds"] < 100 and 50e6 < each["memory"] < 2e9
        assert each["content"] > 0 and each["style"] > 0
    fast, other = found["figures"][:2]
    assert fast["style"] < other["style"], "the one looks at the style, the other has its own"


def test_the_committed_figures_are_complete():
    committed = json.loads((files("impasto.bundled") / "bench.json").read_text())
    assert committed["machine"] and committed["runs"] >= 3
    engines = set(OPTIONS) - {"texture-net"}  # no network of it is bundled
    assert {(each["engine"], each["size"]) for each in committed["figures"]} == {*product(engines, (512, 1024))}
    assert all(each["seconds"] > 0 and each["memory"] and each["style"] for each in committed["figures"])
