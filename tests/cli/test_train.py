"""``impasto train``: the commands, on a folder of two pictures."""

from __future__ import annotations

import json
import shutil

import onnx
import pytest
import torch
from safetensors.torch import load_file

from impasto.cli.main import run
from impasto.descriptors.compact import BUNDLED
from impasto.networks.checkpoint import load_any_network
from impasto.runtimes.export import LARGEST_DIFFERENCE, largest_difference
from impasto.training.data import is_held_out
from impasto.training.stylizer import ConditionalTraining

pytestmark = pytest.mark.slow


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


@pytest.mark.usefixtures("stored_weights")
def test_compact_goes_on_from_earlier_weights(pictures, tmp_path, capsys):
    options = ["compact", "--data", pictures, "--steps", 1, "--batch", 2, "--crop", 32]
    assert train(*options, "-o", tmp_path / "none", "--start", tmp_path / "missing.safetensors") == 1
    assert capsys.readouterr().err == "error: there is no file 'missing.safetensors' with weights; check the path\n"
    assert train(*options, "-o", tmp_path / "out", "--start", BUNDLED, "--kept", 1, "--learning-rate", "1e-9") == 0
    card = json.loads((tmp_path / "out" / "compact.json").read_text())
    assert card["start"] == BUNDLED.name and str(BUNDLED) not in json.dumps(card)
    given, trained = load_file(BUNDLED), load_file(tmp_path / "out" / "compact.safetensors")
    torch.testing.assert_close(trained["conv4_1.weight"].float(), given["conv4_1.weight"].float(), atol=1e-3, rtol=1e-3)


def test_conditional_starts_from_given_weights_and_is_resumed(
    pictures, checkpoint, tmp_path, interrupted_when_drawing, capsys
):
    out = tmp_path / "out"
    options = ["conditional", "--content", pictures, "--style", pictures, "-o", out, "--batch", 2, "--crop", 64]
    options += ["--start", checkpoint, "--learning-rate", "1e-9"]
    with interrupted_when_drawing(ConditionalTraining):
        assert train(*options, "--steps", 1) == 130
    capsys.readouterr()
    before, logged = {path.name: path.read_bytes() for path in out.iterdir()}, (out / "losses.csv").read_text()
    assert train(*options, "--steps", 1) == 2
    assert capsys.readouterr().err == (
        f"error: {out} holds a training; go on with it by --resume, or name another folder\n"
    )
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    # Weights alone are not overwritten either, least of all those that the training begins with.
    (tmp_path / "weights").mkdir()
    own = shutil.copy(checkpoint, tmp_path / "weights" / "conditional.safetensors")
    same = ["conditional", "--content", pictures, "--style", pictures, "-o", own.parent, "--start", own, "--steps", 1]
    assert train(*same) == 2
    assert f"error: {own.parent} holds a training" in capsys.readouterr().err
    assert own.read_bytes() == checkpoint.read_bytes()
    assert train(*options, "--steps", 2, "--resume") == 0
    head, row = (out / "losses.csv").read_text().split(logged)
    assert (head, row.partition(",")[0]) == ("", "2"), "it went on where it was"
    given, trained = load_file(checkpoint), load_file(out / "conditional.safetensors")
    for name, tensor in given.items():
        torch.testing.assert_close(trained[name].float(), tensor.float(), atol=1e-3, rtol=1e-3)
    card = json.loads((out / "conditional.json").read_text())
    assert card["descriptor"]["name"] == "compact" and card["bytes"] < 6_000_000
    the_graphs_do_what_the_network_does(out)
    capsys.readouterr()
    assert train(*options, "--steps", 2, "--seed", 3, "--resume") == 1
    assert "belongs to a training with other data or options" in capsys.readouterr().err


def the_graphs_do_what_the_network_does(folder):
    network = load_any_network(folder / "conditional.safetensors")
    for graph in network.graphs():
        path = folder / f"{graph.name}.onnx"
        assert largest_difference(graph, path) < LARGEST_DIFFERENCE
        onnx.checker.check_model(path)
        assert path.stat().st_size < 5_000_000
        assert b".py" not in path.read_bytes()  # nothing of the machine that exported it
    operators = {node.op_type for node in onnx.load(folder / "render.onnx").graph.node}
    assert not {operator for operator in operators if operator.startswith("Reduce")}
    assert "InstanceNormalization" not in operators
