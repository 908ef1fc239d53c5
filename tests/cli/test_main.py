"""The program as a whole: help, version, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from impasto.cli import main
from impasto.cli.main import app, run
from impasto.errors import DownloadError, ImageReadError, Interrupted, UnknownNameError
from impasto.images import read_picture


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


def test_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("impasto")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stilize"], "stylize"),
        (["--verbose"], "--verbose"),
        (["models", "lst"], "list"),
    ],
)
def test_what_is_unknown_is_a_usage_error(capsys, arguments, message):
    assert run(arguments) == 2
    error = one_error(capsys)
    assert error.startswith("error: ")
    assert message in error


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


def test_help_needs_no_pytorch():
    """The program answers at once, and where PyTorch is missing."""
    script = "import sys; sys.modules['torch'] = None; from impasto.cli.main import main; main(['--help'])"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ)
    assert process.returncode == 0, process.stderr
    assert "stylize" in process.stdout
