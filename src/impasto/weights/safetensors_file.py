"""Reads and writes safetensors files, ours and others'."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from impasto.errors import WeightsFormatError
from impasto.weights.canonical import TORCHVISION, DescriptorWeights, FileContents, Preprocessing
from impasto.weights.torch_file import canonical_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch


def read_safetensors(path: Path) -> FileContents:
    """Read ``path``: canonical keys (``conv1_1.weight``) or torchvision's (``features.0.weight``).

    Files that we write state mean, std and origin in their metadata.

    Raises:
        WeightsFormatError: the file is damaged or holds something else.
    """
    metadata, tensors = open_safetensors(path)
    canonical = "conv1_1.weight" in tensors
    return FileContents(
        source_format="safetensors",
        tensors=canonical_tensors(path.name, tensors),
        preprocessing=stated_preprocessing(path.name, metadata),
        # Files with canonical keys that state no preprocessing follow torchvision's convention.
        hint=TORCHVISION if canonical else None,
        origin=metadata.get("origin", ""),
        license=metadata.get("license", ""),
        sha256=metadata.get("source_sha256", ""),
    )


def open_safetensors(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Return the metadata and the tensors of ``path``, as they are, mapped lazily.

    Raises:
        WeightsFormatError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsFormatError(f"{path.name} is no complete safetensors file ({error}); get it again") from error


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of ``path`` without reading its tensors.

    Raises:
        WeightsFormatError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsFormatError(f"{path.name} is no complete safetensors file ({error}); get it again") from error


def write_safetensors(weights: DescriptorWeights, path: Path, extra: Mapping[str, str]) -> None:
    """Write ``weights`` to ``path``, with ``extra`` metadata beside what ``read_safetensors`` needs."""
    save_file(dict(weights.tensors), path, metadata={**describe(weights), **extra})


def describe(weights: DescriptorWeights) -> dict[str, str]:
    """Everything but the tensors, as safetensors metadata."""
    return {
        "architecture": weights.architecture,
        "mean": json.dumps(weights.mean),
        "std": json.dumps(weights.std),
        "source_format": weights.source_format,
        "source_sha256": weights.sha256,
        "origin": weights.origin,
        "license": weights.license,
    }


def stated_preprocessing(source: str, metadata: Mapping[str, str]) -> Preprocessing | None:
    """Return the preprocessing in ``metadata``: mean and std, each as JSON ``[R, G, B]``; None if it states neither.

    Raises:
        WeightsFormatError: the entries have another form.
    """
    if "mean" not in metadata and "std" not in metadata:
        return None
    triples = []
    for key in ("mean", "std"):
        try:
            first, second, third = (float(value) for value in json.loads(metadata.get(key, "")))
        except (ValueError, TypeError) as error:
            raise WeightsFormatError(
                f"{source} states {key} {metadata.get(key)!r}; "
                "it must be three numbers for R, G, B, such as [0.5, 0.5, 0.5]"
            ) from error
        triples.append((first, second, third))
    mean, std = triples
    return Preprocessing(mean=mean, std=std)
