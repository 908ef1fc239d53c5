"""Speed and memory of the default engine; both sides of every comparison run in turn in one run.

python benchmarks/fast.py network [--size 1024] [--runs 7]      against Johnson's network in eager PyTorch
python benchmarks/fast.py process [--runs 7]                    cold: the whole command, as a user waits for it
python benchmarks/fast.py memory [--side 10000]                 peak of the whole command on a huge picture
python benchmarks/fast.py import [--runs 21]                    `import impasto`, less what Python itself takes
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyvips

from impasto.engines.fast import Noise
from impasto.images import read_picture, resize_picture, write_picture
from impasto.images.scale import resize_image
from impasto.runtimes.network_folder import network_folder, read_description
from impasto.runtimes.openvino_runtime import OpenVINORuntime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EXAMPLES = Path(__file__).parent.parent / "examples" / "pictures"
IMPASTO = [sys.executable, "-m", "impasto"]


def alternate(sides: Mapping[str, Callable[[], object]], runs: int) -> None:
    """Run all sides once unmeasured, then in turn; print the medians, and the ratios to the last side."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for run in range(runs + 1):
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            if run:
                seconds[name].append(time.perf_counter() - started)
    last = statistics.median(list(seconds.values())[-1])
    print(f"{runs} runs each, in turn\n\n| | median | min | max | times the last |\n|---|---|---|---|---|")
    for name, measured in seconds.items():
        middle = statistics.median(measured)
        print(f"| {name} | {middle:.3f} s | {min(measured):.3f} s | {max(measured):.3f} s | {middle / last:.2f} |")


def network(size: int, runs: int) -> None:
    """Time `render`, and Johnson's network."""
    import torch
    from torch import nn

    def block(channels: int, width: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        padding = nn.ReflectionPad2d(kernel // 2)
        norm = nn.InstanceNorm2d(width, affine=True)
        return [padding, nn.Conv2d(channels, width, kernel, stride), norm, nn.ReLU()]

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*block(128, 128, 3), *block(128, 128, 3)[:-1])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            change: torch.Tensor = self.layers(x)
            return x + change

    johnson = nn.Sequential(
        *block(3, 32, 9),
        *block(32, 64, 3, 2),
        *block(64, 128, 3, 2),
        *(Residual() for _ in range(5)),
        nn.Upsample(scale_factor=2),
        *block(128, 64, 3),
        nn.Upsample(scale_factor=2),
        *block(64, 32, 3),
        nn.ReflectionPad2d(4),
        nn.Conv2d(32, 3, 9),
    ).eval()
    network = read_description(network_folder(None))
    render = OpenVINORuntime(network_folder(None) / "render.onnx")
    tile = np.random.default_rng(0).random((1, 3, size, size), dtype=np.float32)
    identity = np.ones((1, _code_size()), np.float32)
    noise = Noise(network.noise_channels, 0).part(0, 0, size // network.stride, size // network.stride)

    def eager() -> None:
        with torch.inference_mode():
            johnson(torch.from_numpy(tile))

    print(f"{size}x{size}, {torch.get_num_threads()} threads, ", end="")
    alternate(
        {
            "Johnson et al. (2016), PyTorch, eager, float32": eager,
            "impasto's network, OpenVINO": lambda: render.run({"tile": tile, "affine": identity, "noise": noise}),
        },
        runs,
    )


def _code_size() -> int:
    from impasto.gallery import read_style_file
    from impasto.runtimes.network_folder import IDENTITY_FILE

    return len(read_style_file(network_folder(None) / IDENTITY_FILE).code)


def process(runs: int) -> None:
    """Time the command on a 1024x768 photograph, each time in a new process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_picture(resize_picture(read_picture(EXAMPLES / "harbour.jpg"), 1024, 768), folder / "photo.jpg")

        def paint(style: str, *extra: str) -> Callable[[], object]:
            return lambda: _run([*IMPASTO, "stylize", "photo.jpg", "-s", style, "-o", "out.jpg", "-q", *extra], folder)

        alternate(
            {
                "a style of the gallery": paint("starry-night"),
                "a painting it never saw": paint(str(EXAMPLES / "swirls.jpg")),
                "Python with NumPy, OpenVINO and libvips, nothing done": lambda: _run(
                    [sys.executable, "-c", "import numpy, impasto.runtimes.openvino_import, pyvips"], folder
                ),
            },
            runs,
        )


def memory(side: int) -> None:
    """Print the peak of the resident memory of the command."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = np.random.default_rng(0).integers(0, 256, (side // 50, side // 50, 3), dtype=np.uint8)
        print(f"drawing {side}x{side}", file=sys.stderr)
        # Row by row: the peak of a child process begins with what its parent had.
        resize_image(pyvips.Image.new_from_array(pixels, interpretation="srgb"), side, side).jpegsave(
            str(folder / "photo.jpg"), Q=90
        )
        for form in ("jpg", "png"):
            started = time.perf_counter()
            arguments = ["stylize", "photo.jpg", "-s", str(EXAMPLES / "swirls.jpg"), "-o", f"out.{form}", "-q"]
            peak = _peak([*IMPASTO, *arguments], folder)
            print(f"{side}x{side} to {form}: peak {peak:.0f} MiB, {time.perf_counter() - started:.0f} s")


def imported(runs: int) -> None:
    """Time `import impasto`."""
    alternate(
        {
            "import impasto": lambda: _run([sys.executable, "-c", "import impasto"], Path.cwd()),
            "nothing": lambda: _run([sys.executable, "-c", "pass"], Path.cwd()),
        },
        runs,
    )


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True)


def _peak(command: Sequence[str], folder: Path) -> float:
    """Run ``command``; return its largest resident memory in MiB (Linux)."""
    child = subprocess.Popen(command, cwd=folder)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"it failed with {status}")
    return usage.ru_maxrss / 1024


def main() -> None:
    """Run one of the four."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["network", "process", "memory", "import"])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    match arguments.what:
        case "network":
            network(arguments.size, arguments.runs)
        case "process":
            process(arguments.runs)
        case "memory":
            memory(arguments.side)
        case "import":
            imported(arguments.runs)


if __name__ == "__main__":
    main()
