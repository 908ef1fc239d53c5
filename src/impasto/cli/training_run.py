"""Flags, folders and pictures that all training commands share."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from impasto.cli.console import RunDisplay
from impasto.errors import UsageError, needs_extra, shortage_explained

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import torch
    from torch import nn

    from impasto.networks.base import PaintingNetwork
    from impasto.options.training import TrainingOptions
    from impasto.training.data import Crops
    from impasto.training.loop import Schedule, Task

    NetworkT = TypeVar("NetworkT", bound=nn.Module)
    PaintingT = TypeVar("PaintingT", bound=PaintingNetwork)


@Parameter(name="*")
@dataclass(frozen=True)
class TrainingFlags:
    """Flags for the folder and the state of a training."""

    output: Annotated[Path, Parameter(name=("--output", "-o"))]
    """The folder for everything that comes out: weights and their card, the state, losses, sheets of samples."""

    resume: Annotated[bool, Parameter(negative="")] = False
    """Continue from the state in the output folder."""

    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False
    """No progress and no notes."""


def schedule(options: TrainingOptions) -> Schedule:
    """Return the schedule that ``options`` describe."""
    from impasto.training.loop import Schedule

    return Schedule(
        options.steps,
        options.learning_rate,
        warmup=options.warmup,
        checkpoint_every=options.checkpoint_every,
        show_every=options.show_every,
        precision=options.precision,
        momentum=options.momentum,
    )


@contextmanager
def training(name: str, where: TrainingFlags, options: TrainingOptions) -> Iterator[tuple[RunDisplay, torch.device]]:
    """Join the other processes of a training, and provide its display and its device.

    Raises:
        UsageError: the output folder holds a training, but ``where`` does not ask to resume it; or there is no such
            device.
    """
    with needs_extra(f"impasto train {name}", "torch"):
        from impasto.training import processes
        from impasto.training.loop import holds_training
    if not where.resume and holds_training(where.output):
        raise UsageError(f"{where.output} holds a training; go on with it by --resume, or name another folder")
    where.output.mkdir(parents=True, exist_ok=True)
    with (
        processes.joined(options.device) as device,
        shortage_explained("this training", "choose device cpu"),
        RunDisplay(name, quiet=where.quiet or processes.rank() > 0) as display,
    ):
        yield display, device


def trained(
    task: Task[NetworkT], options: TrainingOptions, where: TrainingFlags, display: RunDisplay, data: Iterable[Crops]
) -> NetworkT:
    """Train, and report pictures that could not be read; return the network in evaluation mode."""
    from impasto.training.loop import Training

    network = Training(task, schedule(options), where.output, resume=where.resume).run(display.step)
    unreadable = sorted({name for crops in data for name in crops.unreadable})
    if unreadable:
        display.note(f"{len(unreadable)} pictures cannot be read and were skipped: {', '.join(unreadable[:10])}")
    return network.eval()


def train(
    task: Task[PaintingT],
    options: TrainingOptions,
    where: TrainingFlags,
    display: RunDisplay,
    title: str,
    pictures: Mapping[str, Crops],
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Train a painting network on ``pictures``; write its weights, its card with ``facts``, and its graphs."""
    from impasto.training.finish import finish

    network = trained(task, options, where, display, pictures.values())
    finish(network, where.output, command=display.name, title=title, options=options, pictures=pictures, facts=facts)


def training_crops(
    folders: Sequence[Path], options: TrainingOptions, seed: int, *, smallest_share: float = 0.5
) -> Crops:
    """Return crops of those pictures in ``folders`` that are used for training.

    Raises:
        UsageError: there are no pictures, or the batch cannot be divided among the processes.
    """
    from impasto.training.data import Crops, training_files
    from impasto.training.processes import check_batch

    check_batch(options.batch)
    return Crops(training_files(folders), options.crop, options.batch, seed, smallest_share=smallest_share)
