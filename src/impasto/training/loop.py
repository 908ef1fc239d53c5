"""The training loop: schedule, checkpoints that resume exactly, a moving average of the weights, and a log."""

from __future__ import annotations

import csv
import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from impasto.errors import CheckpointError, DivergedError
from impasto.images import write_picture
from impasto.images.atomic import write_whole
from impasto.types import Step

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from impasto.types import OnStep, Picture

NetworkT = TypeVar("NetworkT", bound=nn.Module)

STATE_FILE, LOG_FILE = "state.safetensors", "losses.csv"
_LARGEST_GRADIENT = 1.0


class Task(Protocol[NetworkT]):
    """What is trained, and on what."""

    @property
    def network(self) -> NetworkT:
        """The weights that change."""

    @property
    def fingerprint(self) -> str:
        """Of everything that determines the training; a checkpoint with another one is refused."""

    @property
    def crop(self) -> int:
        """Side in pixels of the pictures that are looked at."""

    def begin(self) -> None:
        """Set the weights that a new training starts from."""

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """Compute the losses of the batch of ``step``, counted from 0, by name; 'total' is minimised."""

    def samples(self, network: NetworkT) -> Picture:
        """Draw what a person wants to see of ``network``, which has the averaged weights."""


@dataclass(frozen=True)
class Schedule:
    """AdamW with a linear warm-up and a cosine decay to a hundredth (Loshchilov and Hutter 2017, eq. 5)."""

    steps: int
    learning_rate: float
    warmup: int = 100
    ema: float = 0.999
    """Share of the moving average that a step leaves."""
    checkpoint_every: int = 100
    show_every: int = 500

    def rate(self, step: int) -> float:
        """Return the learning rate of ``step``, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


class Training(Generic[NetworkT]):
    """A training in a folder: its state, its log, and what it shows."""

    def __init__(self, task: Task[NetworkT], schedule: Schedule, folder: Path, *, resume: bool = False) -> None:
        """Begin, or continue from the state in ``folder`` if ``resume`` is set and there is one.

        Raises:
            CheckpointError: the state belongs to another training.
        """
        self._task = task
        self._schedule = schedule
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        restoring = resume and (folder / STATE_FILE).exists()
        if not restoring:
            task.begin()
        network = task.network
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate, weight_decay=1e-4)
        self.average = torch.optim.swa_utils.AveragedModel(network, avg_fn=self._averaged)
        self.step = 0
        self._consistent = True
        if restoring:
            self._restore()
        else:
            (folder / LOG_FILE).unlink(missing_ok=True)

    def run(self, on_step: OnStep) -> NetworkT:
        """Train to the end of the schedule; return the network with the averaged weights.

        A KeyboardInterrupt leaves a checkpoint, of this step or, if it hit the update of the weights, an earlier one.

        Raises:
            DivergedError: the loss is not finite.
        """
        try:
            while self.step < self._schedule.steps:
                losses = self._advance()
                on_step(
                    Step(
                        done=self.step,
                        total=self._schedule.steps,
                        fraction=self.step / self._schedule.steps,
                        scale=(self._task.crop, self._task.crop),
                        losses=losses,
                        preview=lambda: self._task.samples(self._averaged_network()),
                    )
                )
                if self.step % self._schedule.checkpoint_every == 0 or self.step == self._schedule.steps:
                    self._save()
                if self.step % self._schedule.show_every == 0 or self.step == self._schedule.steps:
                    sheet = self._task.samples(self._averaged_network())
                    write_picture(sheet, self._folder / f"step-{self.step:06d}.png")
        except KeyboardInterrupt:
            if self._consistent:
                self._save()
            raise
        return self._averaged_network()

    def _averaged_network(self) -> NetworkT:
        return cast("NetworkT", self.average.module)

    def _advance(self) -> dict[str, float]:
        started = time.monotonic()
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.rate(self.step)
        losses = self._task.losses(self.step)
        total = losses["total"]
        if not torch.isfinite(total):
            raise DivergedError(
                f"the loss is {float(total.detach())} at step {self.step}; go on from the last checkpoint with "
                "--resume and a lower --learning-rate"
            )
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._task.network.parameters(), _LARGEST_GRADIENT)
        self._consistent = False
        self._optimizer.step()
        self.average.update_parameters(self._task.network)
        self.step += 1
        self._consistent = True
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        self._log({"step": self.step, **values, "seconds": round(time.monotonic() - started, 3)})
        return values

    def _averaged(self, average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        # A young average forgets its beginnings faster.
        kept = min(self._schedule.ema, (1 + int(count)) / (10 + int(count)))
        return average.lerp(current, 1 - kept)

    def _log(self, row: dict[str, float]) -> None:
        path = self._folder / LOG_FILE
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)

    def _save(self) -> None:
        tensors = {f"network.{name}": value for name, value in self._task.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, values in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
        metadata = {"step": self.step, "fingerprint": self._task.fingerprint}
        tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        write_whole(self._folder / STATE_FILE, save(tensors, {"training": json.dumps(metadata)}))

    def _restore(self) -> None:
        path = self._folder / STATE_FILE
        try:
            with safe_open(path, framework="pt") as file:
                metadata = json.loads((file.metadata() or {}).get("training", "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path.name} is damaged ({error}); begin again without --resume") from error
        if metadata.get("fingerprint") != self._task.fingerprint:
            raise CheckpointError(
                f"{path.name} belongs to a training with other data or options; repeat its command exactly, or begin "
                "again without --resume"
            )
        self._task.network.load_state_dict(_part(tensors, "network."))
        self.average.load_state_dict(_part(tensors, "average."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, "optimizer.").items():
            index, _, field = name.partition(".")
            state.setdefault(int(index), {})[field] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        self.step = metadata["step"]
        self._forget_log_after(self.step)

    def _forget_log_after(self, step: int) -> None:
        path = self._folder / LOG_FILE
        if path.exists():
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(lines[: 1 + step]))


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
