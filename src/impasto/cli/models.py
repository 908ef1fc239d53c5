"""``impasto models``: the descriptor weights on this machine."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotation at run time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from impasto.cli.console import RunDisplay
from impasto.errors import WeightsError, needs_extra

if TYPE_CHECKING:
    from impasto.weights.store import StoredWeights, WeightsStore

app = App(name="models", help="List, fetch, add and check the weights of descriptor networks.")

_MIB = 1024 * 1024
_BUNDLED = {
    "compact": "a narrow VGG19, distilled by this project",
    "wide": "a wider one, which takes twice as long and sees more",
}


@app.command(name="list")
def list_models(*, json_output: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """List the weights on this machine, and those that can be fetched.

    Parameters
    ----------
    json_output
        Write JSON, for machines.
    """
    store = _store()
    entries = store.entries()
    missing = sorted(set(store.remote) - {entry.name for entry in entries})
    if json_output:
        stored = [_plain(entry) for entry in entries]
        print(json.dumps({"stored": stored, "fetchable": missing, "bundled": list(_BUNDLED)}, indent=2))
        return
    print("in this package:")
    for name, what in _BUNDLED.items():
        print(f"  {name:<16} {what}")
    print(f"in {store.folder}:")
    for entry in entries:
        print(_line(entry))
    for name in missing:
        print(f"  {name:<16} not on this machine; impasto models fetch {name}")


@app.command
def fetch(name: str) -> None:
    """Download weights, verify them, and keep them on this machine.

    Parameters
    ----------
    name
        One of the names that 'impasto models list' shows.
    """
    with RunDisplay(name, quiet=False) as display:
        entry = _store().fetch(name, display.download)
    print(f"{entry.name}: {entry.size / _MIB:.0f} MiB in {entry.path}")


@app.command
def verify(*names: str, json_output: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Check stored weights byte by byte; exit code 1 if any are damaged.

    Parameters
    ----------
    names
        The weights to check; all of them, if none is given.
    json_output
        Write JSON, for machines.
    """
    store = _store()
    problems: dict[str, str] = {}
    for name in names or [entry.name for entry in store.entries()]:
        try:
            store.verify(name)
        except WeightsError as error:
            problems[name] = str(error)
        else:
            problems[name] = ""
    if json_output:
        print(json.dumps({name: {"ok": not problem, "problem": problem} for name, problem in problems.items()}))
    else:
        for name, problem in problems.items():
            print(f"{name}: {problem or 'ok'}")
    return int(any(problems.values()))


@app.command
def add(
    file: Path,
    *,
    name: str | None = None,
    preprocessing: Literal["torchvision", "caffe"] | None = None,
    replace: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Add weights of VGG16 or VGG19 from a file: safetensors, PyTorch .pth, Keras .h5, MatConvNet .mat.

    Parameters
    ----------
    file
        The file; its content tells the format.
    name
        The name to keep it under; the architecture (vgg16, vgg19), if that is free.
    preprocessing
        What the network was trained to see, for files that do not tell: torchvision (RGB of unit variance) or
        caffe (BGR from 0 to 255).
    replace
        Replace weights of the same name.
    """
    print(f"added\n{_line(_store().add(file, name, preprocessing, replace=replace))}")


@app.command
def remove(name: str) -> None:
    """Delete weights from this machine.

    Parameters
    ----------
    name
        One of the names that 'impasto models list' shows.
    """
    _store().remove(name)
    print(f"removed {name}")


def _store() -> WeightsStore:
    with needs_extra("impasto models", "torch"):
        from impasto.weights.store import default_store
    return default_store()


def _plain(entry: StoredWeights) -> dict[str, Any]:
    return {**asdict(entry), "path": str(entry.path)}


def _line(entry: StoredWeights) -> str:
    if entry.problem:
        return f"  {entry.name:<16} unusable: {entry.problem}"
    origin = textwrap.shorten(entry.origin, 40, placeholder=" ...")
    source = f"from {entry.source_format:<12} sha256 {entry.sha256[:8]}  {origin}"
    return f"  {entry.name:<16} {entry.architecture}  {entry.size / _MIB:4.0f} MiB  {source}".rstrip()
