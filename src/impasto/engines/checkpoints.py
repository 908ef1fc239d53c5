"""The state of a run on disk, so that it can go on after anything."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from impasto.errors import CheckpointError
from impasto.images.atomic import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from torch import Tensor

    from impasto.types import FloatArray


_TYPES = {
    torch.float32: "F32",
    torch.float64: "F64",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
}


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
    tile: int = 0
    """Side of the tiles that the picture is looked at in; 0 is the whole."""


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
            "tile": state.tile,
        }
        with whole_file(self.path) as temporary:
            _write(temporary, state.tensors, {"run": json.dumps(metadata)})

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
                tensors = _Tensors(self.path, list(file.keys()))
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} is no readable checkpoint; delete it or run without --resume"
            ) from error
        if run["fingerprint"] != fingerprint:
            raise CheckpointError(
                f"{self.path} belongs to a run with other pictures or options; "
                "repeat its command exactly, or run without --resume"
            )
        return RunState(run["scale"], run["done"], run["done_at_scale"], run["course"], tensors, run.get("tile", 0))

    def discard(self) -> None:
        """Delete the file: the run is complete."""
        self.path.unlink(missing_ok=True)


class _Tensors(Mapping[str, "Tensor"]):
    """The tensors of a file, each read when it is asked for: together they may be larger than the memory."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self._path = path
        self._names = names

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        with safe_open(os.fspath(self._path), "pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file tensor by tensor; the library's own function wants them all in memory at once."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for tensor in tensors.values():
            raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            file.write(raw.numpy().data)


def fingerprint_run(settings: Mapping[str, Any], arrays: Iterable[FloatArray | np.ndarray[Any, Any]]) -> str:
    """Digest everything that determines a run: ``settings`` (JSON values) and the pixels that go in."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
