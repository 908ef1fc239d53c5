"""``impasto train classifier`` on pictures that anybody can tell apart."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from impasto.cli.main import run
from impasto.images import read_picture, write_picture
from impasto.types import Picture

pytestmark = pytest.mark.slow

SMALL = {"--crop": 32, "--width": 0.0625, "--batch": 8, "--dropout": 0, "--learning-rate": 0.003}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Sixty pictures each of stripes along, stripes across, and noise."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:44, 0:44]
    for name, angle in (("across", 0), ("along", 1), ("noise", None)):
        (folder / name).mkdir()
        for number in range(60):
            wave = np.sin((columns if angle else rows) * random.uniform(0.6, 1.2) + random.uniform(0, 6))
            grey = random.random((44, 44)) if angle is None else 0.5 + 0.4 * wave
            pixels = np.repeat(grey[:, :, None], 3, axis=2).astype(np.float32)
            write_picture(Picture(pixels), folder / name / f"{number}.png")
    return folder


def command(data, output, *arguments):
    """The words after ``impasto``; the arguments win over the small size of everything."""
    given = {*arguments, "--width"} if "--start" in arguments else {*arguments}
    small = [word for option, value in SMALL.items() if option not in given for word in (option, value)]
    return list(map(str, ["train", "classifier", "--data", data, "-o", output, "--quiet", *small, *arguments]))


def train(data, output, *arguments):
    return run(command(data, output, *arguments))


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    code = train(data, folder, "--epochs", 12, "--batch-norm")
    return code, folder


def test_it_learns_and_tells_everything_about_it(trained):
    code, folder = trained
    assert code == 0
    card = json.loads((folder / "descriptor.json").read_text())
    assert card["results"]["test accuracy"] > 0.8
    assert card["data"] == {
        "classes": ["across", "along", "noise"],
        "pictures": {"train": 126, "validation": 36, "test": 18},
    }
    assert len(rows(folder / "losses.csv")) == 12 * 16
    assert len(rows(folder / "validation.csv")) == 12
    table = rows(folder / "classes.csv")
    assert [row["class"] for row in table] == ["across", "along", "noise"]
    assert all(row["pictures"] == "6" for row in table)
    for name in ("losses.png", "accuracy.png", "confusion.png", "mistakes.png"):
        assert read_picture(folder / name).width > 100
    assert (folder / "report.txt").read_text().startswith("180 pictures in 3 classes\n")
    assert len(json.loads((folder / "split.json").read_text())["train"]) == 126


def test_what_was_learned_is_a_descriptor(trained, data, photo, painting, tmp_path, monkeypatch):
    _, folder = trained
    monkeypatch.setenv("IMPASTO_WEIGHTS_DIR", str(tmp_path / "weights"))
    assert run(["models", "add", str(folder / "descriptor.safetensors"), "--name", "stripes"]) == 0
    layers = ["--content-layers", "relu2_2", "--style-layers", "relu1_1,relu3_1"]
    paint = ["stylize", str(photo), "-s", str(painting), "-o", str(tmp_path / "out.png"), "--engine", "gatys"]
    assert run([*paint, "--descriptor", "stripes", "--steps", "2", "--size", "48", "-q", *layers]) == 0
    assert read_picture(tmp_path / "out.png").width == 48


def test_its_activations_have_a_mean_of_one(trained, data):
    from impasto.descriptors.catalog import load_vgg

    network = load_vgg(str(trained[1] / "descriptor.safetensors"))
    pictures = [read_picture(path).pixels for path in sorted(data.rglob("*.png"))[::3]]
    images = torch.stack([torch.from_numpy(pixels[6:38, 6:38].transpose(2, 0, 1).copy()) for pixels in pictures])
    for layer, activations in network.forward(images, ["relu1_1", "relu2_1"]).items():
        assert 0.7 < float(activations.mean()) < 1.4, layer


def test_registers_by_itself_and_fine_tunes_what_is_registered(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("IMPASTO_WEIGHTS_DIR", str(tmp_path / "weights"))
    assert train(data, tmp_path / "one", "--steps", 2, "--register", "mine") == 0
    assert run(["models", "list"]) == 0
    assert "mine" in capsys.readouterr().out
    tuned = ["--steps", 2, "--start", "mine", "--freeze", 4]
    assert train(data, tmp_path / "two", *tuned) == 0
    assert train(data, tmp_path / "three", *tuned, "--width", "1") == 2
    assert "architecture and width are those of the weights to start from" in capsys.readouterr().err
    assert train(data, tmp_path / "four", "--register", "mine") == 2
    assert "weights 'mine' are stored already; choose another name, or remove them first" in capsys.readouterr().err


def test_a_kill_loses_nothing(data, tmp_path):
    arguments = ["--steps", 9, "--checkpoint-every", 4, "--dropout", "0.3"]
    assert train(data, tmp_path / "whole", *arguments) == 0
    code = (
        "import os\n"
        "from impasto.training.classification import Classification\n"
        "losses = Classification.losses\n"
        "Classification.losses = lambda self, step, batch: (\n"
        "    os.kill(os.getpid(), 9) if step == 6 else losses(self, step, batch)\n"
        ")\n"
        "from impasto.cli.main import main; main()"
    )
    words = command(data, tmp_path / "parts", *arguments)
    killed = subprocess.run([sys.executable, "-c", code, *words], capture_output=True)
    assert killed.returncode == -9
    assert train(data, tmp_path / "parts", *arguments, "--resume") == 0
    whole, parts = (load_file(tmp_path / name / "descriptor.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert [row["total"] for row in rows(tmp_path / "whole" / "losses.csv")] == [
        row["total"] for row in rows(tmp_path / "parts" / "losses.csv")
    ]


def test_two_processes_do_what_one_does(data, tmp_path):
    arguments = ["--steps", "3", "--precision", "float32"]
    assert train(data, tmp_path / "one", *arguments) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "impasto"]
    words = [*launcher, *command(data, tmp_path / "two", *arguments)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "descriptor.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4)
    assert len(done.stdout.splitlines()) == 1


def test_it_ends_early_when_validation_gets_no_better(data, tmp_path):
    assert train(data, tmp_path, "--epochs", 40, "--batch-norm", "--patience", 2) == 0
    validations = rows(tmp_path / "validation.csv")
    assert len(validations) < 40
    best = max(float(row["score"]) for row in validations)
    assert [float(row["score"]) for row in validations][-3] == best


def test_presets_are_the_sources():
    from impasto.options.training import ClassifierTrainingOptions

    thesis = ClassifierTrainingOptions.parse({"preset": "thesis"})
    assert (thesis.optimizer, thesis.learning_rate, thesis.batch) == ("rmsprop", 1e-4, 16)
    report = ClassifierTrainingOptions.parse({"preset": "report", "learning_rate": 0.02})
    assert (report.optimizer, report.learning_rate, report.initialization) == ("sgd", 0.02, "gaussian")


def test_a_training_goes_on_with_its_own_options_only(data, tmp_path, capsys):
    assert train(data, tmp_path, "--steps", 2) == 0
    assert train(data, tmp_path, "--steps", 4, "--resume") == 0
    assert train(data, tmp_path, "--steps", 6, "--resume", "--optimizer", "rmsprop") == 1
    assert "belongs to a training with other data or options" in capsys.readouterr().err


def test_two_processes_end_at_the_same_step(data, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "impasto"]
    words = [*launcher, *command(data, tmp_path, "--epochs", 30, "--batch-norm", "--patience", 1)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "validation.csv")) < 30
