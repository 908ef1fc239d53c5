from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from impasto.errors import CheckpointError, DivergedError
from impasto.images import read_picture
from impasto.training.loop import Schedule, Training
from impasto.types import Picture

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

    def losses(self, step):
        if step == self._fails_at:
            raise self._error
        x = torch.randn(16, 1, generator=torch.Generator().manual_seed(step))
        loss = (self.network(x) - 2 * x).square().mean()
        return {"fit": loss, "total": loss}

    def samples(self, network):
        return Picture(np.full((4, 4, 3), 0.5, np.float32))


def log(folder):
    return list(csv.DictReader((folder / "losses.csv").read_text().splitlines()))


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


@pytest.mark.parametrize("stop", [5, 7, 11])
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
        def losses(self, step):
            return {"total": super().losses(step)["total"] * (float("nan") if step == 4 else 1)}

    with pytest.raises(DivergedError, match="the loss is nan at step 4; go on from the last checkpoint"):
        Training(Broken(), SCHEDULE, tmp_path).run(lambda step: None)


def test_the_learning_rate_rises_and_falls():
    rates = [SCHEDULE.rate(step) for step in range(12)]
    assert rates[:3] == pytest.approx([0.05 / 3, 0.1 / 3, 0.05])
    assert rates[3] == pytest.approx(0.05)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[3:]))
    assert SCHEDULE.rate(12) == pytest.approx(0.0005)
