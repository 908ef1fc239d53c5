"""Content losses: distances of activations from those of the content image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from impasto.losses.functional import Normalization, content_loss

if TYPE_CHECKING:
    from collections.abc import Mapping


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
