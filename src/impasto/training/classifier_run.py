"""Training of a descriptor network on the user's own pictures, and the files and charts that report its quality."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from impasto.descriptors.catalog import load_vgg
from impasto.descriptors.devices import placed
from impasto.descriptors.vgg import VGG, rescale_activations
from impasto.images import write_picture
from impasto.training.classification import Classification, VGGClassifier
from impasto.training.finish import recipe, save_weights
from impasto.training.labelled import PARTS, split, write_split
from impasto.training.loop import LOG_FILE, VALIDATION_FILE, Schedule, Training
from impasto.training.packing import Augmentation, LabelledBatches, PackedPictures, middles
from impasto.training.processes import check_batch, rank
from impasto.weights.canonical import TORCHVISION
from impasto.weights.store import default_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    import torch

    from impasto.options.training import ClassifierTrainingOptions
    from impasto.training.classification import Evaluation
    from impasto.training.labelled import Part, Survey
    from impasto.types import OnStep, Picture

WEIGHTS_FILE = "descriptor.safetensors"
_PICTURES_TO_RESCALE = 64
_FREE = {"steps", "epochs", "patience", "checkpoint_every", "show_every", "precision", "device"}
"""Options that may change when a training is resumed."""
_PACKED_SHARE = 1.25
"""Short side of packed pictures, relative to the crop size. Augmentation chooses crops from this area."""

_SMOOTH = 50


class ClassifierRun:
    """One training of a classifier."""

    def __init__(
        self,
        found: Survey,
        data: Path,
        output: Path,
        options: ClassifierTrainingOptions,
        *,
        device: torch.device,
        on_download: Callable[[int, int | None], None] | None = None,
        on_file: Callable[[int, int], None] | None = None,
    ) -> None:
        """Build the network, divide the pictures and pack them.

        Args:
            found: the survey of ``data``.
            data: the folder with one subfolder per class.
            output: the folder for all results.
            options: the training options.
            device: the device that computes.
            on_download: called with bytes received and bytes in total if weights have to be fetched.
            on_file: called with the numbers of packed pictures and of all pictures.

        Raises:
            UsageError: the weights to start from do not fit, or the batch cannot be divided among the processes.
        """
        check_batch(options.batch)
        self._options = options
        self._output = output
        self._found = found
        parts = split(found.examples, validation=options.validation, test=options.test, seed=options.seed)
        order = {example.path: number for number, example in enumerate(found.examples)}
        self._parts: dict[Part, list[int]] = {part: sorted(order[each.path] for each in parts[part]) for part in PARTS}
        if rank() == 0:
            write_split(parts, found.classes, data, output / "split.json")
        side = round(_PACKED_SHARE * options.crop)
        self._pictures = PackedPictures(output, found.examples, side, on_file=on_file)
        self._network = placed(self._built(on_download), device)
        self._task = Classification(
            self._network,
            LabelledBatches(
                self._pictures,
                [example.label for example in found.examples],
                self._parts["train"],
                options.crop,
                options.batch,
                options.seed,
                Augmentation(options.smallest_crop, options.flip, options.jitter),
            ),
            found.classes,
            self._parts["validation"],
            label_smoothing=options.label_smoothing,
            recipe=json.dumps([options.model_dump(exclude=_FREE), [each.digest for each in found.examples]]),
        )

    def train(self, on_step: OnStep, *, resume: bool) -> ClassifierResult:
        """Train to the end, or until the validation score stops improving; then evaluate on the test pictures."""
        options = self._options
        per_epoch = math.ceil(len(self._parts["train"]) / options.batch)
        steps = options.steps or max(1, round(options.epochs * per_epoch))
        schedule = Schedule(
            steps,
            options.learning_rate,
            warmup=min(options.warmup, steps // 10),
            ema=0.0,
            checkpoint_every=options.checkpoint_every,
            show_every=max(options.show_every, per_epoch),
            optimizer=options.optimizer,
            weight_decay=options.weight_decay,
            momentum=options.momentum,
            decay=options.decay,
            validate_every=per_epoch,
            patience=options.patience,
            precision=options.precision,
        )
        training = Training(self._task, schedule, self._output, resume=resume, validate=self._task.validate)
        network = training.run(on_step)
        validated, tested = (self._task.evaluate(network, self._parts[part]) for part in ("validation", "test"))
        return ClassifierResult(
            network,
            self._descriptor(network.cpu()),
            tuple(self._found.classes),
            validated,
            tested,
            self._task.mistakes(tested),
            {part: len(members) for part, members in self._parts.items()},
            training.step,
            options,
        )

    def _built(self, on_download: Callable[[int, int | None], None] | None) -> VGGClassifier:
        options = self._options
        given = load_vgg(options.start, on_download=on_download) if options.start else None
        network = VGGClassifier(
            given.architecture if given else options.architecture,
            len(self._found.classes),
            mean=given.mean.flatten().tolist() if given else TORCHVISION.mean,
            std=given.std.flatten().tolist() if given else TORCHVISION.std,
            width=given.tensors()["conv1_1.weight"].shape[0] / 64 if given else options.width,
            batch_norm=options.batch_norm,
            head=options.head,
            dropout=options.dropout,
            initialization=options.initialization,
            seed=options.seed,
        )
        if given is not None:
            network.load_convolutions(given.tensors())
            network.freeze(options.freeze)
        return network

    def _descriptor(self, network: VGGClassifier) -> VGG:
        """Build a descriptor network from the classifier's convolutions, scaled to mean activations of one."""
        plain = VGG(
            network.architecture,
            network.descriptor_tensors(),
            mean=network.mean.flatten().tolist(),
            std=network.std.flatten().tolist(),
        )
        trained = self._parts["train"]
        members = trained[:: max(1, len(trained) // _PICTURES_TO_RESCALE)][:_PICTURES_TO_RESCALE]
        return rescale_activations(plain, [middles(self._pictures, [number], self._options.crop) for number in members])


@dataclass(frozen=True, eq=False)
class ClassifierResult:
    """The result of a training."""

    network: VGGClassifier
    descriptor: VGG
    classes: tuple[str, ...]
    validated: Evaluation
    tested: Evaluation
    mistakes: Picture
    pictures: dict[Part, int]
    steps: int
    options: ClassifierTrainingOptions

    @property
    def summary(self) -> dict[str, Any]:
        """The main figures of the result."""
        return {
            "steps": self.steps,
            "validation accuracy": round(self.validated.accuracy, 4),
            "test accuracy": round(self.tested.accuracy, 4),
            "test loss": round(self.tested.loss, 4),
        }

    def write(self, folder: Path) -> None:
        """Write the descriptor with its card, the curves, the confusion matrix, the table and the worst mistakes."""
        save_weights(
            folder / WEIGHTS_FILE,
            self.descriptor.tensors(),
            metadata={
                "architecture": self.descriptor.architecture,
                "mean": json.dumps(self.descriptor.mean.flatten().tolist()),
                "std": json.dumps(self.descriptor.std.flatten().tolist()),
                "origin": "impasto train classifier",
            },
            card={
                "title": f"Descriptor trained to tell {len(self.classes)} classes apart",
                "recipe": recipe("classifier", self.options),
                "data": {"classes": self.classes, "pictures": self.pictures},
                "results": self.summary,
            },
            license=None,
        )
        write_picture(self.mistakes, folder / "mistakes.png")
        plot_confusion(self.tested.confusion(), self.classes, folder / "confusion.png")
        rows = self.tested.table(self.classes)
        with (folder / "classes.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        plot_accuracy(_read_rows(folder / LOG_FILE), _read_rows(folder / VALIDATION_FILE), folder / "accuracy.png")

    def register(self, name: str, folder: Path) -> None:
        """Add the descriptor that was written to ``folder`` to the weights on this machine, as ``name``.

        Raises:
            UsageError: the name is not valid.
            WeightsError: the folder of the weights cannot be written.
        """
        default_store().add(folder / WEIGHTS_FILE, name)


def plot_confusion(counts: npt.NDArray[np.int64], classes: Sequence[str], path: Path) -> None:
    """Draw the confusion matrix as PNG: true classes in rows, predicted classes in columns."""
    side = max(4.0, 0.7 * len(classes) + 2)
    figure = Figure(figsize=(side, side), dpi=120, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=45, ha="right")
    axes.set_yticks(places, classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    for row in places:
        for column in places:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour)
    figure.savefig(path)


def plot_accuracy(
    training: Sequence[Mapping[str, float]], validation: Sequence[Mapping[str, float]], path: Path
) -> None:
    """Draw the training accuracy (mean over 50 steps) and the validation accuracy, as PNG.

    Args:
        training: 'step' and 'accuracy' of each step.
        validation: 'step' and 'accuracy' of each validation.
        path: the PNG file.
    """
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    values = [row["accuracy"] for row in training]
    means = [sum(values[max(0, end - _SMOOTH) : end]) / min(end, _SMOOTH) for end in range(1, len(values) + 1)]
    axes.plot([row["step"] for row in training], means, label="training")
    axes.plot([row["step"] for row in validation], [row["accuracy"] for row in validation], "o-", label="validation")
    axes.set_xlabel("step")
    axes.set_ylabel("accuracy")
    axes.set_ylim(0, 1)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path)


def _read_rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
