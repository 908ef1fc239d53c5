"""The folder of an exported network."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from impasto.errors import UnknownNameError, UsageError

IDENTITY_FILE = "identity.style"
GRAPHS: dict[str, tuple[str, ...]] = {
    "conditional": ("predict", "measure", "render"),
    "transformer": ("measure", "render"),
    "texture": ("measure", "render"),
    "texture-stylizer": ("measure", "render"),
    "adain": ("predict", "measure", "render"),
    "sanet": ("predict", "measure", "attend", "render"),
}
"""By architecture, what is exported of it."""


def weights_file(architecture: str) -> str:
    """Return the name of the file with the weights that the graphs share."""
    return f"{architecture}.safetensors"


def network_folder(name: str | None, architecture: str = "conditional") -> Path:
    """Return the folder of an exported network.

    Args:
        name: a folder that ``impasto export`` wrote, or the checkpoint in it, or the name of a bundled network; None
            is the first of these.
        architecture: what the network has to be.

    Raises:
        UsageError: there is no such network.
        UnknownNameError: no network of this name is bundled.
    """
    bundled = bundled_networks(architecture)
    if name is None:
        if not bundled:
            raise UsageError(f"no {architecture} network is bundled; train one, and name its folder by --network")
        return next(iter(bundled.values()))
    if name in bundled and not Path(name).exists():
        return bundled[name]
    path = Path(name)
    if not path.exists() and path.name == name:
        raise UnknownNameError(f"{architecture} network", name, bundled)
    folder = path.parent if path.is_file() else path
    needed = [weights_file(architecture), *(f"{graph}.onnx" for graph in GRAPHS[architecture])]
    if architecture == "conditional":
        needed.append(IDENTITY_FILE)
    missing = [file for file in needed if not (folder / file).is_file()]
    if missing:
        raise UsageError(f"{name} lacks {', '.join(missing)}; name a folder that 'impasto export' wrote")
    return folder


def bundled_networks(architecture: str) -> dict[str, Path]:
    """Return the folders of the bundled networks by name."""
    root = Path(str(files("impasto.bundled"))) / "networks" / architecture
    return {folder.name: folder for folder in sorted(root.iterdir())} if root.is_dir() else {}
