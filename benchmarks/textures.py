"""Milliseconds and memory of a sample of 256x256 pixels from each bundled texture network, warm.

python benchmarks/textures.py [--side 256] [--runs 21]

Ulyanov et al. (2016), section 5: 20 ms and 170 MB on a GPU of 2015. Memory is what the process has at its peak beyond
what it had with impasto and its runtime imported.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import psutil

from impasto.engines.texture_net import TextureNetSynthesizer
from impasto.optimization.memory import PeakMemory
from impasto.options import TextureNetSynthesisOptions
from impasto.runtimes.network_folder import bundled_networks
from impasto.runtimes.openvino_import import openvino  # noqa: F401 - what is imported before counts as there already


def main() -> None:
    """Print one line for each network."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--runs", type=int, default=21)
    arguments = parser.parse_args()
    sys.stdout.write("| texture | median ms | min ms | MiB |\n|---|---|---|---|\n")
    for name in bundled_networks("texture"):
        before = psutil.Process().memory_info().rss
        milliseconds = []
        with PeakMemory() as memory:
            maker = TextureNetSynthesizer(TextureNetSynthesisOptions(network=name))
            for _ in range(arguments.runs + 1):
                started = time.perf_counter()
                list(maker.synthesize(arguments.side, arguments.side, tileable=False, on_step=lambda step: None))
                milliseconds.append(1000 * (time.perf_counter() - started))
        warm = milliseconds[1:]
        grown = ((memory.bytes or before) - before) / 2**20
        sys.stdout.write(f"| {name} | {statistics.median(warm):.0f} | {min(warm):.0f} | {grown:.0f} |\n")


if __name__ == "__main__":
    main()
