"""``impasto stylize`` as a process of its own: pipes, signals, and death."""

from __future__ import annotations

import csv
import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from impasto.images import read_picture, resize_picture, write_picture

pytestmark = pytest.mark.slow

IMPASTO = [sys.executable, "-c", "from impasto.cli.main import main; main()"]
LAYERS = ["--content-layers", "relu3_1", "--style-layers", "relu1_1,relu2_1,relu3_1"]
ENDLESS = "1000000"
PATIENCE = 300  # seconds; only a broken program gets there


@pytest.fixture
def folder(tmp_path, photo, painting, stored_weights):
    write_picture(resize_picture(read_picture(photo), 64, 48), tmp_path / "photo.png")
    write_picture(resize_picture(read_picture(painting), 60, 50), tmp_path / "painting.jpg")
    return tmp_path


@pytest.fixture
def start(folder):
    """Start the program in ``folder``; what still runs when the test is over is killed."""
    processes = []

    def start(*arguments, stdin=None):
        command = [*IMPASTO, "stylize", "--engine", "gatys", *arguments, "-s", "painting.jpg", *LAYERS]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=folder, stdin=stdin, stdout=pipe, stderr=pipe)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process, stdin=None):
    """Wait for the end; return the exit code, stdout, and stderr as text."""
    out, errors = process.communicate(stdin, timeout=PATIENCE)
    return process.returncode, out, errors.decode()


def wait_for(condition, process):
    """Wait until ``condition``, which ``process`` must bring about while it runs."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def pixels(source):
    with PIL.Image.open(source) as image:
        return np.asarray(image.convert("RGB"))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def steps(path):
    with path.open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_from_stdin_to_stdout(folder, start):
    process = start("-", "-o", "-", "--steps", "2", stdin=subprocess.PIPE)
    code, out, errors = finish(process, (folder / "photo.png").read_bytes())
    assert code == 0, errors
    assert pixels(io.BytesIO(out)).shape == (48, 64, 3)
    assert "stdout: step 2/2" in errors
    assert names(folder) == ["painting.jpg", "photo.png"]

    same = start("photo.png", "-o", "out.png", "--steps", "2", "--quiet")
    assert finish(same) == (0, b"", "")
    np.testing.assert_array_equal(pixels(folder / "out.png"), pixels(io.BytesIO(out)))


def test_stdin_that_is_no_picture(start):
    code, out, errors = finish(start("-", "-o", "-", stdin=subprocess.PIPE), b"hello")
    assert (code, out) == (1, b"")
    assert errors == "error: image data is not a JPEG, PNG, TIFF, WebP, AVIF or GIF file; convert it to one of these\n"


def test_a_reader_that_goes_away_is_no_traceback(start):
    process = start("photo.png", "-o", "-", "--steps", "1", "--quiet")
    process.stdout.close()
    errors = process.stderr.read().decode()
    assert process.wait(PATIENCE) == 1
    assert errors == ""


def test_a_killed_run_goes_on_where_it_was(folder, start):
    arguments = ["photo.png", "--init", "noise", "--steps", "40", "--scales", "2", "--checkpoint-every", "8"]
    uninterrupted = start(*arguments, "-o", "whole.png", "--losses", "whole.csv", "--quiet")
    assert finish(uninterrupted) == (0, b"", "")

    killed = start(*arguments, "-o", "out.png", "--losses", "out.csv", "--quiet")
    wait_for((folder / "out.png.checkpoint").exists, killed)
    killed.kill()
    assert finish(killed) == (-signal.SIGKILL, b"", "")
    assert not (folder / "out.png").exists()
    left_over = steps(folder / "out.csv")
    assert left_over == list(range(1, len(left_over) + 1))
    assert 8 <= len(left_over) < 40

    resumed = start(*arguments, "-o", "out.png", "--losses", "out.csv", "--resume")
    code, _, errors = finish(resumed)
    assert code == 0, errors
    assert "starting from the beginning" not in errors
    np.testing.assert_array_equal(pixels(folder / "out.png"), pixels(folder / "whole.png"))
    assert steps(folder / "out.csv") == list(range(1, 41))
    assert (folder / "out.csv").read_bytes() == (folder / "whole.csv").read_bytes()
    assert not (folder / "out.png.checkpoint").exists()


def test_ctrl_c_keeps_the_best_picture(folder, start):
    process = start("photo.png", "-o", "out.png", "--steps", ENDLESS, "--scales", "1", "--losses", "out.csv")
    losses = folder / "out.csv"
    wait_for(lambda: losses.exists() and len(losses.read_bytes().splitlines()) > 5, process)
    process.send_signal(signal.SIGINT)
    code, out, errors = finish(process)
    assert (code, out) == (130, b"")
    assert errors.splitlines()[-2:] == [
        "out.png: interrupted; the best picture so far is written",
        "error: interrupted",
    ]
    assert "Traceback" not in errors
    assert pixels(folder / "out.png").shape == (48, 64, 3)
    assert (pixels(folder / "out.png") != pixels(folder / "photo.png")).any()
    kept = ["out-curves.png", "out.csv", "out.png", "out.png.checkpoint", "painting.jpg", "photo.png"]
    assert names(folder) == kept, "the checkpoint is for --resume"


def test_sigint_before_the_first_step_writes_nothing(folder, start):
    process = start("-", "-o", "out.png", stdin=subprocess.PIPE)
    # A pipe holds less than this: when the last byte is in it, the program reads its content image.
    process.stdin.write(bytes(2**20))
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    code, out, errors = finish(process)
    assert (code, out, errors) == (130, b"", "error: interrupted\n")
    assert names(folder) == ["painting.jpg", "photo.png"]


def test_the_installed_command_is_the_same_program():
    command = Path(sys.executable).with_name("impasto")
    if not command.exists():
        pytest.skip("impasto is not installed beside this Python")
    shown = subprocess.run([command, "--version"], capture_output=True, text=True)
    same = subprocess.run([*IMPASTO, "--version"], capture_output=True, text=True)
    assert shown.returncode == same.returncode == 0
    assert shown.stdout == same.stdout
