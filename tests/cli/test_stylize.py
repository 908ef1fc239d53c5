"""``impasto stylize`` as a user calls it, with small pictures and few steps."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import impasto.losses.objective
from impasto.cli.main import run
from impasto.images import read_picture, resize_picture, write_picture

SHALLOW = ["--content-layers", "relu2_2", "--style-layers", "relu1_1,relu2_1", "--scales", "1"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, loaded_once, photo, painting):
    """A working directory with a content image, a style image, and a folder for results."""
    monkeypatch.chdir(tmp_path)
    write_picture(resize_picture(read_picture(photo), 40, 32), "photo.png")
    write_picture(resize_picture(read_picture(painting), 36, 30), "painting.jpg")
    Path("out").mkdir()
    return tmp_path


def stylize(*arguments, steps=2, style="painting.jpg", output="out.png"):
    """Paint; the arguments come first, as on a command line."""
    engine = [] if "--engine" in arguments else ["--engine", "gatys"]
    files = [*map(str, arguments), "-s", style, "-o", str(output)]
    return run(["stylize", *engine, *files, "--steps", str(steps), *SHALLOW])


def names(folder="out"):
    return sorted(path.name for path in Path(folder).iterdir())


def pixels(path):
    with PIL.Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


# --- what is painted --------------------------------------------------------------------------------------------------


def test_paints_a_file(capsys):
    assert stylize("photo.png") == 0
    assert pixels("out.png").shape == (32, 40, 3)
    assert (pixels("out.png") != pixels("photo.png")).any()
    assert json.loads(read_picture("out.png").metadata["options"])["steps"] == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "out.png: step 2/2 at 40x32 loss " in output.err


def test_the_options_of_the_engine_count():
    assert stylize("photo.png", "--size", 60, "--keep-colors", "luminance", "--init", "noise", "--seed", 4) == 0
    assert pixels("out.png").shape == (48, 60, 3)
    options = json.loads(read_picture("out.png").metadata["options"])
    assert (options["keep_colors"], options["init"], options["seed"]) == ("luminance", "noise", 4)


def test_the_suffix_chooses_the_format():
    assert stylize("photo.png", "--quality", 60, output="out.webp") == 0
    with PIL.Image.open("out.webp") as image:
        assert image.format == "WEBP"


def test_several_files_go_into_a_folder():
    for name in ("b.png", "c.jpg"):
        write_picture(read_picture("photo.png"), name)
    assert stylize("photo.png", "b.png", "c.jpg", output="out") == 0
    assert names() == ["b.png", "c.jpg", "photo.png"]
    np.testing.assert_array_equal(pixels("out/b.png"), pixels("out/photo.png"))


def test_a_single_file_goes_into_a_folder_too():
    assert stylize("photo.png", output="out") == 0
    assert names() == ["photo.png"]


def test_a_folder_stands_for_the_pictures_in_it():
    Path("in").mkdir()
    for name in ("b.PNG", "a.jpg", "a.webp"):
        write_picture(read_picture("photo.png"), Path("in") / name)
    Path("in/notes.txt").write_text("not a picture")
    assert stylize("in", output="out", steps=1) == 0
    assert names() == ["a.jpg", "a.webp", "b.PNG"]


def test_a_pattern_stands_for_the_files_it_matches(folder):
    for name in ("a1.png", "a2.png", "b1.png"):
        write_picture(read_picture("photo.png"), name)
    assert stylize("a?.png", output="out", steps=1) == 0
    assert names() == ["a1.png", "a2.png"]
    assert stylize(folder / "b*.png", output="out", steps=1) == 0
    assert names() == ["a1.png", "a2.png", "b1.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file():
    write_picture(read_picture("photo.png"), "a[1].png")
    assert stylize("a[1].png", steps=1) == 0


# --- styles -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stripes():
    pixels = np.ones((30, 36, 3), np.float32)
    pixels[::4] = (0.8, 0.0, 0.1)
    write_picture(impasto.Picture(pixels), "stripes.png")
    return "stripes.png"


def paint_with(*styles):
    arguments = [text for style in styles for text in ("-s", style)]
    assert (
        run(["stylize", "--engine", "gatys", "photo.png", *arguments, "-o", "out.png", "--steps", "2", *SHALLOW]) == 0
    )
    return pixels("out.png")


def test_styles_are_mixed_by_their_weights(stripes):
    alone, other = paint_with("painting.jpg"), paint_with(stripes)
    even = paint_with("painting.jpg", stripes)
    np.testing.assert_array_equal(paint_with("painting.jpg:7"), alone)
    np.testing.assert_array_equal(paint_with("painting.jpg:2", f"{stripes}:2.0"), even)
    assert (even != alone).any()
    assert (even != other).any()
    assert np.abs(paint_with("painting.jpg:1", f"{stripes}:0.000001").astype(int) - alone).max() <= 2


def test_a_folder_of_styles_shares_its_weight(stripes, capsys):
    Path("painter").mkdir()
    for name in ("one.jpg", "two.jpg"):
        shutil.copy("painting.jpg", Path("painter") / name)
    several = ["-s", "painter/one.jpg:0.5", "-s", "painter/two.jpg:0.5", "-s"]
    for output, styles in (("folder.png", ["-s", "painter/", "-s"]), ("each.png", several)):
        assert run(["stylize", "photo.png", *styles, stripes, "-o", output, "--engine", "fast", "-q"]) == 0
    one, other = (read_picture(name) for name in ("folder.png", "each.png"))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert run(["stylize", "photo.png", "-s", "out/", "-o", "none.png"]) == 2
    assert "folder out holds no pictures" in capsys.readouterr().err


def test_a_colon_in_a_file_name_is_part_of_it():
    style = read_picture("painting.jpg")
    for name in ("a:b.jpg", "c:2", "d:3.jpg"):
        Path(name).write_bytes(Path("painting.jpg").read_bytes())
    alone = paint_with("painting.jpg")
    for name in ("a:b.jpg", "a:b.jpg:5", "c:2", "c:2:5", "d:3.jpg"):
        np.testing.assert_array_equal(paint_with(name), alone)
    assert style.width == 36


# --- what is said -----------------------------------------------------------------------------------------------------


def test_json_tells_machines_what_was_done(capsys):
    write_picture(read_picture("photo.png"), "b.png")
    assert stylize("photo.png", "b.png", "--json", output="out") == 0
    output = capsys.readouterr()
    first, second = (json.loads(line) for line in output.out.splitlines())
    assert (first["content"], second["content"]) == ("photo.png", "b.png")
    assert first["output"] == str(Path("out/photo.png"))
    assert (first["width"], first["height"], first["steps"]) == (40, 32, 2)
    assert set(first["losses"]) == {"content", "style", "tv", "total"}
    assert first["seconds"] > 0


def test_quiet_says_nothing(capsys):
    assert stylize("photo.png", "--quiet", "--resume") == 0
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "")


def test_notes_of_the_engine_are_said(capsys):
    arguments = ["--style-weight", "0", "--tv-weight", "0", "--precision", "float32"]
    assert stylize("photo.png", *arguments, steps=20) == 0
    assert "out.png: step 1: the gradient is zero: nothing is left to change" in capsys.readouterr().err


# --- what is kept on the way ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_losses_of_every_step_and_their_curves():
    assert stylize("photo.png", "--losses", "run.csv", steps=6) == 0
    with Path("run.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "width", "height", "content", "style", "tv", "total"]
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert {(row["width"], row["height"]) for row in rows} == {("40", "32")}
    totals = [float(row["total"]) for row in rows]
    assert totals[-1] < totals[0]
    curves = pixels("run-curves.png")
    assert curves.shape == (540, 960, 3)
    assert len(np.unique(curves.reshape(-1, 3), axis=0)) > 20


def test_losses_of_zero_have_no_place_on_the_plot():
    arguments = ["--style-weight", "0", "--tv-weight", "0", "--precision", "float32"]
    assert stylize("photo.png", *arguments, "--losses", "run.csv") == 0
    assert Path("run.csv").read_text().splitlines() == ["step,width,height,content,total", "1,40,32,0.0,0.0"]
    assert Path("run-curves.png").exists()


def test_the_losses_stand_there_while_the_run_goes_on(monkeypatch):
    seen = []

    def stop(self, image):
        seen.append(Path("run.csv").read_text().splitlines() if Path("run.csv").exists() else [])
        if len(seen) == 4:
            raise KeyboardInterrupt
        return forward(self, image)

    forward = impasto.losses.objective.Objective.forward
    monkeypatch.setattr(impasto.losses.objective.Objective, "forward", stop)
    assert stylize("photo.png", "--losses", "run.csv", steps=6) == 130
    assert [len(lines) for lines in seen] == [0, 2, 3, 4]


def test_a_file_of_other_losses_is_not_continued():
    Path("run.csv").write_text("step,price\n1,2\n")
    assert stylize("photo.png", "--losses", "run.csv", "--resume", steps=2) == 0
    assert len(Path("run.csv").read_text().splitlines()) == 3


def test_pictures_on_the_way():
    assert stylize("photo.png", "--save-every", 2, output="out/a.png", steps=5) == 0
    assert names() == ["a-000002.png", "a-000004.png", "a.png"]
    assert pixels("out/a-000002.png").shape == (32, 40, 3)
    assert (pixels("out/a-000002.png") != pixels("out/a.png")).any()


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_an_animation_ends_in_the_result(suffix):
    assert stylize("photo.png", "--animation", f"run.{suffix}", steps=4) == 0
    with PIL.Image.open(f"run.{suffix}") as animation:
        assert animation.format == suffix.upper()
        # Four steps and the result. WebP joins equal frames, and the result is the best step so far again.
        assert animation.n_frames in {"gif": [5], "webp": [2, 3, 4]}[suffix]
        assert animation.size == (40, 32)
        animation.seek(animation.n_frames - 1)
        assert np.abs(np.asarray(animation.convert("RGB")).astype(int) - pixels("out.png")).mean() < 12


def test_an_animation_over_several_scales_has_one_size():
    arguments = ["--animation", "run.gif", "--save-every", "2", "--losses", "run.csv", "--scales", "2"]
    layers = ["--content-layers", "relu2_2", "--style-layers", "relu1_1"]
    paths = ["photo.png", "-s", "painting.jpg", "-o", "out/a.png"]
    assert run(["stylize", "--engine", "gatys", *paths, "--steps", "6", *layers, *arguments]) == 0
    with PIL.Image.open("run.gif") as animation:
        assert (animation.size, animation.n_frames) == ((40, 32), 5)
    assert pixels("out/a-000002.png").shape == (16, 20, 3)
    with Path("run.csv").open(newline="") as file:
        assert [row["width"] for row in csv.DictReader(file)] == ["20"] * 4 + ["40"] * 2


def test_a_preset_saves_its_pictures():
    arguments = ["--preset", "thesis", "--steps", "101", "--content-layers", "relu1_1", "--style-layers", "relu1_1"]
    assert run(["stylize", "--engine", "gatys", "photo.png", "-s", "painting.jpg", "-o", "out/a.png", *arguments]) == 0
    assert names() == ["a-000100.png", "a.png"]


# --- interrupted and resumed ------------------------------------------------------------------------------------------


def interrupt_at(monkeypatch, count, error=KeyboardInterrupt):
    """Let the ``count``-th evaluation of the losses end in ``error``, as a signal there would."""
    evaluations = []
    forward = impasto.losses.objective.Objective.forward

    def counted(self, image):
        evaluations.append(None)
        if len(evaluations) == count:
            raise error
        return forward(self, image)

    monkeypatch.setattr(impasto.losses.objective.Objective, "forward", counted)


def test_ctrl_c_keeps_the_best_picture_and_the_checkpoint(monkeypatch, capsys):
    interrupt_at(monkeypatch, 5)
    assert stylize("photo.png", "--checkpoint-every", 2, "--losses", "run.csv", output="out/a.png", steps=9) == 130
    assert names() == ["a.png", "a.png.checkpoint"]
    assert (pixels("out/a.png") != pixels("photo.png")).any()
    assert Path("run-curves.png").exists()
    errors = capsys.readouterr().err.splitlines()
    assert errors == ["a.png: interrupted; the best picture so far is written", "error: interrupted"]


def test_ctrl_c_ends_a_batch(monkeypatch, capsys):
    write_picture(read_picture("photo.png"), "b.png")
    interrupt_at(monkeypatch, 4)
    Path("c.png").write_bytes(Path("b.png").read_bytes())
    assert stylize("photo.png", "b.png", "c.png", "--quiet", output="out") == 130
    assert names() == ["b.png", "b.png.checkpoint", "photo.png"]
    assert capsys.readouterr().err == "error: interrupted\n"


def test_resume_continues(monkeypatch):
    arguments = ["photo.png", "--checkpoint-every", 2, "--losses", "run.csv", "--init", "noise"]
    assert stylize(*arguments, output="whole.png", steps=9) == 0
    whole = Path("run.csv").read_bytes()
    with monkeypatch.context() as patch:
        interrupt_at(patch, 8)
        assert stylize(*arguments, output="out.png", steps=9) == 130
    evaluations = []
    with monkeypatch.context() as patch:
        forward = impasto.losses.objective.Objective.forward
        patch.setattr(
            impasto.losses.objective.Objective,
            "forward",
            lambda self, image: evaluations.append(None) or forward(self, image),
        )
        assert stylize(*arguments, "--resume", output="out.png", steps=9) == 0
    assert len(evaluations) == 2, "the seventh step was the last one before Ctrl-C"
    np.testing.assert_array_equal(pixels("out.png"), pixels("whole.png"))
    assert Path("run.csv").read_bytes() == whole
    assert not Path("out.png.checkpoint").exists()


def test_resume_without_a_checkpoint_says_so(capsys):
    assert stylize("photo.png", "--resume") == 0
    assert "out.png: there is no out.png.checkpoint; starting from the beginning" in capsys.readouterr().err


def test_resume_refuses_the_checkpoint_of_another_run(monkeypatch, capsys):
    interrupt_at(monkeypatch, 4)
    assert stylize("photo.png", "--checkpoint-every", 1, steps=9) == 130
    capsys.readouterr()
    assert stylize("photo.png", "--checkpoint-every", 1, "--resume", "--seed", 3, steps=9) == 1
    assert capsys.readouterr().err == (
        "error: out.png.checkpoint belongs to a run with other pictures or options; "
        "repeat its command exactly, or start again without resuming\n"
    )


# --- folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_yet():
    arguments = ["photo.png", "-s", "painting.jpg", "--engine", "gatys", "--steps", "1", "--style-layers", "relu1_1"]
    assert run(["stylize", *arguments, "--content-layers", "relu1_1", "-o", "painted/"]) == 0
    assert read_picture(Path("painted/photo.png")).width == read_picture(Path("photo.png")).width
    assert run(["stylize", *arguments, "--content-layers", "relu1_1", "-o", "a/b/{stem}-{style}.jpg"]) == 0
    assert Path("a/b/photo-painting.jpg").exists()
    assert run(["stylize", *arguments, "--content-layers", "relu1_1", "-o", "c/out.png", "--init", "missing.png"]) == 2
    assert not Path("c").exists(), "nothing was painted"


def test_a_folder_for_each_style(capsys):
    arguments = ["photo.png", "-s", "painting.jpg", "--engine", "gatys", "--steps", "1", "--style-layers", "relu1_1"]
    assert run(["stylize", *arguments, "--content-layers", "relu1_1", "-o", "as-{style}/"]) == 0
    assert [path.name for path in Path("as-painting").iterdir()] == ["photo.png"]


def test_a_folder_that_cannot_be_made_costs_the_others_nothing(capsys):
    for name in ("one", "two", "three"):
        Path(f"{name}.png").write_bytes(Path("photo.png").read_bytes())
    Path("in-two").write_text("no folder")
    files = ["one.png", "two.png", "three.png", "-s", "great-wave", "--engine", "fast"]
    assert run(["stylize", *files, "-o", "in-{stem}/"]) == 3
    assert Path("in-one/one.png").exists() and Path("in-three/three.png").exists()
    error = capsys.readouterr().err
    assert "cannot make the folder in-two: file exists" in error and "1 of 3 pictures failed: two.png" in error


def test_a_plan_makes_no_folder():
    assert run(["stylize", "photo.png", "-s", "great-wave", "-o", "painted/", "--plan"]) == 0
    assert not Path("painted").exists()


# --- some fail --------------------------------------------------------------------------------------------------------


def test_one_bad_picture_of_three_does_not_stop_the_others(capsys):
    write_picture(read_picture("photo.png"), "b.png")
    Path("text.jpg").write_text("This is no picture.\n")
    assert stylize("photo.png", "text.jpg", "b.png", "--quiet", "--json", output="out") == 3
    assert names() == ["b.png", "photo.png"]
    output = capsys.readouterr()
    assert output.err.splitlines() == [
        "error: text.jpg is not a JPEG, PNG, TIFF, WebP, AVIF or GIF file; convert it to one of these",
        "error: 1 of 3 pictures failed: text.jpg",
    ]
    assert [json.loads(line)["content"] for line in output.out.splitlines()] == ["photo.png", "b.png"]


def test_a_missing_picture_whose_result_is_there_already(capsys):
    write_picture(read_picture("photo.png"), "out/missing.png")
    assert stylize("missing.png", "photo.png", "--quiet", output="out") == 3
    said = "error: missing.png does not exist; check the path\n"
    assert capsys.readouterr().err == said + "error: 1 of 2 pictures failed: missing.png\n"


def test_all_bad_is_a_failure(capsys):
    Path("text.jpg").write_text("This is no picture.\n")
    assert stylize("missing.jpg", "text.jpg", "--quiet", output="out") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "error: 2 of 2 pictures failed: missing.jpg, text.jpg"
