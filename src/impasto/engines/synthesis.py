"""Texture synthesis: Gatys, Ecker and Bethge (2015), "Texture Synthesis Using Convolutional Neural Networks".

The optimisation starts from white noise and matches the Gram matrices of the examples from coarse to fine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from impasto.descriptors.base import check_size
from impasto.descriptors.devices import choose_device
from impasto.engines.descriptor import load_descriptor_of
from impasto.engines.initialization import white_noise
from impasto.engines.metadata import result_metadata
from impasto.engines.tensors import to_tensor
from impasto.engines.torch_objective import TorchObjective
from impasto.images.scale import crop_margin, resize_pixels
from impasto.losses.catalog import STYLE_LOSSES
from impasto.losses.objective import LayerLosses, Objective
from impasto.losses.style import style_losses
from impasto.optimization.memory.process import freed_blocks_kept
from impasto.optimization.memory.shortage import shortage_explained
from impasto.optimization.scales import fit_layers, plan_scales
from impasto.optimization.stages import CoarseToFine, Run
from impasto.options import layer_weights
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from impasto.engines.base import Style
    from impasto.optimization.scales import Stage
    from impasto.options import TextureOptions
    from impasto.types import FloatArray, OnStep

_WRAP = 32
"""Circular padding in pixels at each edge of a tileable texture."""


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
        losses = style_losses(STYLE_LOSSES.load(options.style_loss), seen, shares, "relative")
        objective = Objective(descriptor, {"style": LayerLosses(losses, weights, 1.0)}, options.tv_weight)
        around = min(_WRAP, scale.width, scale.height)

        def wrapped(image: Tensor) -> Mapping[str, Tensor]:
            losses: Mapping[str, Tensor] = objective(functional.pad(image, [around] * 4, mode="circular"))
            return losses

        return TorchObjective(wrapped if tileable else objective, device)

    metadata = result_metadata("gatys", options, descriptor=f"{descriptor.name} sha256:{descriptor.identity}")

    def finish(made: FloatArray) -> Picture:
        return Picture(made, metadata=metadata)

    run = Run(
        scales,
        CoarseToFine(objective_at, finish),
    )
    with shortage_explained(f"{width}x{height} pixels"), freed_blocks_kept():
        start = white_noise(scales[0].height, scales[0].width, options.seed)
        return finish(run.minimize(start, on_step=on_step))
