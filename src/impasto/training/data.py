"""Training pictures: random crops of files, determined by seed and step, and decoded during the step before."""

from __future__ import annotations

import hashlib
import json
import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from impasto.errors import ImageReadError, UsageError
from impasto.images import PICTURE_SUFFIXES, read_picture, resize_pixels
from impasto.images.scale import crop_margin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from torch import Tensor

    from impasto.types import FloatArray

OTHER_STEPS = 10**9
"""The first step whose batches are not trained on, but used for samples."""
_UNJUDGED = 8
_HELD_OUT = 20
_ATTEMPTS = 20

Batch = tuple[torch.Tensor, ...]
"""The tensors of one step."""


def picture_files(folders: Iterable[Path]) -> list[Path]:
    """List the picture files in ``folders`` and their subfolders, sorted by name.

    Raises:
        UsageError: a path is not a folder, or a folder holds no pictures.
    """
    files: list[Path] = []
    for folder in folders:
        found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURE_SUFFIXES]
        if not found:
            raise UsageError(f"{folder} is not a folder with pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
        files += found
    return files


def is_held_out(path: Path) -> bool:
    """Return True if a picture is held out from training. One in twenty is, selected by the name of its file.

    The rule is the published split: the first four bytes of the SHA-256 of the file's name, as a big-endian number, are
    divisible by 20.
    """
    return int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:4]) % _HELD_OUT == 0


def training_files(folders: Iterable[Path]) -> list[Path]:
    """List the pictures in ``folders`` that are trained on.

    Raises:
        UsageError: there are no such pictures.
    """
    return _some([path for path in picture_files(folders) if not is_held_out(path)])


def held_out_files(folders: Iterable[Path]) -> list[Path]:
    """List the pictures in ``folders`` that are held out from training.

    Raises:
        UsageError: there are no such pictures.
    """
    return _some([path for path in picture_files(folders) if is_held_out(path)])


def _some(files: list[Path]) -> list[Path]:
    if not files:
        raise UsageError("there are too few pictures to keep one in twenty from training; add a folder")
    return files


@dataclass(frozen=True)
class Crops:
    """Square crops of random pictures at random scales.

    A batch depends only on the seed and the step, so that a resumed training continues exactly.
    """

    files: Sequence[Path]
    size: int
    """Side of the crops in pixels."""
    batch: int
    """Crops per batch."""
    seed: int
    smallest_share: float = 0.5
    """Smallest side of a region, as a share of the picture's short side. Each region is scaled to a crop."""
    unreadable: set[str] = field(default_factory=set, compare=False)
    """Names of the pictures that could not be read so far; other pictures took their place in the batches."""

    @property
    def settings(self) -> list[object]:
        """Everything that determines the batches, as plain values."""
        return [self.source, self.size, self.batch, self.smallest_share]

    @property
    def source(self) -> list[object]:
        """The pictures and their order, as plain values."""
        return [[path.name for path in self.files], self.seed]

    def at(self, step: int, *, part: int = 0, parts: int = 1) -> Tensor:
        """Return the batch of ``step``, or one of ``parts`` shares of it: (batch / parts, 3, size, size), in [0, 1].

        Raises:
            UsageError: hardly any picture can be read.
        """
        randoms = np.random.default_rng((self.seed, step)).spawn(self.batch)[part::parts]
        with ThreadPoolExecutor(2) as pool:
            return torch.from_numpy(np.stack(list(pool.map(self._crop, randoms))))

    def _crop(self, random: np.random.Generator) -> FloatArray:
        pixels = self._pixels(random)
        height, width = pixels.shape[:2]
        short = min(height, width)
        least = math.ceil(self.smallest_share * short)
        side = int(random.integers(least, short + 1))
        top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
        crop = resize_pixels(pixels[top : top + side, left : left + side], self.size, self.size)
        if random.integers(2):
            crop = crop[:, ::-1]
        return np.ascontiguousarray(crop.transpose(2, 0, 1))

    def _pixels(self, random: np.random.Generator) -> FloatArray:
        for _ in range(_ATTEMPTS):
            path = self.files[int(random.integers(len(self.files)))]
            try:
                return read_picture(path).over_white
            except ImageReadError:
                self.unreadable.add(path.name)
        raise UsageError(f"hardly any picture can be read ({path.name}, for example, cannot); choose other folders")


def at_short_side(pixels: FloatArray, side: int, margin: float = 0.0) -> Tensor:
    """Crop ``margin`` from each edge of pixels (H, W, 3) and scale them to a short side of ``side``: (1, 3, H', W')."""
    pixels = crop_margin(pixels, margin)
    scale = side / min(pixels.shape[:2])
    height, width = (max(side, round(extent * scale)) for extent in pixels.shape[:2])
    return torch.from_numpy(np.ascontiguousarray(resize_pixels(pixels, height, width).transpose(2, 0, 1)))[None]


def inside(images: Tensor) -> Tensor:
    """Return the part of ``images`` (N, 3, H, W) that the losses judge: all but 8 pixels at each edge.

    Descriptors that pad with zeros respond to the edges of a picture. Losses there would make networks paint a frame.
    """
    return images[:, :, _UNJUDGED:-_UNJUDGED, _UNJUDGED:-_UNJUDGED]


def fingerprint(settings: Sequence[object], images: Iterable[Tensor] = ()) -> str:
    """Return a digest of plain values and images; a training resumes only if its digest is unchanged."""
    digest = hashlib.sha256(json.dumps(settings).encode())
    for image in images:
        digest.update(image.cpu().numpy().tobytes())
    return digest.hexdigest()


class Prefetch:
    """The batches of a training, on its device. While a step computes, a thread decodes the batch of the next one."""

    def __init__(self, decode: Callable[[int], Batch], device: torch.device, *, steps: int) -> None:
        """Take the function that decodes the batch of a step, and the number of ``steps`` of the training."""
        self._decode = decode
        self._device = device
        self._steps = steps
        self._thread = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[Batch]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def at(self, step: int) -> Batch:
        """Return the batch of ``step``, and begin to decode the next one."""
        expected, decoded = self._next or (step, self._begin(step))
        assert expected == step, "steps follow each other"
        batch = decoded.result()
        self._next = (step + 1, self._begin(step + 1)) if step + 1 < self._steps else None
        return tuple(tensor.to(self._device, non_blocking=True) for tensor in batch)

    def _begin(self, step: int) -> Future[Batch]:
        return self._thread.submit(self._decoded, step)

    def _decoded(self, step: int) -> Batch:
        """Decode the batch of ``step``; for CUDA, into memory from which it is copied while the GPU computes."""
        batch = self._decode(step)
        if self._device.type != "cuda":
            return batch
        with torch.cuda.device(self._device):
            return tuple(tensor.pin_memory() for tensor in batch)
