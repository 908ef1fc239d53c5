"""``impasto train classifier``: a VGG network that learns from one's own pictures, to be used as a descriptor."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from impasto.cli.console import RunDisplay
from impasto.errors import UsageError, needs_extra
from impasto.options import ClassifierTrainingOptions

if TYPE_CHECKING:
    from impasto.training.labelled import Survey

app = App(name="classifier")


@app.default
def classifier(
    *,
    data: Path,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    register: str | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
    options: Annotated[ClassifierTrainingOptions | None, Parameter(name="*")] = None,
) -> None:
    """Train a VGG network on your own pictures, and keep it as a descriptor.

    Parameters
    ----------
    data
        A folder with one folder of pictures per class.
    output
        The folder for everything that comes out: descriptor.safetensors and its card, split.json, report.txt, the
        state, losses and curves, confusion matrix, table of the classes, and a sheet of the worst mistakes.
    register
        Also keep the descriptor on this machine under this name, for --descriptor NAME.
    resume
        Continue from the state in the output folder.
    quiet
        No progress and no notes.
    options
        Options of the training.
    """
    chosen = options or ClassifierTrainingOptions()
    with needs_extra("impasto train classifier", "torch"):
        from impasto.training import processes
        from impasto.training.classifier_run import ClassifierRun
        from impasto.training.labelled import survey

    if register is not None:
        _check_free(register)
    output.mkdir(parents=True, exist_ok=True)
    with processes.joined(), RunDisplay("classifier", quiet=quiet or processes.rank() > 0) as display:
        found = survey(data, on_file=display.counter("looking at pictures"))
        _report(found, output, display)
        run = ClassifierRun(
            found, data, output, chosen, on_download=display.download, on_file=display.counter("packing")
        )
        result = run.train(display.step, resume=resume)
        if processes.rank() > 0:
            return
        result.write(output)
        if register is not None:
            result.register(register, output)
    print(json.dumps(result.summary))


def _check_free(name: str) -> None:
    """Refuse a name that is taken now, not after the training."""
    from impasto.descriptors.weights.store import default_store

    store = default_store()
    if name in {"auto", "compact", *store.remote, *(entry.name for entry in store.entries())}:
        raise UsageError(f"weights {name!r} are there already; give --register another name, or remove them first")
    store.check_name(name)


def _report(found: Survey, output: Path, display: RunDisplay) -> None:
    lines = found.report()
    (output / "report.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for line in lines:
        display.note(line)
