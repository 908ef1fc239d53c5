"""Checkpoints: the state of a run on disk, from which an interrupted run can be resumed.

`uninterrupted` guards sections, such as writing a checkpoint, from Ctrl-C.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from impasto.errors import CheckpointError
from impasto.files import whole_file
from impasto.optimization.arrays import Memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

_TYPES = {"float32": "F32", "float64": "F64", "int64": "I64"}


@dataclass(frozen=True)
class RunState:
    """The state of a run at the end of a step."""

    stage: int
    """Index of the current stage."""
    done: int
    """Steps done, over all stages."""
    done_at_stage: int
    """Steps done at this stage."""
    course: Mapping[str, Any]
    """Scalar state of the descent."""
    arrays: Mapping[str, npt.NDArray[np.generic]]
    """Arrays of the descent and of the method, and 'start', the pixels from which the stage started."""
    tile: int = 0
    """Side of the tiles in which the picture is evaluated; 0 means no tiles."""


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds the state of one run."""

    path: Path
    resume: bool = False
    """True to continue from the file if it exists."""

    def save(self, state: RunState, fingerprint: str, memory: Memory | None = None) -> None:
        """Replace the file with ``state`` atomically. The arrays of ``state`` are in ``memory``."""
        run = {
            "fingerprint": fingerprint,
            "stage": state.stage,
            "done": state.done,
            "done_at_stage": state.done_at_stage,
            "course": dict(state.course),
            "tile": state.tile,
        }
        with whole_file(self.path) as temporary:
            _write(temporary, state.arrays, {"run": json.dumps(run)}, memory or Memory())

    def load(self, fingerprint: str) -> RunState | None:
        """Return the state to continue from, or None to start from the beginning.

        Raises:
            CheckpointError: the file is damaged, or belongs to a run with other pictures or options.
        """
        if not self.resume or not self.path.exists():
            return None
        try:
            with safe_open(os.fspath(self.path), "np") as file:
                run = json.loads(file.metadata()["run"])
                arrays = _Arrays(self.path, list(file.keys()))
            state = RunState(run["stage"], run["done"], run["done_at_stage"], run["course"], arrays, run["tile"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} is not a readable checkpoint; delete it, or start again without resuming"
            ) from error
        if run["fingerprint"] != fingerprint:
            raise CheckpointError(
                f"{self.path} belongs to a run with other pictures or options; "
                "repeat its command exactly, or start again without resuming"
            )
        return state

    def discard(self) -> None:
        """Delete the file of a completed run."""
        self.path.unlink(missing_ok=True)


class _Arrays(Mapping[str, "npt.NDArray[np.generic]"]):
    """The arrays of a file. Each is read on access, because together they may exceed the memory."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self._path = path
        self._names = names

    def __getitem__(self, name: str) -> npt.NDArray[np.generic]:
        if name not in self._names:
            raise KeyError(name)
        with safe_open(os.fspath(self._path), "np") as file:
            array: npt.NDArray[np.generic] = file.get_tensor(name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _write(
    path: Path, arrays: Mapping[str, npt.NDArray[np.generic]], metadata: Mapping[str, str], memory: Memory
) -> None:
    """Write a safetensors file array by array. The library's own function needs all arrays in memory at once."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        kind = str(array.dtype).removeprefix("torch.")
        header[name] = {"dtype": _TYPES[kind], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(memory.host(array)).reshape(-1).view(np.uint8).data)
            memory.release()


def fingerprint_run(settings: Mapping[str, Any], arrays: Iterable[npt.NDArray[np.generic]]) -> str:
    """Return a digest of everything that determines a run: ``settings`` (JSON values) and the input pixels."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C take effect at the end of the block, so that it never sees half of the block's changes."""
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield  # only Python's handlers interrupt, and only the main thread
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if pressed:
        signal.raise_signal(signal.SIGINT)
