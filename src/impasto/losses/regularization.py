"""Losses that look at the image alone."""

from __future__ import annotations

from torch import Tensor, nn

from impasto.losses.functional import total_variation


class TotalVariationLoss(nn.Module):
    """Mean squared difference between neighbouring pixels: small for smooth images."""

    def forward(self, image: Tensor) -> Tensor:
        """Measure ``image`` (N, 3, H, W): a scalar."""
        return total_variation(image)
