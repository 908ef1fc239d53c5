"""``impasto models`` as a user calls it, on a folder of its own."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import math
import os
import pty
import re
import subprocess
import sys
import threading

import pytest
import torch
from safetensors.torch import save_file

from impasto.cli import main
from impasto.cli.models import app
from impasto.descriptors.vgg import layer_names
from impasto.errors import UnknownNameError, UsageError, WeightsFormatError
from impasto.weights.canonical import tensor_shapes
from impasto.weights.store import RemoteWeights, WeightsStore


@pytest.fixture
def weights_dir(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    monkeypatch.setenv("IMPASTO_WEIGHTS_DIR", str(folder))
    # A mirror that cannot exist: no test may reach the real address.
    monkeypatch.setenv("IMPASTO_WEIGHTS_MIRRORS", "")
    yield folder
    for path in folder.glob("*.safetensors"):
        path.unlink()  # 60 MB each


@pytest.fixture
def pth(tmp_path):
    """VGG16 in torchvision's form; all filters of a layer are one number, so the file is small."""

    def write(ratio):
        layers = layer_names("vgg16")
        state = {}
        for name, shape in tensor_shapes("vgg16").items():
            layer, kind = name.split(".")
            size = 0.2 if layer == "conv1_1" else ratio * math.sqrt(2 / (9 * shape[0]))
            state[f"features.{layers.index(layer)}.{kind}"] = torch.full((1,), size).expand(shape)
        path = tmp_path / "network.pth"
        torch.save(state, path)
        return path

    return write


def run(*arguments):
    return app([str(a) for a in arguments], exit_on_error=False, result_action="return_value")


def test_the_life_of_a_file(weights_dir, pth, capsys):
    run("list")
    assert capsys.readouterr().out.splitlines() == [
        "in this package:",
        "  compact          a narrow VGG19, distilled by this project",
        "  wide             a wider one, which takes twice as long and sees more",
        f"in {weights_dir}:",
        "  vgg16            not on this machine; impasto models fetch vgg16",
        "  vgg19            not on this machine; impasto models fetch vgg19",
    ]
    run("add", pth(0.8))
    added = capsys.readouterr().out
    assert re.search(r"^added\n  vgg16 +vgg16 +56 MiB  from torch +sha256 [0-9a-f]{8}$", added, re.MULTILINE)
    run("list")
    listed = capsys.readouterr().out
    assert added.splitlines()[1] in listed
    assert "impasto models fetch vgg16" not in listed
    assert run("verify") == 0
    assert capsys.readouterr().out == "vgg16: ok\n"
    run("remove", "vgg16")
    assert capsys.readouterr().out == "removed vgg16\n"
    assert not (weights_dir / "vgg16.safetensors").exists()


def test_json(weights_dir, pth, capsys):
    run("add", pth(0.8), "--name", "mine", "--preprocessing", "caffe")
    capsys.readouterr()
    run("list", "--json")
    listed = json.loads(capsys.readouterr().out)
    assert listed["fetchable"] == ["vgg16", "vgg19"]
    (entry,) = listed["stored"]
    assert (entry["name"], entry["architecture"], entry["problem"]) == ("mine", "vgg16", "")
    assert entry["path"] == str(weights_dir / "mine.safetensors")
    assert entry["mean"][0] == pytest.approx(123.68 / 255)
    assert run("verify", "mine", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"mine": {"ok": True, "problem": ""}}


def test_verify_exits_with_1_on_damage(weights_dir, pth, capsys):
    run("add", pth(0.8), "--name", "good")
    run("add", pth(0.8), "--name", "bad")
    path = weights_dir / "bad.safetensors"
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    capsys.readouterr()
    assert run("verify") == 1
    bad, good = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"bad: weights 'bad' are damaged .* run 'impasto models remove bad' and .*", bad)
    assert good == "good: ok"
    assert run("verify", "good") == 0
    assert run("verify", "bad", "good", "--json") == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["bad"]["ok"] is False
    run("list")
    assert "good" in capsys.readouterr().out


