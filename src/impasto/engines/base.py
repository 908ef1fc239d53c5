"""What every engine takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from impasto.errors import UsageError

if TYPE_CHECKING:
    from impasto.engines.checkpoints import Checkpoint
    from impasto.types import OnStep, Picture


@dataclass(frozen=True)
class Style:
    """A style image and its share in the mixture."""

    picture: Picture
    weight: float = 1.0


@dataclass(frozen=True)
class StylizeInputs:
    """A content image and the style images to paint it in."""

    content: Picture
    styles: tuple[Style, ...]

    def __post_init__(self) -> None:
        """Refuse a mixture of nothing.

        Raises:
            UsageError: no style, or weights that are not positive.
        """
        if not self.styles:
            raise UsageError("no style is given; name at least one style image")
        for style in self.styles:
            if not 0 < style.weight < float("inf"):
                raise UsageError(f"style weight is {style.weight:g}; it must be positive")

    @property
    def shares(self) -> list[float]:
        """The styles' weights, scaled to sum 1."""
        total = sum(style.weight for style in self.styles)
        return [style.weight / total for style in self.styles]


class Engine(Protocol):
    """A way to paint."""

    def stylize(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """Paint ``inputs.content`` in the style of ``inputs.styles``.

        Args:
            inputs: what to paint.
            on_step: called after every step; an exception from it stops the run.
            checkpoint: where to keep the state of the run, and whether to continue from there.

        Returns:
            The stylized image: size, alpha, bit depth, profile and format are those of the content image unless the
            options say otherwise.

        Raises:
            Interrupted: KeyboardInterrupt arrived; carries the best picture so far.
        """
