"""Any painting's style in one pass: predictor and transformer together, with the code that changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from impasto.networks.conditional import ConditionalTransformer
from impasto.networks.predictor import StylePredictor

if TYPE_CHECKING:
    from collections.abc import Mapping


STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""What the predictor looks at, and what the style loss is made of."""


class ArbitraryStylizer(nn.Module):
    """Ghiasi et al. (2017): a conditional transformer whose codes are predicted from style images.

    Attributes:
        identity: the code (code_size) with which the transformer gives back the content image.
    """

    def __init__(self, widths: Mapping[str, int], *, seed: int = 0) -> None:
        """Build both networks with weights from ``seed``; the predictor looks at layers with these ``widths``."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(widths)

    def _build(self, widths: Mapping[str, int]) -> None:
        self.transformer = ConditionalTransformer()
        size = self.transformer.code_size
        self.predictor = StylePredictor(widths, size)
        self.identity = nn.Parameter(torch.cat([torch.ones(size // 2), torch.zeros(size // 2)]))

    def codes(self, features: Mapping[str, Tensor]) -> Tensor:
        """Predict the codes (N, code_size) of N style images from their activations by layer."""
        codes: Tensor = self.predictor(features)
        return codes
