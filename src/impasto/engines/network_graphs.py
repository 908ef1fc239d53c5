"""The exported graphs of one network, loaded on first use and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from impasto.engines.base import result_metadata
from impasto.errors import OutOfMemoryError
from impasto.folders import user_folder
from impasto.optimization.memory import free_addresses
from impasto.runtimes import RUNTIMES, AcceleratorError
from impasto.runtimes.network_folder import changed_folder, network_folder, read_description

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from impasto.options import NetworkOptions
    from impasto.runtimes import Runtime
    from impasto.types import FloatArray


_ADDRESSES = 550_000_000
"""Bytes of address space that must be free for loading a graph and running it once. Measured: 200 to 525 MB."""


class NetworkGraphs:
    """The graphs of one network, called by name.

    Attributes:
        folder: folder of the network.
        description: description of the network, as stored in the folder.
        notes: notes for the user. The caller that shows them removes them.
    """

    def __init__(self, options: NetworkOptions, architecture: str) -> None:
        """Find the network that ``options`` name.

        Raises:
            UsageError: there is no such network of this ``architecture``.
            WeightsError: the description of the network is damaged.
        """
        self.folder = network_folder(options.network, architecture)
        self.description = read_description(self.folder)
        self._options = options
        self.notes: list[str] = []
        self._accelerated = True
        self._runtimes: dict[str, Runtime] = {}
        self._changed: NetworkGraphs | None = None

    def run(self, graph: str, **inputs: FloatArray) -> dict[str, FloatArray]:
        """Compute the outputs of ``graph``, by name.

        Raises:
            WeightsError: the file of the graph is damaged.
            OutOfMemoryError: the memory does not suffice.
        """
        try:
            if graph not in self._runtimes:
                # A picture needs all graphs in turn, so all stay loaded. They free memory only when another is loaded.
                for loaded in self._runtimes.values():
                    loaded.release()
                check_addresses()
                options = self._options
                self._runtimes[graph] = RUNTIMES.load(options.runtime)(
                    self.folder / f"{graph}.onnx",
                    threads=options.threads,
                    precision=options.precision,
                    cache=cache_folder() / "openvino",
                    accelerated=self._accelerated,
                )
            return self._runtimes[graph].run(inputs)
        except AcceleratorError as error:
            self.notes.append(str(error))
        # Not in the clause above, whose error keeps alive what the graphics card holds.
        self._accelerated, self._runtimes = False, {}
        return self.run(graph, **inputs)

    def with_layers(self, layers: Mapping[str, FloatArray]) -> NetworkGraphs:
        """Return the graphs of the same network with its layers replaced by these ``layers``, by name.

        Raises:
            StyleError: the network has no such layers, or they cannot be stored.
        """
        folder = changed_folder(self.folder, layers, cache_folder() / "networks")
        if self._changed is None or self._changed.folder != folder:
            named = self._options.model_copy(update={"network": str(folder)})
            self._changed = NetworkGraphs(named, self.description.architecture)
            self._changed.notes = self.notes
        return self._changed

    def metadata(self, engine: str, options: NetworkOptions) -> dict[str, str]:
        """Return the metadata of results of ``engine`` with ``options``."""
        return result_metadata(engine, options, network=f"sha256:{self.identity}")

    @property
    def identity(self) -> str:
        """The sha256 of the network's weights."""
        return self.description.sha256


def check_addresses() -> None:
    """Refuse to load a graph if the address space does not suffice, because a runtime might abort the process.

    Raises:
        OutOfMemoryError: a limit on the address space leaves too little.
    """
    free = free_addresses()
    if free is not None and free < _ADDRESSES:
        raise OutOfMemoryError(
            f"a network takes {_ADDRESSES / 1e9:.2f} GB of address space, and the memory limit of this process "
            f"(ulimit -v) leaves {free / 1e9:.2f} GB; raise the limit"
        )


def cache_folder() -> Path:
    """Return the cache folder for graphs and for networks compiled for this processor."""
    return user_folder("cache")