def test_list_shows_what_is_unusable(weights_dir, capsys):
    weights_dir.mkdir()
    (weights_dir / "vgg19.safetensors").write_text("nonsense")
    run("list")
    assert "vgg19            unusable: vgg19.safetensors is not a complete safetensors file" in capsys.readouterr().out


def test_errors_reach_the_caller(weights_dir, pth):
    unclear = pth(0.55)
    with pytest.raises(WeightsFormatError, match="state its preprocessing: torchvision or"):
        run("add", unclear)
    run("add", unclear, "--preprocessing", "torchvision")
    with pytest.raises(UsageError, match="stored already; choose another name, or replace them"):
        run("add", unclear, "--preprocessing", "torchvision")
    run("add", unclear, "--preprocessing", "torchvision", "--replace")
    with pytest.raises(UnknownNameError, match="unknown descriptor 'vgg20'; did you mean 'vgg1"):
        run("fetch", "vgg20")
    with pytest.raises(UnknownNameError, match="unknown stored descriptor 'vgg19'; did you mean 'vgg16'"):
        run("remove", "vgg19")
    with pytest.raises(UnknownNameError, match="unknown stored descriptor 'vgg19'"):
        run("verify", "vgg19")


def test_fetch_of_what_is_there_needs_no_network(weights_dir, pth, capsys):
    run("add", pth(0.8))
    capsys.readouterr()
    run("fetch", "vgg16")
    assert capsys.readouterr().out == f"vgg16: 56 MiB in {weights_dir / 'vgg16.safetensors'}\n"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(pth):
    """A real server with a small VGG16; gives address and digest."""
    path = pth(0.8)
    handler = functools.partial(Quiet, directory=str(path.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest()
    server.shutdown()
    server.server_close()
    thread.join()


def test_fetch_writes_lines_into_a_pipe(weights_dir, server, capsys, monkeypatch):
    remote = {"vgg16": RemoteWeights(*server, origin="made up", license="CC0-1.0")}
    store = WeightsStore(weights_dir, remote=remote)
    monkeypatch.setattr("impasto.weights.store.default_store", lambda: store)
    run("fetch", "vgg16")
    said = capsys.readouterr()
    assert set(said.err.splitlines()) == {
        "vgg16: fetching weights that are not on this machine ...",
        "vgg16: fetching weights: 0 of 0 MiB",
    }
    assert said.out == f"vgg16: 56 MiB in {weights_dir / 'vgg16.safetensors'}\n"
    run("list")
    assert "made up" in capsys.readouterr().out


@pytest.mark.slow
def test_fetch_draws_a_bar_on_a_terminal(weights_dir, server):
    url, sha256 = server
    code = (
        "import sys, pathlib\n"
        "from impasto.cli.models import app\n"
        "from impasto.weights import store\n"
        "url, sha256, folder = sys.argv[1:]\n"
        "remote = {'vgg16': store.RemoteWeights(url, sha256, '', '')}\n"
        "own = store.WeightsStore(pathlib.Path(folder), remote=remote)\n"
        "store.default_store = lambda: own\n"
        "app(['fetch', 'vgg16'])\n"
    )
    outer, inner = pty.openpty()
    command = [sys.executable, "-c", code, url, sha256, str(weights_dir)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=inner, stderr=inner, env=environment) as process:
        os.close(inner)
        shown = b""
        try:
            while piece := os.read(outer, 4096):
                shown += piece
        except OSError:  # how Linux says that the other side has closed the terminal
            pass
    os.close(outer)
    assert process.returncode == 0
    assert "━" in shown.decode()
    assert "vgg16: 56 MiB in" in shown.decode()


def test_the_export_of_a_descriptor_says_what_to_do_with_it(tmp_path, capsys):
    path = tmp_path / "descriptor.safetensors"
    described = {"architecture": "vgg19", "mean": "[0, 0, 0]", "std": "[1, 1, 1]", "origin": "impasto train classifier"}
    save_file({"conv1_1.bias": torch.zeros(64)}, path, described)
    assert main.run(["export", str(path), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: descriptor.safetensors is a descriptor, which sees and does not paint; keep it by ")
    assert "'impasto models add'" in said
