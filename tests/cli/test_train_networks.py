"""``impasto train``: the networks of the literature, each in a few steps, and painted with afterwards."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from impasto.cli.main import run
from impasto.images import read_picture

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


def test_transformer(folders, photo, painting, capsys):
    out = folders / "out"
    data = ["--content", folders / "photos", "-s", painting]
    arguments = ["transformer", "-o", out, "--width", 4, "--blocks", 1, *JUDGE, *SMALL[2:-1]]
    assert train(*arguments, *data, "--steps", 2) == 0
    assert "1 pictures cannot be read and were skipped: damaged.jpg" in capsys.readouterr().err
    card = json.loads((out / "transformer.json").read_text())
    assert card["data"]["content"] == {"pictures": 2, "folders": ["photos"], "unreadable": ["damaged.jpg"]}
    assert card["recipe"]["options"]["width"] == 4 and card["style"] == ["swirls.jpg"]
    assert {path.name for path in out.iterdir()} >= {"losses.csv", "losses.png", "step-000002.png", "state.safetensors"}
    assert stylize(photo, out, "--engine", "transformer").metadata["engine"] == "transformer"
    first = load_file(out / "transformer.safetensors")
    assert train(*arguments, *data, "--steps", 3, "--resume") == 0
    again = load_file(out / "transformer.safetensors")
    assert any(not torch.equal(first[name], again[name]) for name in first)
    assert train(*arguments, *data[:2], "-s", photo, "--steps", 4, "--resume") == 1
    assert "belongs to a training with other data or options" in capsys.readouterr().err


def test_texture(folders, photo, painting):
    made, paints = folders / "made", folders / "paints"
    assert train("texture", "-s", f"{painting}:2", "-s", photo, "-o", made, "--width", 2, *JUDGE, *SMALL) == 0
    assert run(["texture", str(made), "-o", str(folders / "made.png"), "--size", "64x48", "-q"]) == 0
    content = ["--content", folders / "photos"]
    assert train("texture", "-s", painting, *content, "-o", paints, "--width", 2, *JUDGE, *SMALL) == 0
    assert stylize(photo, paints, "--engine", "texture-net").metadata["engine"] == "texture-net"


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


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--content", "nowhere", "-s", "{painting}"], 2, "nowhere is no folder with pictures"),
        (["--content", "{photos}", "-s", "nowhere.jpg"], 1, "nowhere.jpg does not exist; check the path"),
        (["--content", "{photos}", "-s", "{painting}", "--judge", "vgg91"], 2, "did you mean 'vgg19'?"),
        (["--content", "{photos}", "-s", "{painting}", "--norm", "none"], 2, "choose"),
        (["--content", "{photos}", "-s", "{painting}", "--style-layers", "relu6_1"], 2, "relu6_1"),
        (
            ["--content", "{damaged}", "-s", "{painting}"],
            2,
            "hardly a picture can be read, for example not damaged.jpg",
        ),
    ],
)
def test_wrong_inputs(folders, painting, arguments, code, sentence, capsys):
    (folders / "bad").mkdir()
    (folders / "photos" / "damaged.jpg").rename(folders / "bad" / "damaged.jpg")
    places = {"painting": painting, "photos": folders / "photos", "damaged": folders / "bad"}
    words = [argument.format(**places) for argument in arguments]
    judge = [] if "--judge" in words else JUDGE
    assert train("transformer", *words, "-o", folders / "out", *judge, *SMALL) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and sentence in error
    assert "Traceback" not in error


def test_two_processes_do_what_one_does(folders, painting):
    import subprocess

    command = ["train", "transformer", "--content", folders / "photos", "-s", painting, "--width", 4, "--blocks", 1]
    (folders / "photos" / "damaged.jpg").unlink()
    words = [*command, *JUDGE, *SMALL, "--precision", "float32"]
    assert run([*map(str, words), "-o", str(folders / "one")]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "impasto"]
    done = subprocess.run(
        [*launcher, *map(str, words), "-o", str(folders / "two")], capture_output=True, text=True, cwd=Path(folders)
    )
    assert done.returncode == 0, done.stderr
    one, two = (load_file(folders / name / "transformer.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        if name.endswith("bias"):
            continue  # before a normalisation it has no effect, and its gradient is rounding
        assert (two[name].float() - tensor.float()).abs().mean() < 3e-5, name
