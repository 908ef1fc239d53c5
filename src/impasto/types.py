"""Types that the whole package shares: Picture, Features, Step, OnStep, and the progress of several runs as one."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from impasto.errors import needs_extra

if TYPE_CHECKING:
    import os
    from collections.abc import MutableSequence, Sequence

    import torch
    from PIL.Image import Image

FloatArray: TypeAlias = npt.NDArray[np.float32]

PathOrFile: TypeAlias = "str | os.PathLike[str] | IO[bytes]"
"""Where a file is: its path, or an object that is open for reading or writing bytes, such as `io.BytesIO`."""

StyleKinds: TypeAlias = Literal["any", "own"]
"""Styles that an engine takes. 'any': names of the gallery, and pictures. 'own': only the style of its network."""

Features: TypeAlias = "Mapping[str, torch.Tensor]"
"""Activations by layer name (``relu4_1``): each float, shape (N, C, H, W)."""


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """An image outside of any network: decoded from a file, or the input or output of an engine.

    NumPy takes it as an array, float32, (H, W, 3), or (H, W, 4) with alpha, sRGB in [0, 1]: ``np.asarray(picture)``.
    As uint8 or uint16, the array has levels from 0 to 255 or 65535: ``np.asarray(picture, np.uint8)``.
    """

    pixels: FloatArray
    """float32, shape (H, W, 3), sRGB (with its transfer curve), range [0, 1]."""
    alpha: FloatArray | None = None
    """float32, shape (H, W), range [0, 1], not premultiplied; None if opaque."""
    bit_depth: int = 8
    """Bits per channel of the file it was read from, and of the file it is written to: 8, 16, or 32 (float)."""
    icc: bytes | None = None
    """An ICC profile with the colour space of the file it came from, if that was not sRGB. The pixels are sRGB in any
    case."""
    format: str | None = None
    """The format in which its result is written unless another is named: 'jpeg', 'png', 'tiff', 'webp', 'avif' or
    'gif'. It is that of the file it came from, or the nearest; None if made in memory."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Provenance of the picture (engine, settings, seed, model hashes); written into files that can carry it."""
    beyond: FloatArray | None = None
    """float32, shape (H, W, 3): what the colours of the file have beyond ``pixels`` where they lie outside sRGB, so
    that they can be written again; None if nothing lies outside, or if it was painted."""

    def __post_init__(self) -> None:
        """Refuse shapes and types that the rest of the library does not expect."""
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.float32:
            raise ValueError(f"pixels must be float32 (H, W, 3), not {self.pixels.dtype} {self.pixels.shape}")
        for name, array, shape in (
            ("alpha", self.alpha, self.pixels.shape[:2]),
            ("beyond", self.beyond, self.pixels.shape),
        ):
            if array is not None and (array.shape != shape or array.dtype != np.float32):
                raise ValueError(f"{name} must be float32 {shape}, not {array.dtype} {array.shape}")

    def __repr__(self) -> str:
        parts = [f"{self.width}x{self.height}", f"{self.bit_depth} bits"]
        parts += ["alpha"] * (self.alpha is not None) + ["ICC profile"] * (self.icc is not None)
        parts += [self.format] if self.format else []
        return f"<Picture {', '.join(parts)}>"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        channels = self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])
        wanted = np.dtype(np.float32 if dtype is None else dtype)
        if wanted in (np.uint8, np.uint16):
            white = np.float32(np.iinfo(wanted).max)
            levels: npt.NDArray[Any] = np.rint(channels.clip(0, 1) * white).astype(wanted)
            return levels
        return np.array(channels, wanted, copy=copy)

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def over_white(self) -> FloatArray:
        """The pixels composited over white."""
        return self.pixels if self.alpha is None else 1 - (1 - self.pixels) * self.alpha[:, :, None]

    def rows(self, top: int, bottom: int) -> Picture:
        """Return the rows from ``top`` to before ``bottom``, as views of the same arrays."""
        part = slice(top, bottom)
        return replace(
            self,
            pixels=self.pixels[part],
            alpha=None if self.alpha is None else self.alpha[part],
            beyond=None if self.beyond is None else self.beyond[part],
        )

    def save(
        self,
        file: PathOrFile,
        format: str | None = None,
        *,
        keep_profile: bool = True,
        quality: int | None = None,
    ) -> None:
        """Write the picture into a file: see `impasto.write_picture`."""
        from impasto.images import write_picture

        write_picture(self, file, format=format, keep_profile=keep_profile, quality=quality)

    def to_pil(self) -> Image:
        """Return a PIL image with 8 bits, sRGB: 'RGB', or 'RGBA' with alpha."""
        from PIL import Image

        return Image.fromarray(np.asarray(self, np.uint8))

    def to_tensor(self) -> torch.Tensor:
        """Return a PyTorch tensor: float32, (3, H, W), or (4, H, W) with alpha, sRGB in [0, 1].

        Raises:
            MissingDependencyError: PyTorch is not installed.
        """
        with needs_extra("a tensor", "torch"):
            import torch

        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(self), 2, 0)).copy())

    def _repr_png_(self) -> bytes:
        """Show the picture in a notebook."""
        buffer = io.BytesIO()
        self.to_pil().save(buffer, "PNG")
        return buffer.getvalue()


