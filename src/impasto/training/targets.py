"""The activations of a teacher in a batch of crops, at some positions of each layer, kept on disk for later steps.

A share of the pictures is optimised through the student descriptor, so that the teacher's activations in them expose
the student's errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from safetensors.torch import load_file, save
from torch import Tensor

from impasto.files import write_whole
from impasto.losses.functional import relative_distance, style_distance
from impasto.losses.gradients import CONTENT_LAYER, HYPER_LAYERS, STYLE_LAYERS, hypercolumns
from impasto.training.data import fingerprint
from impasto.training.processes import rank, world_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from impasto.descriptors.vgg import VGG
    from impasto.training.data import Batch, Crops
    from impasto.training.distillation import Student

COLUMNS = "hypercolumns"
_POSITIONS = 256
"""Number of positions of a crop at which a layer is compared."""

_RATE = 0.03
_STEPS = 25
"""Number of optimisation steps at each of the two sizes, half and full."""


@dataclass(frozen=True)
class Targets:
    """What a student should see in a batch.

    Attributes:
        images: (N, 3, H, W), in [0, 1].
        activations: those of the teacher by layer, and its hypercolumns as `COLUMNS`: (N, C, P) each, at the same P
            positions of all N images.
        seed: determines the positions.
    """

    images: Tensor
    activations: Mapping[str, Tensor]
    seed: int

    def sampled(self, features: Tensor) -> Tensor:
        """Return a layer's ``features`` (N, C, H, W) at the positions of its targets: (N, C, P)."""
        return _sampled(features, self.seed)


class TargetStore:
    """Targets by step."""

    def __init__(
        self, student: Student, teacher: VGG, crops: Crops, folder: Path, *, kept: int = 0, painted: float = 0.0
    ) -> None:
        """Take the layers of ``student`` from ``teacher`` in ``crops``.

        The targets of ``kept`` steps are kept in ``folder``, apart from those of other teachers and crops, and later
        steps use them again. With 0, every step has targets of its own, and none are kept. The share ``painted`` of
        each batch is painted through the student, in the styles of its other crops.
        """
        self._student, self._teacher, self._crops = student, teacher, crops
        self._layers = student.layers
        self._kept, self._painted = kept, painted
        settings = [teacher.identity, list(self._layers), crops.settings, *([painted] if painted else [])]
        self._folder = folder / fingerprint(settings)[:16]
        self._names = [*self._layers, COLUMNS]

    def batch(self, step: int) -> Batch:
        """Return this process's share of the images of ``step``, and the activations if they are kept, on the CPU."""
        number, path = self._place(step)
        return self._read(path) if path.exists() else (self._crops.at(number, part=rank(), parts=world_size()),)

    def at(self, step: int, batch: Batch) -> Targets:
        """Return the targets of ``step``, given its `batch` on the device of the teacher."""
        number, path = self._place(step)
        images, *activations = batch
        if not activations:
            images = self._with_painted(images, number)
            seen = self._seen(images, number)
            if not self._kept:
                return Targets(images, seen, number)
            halves = {name: each.half().cpu().contiguous() for name, each in seen.items()}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, save({**halves, "images": (images * 255).round().byte().cpu().contiguous()}))
            images, *activations = (each.to(images.device) for each in self._read(path))
        return Targets(images, dict(zip(self._names, activations, strict=True)), number)

    def _place(self, step: int) -> tuple[int, Path]:
        """Return the number of the batch of ``step``, and the file of its targets."""
        number = step % self._kept if self._kept else step
        return number, self._folder / f"{number:06d}-{rank()}-{world_size()}.safetensors"

    def _read(self, path: Path) -> Batch:
        tensors = load_file(path)
        return (tensors["images"].float() / 255, *(tensors[name].float() for name in self._names))

    def _with_painted(self, images: Tensor, number: int) -> Tensor:
        count = round(self._painted * len(images))
        if not count:
            return images
        painted = paint_through(self._student, images[:count], images[-count:], by_neighbors=number % 2 == 0)
        return torch.cat([painted, images[count:]])

    @torch.no_grad()
    def _seen(self, images: Tensor, seed: int) -> dict[str, Tensor]:
        seen = self._teacher.forward(images, {*self._layers, *HYPER_LAYERS})
        wanted = {layer: seen[layer] for layer in self._layers} | {COLUMNS: hypercolumns(seen)}
        return {name: _sampled(each, seed) for name, each in wanted.items()}


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


def _sampled(features: Tensor, seed: int) -> Tensor:
    flat = features.flatten(2)
    positions = torch.randperm(flat.shape[2], generator=torch.Generator().manual_seed(seed))[:_POSITIONS]
    return flat[:, :, positions]


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
