from __future__ import annotations

import csv
import itertools
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from impasto.errors import CheckpointError, DivergedError, OutOfMemoryError, UsageError
from impasto.images import read_picture
from impasto.training.loop import Schedule, Training
from impasto.types import Picture
from lanes import slow

SCHEDULE = Schedule(steps=12, learning_rate=0.05, warmup=3, checkpoint_every=5, show_every=6)


class Line:
    """Fits a line; real AdamW on a real network, with as little of both as there can be."""

    crop = 8
    fingerprint = "line"

    def __init__(self, fails_at=None, error=KeyboardInterrupt):
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
        self.begun = 0
        self._fails_at, self._error = fails_at, error

    def begin(self):
        self.begun += 1

    def batch(self, step):
        return (torch.randn(16, 1, generator=torch.Generator().manual_seed(step)),)

    def losses(self, step, batch):
        if step == self._fails_at:
            raise self._error
        (x,) = batch
        loss = (self.network(x) - 2 * x).square().mean()
        return {"fit": loss, "total": loss}

    def samples(self, network):
        return Picture(np.full((4, 4, 3), 0.5, np.float32))


def log(folder, name="losses.csv"):
    return list(csv.DictReader((folder / name).read_text().splitlines()))


def weights(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_trains_and_keeps_a_log_and_samples(tmp_path):
    task, steps = Line(), []
    average = Training(task, SCHEDULE, tmp_path).run(steps.append)
    assert [step.done for step in steps] == list(range(1, 13))
    assert steps[-1].fraction == 1 and steps[0].scale == (8, 8)
    assert steps[-1].losses["total"] < steps[0].losses["total"]
    rows = log(tmp_path)
    assert [int(row["step"]) for row in rows] == list(range(1, 13))
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-000006.png", "step-000012.png"]
    assert not torch.equal(weights(average), weights(task.network))
    assert task.begun == 1
    assert read_picture(tmp_path / "losses.png").width > 500


@pytest.mark.parametrize("stop", [7, *slow(5, 11)])
def test_resumes_exactly_after_an_interrupt(tmp_path, stop):
    whole = weights(Training(Line(), SCHEDULE, tmp_path / "whole").run(lambda step: None))
    with pytest.raises(KeyboardInterrupt):
        Training(Line(fails_at=stop), SCHEDULE, tmp_path / "parts").run(lambda step: None)
    done, task = [], Line()
    with torch.no_grad():
        for parameter in task.network.parameters():
            parameter.zero_()  # what it starts from must not matter
    average = Training(task, SCHEDULE, tmp_path / "parts", resume=True).run(lambda step: done.append(step.done))
    assert done == list(range(stop + 1, 13))
    assert task.begun == 0
    assert torch.equal(weights(average), whole)
    totals = [[row["total"] for row in log(tmp_path / name)] for name in ("whole", "parts")]
    assert totals[0] == totals[1]


class Signalled(Line):
    """Presses Ctrl-C once, at one place of one step."""

    def __init__(self, place, step):
        super().__init__()
        self._place, self._step, self._steps = place, step, 0
        for parameter in self.network.parameters():
            parameter.register_hook(self._backward)

    def losses(self, step, batch):
        self._steps = step
        self._press("losses")
        return super().losses(step, batch)

    def validate(self, network):
        self._press("validation")
        return {"score": -float(weights(network).square().sum())}

    def samples(self, network):
        self._press("samples")
        return super().samples(network)

    def _backward(self, gradient):
        self._press("gradients")
        return gradient

    def _press(self, place):
        if (place, self._steps) == (self._place, self._step):
            self._place = ""
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("place", "step"),
    [("losses", 1), ("gradients", 3), ("validation", 3), ("validation", 11), ("samples", 5), ("samples", 11)],
)
def test_ctrl_c_at_any_place_loses_nothing(tmp_path, place, step):
    schedule = replace(SCHEDULE, validate_every=4, checkpoint_every=50)

    def trained(task, folder, **options):
        return weights(Training(task, schedule, folder, validate=task.validate, **options).run(lambda step: None))

    whole = trained(Signalled("", 0), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(Signalled(place, step), tmp_path / "parts")
    resumed = trained(Signalled("", 0), tmp_path / "parts", resume=True)
    assert torch.equal(resumed, whole)
    for name in ("losses.csv", "validation.csv"):
        rows = [
            [(row["step"], row.get("total", row.get("score"))) for row in log(tmp_path / part, name)]
            for part in ("whole", "parts")
        ]
        assert rows[0] == rows[1]


def test_resumes_exactly_from_the_last_checkpoint_after_a_kill(tmp_path):
    whole = weights(Training(Line(), SCHEDULE, tmp_path / "whole").run(lambda step: None))
    with pytest.raises(SystemExit):
        Training(Line(fails_at=8, error=SystemExit), SCHEDULE, tmp_path / "parts").run(lambda step: None)
    done = []
    average = Training(Line(), SCHEDULE, tmp_path / "parts", resume=True).run(lambda step: done.append(step.done))
    assert done == list(range(6, 13))
    assert torch.equal(weights(average), whole)
    assert len((tmp_path / "parts" / "losses.csv").read_text().splitlines()) == 13


def test_the_state_of_another_training_is_refused(tmp_path):
    Training(Line(), SCHEDULE, tmp_path).run(lambda step: None)
    other = Line()
    other.fingerprint = "curve"
    with pytest.raises(CheckpointError, match="belongs to a training with other data or options"):
        Training(other, SCHEDULE, tmp_path, resume=True)


def test_a_damaged_state_is_refused(tmp_path):
    (tmp_path / "state.safetensors").write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match=r"state\.safetensors is damaged .*; begin the training anew"):
        Training(Line(), SCHEDULE, tmp_path, resume=True)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    class Broken(Line):
        def losses(self, step, batch):
            return {"total": super().losses(step, batch)["total"] * (float("nan") if step == 4 else 1)}

    with pytest.raises(DivergedError, match="the loss is nan at step 4; go on from the last checkpoint"):
        Training(Broken(), SCHEDULE, tmp_path).run(lambda step: None)


