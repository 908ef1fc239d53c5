"""The style predictor: from what a descriptor sees of a style image to the code of that style.

Ghiasi et al. (2017), "Exploring the structure of a real-time, arbitrary neural artistic stylization network". Differs
from the paper in what it looks at: not the mean activations of a classifier, but means, deviations and correlations of
the activations of the descriptor that the style loss is made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping


class StylePredictor(nn.Module):
    """Maps the activations of a style image to a style code."""

    def __init__(
        self,
        widths: Mapping[str, int],
        code_size: int,
        *,
        correlated: int = 20,
        hidden: int = 320,
        embedding: int = 128,
    ) -> None:
        """Build the predictor.

        Args:
            widths: channels of each layer of the descriptor that it looks at.
            code_size: numbers of a code.
            correlated: channels that a layer's activations are projected to before they are correlated.
            hidden: width of the hidden layer.
            embedding: numbers that a style is squeezed through; styles that are close there look alike (section 3.2).
        """
        super().__init__()
        self.layers = tuple(widths)
        self.projections = nn.ModuleList(nn.Conv2d(width, correlated, 1, bias=False) for width in widths.values())
        upper = torch.triu_indices(correlated, correlated)
        self.register_buffer("_upper", upper[0] * correlated + upper[1], persistent=False)
        statistics = sum(2 * width + 1 + upper.shape[1] for width in widths.values())
        self.head = nn.Sequential(
            nn.Linear(statistics, hidden),
            nn.ReLU(),
            nn.Linear(hidden, embedding),
            nn.ReLU(),
            nn.Linear(embedding, code_size),
        )
        with torch.no_grad():
            last = self.head[-1]
            last.weight.mul_(0.1)  # type: ignore[operator]
            # Scales begin at one and shifts at zero.
            last.bias.copy_(torch.cat([torch.ones(code_size // 2), torch.zeros(code_size // 2)]))  # type: ignore[operator]

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Predict codes (N, code_size) from each layer's activations (N, C, H, W) of N style images."""
        parts = []
        for layer, projection in zip(self.layers, self.projections, strict=True):
            x = features[layer]
            mean = x.mean((2, 3))
            centred = x - mean[:, :, None, None]
            deviation = (centred.square().mean((2, 3)) + 1e-6).sqrt()
            size = deviation.square().sum(1, keepdim=True).sqrt() + 1e-6
            projected = projection(centred / size[:, :, None, None]).flatten(2)
            correlations = projected @ projected.transpose(1, 2) / projected.shape[2] * x.shape[1]
            parts += [mean / size, deviation / size, correlations.flatten(1)[:, self._upper], size.log()]
        return self.head(torch.cat(parts, dim=1))  # type: ignore[no-any-return]
