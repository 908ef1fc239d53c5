"""What all tests share: the example pictures, real weights where there are any, and else weights of the true shape."""

from __future__ import annotations

import functools
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Two processes test at once, each with its share of the processor.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))

from safetensors.torch import save_file

import impasto.descriptors.catalog
from impasto.descriptors.catalog import load_descriptor
from impasto.runtimes.network_folder import network_folder
from impasto.weights.canonical import tensor_shapes
from impasto.weights.store import WeightsStore
from random_networks import he_tensors

if TYPE_CHECKING:
    from impasto.descriptors import Descriptor
    from impasto.descriptors.vgg import VGG

# Tests press Ctrl-C; what a script starts in the background would be deaf to it, and so would be all its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "examples" / "pictures"


@pytest.fixture(autouse=True)
def ctrl_c() -> None:
    """Undo what commands leave behind that set handlers for their process, such as ``worker``."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@functools.cache
def vgg19(pooling: str, precision: str) -> VGG:
    return load_descriptor("vgg19", pooling=pooling, precision=precision)


@pytest.fixture
def loaded_once(stored_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep 'vgg19' in memory, as loading 20 million weights takes longer than painting small pictures."""

    def load(name: str, *, pooling: str = "max", precision: str = "float32", on_download: object = None) -> Descriptor:
        if name in ("auto", "vgg19"):
            return vgg19(pooling, precision)
        return load_descriptor(name, pooling=pooling, precision=precision, on_download=on_download)

    monkeypatch.setattr(impasto.descriptors.catalog, "load_descriptor", load)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which compiled networks are kept from test to test."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def own_folders(compiled: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither compiled networks nor styles go into the user's folders."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled))
    monkeypatch.setenv("IMPASTO_STYLES_DIR", str(tmp_path_factory.mktemp("user") / "styles"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the bundled network for all styles. To export another takes a minute."""
    return shutil.copytree(network_folder(None), tmp_path_factory.mktemp("exported"), dirs_exist_ok=True)


@pytest.fixture(scope="session")
def checkpoint(folder: Path) -> Path:
    """The weights of this network."""
    return folder / "conditional.safetensors"
