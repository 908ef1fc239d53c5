"""What happens when the memory of a GPU does not suffice: the GPU is pretended, the pictures are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from impasto.engines.base import Style, StylizeInputs
from impasto.engines.descriptor_graphs import DescriptorGraphs
from impasto.engines.nnst import NnstEngine
from impasto.engines.optimization import OptimizationEngine
from impasto.errors import ON_THE_CPU
from impasto.images import LazyPicture, read_picture
from impasto.losses.gradients import NeighborGraphs
from impasto.optimization import Evaluation
from impasto.optimization.arrays import Memory
from impasto.optimization.memory import Need
from impasto.optimization.stages import Stage
from impasto.optimization.tensors import FallbackObjective
from impasto.options import GatysOptions, NnstOptions
from impasto.runtimes.descriptor_export import load_weights, on_device
from pretended_gpu import PretendedGPU

IMAGE = np.full((1, 3, 4, 4), 0.5, np.float32)
IN_TILES = "the memory of the GPU does not suffice; using tiles of 256 pixels"


class Limited:
    """Objective that needs too much from the evaluation ``fails_at`` on."""

    def __init__(self, name, fails_at=1000, error=torch.OutOfMemoryError):
        self.name, self._fails_at, self._error, self._calls = name, fails_at, error, 0

    def evaluate(self, image):
        self._calls += 1
        if self._calls >= self._fails_at:
            raise self._error("CUDA out of memory. Tried to allocate 2.00 GiB")
        return Evaluation({self.name: 1.0}, image)


def names(objective, count):
    return [next(iter(objective.evaluate(IMAGE).losses)) for _ in range(count)]


def test_an_evaluation_is_repeated_with_less_memory():
    notes = []
    others = {"in tiles": lambda: Limited("tiles", 2), "on the CPU": lambda: Limited("cpu")}
    objective = FallbackObjective(lambda: Limited("whole", 3), others, notes.append)
    assert names(objective, 5) == ["whole", "whole", "tiles", "cpu", "cpu"]
    assert notes == ["in tiles", "on the CPU"]


def test_other_errors_and_the_last_shortage_are_raised():
    with pytest.raises(RuntimeError, match="out of memory"):
        FallbackObjective(lambda: Limited("x", 1, RuntimeError), {"": lambda: Limited("y")}, str).evaluate(IMAGE)
    with pytest.raises(torch.OutOfMemoryError):
        FallbackObjective(lambda: Limited("x", 1), {"": lambda: Limited("y", 1)}, str).evaluate(IMAGE)


class FullGpu(OptimizationEngine):
    """Pretends that pictures do not fit into the memory of a GPU."""

    def _made(self, network, device, *arguments):
        if device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super()._made(network, device, *arguments)


@pytest.mark.parametrize("planned", [False, True])
def test_gatys_goes_on_on_the_processor(photo, painting, planned):
    options = GatysOptions(descriptor="compact", precision="float32", device="cpu")
    engine, notes = FullGpu(options), []
    pixels, style = (read_picture(path).pixels[:64, :64] for path in (photo, painting))
    given = (engine.network, Stage(64, 64, 1), pixels, [style], [1.0], Need(0, 0, 0), Memory(), notes.append)
    image = pixels.transpose(2, 0, 1)[None].copy()
    expected = engine._objective(*given).evaluate(image)
    engine._device = torch.device("cuda")
    need = replace(given[5], without_gpu=planned)
    found = engine._objective(*given[:5], need, *given[6:]).evaluate(image)
    assert found.losses == expected.losses and np.array_equal(found.gradient, expected.gradient)
    assert notes == ([] if planned else [IN_TILES, ON_THE_CPU])


class FullGpuGraphs(DescriptorGraphs):
    """Pretends that a graph does not fit into the memory of a GPU."""

    def _loaded(self, graph, shapes):
        if self._device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super()._loaded(graph, shapes)


def test_nnst_goes_on_on_the_processor_and_says_so(photo, painting):
    content, style = (read_picture(path) for path in (photo, painting))
    inputs = StylizeInputs(LazyPicture.of(content), (Style(style),))
    options, notes = NnstOptions(size=64, steps=3), []
    plain = NnstEngine(options).stylize(inputs, on_step=lambda step: None)
    engine = NnstEngine(options, network=FullGpuGraphs("compact", options, device="cuda"))
    found = engine.stylize(inputs, on_step=lambda step: notes.append(step.note))
    assert np.array_equal(found.pixels, plain.pixels)
    assert notes == [ON_THE_CPU, "", ""]


def test_the_functions_of_nnst_in_pytorch_are_those_of_the_graphs():
    options, image = NnstOptions(precision="float32"), np.random.default_rng(0).random((1, 3, 64, 96), np.float32)
    graphs = DescriptorGraphs("compact", options)
    expected = graphs.run("see_layers", image=image)
    found = on_device(graphs._folder, "see_layers", "cpu").run({"image": image})
    for layer, features in expected.items():
        np.testing.assert_allclose(found[layer], features, rtol=1e-3, atol=1e-3 * features.std())


def test_the_functions_of_nnst_are_computed_on_the_device():
    folder = DescriptorGraphs("compact", NnstOptions())._folder
    graphs = NeighborGraphs(load_weights(folder / "compact.safetensors")).graphs()
    with PretendedGPU():
        for graph in graphs:
            found = on_device(folder, graph.name, "meta").run({name: x.numpy() for name, x in graph.example.items()})
            assert set(found) == set(graph.outputs)
