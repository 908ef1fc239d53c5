"""Pictures that are painted in pieces, because the whole does not fit into the memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import numpy as np
import pytest

from impasto.engines import optimization
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.optimization import OptimizationEngine
from impasto.images import LazyPicture, read_picture, resize_picture
from impasto.optimization.checkpoint import Checkpoint
from impasto.optimization.memory import TILES, Need
from impasto.options import GatysOptions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(request):
    content, style = (read_picture(request.getfixturevalue(name)) for name in ("photo", "painting"))
    return resize_picture(content, 200, 150), resize_picture(style, 120, 120)


def paint(pictures, on_step=lambda step: None, checkpoint=None, **options):
    content, style = pictures
    inputs = StylizeInputs(LazyPicture.of(content), (Style(style),))
    given = {"descriptor": "compact", "precision": "float32", "steps": 6, "scales": 2, **options}
    return OptimizationEngine(GatysOptions.parse(given)).stylize(inputs, on_step=on_step, checkpoint=checkpoint)


@pytest.fixture
def on_disk(monkeypatch):
    """Keep all state on disk, and look at tiles of 96 pixels."""
    monkeypatch.setattr(optimization, "plan", lambda *given, **options: Need(tile=96, disk=1, memory=0))


def test_tiles_paint_what_the_whole_paints(pictures):
    whole, tiled = paint(pictures, tile=0), paint(pictures, tile=96)
    moved = np.abs(whole.pixels - pictures[0].pixels).mean()
    assert np.abs(tiled.pixels - whole.pixels).mean() < 0.02 * moved
    assert json.loads(tiled.metadata["options"])["tile"] == 96


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "sgd"])
def test_where_the_state_is_makes_no_difference(pictures, optimizer, request):
    in_memory = paint(pictures, tile=96, optimizer=optimizer)
    request.getfixturevalue("on_disk")
    assert paint(pictures, tile=96, optimizer=optimizer).pixels.tobytes() == in_memory.pixels.tobytes()


@pytest.mark.parametrize(("optimizer", "stop"), [("lbfgs", 2), ("lbfgs", 5), ("adam", 2), ("sgd", 5)])
def test_a_run_on_disk_is_continued_to_the_same_bytes(pictures, tmp_path, on_disk, optimizer, stop):
    def killed(step):
        if step.done == stop + 1:
            raise InterruptedError

    path = tmp_path / "run.checkpoint"
    uninterrupted = paint(pictures, optimizer=optimizer)
    with pytest.raises(InterruptedError):
        paint(pictures, killed, Checkpoint(path), optimizer=optimizer, checkpoint_every=stop)
    first = []
    resumed = paint(pictures, first.append, Checkpoint(path, resume=True), optimizer=optimizer, checkpoint_every=stop)
    assert first[0].done == stop + 1
    assert resumed.pixels.tobytes() == uninterrupted.pixels.tobytes()
    assert list(tmp_path.iterdir()) == [path]  # which the caller discards, once the result is written


def test_pieces_are_said_once(pictures, on_disk):
    steps = []
    paint(pictures, steps.append)
    said = "the memory does not suffice for the whole picture; using tiles of 96 pixels"
    assert steps[0].note == f"{said}. up to 0.0 GB of state are kept on disk"
    assert [step.note for step in steps[1:]] == [""] * (len(steps) - 1)


def test_a_run_goes_on_in_the_pieces_that_it_began_with(pictures, tmp_path, monkeypatch):
    def killed(step):
        if step.done == 3:
            raise InterruptedError

    path = tmp_path / "run.checkpoint"
    uninterrupted = paint(pictures, tile=96)
    plan = optimization.plan
    with monkeypatch.context() as scarce, pytest.raises(InterruptedError):
        scarce.setattr(optimization, "plan", lambda *given, **options: plan(*given, **{**options, "tile": 96}))
        paint(pictures, killed, Checkpoint(path), checkpoint_every=2)
    resumed = paint(pictures, checkpoint=Checkpoint(path, resume=True))
    assert resumed.pixels.tobytes() == uninterrupted.pixels.tobytes()


def test_where_the_address_space_is_small_a_picture_is_painted_in_pieces(photo, painting, tmp_path):
    out = tmp_path / "out.png"
    command = [sys.executable, "-m", "impasto", "stylize", str(photo), "-s", str(painting), "-o", str(out)]
    options = ["--engine", "gatys", "--descriptor", "compact", "--size", "1400", "--steps", "2", "--scales", "1"]
    limit = 2_400_000_000
    subprocess.run(
        [*command, *options, "--quiet"],
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        env={"OMP_NUM_THREADS": "2", "PATH": ""},
    )
    assert json.loads(read_picture(out).metadata["options"])["tile"] in TILES
