from __future__ import annotations

import onnx
import pytest
import torch

from impasto.descriptors.compact import load_compact
from impasto.networks.conditional import ConditionalStylizer
from impasto.runtimes.export import LARGEST_DIFFERENCE, export, largest_difference


@pytest.fixture(scope="module")
def network_graphs():
    network = ConditionalStylizer.seeing_with(load_compact())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half())  # as trained weights are kept
    return {graph.name: graph for graph in network.graphs()}


@pytest.mark.parametrize("name", ["predict", "measure", "render"])
def test_the_exported_graph_does_what_the_network_does(network_graphs, name, tmp_path):
    graph = network_graphs[name]
    path = tmp_path / f"{name}.onnx"
    export(graph, path)
    assert largest_difference(graph, path) < LARGEST_DIFFERENCE
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert path.stat().st_size < 5_000_000
    assert b".py" not in path.read_bytes()  # nothing of the machine that exported it
    operators = {node.op_type for node in model.graph.node}
    if name == "render":
        assert not {operator for operator in operators if operator.startswith("Reduce")}
        assert "InstanceNormalization" not in operators
