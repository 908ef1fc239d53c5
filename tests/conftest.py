"""What all tests share: the example pictures, real weights where there are any, and else weights of the true shape."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# Two processes test at once, each with its share of the processor.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))

import torch
from safetensors.torch import save_file

from impasto.cli.main import run
from impasto.descriptors.compact import load_compact
from impasto.networks.conditional import ConditionalStylizer
from impasto.training.saving import save_network
from impasto.weights.canonical import tensor_shapes
from impasto.weights.store import WeightsStore
from random_networks import he_tensors

# Tests press Ctrl-C; what a script starts in the background would be deaf to it, and so would be all its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "examples" / "pictures"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photographs, paintings and weights that may lie beside the project."""
    folder = ROOT.parent / "shared"
    if not (folder / "weights").is_dir():
        pytest.skip("no shared folder beside the project")
    return folder


@pytest.fixture(scope="session")
def photo() -> Path:
    """A content image."""
    return PICTURES / "harbour.jpg"


@pytest.fixture(scope="session")
def painting() -> Path:
    """A style image."""
    return PICTURES / "swirls.jpg"


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights store with 'vgg19': the real one if there is a shared folder, else random filters of its shape."""
    folder = tmp_path_factory.mktemp("weights")
    source = ROOT.parent / "shared" / "weights" / "vgg19-imagenet.safetensors"
    if not source.exists():
        source = folder.parent / "generated-vgg19.safetensors"
        save_file(he_tensors(tensor_shapes("vgg19")), source, {"origin": "random, for tests"})
    WeightsStore(folder).add(source, "vgg19", "torchvision")
    return folder


@pytest.fixture
def stored_weights(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this process, and those it starts, find 'vgg19'."""
    monkeypatch.setenv("IMPASTO_WEIGHTS_DIR", str(weights_folder))
    return weights_folder


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither compiled networks nor styles go into the user's folders."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("IMPASTO_STYLES_DIR", str(folder / "styles"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training that has hardly begun would write."""
    network = ConditionalStylizer.seeing_with(load_compact(), seed=1)
    with torch.no_grad():
        network.predictor.head[-1].weight.mul_(100)  # codes that differ
    path = tmp_path_factory.mktemp("trained") / "conditional.safetensors"
    save_network(path, network, card={})
    return path


@pytest.fixture(scope="session")
def folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights, exported."""
    target = tmp_path_factory.mktemp("exported")
    assert run(["export", str(checkpoint), "-o", str(target)]) == 0
    return target
