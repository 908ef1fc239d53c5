from __future__ import annotations

import hashlib
import json

import pytest
import torch

import impasto.descriptors.catalog
from impasto.descriptors.catalog import load_descriptor
from impasto.descriptors.compact import COMPACT_LAYERS, COMPACT_WIDTHS, find_compact, load_compact
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.optimization import OptimizationEngine
from impasto.errors import DownloadError, ImageSizeError, UnknownNameError, UsageError
from impasto.images import LazyPicture, read_picture, resize_picture
from impasto.options import GatysOptions
from impasto.weights.store import RemoteWeights, WeightsStore

GRAPHS = {f"{what}_{of}" for what in ("see", "match") for of in ("layers", "hypercolumns")} | {
    "sum_statistics",
    "pull_statistics",
}


@pytest.fixture
def without_vgg(monkeypatch, tmp_path):
    """A machine without VGG19 and without a network."""
    remote = {"vgg19": RemoteWeights("http://127.0.0.1:9/vgg19-00000000.pth", 64 * "0", "nobody", "none")}
    monkeypatch.setattr(impasto.descriptors.catalog, "default_store", lambda: WeightsStore(tmp_path, remote=remote))


def paint(photo, painting, **options):
    content, style = (resize_picture(read_picture(path), 64, 48) for path in (photo, painting))
    notes = []
    engine = OptimizationEngine(GatysOptions(steps=3, **options))
    picture = engine.stylize(
        StylizeInputs(LazyPicture.of(content), (Style(style),)), on_step=lambda step: notes.append(step.note)
    )
    return picture, notes


@pytest.mark.parametrize(("name", "most"), [("compact", 2_500_000), ("wide", 6_500_000)])
def test_the_card_belongs_to_the_weights(name, most):
    weights = find_compact(name)
    card, data = json.loads(weights.with_suffix(".json").read_text()), weights.read_bytes()
    assert card["sha256"] == hashlib.sha256(data).hexdigest() == load_compact(weights).identity
    assert card["bytes"] == len(data) < most
    assert card["license"] == "Apache-2.0"
    assert set(card["explained variance"]) >= set(COMPACT_LAYERS)
    assert {path.stem for path in weights.parent.glob("*.onnx")} == GRAPHS


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_computes_every_layer_and_no_other(precision):
    descriptor = load_compact(precision=precision)
    features = descriptor.forward(torch.rand(2, 3, 64, 96), COMPACT_LAYERS)
    for layer, found in features.items():
        depth = int(layer[4]) - 1
        channels = COMPACT_WIDTHS[layer.replace("relu", "conv")] + 1
        assert found.shape == (2, channels, 64 >> depth, 96 >> depth)
        assert descriptor.channels(layer) == channels
    with pytest.raises(UnknownNameError, match=r"unknown layer of compact 'pool4'; known: relu1_1, "):
        descriptor.forward(torch.rand(1, 3, 64, 64), ["pool4"])
    with pytest.raises(ImageSizeError, match="image is 20x20; relu5_1 needs at least 32x32"):
        descriptor.forward(torch.rand(1, 3, 20, 20), ["relu5_1"])


def test_sees_what_vgg19_sees(shared, stored_weights, photo):
    image = torch.from_numpy(read_picture(photo).pixels).permute(2, 0, 1)[None]
    wanted = load_descriptor("vgg19").forward(image, COMPACT_LAYERS)
    found = load_compact(full=COMPACT_LAYERS).forward(image, COMPACT_LAYERS)
    for layer, least in {"relu1_1": 0.97, "relu2_1": 0.7, "relu3_1": 0.5, "relu4_1": 0.5}.items():
        error = (found[layer] - wanted[layer]).square().sum()
        variance = (wanted[layer] - wanted[layer].mean((0, 2, 3), keepdim=True)).square().sum()
        assert 1 - error / variance > least


def test_auto_is_compact_where_there_is_no_vgg19_and_says_so(without_vgg, photo, painting):
    picture, notes = paint(photo, painting)
    assert picture.metadata["descriptor"].startswith("compact sha256:")
    assert notes == [
        "VGG19 is not on this machine and cannot be fetched; painting with the compact descriptor",
        "",
        "",
    ]


def test_vgg19_by_name_is_not_replaced(without_vgg, photo, painting):
    with pytest.raises(DownloadError):
        paint(photo, painting, descriptor="vgg19")


def test_compact_by_name_needs_no_note(without_vgg, photo, painting):
    assert paint(photo, painting, descriptor="compact")[1] == ["", "", ""]


def test_a_layer_that_compact_lacks_is_refused(photo, painting):
    with pytest.raises(UnknownNameError, match=r"unknown layer of compact 'pool4'; known: relu1_1, "):
        paint(photo, painting, descriptor="compact", content_layers="pool4")


def test_filters_of_compact_are_not_rescaled(photo, painting):
    with pytest.raises(UsageError, match="rescaled activations need VGG19 or VGG16; compact is neither"):
        paint(photo, painting, descriptor="compact", rescale_activations=True)
