"""libvips, as the other modules of this package use it."""

from __future__ import annotations

import os
from typing import Any

import pyvips as _pyvips

from impasto.errors import UsageError


class _Libvips:
    """The module pyvips, which refuses to work in a process that was forked after its first use.

    Such a process lacks the threads of libvips, and would wait for them for ever.
    """

    def __init__(self) -> None:
        self._process: int | None = None

    def __getattr__(self, name: str) -> Any:
        process = os.getpid()
        if self._process not in (None, process):
            raise UsageError(
                "this process was forked from one that has used pictures already, whose threads it lacks; start "
                "processes by multiprocessing.get_context('spawn'), or before the first picture"
            )
        self._process = process
        return getattr(_pyvips, name)


pyvips: Any = _Libvips()
