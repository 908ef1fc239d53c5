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


def with_sorted_metadata(content: bytes) -> bytes:
    """Sort the metadata in a file of this ``content``, which the library writes in an order that changes by chance."""
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text + content[begin:]


def tensor_places(content: bytes | bytearray) -> dict[str, TensorPlace]:
    """Return the place of each tensor in a file of this ``content``: 8 bytes of length, a JSON header, the tensors."""
    begin = 8 + int.from_bytes(content[:8], "little")
    return {
        name: TensorPlace(entry["dtype"], tuple(entry["shape"]), *(begin + offset for offset in entry["data_offsets"]))
        for name, entry in json.loads(content[8:begin]).items()
        if name != "__metadata__"
    }
