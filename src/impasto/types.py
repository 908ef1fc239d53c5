"""Types that the whole package shares: Picture, Features, Step, OnStep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

FloatArray: TypeAlias = npt.NDArray[np.float32]

StyleKinds: TypeAlias = Literal["any", "own"]
"""Styles that an engine takes. 'any': names of the gallery, and pictures. 'own': only the style of its network."""

Features: TypeAlias = "Mapping[str, torch.Tensor]"
"""Activations by layer name (``relu4_1``): each float, shape (N, C, H, W)."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image outside of any network: decoded from a file, or the input or output of an engine."""

    pixels: FloatArray
    """float32, shape (H, W, 3), sRGB (with its transfer curve), range [0, 1]."""
    alpha: FloatArray | None = None
    """float32, shape (H, W), range [0, 1], not premultiplied; None if opaque."""
    bit_depth: int = 8
    """Bits per channel of the file it came from and of the file it should become: 8, 16, or 32 (float)."""
    icc: bytes | None = None
    """The ICC profile of the file it came from, if that was not sRGB; the pixels are sRGB in any case."""
    format: str | None = None
    """The format of the file it came from: 'jpeg', 'png', 'tiff', 'webp', 'avif', 'gif'; None if made in memory."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Provenance of the picture (engine, settings, seed, model hashes); written into files that can carry it."""

    def __post_init__(self) -> None:
        """Refuse shapes and types that the rest of the library does not expect."""
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.float32:
            raise ValueError(f"pixels must be float32 (H, W, 3), not {self.pixels.dtype} {self.pixels.shape}")
        if self.alpha is not None and (self.alpha.shape != self.pixels.shape[:2] or self.alpha.dtype != np.float32):
            raise ValueError(
                f"alpha must be float32 {self.pixels.shape[:2]}, not {self.alpha.dtype} {self.alpha.shape}"
            )

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

    def _repr_png_(self) -> bytes:
        """Show the picture in a notebook."""
        import pyvips

        channels = self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])
        image = pyvips.Image.new_from_array(np.rint(channels.clip(0, 1) * 255).astype(np.uint8))
        png: bytes = image.copy(interpretation="srgb").write_to_buffer(".png")
        return png


@dataclass(frozen=True)
class Step:
    """One step of progress; all engines use this type."""

    done: int
    """Steps finished, counted over all scales."""
    total: int
    """Steps that the whole run will take; may shrink if the run ends early."""
    fraction: float
    """Share of the work that is done, 0 to 1: a step on a larger picture counts for more."""
    scale: tuple[int, int]
    """(width, height) in pixels at which the engine works now."""
    losses: Mapping[str, float]
    """Weighted losses by name ('content', 'style', 'tv', 'total'); empty for engines without any."""
    preview: Callable[[], Picture]
    """Function that returns the current picture at the working scale; computed only when called."""
    note: str = ""
    """Notice for the user about an event in the engine (a rolled-back step, another optimizer); mostly empty."""


OnStep: TypeAlias = Callable[[Step], None]
"""Called after every step, in the thread of the engine; an exception from it stops the run."""
