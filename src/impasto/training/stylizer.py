"""Training of the conditional stylizer: any photograph in the style of any painting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from impasto.descriptors.devices import device_of
from impasto.images import Cell, sheet
from impasto.losses.functional import (
    blotches,
    content_distance,
    excess_grid,
    style_distance,
    total_variation,
    usual_grids,
)
from impasto.networks.conditional import NOISE_CHANNELS, STRIDE, STYLE_LAYERS
from impasto.training.data import OTHER_STEPS, fingerprint, inside
from impasto.training.painting import as_picture
from impasto.training.processes import rank, world_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.descriptors import Descriptor
    from impasto.networks.conditional import ConditionalStylizer
    from impasto.training.data import Batch, Crops
    from impasto.types import Picture

CONTENT_LAYER = "relu4_2"
_LARGE = 4.0
"""Style distances above this value grow only logarithmically."""
_PERIODS = (2, 4, 8)
"""Periods in pixels of the grids that the network's upsampling can paint."""


class ConditionalTraining:
    """Trains transformer, predictor and identity code together.

    The first picture of each batch is painted with the identity code, and compared with itself pixel by pixel. Each of
    the others is painted in the style of a different painting, and judged by a descriptor. The style loss of a layer is
    ``c log(1 + L / c)`` with ``L = |G - A|^2 / |A|^2`` and ``c`` = 4. Without the logarithm, a dark or flat painting,
    which has a small ``A``, would outweigh the rest of its batch.
    """

    def __init__(
        self,
        network: ConditionalStylizer,
        descriptor: Descriptor,
        judge: Descriptor,
        contents: Crops,
        styles: Crops,
        weights: Mapping[str, float],
    ) -> None:
        """Set up the training of ``network``.

        Args:
            network: changed in place.
            descriptor: the descriptor whose activations of style images the predictor takes.
            judge: the descriptor with which the losses are measured; it may be the same.
            contents: photographs.
            styles: paintings, as many per batch as photographs.
            weights: weights of the losses 'content', 'style', 'tv' (total variation), 'identity' (squared error of
                pixels painted with the identity code), 'grid' (patterns at the periods of the upsampling, beyond those
                of the photographs and paintings) and 'blotch' (unevenness where the photograph is even).
        """
        self.network: ConditionalStylizer = network
        self.crop = contents.size
        self._descriptor = descriptor
        self._judge = judge
        self._contents = contents
        self._styles = styles
        self._weights = weights

    @property
    def fingerprint(self) -> str:
        """Digest of the pictures and the network's shape; judge, weights and crops may change on resuming."""
        settings = [
            self._descriptor.identity,
            self.network.transformer.widths,
            self._contents.source,
            self._styles.source,
        ]
        return fingerprint(settings)

    def begin(self) -> None:
        """Start from random weights."""

    def batch(self, step: int) -> Batch:
        """Return this process's part of the photographs and paintings of ``step``, and noise for the photographs."""
        parts = world_size()
        contents, styles = (crops.at(step, part=rank(), parts=parts) for crops in (self._contents, self._styles))
        whole = contents.new_empty(self._contents.batch, *contents.shape[1:])
        noise = noise_for(whole, seed=step)[rank() :: parts].contiguous()
        return _with_skies(contents, step, first=rank(), every=parts), styles, noise

    def losses(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Compute the weighted losses of the ``batch`` of ``step``, and their sum as 'total'."""
        parts = world_size()
        contents, styles, noise = batch
        # The identity code applies to the first picture of the whole batch, which the first process has.
        styled = slice(1 if rank() == 0 else 0, None)
        styles = styles[styled]
        with torch.no_grad():
            targets = self._judge.forward(styles, STYLE_LAYERS)
            seen = targets if self._judge is self._descriptor else self._descriptor.forward(styles, STYLE_LAYERS)
            content = self._judge.forward(inside(contents[styled]), [CONTENT_LAYER])[CONTENT_LAYER]
        codes = self.network.codes(seen)
        if rank() == 0:
            codes = torch.cat([self.network.identity[None], codes])
        painted = self.network.transformer(contents, codes, noise)
        features = self._judge.forward(inside(painted[styled]), [*STYLE_LAYERS, CONTENT_LAYER])
        # This factor makes the mean over all processes equal to the mean over all styled pictures.
        share = len(styles) * parts / (self._contents.batch - 1)
        losses = {
            "content": share * content_distance(features[CONTENT_LAYER], content).mean(),
            "style": share
            * torch.stack(
                [_bounded(style_distance(features[layer], targets[layer])).mean() for layer in STYLE_LAYERS]
            ).mean(),
            "identity": parts * (painted[0] - contents[0]).square().mean() if rank() == 0 else painted.new_zeros(()),
            "tv": total_variation(painted),
            "grid": share * excess_grid(painted[styled], usual_grids([contents[styled], styles], _PERIODS)),
            "blotch": share * blotches(painted[styled], contents[styled]).mean(),
        }
        losses = {name: self._weights[name] * loss for name, loss in losses.items()}
        return {**losses, "total": torch.stack(list(losses.values())).sum()}

    def samples(self, network: ConditionalStylizer) -> Picture:
        """Paint six photographs in the styles of five paintings, and with the identity code."""
        contents, styles = (crops.at(OTHER_STEPS).to(device_of(network)) for crops in (self._contents, self._styles))
        contents, styles = contents[:6], styles[:5]
        with torch.no_grad():
            codes = network.codes(self._descriptor.forward(styles, STYLE_LAYERS))
            rows = [[Cell(as_picture(style), "style") for style in styles]]
            for content in contents:
                codes_here = torch.stack([*codes, network.identity])
                repeated = content.expand(len(codes_here), -1, -1, -1)
                painted = network.transformer(repeated, codes_here, noise_for(repeated, seed=0))
                rows.append([*(Cell(as_picture(each), "") for each in painted), Cell(as_picture(content), "content")])
        return sheet(rows, title="Samples", cell_side=self.crop)


def _bounded(distance: Tensor) -> Tensor:
    return _LARGE * (distance / _LARGE).log1p()


def _with_skies(contents: Tensor, step: int, *, first: int, every: int) -> Tensor:
    """Put a sky with a smooth gradient over the upper part of every fourth picture of a batch.

    Few photographs are as even as a drawing, or as a sky that a camera has smoothed. A network that was not trained on
    such areas paints the whole palette of a painting into them.

    Args:
        contents: (N, 3, H, W), the part of the batch that this process has.
        step: the training step, which determines the skies.
        first: position of the first of these pictures in the whole batch.
        every: distance from one of these pictures to the next in the whole batch.
    """
    height, width = contents.shape[2:]
    y, x = torch.linspace(0, 1, height)[:, None], torch.linspace(-0.5, 0.5, width)
    result = contents.clone()
    for index in range(len(contents)):
        place = first + index * every
        if place % 4 != 1:
            continue
        random = torch.Generator().manual_seed(1_000_003 * step + place)
        top, change = torch.rand(3, 1, 1, generator=random), 0.15 * torch.randn(3, 1, 1, generator=random)
        horizon, slope = torch.rand(2, generator=random)
        sky = (top + change * y).clamp(0, 1).expand(3, height, width)
        above = ((0.3 + 0.6 * horizon + 0.4 * (slope - 0.5) * x - y) * height / 2).clamp(0, 1)
        result[index] = torch.lerp(contents[index], sky, above)
    return result


def noise_for(images: Tensor, *, seed: int) -> Tensor:
    """Draw the noise that the transformer network needs for ``images`` (N, 3, H, W), on their device."""
    count, _, height, width = images.shape
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, NOISE_CHANNELS, height // STRIDE, width // STRIDE, generator=random)
    return noise.to(images.device)
