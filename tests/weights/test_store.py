"""The store: what goes in comes out, damage is found, and missing weights come from a real local server."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import socket
import threading
import time

import pytest
import torch
from safetensors.torch import save_file

from impasto.errors import DownloadError, UnknownNameError, UsageError, WeightsError, WeightsFormatError
from impasto.weights.canonical import CAFFE, TORCHVISION
from impasto.weights.store import REMOTE_WEIGHTS, RemoteWeights, WeightsStore, default_store


@pytest.fixture(scope="module")
def pth(tmp_path_factory, constant, sequential):
    """A VGG16 file of torchvision's form, in a few kilobytes."""
    path = tmp_path_factory.mktemp("served") / "vgg16-small.pth"
    torch.save(sequential(constant("vgg16", ratio=0.8)), path)
    return path


@pytest.fixture
def store(folder):
    return WeightsStore(folder / "weights", remote={})


class Quiet(http.server.SimpleHTTPRequestHandler):
    requests: list[str]

    def do_GET(self):
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(pth):
    """Serve the folder of ``pth``; gives the base address and the list of requested paths."""
    handler = type("Handler", (Quiet,), {"requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(pth.parent)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.requests
    server.shutdown()
    server.server_close()
    thread.join()


def remote(pth, base):
    digest = hashlib.sha256(pth.read_bytes()).hexdigest()
    return {"vgg16": RemoteWeights(f"{base}/{pth.name}", digest, origin="made up", license="CC0-1.0")}


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_what_is_added_comes_back(store, folder, oxford, sequential):
    source = folder / "network.pth"
    torch.save(sequential(oxford), source)
    entry = store.add(source)
    assert store.entries() == [entry]
    assert (entry.name, entry.architecture, entry.source_format) == ("vgg19", "vgg19", "torch")
    assert entry.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert entry.mean == CAFFE.mean
    assert entry.size == entry.path.stat().st_size
    assert not entry.problem
    source.unlink()
    weights = store.load("vgg19", fetch_missing=False)
    assert (weights.architecture, weights.mean, weights.std) == ("vgg19", CAFFE.mean, CAFFE.std)
    assert weights.sha256 == entry.sha256
    assert torch.equal(weights.tensors["conv5_4.weight"], oxford["conv5_4.weight"])
    assert torch.equal(weights.tensors["conv1_1.weight"], oxford["conv1_1.weight"].flip(1))
    store.verify("vgg19")
    assert [path.name for path in store.folder.iterdir()] == ["vgg19.safetensors"]


def test_a_stored_file_can_be_added_elsewhere(store, folder, pth):
    first = store.add(pth, preprocessing="caffe")
    second = WeightsStore(folder / "other").add(first.path, "copy")
    assert (second.sha256, second.mean) == (first.sha256, CAFFE.mean)


def test_metadata_is_kept(store, folder, constant):
    source = folder / "network.safetensors"
    tensors = {name: tensor.contiguous() for name, tensor in constant("vgg16", ratio=0.8).items()}
    save_file(tensors, source, metadata={"origin": "here", "license": "CC-BY-4.0"})
    entry = store.add(source)
    assert (entry.origin, entry.license) == ("here", "CC-BY-4.0")
    weights = store.load("vgg16", fetch_missing=False)
    assert (weights.origin, weights.license) == ("here", "CC-BY-4.0")


def test_names_are_taken_once(store, pth):
    store.add(pth)
    with pytest.raises(UsageError, match="'vgg16' are stored already; choose another name, or rep"):
        store.add(pth)
    store.add(pth, "caffe-like", preprocessing="caffe")
    with pytest.raises(UsageError, match="'caffe-like' are stored already"):
        store.add(pth, "caffe-like")
    store.add(pth, "caffe-like", replace=True)
    assert [(entry.name, entry.mean) for entry in store.entries()] == [
        ("caffe-like", TORCHVISION.mean),
        ("vgg16", TORCHVISION.mean),
    ]


@pytest.mark.parametrize("name", ["auto", "compact"])
def test_names_that_mean_something_else(name, store, pth):
    with pytest.raises(UsageError, match="has a meaning of its own"):
        store.add(pth, name)


@pytest.mark.parametrize("name", ["VGG16", "../vgg16", ".vgg", "", "a b", "-x", "vgg16\n", "a.b", "a--b"])
def test_names_that_are_none(name, store, pth):
    with pytest.raises(UsageError, match="is not a name for weights; use small letters"):
        store.add(pth, name)
    assert not store.folder.exists()


def test_names_that_somebody_else_gave(store, pth):
    store.add(pth)
    (store.folder / "vgg16.safetensors").rename(store.folder / "VGG-1.0.safetensors")
    store.verify("VGG-1.0")
    assert store.load("VGG-1.0", fetch_missing=False).architecture == "vgg16"
    store.remove("VGG-1.0")
    assert store.entries() == []


def test_a_file_that_cannot_be_read_leaves_nothing(store, folder):
    (folder / "text").write_text("hello")
    with pytest.raises(WeightsFormatError, match="none of the formats"):
        store.add(folder / "text", "text")
    assert not store.folder.exists()


def test_a_folder_that_cannot_be_made(folder, pth):
    (folder / "file").write_text("")
    with pytest.raises(
        WeightsError,
        match=r"cannot write .*(exists|Not a directory); make room there or set IMPASTO_WEIGHTS_DIR",
    ):
        WeightsStore(folder / "file" / "weights").add(pth)


def test_remove(store, pth):
    store.add(pth)
    store.remove("vgg16")
    assert store.entries() == []
    with pytest.raises(UnknownNameError, match="unknown stored descriptor 'vgg16'; known: none"):
        store.remove("vgg16")


@pytest.mark.slow
def test_verify_finds_one_flipped_bit(store, pth):
    path = store.add(pth).path
    sound = path.read_bytes()
    # All over the header, whose metadata safetensors writes in an order of its own, and in the tensors.
    for offset in [*range(0, 1200, 60), 1_000_000, -1]:
        damaged = bytearray(sound)
        damaged[offset] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(
            WeightsError,
            match=r"'vgg16' are damaged \(.*; run 'impasto models remove vgg16' and fetch or add it",
        ):
            store.verify("vgg16")
    path.write_bytes(sound)
    store.verify("vgg16")


def test_verify_finds_truncation_and_list_shows_it(store, pth):
    entry = store.add(pth)
    with entry.path.open("r+b") as file:
        file.truncate(entry.size // 2)
    with pytest.raises(WeightsError, match=r"are damaged \(vgg16.safetensors is not a complete safetensors file"):
        store.verify("vgg16")
    assert "not a complete safetensors file" in store.entries()[0].problem
    with pytest.raises(WeightsFormatError, match="not a complete safetensors file"):
        store.load("vgg16", fetch_missing=False)


def test_a_foreign_file_in_the_folder(store, constant):
    store.folder.mkdir()
    tensors = {name: tensor.contiguous() for name, tensor in constant("vgg16", ratio=0.8).items()}
    save_file(tensors, store.folder / "mine.safetensors")
    assert store.entries()[0].problem == "mine.safetensors was not written by impasto"
    with pytest.raises(WeightsError, match=r"not written by impasto; move it elsewhere and run 'impasto models add"):
        store.load("mine", fetch_missing=False)
    with pytest.raises(WeightsError, match="recorded none"):
        store.verify("mine")


def test_fetch(folder, pth, served):
    base, requests = served
    store = WeightsStore(folder, remote=remote(pth, base))
    seen = []
    entry = store.fetch("vgg16", lambda *progress: seen.append(progress))
    assert (entry.name, entry.origin, entry.license) == ("vgg16", "made up", "CC0-1.0")
    assert seen[-1] == (pth.stat().st_size, pth.stat().st_size)
    store.verify("vgg16")
    assert [path.name for path in (folder / "downloads").iterdir() if path.suffix != ".lock"] == []
    assert store.fetch("vgg16") == entry
    assert len(requests) == 1


def test_load_fetches_what_is_missing(folder, pth, served):
    base, requests = served
    store = WeightsStore(folder, remote=remote(pth, base))
    with pytest.raises(
        WeightsError, match=r"not on this machine; run 'impasto models fetch vgg16', or 'impasto models add"
    ):
        store.load("vgg16", fetch_missing=False)
    assert requests == []
    assert store.load("vgg16", fetch_missing=True).mean == TORCHVISION.mean
    assert store.load("vgg16", fetch_missing=True).origin == "made up"
    assert len(requests) == 1


def test_mirrors_come_first(folder, pth, served):
    base, requests = served
    nowhere = f"http://127.0.0.1:{closed_port()}"
    store = WeightsStore(folder, remote=remote(pth, nowhere), mirrors=[f"{nowhere}/a", f"{base}/"])
    store.fetch("vgg16")
    assert requests == [f"/{pth.name}"]


def test_no_network(folder, pth):
    store = WeightsStore(folder, remote=remote(pth, f"http://127.0.0.1:{closed_port()}"))
    with pytest.raises(
        DownloadError, match=r"refuses connections .*fetch the file by hand and run 'impasto models add"
    ):
        store.load("vgg16", fetch_missing=True)
    assert store.entries() == []


def test_a_folder_that_cannot_be_written(folder, pth, served):
    (folder / ".vgg16.lock").mkdir()
    (folder / "mine.safetensors").mkdir()
    store = WeightsStore(folder, remote=remote(pth, served[0]))
    with pytest.raises(WeightsError, match=r"cannot write .*: Is a directory; make room there or set IMPASTO"):
        store.fetch("vgg16")
    with pytest.raises(WeightsError, match=r"cannot write .*mine\.safetensors: Is a directory"):
        store.add(pth, "mine", replace=True)
    with pytest.raises(WeightsError, match=r"cannot write .*mine\.safetensors: Is a directory"):
        store.remove("mine")
    assert {path.name for path in folder.iterdir()} == {".vgg16.lock", "mine.safetensors"}


def test_a_download_that_was_waited_for_in_vain_is_remembered_for_an_hour(folder, pth, served):
    base, requests = served
    nowhere = WeightsStore(folder / "weights", remote=remote(pth, "http://127.0.0.1:1"), long_seconds=0)
    asked = []
    with pytest.raises(DownloadError):
        nowhere.fetch("vgg16", lambda *progress: asked.append(progress))
    assert asked == [(0, None)], "said before anybody waits"
    assert nowhere.waits_in_vain("vgg16")
    marker = folder / "weights" / ".vgg16.unreachable"
    os.utime(marker, (time.time() - 4000,) * 2)
    assert not nowhere.waits_in_vain("vgg16")
    marker.touch()
    there = WeightsStore(folder / "weights", remote=remote(pth, base))
    there.fetch("vgg16")
    assert requests and not marker.exists() and not there.waits_in_vain("vgg16")


def test_a_failure_that_took_no_time_is_not_remembered(folder, pth):
    nowhere = WeightsStore(folder / "weights", remote=remote(pth, "http://127.0.0.1:1"))
    with pytest.raises(DownloadError):
        nowhere.fetch("vgg16")
    assert not nowhere.waits_in_vain("vgg16")


def test_unknown_names(folder, pth):
    store = WeightsStore(folder)
    store.add(pth, "my-own")
    with pytest.raises(UnknownNameError, match=r"unknown descriptor 'my-pwn'; did you mean 'my-own'\?"):
        store.load("my-pwn", fetch_missing=True)
    with pytest.raises(UnknownNameError, match=r"unknown descriptor 'vgg18'; did you mean 'vgg1[69]'\?"):
        store.fetch("vgg18")
    with pytest.raises(UnknownNameError, match="unknown stored descriptor 'vgg19'; known: my-own"):
        store.verify("vgg19")


def test_known_remote_weights():
    assert set(REMOTE_WEIGHTS) == {"vgg16", "vgg19"}
    source = REMOTE_WEIGHTS["vgg19"]
    assert source.url == "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    assert len(source.sha256) == 64 and source.sha256.startswith("dcbb9e9d")


def test_default_store(folder, monkeypatch):
    monkeypatch.setenv("IMPASTO_WEIGHTS_DIR", str(folder))
    monkeypatch.setenv("IMPASTO_WEIGHTS_MIRRORS", "https://one.example/models, ,https://two.example")
    store = default_store()
    assert store.folder == folder
    assert store.mirrors == ("https://one.example/models", "https://two.example")
    monkeypatch.delenv("IMPASTO_WEIGHTS_DIR")
    monkeypatch.delenv("IMPASTO_WEIGHTS_MIRRORS")
    assert default_store().folder.parts[-2:] == ("impasto", "weights")
    assert default_store().mirrors == ()


def test_replacing_does_not_disturb_weights_in_use(store, pth, folder, constant, sequential):
    store.add(pth)
    weights = store.load("vgg16", fetch_missing=False)
    before = weights.tensors["conv5_3.weight"].clone()
    other = folder / "other.pth"
    torch.save(sequential(constant("vgg16", ratio=0.7)), other)
    store.add(other, "vgg16", replace=True)
    assert torch.equal(weights.tensors["conv5_3.weight"], before)
    assert not torch.equal(store.load("vgg16", fetch_missing=False).tensors["conv5_3.weight"], before)
