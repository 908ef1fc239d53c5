"""What painting will take, said before; and what is done where there is less memory than it takes."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from impasto.cli.main import run
from impasto.engines import tiling
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.catalog import OPTIONS as ENGINE_OPTIONS
from impasto.engines.catalog import create_engine, parse_options
from impasto.engines.fast import FastEngine
from impasto.engines.network_graphs import NetworkGraphs
from impasto.images import LazyPicture, read_picture
from impasto.optimization import memory
from impasto.options import FastOptions

pytestmark = pytest.mark.slow

LAUNCHER = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
)
GATYS = "gatys --descriptor compact --precision float32 --scales 1 --steps 13"


def stylize(photo, painting, engine, *options):
    given = [str(option) for option in (engine, *options)]
    return [sys.executable, "-m", "impasto", "stylize", str(photo), "-s", str(painting), "--quiet", "--engine", *given]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a part of a run")
@pytest.mark.parametrize("how", ["fast --size 1280", "adain --size 1000", f"{GATYS} --size 320"])
def test_the_memory_is_foretold_within_a_fifth(photo, painting, tmp_path, how):
    command = [*stylize(photo, painting, *how.split()), "-o", str(tmp_path / "out.jpg")]
    asked = subprocess.run([*command, "--plan", "--json"], check=True, capture_output=True, text=True)
    assert not list(tmp_path.iterdir())
    plan = json.loads(asked.stdout)["plan"]
    done = subprocess.run([sys.executable, "-c", LAUNCHER, *command], check=True, capture_output=True, text=True)
    assert plan["memory"] == pytest.approx(int(done.stdout), rel=0.2)
    assert plan["seconds"] > 0 and plan["tile"] == plan["disk"] == 0


def test_the_plan_is_a_line(photo, painting, tmp_path, capsys):
    paint = ["stylize", str(photo), "-s", str(painting), "-o", str(tmp_path / "out.png"), "--plan"]
    assert run([*paint, "--size", "128"]) == 0
    assert re.match(
        r"out.png: \d+\.\d GB of memory at most \(\d+\.\d GB available\), about \d+ s", capsys.readouterr().out
    )
    assert run([*paint, "--engine", "gatys", "--descriptor", "compact", "--size", "1024", "--tile", "256"]) == 0
    assert "tiles of 256 pixels, about" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_what_fits_nowhere_has_no_plan(photo, painting, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 10**8)
    paint = ["stylize", str(photo), "-s", str(painting), "-o", str(tmp_path / "out.png"), "--plan"]
    assert run([*paint, "--engine", "gatys", "--descriptor", "compact"]) == 1
    assert "GB of memory, and 0.1 GB are free; choose a smaller size" in capsys.readouterr().err


def test_each_mask_costs_a_painting(content, painting):
    engine = create_engine("fast", parse_options("fast", {"size": 1200}, ENGINE_OPTIONS))
    style = Style(read_picture(painting))
    given, folder = LazyPicture.of(content), Path(tempfile.gettempdir())
    one = engine.forecast(StylizeInputs(given, (style,)), folder)
    two = engine.forecast(StylizeInputs(given, (style, style), (given, given)), folder)
    assert two.memory - one.memory > 1200 * 500 * 3 * 4


@pytest.mark.parametrize("engine", ["fast", "adain", "sanet"])
def test_where_memory_is_scarce_smaller_tiles_paint_the_same(content, painting, monkeypatch, engine):
    painter = create_engine(engine, parse_options(engine, {"size": 600, "precision": "float32"}, ENGINE_OPTIONS))
    inputs = StylizeInputs(LazyPicture.of(content), (Style(read_picture(painting)),))
    totals, painted = [], []
    for free in (1 << 40, 2 * 10**8):
        monkeypatch.setattr(tiling, "free_memory", lambda free=free: free)
        painted.append(painter.stylize(inputs, on_step=lambda step: totals.append(step.total)).pixels)
    assert sorted(set(totals)) == [1, 16]
    assert np.abs(painted[1] - painted[0]).max() < 1 / 255


def test_masks_are_painted_alike_whatever_memory_is_left(content, painting, monkeypatch):
    free = iter([1 << 40, *[0] * 20])
    monkeypatch.setattr(tiling, "free_memory", lambda: next(free))
    painter = create_engine("fast", parse_options("fast", {"size": 600}, ENGINE_OPTIONS))
    given, style = LazyPicture.of(content), Style(read_picture(painting))
    inputs = StylizeInputs(given, (style, style), (given, given))
    assert painter.stylize(inputs, on_step=lambda step: None).width == 600


@pytest.mark.parametrize("shape", [(2100, 520), (520, 2080), (1280, 960)])
def test_the_largest_tile_is_tried(content, painting, shape):
    rendered = []

    class Sizes(NetworkGraphs):
        """Paints nothing, and keeps the number of pixels of each tile."""

        def run(self, graph, **inputs):
            if graph != "render":
                return super().run(graph, **inputs)
            rendered.append(inputs["tile"][0, 0].size)
            return {"painted": inputs["tile"]}

    given = LazyPicture.of(content).resized(*shape)
    options, style = FastOptions(), Style(read_picture(painting))
    engine = FastEngine(options, network=Sizes(options, "conditional"))
    engine.forecast(StylizeInputs(given, (style,)), Path(tempfile.gettempdir()))
    tried = max(rendered)
    rendered.clear()
    engine.stylize(StylizeInputs(given, (style,)), on_step=lambda step: None)
    assert tried == max(rendered)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the address space")
@pytest.mark.parametrize("engine", ["fast", "sanet"])
def test_nothing_dies_of_memory(photo, painting, tmp_path, engine):
    """With whatever there is, the picture is painted, right, or one sentence says why not."""
    out, codes = tmp_path / "out.png", []
    command = [
        *stylize(photo, painting, engine, "--size", 768, "--precision", "float32", "--threads", 2),
        "-o",
        str(out),
    ]
    subprocess.run(command, check=True)
    right = read_picture(out).pixels
    for limit in (700, 1100, 1400, 8000):
        out.unlink(missing_ok=True)
        size = limit * 10**6
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            preexec_fn=lambda size=size: resource.setrlimit(resource.RLIMIT_AS, (size, size)),
        )
        codes.append(done.returncode)
        if done.returncode == 0:
            assert np.abs(read_picture(out).pixels - right).max() < 3 / 255, limit
        else:
            assert done.returncode == 1 and not out.exists(), (limit, done.stderr)
            (line,) = [line for line in done.stderr.splitlines() if "error" in line]
            assert line.startswith("error: "), limit
            assert "broken" not in line
            assert "memory" in line or "smaller size" in line, (limit, line)
    assert codes[0] == 1 and codes[-1] == 0
