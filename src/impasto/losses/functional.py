"""The mathematics of the losses as pure functions.

Features are (N, C, H, W). Losses are computed in float32. Losses that are scalars are means over the N images of a
batch. Content and style losses have two normalisations (``Normalization``):

- ``paper``: the loss of the paper that each function cites. Suitable loss weights then depend on the descriptor and the
  layer.
- ``relative``: the squared distance divided by the squared norm of its target, ``||x - t||^2 / ||t||^2``. The loss is 0
  at the target and 1 for all-zero activations, for every layer, descriptor and picture size. The effect of a weight
  does not depend on these. Differs from the papers.
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
"""Lower bound of the squared norm of a target. The norm is 0 if nothing in a layer responds to the picture."""
_CELLS = 10
_FAINT = 1e-4
"""Mean square of detail that is too faint to be visible."""
_BLOTCH, _STRETCH, _STROKES = 16, 4.0, 0.05


class _Gram(torch.autograd.Function):
    """``F F^T`` of each image.

    Its gradient ``(D + D^T) F`` takes one matrix product; automatic differentiation takes two. Images are multiplied
    one by one, because products of batches copy features that are not contiguous. The gradient has the memory format of
    the features, because gradients in two formats are slow to add. Together this saves a sixth of a step of Gatys et
    al. (2016) in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, flat: Tensor) -> Tensor:
        ctx.save_for_backward(flat)
        return torch.stack([each @ each.t() for each in flat])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (flat,) = ctx.saved_tensors
        symmetric = grads[0] + grads[0].transpose(1, 2)
        channels_last = flat.stride(1) == 1
        gradient: Tensor = (flat.transpose(1, 2) @ symmetric).transpose(1, 2) if channels_last else symmetric @ flat
        return gradient


def gram_matrix(features: Tensor) -> Tensor:
    """Correlate the channels of ``features`` (N, C, H, W) over all positions: (N, C, C), float32.

    ``G_ij = sum_k F_ik F_jk / M`` with M = H W positions: Gatys et al. (2016), eq. 3, divided by M. Differs from the
    paper, which divides in the loss. Divided by M, Gram matrices of pictures of different sizes are comparable.
    """
    return correlations(features) / (features.shape[2] * features.shape[3])


def correlations(features: Tensor) -> Tensor:
    """Sum the products of the channels of ``features`` (N, C, H, W) over all positions: (N, C, C), float32."""
    gram: Tensor = _Gram.apply(features.flatten(2))  # type: ignore[no-untyped-call]  # apply is not annotated
    return gram.float()


def content_loss(features: Tensor, target: Tensor, normalization: Normalization) -> Tensor:
    """Squared distance between ``features`` and ``target``, both (N, C, H, W): a scalar.

    ``paper``: ``1/2 mean (F - P)^2``, Gatys et al. (2016), eq. 1. Differs from the paper, which prints the sum. The sum
    grows with the picture, and with the paper's weights it leaves no style. Code that the first author has published
    takes the mean.
    """
    return _squared_distance(features, target, normalization, paper_factor=_PAPER_CONTENT / features[0].numel())


def content_factor(target_squares: Tensor, count: int, normalization: Normalization) -> Tensor:
    """Return the factor that turns a sum of squared differences from the target into `content_loss`.

    ``target_squares`` is the sum of the squares of the ``count`` numbers of the target.
    """
    if normalization == "paper":
        return torch.full_like(target_squares, _PAPER_CONTENT / count)
    return 1 / target_squares.clamp_min(_NO_RESPONSE)


def gram_loss(statistics: Tensor, target: Tensor, normalization: Normalization) -> Tensor:
    """Squared distance between results of `gram_matrix`, (N, C, C) and (N or 1, C, C): a scalar.

    ``paper``: ``1 / (4 C^2) sum (G - A)^2``, Gatys et al. (2016), eq. 4. Our Gram matrices are already divided
    by M.
    """
    return _squared_distance(statistics, target, normalization, paper_factor=1 / (4 * statistics.shape[1] ** 2))


