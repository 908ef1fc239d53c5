"""The store of weights on this machine: its folder and its files, without PyTorch."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
from safetensors import SafetensorError, safe_open

from impasto.options import PLAIN_NAME

SUFFIX = ".safetensors"


def weights_folder() -> Path:
    """Return the folder of the user's store: ``IMPASTO_WEIGHTS_DIR``, else in the platform's folder for data."""
    folder = os.environ.get("IMPASTO_WEIGHTS_DIR", "")
    return Path(folder) if folder else platformdirs.user_data_path("impasto") / "weights"


def stored_files(folder: Path) -> list[Path]:
    """List the files of weights in ``folder``, by name."""
    return [path for path in sorted(folder.glob(f"*{SUFFIX}")) if path.name[0] != "."]


def stored_identity(name: str) -> str:
    """Return the sha256 that the header of the stored weights ``name`` states; empty if there are none."""
    path = weights_folder() / f"{name}{SUFFIX}"
    if not PLAIN_NAME.fullmatch(name) or not path.is_file():
        return ""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError):
        return ""  # loading the weights reports the error
    return metadata.get("source_sha256", "")
