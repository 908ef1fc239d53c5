"""``impasto compare`` as a user calls it: the sheet, the page, and the commands on it."""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from impasto.cli.compare import draw_sheet, stylize_command
from impasto.cli.main import run
from impasto.comparison.compare import Result
from impasto.comparison.page import Entry, Page, comparison_page
from impasto.comparison.sweeps import Variant
from impasto.images import Cell, read_picture, sheet
from impasto.options import GatysOptions
from impasto.types import Picture

SMALL = ["--size", "48", "--steps", "2", "--scales", "1", "--precision", "float32", "--device", "cpu"]
RECIPE = Path(__file__).parents[2] / "recipes" / "thesis-style-content-weight.toml"


class Reader(HTMLParser):
    """Collects what a browser would look at, and checks that every element is closed."""

    VOID = ("meta", "img", "link", "br", "hr", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self._open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action", "poster"):
                self.references.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_sheet_page_json_and_commands(
    stored_weights: Path, photo: Path, painting: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweeps = ["--sweep", "style-weight:content-weight=100:1,1:100", "--sweep", "style-layers=relu1_1,relu2_1;relu3_1"]
    arguments = ["compare", str(photo), "-s", f"{painting}:2", *sweeps, "-o", "out.png", "--separate", "pictures"]
    assert run([*arguments, "--json", "--init", "content+noise", *SMALL]) == 0
    out, err = capsys.readouterr()
    assert "step 8/8 at 48x36" in err
    report = json.loads(out)
    assert (report["content"], report["sheet"], report["page"]) == (str(photo), "out.png", "out.html")
    results = report["results"]
    assert [(result["column"], result["row"]) for result in results] == [
        ("style-weight 100, content-weight 1", "style-layers relu1_1,relu2_1"),
        ("style-weight 1, content-weight 100", "style-layers relu1_1,relu2_1"),
        ("style-weight 100, content-weight 1", "style-layers relu3_1"),
        ("style-weight 1, content-weight 100", "style-layers relu3_1"),
    ]
    for result in results:
        assert result["seconds"] > 0 and not result["error"]
        assert set(result["distances"]) == {"content", "style"} and set(result["losses"]) >= {"content", "style", "tv"}
    assert sorted(path.name for path in Path("pictures").iterdir()) == ["01.png", "02.png", "03.png", "04.png"]

    page = Path("out.html").read_text()
    reader = Reader(page)
    pictures = [reference for reference in reader.references if reference.startswith("data:")]
    links = [reference for reference in reader.references if not reference.startswith("data:")]
    assert len(pictures) == 6
    assert links == ["#01", "#02", "#03", "#04"] == [f"#{name}" for name in reader.ids]
    assert not {"script", "link", "iframe", "object", "base"} & set(reader.tags)
    assert "url(" not in page and "@import" not in page
    assert "prefers-color-scheme" in page or "color-scheme: light dark" in page
    decoded = [read_picture(base64.b64decode(picture.partition("base64,")[2])) for picture in pictures]
    assert [(each.width, each.height) for each in decoded] == [(768, 576)] * 2 + [(48, 36)] * 4
    assert np.abs(decoded[2].pixels - read_picture("pictures/01.png").pixels).mean() < 0.05
    assert reader.texts["pre"] == [result["command"] for result in results]
    assert reader.texts["h2"] == ["style-layers relu1_1,relu2_1", "style-layers relu3_1", "Numbers", "Commands"]
    assert f"{results[3]['distances']['style']:.4f}" in reader.texts["td"]

    # The command on the page makes the same picture, to the byte.
    words = shlex.split(results[1]["command"])
    assert words[0] == "impasto"
    assert run([*words[1:], "--quiet"]) == 0
    np.testing.assert_array_equal(read_picture("02.png").pixels, read_picture("pictures/02.png").pixels)


def test_one_failure_is_shown_in_its_place(
    stored_weights: Path, photo: Path, painting: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["--sweep", "size=48,16"]
    assert run(["compare", str(photo), "-s", str(painting), *sweep, "-o", "sheets/out.png", "--quiet", *SMALL]) == 3
    assert "error: size 16: content image is 16x12; relu5_1 needs at least" in capsys.readouterr().err
    page = Path("sheets/out.html").read_text()
    assert Reader(page).tags.count("img") == 3
    assert "failed: content image is 16x12" in page and "style loss, weighted" in page
    assert read_picture("sheets/out.png").width > 3 * 360


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("style-layers=relu1_1,relu9_1", "style-layers relu9_1: unknown layer of vgg19 'relu9_1'; did you mean"),
        ("init=noise,missing.png", "init missing.png: init is 'missing.png', which is not a file; choose"),
        ("descriptor=vgg19,vgg18", "descriptor vgg18: unknown descriptor 'vgg18'; did you mean"),
        ("device=cpu,cuda", "device cuda: device 'cuda' cannot be used"),
    ],
)
def test_what_no_engine_takes_is_refused_before_the_first_picture(
    stored_weights: Path,
    photo: Path,
    painting: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    sweep: str,
    message: str,
) -> None:
    if "cuda" in sweep and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    given = ["compare", str(photo), "-s", str(painting), "--sweep", sweep, "-o", "sheets/out.png", "--steps", "1000000"]
    assert run(given) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not list(here.iterdir())


def test_a_name_that_is_no_text_is_compared(photo: Path, here: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.png")
    Path(odd).write_bytes(photo.read_bytes())
    assert run(["compare", odd, "-s", "great-wave", "--engine", "fast", "-o", "out.png", "--size", "48", "-q"]) == 0
    assert "caf?" in Path("out.html").read_text()


@pytest.mark.slow
def test_one_engine_alone_paints_one_picture(photo: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--engine", "fast", "-o", "a/b/sheet.png", "--size", "48", "--json", "-q"]
    assert run(["compare", str(photo), "-s", "great-wave", *arguments]) == 0
    (only,) = json.loads(capsys.readouterr().out)["results"]
    assert only["column"] == "engine fast" and only["distances"]["style"] > 0
    assert Path("a/b/sheet.html").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "01.png", "-s", "style.png", "--engine", "fast", "-o", "sheet.png", "--separate", "."],
        ["compare", "photo.png", "-s", "style.png", "--engine", "fast", "-o", "link.png"],
        ["reconstruct", "content-relu1_2.png", "-o", "sheet.png", "--separate", "."],
        ["texture", "style.png:2", "-o", "link.png"],
        ["bench", "photo.png", "-s", "style.png", "-o", "photo.png"],
        ["styles", "learn", "photo.style", "-o", "photo.style"],
    ],
)
def test_no_command_replaces_what_it_reads(
    photo: Path, here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    for name in ("01.png", "photo.png", "style.png", "content-relu1_2.png", "photo.style"):
        Path(name).write_bytes(photo.read_bytes())
    Path("link.png").symlink_to("style.png")
    assert run(arguments) == 2
    assert "would be replaced, and it is read as an input" in capsys.readouterr().err
    assert all(path.read_bytes() == photo.read_bytes() for path in here.iterdir())


def test_if_all_fail_nothing_is_written(
    stored_weights: Path, photo: Path, painting: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["--sweep", "size=16,20"]
    assert run(["compare", str(photo), "-s", str(painting), *sweep, "-o", "out.png", "--quiet"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "none of the 2 pictures could be made; the first because content image is 16x12; relu5_1 needs at" in last
    assert not list(here.iterdir())


@pytest.mark.slow
def test_a_recipe_with_options_beside_it(
    stored_weights: Path, photo: Path, painting: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--recipe", str(RECIPE), "--preset", "thesis", "--sweep", "seed=5", *SMALL]
    assert run(["compare", str(photo), "-s", str(painting), "-o", "out.png", "--json", "--quiet", *arguments]) == 0
    first, second = json.loads(capsys.readouterr().out)["results"]
    assert first["column"] == "style-weight 100, content-weight 1"
    words = shlex.split(second["command"])
    assert words[words.index("--preset") + 1] == "thesis"
    assert words[words.index("--size") + 1] == "48", "what is given beside the recipe wins"
    assert words[words.index("--seed") + 1] == "5"
    assert "--optimizer" not in words, "the preset says so"
    page = "".join(Reader(Path("out.html").read_text()).texts["h1"])
    assert page == "Style weight against content weight: harbour.jpg in the style of swirls.jpg"
    assert "What to look for" in Path("out.html").read_text()


@pytest.mark.slow
def test_a_swept_preset_keeps_what_was_given_beside_it(
    stored_weights: Path, photo: Path, painting: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--preset", "gatys2016", "--sweep", "preset=gatys2016,thesis", *SMALL]
    assert run(["compare", str(photo), "-s", str(painting), "-o", "out.png", "--json", "--quiet", *arguments]) == 0
    gatys, thesis = (shlex.split(result["command"]) for result in json.loads(capsys.readouterr().out)["results"])
    assert gatys[gatys.index("--preset") :][:2] == ["--preset", "gatys2016"]
    assert thesis[thesis.index("--preset") :][:2] == ["--preset", "thesis"]
    assert "--optimizer" not in thesis and "--style-layers" not in thesis, "the preset's own hold"
    assert "--steps" in thesis, "what was given beside it"


@pytest.mark.slow
def test_interrupt_shows_what_is_ready(stored_weights: Path, photo: Path, painting: Path, here: Path) -> None:
    command = ["compare", str(photo), "-s", str(painting), "-o", "out.png", "--separate", "pictures", *SMALL]
    command += ["--sweep", "steps=1,1000000"]
    script = [sys.executable, "-c", "import sys; from impasto.cli.main import main; main(sys.argv[1:])"]
    with subprocess.Popen([*script, *command], stderr=subprocess.PIPE, text=True) as process:
        while not (here / "pictures" / "01.png").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        while True:
            try:
                _, err = process.communicate(timeout=10)
                break
            except subprocess.TimeoutExpired:
                # pyvips loses a signal that arrives in its log handler, so users may have to press Ctrl-C again.
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "error: interrupted"
    assert "stopped; sheet and page show the pictures that were ready" in err
    assert Reader((here / "out.html").read_text()).tags.count("img") == 3
    assert read_picture(here / "out.png").width > 3 * 360


def flat(shade: float) -> Picture:
    return Picture(np.full((30, 40, 3), shade, dtype=np.float32))


def result(shade: float, column: str, row: str = "", error: str = "") -> Entry:
    distances = {} if error else {"content": 0.25, "style": 0.5}
    losses = {} if error else {"content": 0.125, "style": 2.0, "total": 2.125}
    variant = Variant(column, row, "gatys", GatysOptions())
    return Entry(
        "01.png", Result(variant, None if error else flat(shade), losses, distances, 1.5, error), "impasto ..."
    )


CAPTION = "content distance 0.250\nstyle distance 0.500\nweighted losses: content 0.125, style 2\n1.5 s"


def test_the_sheet_shows_inputs_then_results() -> None:
    page = Page("T", "", [("content: c", flat(0.9)), ("style: s", flat(0.8))], 2)
    page.entries += [result(0.1, "a 1"), result(0.2, "a 2", error="too small")]
    expected = sheet(
        [
            [
                Cell(flat(0.9), "content: c"),
                Cell(flat(0.8), "style: s"),
                Cell(flat(0.1), CAPTION),
                Cell(None, "failed: too small"),
            ]
        ],
        title="T",
        column_labels=["", "", "a 1", "a 2"],
        row_labels=[""],
        cell_side=360,
    )
    np.testing.assert_array_equal(draw_sheet(page).pixels, expected.pixels)


def test_several_rows_share_the_column_of_inputs() -> None:
    page = Page("T", "", [("content: c", flat(0.9)), ("style: s", flat(0.8)), ("style: t", flat(0.7))], 1)
    page.entries += [result(0.1, "a 1", "b 1"), result(0.2, "a 1", "b 2")]
    expected = sheet(
        [
            [Cell(flat(0.9), "content: c"), Cell(flat(0.8), "style: s"), Cell(flat(0.1), CAPTION)],
            [Cell(flat(0.7), "style: t"), Cell(None), Cell(flat(0.2), CAPTION)],
        ],
        title="T",
        column_labels=["", "", "a 1"],
        row_labels=["b 1", "b 2"],
        cell_side=360,
    )
    np.testing.assert_array_equal(draw_sheet(page).pixels, expected.pixels)


def test_the_page_shows_names_as_they_are() -> None:
    page = Page("<b>&.jpg", "first\n\n<second>", [("<i>", flat(0.5))], 1, [result(0.1, "init a<b.png")])
    reader = Reader(comparison_page(page))
    assert not {"b", "i", "second"} & set(reader.tags)
    assert reader.texts["h1"] == ["<b>&.jpg"]
    assert reader.texts["p"][:2] == ["first", "<second>"]
    assert reader.texts["strong"] == ["init a<b.png"]


@pytest.mark.slow
def test_engines_side_by_side(
    stored_weights: Path, photo: Path, painting: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", str(photo), "-s", str(painting), "--engine", "fast,gatys", "-o", "out.png", "--json", "-q"]
    assert run([*arguments, *SMALL]) == 0
    fast, gatys = json.loads(capsys.readouterr().out)["results"]
    assert fast["command"].startswith(f"impasto stylize {photo} --engine fast -s {painting} -o 01.png --size 48")
    assert "--steps 2" in gatys["command"] and "--steps" not in fast["command"]
    for result in (fast, gatys):
        assert result["distances"]["content"] > 0 and result["distances"]["style"] > 0 and result["seconds"] > 0
        assert result["peak memory"] is None or result["peak memory"] > 2**26
    assert fast["losses"] == {} and "style" in gatys["losses"]
    assert "engine fast" in (here / "out.html").read_text()


def test_commands_hold_what_differs_from_the_defaults() -> None:
    def command(**options: object) -> str:
        return stylize_command(
            "my photo.jpg", ["a.jpg", "b.jpg:2"], Variant("", "", "gatys", GatysOptions.parse(options)), "01.png"
        )

    start = "impasto stylize 'my photo.jpg' --engine gatys -s a.jpg -s b.jpg:2 -o 01.png"
    assert command() == start
    assert command(steps=300, style_weight=1000, tv_weight=0.25) == f"{start} --style-weight 1000 --tv-weight 0.25"
    assert command(preset="gatys2016", rescale_activations=False, steps=500) == (
        f"{start} --preset gatys2016 --no-rescale-activations"
    )
    assert command(rescale_activations=True, style_layers={"relu1_1": 0.5, "pool4": 1}, size=64) == (
        f"{start} --size 64 --style-layers relu1_1:0.5,pool4:1 --rescale-activations"
    )
