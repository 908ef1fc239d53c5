"""Statistics of activations that networks paint with and losses compare."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_and_std(features: Tensor) -> Tensor:
    """Mean and standard deviation of each channel of ``features`` (N, C, H, W): (N, 2, C), float32.

    Huang and Belongie (2017), eq. 5. The small constant keeps the gradient of the root finite where a channel is flat.
    """
    variance, mean = torch.var_mean(features.float(), dim=(2, 3), correction=0)
    return torch.stack([mean, (variance + 1e-6).sqrt()], dim=1)
