"""The mathematics of the losses as pure functions.

Features are (N, C, H, W); every loss is the mean over the N images of a batch, computed in float32. Two
normalisations are offered throughout (``Normalization``):

- ``paper``: the loss as printed in the paper that each function cites. Suitable loss weights then depend on the
  descriptor, the layer and, for content, on the size of the picture.
- ``relative``: the squared distance divided by the squared norm of its target, ``||x - t||^2 / ||t||^2``. The loss is 0
  at the target and 1 for all-zero activations, for every layer, descriptor and picture size. So the meaning of a weight
  does not depend on them. Differs from the papers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Normalization = Literal["relative", "paper"]

_PAPER_CONTENT = 0.5
_NO_RESPONSE = 1e-12
"""Lower bound of the squared norm of a target, for layers that do not respond to it, as with a black picture."""
_CELLS = 10
_FAINT = 1e-4
"""Mean square of invisible detail."""
_BLOTCH, _STRETCH, _STROKES = 16, 4.0, 0.05


class _Gram(torch.autograd.Function):
    """``F F^T`` whose gradient ``(D + D^T) F`` takes one matrix product; autograd's own takes two."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        ctx.save_for_backward(flat)
        gram: Tensor = flat @ flat.transpose(1, 2)
        return gram

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (flat,) = ctx.saved_tensors
        gradient: Tensor = (grads[0] + grads[0].transpose(1, 2)) @ flat
        return gradient


def gram_matrix(features: Tensor) -> Tensor:
    """Correlate the channels of ``features`` (N, C, H, W) over all positions: (N, C, C), float32.

    ``G_ij = sum_k F_ik F_jk / M`` with M = H W positions: Gatys et al. (2016), eq. 3, divided by M. Differs from the
    paper, which divides by M in the loss. Division here makes pictures of different sizes comparable.
    """
    return correlations(features) / (features.shape[2] * features.shape[3])


def correlations(features: Tensor) -> Tensor:
    """Sum the products of the channels of ``features`` (N, C, H, W) over all positions: (N, C, C), float32."""
    gram: Tensor = _Gram.apply(features.flatten(2))  # type: ignore[no-untyped-call]  # PyTorch has none for apply
    return gram.float()


def content_loss(features: Tensor, target: Tensor, normalization: Normalization) -> Tensor:
    """Compare ``features`` with ``target``, both (N, C, H, W): a scalar.

    ``paper``: ``1/2 sum (F - P)^2``, Gatys et al. (2016), eq. 1.
    """
    return _squared_distance(features, target, normalization, paper_factor=_PAPER_CONTENT)


def content_factor(target_squares: Tensor, normalization: Normalization) -> Tensor:
    """Return the factor that turns the sum of squared differences from a target into `content_loss`.

    ``target_squares`` is the sum of the squares of the target.
    """
    if normalization == "paper":
        return torch.full_like(target_squares, _PAPER_CONTENT)
    return 1 / target_squares.clamp_min(_NO_RESPONSE)


def gram_loss(statistics: Tensor, target: Tensor, normalization: Normalization) -> Tensor:
    """Compare Gram matrices from `gram_matrix`, (N, C, C) against (N or 1, C, C): a scalar.

    ``paper``: ``1 / (4 C^2) sum (G - A)^2``, Gatys et al. (2016), eq. 4, whose M^2 is contained in our Gram matrices.
    """
    return _squared_distance(statistics, target, normalization, paper_factor=1 / (4 * statistics.shape[1] ** 2))


