"""The training loop: schedule, checkpoints that resume exactly, a moving average of the weights, and a log."""

from __future__ import annotations

import csv
import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from impasto.descriptors.convolution import native_precision
from impasto.errors import CheckpointError, DivergedError
from impasto.files import write_whole
from impasto.images import plot_losses, write_picture
from impasto.training.processes import average_gradients, rank, shared
from impasto.types import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

    from impasto.descriptors.convolution import Precision
    from impasto.types import OnStep, Picture

NetworkT = TypeVar("NetworkT", bound=nn.Module)

STATE_FILE, LOG_FILE, CURVES_FILE = "state.safetensors", "losses.csv", "losses.png"
VALIDATION_FILE, BEST_FILE = "validation.csv", "best.safetensors"
_SQUARES_MOMENTUM = 0.999
_NO_LOSSES = {"accuracy", "seconds"}
_SMOOTH = 50
"""Number of steps that are averaged into one point of the curves."""
_LARGEST_GRADIENT = 1.0


class Task(Protocol[NetworkT]):
    """A network in training, with its data and losses."""

    @property
    def network(self) -> NetworkT:
        """The network whose weights are trained."""

    @property
    def fingerprint(self) -> str:
        """Digest of everything that determines the training; a checkpoint with another digest is refused."""

    @property
    def crop(self) -> int:
        """Side in pixels of the pictures that the training uses."""

    def begin(self) -> None:
        """Set the weights that a new training starts from."""

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """Compute the losses of the batch of ``step``, counted from 0, by name; 'total' is minimised."""

    def samples(self, network: NetworkT) -> Picture:
        """Draw sample pictures that show the quality of ``network``, which has the averaged weights."""


Optimizer = Literal["adamw", "rmsprop", "sgd"]
Decay = Literal["cosine", "steps", "constant"]


@dataclass(frozen=True)
class Schedule:
    """Optimiser, linear warm-up, and decay of the learning rate."""

    steps: int
    learning_rate: float
    warmup: int = 100
    ema: float = 0.999
    """Decay factor of the moving average of the weights; 0 keeps no average."""
    checkpoint_every: int = 100
    show_every: int = 500
    optimizer: Optimizer = "adamw"
    weight_decay: float = 1e-4
    momentum: float = 0.9
    """Decay factor of the moving average of gradients, for 'adamw' and 'sgd' (Simonyan and Zisserman 2014, section
    3.1)."""
    decay: Decay = "cosine"
    """Decay of the learning rate. 'cosine': to 1/100 along half a cosine (Loshchilov and Hutter 2017, eq. 5). 'steps':
    to 1/10 after 1/2 and to 1/100 after 3/4 of the steps. 'constant': none."""
    validate_every: int = 0
    """Steps between validations; 0 disables them."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the convolutions; 'auto' takes bfloat16 on processors that support it. Weights, normalisations and
    losses stay in float32."""
    patience: int = 0
    """Number of validations without a better score after which the training ends; 0 disables this."""

    def rate(self, step: int) -> float:
        """Return the learning rate of ``step``, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        match self.decay:
            case "cosine":
                share = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
            case "steps":
                share = 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
            case "constant":
                share = 1.0
        return self.learning_rate * share

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make the optimiser."""
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        match self.optimizer:
            case "adamw":
                return torch.optim.AdamW(
                    trained,
                    lr=self.learning_rate,
                    betas=(self.momentum, _SQUARES_MOMENTUM),
                    weight_decay=self.weight_decay,
                )
            case "rmsprop":
                return torch.optim.RMSprop(trained, lr=self.learning_rate, weight_decay=self.weight_decay)
            case "sgd":
                return torch.optim.SGD(
                    trained, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
                )


def chosen_precision(precision: Precision | Literal["auto"]) -> Precision:
    """Return the precision that 'auto' stands for on this processor; return any other ``precision`` unchanged."""
    return native_precision(torch.device("cpu")) if precision == "auto" else precision


