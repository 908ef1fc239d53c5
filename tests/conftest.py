"""What all tests share: the example pictures, real weights where there are any, and else weights of the true shape."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from impasto.descriptors.weights.canonical import tensor_shapes
from impasto.descriptors.weights.store import WeightsStore
from random_networks import he_tensors

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
