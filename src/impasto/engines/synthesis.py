"""Texture synthesis: Gatys, Ecker and Bethge (2015), "Texture Synthesis Using Convolutional Neural Networks".

The optimisation starts from white noise and matches the Gram matrices of the examples from coarse to fine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from impasto.descriptors import check_size
from impasto.descriptors.catalog import load_descriptor_of
from impasto.descriptors.devices import choose_device
from impasto.engines.base import result_metadata
from impasto.engines.initialization import white_noise
from impasto.errors import shortage_explained
from impasto.images.scale import crop_margin, resize_pixels
from impasto.losses.objective import STYLE_LOSSES, LayerLosses, Objective, style_losses
from impasto.optimization.memory import freed_blocks_kept
from impasto.optimization.stages import CoarseToFine, Run, fit_layers, plan_scales
from impasto.optimization.tensors import TorchObjective, storage_on, to_tensor
from impasto.options import layer_weights
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor

    from impasto.descriptors import Descriptor
    from impasto.engines.base import Style
    from impasto.optimization.stages import Stage
    from impasto.options import TextureOptions
    from impasto.types import Features, FloatArray, OnStep

_PHASE = 16
"""Stride in pixels of the deepest layers. A margin that is a multiple of it leaves the positions of features alone."""


class TileView:
    """A descriptor's view of a picture that is surrounded by copies of itself, as far as the layers reach."""

    def __init__(self, descriptor: Descriptor) -> None:
        """Take the ``descriptor`` that looks."""
        self._descriptor = descriptor

    def forward(self, image: Tensor, layers: Iterable[str]) -> Features:
        """See `FeatureExtractor.forward`."""
        wanted = tuple(layers)
        reach = max(self._descriptor.reach(layer) for layer in wanted)
        margin = -(-reach // _PHASE) * _PHASE
        rows, columns = (torch.arange(-margin, side + margin) % side for side in image.shape[2:])
        features = self._descriptor.forward(image[:, :, rows[:, None], columns], wanted)
        return {layer: _inside(seen, round(margin * seen.shape[3] / len(columns))) for layer, seen in features.items()}


def _inside(features: Tensor, margin: int) -> Tensor:
    """Cut ``margin`` positions off each edge of ``features`` (1, C, h, w)."""
    return features[:, :, margin : features.shape[2] - margin, margin : features.shape[3] - margin]


def synthesize(
    styles: Sequence[Style],
    shares: Sequence[float],
    width: int,
    height: int,
    options: TextureOptions,
    *,
    tileable: bool,
    on_step: OnStep,
    on_download: Callable[[int, int | None], None] | None = None,
) -> Picture:
    """Make a texture like ``styles``.

    Args:
        styles: example pictures.
        shares: share of each style in the mixture; their sum is 1.
        width: width of the texture in pixels.
        height: height of the texture in pixels.
        options: options of the optimisation.
        tileable: True to make opposite edges of the texture fit together.
        on_step: called after every step; an exception from it stops the run.
        on_download: called with bytes received and bytes in total if the descriptor's weights have to be fetched.

    Raises:
        UsageError: there is no such descriptor, layer or device.
        ImageSizeError: a picture is too small for the layers.
        OutOfMemoryError: the memory does not suffice.
        Interrupted: the user stopped the run with Ctrl-C. The error carries the best picture so far.
    """
    descriptor = load_descriptor_of(options, on_download)
    device = choose_device(options.device)
    weights = layer_weights(options.style_layers)
    check_size(descriptor, width, height, weights, "texture")
    minimum = max(descriptor.minimum_size(layer) for layer in weights)
    pixels = [crop_margin(style.picture.pixels, options.style_margin) for style in styles]
    scales = plan_scales(
        width, height, options.scales, options.steps, minimum, options.optimizer, options.learning_rate
    )

    def objective_at(scale: Stage) -> TorchObjective:
        shrunk = scale.width / width
        seen = []
        with torch.no_grad():
            for each in pixels:
                rows, columns = each.shape[:2]
                long_side = max(rows, columns) * options.stroke_size * shrunk
                seen_width, seen_height = fit_layers(columns, rows, long_side, minimum)
                seen.append(
                    descriptor.forward(to_tensor(resize_pixels(each, seen_height, seen_width), device), weights)
                )
        losses = style_losses(STYLE_LOSSES[options.style_loss], seen, shares, "relative")
        sight = TileView(descriptor) if tileable else descriptor
        parts = {"style": LayerLosses(losses, weights, 1.0)}
        return TorchObjective(Objective(sight, parts, options.tv_weight, circular=tileable), device)

    metadata = result_metadata("gatys", options, descriptor=f"{descriptor.name} sha256:{descriptor.identity}")

    def finish(made: FloatArray) -> Picture:
        return Picture(made, metadata=metadata)

    stages = [replace(scale, circular=tileable) for scale in scales]
    run = Run(stages, CoarseToFine(objective_at, finish), memory=storage_on(device))
    with shortage_explained(f"{width}x{height} pixels"), freed_blocks_kept():
        start = white_noise(scales[0].height, scales[0].width, options.seed)
        return finish(run.minimize(start, on_step=on_step))