def mean_std_loss(statistics: Tensor, target: Tensor, normalization: Normalization) -> Tensor:
    """Compare statistics from `mean_and_std`, (N, 2, C) against (N or 1, 2, C): a scalar.

    ``paper``: ``||mu - mu_t||^2 + ||sigma - sigma_t||^2``. Differs from Huang and Belongie (2017), eq. 13, which takes
    the norms without the square.
    """
    return _squared_distance(statistics, target, normalization, paper_factor=1.0)


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference between neighbouring pixels of ``image`` (N, 3, H, W): a scalar.

    Mahendran and Vedaldi (2015), eq. 3 with beta = 2. Differs from this paper and from Johnson et al. (2016) in taking
    the mean and not the sum, so that the weight does not depend on the size of the picture. The value of a checkerboard
    of 0 and 1 is 2.
    """
    vertical = (image[:, :, 1:, :] - image[:, :, :-1, :]).square().mean()
    horizontal = (image[:, :, :, 1:] - image[:, :, :, :-1]).square().mean()
    return vertical + horizontal


def grid_share(image: Tensor, period: int) -> Tensor:
    """Return the share of the fine detail of ``image`` (N, C, H, W) that repeats every ``period`` pixels: (N).

    Networks that enlarge by fixed factors tend to paint such grids. Detail is the difference from the mean over 9x9
    pixels. The picture is divided into blocks of up to 10x10 cells of ``period`` x ``period`` pixels. The repeated
    detail of a block is the mean of its cells. The share of pure noise is a hundredth.
    """
    detail = image.float() - F.avg_pool2d(F.pad(image.float(), (4, 4, 4, 4), mode="replicate"), 9, stride=1)
    count, channels, height, width = detail.shape
    cells = min(_CELLS, height // period, width // period)
    block = cells * period
    rows, columns = height // block, width // block
    detail = detail[:, :, : rows * block, : columns * block]
    blocks = detail.reshape(count, channels, rows, cells, period, columns, cells, period)
    motif = blocks.mean((3, 6))
    motif = motif - motif.mean((3, 5), keepdim=True)
    share: Tensor = motif.square().mean((3, 5)) / (blocks.square().mean((3, 4, 6, 7)) + _FAINT)
    return share.mean((1, 2, 3))


def usual_grids(natural: Sequence[Tensor], periods: Sequence[int]) -> dict[int, Tensor]:
    """Return for each of ``periods`` the `grid_share` of ``natural`` pictures, (N, C, H, W) of any size: scalars.

    The value for a period is the maximum, over the entries of ``natural``, of the mean share of an entry.
    """
    return {period: torch.stack([grid_share(images, period).mean() for images in natural]).amax() for period in periods}


def excess_grid(painted: Tensor, usual: Mapping[int, Tensor]) -> Tensor:
    """Return the relative excess of the `grid_share` of ``painted`` (N, C, H, W) over the ``usual`` one, a scalar.

    ``usual`` holds for each period a scalar, as from `usual_grids`, or one value per picture, (N). The result is the
    mean over pictures and periods of ``max(0, share / usual - 1)``.
    """
    excess = [(grid_share(painted, period) / share - 1).relu().mean() for period, share in usual.items()]
    return torch.stack(excess).mean()


def blotches(painted: Tensor, content: Tensor) -> Tensor:
    """Return the unevenness of ``painted`` where ``content`` is even, both (N, 3, H, W): (N), 0 for none.

    The measure uses differences between the means of adjacent blocks of 16x16 pixels. A difference of four times the
    content's plus 0.05 is allowed, for strokes. The result is the mean excess over positions and colours.
    """
    beyond = []
    for axis in (2, 3):
        before, now = (F.avg_pool2d(image.float(), _BLOTCH).diff(dim=axis).abs() for image in (content, painted))
        beyond.append((now - _STRETCH * before.amax(1, keepdim=True) - _STROKES).relu().mean((1, 2, 3)))
    return beyond[0] + beyond[1]


def relative_distance(x: Tensor, target: Tensor) -> Tensor:
    """Squared distance of two (N or 1, ...) divided by the squared norm of the ``target``, for each of N: (N)."""
    distance = (x.float() - target).square().flatten(1).sum(1)
    return distance / target.float().square().flatten(1).sum(1).clamp_min(_NO_RESPONSE)


def content_distance(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of two activations (N, C, H, W), each channel scaled to mean 0 and variance 1: (N).

    The distance of unrelated pictures is 2. Differs from Johnson et al. (2016), eq. 2, in the scaling: style mainly
    changes the mean and contrast of activations, and these changes are not a loss of content.
    """
    return (_standardized(features) - _standardized(target)).square().mean((1, 2, 3))


def style_distance(features: Tensor, target: Tensor) -> Tensor:
    """Relative squared distance of the Gram matrices of two activations (N, C, H, W): (N)."""
    return relative_distance(gram_matrix(features), gram_matrix(target))


def _standardized(features: Tensor) -> Tensor:
    variance, mean = torch.var_mean(features.float(), dim=(2, 3), correction=0, keepdim=True)
    standardized: Tensor = (features - mean) * (variance + 1e-5).rsqrt()
    return standardized


def _squared_distance(x: Tensor, target: Tensor, normalization: Normalization, paper_factor: float) -> Tensor:
    if normalization == "paper":
        return (x.float() - target).square().flatten(1).sum(1).mean() * paper_factor
    return relative_distance(x, target).mean()
