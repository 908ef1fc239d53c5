"""Training pictures that are optimised through the student descriptor, so that the teacher's activations in them expose
the student's errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import Tensor

from impasto.losses.functional import relative_distance, style_distance
from impasto.losses.gradients import CONTENT_LAYER, STYLE_LAYERS, hypercolumns

if TYPE_CHECKING:
    from collections.abc import Callable

    from impasto.training.distillation import Student

_RATE = 0.03
_STEPS = 25
"""Number of optimisation steps at each of the two sizes, half and full."""


def paint_through(student: Student, contents: Tensor, styles: Tensor, *, by_neighbors: bool) -> Tensor:
    """Paint ``contents`` in ``styles``, both (N, 3, S, S) in [0, 1], through the ``student``: (N, 3, S, S) in [0, 1].

    With ``by_neighbors``, hypercolumns are compared with their nearest neighbours, as in the engine 'nnst'; otherwise
    Gram matrices are compared, as in 'gatys'. Adam takes a few steps at half the size, then as many at full size.
    """
    images = contents
    for side in (contents.shape[-1] // 2, contents.shape[-1]):
        images, content, style = (
            F.interpolate(each, (side, side), mode="bilinear", antialias=True) for each in (images, contents, styles)
        )
        loss = _neighbor_loss(student, content, style) if by_neighbors else _gram_loss(student, content, style)
        images = _descend(images, loss)
    return images


def _descend(images: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    with torch.enable_grad():
        images = images.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([images], lr=_RATE)
        for _ in range(_STEPS):
            (images.grad,) = torch.autograd.grad(loss(images), images)
            optimizer.step()
    return images.detach().nan_to_num(0.5).clamp(0, 1)


@torch.no_grad()
def _neighbor_loss(student: Student, contents: Tensor, styles: Tensor) -> Callable[[Tensor], Tensor]:
    columns, candidates = (hypercolumns(student.features(each)) for each in (contents, styles))
    centered = (each.flatten(2) - each.flatten(2).mean(2, keepdim=True) for each in (columns, candidates))
    mine, theirs = (F.normalize(each, dim=1) for each in centered)
    nearest = (mine.transpose(1, 2) @ theirs).argmax(2)
    targets = candidates.flatten(2).gather(2, nearest[:, None].expand(-1, columns.shape[1], -1)).view_as(columns)
    return lambda images: relative_distance(hypercolumns(student.features(images)), targets).sum()


@torch.no_grad()
def _gram_loss(student: Student, contents: Tensor, styles: Tensor) -> Callable[[Tensor], Tensor]:
    seen, wanted = student.features(contents)[CONTENT_LAYER], student.features(styles)

    def loss(images: Tensor) -> Tensor:
        features = student.features(images)
        style = torch.stack([style_distance(features[layer], wanted[layer]).sum() for layer in STYLE_LAYERS]).sum()
        return style + relative_distance(features[CONTENT_LAYER], seen).sum()

    return loss
