"""``impasto train``: training of networks and descriptors."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from impasto.cli.train_networks import adain, conditional, cyclegan, sanet, texture, transformer
from impasto.cli.training_run import TrainingFlags, trained, training, training_crops
from impasto.errors import UsageError
from impasto.options.training import ClassifierTrainingOptions, CompactTrainingOptions

if TYPE_CHECKING:
    from impasto.cli.console import RunDisplay
    from impasto.training.labelled import Survey

_BATCHES_TO_FIT = 64
_BATCHES_TO_MEASURE = 16
_TITLES = {
    "compact": "Compact descriptor: VGG19 at a quarter of its width",
    "wide": "Wide descriptor: VGG19 with three to four eighths of its channels",
}

app = App(name="train", help="Train what impasto paints with.")

classifier_app = App(name="classifier")

app.command(classifier_app)
for _command in (conditional, transformer, texture, adain, sanet, cyclegan):
    app.command(_command)


@app.command
def compact(
    *,
    data: Annotated[list[Path], Parameter(negative="")],
    where: TrainingFlags,
    start: Path | None = None,
    options: Annotated[CompactTrainingOptions | None, Parameter(name="*")] = None,
) -> None:
    """Train the compact descriptor: a narrow VGG19 that learns to see what VGG19 sees.

    One picture in twenty, chosen by its name, is kept from training and tells how well it went.

    Parameters
    ----------
    data
        A folder of pictures; repeat it for several.
    start
        Weights of an earlier training of the same width to begin with, with new data for example.
    options
        Options of the training.
    """
    chosen = options or CompactTrainingOptions()
    with training("compact", where, chosen) as (display, device):
        from impasto.descriptors.catalog import load_vgg
        from impasto.descriptors.devices import placed
        from impasto.training import distillation
        from impasto.training.data import Crops, held_out_files
        from impasto.training.finish import recipe, save_weights
        from impasto.training.processes import rank
        from impasto.weights.safetensors_file import open_safetensors

        earlier = None if start is None else open_safetensors(start)[1]
        seen, held_out = training_crops(data, chosen, chosen.seed), held_out_files(data)
        teacher = placed(load_vgg(chosen.descriptor, on_download=display.download), device)
        student = placed(distillation.new_student(teacher, chosen.width), device)
        task = distillation.Distillation(
            student,
            teacher,
            seen,
            kept=chosen.kept,
            painted=chosen.painted,
            folder=where.output / "targets",
            start=earlier,
        )
        if not where.resume and start is None:
            display.note("choosing the teacher's channels; this takes a minute")
        learned = trained(task, chosen, where, display, [seen])
        if rank() > 0:
            return
        display.note("fitting the heads")
        distillation.refit_heads(learned, teacher, (seen.at(step) for step in range(_BATCHES_TO_FIT)))
        display.note("measuring on pictures that were kept from training")
        unseen = Crops(held_out, chosen.crop, chosen.batch, chosen.seed)
        scores = distillation.explained(learned, teacher, [unseen.at(step) for step in range(_BATCHES_TO_MEASURE)])
    save_weights(
        where.output / f"{chosen.width}.safetensors",
        distillation.compact_tensors(learned),
        metadata={
            "mean": json.dumps(teacher.mean.flatten().tolist()),
            "std": json.dumps(teacher.std.flatten().tolist()),
        },
        card={
            "title": _TITLES[chosen.width],
            "recipe": recipe("compact", chosen),
            "data": {
                "pictures": len(seen.files),
                "kept from training": len(held_out),
                "folders": [path.name for path in data],
            },
            "teacher": {"name": teacher.name, "sha256": teacher.identity},
            **({"start": start.name} if start else {}),
            "explained variance": {layer: round(score, 4) for layer, score in scores.items()},
        },
    )
    print(json.dumps({layer: round(score, 4) for layer, score in scores.items()}))


@classifier_app.default
def classifier(
    *,
    data: Path,
    where: TrainingFlags,
    register: str | None = None,
    options: Annotated[ClassifierTrainingOptions | None, Parameter(name="*")] = None,
) -> None:
    """Train a VGG network on your own pictures, and keep it as a descriptor.

    The output folder receives descriptor.safetensors and its card, split.json, report.txt, losses and curves, a
    confusion matrix, a table of the classes, and a sheet of the worst mistakes.

    Parameters
    ----------
    data
        A folder with one folder of pictures per class.
    register
        Also keep the descriptor on this machine under this name, for --descriptor NAME.
    options
        Options of the training.
    """
    chosen = options or ClassifierTrainingOptions()
    with training("classifier", where, chosen) as (display, device):
        from impasto.training import processes
        from impasto.training.classifier_run import ClassifierRun
        from impasto.training.labelled import survey

        output = where.output
        if register is not None:
            _check_free(register)
        found = survey(data, on_file=display.counter("looking at pictures"))
        _report(found, output, display)
        run = ClassifierRun(
            found,
            data,
            output,
            chosen,
            device=device,
            on_download=display.download,
            on_file=display.counter("packing"),
        )
        result = run.train(display.step, resume=where.resume)
        if processes.rank() > 0:
            return
        result.write(output)
        if register is not None:
            result.register(register, output)
    print(json.dumps(result.summary))


def _check_free(name: str) -> None:
    """Refuse a name that is taken, before the training and not after it."""
    from impasto.weights.store import default_store

    store = default_store()
    if name in store.remote:
        raise UsageError(f"{name!r} is the name of downloadable weights; choose another name for --register")
    store.check_free(name)


def _report(found: Survey, output: Path, display: RunDisplay) -> None:
    lines = found.report()
    (output / "report.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for line in lines:
        display.note(line)
