"""The losses that an optimisation minimises: distances from the content and from the styles, and their weighted sum.

The target of several weighted styles is the weighted mean of their statistics. The squared distance from it has the
same gradient as the weighted sum of the squared distances from each style, and takes less time.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from impasto.losses import functional
from impasto.losses.functional import Normalization, content_loss, total_variation
from impasto.networks.blocks import mean_and_std, mean_and_std_of, sums_of_powers
from impasto.options import shares_of_layers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from impasto.descriptors import FeatureExtractor


class LayerLosses(nn.Module):
    """One kind of loss on several layers, ``weight * sum_l w_l L_l``: Gatys et al. (2016), eq. 5 and 7.

    The weights of the layers are divided by their sum, so another layer does not increase the loss as a whole.
    Differs from the paper only in the meaning of the user's weights.
    """

    def __init__(self, losses: Mapping[str, nn.Module], layer_weights: Mapping[str, float], weight: float) -> None:
        """Take one loss per layer, the layers' weights, and the weight of the sum."""
        super().__init__()
        self.layers = tuple(layer_weights)
        self._weights = list(shares_of_layers(layer_weights, weight).values())
        # Module names must not depend on layer names, because those of custom networks may contain dots.
        self._losses = nn.ModuleList(losses[layer] for layer in self.layers)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Add up the weighted losses of ``features``, which are given by layer: a scalar."""
        terms = zip(self.layers, self._weights, self._losses, strict=True)
        return torch.stack([weight * loss(features[layer]) for layer, weight, loss in terms]).sum()


class Objective(nn.Module):
    """Content loss, style loss and total variation of an image, from one pass through the descriptor."""

    def __init__(
        self,
        descriptor: FeatureExtractor,
        parts: Mapping[str, LayerLosses],
        tv_weight: float,
        *,
        circular: bool = False,
    ) -> None:
        """Take the losses by name ('content', 'style'); a part may be missing, for reconstructions.

        If ``circular``, the total variation takes pixels at opposite edges as neighbours.
        """
        super().__init__()
        self._descriptor = descriptor
        self._parts = nn.ModuleDict(parts)
        self._layers = sorted({layer for part in parts.values() for layer in part.layers})
        self._tv_weight = tv_weight
        self._circular = circular

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Compute the weighted losses of ``image`` (1, 3, H, W) by name, and their sum as 'total'."""
        features = self._descriptor.forward(image, self._layers)
        losses = {name: part(features) for name, part in self._parts.items()}
        if self._tv_weight:
            losses["tv"] = self._tv_weight * total_variation(image, circular=self._circular)
        return {**losses, "total": torch.stack(list(losses.values())).sum()}


class ContentLoss(nn.Module):
    """Squared error against the activations of one layer of the content image."""

    target: Tensor

    def __init__(self, target: Tensor, normalization: Normalization) -> None:
        """Keep ``target`` (1, C, H, W), the activations of the content image."""
        super().__init__()
        self.normalization: Normalization = normalization
        self.register_buffer("target", target.detach().float())

    def forward(self, features: Tensor) -> Tensor:
        """Compare ``features`` (1, C, H, W) with the target: a scalar."""
        return content_loss(features, self.target, self.normalization)


def content_losses(content: Mapping[str, Tensor], normalization: Normalization) -> dict[str, nn.Module]:
    """Build one loss per layer of ``content``, the activations of the content image."""
    return {layer: ContentLoss(features, normalization) for layer, features in content.items()}


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


STYLE_LOSSES: Mapping[str, type[StyleLoss]] = MappingProxyType({"gram": GramLoss, "mean-std": MeanStdLoss})
"""The style losses that the option ``style_loss`` names."""


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
