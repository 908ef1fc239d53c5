"""Images per second of `impasto train classifier`, against a plain float32 loop of the same network, in the same run.

    python benchmarks/classifier_time.py FOLDER [--crop 128] [--batch 16] [--width 1.0] [--rounds 7]

The plain loop is what a textbook script does: files decoded and scaled as they come, NCHW, float32. The sides
alternate; medians of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from impasto.descriptors.devices import native_precision
from impasto.images import read_picture, resize_picture
from impasto.training.classification import Classification, VGGClassifier
from impasto.training.labelled import survey
from impasto.training.packing import Augmentation, LabelledBatches, PackedPictures
from impasto.weights.canonical import TORCHVISION

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def main() -> None:
    """Print both, and how many times faster ours is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    found = survey(arguments.folder)
    size, batch = arguments.crop, arguments.batch
    labels = [example.label for example in found.examples]

    def network() -> VGGClassifier:
        return VGGClassifier(
            "vgg19", len(found.classes), mean=TORCHVISION.mean, std=TORCHVISION.std, width=arguments.width
        ).train()

    with tempfile.TemporaryDirectory() as folder:
        pictures = PackedPictures(Path(folder), found.examples, round(1.25 * size))
        members = list(range(len(labels)))
        batches = LabelledBatches(pictures, labels, members, size, batch, 0, Augmentation(0.6, True, 0.2))
        precision = native_precision(torch.device("cpu"))
        task = Classification(network(), batches, found.classes, members[:1])
        plain = network()
        random = np.random.default_rng(0)

        def textbook(step: int) -> Tensor:
            chosen = random.choice(len(labels), batch, replace=False)
            images = [resize_picture(read_picture(found.examples[each].path), size, size).pixels for each in chosen]
            image = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
            return functional.cross_entropy(plain(image), torch.tensor([labels[each] for each in chosen]))

        def autocasted(step: int) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                return task.losses(step, task.batch(step))["total"]

        sides: dict[str, Callable[[int], None]] = {
            f"impasto, {precision}": _learning(autocasted, task.network),
            "plain loop, float32": _learning(textbook, plain),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for round_ in range(arguments.rounds + 1):
            for name, step in sides.items():
                start = time.perf_counter()
                step(round_)
                if round_:
                    seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    for name, median in medians.items():
        print(f"{name}: {batch / median:.1f} images per second")
    ours, theirs = medians.values()
    print(f"{theirs / ours:.2f} times as many; {torch.get_num_threads()} threads, {arguments.rounds} rounds")


def _learning(loss: Callable[[int], Tensor], network: VGGClassifier) -> Callable[[int], None]:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step(number: int) -> None:
        optimizer.zero_grad()
        loss(number).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
