"""What ``pip install`` gives: built, installed elsewhere, and run where there is no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from impasto.images import read_picture, resize_picture, write_picture

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent

NO_NETWORK = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        raise PermissionError(f"{event} in a place without a network")

sys.addaudithook(refuse)
for name in ("torch", "onnx", "onnxruntime", "matplotlib", "scipy"):
    sys.modules[name] = None
"""

PAGE = """
import re, sys, tempfile
from hashlib import sha256
from pathlib import Path
from fastapi.testclient import TestClient
from impasto.service.settings import Settings
from impasto.service.web.app import create_app
from impasto.service.wiring import build
with tempfile.TemporaryDirectory() as folder:
    client = TestClient(create_app(build(Settings(data_dir=Path(folder)))), base_url="http://127.0.0.1")
    static = re.search("/static/[0-9a-f]+/", client.get("/").text).group()
    modules = re.findall('from "./([a-z]+.js)"', client.get(static + "page.js").text)
    files = [static + name for name in ("page.css", "icon.svg", "page.js", *sorted(set(modules)))]
    for path in ("/", "/?lang=zh", "/manifest.webmanifest", "/sw.js", *files):
        answer = client.get(path).raise_for_status()
        print(path, sha256(answer.content).hexdigest())
"""

LITERATURE = ("transformer", "texture", "adain", "sanet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder where the wheel is installed, and that refuses the network."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", folder, wheel]
    subprocess.run(command, check=True)
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    return folder


@pytest.fixture
def installed(site, tmp_path):
    """Run ``impasto`` as installed from the wheel."""
    environment = {**os.environ, "PYTHONPATH": str(site), "HOME": str(tmp_path / "home")}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    assert run("-c", "import impasto; print(impasto.__file__)").stdout.startswith(str(site))
    return run


def test_an_unseen_painting_offline(installed, photo, painting, tmp_path):
    write_picture(resize_picture(read_picture(photo), 200, 150), tmp_path / "photo.png")
    done = installed("-m", "impasto", "stylize", "photo.png", "-s", painting, "-o", "out.png", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (read_picture(tmp_path / "out.png").width, read_picture(tmp_path / "out.png").height) == (200, 150)


def test_a_style_of_the_gallery_offline(installed, photo, tmp_path):
    write_picture(resize_picture(read_picture(photo), 200, 150), tmp_path / "photo.png")
    names = installed("-m", "impasto", "styles", "list").stdout.split("\n")
    assert len(names) > 32
    done = installed("-m", "impasto", "stylize", "photo.png", "-s", names[0].split()[0], "-o", "out.png", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert read_picture(tmp_path / "out.png").width == 200


def test_the_wheel_serves_the_page_of_the_tree(installed):
    done = installed("-c", PAGE)
    assert done.returncode == 0, done.stderr
    tree = subprocess.run([sys.executable, "-c", PAGE], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) > 12 and done.stdout == tree.stdout


def test_what_needs_more_says_so(installed, photo, painting):
    gatys = (
        "-m",
        "impasto",
        "stylize",
        photo,
        "-s",
        painting,
        "-o",
        "out.png",
        "--engine",
        "gatys",
        "--size",
        "64",
        "-q",
    )
    assert installed(*gatys, "--steps", "2").returncode == 0
    done = installed(*gatys, "--style-layers", "relu3_3")
    assert done.returncode == 2
    assert done.stderr == "error: style layer relu3_3 needs PyTorch: pip install 'impasto[torch]'\n"


@pytest.mark.skipif(sys.version_info[:2] > (3, 11), reason="the lowest versions have no wheels for newer Pythons")
def test_the_lowest_versions_that_are_named_suffice(wheel, photo, tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = [*project["dependencies"], *extras["client"], *extras["serve"]]
    named.remove("impasto[client]")
    lowest = [re.sub(r">=([\w.]+)(,<[\w.]+)?", r"==\1", each) for each in named]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", wheel, *lowest], check=True, timeout=300)
    write_picture(resize_picture(read_picture(photo), 200, 150), tmp_path / "photo.png")
    stylize = [python, "-m", "impasto", "stylize", "photo.png", "-s", "great-wave", "-o", "out.png", "-q"]
    subprocess.run(stylize, cwd=tmp_path, check=True)
    assert read_picture(tmp_path / "out.png").width == 200
    page = subprocess.run([python, "-c", PAGE], cwd=tmp_path, capture_output=True, text=True)
    assert len(page.stdout.splitlines()) > 12, page.stderr
    help_text = subprocess.run([python, "-m", "impasto", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert "Paint pictures in the style of others." in help_text.stdout


def test_the_weights_in_the_wheel_are_small(wheel):
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    weights = {name: size for name, size in sizes.items() if name.endswith((".safetensors", ".onnx"))}
    literature = {name: weights.pop(name) for name in list(weights) if name.split("/")[-3] in LITERATURE}
    descriptors = {name: weights.pop(name) for name in list(weights) if name.split("/")[-3] == "descriptors"}
    assert descriptors and sum(descriptors.values()) < 12e6, "the descriptors"
    assert weights and sum(weights.values()) < 7e6, "the network of the engine fast"
    assert literature and sum(literature.values()) < 6e6, "the networks of the literature"
