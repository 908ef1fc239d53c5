"""The folders in which impasto keeps files of the user."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Literal

import platformdirs

from impasto.errors import UsageError


def user_folder(kind: Literal["data", "cache"]) -> Path:
    """Return the folder for data or for caches; it need not exist.

    If the home folder is missing or not accessible, as for a user without an account in a container, or if the cache
    folder is not writable, this is a folder in the temporary directory.

    Raises:
        UsageError: there is no temporary directory either, or another user owns impasto's folder in it.
    """
    try:
        found = platformdirs.user_data_path("impasto") if kind == "data" else platformdirs.user_cache_path("impasto")
    except RuntimeError:  # there is no home folder
        return _temporary_folder()
    needed = os.R_OK | os.X_OK | (os.W_OK if kind == "cache" else 0)
    # pathlib raises errors for folders below one that is closed
    nearest = next(each for each in (found, *found.parents) if os.path.exists(each))  # noqa: PTH110
    return found if os.access(nearest, needed) else _temporary_folder()


def _temporary_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else None
    try:
        folder = Path(tempfile.gettempdir(), f"impasto-{user or 0}")
    except FileNotFoundError as error:
        raise UsageError("there is neither a home folder nor one for temporary files; set HOME or TMPDIR") from error
    if user is not None and folder.exists() and folder.stat().st_uid != user:
        raise UsageError(f"{folder} belongs to another user; set HOME to a folder of your own")
    return folder
