"""``impasto train``: the commands, on a folder of two pictures."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from impasto.cli.main import run
from impasto.training.data import is_held_out

pytestmark = pytest.mark.slow

CONDITIONAL = ["conditional", "--content", "{pictures}", "--style", "{pictures}"]


@pytest.fixture
def pictures(photo, painting, tmp_path):
    """A folder with one picture to train on and one that is kept from training."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = [f"{number}.jpg" for number in range(100)]
    (folder / next(name for name in names if is_held_out(folder / name))).write_bytes(photo.read_bytes())
    (folder / next(name for name in names if not is_held_out(folder / name))).write_bytes(painting.read_bytes())
    return folder


def train(*arguments):
    return run(["train", *map(str, arguments), "--quiet"])


@pytest.mark.usefixtures("stored_weights")
def test_compact(pictures, tmp_path, capsys):
    options = ["compact", "--data", pictures, "-o", tmp_path / "out", "--steps", 2, "--batch", 2, "--crop", 32]
    assert train(*options) == 0
    card = json.loads((tmp_path / "out" / "compact.json").read_text())
    assert card["recipe"]["options"]["steps"] == 2
    assert card["recipe"]["options"]["precision"] in {"float32", "bfloat16"}, "what was taken, not what was asked for"
    assert card["data"]["pictures"] == card["data"]["kept from training"] == 1
    assert json.loads(capsys.readouterr().out) == card["explained variance"]
    tensors = load_file(tmp_path / "out" / "compact.safetensors")
    assert sum(tensor.numel() for tensor in tensors.values()) == card["parameters"]


def test_conditional_and_resume(pictures, tmp_path):
    options = ["conditional", "--content", pictures, "--style", pictures, "--batch", 2, "--crop", 64]
    assert train(*options, "-o", tmp_path / "whole", "--steps", 3) == 0
    assert train(*options, "-o", tmp_path / "whole", "--steps", 4, "--resume") == 0
    rows = (tmp_path / "whole" / "losses.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["step", "1", "2", "3", "4"]
    card = json.loads((tmp_path / "whole" / "conditional.json").read_text())
    assert card["descriptor"]["name"] == "compact" and card["bytes"] < 6_000_000


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["compact", "--data", "nowhere"], 2, "nowhere is no folder with pictures"),
        (["compact", "--data", "{pictures}", "--crop", 16], 2, "crop is '16'; it should be greater than or"),
        ([*CONDITIONAL, "--crop", 100], 2, "crop is '100'; it should be a multiple of 8"),
        ([*CONDITIONAL, "--judge", "vgg91"], 2, "unknown descriptor 'vgg91'; did you mean 'vgg19'?"),
        (["texture"], 2, ""),
    ],
)
@pytest.mark.usefixtures("stored_weights")
def test_what_is_refused(pictures, tmp_path, capsys, arguments, code, sentence):
    given = [str(argument).replace("{pictures}", str(pictures)) for argument in arguments]
    assert train(*given, "-o", tmp_path / "out") == code
    error = capsys.readouterr().err
    assert error.startswith("error: ") and sentence in error and "Traceback" not in error
    assert error.count("\n") == 1


def test_conditional_starts_from_given_weights(pictures, checkpoint, tmp_path):
    options = ["conditional", "--content", pictures, "--style", pictures, "--batch", 2, "--crop", 64]
    assert train(*options, "-o", tmp_path, "--steps", 1, "--start", checkpoint, "--learning-rate", "1e-9") == 0
    given, trained = load_file(checkpoint), load_file(tmp_path / "conditional.safetensors")
    for name, tensor in given.items():
        torch.testing.assert_close(trained[name].float(), tensor.float(), atol=1e-3, rtol=1e-3)


def test_a_state_of_another_training_is_refused(pictures, tmp_path, capsys):
    options = ["conditional", "--content", pictures, "--style", pictures, "--crop", 64, "-o", tmp_path / "out"]
    assert train(*options, "--steps", 1, "--batch", 2) == 0
    capsys.readouterr()
    assert train(*options, "--steps", 1, "--batch", 2, "--seed", 3, "--resume") == 1
    assert "belongs to a training with other data or options" in capsys.readouterr().err
