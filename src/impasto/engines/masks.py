"""Masks, which say where each style applies. They work in the same way in all engines.

The whole picture is painted once in each style, and the results are mixed by the masks. The content is unchanged where
no mask applies.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from impasto.errors import Interrupted, UsageError
from impasto.images.color import luminance
from impasto.images.scale import fit_size, resize_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from impasto.engines.base import Stylize, StylizeInputs
    from impasto.images import LazyPicture
    from impasto.optimization.checkpoint import Checkpoint
    from impasto.types import FloatArray, OnStep, Picture, Step

    Strips = Callable[[StylizeInputs, OnStep], Iterator[Picture]]

_NOTHING = 1e-6


def alpha_mask(content: LazyPicture) -> LazyPicture:
    """Return the alpha channel of ``content`` as a mask.

    Raises:
        UsageError: ``content`` is opaque.
    """
    if content.alpha is None:
        raise UsageError("the content has no transparency that could be its mask; give a picture")
    return replace(content, pixels=content.alpha, white=content.opaque, alpha=None, unclipped=None)


def masked_strips(inputs: StylizeInputs, size: tuple[int, int], strips: Strips, on_step: OnStep) -> Iterator[Picture]:
    """Paint in each style separately, mix the results by the masks, and yield strips from top to bottom.

    Args:
        inputs: inputs with one mask per style. A mask is a picture of any size. White means that the style applies,
            grey that it applies in part, and black or transparent that it does not apply. Where masks overlap, styles
            are mixed by their weights.
        size: width and height of the result.
        strips: paints inputs without masks; the heights of its strips do not depend on the style.
        on_step: called after every step of every style; an exception from it stops the run.
    """
    content = inputs.content.resized(*size)
    masks = [mask.resized(*size) for mask in inputs.masks]
    weights = [style.weight for style in inputs.styles] or [1.0]
    alone = [replace(inputs, styles=inputs.styles[index : index + 1], masks=()) for index in range(len(masks))]
    progress = _Interleaved(on_step, len(alone))
    top = 0
    for painted in zip(*(strips(each, progress.of(index)) for index, each in enumerate(alone)), strict=True):
        bottom = top + painted[0].height
        shown = [_shown(mask, top, bottom) for mask in masks]
        given = content.read(top, bottom, exact=True)
        pixels = _blend(given.pixels, [part.pixels for part in painted], shown, weights).clip(0, 1)
        beyond = None
        if given.beyond is not None:
            nothing = np.zeros((1, 1, 1), np.float32)
            others = [nothing if part.beyond is None else part.beyond for part in painted]
            beyond = _blend(given.beyond, others, shown, weights)
        yield replace(painted[0], pixels=pixels, beyond=beyond)
        top = bottom


def painted_through_masks(
    inputs: StylizeInputs, size: int | None, stylize: Stylize, on_step: OnStep, checkpoint: Checkpoint | None
) -> Picture:
    """Paint as `masked_strips` does, with an engine of many steps. Only a run with one style can be resumed.

    Args:
        inputs: inputs with one mask per style.
        size: long side of the result in pixels; None for the long side of the content.
        stylize: paints inputs without masks.
        on_step: called after every step of every style; an exception from it stops the run.
        checkpoint: the file for the state of the run.

    Raises:
        Interrupted: the user stopped the run with Ctrl-C. The error carries the best picture so far, with the content
            in place of styles that were not painted yet.
    """
    given, stopped = inputs.content, False
    finished: list[Picture] = []
    whole = fit_size(given.width, given.height, size)
    kept = checkpoint if len(inputs.masks) == 1 else None

    def paint(alone: StylizeInputs, on_step: OnStep) -> Iterator[Picture]:
        nonlocal stopped
        if stopped:
            yield given.resized(*whole).read()
            return

        def mixed(step: Step) -> None:
            on_step(replace(step, preview=lambda: _mixed(inputs, [*finished, step.preview()])))

        try:
            finished.append(stylize(alone, on_step=mixed, checkpoint=kept))
            yield finished[-1]
        except Interrupted as stop:
            stopped = True
            yield stop.picture

    picture = next(masked_strips(inputs, whole, paint, on_step))
    if stopped:
        raise Interrupted(picture)
    return picture


def _mixed(inputs: StylizeInputs, painted: Sequence[Picture]) -> Picture:
    """Mix what is ``painted``, in the first styles, at the size of the last one."""
    last = painted[-1]
    width, height = last.width, last.height
    weights = [style.weight for style in inputs.styles] or [1.0]
    shown = [_shown(mask.resized(width, height), 0, height) for mask in inputs.masks[: len(painted)]]
    pixels = [resize_pixels(each.pixels, height, width) for each in painted]
    content = inputs.content.resized(width, height).read().pixels
    return replace(last, pixels=_blend(content, pixels, shown, weights[: len(painted)]).clip(0, 1))


def _shown(mask: LazyPicture, top: int, bottom: int) -> FloatArray:
    part = mask.read(top, bottom)
    grey = luminance(part.pixels)
    shown: FloatArray = (grey if part.alpha is None else grey * part.alpha)[:, :, None]
    return shown


def _blend(
    content: FloatArray, painted: Sequence[FloatArray], shown: Sequence[FloatArray], weights: Sequence[float]
) -> FloatArray:
    """Mix ``painted`` pictures (H, W, 3) by their masks (H, W, 1) and weights; elsewhere, keep ``content``."""
    cover = np.minimum(sum(shown), 1.0)
    total = sum(weight * mask for weight, mask in zip(weights, shown, strict=True))
    style = sum(weight * mask * pixels for weight, mask, pixels in zip(weights, shown, painted, strict=True))
    blended: FloatArray = content + cover * (style / np.maximum(total, _NOTHING) - content)
    return blended.astype(np.float32)


class _Interleaved:
    """Reports the progress of several interleaved runs as one run."""

    def __init__(self, on_step: OnStep, runs: int) -> None:
        self._on_step = on_step
        self._last: list[Step | None] = [None] * runs

    def of(self, index: int) -> OnStep:
        def on_step(step: Step) -> None:
            self._last[index] = step
            begun = [each for each in self._last if each is not None]
            runs = len(self._last)
            fraction = sum(each.fraction for each in begun) / runs
            self._on_step(
                replace(step, done=sum(each.done for each in begun), total=runs * step.total, fraction=fraction)
            )

        return on_step
