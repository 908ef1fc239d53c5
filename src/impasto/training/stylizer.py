"""Training of the arbitrary stylizer: any photograph in the style of any painting."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from impasto.images import Cell, sheet
from impasto.losses.functional import gram_matrix, grid_share, relative_distance, total_variation
from impasto.networks.arbitrary import STYLE_LAYERS
from impasto.networks.blocks import instance_norm
from impasto.networks.conditional import NOISE_CHANNELS, STRIDE
from impasto.types import Picture

if TYPE_CHECKING:
    from impasto.descriptors.base import Descriptor
    from impasto.networks.arbitrary import ArbitraryStylizer
    from impasto.training.data import Crops

CONTENT_LAYER = "relu4_2"
_OTHER_STEPS = 10**9
"""Batches from here on are not trained on."""
_UNJUDGED = 8
"""Pixels at each edge of what is painted that the losses do not see: networks that pad with zeros know where a picture
ends, and would have a frame painted there."""
_LARGE = 4.0
"""Style distances above this count by their logarithm."""
_PERIODS = (2, 4, 8)
"""Pixels, of the network's enlargements."""


@dataclass(frozen=True)
class LossWeights:
    """Of the parts of the loss."""

    content: float
    style: float
    total_variation: float
    identity: float
    """Of the squared error of pixels painted with the code that should change nothing."""
    grid: float
    """Of what repeats itself at the periods of the enlargements, beyond what the photographs and paintings have."""


class ConditionalTraining:
    """Learns transformer, predictor and identity code together.

    Of each batch, the first picture is painted with the identity code and compared with itself, pixel by pixel; the
    others are painted each in the style of another painting, and judged by a descriptor. The style loss of a layer
    enters as ``c log(1 + L / c)`` with ``L = |G - A|^2 / |A|^2`` and ``c`` = 4: a dark or flat painting has a small
    ``A``, and would otherwise outweigh the rest of its batch.
    """

    def __init__(
        self,
        network: ArbitraryStylizer,
        descriptor: Descriptor,
        judge: Descriptor,
        contents: Crops,
        styles: Crops,
        weights: LossWeights,
    ) -> None:
        """Let ``network`` learn.

        Args:
            network: changed in place.
            descriptor: what the predictor sees style images with.
            judge: what the losses are measured with; may be the same.
            contents: photographs.
            styles: paintings, as many per batch.
            weights: of the losses.
        """
        self.network: ArbitraryStylizer = network
        self.crop = contents.size
        self._descriptor = descriptor
        self._judge = judge
        self._contents = contents
        self._styles = styles
        self._weights = weights

    @property
    def fingerprint(self) -> str:
        """Of the pictures and the network's shape. Judge, weights and crops may change on the way."""
        settings = [
            self._descriptor.identity,
            self.network.transformer.widths,
            self._contents.source,
            self._styles.source,
        ]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def begin(self) -> None:
        """Start from random weights."""

    def losses(self, step: int) -> dict[str, Tensor]:
        """Compute the weighted losses of the batch of ``step``, and their sum as 'total'."""
        contents, styles = self._contents.at(step), self._styles.at(step)[1:]
        with torch.no_grad():
            targets = self._judge.forward(styles, STYLE_LAYERS)
            seen = targets if self._judge is self._descriptor else self._descriptor.forward(styles, STYLE_LAYERS)
            content = self._judge.forward(_inside(contents[1:]), [CONTENT_LAYER])[CONTENT_LAYER]
        codes = torch.cat([self.network.identity[None], self.network.codes(seen)])
        painted = self.network.transformer(contents, codes, noise_for(contents, seed=step))
        features = self._judge.forward(_inside(painted[1:]), [*STYLE_LAYERS, CONTENT_LAYER])
        weights = self._weights
        losses = {
            "content": weights.content * content_distance(features[CONTENT_LAYER], content).mean(),
            "style": weights.style
            * torch.stack(
                [_bounded(style_distance(features[layer], targets[layer])).mean() for layer in STYLE_LAYERS]
            ).mean(),
            "identity": weights.identity * (painted[0] - contents[0]).square().mean(),
            "tv": weights.total_variation * total_variation(painted),
            "grid": weights.grid * _excess_grid(painted[1:], contents[1:], styles),
        }
        return {**losses, "total": torch.stack(list(losses.values())).sum()}

    def samples(self, network: ArbitraryStylizer) -> Picture:
        """Paint six photographs in the styles of five paintings, and with the identity code."""
        contents, styles = self._contents.at(_OTHER_STEPS)[:6], self._styles.at(_OTHER_STEPS)[:5]
        with torch.no_grad():
            codes = network.codes(self._descriptor.forward(styles, STYLE_LAYERS))
            rows = [[Cell(_picture(style), "style") for style in styles]]
            for content in contents:
                codes_here = torch.stack([*codes, network.identity])
                repeated = content.expand(len(codes_here), -1, -1, -1)
                painted = network.transformer(repeated, codes_here, noise_for(repeated, seed=0))
                rows.append([*(Cell(_picture(each), "") for each in painted), Cell(_picture(content), "content")])
        return sheet(rows, title="Samples", cell_side=self.crop)


def _bounded(distance: Tensor) -> Tensor:
    return _LARGE * (distance / _LARGE).log1p()


def _inside(images: Tensor) -> Tensor:
    return images[:, :, _UNJUDGED:-_UNJUDGED, _UNJUDGED:-_UNJUDGED]


def _excess_grid(painted: Tensor, contents: Tensor, styles: Tensor) -> Tensor:
    excess = []
    for period in _PERIODS:
        natural = torch.maximum(grid_share(contents, period).mean(), grid_share(styles, period).mean())
        excess.append((grid_share(painted, period) / natural - 1).relu().mean())
    return torch.stack(excess).mean()


def noise_for(images: Tensor, *, seed: int) -> Tensor:
    """Draw the noise that the transformer network needs for ``images`` (N, 3, H, W)."""
    count, _, height, width = images.shape
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, NOISE_CHANNELS, height // STRIDE, width // STRIDE, generator=random)


def content_distance(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of two activations (N, C, H, W), each channel scaled to mean 0 and variance 1: (N).

    2 is what unrelated pictures have. Differs from Johnson et al. (2016), eq. 2, in the scaling: what style changes
    most in activations, their mean and contrast, is no loss of content.
    """
    return (instance_norm(features.float()) - instance_norm(target.float())).square().mean((1, 2, 3))


def style_distance(features: Tensor, target: Tensor) -> Tensor:
    """Relative squared distance of the Gram matrices of two activations (N, C, H, W): (N)."""
    return relative_distance(gram_matrix(features), gram_matrix(target))


def _picture(image: Tensor) -> Picture:
    return Picture(image.permute(1, 2, 0).contiguous().numpy())
