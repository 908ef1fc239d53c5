"""Reads and writes safetensors files of this and other projects."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from impasto.errors import WeightsFormatError
from impasto.weights.canonical import TORCHVISION, DescriptorWeights, FileContents, Preprocessing
from impasto.weights.readers import canonical_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import torch


def read_safetensors(path: Path) -> FileContents:
    """Read a file with canonical keys (``conv1_1.weight``) or torchvision's keys (``features.0.weight``).

    Files that impasto writes state mean, std and origin in their metadata.

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
    """Return the metadata and the unchanged, memory-mapped tensors of ``path``.

    Raises:
        WeightsFormatError: the file is missing or damaged.
    """
    with _complete(path), safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {}), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of ``path`` without reading its tensors.

    Raises:
        WeightsFormatError: the file is missing or damaged.
    """
    with _complete(path), safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def tensor_names(path: Path) -> list[str]:
    """List the names of the tensors of ``path``; none if it is not a safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError, ValueError):
        return []


@contextmanager
def _complete(path: Path) -> Iterator[None]:
    """Say in one sentence that ``path`` is missing or damaged, if reading it in the block fails."""
    try:
        yield
    except FileNotFoundError as error:
        raise WeightsFormatError(f"there is no file {path.name!r} with weights; check the path") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsFormatError(
            f"{path.name} is not a complete safetensors file ({error}); download it again"
        ) from error


def write_safetensors(weights: DescriptorWeights, path: Path, extra: Mapping[str, str]) -> None:
    """Write ``weights`` to ``path``, with the metadata that `read_safetensors` needs and ``extra``."""
    save_file(dict(weights.tensors), path, metadata={**describe(weights), **extra})


def describe(weights: DescriptorWeights) -> dict[str, str]:
    """Return everything except the tensors as safetensors metadata."""
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
