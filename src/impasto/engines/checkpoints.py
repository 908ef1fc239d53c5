"""The state of a run on disk, so that it can go on after anything."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from impasto.errors import CheckpointError
from impasto.images.atomic import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy as np
    from torch import Tensor

    from impasto.types import FloatArray


@dataclass(frozen=True)
class RunState:
    """Where a run stands, at the end of a step."""

    scale: int
    """Index of the scale."""
    done: int
    """Steps done, over all scales."""
    done_at_scale: int
    """Steps done at this scale."""
    course: Mapping[str, Any]
    """Plain values of the descent."""
    tensors: Mapping[str, Tensor]
    """Tensors of the descent."""


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds the state of one run."""

    path: Path
    resume: bool = False
    """Whether to continue from the file, if it is there."""

    def save(self, state: RunState, fingerprint: str) -> None:
        """Replace the file with ``state``, at once or not at all."""
        metadata = {
            "fingerprint": fingerprint,
            "scale": state.scale,
            "done": state.done,
            "done_at_scale": state.done_at_scale,
            "course": dict(state.course),
        }
        tensors = {name: tensor.contiguous().cpu() for name, tensor in state.tensors.items()}
        write_whole(self.path, save(tensors, {"run": json.dumps(metadata)}))

    def load(self, fingerprint: str) -> RunState | None:
        """Read the state to continue from; None to start from the beginning.

        Raises:
            CheckpointError: the file is damaged, or of a run with other pictures or options.
        """
        if not self.resume or not self.path.exists():
            return None
        try:
            with safe_open(os.fspath(self.path), "pt") as file:
                run = json.loads(file.metadata()["run"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} is no readable checkpoint; delete it or run without --resume"
            ) from error
        if run["fingerprint"] != fingerprint:
            raise CheckpointError(
                f"{self.path} belongs to a run with other pictures or options; "
                "repeat its command exactly, or run without --resume"
            )
        return RunState(run["scale"], run["done"], run["done_at_scale"], run["course"], tensors)

    def discard(self) -> None:
        """Delete the file: the run is complete."""
        self.path.unlink(missing_ok=True)


def fingerprint_run(settings: Mapping[str, Any], arrays: Iterable[FloatArray | np.ndarray[Any, Any]]) -> str:
    """Digest everything that determines a run: ``settings`` (JSON values) and the pixels that go in."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
