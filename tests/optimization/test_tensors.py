"""Optimisations whose state is in tensors: the device is the processor, the tensors are those of a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from impasto.engines.base import Style, StylizeInputs
from impasto.engines.optimization import OptimizationEngine
from impasto.images import LazyPicture, read_picture
from impasto.optimization import Evaluation
from impasto.optimization.arrays import Memory
from impasto.optimization.checkpoint import Checkpoint
from impasto.optimization.descent import DEFAULT_LEARNING_RATE, build_optimizer
from impasto.optimization.stages import CoarseToFine, Run, Stage
from impasto.optimization.tensors import FallbackObjective, OnDevice, TorchObjective, storage_on
from impasto.options import GatysOptions
from impasto.types import Picture
from pretended_gpu import GPU, PretendedGPU

CPU = torch.device("cpu")
SHAPE = (1, 3, 37, 50)
RANDOM = np.random.default_rng(3)
TARGET = RANDOM.uniform(-0.2, 1.2, SHAPE).astype(np.float32)
CURVATURE = RANDOM.uniform(1, 50, SHAPE).astype(np.float32)


def losses(image):
    target, curvature = (
        torch.from_numpy(each)[..., : image.shape[2], : image.shape[3]] for each in (TARGET, CURVATURE)
    )
    return {"total": (curvature * (image - target) ** 2).sum()}


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("name", DEFAULT_LEARNING_RATE)
def test_an_optimizer_takes_the_same_steps_in_tensors(name, circular):
    found = {}
    for memory in (Memory(), OnDevice(CPU)):
        image = memory.image(np.full((*SHAPE[2:], 3), 0.5, np.float32))
        optimizer = build_optimizer(name, image, DEFAULT_LEARNING_RATE[name], circular=circular, memory=memory)
        objective = TorchObjective(losses, CPU)
        for _ in range(15):
            optimizer.step(objective.evaluate(image).gradient)
        found[type(image)] = memory.pixels(image)
    assert set(found) == {np.ndarray, torch.Tensor}
    np.testing.assert_allclose(*found.values(), atol=1e-4)


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("name", DEFAULT_LEARNING_RATE)
def test_the_steps_are_taken_on_the_device(name, circular):
    with PretendedGPU():
        memory = OnDevice(GPU)
        image = memory.image(np.full((*SHAPE[2:], 3), 0.5, np.float32))
        optimizer = build_optimizer(name, image, 1.0, circular=circular, memory=memory)
        for _ in range(12):
            optimizer.step(torch.empty(SHAPE, device=GPU))


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    start = np.full((20, 30, 3), 0.5, np.float32)
    stages = [Stage(30, 20, 8), Stage(50, 37, 12)]
    method = CoarseToFine(lambda stage: TorchObjective(losses, CPU), Picture)

    def run(memory, on_step, path):
        run = Run(stages, method, checkpoint_every=1, memory=memory)
        return run.minimize(start, on_step=on_step, checkpoint=Checkpoint(tmp_path / path, resume=True))

    def stop(step):
        assert step.preview().pixels.shape == (*step.scale[::-1], 3)
        if step.done == 15:
            raise RuntimeError("killed")

    whole = run(OnDevice(CPU), lambda step: None, "whole")
    with pytest.raises(RuntimeError, match="killed"):
        run(OnDevice(CPU), stop, "parts")
    steps = []
    assert np.array_equal(run(OnDevice(CPU), lambda step: steps.append(step.done), "parts"), whole)
    assert steps[0] == 15
    np.testing.assert_allclose(run(Memory(), lambda step: None, "arrays"), whole, atol=1e-3)


class FullDevice(OnDevice):
    """A GPU without room for the state."""

    def empty(self, shape):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_a_state_that_does_not_fit_on_the_device_is_in_main_memory():
    start = np.full((20, 30, 3), 0.5, np.float32)
    method = CoarseToFine(lambda stage: TorchObjective(losses, CPU), Picture)
    full, plain = (
        Run([Stage(30, 20, 8)], method, memory=memory).minimize(start, on_step=lambda step: None)
        for memory in (FullDevice(CPU), Memory())
    )
    assert np.array_equal(full, plain)


class Arrays:
    """Objective that takes arrays of NumPy and nothing else."""

    def evaluate(self, image):
        assert isinstance(image, np.ndarray)
        return Evaluation({"total": float(image.sum())}, 2 * image)


def test_an_objective_that_was_resorted_to_may_take_arrays():
    def full():
        raise torch.OutOfMemoryError("CUDA out of memory")

    image = OnDevice(CPU).image(np.ones((2, 2, 3), np.float32))
    found = FallbackObjective(full, {"on the CPU": Arrays}, lambda note: None).evaluate(image)
    assert found.losses == {"total": 12.0} and torch.equal(found.gradient, 2 * image)


class InTensors(OptimizationEngine):
    """Keeps its state as on a GPU."""

    def _state_memory(self, need, memory):
        return OnDevice(CPU)


def test_gatys_paints_the_same_in_tensors(photo, painting):
    options = GatysOptions(descriptor="compact", size=64, steps=6, precision="float32", device="cpu")
    content, style = (read_picture(path) for path in (photo, painting))
    inputs = StylizeInputs(LazyPicture.of(content), (Style(style),))
    plain, found = (
        kind(options).stylize(inputs, on_step=lambda step: None) for kind in (OptimizationEngine, InTensors)
    )
    assert not isinstance(storage_on(CPU), OnDevice)
    np.testing.assert_allclose(found.pixels, plain.pixels, atol=2 / 255)
