"""An optimisation through graphs whose convolutions are computed in bfloat16 ends where one in float32 does."""

from __future__ import annotations

import shutil
from collections import defaultdict
from importlib.resources import files

import onnx
import onnxruntime
import pytest

import impasto
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.descriptor_graphs import DescriptorGraphs
from impasto.engines.nnst import NnstEngine
from impasto.images import LazyPicture, resize_picture
from impasto.options import NnstOptions

ROUNDED = ("Conv", "ConvTranspose", "MatMul")


class RoundedGraphs(DescriptorGraphs):
    """Rounds what goes into convolutions to bfloat16, which OpenVINO does on some processors only."""

    def __init__(self, folder, options):
        super().__init__("compact", options)
        self._rounded = folder / "compact"
        shutil.copytree(files("impasto.bundled") / "descriptors" / "compact", self._rounded)
        self._sessions = {}

    def run(self, graph, **inputs):
        if graph not in self._sessions:
            path = self._rounded / f"{graph}.onnx"
            model = onnx.load(path, load_external_data=False)
            round_convolutions(model.graph)
            onnx.save(model, path)
            self._sessions[graph] = onnxruntime.InferenceSession(path)
        session = self._sessions[graph]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, inputs), strict=True))


def round_convolutions(graph):
    nodes = []
    for node in graph.node:
        if node.op_type in ROUNDED:
            for index, name in enumerate(node.input[:2]):
                half, back = f"{node.name}_{index}_half", f"{node.name}_{index}_back"
                nodes.append(onnx.helper.make_node("Cast", [name], [half], to=onnx.TensorProto.BFLOAT16))
                nodes.append(onnx.helper.make_node("Cast", [half], [back], to=onnx.TensorProto.FLOAT))
                node.input[index] = back
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


@pytest.mark.slow
def test_neighbours_in_bfloat16_end_at_the_losses_of_float32(tmp_path, photo, painting):
    content = resize_picture(impasto.read_picture(photo), 152, 112)
    inputs = StylizeInputs(LazyPicture.of(content), (Style(impasto.read_picture(painting)),))
    options = NnstOptions(precision="float32")
    last = defaultdict(list)
    for network in (DescriptorGraphs("compact", options), RoundedGraphs(tmp_path, options)):
        ends = {}
        NnstEngine(options, network=network).stylize(
            inputs, on_step=lambda step, ends=ends: ends.update({step.scale: step})
        )
        for scale, step in ends.items():
            last[scale].append(step.losses["total"])
    assert len(last) > 1
    for scale, (exact, rounded) in last.items():
        assert rounded != exact, "something was rounded"
        assert rounded == pytest.approx(exact, rel=0.03), scale
