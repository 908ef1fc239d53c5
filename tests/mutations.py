"""Damaged pictures through the confined decoder of the service: no picture may do more than end a child.

    python -m tests.mutations --pictures 1000000 [--seed 0] [--first 0] [--keep FOLDER]

Picture N of a seed is always the same. `--first N --pictures 1` tries it again, and `--keep` stores the pictures that
killed a child.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pyvips
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from bad_pictures import BAD, odd, pil, tiff
from impasto.errors import BusyError
from impasto.service.checking import CHILDREN, Checked, CheckLimits, PictureCheck, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from impasto.service.child import Child

_LONGEST_SENTENCE = 300
LIMITS = CheckLimits(bytes=1 << 20, pixels=4_000_000)
_PART = 10_000
"""Number of pictures from one line to the next."""
_GOOD = 0.8
"""Share of pictures that are made of good ones."""
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def good() -> list[bytes]:
    """Return small files of every kind."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 4), dtype=np.uint8)
    clear, opaque = Image.fromarray(pixels), Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))
    frames = [opaque, opaque.rotate(180)]
    return [
        pil(clear, "PNG"),
        pyvips.Image.new_from_array(pixels[:, :, :3].astype(np.uint16) * 257).pngsave_buffer(),
        pil(opaque.quantize(16), "PNG"),
        pil(opaque, "JPEG", exif=Image.Exif().tobytes()),
        pil(opaque, "JPEG", progressive=True),
        pil(opaque.convert("L"), "JPEG"),
        pil(opaque.convert("CMYK"), "JPEG"),
        pyvips.Image.new_from_array(pixels[:, :, :3]).jpegsave_buffer(profile="srgb"),
        pil(clear, "WEBP"),
        pil(clear, "WEBP", lossless=True),
        pil(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        pil(opaque, "GIF"),
        pil(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        pil(clear, "TIFF"),
        pil(opaque, "TIFF", compression="tiff_lzw"),
        pil(opaque, "TIFF", compression="tiff_adobe_deflate"),
        pil(opaque, "TIFF", compression="jpeg"),
        tiff(np.full((32, 48, 3), 90, np.uint8), tile=True, compression="lzw"),
        tiff(pixels[:, :, :3].astype(np.float32)),
        pil(opaque, "BMP"),
        pil(opaque, "AVIF"),
        pil(opaque, "HEIF"),
        pil(opaque, "JXL"),
    ]


def bad() -> list[bytes]:
    """Return files that are bad already, of up to 20,000 bytes."""
    found = [*(data for data, _ in BAD.values()), *odd().values()]
    return [data for data in found if 0 < len(data) <= 20_000]


def _flip(data: bytearray, chance: random.Random, _: bytes) -> None:
    for _ in range(1 + chance.randrange(8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: random.Random, _: bytes) -> None:
    at = chance.randrange(len(data))
    data[at : at + 8] = chance.randbytes(1 + chance.randrange(8))


def _set_number(data: bytearray, chance: random.Random, _: bytes) -> None:
    at, size = chance.randrange(len(data)), chance.choice((1, 2, 4))
    number = chance.choice(_EXTREMES) & (256**size - 1)
    data[at : at + size] = number.to_bytes(size, chance.choice(("big", "little")))


def _delete(data: bytearray, chance: random.Random, _: bytes) -> None:
    at = chance.randrange(len(data))
    del data[at : at + 1 + chance.randrange(64)]


def _repeat(data: bytearray, chance: random.Random, _: bytes) -> None:
    at = chance.randrange(len(data))
    data[at:at] = data[at : at + 1 + chance.randrange(64)] * (1 + chance.randrange(16))


def _cut(data: bytearray, chance: random.Random, _: bytes) -> None:
    del data[chance.randrange(len(data)) :]


def _splice(data: bytearray, chance: random.Random, other: bytes) -> None:
    data[chance.randrange(len(data)) :] = other[chance.randrange(len(other)) :]


_MUTATIONS: tuple[Callable[[bytearray, random.Random, bytes], None], ...] = (
    _flip,
    _flip,
    _overwrite,
    _set_number,
    _set_number,
    _delete,
    _repeat,
    _cut,
    _splice,
)


def mutated(files: Sequence[Sequence[bytes]], seed: int, number: int) -> bytes:
    """Return picture ``number`` of ``seed``: a good or a bad one of ``files``, changed once to four times."""
    chance = random.Random(f"{seed} {number}")
    whole, broken = files
    data = bytearray(chance.choice(whole if chance.random() < _GOOD else broken))
    for _ in range(1 + chance.randrange(4)):
        if data:
            chance.choice(_MUTATIONS)(data, chance, chance.choice(whole))
    return bytes(data)


class Watched(PictureCheck):
    """A check that counts the children that died, and keeps the pictures that they died of in the folder ``keep``."""

    def __init__(self, limits: CheckLimits, keep: Path | None) -> None:
        super().__init__(limits)
        self._keep, self._lock, self.died = keep, Lock(), 0

    def _ask(self, child: Child, data: bytes) -> Checked | Rejected | None:
        answer = super()._ask(child, data)
        if answer is None:
            with self._lock:
                self.died += 1
            if self._keep:
                (self._keep / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        return answer


def tried(check: Watched, data: bytes) -> tuple[str, str]:
    """Return what became of ``data``: a word, and what should not have happened, or nothing."""
    try:
        answer = check.check(data)
    except BusyError:
        return "too slow", ""
    if isinstance(answer, Checked):
        return f"read as {answer.format}", ""
    odd_text = not answer.text or "\n" in answer.text or len(answer.text) > _LONGEST_SENTENCE
    return answer.code, f"a sentence like {answer.text!r}" if odd_text else ""


def main() -> int:
    """Try the pictures; return 1 if a sentence is bad, or a child printed something."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    files, lock = (good(), bad()), Lock()
    found: Counter[str] = Counter()
    wrong: list[str] = []
    began, memory, end = time.monotonic(), 0, given.first + given.pictures
    with tempfile.TemporaryFile() as said, closing(Watched(LIMITS, given.keep)) as check:
        ours = os.dup(2)
        os.dup2(said.fileno(), 2)  # which the children inherit

        def one(number: int) -> None:
            word, problem = tried(check, mutated(files, given.seed, number))
            with lock:
                found[word] += 1
                if problem:
                    wrong.append(f"picture {number}: {problem}")

        with ThreadPoolExecutor(CHILDREN) as pool:
            for first in range(given.first, end, _PART):
                list(pool.map(one, range(first, min(first + _PART, end))))
                memory = max([memory, *(each.memory_info().rss for each in psutil.Process().children())])
                sys.stdout.write(f"{found.total():,} in {time.monotonic() - began:.0f} s\n")
                sys.stdout.flush()
        os.dup2(ours, 2)
        said.seek(0)
        printed = [line.decode(errors="replace")[:200].strip() for line in said]
    report = {
        "pictures": found.total(),
        "seconds": round(time.monotonic() - began),
        "outcomes": dict(found.most_common()),
        "children that died": check.died,
        "largest child, MiB": memory >> 20,
        "wrong": wrong,
        "printed": dict(Counter(printed)),
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return int(bool(wrong or printed))


if __name__ == "__main__":
    sys.exit(main())
