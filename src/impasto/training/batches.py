"""Batches of packed pictures with their classes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    from torch import Tensor

    from impasto.training.packing import PackedPictures

_WORKERS = 4


@dataclass(frozen=True)
class Augmentation:
    """Random changes of pictures for a training."""

    smallest_share: float = 0.6
    """Smallest side of a crop, as a share of the picture's short side."""
    flip: bool = True
    jitter: float = 0.2
    """Brightness, contrast and saturation change by up to this share."""


@dataclass(frozen=True)
class LabelledBatches:
    """Batches of pictures and their classes, in a new order each epoch.

    A batch depends only on the seed and the step, so that a resumed training continues exactly.
    """

    pictures: PackedPictures
    labels: Sequence[int]
    """Classes of all packed pictures."""
    members: Sequence[int]
    """Indices of the pictures to train on."""
    size: int
    """Side of the crops in pixels."""
    batch: int
    seed: int
    augmentation: Augmentation = field(default_factory=Augmentation)

    def at(self, step: int, *, part: int = 0, parts: int = 1) -> tuple[Tensor, Tensor]:
        """Return the batch of ``step``, or one part of it: images (N, 3, size, size) in [0, 1], classes (N)."""
        first = step * self.batch
        places = range(first + part, first + self.batch, parts)
        numbers = [self._member(place) for place in places]
        randoms = [np.random.default_rng((self.seed, place)) for place in places]
        with ThreadPoolExecutor(_WORKERS) as pool:
            images = list(pool.map(self._augmented, numbers, randoms))
        return torch.stack(images), torch.tensor([self.labels[number] for number in numbers])

    def _member(self, place: int) -> int:
        epoch, index = divmod(place, len(self.members))
        return self.members[int(_order(len(self.members), self.seed, epoch)[index])]

    def _augmented(self, number: int, random: np.random.Generator) -> Tensor:
        pixels, change = self.pictures[number], self.augmentation
        height, width = pixels.shape[:2]
        side = round(min(height, width) * random.uniform(change.smallest_share, 1))
        top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        crop = pixels[top : top + side, left : left + side]
        if change.flip and random.integers(2):
            crop = crop[:, ::-1]
        image = _square(crop, self.size)
        brightness, contrast, saturation = 1 + change.jitter * random.uniform(-1, 1, 3)
        image = image * float(brightness)
        image = image.mean() + float(contrast) * (image - image.mean())
        grey = image.mean(0, keepdim=True)
        changed: Tensor = grey + float(saturation) * (image - grey)
        return changed.clamp(0, 1)


def middles(pictures: PackedPictures, members: Iterable[int], size: int) -> Tensor:
    """Return the centre crops of pictures, without augmentation: (N, 3, size, size) in [0, 1]."""
    squares = []
    for number in members:
        pixels = pictures[number]
        side = min(pixels.shape[:2])
        top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
        squares.append(_square(pixels[top : top + side, left : left + side], size))
    return torch.stack(squares)


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, epoch, count)).permutation(count)


def _square(pixels: npt.NDArray[np.uint8], size: int) -> Tensor:
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255
    if image.shape[1] == size:
        return image
    scaled = functional.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)
    return scaled[0]
