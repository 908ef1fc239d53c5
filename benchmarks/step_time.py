"""Time one optimisation step against a plain float32 NCHW loop of the same mathematics, in the same run.

    python benchmarks/step_time.py [--size 512] [--runs 9] [--descriptor vgg19]

The sides alternate; the third is the engine's step with the compact descriptor. Also measured: the machine's
convolution ceiling (256 -> 256 channels, 3x3, forward only, by oneDNN), and the share of it that the step's
convolutions reach.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from impasto.descriptors.catalog import load_vgg
from impasto.descriptors.compact import load_compact
from impasto.descriptors.devices import native_precision
from impasto.descriptors.vgg import layer_names
from impasto.losses.objective import GramLoss, LayerLosses, Objective, content_losses, style_losses
from impasto.optimization.descent import Descent
from impasto.optimization.memory import freed_blocks_kept
from impasto.optimization.tensors import TorchObjective

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from impasto.descriptors import Descriptor
    from impasto.descriptors.vgg import VGG

STYLE_LAYERS = {f"relu{block}_1": 1.0 for block in range(1, 6)}
CONTENT_LAYERS = {"relu4_2": 1.0}
CPU = torch.device("cpu")


class PlainLoop:
    """What a textbook script does: no memory format, no kernel choice, autograd for everything, L-BFGS of PyTorch."""

    def __init__(self, network: VGG, content: Tensor, style: Tensor) -> None:
        self.weights = {
            name: (cast("Tensor", module.weight), cast("Tensor", module.bias))
            for name, module in network.convolutions.items()
        }
        self.mean, self.std = network.mean, network.std
        with torch.no_grad():
            self.content = self.features(content)["relu4_2"]
            self.grams = {layer: self.gram(self.features(style)[layer]) for layer in STYLE_LAYERS}
        self.image = content.clone().requires_grad_(True)
        self.optimizer = torch.optim.LBFGS(
            [self.image], max_iter=1, history_size=10, tolerance_grad=0, tolerance_change=0
        )

    def features(self, image: Tensor) -> dict[str, Tensor]:
        x = (image - self.mean) / self.std
        found = {}
        for layer in layer_names("vgg19"):
            if layer.startswith("conv"):
                edges = "replicate" if layer == "conv1_1" else "constant"
                weight, bias = self.weights[layer]
                x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=edges), weight, bias)
            elif layer.startswith("relu"):
                x = F.relu(x)
            else:
                x = F.max_pool2d(x, 2)
            if layer in STYLE_LAYERS or layer in CONTENT_LAYERS:
                found[layer] = x
            if layer == "relu5_1":
                break
        return found

    @staticmethod
    def gram(features: Tensor) -> Tensor:
        flat = features[0].flatten(1)
        return flat @ flat.T / flat.shape[1]

    def loss(self) -> Tensor:
        features = self.features(self.image)
        loss = (features["relu4_2"] - self.content).square().sum() / self.content.square().sum()
        for layer, target in self.grams.items():
            distance = (self.gram(features[layer]) - target).square().sum() / target.square().sum()
            loss = loss + 10 * distance / len(STYLE_LAYERS)
        return loss

    def closure(self) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def step(self) -> float:
        """Move the image; return the loss before."""
        loss: Tensor = self.optimizer.step(self.closure)  # type: ignore[no-untyped-call]
        return float(loss.detach())


def our_step(network: Descriptor, content: Tensor, style: Tensor) -> Descent:
    """The engine's own step on the same pictures."""
    with torch.no_grad():
        parts = {
            "content": LayerLosses(
                content_losses(network.forward(content, CONTENT_LAYERS), "relative"), CONTENT_LAYERS, 1.0
            ),
            "style": LayerLosses(
                style_losses(GramLoss, [network.forward(style, STYLE_LAYERS)], [1.0], "relative"), STYLE_LAYERS, 10.0
            ),
        }
    return Descent(content.numpy(), TorchObjective(Objective(network, parts, 0.0), CPU))


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def convolution_ceiling(dtype: torch.dtype, runs: int) -> float:
    """FLOP/s of the best of ``runs`` forward convolutions, 256 -> 256 channels at 128x128, channels_last."""
    x = torch.randn(1, 256, 128, 128, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        best = min(seconds(lambda: F.conv2d(x, weight, padding=1)) for _ in range(runs))
    return 2 * 256 * 256 * 9 * 128 * 128 / best


def step_flops(network: VGG, size: int) -> float:
    """Multiply-adds times two of the convolutions up to relu5_1, forward and backward, counted as direct ones."""
    flops, side = 0.0, size
    for layer in layer_names("vgg19"):
        if layer.startswith("pool"):
            side //= 2
        elif layer.startswith("conv"):
            out_channels, in_channels = cast("Tensor", network.convolutions[layer].weight).shape[:2]
            flops += 2 * 2 * 9 * out_channels * in_channels * side * side
        if layer == "conv5_1":
            break
    return flops


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--descriptor", default="vgg19")
    arguments = parser.parse_args()
    size, runs = arguments.size, arguments.runs

    torch.manual_seed(0)
    content, style = torch.rand(1, 3, size, size), torch.rand(1, 3, size, size)
    precision = native_precision(CPU)
    plain = PlainLoop(load_vgg(arguments.descriptor), content, style)
    ours = our_step(load_vgg(arguments.descriptor, precision=precision), content, style)
    compact = our_step(load_compact(precision=precision), content, style)
    plain.step()
    plain_times: list[float] = []
    our_times: list[float] = []
    compact_times: list[float] = []
    for _ in range(runs):
        plain_times.append(seconds(plain.step))
        for descent, times in ((ours, our_times), (compact, compact_times)):
            with freed_blocks_kept():
                descent.step()  # the blocks are given back at each turn; a run keeps them
                times.append(seconds(descent.step))
    cheaper = [a / b for a, b in zip(our_times, compact_times, strict=True)]
    ratios = [a / b for a, b in zip(plain_times, our_times, strict=True)]
    plain_median, our_median = statistics.median(plain_times), statistics.median(our_times)
    ceiling = convolution_ceiling(torch.bfloat16 if precision == "bfloat16" else torch.float32, runs)
    flops = step_flops(load_vgg(arguments.descriptor), size)
    print(f"threads {torch.get_num_threads()}, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    print(f"{size}x{size}, {runs} runs, alternating; precision of ours: {precision}")
    print(f"plain float32 NCHW   {plain_median:.3f} s (min {min(plain_times):.3f}, max {max(plain_times):.3f})")
    print(f"impasto              {our_median:.3f} s (min {min(our_times):.3f}, max {max(our_times):.3f})")
    print(f"ratio                {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})")
    print(
        f"compact descriptor   {statistics.median(compact_times):.3f} s, cheaper by {statistics.median(cheaper):.1f} "
        f"(min {min(cheaper):.1f}, max {max(cheaper):.1f})"
    )
    print(f"convolution ceiling  {ceiling / 1e9:.0f} GFLOP/s (direct, {precision})")
    print(f"share of the ceiling {flops / our_median / ceiling:.0%} ({flops / 1e9:.0f} GFLOP a step)")


if __name__ == "__main__":
    main()
