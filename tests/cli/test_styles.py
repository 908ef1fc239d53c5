"""The gallery from the command line."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import impasto
from impasto.cli.main import run
from impasto.descriptors.compact import load_compact
from impasto.engines.fast import Noise
from impasto.errors import StyleError
from impasto.gallery import StyleCatalog, read_style_file, write_style_file
from impasto.images import read_picture, resize_picture, write_picture
from impasto.networks.checkpoint import load_network
from impasto.networks.conditional import NOISE_CHANNELS, STYLE_LAYERS, ConditionalStylizer
from impasto.training.stylizer import style_distance


@pytest.fixture(scope="module")
def swirls(folder, painting, compiled, tmp_path_factory):
    """The file of a style that was learned for two steps."""
    place = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        patch.setenv("IMPASTO_STYLES_DIR", str(place / "styles"))
        write_picture(resize_picture(read_picture(painting), 120, 90), "The Swirls.png")
        quick = ["--steps", "2", "--side", "64", "--crop", "64", "--batch", "1", "--judge", "compact"]
        facts = ["--title", "Swirls", "--artist", "nobody", "--year", "2026", "--license", "Apache-2.0"]
        assert run(["styles", "learn", "The Swirls.png", "--network", str(folder), *quick, *facts]) == 0
    return place / "styles" / "the-swirls.style"


@pytest.fixture
def learned(swirls, tmp_path, monkeypatch):
    """This style, in the gallery of this test."""
    monkeypatch.chdir(tmp_path)
    gallery = StyleCatalog().folder
    gallery.mkdir()
    shutil.copy(swirls, gallery)
    return StyleCatalog().get("the-swirls")


def test_a_learned_style_is_listed_shown_and_painted_with(learned, folder, photo, capsys):
    assert learned.title == "Swirls" and len(learned.code) > 1000
    assert run(["styles", "list"]) == 0
    assert re.search(
        r"^the-swirls +(bold|drawn|soft|pale|dark) +Swirls, nobody, 2026$", capsys.readouterr().out, re.MULTILINE
    )
    assert run(["styles", "list", "--json"]) == 0
    facts = {style["name"]: style for style in json.loads(capsys.readouterr().out)}["the-swirls"]
    assert facts["license"] == "Apache-2.0" and facts["network"] == learned.network and facts["look"] == learned.look
    assert run(["styles", "show", "the-swirls", "-o", "swatch.png"]) == 0
    assert "artist   nobody\n" in capsys.readouterr().out
    assert (read_picture("swatch.png").width, read_picture("swatch.png").height) == (120, 90)
    arguments = ["--engine", "fast", "--network", str(folder), "--size", "64", "-q"]
    assert run(["stylize", str(photo), "-s", "the-swirls:0.5", "-s", "the-swirls", "-o", "out.png", *arguments]) == 0
    assert read_picture("out.png").width == 64


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "nearer"), [([], 1.0), (["--last-layers"], 0.95)])
def test_learning_comes_nearer_to_the_style(folder, photo, painting, tmp_path, monkeypatch, flags, nearer):
    monkeypatch.chdir(tmp_path)
    small = resize_picture(read_picture(painting), 96, 72)
    write_picture(small, "painting.png")
    write_picture(resize_picture(read_picture(photo), 96, 72), "photo.png")
    quick = ["--side", "72", "--crop", "64", "--batch", "1", "--judge", "compact", "--network", str(folder)]
    quick += ["--content", "photo.png", "--style-margin", "0", *flags]
    descriptor = load_compact()

    def distance(picture):
        seen = [
            descriptor.forward(torch.from_numpy(each.pixels.transpose(2, 0, 1).copy())[None], STYLE_LAYERS)
            for each in (picture, small)
        ]
        return sum(float(style_distance(seen[0][layer], seen[1][layer])) for layer in STYLE_LAYERS)

    distances = []
    for steps in ("1", "25"):
        assert run(["styles", "learn", "painting.png", "-o", "s.style", "--steps", steps, *quick]) == 0
        distances.append(distance(impasto.stylize("photo.png", "s.style", engine="fast", network=str(folder))))
    assert distances[1] < nearer * distances[0]
    assert not StyleCatalog().folder.exists()


def test_last_layers_are_learned_and_painted_with(folder, photo, painting, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_picture(resize_picture(read_picture(photo), 96, 72), "photo.png")
    quick = ["--steps", "5", "--side", "64", "--crop", "64", "--batch", "1", "--judge", "compact"]
    quick += ["--network", str(folder), "--last-layers", "--learning-rate", "0.5"]
    assert run(["styles", "learn", str(painting), "-o", "deep.style", *quick]) == 0
    style = read_style_file(tmp_path / "deep.style")
    assert {name: weights.shape for name, weights in style.layers.items()} == {
        "transformer.up.1.weight": (32, 64, 3, 3),
        "transformer.up.2.weight": (16, 32, 3, 3),
        "transformer.detail.weight": (32, 48, 1, 1),
    }
    write_style_file(replace(style, layers={}), tmp_path / "code.style")
    painted = {
        name: impasto.stylize(
            "photo.png", f"{name}.style", engine="fast", network=str(folder), precision="float32"
        ).pixels
        for name in ("deep", "code")
    }
    network = load_network(folder / "conditional.safetensors", ConditionalStylizer)
    network.load_state_dict({name: torch.from_numpy(each) for name, each in style.layers.items()}, strict=False)
    image = torch.from_numpy(read_picture("photo.png").pixels.transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        expected = network.transformer(
            image, torch.from_numpy(style.code)[None], torch.from_numpy(Noise(NOISE_CHANNELS, 0).part(0, 0, 9, 12))
        )
    assert np.abs(painted["deep"] - expected[0].permute(1, 2, 0).numpy()).max() < 2 / 255
    assert np.abs(painted["deep"] - painted["code"]).max() > 5 / 255
    both = ["-s", "deep.style", "-s", "code.style", "-o", "out.png", "--engine", "fast", "--network", str(folder), "-q"]
    assert run(["stylize", "photo.png", *both]) == 2
    assert (
        "has layers of its own, and cannot be mixed; give each style its place with a mask" in capsys.readouterr().err
    )
    write_style_file(replace(style, layers={"transformer.nowhere": np.ones(3)}), tmp_path / "odd.style")
    assert (
        run(
            [
                "stylize",
                "photo.png",
                "-s",
                "odd.style",
                "-o",
                "out.png",
                "--engine",
                "fast",
                "--network",
                str(folder),
                "-q",
            ]
        )
        == 1
    )
    assert "replaces the weights 'transformer.nowhere', but the network has no" in capsys.readouterr().err


def test_a_style_is_exported_and_removed(learned, folder, photo, capsys):
    assert run(["styles", "export", "the-swirls", "-o", "mine.style"]) == 0
    assert run(["styles", "remove", "the-swirls"]) == 0
    assert "the-swirls" not in StyleCatalog().paths()
    arguments = ["--engine", "fast", "--network", str(folder), "--size", "64", "-q", "-o", "out.png"]
    assert run(["stylize", str(photo), "-s", "mine.style", *arguments]) == 0
    capsys.readouterr()
    assert run(["stylize", str(photo), "-s", "the-swirls", *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: unknown style 'the-swirls'; ")


def test_a_learned_style_keeps_its_picture(learned, photo, painting):
    picture, given = StyleCatalog().get("the-swirls").picture, read_picture(painting)
    assert max(picture.width, picture.height) <= 768
    assert np.abs(picture.pixels - resize_picture(given, picture.width, picture.height).pixels).mean() < 0.03
    arguments = ["-o", "out.png", "--size", "64", "--steps", "2"]
    assert run(["stylize", str(photo), "-s", "the-swirls", *arguments]) == 0


def test_a_style_without_a_picture_is_for_one_engine(learned, photo, capsys):
    style = replace(StyleCatalog().get("the-swirls"), image=b"")
    write_style_file(style, Path("code.style"))
    for engine in ("nnst", "gatys", "adain"):
        assert (
            run(["stylize", str(photo), "-s", "code.style", "-o", "out.png", "--engine", engine, "--size", "64"]) == 2
        )
        assert "style 'the-swirls' is only a code for engine 'fast'; choose that engine" in capsys.readouterr().err
    write_style_file(replace(style, image=b"no picture"), Path("odd.style"))
    assert run(["stylize", str(photo), "-s", "odd.style", "-o", "out.png", "--size", "64"]) == 1
    assert "the picture of style 'the-swirls' is damaged" in capsys.readouterr().err


def test_names_come_from_files(tmp_path):
    from impasto.gallery.catalog import name_from

    assert name_from(tmp_path / "The Great Wave (1831).jpg") == "the-great-wave-1831"


def test_what_is_written_is_read(learned, tmp_path):
    write_style_file(learned, tmp_path / "again.style")
    again = read_style_file(tmp_path / "again.style")
    np.testing.assert_array_equal(again.code, learned.code)
    for fact in ("name", "look", "swatch", "image", "network"):
        assert getattr(again, fact) == getattr(learned, fact)


def test_a_renamed_style_has_the_name_of_its_file(learned, capsys):
    folder = StyleCatalog().folder
    (folder / "the-swirls.style").rename(folder / "waves.style")
    assert run(["styles", "list"]) == 0
    assert re.search(r"^waves +[a-z]+ +Swirls", capsys.readouterr().out, re.MULTILINE)


def test_a_code_of_another_length_is_refused(learned, folder, photo, tmp_path, capsys):
    write_style_file(replace(learned, code=learned.code[:-1]), tmp_path / "short.style")
    arguments = ["--engine", "fast", "--network", str(folder), "-q", "-o", "out.png"]
    assert run(["stylize", str(photo), "-s", str(tmp_path / "short.style"), *arguments]) == 1
    assert "has 2751 numbers and the network takes 2752" in capsys.readouterr().err


def test_numbers_that_cannot_be_kept_are_refused(learned, tmp_path):
    with pytest.raises(StyleError, match="numbers that are not finite; learn it at a lower learning rate"):
        write_style_file(replace(learned, code=learned.code * np.float32(1e30)), tmp_path / "wild.style")
    assert not (tmp_path / "wild.style").exists()


def test_one_damaged_style_does_not_hide_the_others(learned, capsys):
    (StyleCatalog().folder / "bad.style").write_text("{}")
    assert run(["styles", "list"]) == 1
    output = capsys.readouterr()
    assert "the-swirls" in output.out and output.err.startswith("error: bad.style is not a style file")
