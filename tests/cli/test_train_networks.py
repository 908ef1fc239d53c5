"""``impasto train``: the networks of the literature, each in a few steps, and painted with afterwards."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from impasto.cli.main import run
from impasto.images import read_picture
from impasto.training.painting import PaintingTraining

pytestmark = pytest.mark.slow

SMALL = ["--steps", 2, "--batch", 2, "--crop", 64, "--warmup", 1, "--quiet"]
JUDGE = ["--judge", "compact"]


@pytest.fixture
def folders(photo, painting, tmp_path):
    """Photographs, one of them damaged, and paintings; none of these names is kept from training."""
    for folder, source in (("photos", photo), ("paintings", painting)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "b.jpg").write_bytes(source.read_bytes())
    (tmp_path / "photos" / "damaged.jpg").write_bytes(photo.read_bytes()[:300])
    return tmp_path


def train(*arguments):
    return run(["train", *map(str, arguments)])


def stylize(photo, folder, *arguments):
    out = folder.parent / "painted.png"
    assert run(["stylize", str(photo), "-o", str(out), "--network", str(folder), "--size", "80", "-q", *arguments]) == 0
    return read_picture(out)


def test_transformer(folders, photo, painting, interrupted_when_drawing, capsys):
    """What two processes train, export and paint with is what one process trains, and that can be resumed."""
    one, two = folders / "one", folders / "two"
    data = ["--content", folders / "photos", "-s", painting]
    options = ["transformer", "--width", 4, "--blocks", 1, *JUDGE, *SMALL[2:-1], "--precision", "float32"]
    with interrupted_when_drawing(PaintingTraining):
        assert train(*options, "-o", one, *data, "--steps", 2) == 130
    first, rows = load_file(one / "state.safetensors"), (one / "losses.csv").read_text()
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "impasto", "train"]
    words = [*launcher, *map(str, [*options, "-o", two, *data, "--steps", 2])]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folders)
    assert done.returncode == 0, done.stderr
    assert "1 pictures cannot be read and were skipped: damaged.jpg" in done.stderr
    for name, tensor in load_file(two / "transformer.safetensors").items():
        if not name.endswith("bias"):  # before a normalisation it has no effect, and its gradient is rounding
            expected = first[f"average.module.{name}"].half()  # as they are written
            assert (tensor.float() - expected.float()).abs().mean() < 3e-5, name
    card = json.loads((two / "transformer.json").read_text())
    assert card["data"]["content"] == {"pictures": 2, "folders": ["photos"], "unreadable": ["damaged.jpg"]}
    assert card["recipe"]["options"]["width"] == 4 and card["style"] == ["swirls.jpg"]
    assert {path.name for path in two.iterdir()} >= {"losses.csv", "losses.png", "step-000002.png", "state.safetensors"}
    assert stylize(photo, two, "--engine", "transformer").metadata["engine"] == "transformer"
    with interrupted_when_drawing(PaintingTraining):
        assert train(*options, "-o", one, *data, "--steps", 3, "--resume") == 130
    head, row = (one / "losses.csv").read_text().split(rows)
    assert (head, row.partition(",")[0]) == ("", "3"), "it went on where it was"
    again = load_file(one / "state.safetensors")
    assert any(not torch.equal(first[name], again[name]) for name in first if name.startswith("network."))
    assert train(*options, "-o", one, *data[:2], "-s", photo, "--steps", 4, "--resume") == 1
    assert "belongs to a training with other data or options" in capsys.readouterr().err


def test_texture(folders, photo, painting):
    """With --content it is trained in tests/engines/test_every_engine.py."""
    made = folders / "made"
    assert train("texture", "-s", f"{painting}:2", "-s", photo, "-o", made, "--width", 2, *JUDGE, *SMALL) == 0
    assert run(["texture", str(made), "-o", str(folders / "made.png"), "--size", "64x48", "-q"]) == 0


@pytest.mark.parametrize("name", ["adain", "sanet"])
def test_networks_with_an_encoder(folders, photo, painting, name):
    out = folders / "out"
    data = ["--content", folders / "photos", "--style", folders / "paintings"]
    assert train(name, *data, "-o", out, *SMALL) == 0
    assert stylize(photo, out, "--engine", name, "-s", str(painting)).metadata["engine"] == name


def test_cyclegan(folders, photo):
    out = folders / "out"
    data = ["--domain-a", folders / "photos", "--domain-b", folders / "paintings"]
    small = ["--width", 4, "--blocks", 1, "--discriminator", 4]
    assert train("cyclegan", *data, "-o", out, *small, *SMALL) == 0
    for direction in ("a-to-b", "b-to-a"):
        assert stylize(photo, out / direction, "--engine", "transformer").metadata["engine"] == "transformer"
