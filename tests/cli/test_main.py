"""The program as a whole: help, version, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from impasto.cli import main
from impasto.cli.main import app, run
from impasto.errors import DownloadError, ImageReadError, Interrupted, UnknownNameError
from impasto.images import read_picture
from lanes import slow


def one_error(capsys):
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    return output.err


def test_help_names_the_commands(capsys):
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "paints one image in the style of another" in shown
    for command in ("stylize", "reconstruct", "compare", "models"):
        assert command in shown


def test_without_arguments_it_shows_the_help(capsys):
    assert run([]) == 0
    assert "stylize" in capsys.readouterr().out


def test_help_of_a_command_names_the_options_of_its_engine(capsys):
    assert run(["stylize", "--help"]) == 0
    shown = capsys.readouterr().out
    for flag in ("--style-layers", "--keep-colors", "--preset", "--resume", "--save-every", "--init"):
        assert flag in shown
    parts = re.split(r"Options of ([^─]+?) ─", shown)
    groups = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert "--strength" in groups["every engine"]
    assert "--preset" in groups["gatys"] and "--preset" not in groups["every engine"]
    assert "--checkpoint-every" in groups["nnst, gatys"]
    assert "'photos/**/*.jpg'" in shown, "its asterisks are no Markdown"


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("impasto")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ImageReadError("a.png is empty"), 1, "error: a.png is empty\n"),
        (DownloadError("first line\n  second line"), 1, "error: first line second line\n"),
        (UnknownNameError("engine", "gatis", ["gatys"]), 2, "error: unknown engine 'gatis'; did you mean 'gatys'?\n"),
        (PermissionError(13, "Permission denied", "run.csv"), 1, "error: [Errno 13] Permission denied: 'run.csv'\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_of_error_has_its_exit_code(capsys, error, code, line):
    def fail():
        raise error

    app.command(fail, name="fail")
    try:
        assert run(["fail"]) == code
    finally:
        del app["fail"]
    assert one_error(capsys) == line


def test_an_interrupted_run_has_its_exit_code(capsys, photo):
    def stop():
        raise Interrupted(read_picture(photo))

    app.command(stop, name="stop")
    try:
        assert run(["stop"]) == 130
    finally:
        del app["stop"]
    assert one_error(capsys) == "error: interrupted\n"


def test_a_mistake_of_ours_is_not_hidden():
    def mistake():
        raise ZeroDivisionError

    app.command(mistake, name="mistake")
    try:
        with pytest.raises(ZeroDivisionError):
            run(["mistake"])
    finally:
        del app["mistake"]


def test_main_exits_with_the_code(capsys):
    with pytest.raises(SystemExit) as caught:
        main.main(["stylize"])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        main.main(["--version"])
    assert caught.value.code == 0


@pytest.mark.parametrize("encoding", ["ascii", *slow("cp932", "latin-1")])
@pytest.mark.parametrize("arguments", [["styles", "list"], ["styles", "list", "--json"], ["stylize", "--help"]])
def test_an_output_that_cannot_hold_a_letter_gets_another_one(arguments, encoding):
    done = subprocess.run(
        [sys.executable, "-m", "impasto", *arguments],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    said = done.stdout.decode(encoding)
    if "--json" in arguments:
        assert "Théodore Géricault" in {style["artist"] for style in json.loads(said)} or "?" not in said


def test_help_needs_no_pytorch():
    """The program answers at once, and where PyTorch is missing."""
    script = "import sys; sys.modules['torch'] = None; from impasto.cli.main import main; main(['--help'])"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ)
    assert process.returncode == 0, process.stderr
    assert "stylize" in process.stdout
