"""The weighted sum that an optimisation minimises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from impasto.losses.functional import total_variation
from impasto.options import shares_of_layers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.descriptors.base import FeatureExtractor


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
