"""Animated GIF and WebP as films, through libvips."""

from __future__ import annotations

import json
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.errors import ImageReadError, TruncatedFilmError
from impasto.films import ANIMATION_SUFFIXES
from impasto.films.clips import Clip, Frame
from impasto.films.colors import BT709
from impasto.films.containers import reading
from impasto.images.animation import LOADERS, encode_animation
from impasto.images.decoding import cause
from impasto.images.formats import gif_frames
from impasto.images.libvips import pyvips
from impasto.images.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from impasto.films.containers import Encoding

_SHORTEST, _USUAL = 10, 100
"""Browsers show a frame for 100 ms if the file gives it 10 ms or less."""
_TRAILER = b";"
"""The last byte of a GIF file. libvips does not report its absence."""
LARGEST_STRIP = 10_000_000
"""Most rows of all frames of an animation, one below the other, that libvips takes."""
_UNITS = {"gif": (10, 2), "webp": (1, 11)}
"""By format: unit of time in milliseconds, and the smallest number of units for which browsers show a frame."""


class Animation(Clip):
    """An animated GIF or WebP file. Transparent pixels are laid over white."""

    def __init__(self, path: Path) -> None:
        """Open ``path``.

        Raises:
            ImageReadError: the file is broken.
            ImageLimitError: its frames are larger than the pictures that are opened.
        """
        self.path = path
        try:
            self._data = path.read_bytes()
            header = self._image()
        except OSError as error:
            raise ImageReadError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
        except pyvips.Error as error:
            raise ImageReadError(f"{path} is broken ({cause(error)}); save or download it again") from error
        self.width, self.height = header.width, header.get("page-height")
        limits, form = Limits(), path.suffix[1:].lower()
        limits.check_bytes(str(path), len(self._data))
        limits.check_size(str(path), self.width, self.height)
        limits.check_claim(str(path), form, self.width, self.height, len(self._data))
        self.frames = header.height // self.height
        given = header.get("delay") if "delay" in header.get_fields() else []
        delays = [delay if delay > _SHORTEST else _USUAL for delay in (*given, *[_USUAL] * self.frames)[: self.frames]]
        self._times = np.cumsum([0, *delays[:-1]]).tolist()
        self.time_base = Fraction(1, 1000)
        self.rate = Fraction(1000 * self.frames, sum(delays))
        self.begin, self.shape = Fraction(0), Fraction(1)
        self.colors = BT709
        self.tags, self.chapters, self.others = {}, [], []

    def read(self) -> Iterator[Frame]:
        """Decode the frames in order; see `Clip.read`."""
        image = self._image().colourspace("srgb")
        if image.hasalpha():
            image = image.flatten(background=255)
        region = pyvips.Region.new(image)
        gif = self._data.startswith(b"GIF")
        # libvips makes black what no frame of a GIF has covered so far.
        covered = np.full((self.height, self.width), not gif)
        rectangles = gif_frames(self._data) if gif else iter(())
        for number, time in enumerate(self._times):
            left, top, width, height = next(rectangles, (0, 0, 0, 0))
            covered[top : top + height, left : left + width] = True
            try:
                levels = region.fetch(0, number * self.height, self.width, self.height)
            except pyvips.Error as error:
                if not number:
                    raise ImageReadError(
                        f"{self.path} is broken ({cause(error)}); save or download it again"
                    ) from error
                raise TruncatedFilmError(f"{self.path} is cut off after {number} frames") from error
            pixels = np.frombuffer(levels, np.uint8).reshape(self.height, self.width, 3)
            values = np.divide(pixels, 255, dtype=np.float32)
            values[~covered] = 1
            yield Frame(values, time)
        if gif and not self._data.rstrip(b"\0").endswith(_TRAILER):
            raise TruncatedFilmError(f"{self.path} is cut off after {self.frames} frames")

    def _image(self) -> Any:
        """Return all frames, one below the other. They can be read once, from top to bottom."""
        load = getattr(pyvips.Image, LOADERS[self.path.suffix.lower()])
        return load(self._data, n=-1, access="sequential", fail_on="error")


def open_film(path: Path) -> Clip:
    """Open a film or an animation.

    Raises:
        ImageReadError: the file contains no film.
    """
    return Animation(path) if path.suffix.lower() in ANIMATION_SUFFIXES else Clip(path)


def join_animation(parts: Sequence[Path], clip: Clip, target: Path, encoding: Encoding, facts: str) -> None:
    """Write ``target``, an animation without sound, with the frames of the ``parts``.

    GIF counts time in 1/100 s, and browsers show a frame for at least 2/100 s, so films of more than 50 frames per
    second lose frames. ``facts``, in JSON, becomes the metadata of WebP. GIF cannot hold any.

    Raises:
        FileWriteError: the frames are too large, or the disk is full or read-only.
    """
    unit, least = _UNITS[encoding.form]
    shown: list[int] = []
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".impasto-") as folder:
        rows = Path(folder, "rows")
        with rows.open("wb") as file:
            for frame in _frames(parts):
                at = round(frame.pts * frame.time_base * 1000 / unit)
                if not shown or at - shown[-1] >= least:
                    shown.append(at)
                    file.write(frame.to_ndarray(format="rgb24").tobytes())
        end = shown[-1] + max(least, round(1000 / clip.rate / unit))
        delays = [unit * units for units in np.diff([*shown, end]).tolist()]
        strip = pyvips.Image.rawload(str(rows), encoding.width, encoding.height * len(shown), 3)
        metadata = json.loads(facts) if facts else {}
        target.write_bytes(
            encode_animation(strip, delays, f".{encoding.form}", quality=encoding.quality, metadata=metadata)
        )


def _frames(parts: Sequence[Path]) -> Iterator[Any]:
    for part in parts:
        with reading(part) as opened:
            yield from opened.decode(video=0)
