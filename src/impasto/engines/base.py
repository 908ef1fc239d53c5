"""What engines take and return: inputs, the protocol, and metadata from which a result can be reproduced."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from impasto.errors import UsageError
from impasto.options import UNRECORDED
from impasto.types import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from impasto.gallery import GalleryStyle
    from impasto.images import LazyPicture
    from impasto.optimization.checkpoint import Checkpoint
    from impasto.options import Options
    from impasto.types import FloatArray, OnStep


@dataclass(frozen=True)
class Style:
    """A style image, or a style of the gallery, with its weight in the mixture."""

    source: Picture | GalleryStyle
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a weight that is not positive and finite.

        Raises:
            UsageError: the weight is not positive and finite.
        """
        check_weight(self.weight)

    @property
    def picture(self) -> Picture:
        """The style image over white, so that no colour counts that nobody sees.

        For a style of the gallery, this is the picture in its file.

        Raises:
            UsageError: this is a style of the gallery whose file has no picture.
            StyleError: the picture in its file is damaged.
        """
        self.require_picture()
        picture = self.source if isinstance(self.source, Picture) else self.source.picture
        assert picture is not None
        return Picture(picture.over_white)

    def require_picture(self) -> None:
        """Refuse a style of the gallery whose file has no picture.

        Raises:
            UsageError: the style's file has no picture.
        """
        if not isinstance(self.source, Picture) and not self.source.image:
            raise UsageError(
                f"style {self.source.name!r} is only a code for engine 'fast'; choose that engine, or give the picture "
                "of the style"
            )


@dataclass(frozen=True)
class StylizeInputs:
    """A content image and the styles to paint it in. There are no styles if the engine's network has its own style."""

    content: LazyPicture
    styles: tuple[Style, ...]
    masks: tuple[LazyPicture, ...] = ()
    """One mask per style, or none. A mask says where its style applies: see `impasto.engines.masks.masked_strips`."""

    def __post_init__(self) -> None:
        """Refuse masks that do not match the styles one to one.

        Raises:
            UsageError: the number of masks differs from the number of styles.
        """
        check_masks(len(self.masks), len(self.styles))

    @property
    def shares(self) -> list[float]:
        """The styles' weights, scaled to a sum of 1.

        Raises:
            UsageError: there is no style.
        """
        return mixture(self.styles)


class Weighted(Protocol):
    """A part of a mixture."""

    @property
    def weight(self) -> float:
        """The share of the part, relative to the weights of the other parts."""


def check_weight(weight: float) -> None:
    """Refuse a style weight that is not positive and finite.

    Raises:
        UsageError: the weight is not positive and finite.
    """
    if not 0 < weight < float("inf"):
        raise UsageError(f"style weight is {weight:g}; it must be positive")


def check_masks(masks: int, styles: int) -> None:
    """Refuse masks that do not match the styles one to one. A network with its own style takes one mask.

    Raises:
        UsageError: the number of masks differs from the number of styles.
    """
    if masks and masks != max(1, styles):
        raise UsageError(f"{masks} masks are given for {styles} styles; give one for each, in their order")


def mixture(styles: Sequence[Weighted]) -> list[float]:
    """Return the weights of ``styles``, scaled to a sum of 1.

    Raises:
        UsageError: there is no style.
    """
    if not styles:
        raise UsageError("no style is given; name one of the gallery, or give a picture")
    total = sum(style.weight for style in styles)
    return [style.weight / total for style in styles]


@dataclass(frozen=True)
class Forecast:
    """Estimated memory and time for painting a picture."""

    memory: int
    """Peak resident memory of the process in bytes, without the memory for writing the result file."""
    seconds: float
    """Time on this machine under its current load. A run that converges early takes less."""
    tile: int = 0
    """Side in pixels of the tiles in which an optimisation evaluates the picture; 0 means no tiles."""
    disk: int = 0
    """Bytes of state that the run keeps on disk."""
    accelerator: int = 0
    """Bytes of GPU memory, if a GPU computes."""


@dataclass(frozen=True, eq=False)
class MovedFrame:
    """The previous painted frame of a film, moved to where the next frame shows the same things."""

    pixels: FloatArray
    """(H, W, 3)."""
    trust: FloatArray
    """How sure the motion is at each pixel: (H, W), from 0 to 1."""


class PaintFrame(Protocol):
    """A function that paints the frames of a shot: see `Engine.shot`."""

    def __call__(self, picture: LazyPicture, before: MovedFrame | None) -> Iterator[Picture]:
        """Paint ``picture``, a frame as large as the first, strip by strip like `StreamingEngine.strips`.

        ``before`` is None for the first frame of a shot, and if frames shall not continue each other.
        """


class Stylize(Protocol):
    """The type of `Engine.stylize`."""

    def __call__(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """See `Engine.stylize`."""


class Engine(Protocol):
    """A method of style transfer.

    Attributes:
        network: the loaded network, which other engines of the same name may share.
    """

    network: Any

    def stylize(self, inputs: StylizeInputs, *, on_step: OnStep, checkpoint: Checkpoint | None = None) -> Picture:
        """Paint ``inputs.content`` in the style of ``inputs.styles``.

        Args:
            inputs: the content, the styles and the masks.
            on_step: called after every step; an exception from it stops the run.
            checkpoint: the file in which the state of the run is saved, and from which the run may continue.

        Returns:
            The stylized image: size, alpha, bit depth, profile and format are those of the content image unless the
            options say otherwise.

        Raises:
            Interrupted: the user stopped the run with Ctrl-C. The error carries the best picture so far.
        """

    def forecast(self, inputs: StylizeInputs, folder: Path) -> Forecast:
        """Estimate memory and time for ``inputs`` by a trial of a few seconds.

        ``folder`` is the folder in which a run would keep state on disk.

        Raises:
            OutOfMemoryError: the picture does not fit into this machine's memory, not even in tiles.
        """

    def shot(self, inputs: StylizeInputs, on_note: Callable[[str], None]) -> PaintFrame:
        """Return a function that paints the frames of a shot, whose first frame is the content of ``inputs``.

        If an engine has statistics, those of the first frame are used for all. Masks are not supported. ``on_note`` is
        called with notes for the user.
        """


@runtime_checkable
class StreamingEngine(Engine, Protocol):
    """An engine that holds only one strip of the picture in memory at a time."""

    def strips(self, inputs: StylizeInputs, *, on_step: OnStep) -> Iterator[Picture]:
        """Paint as `stylize` does, and yield the result from top to bottom in strips of full width."""


def result_metadata(engine: str, options: Options, **more: str) -> dict[str, str]:
    """Return the metadata of a result of ``engine``; ``more`` names the networks that were used."""
    return {
        "software": f"impasto {version('impasto')}",
        "engine": engine,
        "options": options.model_dump_json(exclude=set(UNRECORDED)),
        **more,
    }
