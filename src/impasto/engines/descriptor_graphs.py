"""A descriptor's graphs, loaded on first use and kept."""

from __future__ import annotations

import json
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.engines.network_graphs import cache_folder, check_addresses
from impasto.errors import UnknownNameError, needs_extra
from impasto.optimization.memory.process import return_freed_blocks
from impasto.runtimes.catalog import RUNTIMES
from impasto.runtimes.descriptor_folder import graphs_folder
from impasto.weights.location import stored_files, stored_identity, weights_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from impasto.options import RuntimeOptions
    from impasto.runtimes.base import Runtime
    from impasto.runtimes.descriptor_folder import GraphsOf
    from impasto.types import FloatArray

_FLEXIBLE = 300_000
"""Pixels up to which one compiled graph serves all sizes. Above, a graph for one size takes half of the memory."""
_FIRST: dict[GraphsOf, str] = {"neighbors": "see_layers", "statistics": "sum_statistics"}
_FETCHED = ("vgg19", "vgg16")
"""Names of `impasto.weights.store.REMOTE_WEIGHTS`, without PyTorch."""
_BUNDLED = Path(str(files("impasto.bundled"))) / "descriptors"


class DescriptorGraphs:
    """The functions of a descriptor network and their gradients, for use by an optimisation."""

    def __init__(
        self,
        descriptor: str,
        options: RuntimeOptions,
        *,
        graphs: GraphsOf = "neighbors",
        device: str = "auto",
        on_download: Callable[[int, int | None], None] | None = None,
    ) -> None:
        """Find the graphs of ``descriptor``; if they are not bundled, export them now and keep them.

        Args:
            descriptor: name of the descriptor.
            options: who runs the graphs, and how.
            graphs: the set of functions that is needed.
            device: the device that computes.
            on_download: called with bytes done and in all if weights have to be fetched.

        Raises:
            UnknownNameError: there is no such descriptor.
            WeightsError: its weights cannot be fetched or read.
            MissingDependencyError: PyTorch is not installed, and the export of the graphs or the device needs it.
        """
        self._options = options
        self._device = device
        self._runtimes: dict[tuple[str, tuple[int, ...]], Runtime] = {}
        self._last: Runtime | None = None
        self._folder = _BUNDLED / descriptor
        bundled = [folder.name for folder in _BUNDLED.iterdir()]
        if descriptor in bundled and (self._folder / f"{_FIRST[graphs]}.onnx").exists():
            return
        known = {*bundled, *_FETCHED, *(path.stem for path in stored_files(weights_folder()))}
        if descriptor not in known and not Path(descriptor).is_file():
            raise UnknownNameError("descriptor", descriptor, known)
        cache, identity = cache_folder() / "descriptors", stored_identity(descriptor)
        self._folder = cache / graphs_folder(identity, graphs)
        if not identity or not self._folder.is_dir():
            with needs_extra(f"descriptor {descriptor!r}, when it is first used,", "torch"):
                from impasto.runtimes.descriptor_export import stored_graphs
            self._folder = stored_graphs(descriptor, graphs, cache, on_download)

    def run(self, graph: str, **inputs: FloatArray) -> dict[str, FloatArray]:
        """Compute the outputs of ``graph``, by name.

        Raises:
            WeightsError: its file is damaged.
            OutOfMemoryError: the memory does not suffice.
        """
        shape = inputs["image"].shape
        large = shape[2] * shape[3] > _FLEXIBLE
        key = (graph, shape if large else ())
        runtime = self._runtimes.get(key)
        if self._last is not runtime:
            self.release()  # a graph runs many times before another is needed, so only one keeps its memory
        if runtime is None:
            check_addresses()
            self._runtimes = {known: kept for known, kept in self._runtimes.items() if known[1] in ((), shape)}
            shapes = {name: array.shape for name, array in inputs.items()} if large else None
            runtime = self._runtimes[key] = self._loaded(graph, shapes)
        self._last = runtime
        return runtime.run(inputs)

    def release(self) -> None:
        """Free the memory that the last graph keeps for its next run."""
        if self._last is not None:
            self._last.release()
            return_freed_blocks()

    @cached_property
    def identity(self) -> str:
        """The sha256 of the descriptor's weights."""
        (card,) = self._folder.glob("*.json")
        identity: str = json.loads(card.read_text())["sha256"]
        return identity

    def _loaded(self, graph: str, shapes: Mapping[str, tuple[int, ...]] | None) -> Runtime:
        options = self._options
        if self._device not in ("auto", "cpu"):
            with needs_extra(f"device {self._device!r}", "torch"):
                from impasto.runtimes.descriptor_export import on_device
            return on_device(self._folder, graph, self._device)
        runtime: Runtime = RUNTIMES.load(options.runtime)(
            self._folder / f"{graph}.onnx",
            threads=options.threads,
            precision=options.precision,
            cache=None if shapes else cache_folder() / "openvino",
            shapes=shapes,
        )
        return runtime
