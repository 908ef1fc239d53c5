"""The activations of a teacher in a batch of crops, at some positions of each layer, kept on disk for later steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save

from impasto.files import write_whole
from impasto.losses.gradients import HYPER_LAYERS, hypercolumns
from impasto.training.data import fingerprint
from impasto.training.painted import paint_through
from impasto.training.processes import rank, world_size

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from impasto.descriptors.vgg import VGG
    from impasto.training.data import Crops
    from impasto.training.distillation import Student
    from impasto.training.prefetch import Batch

COLUMNS = "hypercolumns"
_POSITIONS = 256
"""Number of positions of a crop at which a layer is compared."""


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


def _sampled(features: Tensor, seed: int) -> Tensor:
    flat = features.flatten(2)
    positions = torch.randperm(flat.shape[2], generator=torch.Generator().manual_seed(seed))[:_POSITIONS]
    return flat[:, :, positions]
