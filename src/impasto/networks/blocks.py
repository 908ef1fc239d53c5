"""Building blocks that the painting networks share, and statistics of activations, used by networks and by losses."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor, nn

VARIANCE_FLOOR = 1e-5

_FLOOR = 1e-6


class _InstanceNorm(torch.autograd.Function):
    """``(x - mean) / std`` over the positions of each channel, with a fast backward pass.

    On the CPU, PyTorch's own backward pass would take most of the time of a training step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
        inverse = (variance + VARIANCE_FLOOR).rsqrt()
        normalized = (x - mean).mul_(inverse)
        ctx.save_for_backward(normalized, inverse)
        return normalized

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        normalized, inverse = ctx.saved_tensors
        gradient = grads[0]
        mean = gradient.mean((2, 3), keepdim=True)
        along = (gradient * normalized).mean((2, 3), keepdim=True)
        return torch.addcmul(gradient - mean, normalized, along, value=-1).mul_(inverse)


def instance_norm(x: Tensor) -> Tensor:
    """Give each channel of ``x`` (N, C, H, W) mean 0 and variance 1 over its positions (Ulyanov et al. 2017, eq. 4)."""
    normalized: Tensor = _InstanceNorm.apply(x)  # type: ignore[no-untyped-call]  # apply is not annotated
    return normalized


class EdgeConvolution(nn.Conv2d):
    """Convolution that pads with repeated or reflected edges. With zeros, networks would paint a dark frame."""

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int,
        stride: int = 1,
        *,
        edges: Literal["replicate", "reflect"] = "replicate",
    ) -> None:
        """Map ``channels`` to ``width`` channels. The sides are divided by ``stride``."""
        super().__init__(channels, width, kernel, stride=stride)
        self._edges = edges
        self._before = (kernel - stride) // 2 if stride > 1 else kernel // 2
        self._after = kernel - stride - self._before if stride > 1 else kernel - 1 - self._before

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` (N, C, H, W), whose sides are multiples of the stride."""
        padding = (self._before, self._after, self._before, self._after)
        return F.conv2d(F.pad(x, padding, mode=self._edges), self.weight, self.bias, self.stride)


def batch_norm(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Give each channel of ``x`` (N, C, H, W) mean 0 and variance 1 over all pictures (Ioffe and Szegedy 2015).

    Returns:
        The result, and the mean and the variance (C) of ``x``.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    normalized = (x - mean[:, None, None]) * (variance + VARIANCE_FLOOR).rsqrt()[:, None, None]
    return normalized, mean, variance


def enlarge(x: Tensor) -> Tensor:
    """Double the sides of ``x`` (N, C, H, W) bilinearly.

    With a convolution after it, this leaves no checkerboard pattern (Odena et al. 2016).
    """
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def scale_and_shift(features: Tensor, affine: Tensor) -> Tensor:
    """Scale and shift ``features`` (N, C, H, W), channel by channel, by ``affine`` (N, 2 C): scales, then shifts."""
    scale, shift = affine[:, :, None, None].chunk(2, dim=1)
    return features * scale + shift


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