def joined(strips: Sequence[Picture]) -> Picture:
    """Return the picture of ``strips`` from top to bottom, which all have alpha or none."""
    beyond = None
    if any(strip.beyond is not None for strip in strips):
        beyond = np.concatenate([np.zeros_like(each.pixels) if each.beyond is None else each.beyond for each in strips])
    return replace(
        strips[0],
        pixels=np.concatenate([strip.pixels for strip in strips]),
        alpha=None if strips[0].alpha is None else np.concatenate([strip.alpha for strip in strips]),
        beyond=beyond,
    )


@dataclass(frozen=True)
class Step:
    """One step of progress; all engines use this type."""

    done: int
    """Steps finished, counted over all scales."""
    total: int
    """Steps of the whole run. The number is reduced if a stage ends early."""
    fraction: float
    """Share of the work that is done, 0 to 1: a step on a larger picture counts for more."""
    scale: tuple[int, int]
    """(width, height) in pixels at which the engine works now."""
    losses: Mapping[str, float]
    """Weighted losses by name ('content', 'style', 'tv', 'total'); empty for engines without any."""
    preview: Callable[[], Picture]
    """Function that computes and returns the current picture at the working scale."""
    note: str = ""
    """Notice for the user about an event in the engine (a rolled-back step, another optimizer); usually empty."""


OnStep: TypeAlias = Callable[[Step], None]
"""Called after every step, in the thread of the engine; an exception from it stops the run."""


def as_part(on_step: OnStep, name: str, steps: Sequence[int], index: int) -> OnStep:
    """Return a callback through which run ``index`` of several reports its steps as a part of the whole.

    Args:
        on_step: receives the steps of all runs.
        name: name of the run, which is put before its notes.
        steps: number of steps of each run.
        index: index of the run in ``steps``.
    """
    before, total = sum(steps[:index]), sum(steps)

    def on_step_of_part(step: Step) -> None:
        on_step(
            replace(
                step,
                done=before + step.done,
                total=total,
                fraction=(before + step.fraction * steps[index]) / total,
                note=f"{name}: {step.note}" if step.note else "",
            )
        )

    return on_step_of_part


def with_notes(on_step: OnStep, notes: MutableSequence[str]) -> OnStep:
    """Return a callback that adds ``notes`` to the next step, each once, and takes them out of the list."""

    def noted(step: Step) -> None:
        note = ". ".join(filter(None, dict.fromkeys([*notes, step.note])))
        notes.clear()
        on_step(replace(step, note=note))

    return noted


def notes_only(on_note: Callable[[str], None]) -> OnStep:
    """Return a callback for steps that passes their notes on, and nothing else."""

    def noted(step: Step) -> None:
        if step.note:
            on_note(step.note)

    return noted
