"""Pixels as tensors, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from impasto.types import FloatArray


def to_tensor(pixels: FloatArray, device: torch.device) -> Tensor:
    """Turn pixels (H, W, 3) into an image (1, 3, H, W) on ``device``."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].to(device)


def to_pixels(image: Tensor) -> FloatArray:
    """Turn an image (1, 3, H, W) into pixels (H, W, 3)."""
    pixels: FloatArray = np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy())
    return pixels
