"""Requests to paint. The command line, Python programs, jobs and workers all use `Painting`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from impasto.engines.base import Style, StylizeInputs, check_masks, check_weight, mixture
from impasto.engines.catalog import OPTIONS, EngineRow, create_engine, engine_row, parse_options
from impasto.engines.masks import alpha_mask
from impasto.errors import UnknownNameError, UsageError
from impasto.gallery import StyleCatalog, StyleSource, as_style_source
from impasto.images import Limits, PictureSource, open_source
from impasto.images.formats import SUFFIXES
from impasto.options import DEFAULT_ENGINE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from impasto.engines.base import Engine
    from impasto.optimization.checkpoint import Checkpoint
    from impasto.options import EngineOptions
    from impasto.types import OnStep, Picture

MaskSource: TypeAlias = "PictureSource | Literal['alpha']"
WeightedStyle: TypeAlias = "StyleSource | tuple[StyleSource, float]"
Sources: TypeAlias = "Mapping[str, StyleSource]"
"""Pictures by the keys that a `Painting` uses, with the content as 'content'."""

SourceT = TypeVar("SourceT")

CONTENT = "content"
ALPHA = "alpha"
"""The mask that is not a separate picture: the content's own alpha channel."""


@dataclass(frozen=True)
class StyleChoice:
    """A style: its ``name`` in the gallery, or the key of a source."""

    name: str | None = None
    source: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a weight that is not positive."""
        check_weight(self.weight)

    def read(self, sources: Sources) -> Style:
        """Look up the style."""
        if self.name is not None:
            return Style(StyleCatalog().get(self.name), self.weight)
        assert self.source is not None
        return Style(as_style_source(sources[self.source]), self.weight)


@dataclass(frozen=True)
class Painting:
    """A request to paint. It refers to pictures by keys, so that it can be stored and sent without them.

    Raises:
        UnknownNameError: there is no such engine or format.
        UsageError: the engine does not take these styles or masks.
    """

    engine: str
    options: EngineOptions
    styles: tuple[StyleChoice, ...] = ()
    masks: tuple[str, ...] = ()
    """Masks of the styles: keys of sources, or `ALPHA`. There is one for each style, or there are none."""
    format: str | None = None
    """Format of the result, such as 'png'; None stands for the content's format."""

    def __post_init__(self) -> None:
        """Refuse an invalid request before any picture is read."""
        if self.format is not None and self.format not in SUFFIXES:
            raise UnknownNameError("format", self.format, SUFFIXES)
        if self.row.styles == "any":
            mixture(self.styles)
        elif self.styles:
            raise UsageError(
                f"a network of engine {self.engine!r} has one style, which it was trained for; name none, or choose "
                "engine 'nnst'"
            )
        check_masks(len(self.masks), len(self.styles))

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Painting:
        """Build a request from values that `as_json` returned.

        Raises:
            UnknownNameError, UsageError: the values come from another version of impasto and are not valid in this one.
        """
        return cls(
            values["engine"],
            parse_options(values["engine"], values["options"], OPTIONS),
            tuple(
                StyleChoice(style.get("name"), style.get("input"), style.get("weight", 1.0))
                for style in values["styles"]
            ),
            tuple(values.get("masks", ())),
            values.get("format"),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the request as JSON values, with only those options that were given."""
        return {
            "engine": self.engine,
            "options": self.options.model_dump(mode="json", exclude_unset=True),
            "styles": [
                {"name": style.name, "weight": style.weight}
                if style.name is not None
                else {"input": style.source, "weight": style.weight}
                for style in self.styles
            ],
            "masks": list(self.masks),
            "format": self.format,
        }

    @property
    def row(self) -> EngineRow:
        """The engine's row in the catalog."""
        return engine_row(self.engine)

    def check_gallery(self) -> None:
        """Refuse styles that are not in the gallery, or that have no picture although the engine needs one.

        Raises:
            UnknownNameError, UsageError, StyleError: see `read_styles`.
        """
        named = tuple(choice for choice in self.styles if choice.name is not None)
        if named:
            replace(self, styles=named, masks=()).read_styles({})

    def read_styles(self, sources: Sources) -> tuple[Style, ...]:
        """Look up the styles.

        Raises:
            ImageError, StyleError: a style cannot be read.
            UnknownNameError: the gallery has no style of this name.
            UsageError: a style is a code without a picture, and the engine needs a picture.
        """
        styles = tuple(choice.read(sources) for choice in self.styles)
        if not self.row.codes:
            for style in styles:
                style.require_picture()
        return styles

    def read(
        self,
        sources: Sources,
        styles: tuple[Style, ...] | None = None,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> StylizeInputs:
        """Open the content and the masks within ``limits``, and the styles unless they are given: see `read_styles`.

        Raises:
            ImageError: a picture cannot be read.
            UsageError: a mask is 'alpha', but the content is opaque; or the result would be larger than the pictures
                that are opened.
        """
        content = open_source(cast("PictureSource", sources[CONTENT]), limits=limits)
        limits.check_result(content.width, content.height, self.options.size)
        masks = tuple(
            alpha_mask(content) if mask == ALPHA else open_source(cast("PictureSource", sources[mask]), limits=limits)
            for mask in self.masks
        )
        return StylizeInputs(content, self.read_styles(sources) if styles is None else styles, masks)

    def create_engine(
        self, *, on_download: Callable[[int, int | None], None] | None = None, network: Any = None
    ) -> Engine:
        """Create the engine with the options: see `impasto.engines.catalog.create_engine`."""
        return create_engine(self.engine, self.options, on_download=on_download, network=network)


def arrange(
    engine: str,
    options: EngineOptions,
    styles: Sequence[StyleChoice | tuple[SourceT, float]],
    masks: Sequence[SourceT | Literal["alpha"]] = (),
    format: str | None = None,
) -> tuple[Painting, dict[str, SourceT]]:
    """Give each style image and mask a key, and return the painting and the sources by key.

    Styles are choices by name, or sources with their weights. The caller adds the content to the sources.

    Raises:
        UnknownNameError, UsageError: see `Painting`.
    """
    sources: dict[str, SourceT] = {}
    choices: list[StyleChoice] = []
    keys: list[str] = []
    for index, style in enumerate(styles):
        if not isinstance(style, StyleChoice):
            sources[key := f"style{index}"], weight = style
            style = StyleChoice(source=key, weight=weight)
        choices.append(style)
    for index, mask in enumerate(masks):
        if isinstance(mask, str) and mask == ALPHA:
            keys.append(ALPHA)
        else:
            sources[key := f"mask{index}"] = cast("SourceT", mask)
            keys.append(key)
    return Painting(engine, options, tuple(choices), tuple(keys), format), sources


def paint(
    painting: Painting,
    sources: Sources,
    *,
    on_step: OnStep,
    engine: Engine | None = None,
    checkpoint: Checkpoint | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Picture:
    """Carry out the request ``painting``, and return the picture.

    Args:
        painting: the request.
        sources: the pictures of the request, by key.
        on_step: called after every step; an exception from it stops the run.
        engine: the engine of the painting, if it has already been created.
        checkpoint: the file in which the state of the run is saved, and from which the run may continue.
        limits: limits on the content image and the masks.

    Raises:
        ImpastoError: the message is one sentence about the problem.
    """
    made = engine or painting.create_engine()
    return made.stylize(painting.read(sources, limits=limits), on_step=on_step, checkpoint=checkpoint)


def stylize(
    content: PictureSource,
    style: WeightedStyle | Sequence[WeightedStyle] = (),
    *,
    engine: str = DEFAULT_ENGINE,
    mask: MaskSource | Sequence[MaskSource] = (),
    on_step: OnStep | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    **options: Any,
) -> Picture:
    """Paint ``content`` in the style of ``style``.

    Args:
        content: the content image: a path, the bytes of a file, an open file, a PIL image, an array (H, W[, 3 or 4]), a
            tensor (3, H, W) or a Picture. `impasto.images.as_picture` has the types and ranges.
        style: the style image, in the same forms, or a style of the gallery by its name; or ``(style, weight)``; or a
            list or tuple of these, to be mixed. Networks that were trained for one style need none.
        engine: 'nnst', optimisation by nearest neighbours; 'fast', one pass through a trained network; 'gatys',
            optimisation of Gram matrices; or one of the networks that 'impasto train' trains: 'adain', 'sanet',
            'transformer', 'texture-net'.
        mask: white where the style applies, black or transparent where the content stays: a picture in the same forms,
            of any size, or 'alpha' for the content's own alpha channel. With several styles, a list or tuple with one
            mask for each. Where masks overlap, styles are mixed by their weights.
        on_step: called after every step with an `impasto.Step`.
        limits: limits on the content image and the masks: pixels, bytes, time to decode.
        **options: options of the engine, by the names in its model (`impasto.NnstOptions`, `impasto.FastOptions`, ...);
            unknown ones are refused.

    Returns:
        The stylized image, as large as the content image unless ``size`` says otherwise.

    Raises:
        ImpastoError: the message is one sentence about the problem; `impasto.errors` lists the kinds.

    Example:
        ``impasto.write_picture(impasto.stylize("photo.jpg", "painting.jpg", size=512), "out.png")``
    """
    styles: Sequence[Any] = style if isinstance(style, (list, tuple)) and not _is_weighted(style) else [style]
    masks: Sequence[Any] = mask if isinstance(mask, (list, tuple)) else [mask]
    weighted = [(each[0], float(each[1])) if _is_weighted(each) else (each, 1.0) for each in styles]
    painting, sources = arrange(engine, parse_options(engine, options, OPTIONS), weighted, masks)
    return paint(painting, {CONTENT: content, **sources}, on_step=on_step or (lambda step: None), limits=limits)


def _is_weighted(source: Any) -> bool:
    return isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], Real)
