"""Descriptors by name or file, from a weights store on disk."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors import safe_open

from impasto.descriptors.catalog import load_descriptor
from impasto.descriptors.compact import BUNDLED
from impasto.descriptors.vgg import layer_names
from impasto.errors import UnknownNameError, WeightsError, WeightsFormatError

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = ["relu1_1", "relu2_1"]


def image() -> torch.Tensor:
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_by_name(stored_weights: Path) -> None:
    network = load_descriptor("vgg19")
    assert network.name == network.architecture == "vgg19"
    assert network.layers == layer_names("vgg19")
    assert (network.pooling, network.precision) == ("max", "float32")
    with safe_open(stored_weights / "vgg19.safetensors", "pt") as file:
        assert network.identity == file.metadata()["source_sha256"]
        torch.testing.assert_close(network.convolutions["conv5_4"].weight, file.get_tensor("conv5_4.weight").float())
    assert len(network.identity) == len(hashlib.sha256().hexdigest())


@pytest.mark.usefixtures("stored_weights")
def test_pooling_and_precision_reach_the_network() -> None:
    network = load_descriptor("vgg19", pooling="average", precision="bfloat16")
    assert (network.pooling, network.precision) == ("average", "bfloat16")
    assert network.convolutions["conv1_2"].weight.dtype == torch.bfloat16


def test_by_file_of_any_name(stored_weights: Path, tmp_path: Path) -> None:
    file = tmp_path / "My network.weights"
    file.symlink_to(stored_weights / "vgg19.safetensors")
    network = load_descriptor(str(file))
    assert network.name == "My network"
    named = load_descriptor("vgg19")
    torch.testing.assert_close(network.forward(image(), LAYERS), named.forward(image(), LAYERS))
    assert network.identity == named.identity


def test_a_compact_descriptor_by_file(tmp_path: Path) -> None:
    own = shutil.copy(BUNDLED, tmp_path / "own.safetensors")
    network, bundled = load_descriptor(str(own)), load_descriptor("compact")
    assert (network.name, network.identity) == ("own", bundled.identity)
    torch.testing.assert_close(network.forward(image(), LAYERS), bundled.forward(image(), LAYERS))


@pytest.mark.usefixtures("stored_weights")
def test_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown descriptor 'vgg91'; did you mean 'vgg19'\?$"):
        load_descriptor("vgg91")


def test_a_file_that_is_no_network(painting: Path) -> None:
    with pytest.raises(WeightsFormatError, match=painting.name):
        load_descriptor(str(painting))


def test_damaged_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMPASTO_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / "vgg19.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{broken")
    with pytest.raises(WeightsError, match="vgg19"):
        load_descriptor("vgg19")
