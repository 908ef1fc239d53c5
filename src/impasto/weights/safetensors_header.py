"""The header of a safetensors file, for code that shares or changes the bytes of tensors."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class TensorPlace:
    """A tensor in a file."""

    dtype: str
    """Type in safetensors' notation, such as 'F16'."""
    shape: tuple[int, ...]
    begin: int
    """Offset of the tensor's bytes from the start of the file."""
    end: int


def tensor_places(content: bytes | bytearray) -> dict[str, TensorPlace]:
    """Return the place of each tensor in ``content``, a whole file: a length of 8 bytes, a JSON header, the tensors."""
    begin = 8 + int.from_bytes(content[:8], "little")
    return {
        name: TensorPlace(entry["dtype"], tuple(entry["shape"]), *(begin + offset for offset in entry["data_offsets"]))
        for name, entry in json.loads(content[8:begin]).items()
        if name != "__metadata__"
    }
