"""``impasto train classifier``: training of a VGG network on one's own pictures, to be used as a descriptor."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from impasto.cli.training_run import TrainingFlags, training
from impasto.errors import UsageError
from impasto.options.training import ClassifierTrainingOptions

if TYPE_CHECKING:
    from impasto.cli.console import RunDisplay
    from impasto.training.labelled import Survey

app = App(name="classifier")


@app.default
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
