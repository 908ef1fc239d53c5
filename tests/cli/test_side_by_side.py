"""Several pictures of one ``impasto stylize`` that are painted at once."""

from __future__ import annotations

import gc
import json
import os
import pty
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from threading import Barrier, Lock
from weakref import WeakSet

import pytest

from impasto.cli import side_by_side
from impasto.cli.main import run
from impasto.cli.stylize_run import PictureRun
from impasto.errors import OutOfMemoryError
from impasto.images import read_picture, resize_picture, write_picture
from lanes import slow
from service.servers import wait_for

NAMES = ("a.png", "b.png", "c.png", "d.png", "e.png")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, photo, painting):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    whole = read_picture(photo)
    for number, name in enumerate(NAMES):
        write_picture(resize_picture(whole, 48 + 8 * number, 40), f"photos/{name}")
    write_picture(resize_picture(read_picture(painting), 36, 30), "style.png")
    return tmp_path


@pytest.fixture
def three_processors(monkeypatch):
    """Three processors, and memory for as many pictures."""
    monkeypatch.setattr(side_by_side, "_processors", lambda: 3)
    monkeypatch.setattr(side_by_side, "_budget", lambda: 1e12)


@pytest.fixture
def at_once(monkeypatch):
    """The numbers of pictures that were being painted whenever one began."""
    painting, lock, found = Counter(), Lock(), []
    paint = PictureRun.paint

    def counted(self, engine):
        with lock:
            painting["now"] += 1
            found.append(painting["now"])
        try:
            return paint(self, engine)
        finally:
            with lock:
                painting["now"] -= 1

    monkeypatch.setattr(PictureRun, "paint", counted)
    return found


def paint(*arguments, engine="fast"):
    return run(["stylize", "photos", "-s", "style.png", "--engine", engine, "-q", *map(str, arguments)])


@pytest.mark.usefixtures("three_processors")
def test_pictures_are_painted_at_once_after_the_first(monkeypatch):
    painted, both = PictureRun.paint, Barrier(2)
    names = []

    def together(self, engine):
        names.append(self._display.name)
        if len(names) > 1:
            both.wait(60)  # nobody gets further alone
        return painted(self, engine)

    monkeypatch.setattr(PictureRun, "paint", together)
    assert paint("-o", "out/") == 0
    assert names[0] == "a.png"
    assert sorted(path.name for path in Path("out").iterdir()) == list(NAMES)


@pytest.mark.usefixtures("three_processors")
@pytest.mark.parametrize(
    ("engine", "settings"),
    [
        ("fast", ()),
        ("nnst", ("--steps", "8")),
        *slow(("fast", ("--size", "700")), ("nnst", ("--steps", "8", "--size", "512"))),  # of several tiles
    ],
)
def test_a_picture_is_the_same_file_beside_others_and_alone(engine, settings):
    assert paint("-o", "out/", *settings, engine=engine) == 0
    for name in NAMES:
        alone = ["stylize", f"photos/{name}", "-s", "style.png", "--engine", engine, "-q", "-o", name, *settings]
        assert run(alone) == 0
        assert Path(name).read_bytes() == Path("out", name).read_bytes()


@pytest.mark.usefixtures("three_processors")
def test_reports_and_errors_come_in_the_order_of_the_pictures(capsys):
    Path("photos/c.png").write_bytes(b"no picture")
    Path("photos/d.png").write_bytes(b"")
    assert paint("-o", "out/", "--json") == 3
    printed, errors = capsys.readouterr()
    assert [Path(json.loads(line)["content"]).name for line in printed.splitlines()] == ["a.png", "b.png", "e.png"]
    assert [line.split(" ")[1] for line in errors.splitlines()[:2]] == ["photos/c.png", "photos/d.png"]
    assert errors.splitlines()[2] == "error: 2 of 5 pictures failed: photos/c.png, photos/d.png"


@pytest.mark.usefixtures("three_processors")
def test_as_many_are_painted_as_the_memory_allows(monkeypatch, at_once):
    monkeypatch.setattr(side_by_side, "_budget", lambda: 1.0)
    assert paint("-o", "out/") == 0
    assert at_once == [1, 1, 1, 1, 1]


@pytest.mark.usefixtures("three_processors")
def test_a_picture_that_takes_all_the_memory_is_painted_alone(photo, at_once, monkeypatch):
    for name in NAMES[1:]:
        write_picture(resize_picture(read_picture(photo), 480, 400), f"photos/{name}")
    # Three like the first would fit, of which each takes less than 2 GB, and one of 480x400 at a time.
    monkeypatch.setattr(side_by_side, "_PIXEL_BYTES", 100_000)
    monkeypatch.setattr(side_by_side, "_budget", lambda: 6e9)
    assert paint("-o", "out/") == 0
    assert at_once == [1, 1, 1, 1, 1]


