"""Pixels of many pictures in one file, which can be read again and again without decoding, and batches of them."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from impasto.files import whole_file, write_whole
from impasto.images import open_picture, resize_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from torch import Tensor

    from impasto.training.labelled import Example

_WORKERS = 4
_CHUNK = 64


class PackedPictures:
    """Pixels of many pictures in one file, from which any picture can be read without decoding.

    The file takes three bytes per pixel. It is memory-mapped, so it may be larger than the memory.
    """

    def __init__(
        self,
        folder: Path,
        examples: Sequence[Example],
        side: int,
        *,
        on_file: Callable[[int, int], None] | None = None,
    ) -> None:
        """Open the file in ``folder``, or build it if it is missing or holds other pictures.

        Args:
            folder: the folder of the file.
            examples: the pictures to pack.
            side: short side in pixels to which all pictures are scaled.
            on_file: called with the numbers of packed pictures and of all pictures.
        """
        pixels, index = folder / "packed.bin", folder / "packed.json"
        fingerprint = hashlib.sha256(json.dumps([side, [each.digest for each in examples]]).encode()).hexdigest()
        self._sizes = self._known(index, fingerprint) if pixels.exists() else None
        if self._sizes is None:
            # A killed process must never leave an index that does not match the pixels.
            index.unlink(missing_ok=True)
            self._sizes = _pack(pixels, examples, side, on_file)
            write_whole(index, json.dumps({"fingerprint": fingerprint, "sizes": self._sizes}).encode())
        lengths = [3 * height * width for height, width in self._sizes]
        self._offsets = [0, *np.cumsum(lengths).tolist()]
        self._bytes = np.memmap(pixels, np.uint8, mode="r")

    def __getitem__(self, number: int) -> npt.NDArray[np.uint8]:
        """Return the pixels (H, W, 3) of the picture ``number``."""
        height, width = self._sizes[number]  # type: ignore[index]
        return self._bytes[self._offsets[number] : self._offsets[number + 1]].reshape(height, width, 3)

    @staticmethod
    def _known(index: Path, fingerprint: str) -> list[list[int]] | None:
        try:
            content = json.loads(index.read_bytes())
            return content["sizes"] if content["fingerprint"] == fingerprint else None
        except (OSError, ValueError, KeyError):
            return None


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


def _pack(
    path: Path, examples: Sequence[Example], side: int, on_file: Callable[[int, int], None] | None
) -> list[list[int]]:
    def scaled(example: Example) -> npt.NDArray[np.uint8]:
        picture = open_picture(example.path, short_side=side).read()
        scale = side / min(picture.width, picture.height)
        height, width = (max(side, round(extent * scale)) for extent in (picture.height, picture.width))
        levels: npt.NDArray[np.uint8] = np.rint(resize_pixels(picture.over_white, height, width) * 255).astype(np.uint8)
        return levels

    sizes = []
    with whole_file(path) as temporary, temporary.open("wb") as file, ThreadPoolExecutor(_WORKERS) as pool:
        # A few at a time: decoded pictures take memory until they are written.
        for first in range(0, len(examples), _CHUNK):
            for pixels in pool.map(scaled, examples[first : first + _CHUNK]):
                file.write(pixels.tobytes())
                sizes.append([pixels.shape[0], pixels.shape[1]])
                if on_file:
                    on_file(len(sizes), len(examples))
    return sizes


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, epoch, count)).permutation(count)


def _square(pixels: npt.NDArray[np.uint8], size: int) -> Tensor:
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255
    if image.shape[1] == size:
        return image
    scaled = functional.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)
    return scaled[0]
