"""What the folder of an exported network says of itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import impasto
from impasto.errors import UsageError, WeightsError
from impasto.networks.checkpoint import NETWORKS, load_any_network
from impasto.runtimes.export import describe
from impasto.runtimes.network_folder import bundled_networks, network_folder, read_description

EXAMPLE = Path(__file__).parents[2] / "examples" / "networks" / "to-pointillism"
FOLDERS = [EXAMPLE, *(folder for name in NETWORKS.names for folder in bundled_networks(name).values())]


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(EXAMPLE, tmp_path / "network")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_descriptions_tell_the_truth(folder):
    weights = folder / read_description(folder).weights
    assert read_description(folder) == describe(load_any_network(weights), weights)
    assert read_description(folder).license == "Apache-2.0"


@pytest.mark.parametrize("name", ["network.json", "transformer.safetensors", "render.onnx"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UsageError, match=f"network lacks {name}; name a folder that 'impasto export' wrote"):
        network_folder(str(folder), "transformer")


@pytest.mark.parametrize(
    "changed", [{"stride": "wide"}, {"stride": 0}, {"graphs": {"render": []}}, {"graphs": None}, {"shape": 4}]
)
def test_a_damaged_description_is_refused(folder, photo, changed):
    path = folder / "network.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, **changed}))
    with pytest.raises(WeightsError, match=r"network\.json in network is damaged; name a folder that"):
        impasto.stylize(photo, engine="transformer", network=str(folder))
    for text in ("", "{", "[1]", '{"architecture": "transformer"}'):
        path.write_text(text)
        with pytest.raises(WeightsError, match=r"network\.json in network is damaged"):
            read_description(folder)


def test_a_network_of_another_kind_is_refused(folder):
    with pytest.raises(UsageError, match="is a network of 'transformer', and one of 'sanet' is needed; choose another"):
        network_folder(str(folder), "sanet")
