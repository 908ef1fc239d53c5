"""Pictures to train on: random crops of the files in folders, the same for the same seed and step."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from impasto.errors import UsageError
from impasto.images import PICTURE_SUFFIXES, read_picture, resize_pixels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from torch import Tensor

    from impasto.types import FloatArray

_HELD_OUT = 20


def picture_files(folders: Iterable[Path]) -> list[Path]:
    """List the picture files in ``folders`` and the folders in them, in the order of their names.

    Raises:
        UsageError: a folder is none, or holds no pictures.
    """
    files: list[Path] = []
    for folder in folders:
        found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURE_SUFFIXES]
        if not found:
            raise UsageError(f"{folder} is no folder with pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
        files += found
    return files


def is_held_out(path: Path) -> bool:
    """Say whether a picture is kept from training, by its name alone: one in twenty is.

    The rule is the published split: the first four bytes of the SHA-256 of the file's name, as a big-endian number, are
    divisible by 20.
    """
    return int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:4]) % _HELD_OUT == 0


def training_files(folders: Iterable[Path]) -> list[Path]:
    """List the pictures in ``folders`` that are trained on.

    Raises:
        UsageError: there are none.
    """
    return _some([path for path in picture_files(folders) if not is_held_out(path)])


def held_out_files(folders: Iterable[Path]) -> list[Path]:
    """List the pictures in ``folders`` that are kept from training.

    Raises:
        UsageError: there are none.
    """
    return _some([path for path in picture_files(folders) if is_held_out(path)])


def _some(files: list[Path]) -> list[Path]:
    if not files:
        raise UsageError("there are too few pictures to keep one in twenty from training; add a folder")
    return files


@dataclass(frozen=True)
class Crops:
    """Square crops of random pictures at random scales.

    Stateless: a batch depends on the seed and the step alone, so that a training resumes exactly.
    """

    files: Sequence[Path]
    size: int
    """Side of the crops in pixels."""
    batch: int
    """Crops per batch."""
    seed: int
    smallest_share: float = 0.5
    """Of the picture's short side that a crop covers at least; what is smaller than a crop is enlarged."""

    @property
    def settings(self) -> list[object]:
        """Everything that the batches depend on, as plain values."""
        return [self.source, self.size, self.batch, self.smallest_share]

    @property
    def source(self) -> list[object]:
        """Which pictures are seen and in which order, as plain values."""
        return [[path.name for path in self.files], self.seed]

    def at(self, step: int) -> Tensor:
        """Return the batch of ``step``: (batch, 3, size, size), sRGB in [0, 1]."""
        randoms = np.random.default_rng((self.seed, step)).spawn(self.batch)
        with ThreadPoolExecutor(2) as pool:
            return torch.from_numpy(np.stack(list(pool.map(self._crop, randoms))))

    def _crop(self, random: np.random.Generator) -> FloatArray:
        pixels = read_picture(self.files[int(random.integers(len(self.files)))]).pixels
        height, width = pixels.shape[:2]
        short = min(height, width)
        least = math.ceil(self.smallest_share * short)
        side = int(random.integers(least, short + 1))
        top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        crop = resize_pixels(pixels[top : top + side, left : left + side], self.size, self.size)
        if random.integers(2):
            crop = crop[:, ::-1]
        return np.ascontiguousarray(crop.transpose(2, 0, 1))