@pytest.mark.usefixtures("three_processors")
def test_a_picture_that_lacks_memory_beside_others_is_painted_alone(monkeypatch, at_once):
    painted, lacks, engines, alive = PictureRun.paint, ["c.png", "d.png"], WeakSet(), []

    def greedy(self, engine):
        if self._display.name in lacks:
            lacks.remove(self._display.name)
            engines.add(engine)
            raise OutOfMemoryError("64x40 pixels need 9 GB of memory")
        if not lacks and self._display.name in ("c.png", "d.png"):
            gc.collect()
            alive.append(len(engines))
        return painted(self, engine)

    monkeypatch.setattr(PictureRun, "paint", greedy)
    assert paint("-o", "out/") == 0
    assert at_once[-2:] == [1, 1]
    assert alive == [0, 0], "the engines of the others are gone"
    assert sorted(path.name for path in Path("out").iterdir()) == list(NAMES)


@pytest.mark.usefixtures("three_processors")
@pytest.mark.parametrize("settings", [("--threads", "2"), ("--runtime", "onnxruntime"), ("--plan",)])
def test_what_needs_all_threads_is_painted_one_by_one(at_once, settings):
    if "onnxruntime" in settings:
        pytest.importorskip("onnxruntime")
    assert paint("-o", "out/", *settings) == 0
    assert at_once == [1, 1, 1, 1, 1]


def test_results_that_another_command_has_painted_meanwhile_are_kept(monkeypatch, capsys):
    painted = PictureRun.paint

    def meanwhile(self, engine):
        if self._display.name == "a.png":
            Path("out/c.png").write_bytes(Path("photos/c.png").read_bytes())
        return painted(self, engine)

    monkeypatch.setattr(PictureRun, "paint", meanwhile)
    assert paint("-o", "out/", "--json", "--skip-existing") == 0
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [report.get("skipped", False) for report in reports] == [False, False, True, False, False]
    assert Path("out/c.png").read_bytes() == Path("photos/c.png").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("pixel_bytes", "begun"), [(0, 2), (10**9, 1)])
def test_ctrl_c_keeps_what_is_painted_so_far_and_paints_no_more(photo, pixel_bytes, begun):
    for name in NAMES[1:]:  # the first one is painted soon, and these take longer
        write_picture(resize_picture(read_picture(photo), 480, 400), f"photos/{name}")
    program = (
        "import sys; from impasto.cli import side_by_side; side_by_side._processors = lambda: 2\n"
        f"side_by_side._PIXEL_BYTES = {pixel_bytes}; side_by_side._budget = lambda: 1e10\n"
        "from impasto.cli.main import main; main(sys.argv[1:])"
    )
    arguments = ["stylize", "photos", "-s", "style.png", "--steps", "200", "--checkpoint-every", "1", "-o", "out/"]
    with subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: len(list(Path("out").glob("[b-e].png.checkpoint"))) == begun, what="pictures at once")
        while True:
            process.send_signal(signal.SIGINT)
            try:
                errors = process.communicate(timeout=20)[1]
                break
            except subprocess.TimeoutExpired:
                pass  # pyvips loses a signal that arrives in its log handler, so users may have to press Ctrl-C again
    assert process.returncode == 130, errors
    written = sorted(path.name for path in Path("out").glob("[b-e].png"))
    assert len(written) == begun
    assert errors.count("interrupted; the best picture so far is written") == begun
    assert errors.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in errors
    assert Path("out/a.png").exists() and read_picture(Path("out", written[0])).width == 480


def test_json_goes_to_stdout_while_bars_are_on_the_terminal():
    terminal, inner = pty.openpty()
    program = [sys.executable, "-m", "impasto", "stylize", "photos", "-s", "style.png", "--engine", "fast"]
    with subprocess.Popen([*program, "--json", "-o", "out/"], stdout=subprocess.PIPE, stderr=inner) as process:
        os.close(inner)
        shown = b""
        while True:
            try:
                part = os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
            shown += part
        printed = process.stdout.read()
    os.close(terminal)
    assert process.returncode == 0
    assert [json.loads(line)["steps"] for line in printed.splitlines()] == [1] * len(NAMES)
    assert b"5 pictures" in shown and b"a.png" in shown
