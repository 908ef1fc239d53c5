"""Names of the folders with the graphs of descriptors. This module does not import PyTorch."""

from __future__ import annotations

from typing import Literal, TypeAlias

GraphsOf: TypeAlias = Literal["neighbors", "statistics"]


def graphs_folder(identity: str, graphs: GraphsOf) -> str:
    """Return the name of the folder for the ``graphs`` of weights with the sha256 ``identity``."""
    return f"{identity[:32]}-{graphs}"
