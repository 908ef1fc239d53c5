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

from impasto.descriptors.devices import device_of, native_precision
from impasto.errors import CheckpointError, DivergedError, shortage_explained
from impasto.files import write_whole
from impasto.images import plot_losses, write_picture
from impasto.optimization.checkpoint import uninterrupted
from impasto.training.data import Prefetch
from impasto.training.processes import average_gradients, rank, shared
from impasto.types import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor

    from impasto.descriptors.devices import Precision
    from impasto.training.data import Batch
    from impasto.types import OnStep, Picture

    _Tensors = tuple[Tensor, ...] | list[Tensor]

NetworkT = TypeVar("NetworkT", bound=nn.Module)

STATE_FILE, LOG_FILE, CURVES_FILE = "state.safetensors", "losses.csv", "losses.png"
VALIDATION_FILE, BEST_FILE = "validation.csv", "best.safetensors"
_SQUARES_MOMENTUM = 0.999
_NO_LOSSES = {"accuracy", "seconds"}
_SMOOTH = 50
"""Number of steps that are averaged into one point of the curves."""
_LARGEST_GRADIENT = 1.0


class Task(Protocol[NetworkT]):
    """A network in training, with its data and losses. Everything that it computes is on the device of the network."""

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
        """Set the weights from which a new training starts."""

    def batch(self, step: int) -> Batch:
        """Decode the batch of ``step``, counted from 0, on the CPU. This is called from another thread."""

    def losses(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """Compute the losses of the ``batch`` of ``step`` by name, as scalars on the device; 'total' is minimised.

        The batch is on the device of the network.
        """

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
    """Precision of the convolutions; 'auto' takes bfloat16 on devices that support it. Weights, normalisations and
    losses stay in float32."""
    patience: int = 0
    """Number of validations without a better score after which the training ends; 0 means no limit."""

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


def holds_training(folder: Path) -> bool:
    """Return True if ``folder`` holds the state or the weights of a training, which a new one would overwrite."""
    return any(folder.glob("*.safetensors"))


def chosen_precision(precision: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Return the precision that 'auto' means on ``device``; return any other ``precision`` unchanged."""
    return native_precision(device) if precision == "auto" else precision


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
            OutOfMemoryError: the memory does not suffice.
        """
        self._task = task
        self._schedule = schedule
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        restoring = resume and holds_training(folder)
        self._device = device_of(task.network)
        if not restoring:
            with self._shortage_explained():
                task.begin()
        network = task.network
        self._optimizer = schedule.build(network.parameters())
        self.average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=self._move_averages)
        self.step = 0
        self._validate = validate
        self._writes = rank() == 0
        self._best, self._stale = -math.inf, 0
        self._scored = 0
        """Step of the last validation."""
        if restoring:
            self._restore()
        else:
            for name in (LOG_FILE, VALIDATION_FILE, BEST_FILE):
                (folder / name).unlink(missing_ok=True)

    def run(self, on_step: OnStep) -> NetworkT:
        """Train to the end of the schedule, and return the network with the averaged weights or the best ones.

        A KeyboardInterrupt leaves a checkpoint of the last step.

        Raises:
            DivergedError: the loss is not finite.
            OutOfMemoryError: the memory does not suffice.
        """
        with (
            self._shortage_explained(),
            Prefetch(self._task.batch, self._device, steps=self._schedule.steps) as batches,
        ):
            self._train(batches, on_step)
        if self._writes and (self._folder / BEST_FILE).exists():
            self.average.load_state_dict(load_file(self._folder / BEST_FILE))
        return self._averaged_network()

    def _train(self, batches: Prefetch, on_step: OnStep) -> None:
        try:
            self._score()  # if the validation of the last step was interrupted
            while self.step < self._schedule.steps and not self._exhausted:
                losses = self._advance(batches)
                self._score()
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
            if self.step:
                self._save()
            raise

    @property
    def _exhausted(self) -> bool:
        """True if the validation score has not improved within the patience."""
        return 0 < self._schedule.patience <= self._stale

    def _score(self) -> None:
        """Validate when a validation is due, and keep the best weights."""
        every = self._schedule.validate_every
        due = every and self.step and (self.step % every == 0 or self.step == self._schedule.steps)
        if self._validate is None or not due or self._scored == self.step:
            return
        # Only one process validates: batch statistics may differ in the others, and all must end at the same step.
        with self._arithmetic():
            scores = dict(self._validate(self._averaged_network())) if self._writes else {"score": math.nan}
        score = shared(scores["score"])
        with uninterrupted():
            self._log(VALIDATION_FILE, {"step": self.step, **scores})
            self._scored = self.step
            self._stale += 1
            if score > self._best:
                self._best, self._stale = score, 0
                self._keep_best()

    def _keep_best(self) -> None:
        if self._writes:
            tensors = {name: value.detach().cpu().contiguous() for name, value in self.average.state_dict().items()}
            write_whole(self._folder / BEST_FILE, save(tensors))

    def _arithmetic(self) -> torch.autocast:
        precision = chosen_precision(self._schedule.precision, self._device)
        return torch.autocast(self._device.type, torch.bfloat16, enabled=precision == "bfloat16")

    def _shortage_explained(self) -> AbstractContextManager[None]:
        side = self._task.crop
        return shortage_explained(f"a batch of crops of {side}x{side} pixels", "choose a smaller batch or crop")

    def _averaged_network(self) -> NetworkT:
        return cast("NetworkT", self.average.module)

    def _advance(self, batches: Prefetch) -> dict[str, float]:
        started = time.monotonic()
        for group in self._optimizer.param_groups:
            group["lr"] = self._schedule.rate(self.step)
        batch = batches.at(self.step)
        with self._arithmetic():
            losses = self._task.losses(self.step, batch)
        self._optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()  # type: ignore[no-untyped-call]
        average_gradients(self._task.network)
        torch.nn.utils.clip_grad_norm_(self._task.network.parameters(), _LARGEST_GRADIENT)
        # Fetch all losses in one transfer, and only after the backward pass is queued, because the transfer waits for
        # the GPU.
        values = dict(zip(losses, torch.stack([loss.detach() for loss in losses.values()]).tolist(), strict=True))
        if not math.isfinite(values["total"]):
            raise DivergedError(
                f"the loss is {values['total']} at step {self.step}; go on from the last checkpoint with "
                "a lower learning rate"
            )
        with uninterrupted():  # so that the state of a whole step can be saved at any time
            self._optimizer.step()
            self.average.update_parameters(self._task.network)
            self.step += 1
            self._log(LOG_FILE, {"step": self.step, **values, "seconds": round(time.monotonic() - started, 3)})
        return values

    def _move_averages(self, averages: _Tensors, weights: _Tensors, count: Tensor | int) -> None:
        del count  # the number of steps, which would have to be fetched from the GPU
        # The decay factor is smaller in early steps, so that the initial weights are soon forgotten.
        kept = min(self._schedule.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(averages, weights, 1 - kept)

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
            "scored": self._scored,
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
        self._scored = metadata.get("scored", self.step)
        for name in (LOG_FILE, VALIDATION_FILE):
            self._forget_log_after(self._folder / name)

    def _forget_log_after(self, path: Path) -> None:
        """Delete the rows of steps that will be repeated."""
        if path.exists():
            head, *rows = path.read_text().splitlines(keepends=True)
            path.write_text("".join([head, *(row for row in rows if int(row.partition(",")[0]) <= self.step)]))


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
