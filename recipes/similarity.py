"""Similarity of two networks' features."""

from __future__ import annotations

import torch
from torch import Tensor


def linear_cka(one: Tensor, other: Tensor) -> float:
    """Return the linear centred kernel alignment of two sets of activations; 1 means equal up to rotation and scale.

    Kornblith et al. (2019), "Similarity of Neural Network Representations Revisited", section 3:
    ``|Y^T X|^2 / (|X^T X| |Y^T Y|)`` in Frobenius norms, where the columns of X and Y are centred.

    Args:
        one: (N, C), one row per example; another shape (N, ...) is flattened to this.
        other: (N, D), for the same examples.
    """
    x, y = ((each.flatten(1) - each.flatten(1).mean(0)).double() for each in (one, other))
    if x.shape[1] > x.shape[0]:
        # With fewer examples than channels, the kernels of the examples are smaller and give the same result.
        kernels = x @ x.T, y @ y.T
        shared, norms = (kernels[0] * kernels[1]).sum(), [torch.linalg.norm(kernel) for kernel in kernels]
    else:
        shared = (y.T @ x).square().sum()
        norms = [torch.linalg.norm(each.T @ each) for each in (x, y)]
    scale = norms[0] * norms[1]
    return float(shared / scale) if scale > 0 else 0.0
