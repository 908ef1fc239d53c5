"""Comparison of many options on one pair of pictures, with one measure."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from impasto.descriptors.catalog import load_descriptor_of
from impasto.descriptors.devices import choose_device
from impasto.engines.catalog import ENGINES, create_engine
from impasto.errors import ImpastoError, Interrupted, UsageError
from impasto.images import Limits
from impasto.images.scale import resize_pixels
from impasto.losses.functional import content_distance
from impasto.losses.objective import GramLoss, LayerLosses, style_losses
from impasto.optimization.memory import PeakMemory
from impasto.optimization.stages import fit_layers
from impasto.optimization.tensors import to_tensor
from impasto.options import DescentOptions
from impasto.types import as_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from impasto.comparison.sweeps import Variant
    from impasto.descriptors import Descriptor
    from impasto.engines.base import Engine, StylizeInputs
    from impasto.types import OnStep, Picture, Step

CONTENT_LAYERS = ("relu4_2",)
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@dataclass(frozen=True)
class Result:
    """The result of one variant."""

    variant: Variant
    picture: Picture | None = None
    """None if the variant failed."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """Losses of the last step, with the weights of the variant."""
    distances: Mapping[str, float] = field(default_factory=dict)
    """'content' and 'style' distances by `DistanceMeasure`, the same measure for all variants."""
    seconds: float = 0.0
    error: str = ""
    """Reason of the failure."""
    peak_memory: int | None = None
    """Peak memory in bytes of the process while it painted, including memory that it held before; None if the system
    does not report it."""


def compare(
    inputs: StylizeInputs,
    variants: Sequence[Variant],
    *,
    on_step: OnStep,
    load: Callable[[DescentOptions], Descriptor] = load_descriptor_of,
) -> Iterator[Result]:
    """Paint ``inputs`` with the options of each of ``variants``, and yield the results as they come.

    All engines are created once before the first picture, so that options which no engine takes cost no time. A
    variant that fails later yields a result that says why, and the next one is tried.

    Args:
        inputs: the pictures.
        variants: the options; at least one variant.
        on_step: called after every step with the progress over all variants; an exception from it stops the run.
        load: loads a descriptor network; called once for all variants that share one.

    Raises:
        UsageError: an engine does not take the options of a variant; a result would be too large; or there is no such
            descriptor or device (of the first variant of engine 'gatys', or by default; its descriptor is the measure).
        WeightsError: its weights cannot be fetched or read.
        Interrupted: KeyboardInterrupt arrived; carries the best picture of the current variant.
    """

    @functools.cache
    def network(descriptor: str, pooling: str, precision: str, device: str) -> Descriptor:
        values = {"descriptor": descriptor, "pooling": pooling, "precision": precision, "device": device}
        return load(DescentOptions.parse(values))

    first = _descent_options(variants)
    measure = DistanceMeasure(
        inputs, network(first.descriptor, "max", "float32", first.device), choose_device(first.device)
    )

    def engine_of(variant: Variant) -> Engine:
        options = variant.options
        seen = network(*options.network_key) if isinstance(options, DescentOptions) else None
        return create_engine(variant.engine, options, network=seen)

    for variant in variants:
        try:
            Limits().check_result(inputs.content.width, inputs.content.height, variant.options.size)
            engine_of(variant)
        except UsageError as error:
            raise UsageError(f"{variant.label}: {error}") from error
    steps = [variant.options.expected_steps for variant in variants]
    for index, variant in enumerate(variants):
        part = as_part(on_step, variant.label, steps, index)
        try:
            yield _paint(inputs, variant, engine_of(variant), measure, part)
        except Interrupted:
            raise
        except ImpastoError as error:
            yield Result(variant, error=str(error))


def _descent_options(variants: Sequence[Variant]) -> DescentOptions:
    """Return the options of the first variant that paints through a descriptor network in PyTorch, or the default."""
    for variant in variants:
        if isinstance(variant.options, DescentOptions):
            return variant.options
    return DescentOptions()


class DistanceMeasure:
    """Distances of pictures from a content image and from style images, measured in the same way for every engine.

    Distances are measured at the size of the picture; equal pictures have distance 0. The content distance is the mean
    squared difference of relu4_2, with each channel scaled to mean 0 and variance 1. The style distance is the
    relative squared distance of Gram matrices, averaged over relu1_1 to relu5_1.
    """

    def __init__(self, inputs: StylizeInputs, network: Descriptor, device: torch.device) -> None:
        """Use the content image and the style images of ``inputs``, and ``network``, whose weights are on ``device``.

        Raises:
            UnknownNameError: ``network`` lacks one of the layers.
        """
        self._inputs = inputs
        self._network = network
        self._device = device
        self._minimum = max(network.minimum_size(layer) for layer in (*CONTENT_LAYERS, *STYLE_LAYERS))

    @torch.no_grad()
    def __call__(self, picture: Picture) -> dict[str, float]:
        """Return the distances 'content' and 'style' of ``picture``."""
        width, height = fit_layers(picture.width, picture.height, max(picture.width, picture.height), self._minimum)
        content = self._see(self._inputs.content.read(), width, height, CONTENT_LAYERS)
        styles = []
        for style in (each.picture for each in self._inputs.styles):
            size = fit_layers(style.width, style.height, max(width, height), self._minimum)
            styles.append(self._see(style, *size, STYLE_LAYERS))
        seen = self._see(picture, width, height, (*CONTENT_LAYERS, *STYLE_LAYERS))
        style_parts = style_losses(GramLoss, styles, self._inputs.shares, "relative")
        style_loss = LayerLosses(style_parts, dict.fromkeys(style_parts, 1.0), 1.0)
        (layer,) = CONTENT_LAYERS
        return {"content": float(content_distance(seen[layer], content[layer])), "style": float(style_loss(seen))}

    def _see(self, picture: Picture, width: int, height: int, layers: tuple[str, ...]) -> Mapping[str, Tensor]:
        image = to_tensor(resize_pixels(picture.pixels, height, width), self._device)
        return self._network.forward(image, layers)


def _paint(
    inputs: StylizeInputs, variant: Variant, engine: Engine, measure: DistanceMeasure, on_step: OnStep
) -> Result:
    losses: Mapping[str, float] = {}

    def watch(step: Step) -> None:
        nonlocal losses
        losses = step.losses
        on_step(step)

    if ENGINES[variant.engine].styles == "own":
        inputs = replace(inputs, styles=())  # the network has its own style
    started = time.monotonic()
    with PeakMemory() as memory:
        picture = engine.stylize(inputs, on_step=watch)
    seconds = time.monotonic() - started
    return Result(variant, picture, losses, measure(picture), seconds, peak_memory=memory.bytes)
