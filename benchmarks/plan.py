"""What ``--plan`` says against what painting takes: memory and seconds of whole commands, for 24 ways of painting.

    python benchmarks/plan.py CONTENT STYLE [--only fast,gatys] [--output plan.json]

Prints a table in Markdown. The runs of ``gatys`` have 14 steps at one size: the state of L-BFGS is complete after 12.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_LAUNCHER = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:])
seconds = time.perf_counter() - began
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, done.returncode]))
"""
_FAST = [[engine, "--size", str(size)] for engine in ("fast", "adain", "sanet") for size in (512, 1024, 2048, 4096)]
_FAST += [["transformer", "--size", "1024"], ["fast", "--size", "8192"]]
_SHORT = ["--scales", "1", "--steps", "14"]
_GATYS = [
    ["gatys", *_SHORT, *options.split()]
    for options in (
        "--size 384",
        "--size 512",
        "--size 768",
        "--size 1024",
        "--size 512 --precision float32",
        "--size 768 --optimizer adam",
        "--size 768 --descriptor compact",
        "--size 1024 --descriptor compact",
        "--size 1024 --tile 512",
        "--size 1024 --tile 256 --descriptor compact",
    )
]


def measure(content: Path, style: str, given: list[str], folder: Path) -> dict[str, Any]:
    """Ask for the plan of painting with ``given``, an engine and options, then paint."""
    engine, *options = given
    styles = [] if engine == "transformer" else ["-s", style]
    command = [sys.executable, "-m", "impasto", "stylize", str(content), *styles, "--engine", engine, *options]
    command += ["-o", str(folder / "out.jpg"), "--quiet"]
    asked = subprocess.run([*command, "--plan", "--json"], check=True, capture_output=True, text=True)
    planned = json.loads(asked.stdout)["plan"]
    painted = subprocess.run([sys.executable, "-c", _LAUNCHER, *command], check=True, capture_output=True, text=True)
    seconds, memory, code = json.loads(painted.stdout)
    if code:
        raise SystemExit(painted.stderr)
    return {
        "painted with": " ".join(given),
        "planned MB": round(planned["memory"] / 1e6),
        "measured MB": round(memory / 1e6),
        "memory": round(planned["memory"] / memory, 2),
        "planned s": round(planned["seconds"], 1),
        "measured s": round(seconds, 1),
    }


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("style")
    parser.add_argument("--only", help="ENGINE,... to measure")
    parser.add_argument("--output", type=Path, help="also write the rows as JSON")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else None
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for given in [*_FAST, *_GATYS]:
            if chosen and given[0] not in chosen:
                continue
            rows.append(measure(arguments.content, arguments.style, given, Path(folder)))
            if len(rows) == 1:
                print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
            print(f"| {' | '.join(str(value) for value in rows[-1].values())} |", flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
