"""Time until the engine reaches the loss that a plain single-scale float32 L-BFGS run ends with, and the reverse.

    python benchmarks/time_to_loss.py CONTENT STYLE [--size 512] [--steps 500] [--engine-steps 300] [--descriptor vgg19]

Both sides start from the content image and minimise the same objective (relative losses, style weight 10, no total
variation). The plain side is PyTorch's L-BFGS on the loop of ``step_time.py``. The engine's losses are evaluated at
full size in float32, by the plain loop's own objective, with the clock stopped. The reverse: how long the plain side
needs to the loss that the engine ends with.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import torch
from step_time import CPU, PlainLoop

from impasto.descriptors.catalog import load_vgg
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.optimization import OptimizationEngine
from impasto.images import LazyPicture, fit_size, read_picture, resize_picture
from impasto.optimization.tensors import to_tensor
from impasto.options import GatysOptions

if TYPE_CHECKING:
    from impasto.types import Picture, Step


def main() -> None:
    """Print both sides' times and the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--engine-steps", type=int, default=300)
    parser.add_argument("--descriptor", default="vgg19")
    arguments = parser.parse_args()

    pictures = []
    for path in (arguments.content, arguments.style):
        picture = read_picture(path)
        pictures.append(resize_picture(picture, *fit_size(picture.width, picture.height, arguments.size)))
    content, style = pictures
    plain = PlainLoop(load_vgg(arguments.descriptor), to_tensor(content.pixels, CPU), to_tensor(style.pixels, CPU))
    times, losses = [], []
    for step in range(arguments.steps):
        started = time.perf_counter()
        losses.append(plain.step())
        times.append(time.perf_counter() - started)
        with torch.no_grad():
            plain.image.clamp_(0, 1)
        if step % 50 == 0:
            print(f"plain step {step}: loss {losses[-1]:.4f}, {sum(times):.0f} s", flush=True)
    with torch.no_grad():
        goal = float(plain.loss())
    print(
        f"plain: loss {goal:.4f} after {arguments.steps} steps, {sum(times):.1f} s "
        f"(median step {statistics.median(times):.3f} s)",
        flush=True,
    )

    def loss_of(picture: Picture) -> float:
        plain.image = to_tensor(picture.pixels, CPU)
        with torch.no_grad():
            return float(plain.loss())

    engine = OptimizationEngine(
        GatysOptions(
            size=arguments.size,
            steps=arguments.engine_steps,
            tv_weight=0,
            style_weight=10,
            style_margin=0,
            descriptor=arguments.descriptor,
        )
    )
    spent, started = 0.0, time.perf_counter()

    class Reached(Exception):  # noqa: N818 - not an error
        pass

    def on_step(step: Step) -> None:
        nonlocal spent, started
        at_full_size = max(step.scale) == arguments.size
        near = step.losses["total"] <= goal * 1.02
        if not at_full_size or not (near or step.done % 10 == 0 or step.done == step.total):
            return
        spent += time.perf_counter() - started
        loss = loss_of(step.preview())
        print(f"impasto: step {step.done} of {step.total}, loss {loss:.4f}, {spent:.1f} s", flush=True)
        if step.done == step.total:
            needed = next((n for n, each in enumerate(losses, 1) if each <= loss), len(losses))
            print(f"the plain loop needs {sum(times[:needed]):.1f} s for it: ratio {sum(times[:needed]) / spent:.1f}")
        if loss <= goal:
            raise Reached
        started = time.perf_counter()

    try:
        engine.stylize(StylizeInputs(LazyPicture.of(content), (Style(style),)), on_step=on_step)
        print(f"impasto did not reach {goal:.4f}")
    except Reached:
        print(f"ratio {sum(times) / spent:.1f}")


if __name__ == "__main__":
    main()