def mean_std_loss(statistics: Tensor, target: Tensor, normalization: Normalization) -> Tensor:
    """Squared distance between results of `mean_and_std`, (N, 2, C) and (N or 1, 2, C): a scalar.

    ``paper``: ``||mu - mu_t||^2 + ||sigma - sigma_t||^2``. Differs from Huang and Belongie (2017), eq. 13, whose
    norms are not squared.
    """
    return _squared_distance(statistics, target, normalization, paper_factor=1.0)


def total_variation(image: Tensor, *, circular: bool = False) -> Tensor:
    """Mean squared difference between neighbouring pixels of ``image`` (N, 3, H, W): a scalar.

    If ``circular``, pixels at opposite edges are neighbours, too, as in a tile.

    Mahendran and Vedaldi (2015), eq. 3 with beta = 2. Differs from this paper and from Johnson et al. (2016), who
    take the sum: with the mean, the weight does not depend on the size of the picture. The value of a checkerboard
    of 0 and 1 is 2.
    """
    if circular:
        return (image - image.roll(1, 2)).square().mean() + (image - image.roll(1, 3)).square().mean()
    vertical = (image[:, :, 1:, :] - image[:, :, :-1, :]).square().mean()
    horizontal = (image[:, :, :, 1:] - image[:, :, :, :-1]).square().mean()
    return vertical + horizontal


def grid_share(image: Tensor, period: int) -> Tensor:
    """Return the share of the fine detail of ``image`` (N, C, H, W) that repeats every ``period`` pixels: (N).

    Networks that enlarge by fixed factors tend to paint such grids. Detail is the difference from the mean over 9x9
    pixels. The picture is divided into blocks of up to 10x10 cells of ``period`` x ``period`` pixels. The repeated
    detail of a block is the mean of its cells. The share in pure noise is 1/100.
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
    """Return the highest mean `grid_share` among batches of ``natural`` pictures, a scalar for each of ``periods``.

    Each batch is (N, C, H, W), of any size.
    """
    return {period: torch.stack([grid_share(images, period).mean() for images in natural]).amax() for period in periods}


def excess_grid(painted: Tensor, usual: Mapping[int, Tensor]) -> Tensor:
    """Return the relative excess of the `grid_share` of ``painted`` (N, C, H, W) over the ``usual`` one: a scalar.

    For each period, ``usual`` holds a scalar, as from `usual_grids`, or one value per picture, (N). The result is the
    mean over pictures and periods of ``max(0, share / usual - 1)``.
    """
    excess = [(grid_share(painted, period) / share - 1).relu().mean() for period, share in usual.items()]
    return torch.stack(excess).mean()


def blotches(painted: Tensor, content: Tensor) -> Tensor:
    """Return the unevenness of ``painted`` where ``content`` is even, both (N, 3, H, W): (N), 0 for none.

    The means of adjacent blocks of 16x16 pixels are compared. Their difference in ``painted`` may be four times that in
    ``content``, plus 0.05 for strokes. The result is the mean excess over positions and colours, added over both
    directions.
    """
    beyond = []
    for axis in (2, 3):
        before, now = (F.avg_pool2d(image.float(), _BLOTCH).diff(dim=axis).abs() for image in (content, painted))
        beyond.append((now - _STRETCH * before.amax(1, keepdim=True) - _STROKES).relu().mean((1, 2, 3)))
    return beyond[0] + beyond[1]


def relative_distance(x: Tensor, target: Tensor) -> Tensor:
    """Squared distance of ``x`` from ``target``, both (N or 1, ...), divided by the squared norm of the target: (N)."""
    distance = (x.float() - target).square().flatten(1).sum(1)
    return distance / target.float().square().flatten(1).sum(1).clamp_min(_NO_RESPONSE)


def content_distance(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of activations (N, C, H, W) whose channels are scaled to mean 0 and variance 1: (N).

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
