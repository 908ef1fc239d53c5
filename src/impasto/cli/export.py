"""``impasto export``: a trained network as ONNX files."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import Annotated

from cyclopts import App, Parameter

from impasto.errors import needs_extra

app = App(name="export")


@app.default
def export(
    checkpoint: Path,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
) -> None:
    """Turn a trained network into ONNX files that need no PyTorch, and prove that they do the same.

    The folder is what 'impasto stylize --network FOLDER' paints with.

    Parameters
    ----------
    checkpoint
        What 'impasto train' wrote, for example conditional.safetensors.
    output
        A folder for the weights and the graphs that the network is made of.
    """
    with needs_extra("impasto export", "torch"):
        from impasto.runtimes.export import export_all

    differences = export_all(checkpoint, output)
    print(json.dumps({name: round(difference, 7) for name, difference in differences.items()}))
