"""What the bundled networks of the literature paint: no grids, no frames, nothing that shows tiles."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import impasto
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.catalog import engine_row
from impasto.engines.texture_net import TextureNetSynthesizer
from impasto.engines.tiling import Tiling
from impasto.images import LazyPicture, read_picture, resize_picture
from impasto.losses.functional import grid_share
from impasto.networks.adain import AdaINNetwork
from impasto.networks.checkpoint import load_network
from impasto.networks.sanet import SANetwork
from impasto.networks.texture import TextureNetwork
from impasto.networks.transformer import TransformerNetwork
from impasto.options import TextureNetSynthesisOptions
from impasto.runtimes.network_folder import bundled_networks

pytestmark = pytest.mark.slow

KINDS = {"transformer": TransformerNetwork, "texture": TextureNetwork, "adain": AdaINNetwork, "sanet": SANetwork}
NETWORKS = [(architecture, name) for architecture in KINDS for name in sorted(bundled_networks(architecture))]
TEXTURES = [name for architecture, name in NETWORKS if architecture == "texture"]
EXAMPLE = Path(__file__).parents[2] / "examples" / "networks" / "to-pointillism"
PAINTERS = [*(each for each in NETWORKS if each[0] != "texture"), ("transformer", str(EXAMPLE))]


@pytest.fixture(scope="module")
def contents(photo):
    names = ("harbour", "still-life", "glass")
    return [resize_picture(read_picture(photo.with_name(f"{name}.jpg")), 384, 288) for name in names]


def tensor(pixels):
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]


def texture(name, width, height, *, tileable=False, seed=0):
    maker = TextureNetSynthesizer(TextureNetSynthesisOptions(network=name, seed=seed, precision="float32"))
    strips = maker.synthesize(width, height, tileable=tileable, on_step=lambda step: None)
    return np.concatenate([strip.pixels for strip in strips])


@pytest.fixture(scope="module")
def paint(painting):
    def painted(engine, content, name, **options):
        styles = [] if engine == "transformer" else [str(painting)]
        return impasto.stylize(content, styles, engine=engine, network=name, **options).pixels

    return painted


def test_there_are_some():
    assert len(TEXTURES) >= 2 and {engine for engine, _ in PAINTERS} == {"transformer", "adain", "sanet"}


@pytest.mark.parametrize(("engine", "name"), PAINTERS)
def test_a_network_paints_without_grids_and_frames(contents, paint, engine, name):
    for content in contents:
        painted = paint(engine, content, name)
        assert painted.shape == content.pixels.shape and np.abs(painted - content.pixels).mean() > 0.05
        for period in (2, 4):
            natural = float(grid_share(tensor(content.pixels), period))
            assert float(grid_share(tensor(painted), period)) < max(1.5 * natural, natural + 0.02)
        edge = np.concatenate([painted[:3], painted[-3:]]).mean((0, 1))
        beside = np.concatenate([painted[3:12], painted[-12:-3]]).mean((0, 1))
        given = np.concatenate([content.pixels[:3], content.pixels[-3:]]).mean((0, 1))
        given -= np.concatenate([content.pixels[3:12], content.pixels[-12:-3]]).mean((0, 1))
        assert np.abs(edge - beside - given).max() < 0.08


@pytest.mark.parametrize(("engine", "name"), PAINTERS)
def test_tiles_leave_no_trace(contents, painting, engine, name):
    styles = () if engine == "transformer" else (Style(read_picture(painting)),)
    inputs, row = StylizeInputs(LazyPicture.of(contents[0]), styles), engine_row(engine)
    options = row.options(network=name, precision="float32")
    whole, tiled = (
        row.load()(options, tiling=tiling).stylize(inputs, on_step=lambda step: None).pixels
        for tiling in (Tiling(), Tiling(((96, 128),), undivided=0))
    )
    assert np.abs(tiled - whole).max() < 1 / 255


@pytest.mark.parametrize("engine", ["adain", "sanet"])
def test_any_style_is_followed(contents, paint, engine, photo, painting):
    warm, cold = (impasto.stylize(contents[0], str(style), engine=engine).pixels for style in (painting, photo))
    wanted = read_picture(painting).pixels.mean((0, 1)) - read_picture(photo).pixels.mean((0, 1))
    got = warm.mean((0, 1)) - cold.mean((0, 1))
    assert float(wanted @ got) > 0.2 * float(wanted @ wanted), "its colours are those of the style"


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_differ_by_seed_and_not_by_place(name):
    one, other = texture(name, 384, 384), texture(name, 384, 384, seed=1)
    assert np.abs(one - other).mean() > 0.05
    np.testing.assert_allclose(one.mean((0, 1)), other.mean((0, 1)), atol=0.05)
    assert one.std((0, 1)).min() > 0.05
    quarters = [one[y : y + 192, x : x + 192].mean((0, 1)) for y in (0, 192) for x in (0, 192)]
    assert np.std(quarters, axis=0).max() < 0.06
    for period in (2, 4, 8, 16):
        assert float(grid_share(tensor(one), period)) < 0.1


@pytest.mark.parametrize("name", TEXTURES)
def test_a_tile_goes_on_beyond_its_edge(name):
    tile = texture(name, 256, 192, tileable=True)
    for axis in (0, 1):
        around = np.concatenate([tile, tile.take([0], axis)], axis)
        steps = np.abs(np.diff(around, axis=axis)).mean((1 - axis, 2))
        assert steps[-1] < np.quantile(steps[:-1], 0.95)


@pytest.mark.parametrize(("architecture", "name"), [*NETWORKS, ("transformer", str(EXAMPLE))])
def test_the_cards_tell_the_truth(architecture, name):
    folder = bundled_networks(architecture).get(name, EXAMPLE)
    weights = folder / f"{architecture}.safetensors"
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert card["license"] == "Apache-2.0" and card["recipe"]["command"].startswith("impasto train")
    styles = card["data"].get("style") or card["data"].get("b") or {"pictures": 0}
    assert card.get("style") or styles["pictures"] > 200
    with safe_open(weights, "np") as file:
        assert sum(file.get_tensor(key).size for key in file.keys()) == card["parameters"]  # noqa: SIM118
    load_network(weights, KINDS[architecture])
    for path in folder.iterdir():
        assert b".py" not in path.read_bytes(), path.name
