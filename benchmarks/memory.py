"""Peak memory of a run, and its growth over the steps.

python benchmarks/memory.py [--size 1024] [--steps 12] [--descriptor vgg19]
"""

from __future__ import annotations

import argparse
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.base import Style, StylizeInputs
from impasto.engines.optimization import OptimizationEngine
from impasto.images import LazyPicture
from impasto.options import GatysOptions
from impasto.types import Picture

if TYPE_CHECKING:
    from impasto.types import Step


def resident_megabytes() -> float:
    """Memory that the process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    """Print the memory before, after each step, and the peak."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--descriptor", default="vgg19")
    arguments = parser.parse_args()
    size = arguments.size
    picture = Picture(np.random.default_rng(0).random((size, size, 3), dtype=np.float32))
    engine = OptimizationEngine(
        GatysOptions(size=size, scales=1, steps=arguments.steps, descriptor=arguments.descriptor)
    )
    print(f"{size}x{size}; before: {resident_megabytes():.0f} MiB")

    def on_step(step: Step) -> None:
        print(f"step {step.done}: {resident_megabytes():.0f} MiB", flush=True)

    engine.stylize(StylizeInputs(LazyPicture.of(picture), (Style(picture),)), on_step=on_step)
    print(f"peak: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
