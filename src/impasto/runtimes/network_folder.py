"""The folder of an exported network: graphs, the weights that they share, and a file that describes them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from impasto.errors import UnknownNameError, UsageError, WeightsError

DESCRIPTION_FILE = "network.json"
IDENTITY_FILE = "identity.style"
"""Style file of a conditional network; its code leaves pictures unchanged."""
_ADVICE = "name a folder that 'impasto export' wrote"


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
