"""``impasto bench``: the table, the file, and wrong inputs."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import pytest

from impasto.cli.main import run
from impasto.engines.catalog import OPTIONS
from impasto.gallery import StyleCatalog, write_style_file


def test_whole_commands_are_measured(photo, painting, tmp_path, capsys):
    out = tmp_path / "bench.json"
    arguments = ["--engine", "fast,transformer", "--size", "96", "--size", "128", "--runs", "2", "-o", str(out)]
    assert run(["bench", str(photo), "-s", str(painting), *arguments, "--quiet"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
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
    assert {each["engine"] for each in committed["figures"]} >= {"fast", "adain", "sanet", "transformer", "gatys"}
    assert {each["engine"] for each in committed["figures"]} <= set(OPTIONS)
    sizes = {name: {each["size"] for each in committed["figures"] if each["engine"] == name} for name in OPTIONS}
    assert all(sizes[name] == {512, 1024} for name in ("fast", "adain", "sanet", "transformer", "gatys"))
    assert all(each["seconds"] > 0 and each["memory"] and each["style"] for each in committed["figures"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--engine", "fasst"], "did you mean 'fast'?"),
        (["-o", "nowhere/bench.json"], "folder nowhere does not exist"),
        (["--runs", "0"], "--runs is 0; it should be at least 1"),
        (["--size", "1"], "size is '1'; it should be greater than or equal to 16"),
    ],
)
def test_wrong_inputs(photo, painting, arguments, sentence, capsys):
    assert run(["bench", str(photo), "-s", str(painting), "--quiet", *arguments]) in (1, 2)
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_a_style_without_a_picture_is_refused(photo, tmp_path, capsys):
    write_style_file(replace(StyleCatalog().get("great-wave"), image=b""), tmp_path / "code.style")
    assert run(["bench", str(photo), "-s", str(tmp_path / "code.style"), "--quiet"]) == 2
    assert "is only a code for engine 'fast'" in capsys.readouterr().err
