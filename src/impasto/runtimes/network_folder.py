"""The folder of an exported network: graphs, the weights that they share, and a file that describes them.

The weights of some layers can be replaced in a copy. The graphs stay the same. This module does not import PyTorch.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from impasto.errors import StyleError, UnknownNameError, UsageError, WeightsError
from impasto.files import whole_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.types import FloatArray

DESCRIPTION_FILE = "network.json"
IDENTITY_FILE = "identity.style"
"""Style file of a conditional network, with the style code that leaves pictures unchanged."""
_ADVICE = "name a folder that 'impasto export' wrote"

GraphsOf: TypeAlias = Literal["neighbors", "statistics"]


class GraphPorts(BaseModel):
    """Inputs and outputs of a graph, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class NetworkDescription(BaseModel):
    """The content of `DESCRIPTION_FILE`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    """Name in the catalog of networks."""
    weights: str
    """Name of the safetensors file."""
    sha256: str
    """Digest of that file."""
    license: str | None
    """Licence of the weights, if their card states one."""
    stride: int = Field(ge=1)
    """The sides of the network's input, in pixels, are multiples of this number."""
    halo: int = Field(ge=0)
    """Width in pixels of the margin around a tile that affects the result inside it; a multiple of the stride."""
    noise_channels: int = Field(ge=0)
    """Channels of the network's noise input; 0 if it has none."""
    graphs: dict[str, GraphPorts]
    """Graphs by name; each is a file with the suffix .onnx."""


def read_description(folder: Path) -> NetworkDescription:
    """Read the description of the exported network in ``folder``.

    Raises:
        UsageError: files of the network are missing.
        WeightsError: its description is damaged.
    """
    try:
        text = (folder / DESCRIPTION_FILE).read_bytes()
    except OSError as error:
        raise UsageError(f"{folder.name} lacks {DESCRIPTION_FILE}; {_ADVICE}") from error
    try:
        description = NetworkDescription.model_validate_json(text)
    except ValidationError as error:
        raise WeightsError(f"{DESCRIPTION_FILE} in {folder.name} is damaged; {_ADVICE}") from error
    needed = [description.weights, *(f"{graph}.onnx" for graph in description.graphs)]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise UsageError(f"{folder.name} lacks {', '.join(missing)}; {_ADVICE}")
    return description


def network_folder(name: str | None, architecture: str = "conditional") -> Path:
    """Return the folder of an exported network.

    Args:
        name: a folder that ``impasto export`` wrote, or the checkpoint in it, or the name of a bundled network; None
            selects the first bundled network.
        architecture: the required architecture.

    Raises:
        UsageError: there is no such network.
        UnknownNameError: no network of this name is bundled.
        WeightsError: its description is damaged.
    """
    bundled = bundled_networks(architecture)
    if name is None:
        if not bundled:
            raise UsageError(f"no {architecture} network is bundled; train one, and name its folder")
        return next(iter(bundled.values()))
    if name in bundled and not Path(name).exists():
        return bundled[name]
    path = Path(name)
    if not path.exists() and path.name == name:
        raise UnknownNameError(f"{architecture} network", name, bundled)
    folder = path.parent if path.is_file() else path
    found = read_description(folder).architecture
    if found != architecture:
        raise UsageError(
            f"{name} is a network of {found!r}, and one of {architecture!r} is needed; choose another folder"
        )
    return folder


def bundled_networks(architecture: str) -> dict[str, Path]:
    """Return the folders of the bundled networks by name."""
    root = Path(str(files("impasto.bundled"))) / "networks" / architecture
    return {folder.name: folder for folder in sorted(root.iterdir())} if root.is_dir() else {}


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


def graphs_folder(identity: str, graphs: GraphsOf) -> str:
    """Return the name of the folder for the ``graphs`` of weights with the sha256 ``identity``."""
    return f"{identity[:32]}-{graphs}"


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
    """Return the place of each tensor in a file of this ``content``: 8 bytes of length, a JSON header, the tensors."""
    begin = 8 + int.from_bytes(content[:8], "little")
    return {
        name: TensorPlace(entry["dtype"], tuple(entry["shape"]), *(begin + offset for offset in entry["data_offsets"]))
        for name, entry in json.loads(content[8:begin]).items()
        if name != "__metadata__"
    }
