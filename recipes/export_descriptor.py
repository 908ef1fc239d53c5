"""Write the graphs of a descriptor beside its weights: ``python recipes/export_descriptor.py WEIGHTS.safetensors``.

The bundled ones were made so; `impasto train compact` writes weights alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from impasto.descriptors.compact import load_compact
from impasto.losses.gradients import NeighborGraphs, StatisticsGraphs
from impasto.runtimes.descriptor_export import load_weights, write_graphs

if __name__ == "__main__":
    weights = Path(sys.argv[1])
    write_graphs(NeighborGraphs(load_weights(weights)), weights.parent, weights)
    write_graphs(StatisticsGraphs(load_compact(weights)), weights.parent, weights)
