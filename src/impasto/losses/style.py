"""Style losses: distances of the statistics of activations from those of the style images.

The target of several weighted styles is the weighted mean of their statistics. The squared distance from it has the
same gradient as the weighted sum of the squared distances from each style, and takes less time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from impasto.descriptors.statistics import mean_and_std, mean_and_std_of, sums_of_powers
from impasto.losses import functional

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from impasto.losses.functional import Normalization


class StyleLoss(nn.Module):
    """Distance of one layer's statistics from a target. Subclasses define the statistics."""

    target: Tensor

    @staticmethod
    def statistics(features: Tensor) -> Tensor:
        """Reduce ``features`` (N, C, H, W) to style statistics."""
        raise NotImplementedError

    @staticmethod
    def sums(features: Tensor) -> Tensor:
        """Reduce ``features`` (N, C, H, W) of a tile to sums over its positions. The sums of all tiles can be added."""
        raise NotImplementedError

    @staticmethod
    def statistics_of(sums: Tensor, positions: int) -> Tensor:
        """Return the `statistics` of a picture from the total ``sums`` and ``positions`` of its tiles."""
        raise NotImplementedError

    @staticmethod
    def distance(statistics: Tensor, target: Tensor, normalization: Normalization) -> Tensor:
        """Distance between two results of `statistics`: a scalar."""
        raise NotImplementedError

    def __init__(self, styles: Sequence[Tensor], weights: Sequence[float], normalization: Normalization) -> None:
        """Blend the statistics of several styles.

        Args:
            styles: `statistics` of each style image.
            weights: one weight per style; their sum is 1.
            normalization: normalisation of the distance.
        """
        super().__init__()
        self.normalization: Normalization = normalization
        blend = [weight * style for style, weight in zip(styles, weights, strict=True)]
        self.register_buffer("target", torch.stack(blend).sum(0).detach())

    def forward(self, features: Tensor) -> Tensor:
        """Compare the statistics of ``features`` (N, C, H, W) with the target: a scalar."""
        return self.compare(self.statistics(features))

    def compare(self, statistics: Tensor) -> Tensor:
        """Compare ``statistics`` with the target: a scalar."""
        return self.distance(statistics, self.target, self.normalization)


class GramLoss(StyleLoss):
    """Gram matrices: Gatys et al. (2016), eq. 3 to 5."""

    statistics = staticmethod(functional.gram_matrix)
    sums = staticmethod(functional.correlations)
    distance = staticmethod(functional.gram_loss)

    @staticmethod
    def statistics_of(sums: Tensor, positions: int) -> Tensor:
        """See `StyleLoss.statistics_of`."""
        return sums / positions


class MeanStdLoss(StyleLoss):
    """Mean and standard deviation of each channel: Huang and Belongie (2017), eq. 13."""

    statistics = staticmethod(mean_and_std)
    sums = staticmethod(sums_of_powers)
    statistics_of = staticmethod(mean_and_std_of)
    distance = staticmethod(functional.mean_std_loss)


def style_losses(
    kind: type[StyleLoss],
    styles: Sequence[Mapping[str, Tensor]],
    weights: Sequence[float],
    normalization: Normalization,
) -> dict[str, StyleLoss]:
    """Build one loss per layer, given the activations of each style by layer, and the weights of the styles."""
    statistics = [{layer: kind.statistics(activations) for layer, activations in style.items()} for style in styles]
    return blended_losses(kind, statistics, weights, normalization)


def blended_losses(
    kind: type[StyleLoss],
    styles: Sequence[Mapping[str, Tensor]],
    weights: Sequence[float],
    normalization: Normalization,
) -> dict[str, StyleLoss]:
    """Build one loss per layer, given the statistics of each style by layer, and the weights of the styles."""
    return {layer: kind([statistics[layer] for statistics in styles], weights, normalization) for layer in styles[0]}