class Training(Generic[NetworkT]):
    """A training in a folder: its state, its log, and its samples."""

    def __init__(
        self,
        task: Task[NetworkT],
        schedule: Schedule,
        folder: Path,
        *,
        resume: bool = False,
        validate: Callable[[NetworkT], Mapping[str, float]] | None = None,
    ) -> None:
        """Begin a training, or continue from the state in ``folder`` if ``resume`` is set and a state exists.

        With ``validate``, the weights of the validation with the highest 'score' are kept.

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
        self._optimizer = schedule.build(network.parameters())
        self.average = torch.optim.swa_utils.AveragedModel(network, avg_fn=self._averaged)
        self.step = 0
        self._validate = validate
        self._writes = rank() == 0
        self._best, self._stale = -math.inf, 0
        self._consistent = True
        if restoring:
            self._restore()
        else:
            for name in (LOG_FILE, VALIDATION_FILE, BEST_FILE):
                (folder / name).unlink(missing_ok=True)

    def run(self, on_step: OnStep) -> NetworkT:
        """Train to the end of the schedule; return the network with the averaged weights, or the best ones.

        A KeyboardInterrupt leaves a checkpoint of this step. If it interrupts the update of the weights, the checkpoint
        is of an earlier step.

        Raises:
            DivergedError: the loss is not finite.
        """
        try:
            while self.step < self._schedule.steps and not self._exhausted:
                losses = self._advance()
                self._score()
                self._consistent = True
                on_step(
                    Step(
                        done=self.step,
                        total=self.step if self._exhausted else self._schedule.steps,
                        fraction=1.0 if self._exhausted else self.step / self._schedule.steps,
                        scale=(self._task.crop, self._task.crop),
                        losses=losses,
                        preview=lambda: self._task.samples(self._averaged_network()),
                    )
                )
                last = self.step == self._schedule.steps or self._exhausted
                if self.step % self._schedule.checkpoint_every == 0 or last:
                    self._save()
                if self._writes and (self.step % self._schedule.show_every == 0 or last):
                    sheet = self._task.samples(self._averaged_network())
                    write_picture(sheet, self._folder / f"step-{self.step:06d}.png")
                    self._plot()
        except KeyboardInterrupt:
            if self._consistent:
                self._save()
            raise
        if self._writes and (self._folder / BEST_FILE).exists():
            self.average.load_state_dict(load_file(self._folder / BEST_FILE))
        return self._averaged_network()

    @property
    def _exhausted(self) -> bool:
        """True if the validation score has not improved for too long."""
        return 0 < self._schedule.patience <= self._stale

    def _score(self) -> None:
        """Validate when a validation is due, and keep the best weights."""
        every = self._schedule.validate_every
        if self._validate is None or not every or (self.step % every and self.step != self._schedule.steps):
            return
        # Only one process validates: batch statistics may differ in the others, and all must end at the same step.
        with self._arithmetic():
            scores = dict(self._validate(self._averaged_network())) if self._writes else {"score": math.nan}
        score = shared(scores["score"])
        self._log(VALIDATION_FILE, {"step": self.step, **scores})
        if score > self._best:
            self._best, self._stale = score, 0
            if not self._writes:
                return
            tensors = {name: value.detach().cpu().contiguous() for name, value in self.average.state_dict().items()}
            write_whole(self._folder / BEST_FILE, save(tensors))
        else:
            self._stale += 1

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=chosen_precision(self._schedule.precision) == "bfloat16")

    def _averaged_network(self) -> NetworkT:
        return cast("NetworkT", self.average.module)

    def _advance(self) -> dict[str, float]:
        started = time.monotonic()
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.rate(self.step)
        with self._arithmetic():
            losses = self._task.losses(self.step)
        total = losses["total"]
        if not torch.isfinite(total):
            raise DivergedError(
                f"the loss is {float(total.detach())} at step {self.step}; go on from the last checkpoint with "
                "a lower learning rate"
            )
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        average_gradients(self._task.network)
        torch.nn.utils.clip_grad_norm_(self._task.network.parameters(), _LARGEST_GRADIENT)
        self._consistent = False
        self._optimizer.step()
        self.average.update_parameters(self._task.network)
        self.step += 1
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        self._log(LOG_FILE, {"step": self.step, **values, "seconds": round(time.monotonic() - started, 3)})
        return values

    def _averaged(self, average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        # The decay factor is smaller in early steps, so that the first weights are soon forgotten.
        kept = min(self._schedule.ema, (1 + int(count)) / (10 + int(count)))
        return average.lerp(current, 1 - kept)

    def _log(self, name: str, row: dict[str, float]) -> None:
        if not self._writes:
            return
        path = self._folder / name
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)

    def _plot(self) -> None:
        with (self._folder / LOG_FILE).open(newline="") as file:
            rows = [
                {name: float(value) for name, value in row.items() if name not in _NO_LOSSES}
                for row in csv.DictReader(file)
            ]
        plot_losses(rows, self._folder / CURVES_FILE, smooth=_SMOOTH)

    def _save(self) -> None:
        if not self._writes:
            return
        tensors = {f"network.{name}": value for name, value in self._task.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, values in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
        metadata = {
            "step": self.step,
            "fingerprint": self._task.fingerprint,
            "best": self._best if math.isfinite(self._best) else None,
            "stale": self._stale,
        }
        tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        write_whole(self._folder / STATE_FILE, save(tensors, {"training": json.dumps(metadata)}))

    def _restore(self) -> None:
        path = self._folder / STATE_FILE
        try:
            with safe_open(path, framework="pt") as file:
                metadata = json.loads((file.metadata() or {}).get("training", "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path.name} is damaged ({error}); begin the training anew") from error
        if metadata.get("fingerprint") != self._task.fingerprint:
            raise CheckpointError(
                f"{path.name} belongs to a training with other data or options; repeat its command exactly, or begin "
                "the training anew"
            )
        self._task.network.load_state_dict(_part(tensors, "network."))
        self.average.load_state_dict(_part(tensors, "average."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _part(tensors, "optimizer.").items():
            index, _, field = name.partition(".")
            state.setdefault(int(index), {})[field] = value
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        self.step = metadata["step"]
        best = metadata.get("best")
        self._best, self._stale = -math.inf if best is None else best, metadata.get("stale", 0)
        for name in (LOG_FILE, VALIDATION_FILE):
            self._forget_log_after(self._folder / name)

    def _forget_log_after(self, path: Path) -> None:
        """Drop the rows of steps that will be repeated."""
        if path.exists():
            head, *rows = path.read_text().splitlines(keepends=True)
            path.write_text("".join([head, *(row for row in rows if int(row.partition(",")[0]) <= self.step)]))


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
