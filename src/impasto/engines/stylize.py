"""The Python front: one call from picture to picture."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from impasto.engines.base import Style, StylizeInputs
from impasto.engines.catalog import OPTIONS, create_engine, parse_options
from impasto.engines.masks import alpha_mask
from impasto.gallery import StyleSource, as_style_source
from impasto.images import LazyPicture, PictureSource, as_picture
from impasto.options import DEFAULT_ENGINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.types import OnStep, Picture

MaskSource: TypeAlias = "PictureSource | Literal['alpha']"
WeightedStyle: TypeAlias = "StyleSource | tuple[StyleSource, float]"


def stylize(
    content: PictureSource,
    style: WeightedStyle | Sequence[WeightedStyle] = (),
    *,
    engine: str = DEFAULT_ENGINE,
    mask: MaskSource | Sequence[MaskSource] = (),
    on_step: OnStep | None = None,
    **options: Any,
) -> Picture:
    """Paint ``content`` in the style of ``style``.

    Args:
        content: the content image: a path, the bytes of a file, a PIL image, an array (H, W[, 3 or 4]) or a Picture.
        style: the style image, in the same forms, or a style of the gallery by its name; or ``(style, weight)``; or a
            list or tuple of these, to be mixed. Networks that were trained for one style need none.
        engine: how: 'nnst', optimisation by nearest neighbours; 'fast', one pass through a trained network; 'gatys',
            optimisation of Gram matrices; or one of the networks that 'impasto train' trains: 'adain', 'sanet',
            'transformer', 'texture-net'.
        mask: where the style applies, white, and where the content stays, black or transparent: a picture in the same
            forms, of any size, or 'alpha', what is not transparent in the content; with several styles a list or tuple
            of one for each. Where masks overlap, styles are mixed by their weights.
        on_step: called after every step with an `impasto.Step`.
        **options: of the engine, by the names of its options model (`impasto.NnstOptions`, `impasto.FastOptions`, ...);
            unknown ones are refused.

    Returns:
        The stylized image, as large as the content image unless ``size`` says otherwise.

    Raises:
        ImpastoError: with one sentence about what is wrong; `impasto.errors` lists the kinds.

    Example:
        ``impasto.write_picture(impasto.stylize("photo.jpg", "painting.jpg", size=512), "out.png")``
    """
    chosen = parse_options(engine, options, OPTIONS)
    sources: Sequence[Any] = [style]
    if isinstance(style, (list, tuple)) and not _is_weighted(style):
        sources = style
    given = LazyPicture.of(as_picture(content))
    wanted: Sequence[Any] = mask if isinstance(mask, (list, tuple)) else [mask]
    masks = tuple(
        alpha_mask(given) if isinstance(each, str) and each == "alpha" else LazyPicture.of(as_picture(each))
        for each in wanted
    )
    inputs = StylizeInputs(given, tuple(_as_style(source) for source in sources), masks)
    return create_engine(engine, chosen).stylize(inputs, on_step=on_step or (lambda step: None))


def _as_style(source: Any) -> Style:
    if _is_weighted(source):
        style, weight = source
        return Style(as_style_source(style), float(weight))
    return Style(as_style_source(source))


def _is_weighted(source: Any) -> bool:
    return isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], Real)
