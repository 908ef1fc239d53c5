"""The engine 'texture-net': networks with noise input (Ulyanov et al. 2016), for textures and for pictures."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from impasto.engines.feedforward import FeedForwardEngine
from impasto.engines.network_graphs import NetworkGraphs
from impasto.engines.tiling import TileSteps, plan_tiles
from impasto.errors import UsageError
from impasto.types import Picture, with_notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from impasto.engines.base import StylizeInputs
    from impasto.engines.feedforward import Painter
    from impasto.engines.tiling import Tile
    from impasto.options import TextureNetOptions, TextureNetSynthesisOptions
    from impasto.types import FloatArray, OnStep

_SAMPLE = 256
"""Side in pixels of the texture on which statistics are measured, as in training."""

_BLOCK = 128
_MANY = 1 << 30
"""Offset of block indices. Without it, seeds would be negative before the first row and column."""


class TextureNetEngine(FeedForwardEngine):
    """Paints in the style of its network."""

    name = "texture-net"
    architecture = "texture-stylizer"
    _options: TextureNetOptions

    def _painter(self, inputs: StylizeInputs, thumbnail: FloatArray) -> Painter:
        del inputs
        noise = UniformNoise(self._graphs.description.noise_channels, self._options.seed)

        def beside(batch: FloatArray, top: int, left: int) -> dict[str, FloatArray]:
            return {"noise": noise.part(top, left, *batch.shape[2:])}

        return lambda thumbnail: self._faded(self._measured(self._graphs, self._seen(thumbnail), beside))


class TextureNetSynthesizer:
    """Makes the texture of its network, in any size."""

    def __init__(self, options: TextureNetSynthesisOptions, *, tile: int = 512) -> None:
        """Find the network. Graphs are loaded on first use.

        Args:
            options: the network, and the seed of its noise.
            tile: side in pixels of the tiles that a texture is made in; they set the memory, not the result.

        Raises:
            UsageError: the options name no texture network.
        """
        self._options = options
        self._tile = tile
        self._graphs = NetworkGraphs(options, "texture")
        self._network = self._graphs.description

    def synthesize(self, width: int, height: int, *, tileable: bool, on_step: OnStep) -> Iterator[Picture]:
        """Make a texture, and yield it from top to bottom in strips of full width.

        Args:
            width: width of the texture in pixels.
            height: height of the texture in pixels.
            tileable: True to make opposite edges of the texture fit together.
            on_step: called after every tile; an exception from it stops the run.

        Raises:
            UsageError: the sides of a tileable texture are not multiples of 16.
        """
        stride = self._network.stride
        if tileable and (width % stride or height % stride):
            raise UsageError(
                f"a tileable texture of a network needs sides that are multiples of {stride}, unlike {width}x{height}; "
                f"choose {-(-width // stride) * stride}x{-(-height // stride) * stride}"
            )
        noise = self._noise((height, width) if tileable else None)
        affine = self._affine
        metadata = self._graphs.metadata("texture-net", self._options)
        rows = plan_tiles(height, width, self._tile, self._tile, halo=0)
        noted = with_notes(on_step, self._graphs.notes)
        steps = TileSteps(rows, noted, lambda: Picture(self._made(noise, affine, rows[0][0])))
        for row in rows:
            top, bottom = row[0].top, row[0].bottom
            strip = np.empty((bottom - top, width, 3), np.float32)
            for tile in row:
                strip[:, tile.left : tile.right] = self._made(noise, affine, tile)
                steps.made_one()
            yield Picture(strip, metadata=metadata)

    @cached_property
    def _affine(self) -> FloatArray:
        """The scales and shifts that were measured on a sample."""
        sample = self._noise().part(0, 0, _SAMPLE, _SAMPLE)
        return self._graphs.run("measure", noise=sample)["affine"]

    def _noise(self, period: tuple[int, int] | None = None) -> UniformNoise:
        return UniformNoise(self._network.noise_channels, self._options.seed, period)

    def _made(self, noise: UniformNoise, affine: FloatArray, tile: Tile) -> FloatArray:
        """Make one tile, with noise in its halo on all sides, so that no edge is visible."""
        height, width = tile.bottom - tile.top, tile.right - tile.left
        stride, halo = self._network.stride, self._network.halo
        sides = (side + -side % stride + 2 * halo for side in (height, width))
        part = noise.part(tile.top - halo, tile.left - halo, *sides)
        made = self._graphs.run("render", noise=part, affine=affine)["painted"]
        pixels: FloatArray = made[0, :, halo : halo + height, halo : halo + width].transpose(1, 2, 0)
        return pixels


class UniformNoise:
    """An endless field of random numbers in [0, 1], the input of texture networks.

    It repeats only with a ``period`` in rows and columns. Textures made from it are then seamless.
    """

    def __init__(self, channels: int, seed: int, period: tuple[int, int] | None = None) -> None:
        """Define the field for ``seed``. Numbers are drawn on request."""
        self._channels = channels
        self._seed = seed
        self._period = period

    def part(self, top: int, left: int, rows: int, columns: int) -> FloatArray:
        """Return the part (1, channels, rows, columns) that begins at row ``top`` and column ``left``."""
        down, across = np.arange(top, top + rows), np.arange(left, left + columns)
        if self._period:
            down, across = down % self._period[0], across % self._period[1]
        result = np.empty((self._channels, rows, columns), np.float32)
        for block_row in np.unique(down // _BLOCK):
            for block_column in np.unique(across // _BLOCK):
                inside_rows = np.flatnonzero(down // _BLOCK == block_row)
                inside_columns = np.flatnonzero(across // _BLOCK == block_column)
                random = np.random.default_rng((self._seed, block_row + _MANY, block_column + _MANY))
                block = random.random((self._channels, _BLOCK, _BLOCK), dtype=np.float32)
                picked = block[:, (down[inside_rows] % _BLOCK)[:, None], across[inside_columns] % _BLOCK]
                result[:, inside_rows[:, None], inside_columns] = picked
        return result[None]
