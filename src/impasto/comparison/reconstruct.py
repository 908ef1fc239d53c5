"""Reconstructions of an image from layers of a descriptor network: Gatys, Ecker and Bethge (2016), figure 1.

Each picture starts as white noise. It is optimised until it matches the image: in the activations of one layer
(content), or only in the statistics of several layers (style).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

from impasto.descriptors import check_size
from impasto.descriptors.catalog import load_descriptor_of
from impasto.descriptors.devices import choose_device
from impasto.engines.initialization import initial_pixels
from impasto.images.scale import fit_size, resize_pixels
from impasto.losses.objective import STYLE_LOSSES, LayerLosses, Objective, content_losses, style_losses
from impasto.optimization.memory import freed_blocks_kept
from impasto.optimization.stages import CoarseToFine, Run, Stage
from impasto.optimization.tensors import TorchObjective, storage_on, to_tensor
from impasto.options import layer_names
from impasto.types import Picture, as_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import nn

    from impasto.descriptors import Descriptor
    from impasto.options import DescentOptions, ReconstructOptions
    from impasto.types import FloatArray, OnStep, Step


@dataclass(frozen=True)
class Reconstruction:
    """A picture reconstructed from the activations (content) or the statistics (style) of ``layers``."""

    kind: Literal["content", "style"]
    layers: tuple[str, ...]
    picture: Picture
    losses: Mapping[str, float] = field(default_factory=dict)
    """Weighted losses of the last step; the first key is ``kind``."""
    seconds: float = 0.0


def reconstruct(
    image: Picture,
    options: ReconstructOptions,
    *,
    on_step: OnStep,
    load: Callable[[DescentOptions], Descriptor] = load_descriptor_of,
) -> Iterator[Reconstruction]:
    """Reconstruct ``image`` from each of the layers that ``options`` name, and yield the pictures as they come.

    Args:
        image: the image to reconstruct; transparency is ignored.
        options: layers, size, steps, optimizer, descriptor and device.
        on_step: called after every step with the progress over all pictures; an exception from it stops the run.
        load: loads the descriptor network.

    Raises:
        UsageError: there is no such descriptor, layer or device.
        ImageSizeError: ``options.size`` is too small for the layers.
        Interrupted: the user stopped the run with Ctrl-C.
    """
    descriptor = load(options)
    width, height = fit_size(image.width, image.height, options.size)
    content, style = layer_names(options.content), layer_names(options.style)
    check_size(descriptor, width, height, [*content, *style])
    pixels = resize_pixels(image.over_white, height, width)
    wanted: list[tuple[Literal["content", "style"], tuple[str, ...]]] = []
    wanted += [("style", tuple(style[: depth + 1])) for depth in range(len(style))]
    wanted += [("content", (layer,)) for layer in content]
    for index, (kind, layers) in enumerate(wanted):
        name = f"{kind} {layers[-1]}"
        part = as_part(on_step, name, [options.steps] * len(wanted), index)
        yield _reconstruct(pixels, kind, layers, descriptor, options, part)


def _reconstruct(
    pixels: FloatArray,
    kind: Literal["content", "style"],
    layers: tuple[str, ...],
    descriptor: Descriptor,
    options: ReconstructOptions,
    on_step: OnStep,
) -> Reconstruction:
    device = choose_device(options.device)
    losses: Mapping[str, float] = {}

    def objective_at(_: Stage) -> TorchObjective:
        with torch.no_grad():
            features = descriptor.forward(to_tensor(pixels, device), layers)
        parts: Mapping[str, nn.Module]
        if kind == "content":
            parts = content_losses(features, "relative")
        else:
            parts = style_losses(STYLE_LOSSES[options.style_loss], [features], [1.0], "relative")
        equal = dict.fromkeys(layers, 1.0)
        tv_weight = _tv_weight(descriptor, layers, options)
        return TorchObjective(Objective(descriptor, {kind: LayerLosses(parts, equal, 1.0)}, tv_weight), device)

    def watch(step: Step) -> None:
        nonlocal losses
        losses = step.losses
        on_step(step)

    height, width = pixels.shape[:2]
    run = Run(
        [Stage(width, height, options.steps, options.optimizer, options.learning_rate)],
        CoarseToFine(objective_at, Picture),
        memory=storage_on(device),
    )
    started = time.monotonic()
    noise = initial_pixels("noise", pixels, pixels, height, width, options.seed)
    with freed_blocks_kept():
        result = run.minimize(noise, on_step=watch)
    return Reconstruction(kind, layers, Picture(result), losses, time.monotonic() - started)


def _tv_weight(descriptor: Descriptor, layers: tuple[str, ...], options: ReconstructOptions) -> float:
    """Return the weight of the total variation.

    It grows with the area in pixels per position of the deepest layer, and equals ``options.tv_weight`` at 16 x 16.
    Deep layers do not determine single pixels, so noise would remain without it. Differs from Gatys et al. (2016), who
    do not use total variation.
    """
    pixels_per_position = max(descriptor.minimum_size(layer) // 2 for layer in layers) ** 2
    return options.tv_weight * pixels_per_position / 256
