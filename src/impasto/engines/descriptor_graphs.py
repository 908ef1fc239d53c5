"""A descriptor's graphs, loaded on first use and kept."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.engines.network_graphs import cache_folder, check_addresses
from impasto.errors import ON_THE_CPU, UnknownNameError, is_shortage_of_gpu, needs_extra
from impasto.optimization.memory import return_freed_blocks
from impasto.runtimes import RUNTIMES, AcceleratorError
from impasto.runtimes.network_folder import graphs_folder
from impasto.weights.location import (
    BUNDLED_DESCRIPTORS,
    bundled_names,
    check_path,
    stored_files,
    stored_identity,
    weights_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from impasto.options import RuntimeOptions
    from impasto.runtimes import Runtime
    from impasto.runtimes.network_folder import GraphsOf
    from impasto.types import FloatArray

_FLEXIBLE = 240_000
"""Number of pixels up to which one compiled graph serves all sizes. Above, each size has its own graph, which halves
the memory."""
_FIRST: dict[GraphsOf, str] = {"neighbors": "see_layers", "statistics": "sum_statistics"}
_FETCHED = ("vgg19", "vgg16")
"""The names in `impasto.weights.store.REMOTE_WEIGHTS`, whose module needs PyTorch."""


class DescriptorGraphs:
    """The functions of a descriptor network and their gradients, for an optimisation.

    Attributes:
        notes: notes for the user. The caller that shows them removes them.
    """

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
            options: the runtime that runs the graphs, and its settings.
            graphs: the required set of functions.
            device: the device that computes.
            on_download: called with bytes received and bytes in total if weights have to be fetched.

        Raises:
            UnknownNameError: there is no such descriptor.
            UsageError: it is a path with a folder, and there is no such file.
            WeightsError: its weights cannot be fetched or read.
            MissingDependencyError: PyTorch is not installed, and the export of the graphs or the device needs it.
        """
        self._options = options
        self._device = device
        self.notes: list[str] = []
        self._runtimes: dict[tuple[str, tuple[int, ...]], Runtime] = {}
        self._last: Runtime | None = None
        self._folder = BUNDLED_DESCRIPTORS / descriptor
        bundled = bundled_names()
        if descriptor in bundled and (self._folder / f"{_FIRST[graphs]}.onnx").exists():
            return
        known = {*bundled, *_FETCHED, *(path.stem for path in stored_files(weights_folder()))}
        if descriptor not in known and not Path(descriptor).is_file():
            check_path(descriptor)
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
            WeightsError: the file of the graph is damaged.
            OutOfMemoryError: the memory does not suffice. If it is that of a GPU, the processor goes on.
        """
        shape = inputs["image"].shape
        large = shape[2] * shape[3] > _FLEXIBLE
        key = (graph, shape if large else ())
        runtime = self._runtimes.get(key)
        if self._last is not runtime:
            self.release()  # a graph runs many times before the next one does, so only one keeps its memory
        try:
            if runtime is None:
                check_addresses()
                self._runtimes = {known: kept for known, kept in self._runtimes.items() if known[1] in ((), shape)}
                shapes = {name: array.shape for name, array in inputs.items()} if large else None
                runtime = self._runtimes[key] = self._loaded(graph, shapes)
            self._last = runtime
            return runtime.run(inputs)
        except AcceleratorError as error:
            self.notes.append(str(error))
        except RuntimeError as error:
            if not is_shortage_of_gpu(error):
                raise
            self.notes.append(ON_THE_CPU)
        # Not in the clauses above, whose error keeps alive what the GPU holds.
        self._device, self._runtimes, self._last = "cpu", {}, None
        del runtime
        return self.run(graph, **inputs)

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
            accelerated=self._device != "cpu",
        )
        return runtime
