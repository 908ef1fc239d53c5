"""Statistics of activations, used by networks and by losses."""

from __future__ import annotations

import torch
from torch import Tensor

_FLOOR = 1e-6


def mean_and_std(features: Tensor) -> Tensor:
    """Mean and standard deviation of each channel of ``features`` (N, C, H, W): (N, 2, C), float32.

    Huang and Belongie (2017), eq. 5. A small constant keeps the gradient of the root finite if a channel is constant.
    """
    variance, mean = torch.var_mean(features.float(), dim=(2, 3), correction=0)
    return torch.stack([mean, (variance + _FLOOR).sqrt()], dim=1)


def sums_of_powers(features: Tensor) -> Tensor:
    """Sum each channel of ``features`` (N, C, H, W) and its squares: (N, 2, C), float32."""
    x = features.float().flatten(2)
    return torch.stack([x.sum(2), x.square().sum(2)], dim=1)


def mean_and_std_of(sums: Tensor, positions: int) -> Tensor:
    """Compute `mean_and_std` from ``sums`` (N, 2, C), which are `sums_of_powers` over this number of ``positions``."""
    mean, square = (sums / positions).unbind(1)
    return torch.stack([mean, ((square - mean.square()).clamp_min(0) + _FLOOR).sqrt()], dim=1)
