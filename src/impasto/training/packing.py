"""Pixels of many pictures in one file, which can be read again and again without decoding."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from impasto.files import whole_file, write_whole
from impasto.images import open_picture, resize_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

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
            index.unlink(missing_ok=True)  # so that a killed process leaves no index beside other pixels
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
