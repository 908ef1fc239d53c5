"""The folder of an exported network."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from impasto.errors import UsageError

WEIGHTS_FILE = "conditional.safetensors"
IDENTITY_FILE = "identity.style"
_FILES = (WEIGHTS_FILE, "predict.onnx", "measure.onnx", "render.onnx", IDENTITY_FILE)


def network_folder(name: str | None) -> Path:
    """Return the folder called ``name``, or that of the bundled network if None.

    Raises:
        UsageError: it holds no exported network.
    """
    folder = Path(str(files("impasto.bundled") / "conditional")) if name is None else Path(name)
    missing = [file for file in _FILES if not (folder / file).is_file()]
    if missing and name is None:
        raise UsageError("no network is bundled; train and export one, and name its folder by --network")
    if missing:
        raise UsageError(f"{name} lacks {', '.join(missing)}; name a folder that 'impasto export' wrote")
    return folder
