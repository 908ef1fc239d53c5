"""``impasto stylize --from RESULT``: a result knows how it was painted, and is painted again, to the byte."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from impasto.cli.main import run
from impasto.cli.provenance import Painted
from impasto.images import made_by, read_picture, resize_picture, write_picture
from lanes import slow

NNST = ["-s", "painting.jpg", "--steps", 2]
GATYS = ["-s", "painting.jpg", "--engine", "gatys", "--descriptor", "compact", "--steps", 3]


@pytest.fixture(autouse=True)
def pictures(tmp_path, monkeypatch, photo, painting):
    monkeypatch.chdir(tmp_path)
    small = resize_picture(read_picture(photo), 80, 64)
    write_picture(small, "photo.png")
    write_picture(replace(small, alpha=small.pixels[:, :, 0].round()), "clear.png")
    write_picture(resize_picture(read_picture(painting), 72, 60), "painting.jpg")
    write_picture(resize_picture(read_picture(painting), 40, 32), "mask.png")


def stylize(*arguments):
    return run(["stylize", *map(str, arguments), "-q"])


def same(one, other):
    return Path(one).read_bytes() == Path(other).read_bytes()


@pytest.mark.parametrize("form", ["jpg", "gif", *slow("png", "tiff", "webp", "avif")])
def test_every_format_can_be_painted_again(form):
    paint = ["photo.png", "-s", "painting.jpg:2", "-s", "great-wave", "--engine", "fast", "--strength", 0.7]
    assert stylize(*paint, "-o", f"one.{form}") == 0
    assert stylize("--from", f"one.{form}", "-o", f"two.{form}") == 0
    assert same(f"one.{form}", f"two.{form}")
    assert Path(f"one.{form}.xmp").exists() == (form == "gif"), "beside it only where the file has no room"
    assert stylize("--from", f"two.{form}", "--strength", 0.2, "-o", f"three.{form}") == 0
    assert not same(f"one.{form}", f"three.{form}"), "what is given wins"


def test_threads_are_not_recorded_and_those_of_an_older_result_are_not_taken_over(monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("impasto.engines.base.UNRECORDED", ())
        assert stylize("photo.png", "-s", "great-wave", "--engine", "fast", "--threads", 1, "-o", "one.png") == 0
    assert '"threads":1' in made_by(Path("one.png"))["options"] and "threads" not in Painted(Path("one.png")).options
    assert stylize("--from", "one.png", "-o", "two.png") == 0
    assert "threads" not in made_by(Path("two.png"))["options"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["photo.png", *GATYS, "--init", "noise"],
        ["photo.png", *GATYS, "--preset", "thesis"],
        ["photo.png", "--engine", "transformer", "--size", 96, "--keep-colors", "luminance"],
        ["clear.png", "-s", "great-wave", *NNST, "--mask", "mask.png", "--mask", "alpha"],
        ["photo.png", *NNST, "--no-keep-profile", "--quality", 60],
    ],
)
def test_every_way_to_paint_can_be_repeated(arguments):
    assert stylize(*arguments, "-o", "one.jpg") == 0
    assert stylize("--from", "one.jpg", "-o", "two.jpg") == 0
    assert same("one.jpg", "two.jpg")


def test_a_result_can_be_given_away(tmp_path, capsys, monkeypatch):
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("photo.png", "painting.jpg"):
        Path(name).rename(mine / name)
    assert stylize(mine / "photo.png", "-s", mine / "painting.jpg", "--steps", 2, "-o", "one.png") == 0
    assert str(tmp_path) not in str(made_by(Path("one.png"))), "it does not tell the folders of this machine"
    assert stylize("--from", "one.png", "-o", "two.png") == 2
    assert "photo.png is neither here nor beside one.png; name the content" in capsys.readouterr().err
    assert stylize(mine / "photo.png", "--from", "one.png", "-o", "two.png") == 2
    assert "painting.jpg is neither here nor beside one.png; name the style with -s" in capsys.readouterr().err
    Path("one.png").rename(mine / "one.png")
    assert stylize("--from", mine / "one.png", "-o", "two.png") == 0, "they lie beside it"
    assert same("mine/one.png", "two.png")


def test_a_recipe_serves_another_photograph(capsys):
    assert stylize("photo.png", *NNST, "--strength", 0.5, "-o", "one.png") == 0
    write_picture(resize_picture(read_picture("photo.png"), 64, 48), "photo.png")
    assert stylize("--from", "one.png", "-o", "two.png") == 2
    assert "photo.png has changed since one.png was painted" in capsys.readouterr().err
    assert stylize("photo.png", "--from", "one.png", "-o", "two.png") == 0
    assert made_by(Path("two.png"))["options"] == made_by(Path("one.png"))["options"]
    assert read_picture("two.png").width == 64


def test_what_cannot_be_repeated_says_why(capsys, monkeypatch):
    assert stylize("--from", "photo.png", "-o", "two.png") == 2
    assert "photo.png does not say how it was painted" in capsys.readouterr().err
    deep = "[" * 100_000
    records = [("{}", "[1"), ("{}", '{"content": 3}'), ("{}", '{"styles": [{}]}'), ("{}", deep), ("[[1, 2]]", "{}")]
    for options, run_facts in [*records, (deep, "{}"), ('{"1": 2', "{}")]:
        damaged = {"engine": "fast", "options": options, "run": run_facts}
        write_picture(replace(read_picture("photo.png"), metadata=damaged), "damaged.png")
        assert stylize("--from", "damaged.png", "-o", "two.png") == 2
        assert "damaged.png does not say how it was painted" in capsys.readouterr().err
    assert stylize("--from", "nothing.png", "-o", "two.png") == 1
    assert "nothing.png does not exist" in capsys.readouterr().err
    assert stylize("photo.png", *NNST, "-o", "one.png") == 0
    assert stylize("--from", "one.png", "--engine", "gatys", "-o", "two.png") == 2
    assert "one.png was painted by engine 'nnst'" in capsys.readouterr().err
    data = Path("photo.png").read_bytes()
    monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": io.BytesIO(data)}))
    assert stylize("-", *NNST, "-o", "piped.png") == 0
    assert stylize("--from", "piped.png", "-o", "two.png") == 2
    assert "was read from stdin; name it" in capsys.readouterr().err
    assert stylize("photo.png", "--from", "piped.png", "-o", "two.png") == 0


def test_another_network_is_mentioned(capsys, monkeypatch):
    assert stylize("photo.png", *NNST, "-o", "one.png") == 0
    monkeypatch.setattr("impasto.engines.base.version", lambda name: "999")
    assert run(["stylize", "--from", "one.png", "-o", "two.png"]) == 0
    assert "the software is another than then; the result may differ" in capsys.readouterr().err
