"""Benchmark of the engines on this machine: time, memory and distances of complete commands."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.engines.base import StylizeInputs
from impasto.engines.catalog import ENGINES
from impasto.errors import ImpastoError
from impasto.files import write_whole
from impasto.images import open_picture, read_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from impasto.engines.base import Style

# The peak memory of a process starts at that of its parent, so commands are started from this small process.
_LAUNCHER = """
import json, subprocess, sys, time
started = time.monotonic()
code = subprocess.call(sys.argv[1:])
seconds = time.monotonic() - started
try:
    import resource
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
except ImportError:
    memory = None
print(json.dumps([seconds, memory]))
sys.exit(code)
"""
_COMMITTED = files("impasto.bundled") / "bench.json"


@dataclass(frozen=True)
class Figures:
    """Measurements of one engine at one size, run as a separate command."""

    engine: str
    size: int
    """Long side in pixels."""
    seconds: float
    """Time from the start of the command to its end, the median of the runs."""
    memory: int | None
    """Peak resident memory of the command in bytes; None if the system does not report it."""
    content: float | None
    """Distance from the content, as `impasto compare` measures it; None without PyTorch."""
    style: float | None
    """Distance from the style, measured likewise."""


def measure_engines(
    content: Path,
    style: str,
    looked_at: Style,
    engines: Sequence[str],
    sizes: Sequence[int],
    runs: int,
    on_run: Callable[[str], None],
) -> list[Figures]:
    """Run every engine at every size, and repeat this until each has ``runs`` runs.

    Args:
        content: the picture to paint.
        style: the style, as the command line names it.
        looked_at: the same style with its picture, from which distances are measured.
        engines: names of the engines.
        sizes: long sides of the results in pixels.
        runs: number of runs; seconds are the median of the runs, memory is the maximum.
        on_run: called after each run with a sentence about it.

    Raises:
        ImpastoError: a command failed; the message is that of the command.
    """
    cells = [(name, side) for side in sizes for name in engines]
    measured: dict[tuple[str, int], list[tuple[float, int | None]]] = {cell: [] for cell in cells}
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs):
            for name, side in cells:
                result = Path(folder) / f"{name}-{side}.png"
                measured[name, side].append(_timed(_command(content, style, name, side, result)))
                on_run(f"run {run + 1} of {runs}: {name} at {side}: {measured[name, side][-1][0]:.1f} s")
        measure = _measure(content, looked_at)
        distances = {(name, side): measure(Path(folder) / f"{name}-{side}.png") for name, side in cells}
    figures = []
    for (name, side), found in measured.items():
        peaks = [memory for _, memory in found if memory]
        median = statistics.median(seconds for seconds, _ in found)
        figures.append(Figures(name, side, median, max(peaks, default=None), *distances[name, side]))
    return figures


def write_figures(figures: Sequence[Figures], runs: int, path: Path) -> None:
    """Write ``figures`` as JSON, with a description of the machine.

    Raises:
        FileWriteError: the file cannot be written.
    """
    facts = {"machine": _machine(), "runs": runs, "figures": [asdict(each) for each in figures]}
    write_whole(path, json.dumps(facts, indent=1).encode() + b"\n")


def as_table(figures: Sequence[Figures]) -> str:
    """Return ``figures`` as a Markdown table, with their seconds relative to those in the bundled ``bench.json``."""
    committed = _committed()
    lines = [
        "| engine | size | seconds | times the released | memory, MB | content | style |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in figures:
        reference = committed.get((each.engine, each.size))
        cells = [
            each.engine,
            str(each.size),
            f"{each.seconds:.2f}",
            f"{each.seconds / reference:.2f}" if reference else "–",
            f"{each.memory / 1e6:.0f}" if each.memory else "–",
            f"{each.content:.2f}" if each.content is not None else "–",
            f"{each.style:.3f}" if each.style is not None else "–",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Times the released: seconds here, divided by those of the machine that this version was measured on.",
    ]
    lines += ["Content, style: distances from the two pictures, as in `impasto compare`; 0 is the same."]
    return "\n".join(lines)


def _command(content: Path, style: str, engine: str, size: int, result: Path) -> list[str]:
    styles = ["-s", style] if ENGINES[engine].styles == "any" else []
    options = ["--engine", engine, "--size", str(size), "-o", str(result), "--quiet"]
    return [sys.executable, "-m", "impasto", "stylize", str(content), *styles, *options]


def _timed(command: Sequence[str]) -> tuple[float, int | None]:
    """Run ``command``; return its time in seconds and its peak resident memory in bytes.

    Raises:
        ImpastoError: the command failed; the message is that of the command.
    """
    done = subprocess.run([sys.executable, "-c", _LAUNCHER, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().removeprefix("error: ")
        raise ImpastoError(said or f"the command ended with code {done.returncode}")
    seconds, memory = json.loads(done.stdout)
    return seconds, memory * (1 if sys.platform == "darwin" else 1024) if memory else None


def _measure(content: Path, style: Style) -> Callable[[Path], tuple[float | None, float | None]]:
    """Return a function that measures the distances of a result from content and style."""
    if find_spec("torch") is None:
        return lambda result: (None, None)
    from impasto.comparison.compare import DistanceMeasure
    from impasto.descriptors.catalog import load_descriptor_of
    from impasto.descriptors.devices import choose_device
    from impasto.options import DescentOptions

    options = DescentOptions.parse({"precision": "float32"})
    inputs = StylizeInputs(open_picture(content), (style,))
    measure = DistanceMeasure(inputs, load_descriptor_of(options), choose_device(options.device))

    def distances(result: Path) -> tuple[float, float]:
        found = measure(read_picture(result))
        return found["content"], found["style"]

    return distances


def _committed() -> dict[tuple[str, int], float]:
    """Return the seconds in the bundled ``bench.json``, by engine and size."""
    figures = json.loads(_COMMITTED.read_text())["figures"]
    return {(each["engine"], each["size"]): each["seconds"] for each in figures}


def _machine() -> str:
    return f"{os.cpu_count()} processors, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
