"""Inputs and protocol of engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from impasto.errors import UsageError
from impasto.images.color import visible_colors
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from impasto.gallery import GalleryStyle
    from impasto.images import LazyPicture
    from impasto.optimization.checkpoint import Checkpoint
    from impasto.types import OnStep


@dataclass(frozen=True)
class Style:
    """A style image, or a style of the gallery, and its share in the mixture."""

    source: Picture | GalleryStyle
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a weight that means nothing.

        Raises:
            UsageError: it is not positive.
        """
        check_weight(self.weight)

    @property
    def picture(self) -> Picture:
        """The style image, without transparency; of a style of the gallery, the picture in its file.

        Raises:
            UsageError: this is a style of the gallery whose file has no picture.
            StyleError: the picture in its file is damaged.
        """
        self.require_picture()
        picture = self.source if isinstance(self.source, Picture) else self.source.picture
        assert picture is not None
        return visible_colors(picture)

    def require_picture(self) -> None:
        """Refuse a style of the gallery whose file has no picture.

        Raises:
            UsageError: this is one.
        """
        if not isinstance(self.source, Picture) and not self.source.image:
            raise UsageError(
                f"style {self.source.name!r} is only a code for engine 'fast'; choose that engine, or give the picture "
                "of the style"
            )


@dataclass(frozen=True)
class StylizeInputs:
    """A content image and the style images to paint it in; none if the engine's network has its own style."""

    content: LazyPicture
    styles: tuple[Style, ...]
    masks: tuple[LazyPicture, ...] = ()
    """Where each style applies: one for each, or none; see `impasto.engines.masks.masked_strips`."""

    def __post_init__(self) -> None:
        """Refuse masks of which nobody knows what they belong to.

        Raises:
            UsageError: there are not as many as styles.
        """
        check_masks(len(self.masks), len(self.styles))

    @property
    def shares(self) -> list[float]:
        """The styles' weights, scaled to sum 1.

        Raises:
            UsageError: there is no style.
        """
        return mixture(self.styles)


class Weighted(Protocol):
    """A part of a mixture."""

    @property
    def weight(self) -> float:
        """Its share, in proportion to the others'."""


def check_weight(weight: float) -> None:
    """Refuse a weight of a style that means nothing.

    Raises:
        UsageError: it is not positive.
    """
    if not 0 < weight < float("inf"):
        raise UsageError(f"style weight is {weight:g}; it must be positive")


def check_masks(masks: int, styles: int) -> None:
    """Refuse masks of which nobody knows what they belong to; a network with a style of its own takes one.

    Raises:
        UsageError: there are not as many as styles.
    """
    if masks and masks != max(1, styles):
        raise UsageError(f"{masks} masks are given for {styles} styles; give one for each, in their order")


def mixture(styles: Sequence[Weighted]) -> list[float]:
    """Return the weights of ``styles``, scaled to sum 1.

    Raises:
        UsageError: there is no style.
    """
    if not styles:
        raise UsageError("no style is given; name one of the gallery, or give a picture")
    total = sum(style.weight for style in styles)
    return [style.weight / total for style in styles]


@dataclass(frozen=True)
class Forecast:
    """Memory and time that painting a picture will take."""

    memory: int
    """Bytes that the process will have resident at most, without what the file of the result takes."""
    seconds: float
    """On this machine as busy as it is now; a run that converges early takes less."""
    tile: int = 0
    """Side in pixels of the parts that an optimisation will look at; 0 is the whole."""
    disk: int = 0
    """Bytes of state that will be kept on disk meanwhile."""
    accelerator: int = 0
    """Bytes of its own memory, if one computes."""


class Stylize(Protocol):
    """The method `Engine.stylize` of an engine."""

    def __call__(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """See `Engine.stylize`."""


class Engine(Protocol):
    """A way to paint.

    Attributes:
        network: what it has loaded, which other engines of its name may share.
    """

    network: Any

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

    def forecast(self, inputs: StylizeInputs, folder: Path) -> Forecast:
        """Say what painting ``inputs`` will take, after a trial of seconds; ``folder`` is where state may be kept.

        Raises:
            OutOfMemoryError: no way of painting fits into this machine.
        """

    def shot(self, inputs: StylizeInputs, on_note: Callable[[str], None]) -> Callable[[LazyPicture], Iterator[Picture]]:
        """Return what paints pictures as large as the content of ``inputs``, and with its statistics, as `strips`.

        There are no masks. ``on_note`` is told what is out of the ordinary.
        """


@runtime_checkable
class StreamingEngine(Engine, Protocol):
    """A way to paint that needs no more than a strip of the picture at a time."""

    def strips(self, inputs: StylizeInputs, *, on_step: OnStep) -> Iterator[Picture]:
        """Paint as `stylize` does; give the result from top to bottom in pictures of full width."""
