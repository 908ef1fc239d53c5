"""The method of the engine 'nnst': targets and colours of each stage of a run. `docs/nnst.md` has the formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.feature_distance import LAYER_STEPS, STRIP_ROWS, Features, flat
from impasto.engines.mirrored_tiles import STRIDE, padded_size
from impasto.engines.neighbors import NeighborSearch, confidence_mix
from impasto.images.color import ChromaLimit, Palette, prepare_style
from impasto.images.scale import crop_margin, enlarge, fit_size, resize_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from impasto.engines.base import MovedFrame, Style
    from impasto.engines.feature_distance import FeatureDistance, Look
    from impasto.engines.mirrored_tiles import Tile
    from impasto.engines.neighbor_stages import NeighborStage
    from impasto.options import NnstOptions
    from impasto.types import FloatArray, Picture

_TV_WEIGHT = 0.3
_DIMENSIONS = 96
"""Number of principal components by which hypercolumns are compared."""
_HYPERCOLUMN_POSITIONS = 16384
_LAYER_POSITIONS = {"relu1_1": 1024, "relu2_1": 2048, "relu3_1": 4096, "relu4_1": 4096}
"""Number of random positions of each style with which a layer is matched."""
_SHIFT_CELL = 48
"""Side in pixels of the cells in which colours of a film are shifted alike."""
_LEAST_SHARE = 0.05
"""Smallest share of a cell from which a shift of colours is known."""
_TRUSTED = 0.5
"""Trust in the motion from which on a pixel counts for the colours of a frame."""
_LEAST_TRUSTED = 0.1
"""Share of such pixels from which on they set the colours where they are."""
_DRAWN = 0.1
"""Share by which these colours are drawn towards those of the content in each frame."""
_PREVIOUS = 0.5
"""Share of the features of the previous frame of a film that a position keeps where the motion is sure."""


class StyledShot:
    """The styles of a shot, and the map from the colours of the film to theirs.

    A single picture is a shot of one frame.

    Attributes:
        options: options of the engine.
        shares: share of each style; their sum is 1.
        whole: long side in pixels above which pictures are only painted over, layer by layer.
    """

    def __init__(
        self,
        look: Look,
        options: NnstOptions,
        styles: Sequence[Style],
        shares: Sequence[float],
        first: FloatArray,
        whole: int,
    ) -> None:
        """Prepare ``styles`` for a shot whose first frame is ``first`` (H, W, 3)."""
        self.options, self.shares, self.whole = options, shares, whole
        self._look = look
        cropped = [crop_margin(style.picture.pixels, options.style_margin) for style in styles]
        self.styles = [prepare_style(pixels, first, options.keep_colors) for pixels in cropped]
        smaller = self.small(self.to_paint(first))
        # With `keep_colors`, the palette is that of the content, and nothing is amplified.
        self.limit = ChromaLimit.of(smaller, options.strength if options.keep_colors == "none" else 0.0)
        own = Palette.of([self.limit(smaller)])
        self.recolor = own.map_to(own.towards(Palette.of(self.styles, shares), options.strength))

    def to_paint(self, content: FloatArray) -> FloatArray:
        """Return ``content`` (H, W, 3) as it is painted: grey if only the luminance is."""
        return prepare_style(content, content, "luminance") if self.options.keep_colors == "luminance" else content

    def small(self, pixels: FloatArray) -> FloatArray:
        """Return ``pixels`` (H, W, 3) with a long side of at most `whole`."""
        height, width = pixels.shape[:2]
        width, height = fit_size(width, height, min(self.whole, max(width, height)))
        return resize_pixels(pixels, height, width)

    def banks(self, graph: str, counts: Mapping[str, int], stage: NeighborStage) -> dict[str, list[FloatArray]]:
        """Return the features (C, M) of each style for ``stage`` at random positions, by layer."""
        seen = [self._look.sampled(graph, style, counts, self.options.seed) for style in self._seen_styles(stage)]
        return {layer: [each[layer] for each in seen] for layer in counts}

    def _seen_styles(self, stage: NeighborStage) -> list[FloatArray]:
        """Return the styles at their size for ``stage``."""
        stroke_size = self.options.stroke_size
        styles = []
        for style in self.styles:
            # An enlarged style is blurred, so the size of a style is limited for large pictures.
            sharp = max(self.whole * stroke_size, *style.shape[:2])
            side = max(1, round(min(sharp, max(stage.width, stage.height) * stroke_size)))
            styles.append(resize_pixels(style, *reversed(fit_size(style.shape[1], style.shape[0], side))))
        return styles


class NeighborMethod:
    """Targets and colours of each stage: see `impasto.optimization.stages.Method`.

    Attributes:
        start: the pixels that the first stage begins with unless the options say otherwise, (H, W, 3), with a long side
            of at most `StyledShot.whole`: the content in the colours of the styles, and where the motion is sure, the
            previous frame.
    """

    def __init__(
        self,
        look: Look,
        shot: StyledShot,
        content: FloatArray,
        picture: Callable[[FloatArray], Picture],
        before: MovedFrame | None = None,
    ) -> None:
        """Paint ``content`` (H, W, 3), a frame of ``shot``.

        Args:
            look: computes features.
            shot: the shot.
            content: the frame.
            picture: makes the result picture from pixels.
            before: the painted frame before, if it is to be continued.
        """
        self._look = look
        self._shot = shot
        self._options, self._shares = shot.options, shot.shares
        self._content = shot.to_paint(content)
        self.picture = picture
        limited = shot.limit(shot.small(self._content))
        self._limited = limited
        self._palette = Palette.of([limited]).mapped(shot.recolor)
        self.start = self._recolored = shot.recolor(limited)
        self._trust: FloatArray | None = None
        """How sure the motion is from the previous frame to each position, (H, W)."""
        if before is not None:
            height, width = limited.shape[:2]
            self._trust = resize_pixels(before.trust, height, width)
            painted = shot.to_paint(resize_pixels(before.pixels, height, width))
            self.start = continued(self._recolored, painted, self._trust)
        self._mix: FloatArray | None = None
        """Share of the content's own features at each position of the hypercolumns, (H / 4, W / 4)."""

    def resized(self, stage: NeighborStage, pixels: FloatArray) -> FloatArray:
        """See `Method.resized`."""
        if pixels.shape[:2] == (stage.height, stage.width):
            return pixels
        details = self._details(stage, *pixels.shape[:2]) if stage.is_large else None
        enlarged = resize_pixels(self.in_palette(pixels), stage.height, stage.width)
        if details:
            for top in range(0, stage.height, STRIP_ROWS):
                part = enlarged[top : top + STRIP_ROWS]
                part += details(top, len(part))
            np.clip(enlarged, 0, 1, out=enlarged)
        return enlarged

    def _details(self, stage: NeighborStage, height: int, width: int) -> Callable[[int, int], FloatArray]:
        """Return the details of the content that are finer than ``height`` x ``width``, in proportion to `_kept`.

        They are returned as a function that computes some rows of ``stage`` from their top and number.
        """
        seen = resize_pixels(self._content, stage.height, stage.width)

        def content(top: int, rows: int) -> FloatArray:
            return self._shot.recolor(self._shot.limit(seen[top : top + rows]))

        whole = np.empty(seen.shape, np.float32)
        for top in range(0, stage.height, STRIP_ROWS):
            whole[top : top + STRIP_ROWS] = content(top, STRIP_ROWS)
        coarse = enlarge(resize_pixels(whole, height, width), stage.height, stage.width)
        kept = enlarge(self._kept, stage.height, stage.width)

        def details(top: int, rows: int) -> FloatArray:
            place = (top, 0, rows, stage.width)
            added: FloatArray = kept(*place).clip(0, 1) * (content(top, rows) - coarse(*place).clip(0, 1))
            return added

        return details

    @property
    def _kept(self) -> FloatArray:
        """Share of the content's own features at each position, (H / 4, W / 4) of a smaller stage."""
        mix = np.zeros((1, 1), np.float32) if self._mix is None else self._mix
        kept: FloatArray = 1 - np.float32(self._options.strength) * (1 - mix)
        return kept

    def in_palette(self, pixels: FloatArray) -> FloatArray:
        """Give ``pixels`` (H, W, 3) the mean and covariance of the palette, which depends on the strength.

        Where the motion of a film is sure, they get those of the previous frame. Otherwise, a passer-by would change
        the colours of the whole street. A moved frame is softer, so they are drawn a little towards the content's.
        """
        result = Palette.of([pixels]).map_to(self._palette)(pixels)
        if self._trust is None:
            return result
        height, width = pixels.shape[:2]
        trust = resize_pixels(self._trust, height, width)
        sure = trust > _TRUSTED
        if sure.mean() < _LEAST_TRUSTED:
            return result
        start, content = (resize_pixels(each, height, width)[sure][None] for each in (self.start, self._limited))
        wanted = Palette.of([start]).towards(Palette.of([content]).mapped(self._shot.recolor), _DRAWN)
        steady = Palette.of([pixels[sure][None]]).map_to(wanted)(pixels)
        return result + trust[:, :, None] * (steady - result)

    def state(self) -> dict[str, FloatArray]:
        """See `Method.state`."""
        return {} if self._mix is None else {"mix": self._mix}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """See `Method.restore`."""
        self._mix = np.asarray(state["mix"], np.float32) if "mix" in state else None

    def objective(self, stage: NeighborStage, pixels: FloatArray) -> FeatureDistance:
        """See `Method.objective`."""
        if stage.is_large:
            return self._overpainting(pixels, stage)
        content = resize_pixels(self._recolored, stage.height, stage.width)
        if stage.by_layer:
            return self._look.distance_by_layer(self._layer_targets(pixels, content, stage), _TV_WEIGHT / 2)
        return self._look.distance(self._hypercolumn_target(pixels, content, stage), _TV_WEIGHT)

    def _overpainting(self, pixels: FloatArray, stage: NeighborStage) -> FeatureDistance:
        """Return the distance from the neighbours, weighted by 1 minus the share of the content's own features."""
        banks = self._shot.banks("see_layers", _LAYER_POSITIONS, stage)
        targets = self._look.gathered(pixels, banks, self._shares, self._options.seed)
        height, width = padded_size(stage.height, stage.width)
        weights = 1 - resize_pixels(self._kept, height // STRIDE, width // STRIDE)
        tv_weight = _TV_WEIGHT / 2 * float(weights.mean())
        return self._look.distance_by_layer(targets, tv_weight, weights[None, None])

    def _hypercolumn_target(self, pixels: FloatArray, content: FloatArray, stage: NeighborStage) -> FloatArray:
        share, counts = self._options.content_weight, {"hypercolumns": _HYPERCOLUMN_POSITIONS}
        banks = self._shot.banks("see_hypercolumns", counts, stage)["hypercolumns"]
        own = self._look.hypercolumns(content)
        mixed = share * content + (1 - share) * pixels
        found = own if np.array_equal(mixed, content) else self._look.hypercolumns(mixed)
        neighbors = NeighborSearch(flat(found), banks, self._shares, dimensions=_DIMENSIONS).find(flat(found))
        self._mix = confidence_mix(flat(found), neighbors.similarity).reshape(found.shape[2:])
        mean = sum(share * bank.mean(1) for share, bank in zip(self._shares, banks, strict=True))
        shifted = own + (np.reshape(mean, (1, -1, 1, 1)) - own.mean((2, 3), keepdims=True))
        nearest = np.concatenate(banks, axis=1)[:, neighbors.position].reshape(found.shape)
        target = self._blended(nearest, shifted, own, self._mix)
        if self._trust is not None:
            before = self._look.hypercolumns(resize_pixels(self.start, stage.height, stage.width))
            before -= target
            before *= _PREVIOUS * resize_pixels(self._trust, *target.shape[2:])
            target += before
        return target

    def _layer_targets(self, pixels: FloatArray, content: FloatArray, stage: NeighborStage) -> dict[str, Features]:
        banks = self._shot.banks("see_layers", _LAYER_POSITIONS, stage)
        found = self._look.layers(pixels)
        targets = {}
        for layer, bank in banks.items():
            own = found.pop(layer)
            position = NeighborSearch(flat(own), bank, self._shares).find(flat(own)).position
            targets[layer] = np.concatenate(bank, axis=1)[:, position].reshape(own.shape)
        del own
        mixes = _by_step(np.zeros((1, 1), np.float32) if self._mix is None else self._mix, stage)

        def blend(target: FloatArray, own: FloatArray, step: int, tile: Tile) -> None:
            target[:] = self._blended(target, own, own, tile.own(mixes[step], step))

        self._look.blend_layers(content, targets, blend)
        if self._trust is not None:
            shares = _by_step(_PREVIOUS * self._trust, stage)

            def keep(target: FloatArray, before: FloatArray, step: int, tile: Tile) -> None:
                target += tile.own(shares[step], step) * (before - target)

            self._look.blend_layers(resize_pixels(self.start, stage.height, stage.width), targets, keep)
        return {layer: Features.of(targets.pop(layer), step) for layer, step in LAYER_STEPS.items()}

    def _blended(self, neighbors: FloatArray, shifted: FloatArray, own: FloatArray, mix: FloatArray) -> FloatArray:
        """Mix ``neighbors`` with ``shifted`` content features by ``mix``, and the sum with ``own`` by the strength."""
        strength = np.float32(self._options.strength)
        target = neighbors + mix * (shifted - neighbors)
        return target if strength == 1 else own + strength * (target - own)


def continued(content: FloatArray, painted: FloatArray, trust: FloatArray) -> FloatArray:
    """Return ``painted`` (H, W, 3) where the ``trust`` (H, W) is 1, and ``content`` in its colours where it is 0.

    The colours of new content are shifted as those of what is near were. Otherwise its border would be visible.
    """
    height, width = trust.shape
    sure = trust[:, :, None]
    rows, columns = -(-height // _SHIFT_CELL), -(-width // _SHIFT_CELL)
    before, after, share = (resize_pixels(each, rows, columns) for each in (sure * content, sure * painted, sure))
    shift = np.divide(after - before, share.clip(_LEAST_SHARE), dtype=np.float32)
    shifted = content + enlarge(shift, height, width)(0, 0, height, width)
    return (sure * painted + (1 - sure) * shifted).clip(0, 1)


def _by_step(shares: FloatArray, stage: NeighborStage) -> dict[int, FloatArray]:
    """Scale ``shares`` (H, W) to the positions of each layer of ``stage``: (1, 1, H / step, W / step) by step."""
    height, width = padded_size(stage.height, stage.width)
    steps = set(LAYER_STEPS.values())
    return {step: resize_pixels(shares, height // step, width // step)[None, None] for step in steps}