class Threads(Line):
    """Notes which thread decodes which batch, and waits in each step until another thread decodes the next one."""

    def __init__(self):
        super().__init__()
        self.decoded = [threading.Event() for _ in range(SCHEDULE.steps)]
        self.threads = []

    def batch(self, step):
        assert not self.decoded[step].is_set()
        self.decoded[step].set()
        self.threads.append(threading.get_ident())
        return super().batch(step)

    def losses(self, step, batch):
        assert all(decoded.wait(60) for decoded in self.decoded[: step + 2])
        return super().losses(step, batch)


def test_the_next_batch_is_decoded_during_a_step_and_none_twice(tmp_path):
    task = Threads()
    average = Training(task, SCHEDULE, tmp_path / "threads").run(lambda step: None)
    assert len(task.threads) == SCHEDULE.steps and threading.get_ident() not in task.threads
    assert torch.equal(weights(average), weights(Training(Line(), SCHEDULE, tmp_path / "line").run(lambda step: None)))


def test_an_error_in_a_batch_ends_the_training_at_its_step(tmp_path):
    class Unreadable(Line):
        def batch(self, step):
            if step == 7:
                raise UsageError("hardly any picture can be read")
            return super().batch(step)

    done = []
    with pytest.raises(UsageError, match="hardly any picture"):
        Training(Unreadable(), SCHEDULE, tmp_path).run(lambda step: done.append(step.done))
    assert done == list(range(1, 8))


def test_a_shortage_of_memory_is_one_sentence(tmp_path):
    task = Line(fails_at=3, error=torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    with pytest.raises(OutOfMemoryError) as caught:
        Training(task, SCHEDULE, tmp_path).run(lambda step: None)
    assert str(caught.value) == (
        "the memory of the GPU does not suffice for a batch of crops of 8x8 pixels; choose a smaller batch or crop"
    )


class Pictures(Line):
    """Learns to keep pictures, by a network in the memory format of a GPU or of the CPU."""

    fingerprint = "pictures"

    def __init__(self, memory_format):
        super().__init__()
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 3, padding=1))
        self.network = layers.to(memory_format=memory_format)

    def batch(self, step):
        return (torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(step)),)

    def losses(self, step, batch):
        loss = (self.network(batch[0]) - batch[0]).square().mean()
        return {"total": loss}


@pytest.mark.parametrize("formats", list(itertools.permutations([torch.channels_last, torch.contiguous_format])))
def test_a_state_of_one_device_goes_on_on_another(tmp_path, formats):
    first, second = formats
    schedule = replace(SCHEDULE, decay="constant")  # the rate does not depend on the number of steps
    whole = weights(Training(Pictures(second), schedule, tmp_path / "whole").run(lambda step: None))
    Training(Pictures(first), replace(schedule, steps=6), tmp_path / "parts").run(lambda step: None)
    for name, tensor in load_file(tmp_path / "parts" / "state.safetensors").items():
        assert tensor.is_contiguous() and tensor.device.type == "cpu", name
    task = Pictures(second)
    average = Training(task, schedule, tmp_path / "parts", resume=True).run(lambda step: None)
    assert all(each.is_contiguous(memory_format=second) for each in task.network.parameters() if each.ndim == 4)
    torch.testing.assert_close(weights(average), whole, rtol=1e-3, atol=1e-4)


def test_the_learning_rate_rises_and_falls():
    rates = [SCHEDULE.rate(step) for step in range(12)]
    assert rates[:3] == pytest.approx([0.05 / 3, 0.1 / 3, 0.05])
    assert rates[3] == pytest.approx(0.05)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[3:]))
    assert SCHEDULE.rate(12) == pytest.approx(0.0005)
