"""Copies of an exported network in which the weights of some layers are replaced. The graphs stay the same."""

from __future__ import annotations

import shutil
from hashlib import sha256
from typing import TYPE_CHECKING

from impasto.errors import StyleError
from impasto.files import whole_folder
from impasto.runtimes.network_folder import DESCRIPTION_FILE, read_description
from impasto.weights.safetensors_header import tensor_places

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from impasto.types import FloatArray


def changed_folder(folder: Path, layers: Mapping[str, FloatArray], cache: Path) -> Path:
    """Return a copy of an exported network's folder with other weights in ``layers``. It is made once and kept.

    Args:
        folder: the folder of the network.
        layers: the new weights, by their names in the network's file of float16 weights.
        cache: the folder in which such copies are kept.

    Raises:
        StyleError: the network has no such layers, or has them in other shapes.
        FileWriteError: the folder cannot be written.
    """
    description = read_description(folder)
    content = bytearray((folder / description.weights).read_bytes())
    places = tensor_places(content)
    for name, changed in layers.items():
        place = places.get(name)
        if place is None or (place.dtype, place.shape) != ("F16", changed.shape):
            raise StyleError(
                f"the style replaces the weights {name!r}, but the network has no float16 weights of that name and "
                "shape; learn the style again"
            )
        content[place.begin : place.end] = changed.astype("<f2").tobytes()
    identity = sha256(content).hexdigest()
    found = cache / identity[:32]
    if found.is_dir():
        return found
    with whole_folder(found) as made:
        shutil.copytree(folder, made, dirs_exist_ok=True)
        (made / description.weights).write_bytes(content)
        described = description.model_copy(update={"sha256": identity})
        (made / DESCRIPTION_FILE).write_text(described.model_dump_json(indent=1) + "\n")
    return found
