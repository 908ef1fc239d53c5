"""The places of weights, in the package and on this machine. This module does not import PyTorch."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from safetensors import SafetensorError, safe_open

from impasto.errors import UsageError
from impasto.folders import user_folder
from impasto.options import PLAIN_NAME

SUFFIX = ".safetensors"
BUNDLED_DESCRIPTORS = Path(str(files("impasto.bundled"))) / "descriptors"
"""A folder for each descriptor of the package, under its name."""


def bundled_names() -> list[str]:
    """List the descriptors of the package."""
    return sorted(path.stem for path in BUNDLED_DESCRIPTORS.glob(f"*/*{SUFFIX}"))


def check_path(name: str) -> None:
    """Check that there is a file, if ``name`` is a path with a folder and not the name of a descriptor.

    Raises:
        UsageError: there is no such file.
    """
    if Path(name).name != name and not Path(name).exists():
        raise UsageError(f"there is no file {name!r} with weights")


def weights_folder() -> Path:
    """Return the folder of stored weights: ``IMPASTO_WEIGHTS_DIR``, or by default one in the user's data folder."""
    folder = os.environ.get("IMPASTO_WEIGHTS_DIR", "")
    return Path(folder) if folder else user_folder("data") / "weights"


def stored_files(folder: Path) -> list[Path]:
    """List the files of weights in ``folder``, by name."""
    return [path for path in sorted(folder.glob(f"*{SUFFIX}")) if path.name[0] != "."]


def stored_identity(name: str) -> str:
    """Return the sha256 of the source file of the stored weights ``name``; '' if none is recorded."""
    path = weights_folder() / f"{name}{SUFFIX}"
    if not PLAIN_NAME.fullmatch(name) or not path.is_file():
        return ""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError):
        return ""  # loading the weights reports the error
    return metadata.get("source_sha256", "")
