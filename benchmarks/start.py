"""The start of ``impasto stylize``: when each of its phases ends, in seconds since the process began.

    python benchmarks/start.py [--engine nnst] [--size 512] [--runs 7]

Medians of fresh processes with compiled graphs in the cache, which a run before the first one fills.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURES = Path(__file__).parent.parent / "examples" / "pictures"
BEGAN = "IMPASTO_BENCHMARK_BEGAN"


def child(arguments: list[str]) -> None:
    """Run one command, and print the phases and the largest resident memory as JSON."""
    ends: dict[str, float] = {}

    def mark(phase: str) -> None:
        ends.setdefault(phase, time.time() - float(os.environ[BEGAN]))

    def marked(owner: Any, name: str, before: str | None, after: str | None) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def wrapped(*given: Any, **named: Any) -> Any:
            if before:
                mark(before)
            found = function(*given, **named)
            if after:
                mark(after)
            return found

        setattr(owner, name, wrapped)

    mark("Python")
    from impasto.cli import stylize_run
    from impasto.cli.main import run

    mark("imports of the command line")
    from impasto.runtimes import openvino_runtime

    marked(stylize_run.StylizeRun, "prepare", "options, engines", "pictures opened")
    marked(openvino_runtime, "_core", "before OpenVINO", "OpenVINO imported")
    marked(openvino_runtime.OpenVINORuntime, "__init__", None, "first graph compiled")
    marked(openvino_runtime.OpenVINORuntime, "run", "first evaluation begins", "first evaluation")
    marked(stylize_run.Result, "finish", "painted", "written")
    code = run(arguments)
    mark("end")
    print(json.dumps({"code": code, "ends": ends, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", default="nnst")
    parser.add_argument("--size", default="512")
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = ["stylize", str(PICTURES / "harbour.jpg"), "-s", str(PICTURES / "swirls.jpg"), "--engine"]
        command += [given.engine, "--size", given.size, "-q", "-o", str(Path(folder, "out.png"))]
        found = []
        for _ in range(given.runs + 1):
            environment = {**os.environ, BEGAN: str(time.time())}
            process = [sys.executable, __file__, "--child", *command]
            found.append(json.loads(subprocess.run(process, env=environment, check=True, stdout=-1).stdout))
    del found[0]
    print(f"| `{given.engine}`, {given.size} pixels | s |\n|---|---|")
    for phase in found[0]["ends"]:
        print(f"| {phase} | {statistics.median(each['ends'][phase] for each in found):.3f} |")
    print(f"\nLargest resident memory: {statistics.median(each['peak'] for each in found):.0f} MiB.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
