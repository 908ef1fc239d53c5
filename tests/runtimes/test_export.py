"""Export of a small graph; tests/cli/test_train.py has the graphs of a network."""

from __future__ import annotations

import onnx
import torch
from torch import nn

from impasto.networks.base import Graph, picture_sides
from impasto.runtimes.export import LARGEST_DIFFERENCE, export, largest_difference


def test_the_exported_graph_does_what_the_network_does(tmp_path):
    convolution = nn.Conv2d(3, 3, 3, padding=1)
    graph = Graph(
        "small",
        lambda tile: convolution(tile).clamp(0, 1),
        [convolution],
        {"tile": torch.rand(1, 3, 32, 48)},
        ("painted",),
        {"tile": picture_sides(4)},
    )
    path = tmp_path / "small.onnx"
    export(graph, path)
    assert largest_difference(graph, path) < LARGEST_DIFFERENCE
    onnx.checker.check_model(onnx.load(path))
    assert b".py" not in path.read_bytes()  # nothing of the machine that exported it
