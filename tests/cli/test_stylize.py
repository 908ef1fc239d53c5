"""``impasto stylize`` as a user calls it, with small pictures and few steps."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

import impasto.engines.descriptor
import impasto.engines.optimization
from impasto.cli.main import run
from impasto.images import read_picture, resize_picture, write_picture

load_once = functools.cache(impasto.engines.descriptor.load_descriptor)

SHALLOW = ["--content-layers", "relu2_2", "--style-layers", "relu1_1,relu2_1", "--scales", "1"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, stored_weights, photo, painting):
    """A working directory with a content image, a style image, and a folder for results."""
    # Loading 20 million weights takes longer than painting these pictures.
    monkeypatch.setattr(impasto.engines.descriptor, "load_descriptor", load_once)
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

    forward = impasto.engines.optimization.Objective.forward
    monkeypatch.setattr(impasto.engines.optimization.Objective, "forward", stop)
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
    forward = impasto.engines.optimization.Objective.forward

    def counted(self, image):
        evaluations.append(None)
        if len(evaluations) == count:
            raise error
        return forward(self, image)

    monkeypatch.setattr(impasto.engines.optimization.Objective, "forward", counted)


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
    assert stylize("photo.png", "b.png", "photo.png", "--quiet", output="out") == 2
    Path("c.png").write_bytes(Path("b.png").read_bytes())
    capsys.readouterr()
    assert stylize("photo.png", "b.png", "c.png", "--quiet", output="out") == 130
    assert names() == ["b.png", "photo.png"]
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
        forward = impasto.engines.optimization.Objective.forward
        patch.setattr(
            impasto.engines.optimization.Objective,
            "forward",
            lambda self, image: evaluations.append(None) or forward(self, image),
        )
        assert stylize(*arguments, "--resume", output="out.png", steps=9) == 0
    assert len(evaluations) == 3
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


# --- what is refused --------------------------------------------------------------------------------------------------


def fails(capsys, code, *arguments, **options):
    """Run a command that must fail; return its one line on stderr, without 'error: '."""
    before = names(".")
    assert stylize(*arguments, **options) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert names(".") == before
    assert names() == []
    return output.err.removeprefix("error: ").rstrip("\n")


def broken(name):
    """Write a file that is no picture."""
    if name == "empty.png":
        Path(name).write_bytes(b"")
    elif name == "text.jpg":
        Path(name).write_text("This is no picture.\n")
    elif name == "cut.jpg":
        Path(name).write_bytes(Path("painting.jpg").read_bytes()[:-300])
    return name


BROKEN = {
    "missing.jpg": "missing.jpg does not exist; check the path",
    "empty.png": "empty.png is empty (0 bytes); save or download it again",
    "text.jpg": "text.jpg is not a JPEG, PNG, TIFF, WebP, AVIF or GIF file; convert it to one of these",
    "cut.jpg": "cut.jpg is a broken or truncated JPEG file (",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_picture_is_named(capsys, name):
    broken(name)
    assert fails(capsys, 1, name).startswith(BROKEN[name])
    assert fails(capsys, 1, "photo.png", style=name).startswith(BROKEN[name])
    if name != "missing.jpg":
        assert fails(capsys, 1, "photo.png", "--init", name).startswith(BROKEN[name])


def test_a_folder_is_no_style(capsys):
    assert fails(capsys, 1, "photo.png", style="out") == "out is a folder; name a picture file in it"


def test_a_folder_without_pictures_is_named(capsys):
    assert fails(capsys, 2, "out") == (
        "folder out holds no pictures (.avif, .gif, .jpeg, .jpg, .png, .tif, .tiff, .webp)"
    )


def test_a_pattern_without_matches_is_named(capsys):
    assert fails(capsys, 2, "*.tiff") == "no file matches '*.tiff'"


def test_a_picture_too_small_is_named(capsys):
    write_picture(resize_picture(read_picture("photo.png"), 15, 20), "small.png")
    deep = ["--style-layers", "relu1_1,relu4_1"]
    assert run(["stylize", "--engine", "gatys", "small.png", "-s", "painting.jpg", "-o", "out.png", *deep]) == 1
    assert capsys.readouterr().err == (
        "error: content image is 15x20; relu4_2 needs at least 16x16; choose a larger size or shallower layers\n"
    )
    assert run(["stylize", "--engine", "gatys", "photo.png", "-s", "small.png", "-o", "out.png", *deep]) == 1
    assert capsys.readouterr().err == (
        "error: style image is 15x20; relu4_1 needs at least 16x16; choose a larger size or shallower layers\n"
    )


OUTPUTS = {
    "out.bmp": "cannot write out.bmp: 'bmp' is no format that impasto writes; use one of jpg, jpeg, png, tif, tiff, "
    "webp, avif, gif",
    "result": "cannot write result: no suffix that impasto writes; use one of jpg, jpeg, png, tif, tiff, webp, avif, "
    "gif",
    "missing/out.png": "cannot write missing/out.png: folder missing does not exist; create it first",
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_result_that_cannot_be_written_is_refused_before_the_work(capsys, output):
    assert fails(capsys, 1, "photo.png", output=output, steps=1_000_000) == OUTPUTS[output]


USAGE = {
    ("--engine", "gatis"): "unknown engine 'gatis'; did you mean 'gatys'?",
    ("--stepz", "3"): "unknown option '--stepz'; did you mean '--steps'?",
    ("--preset", "gatys2017"): "preset is 'gatys2017'; choose 'gatys2016', 'thesis' or 'thesis-pooling'",
    ("--optimizer", "adm"): "optimizer is 'adm'; choose 'lbfgs', 'adam' or 'sgd'",
    ("--pooling", "median"): "pooling is 'median'; choose 'max' or 'average'",
    ("--keep-colors", "some"): "keep_colors is 'some'; choose 'none', 'luminance', 'histogram' or 'coral'",
    ("--descriptor", "vgg18"): "unknown descriptor 'vgg18'; did you mean 'vgg19'?",
    ("--descriptor", "missing/vgg.pth"): "there is no file 'missing/vgg.pth' with weights",
    ("--size", "15"): "size is '15'; it should be greater than or equal to 16",
    ("--size", "big"): "size is 'big'; it should be a valid integer",
    ("--learning-rate", "0"): "learning_rate is '0'; it should be greater than 0",
    ("--style-weight", "-1"): "style_weight is '-1'; it should be greater than or equal to 0",
    ("--content-weight", "0", "--style-weight", "0"): "content_weight and style_weight are both 0; nothing is left",
    ("--init", "missing.png"): "init is 'missing.png', which is no file; choose 'content', 'noise', 'content+noise', ",
    ("--losses", "run.txt"): "--losses is 'run.txt'; its name must end in .csv",
    ("--animation", "run.mp4"): "--animation is 'run.mp4'; its name must end in .gif or .webp",
    ("--quality", "101"): "quality 101 for png: give 1 to 100, and only for JPEG, WebP or AVIF",
    ("--quality", "80"): "quality 80 for png: give 1 to 100, and only for JPEG, WebP or AVIF",
    ("--seed", "-1"): "seed is '-1'; it should be greater than or equal to 0",
}


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_a_wrong_option_is_refused_before_the_work(capsys, arguments):
    assert fails(capsys, 2, "photo.png", *arguments, steps=1_000_000).startswith(USAGE[arguments])


@pytest.mark.parametrize(("steps", "problem"), [(0, "greater than or equal to 1"), ("many", "a valid integer")])
def test_wrong_steps_are_refused(capsys, steps, problem):
    assert fails(capsys, 2, "photo.png", steps=steps).startswith(f"steps is {steps!r}; it should be {problem}")


LAYERS = {
    ("--style-layers", "relu9_1"): "unknown layer of vgg19 'relu9_1'; did you mean 'relu5_1'?",
    ("--style-layers", "relu1_1:x"): "style_layers is 'relu1_1:x'; 'relu1_1:x' is not LAYER or LAYER:WEIGHT with a ",
    ("--style-layers", "relu1_1:-1"): "style_layers is 'relu1_1:-1'; 'relu1_1:-1' is not LAYER or LAYER:WEIGHT with ",
    ("--content-layers", "relu4_2,relu4_2"): "content_layers is 'relu4_2,relu4_2'; layer 'relu4_2' is named twice",
    ("--content-layers", ""): "content_layers is ''; '' is not LAYER or LAYER:WEIGHT with a positive weight",
}


@pytest.mark.parametrize("arguments", LAYERS, ids=" ".join)
def test_wrong_layers_are_refused(capsys, arguments):
    assert run(["stylize", "--engine", "gatys", "photo.png", "-s", "painting.jpg", "-o", "out.png", *arguments]) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"error: {LAYERS[arguments]}")
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("abc", "style weight is 'abc'; it must be a positive number, like painting.jpg:0.5"),
        ("", "style weight is ''; it must be a positive number, like painting.jpg:0.5"),
        ("0", "style weight is 0; it must be positive"),
        ("-2", "style weight is -2; it must be positive"),
        ("nan", "style weight is nan; it must be positive"),
        ("inf", "style weight is inf; it must be positive"),
    ],
)
def test_a_wrong_weight_is_refused(capsys, weight, message):
    assert fails(capsys, 2, "photo.png", style=f"painting.jpg:{weight}") == message


def test_a_weighted_style_that_is_missing_is_named_without_its_weight(capsys):
    assert fails(capsys, 1, "photo.png", style="missing.jpg:2") == "missing.jpg does not exist; check the path"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(capsys):
    assert fails(capsys, 2, "photo.png", "--device", "cuda") == (
        "device 'cuda' cannot be used by this PyTorch; choose auto or cpu"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "-o", "out.png"], "no style is given; name one of the gallery, or give a picture"),
        (["photo.png", "-s", "painting.jpg"], "--output requires an argument"),
        (["photo.png", "-s", "painting.jpg", "-o"], "-o requires an argument"),
        (
            ["-s", "painting.jpg", "-o", "out.png"],
            "no content image is given; name a file, a folder, a pattern, or '-'",
        ),
    ],
)
def test_what_is_missing_is_named(capsys, arguments, message):
    assert run(["stylize", "--engine", "gatys", *arguments]) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1


def test_a_folder_that_is_not_there_yet(capsys):
    arguments = ["photo.png", "-s", "painting.jpg", "--engine", "gatys", "--steps", "1", "--style-layers", "relu1_1"]
    assert run(["stylize", *arguments, "--content-layers", "relu1_1", "-o", "painted/"]) == 0
    assert read_picture(Path("painted/photo.png")).width == read_picture(Path("photo.png")).width
    capsys.readouterr()
    assert fails(capsys, 1, "photo.png", output="none/painted/") == (
        "cannot make the folder none/painted: no such file or directory"
    )


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


def test_a_folder_for_what_is_refused_is_not_made(capsys):
    assert "unknown style 'paintign'" in fails(capsys, 2, "photo.png", output="painted/", style="paintign")
    assert "names one file" in fails(capsys, 2, "photo.png", "painting.jpg", "--losses", "run.csv", output="painted/")
    assert run(["stylize", "photo.png", "-s", "great-wave", "-o", "painted/", "--plan"]) == 0
    assert not Path("painted").exists()


def test_several_pictures_need_a_folder(capsys):
    assert fails(capsys, 2, "photo.png", "painting.jpg") == (
        "2 pictures need a folder for their results, such as painted/, or {stem} in their name; 'out.png' is neither"
    )
    assert fails(capsys, 2, "photo.png", "painting.jpg", output="-") == (
        "stdout takes one picture and 2 are given; name a folder with -o"
    )
    assert fails(capsys, 2, "photo.png", "-", output="out") == (
        "a picture from stdin has no name; give its result one with -o FILE"
    )


def test_two_pictures_of_one_name_are_refused(capsys, folder):
    assert fails(capsys, 2, "photo.png", folder / "photo.png", output="out") == (
        "two results would be called 'photo.png'; put {stem} into -o, or use different folders"
    )


def test_a_result_does_not_replace_its_content(capsys):
    assert fails(capsys, 2, "photo.png", output=".") == (
        "the result of 'photo.png' would replace it; name another folder with -o"
    )


def test_what_names_one_file_takes_one_picture(capsys):
    for arguments in (["--losses", "run.csv"], ["--animation", "run.gif"]):
        assert fails(capsys, 2, "photo.png", "painting.jpg", *arguments, output="out") == (
            f"{arguments[0]} names one file and 2 pictures are given; paint them one by one"
        )


def test_stdout_takes_one_thing(capsys):
    assert fails(capsys, 2, "photo.png", "--json", output="-") == ("--json and -o - both write to stdout; choose one")
    assert fails(capsys, 2, "photo.png", "--save-every", 1, output="-") == (
        "--save-every needs an output file to put its pictures beside; -o - has none"
    )


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 4096])
def test_a_damaged_checkpoint_is_refused(capsys, content):
    Path("out.png.checkpoint").write_bytes(content)
    assert fails(capsys, 1, "photo.png", "--resume") == (
        "out.png.checkpoint is no readable checkpoint; delete it, or start again without resuming"
    )


def test_curves_go_into_a_folder_that_exists(capsys):
    assert fails(capsys, 1, "photo.png", "--losses", "missing/run.csv") == (
        "cannot write missing/run.csv: folder missing does not exist; create it first"
    )
    assert fails(capsys, 1, "photo.png", "--animation", "missing/run.gif") == (
        "cannot write missing/run.gif: folder missing does not exist; create it first"
    )


# --- some fail --------------------------------------------------------------------------------------------------------


def test_one_bad_picture_of_three_does_not_stop_the_others(capsys):
    write_picture(read_picture("photo.png"), "b.png")
    broken("text.jpg")
    assert stylize("photo.png", "text.jpg", "b.png", "--quiet", "--json", output="out") == 3
    assert names() == ["b.png", "photo.png"]
    output = capsys.readouterr()
    assert output.err.splitlines() == [
        f"error: text.jpg: {BROKEN['text.jpg']}",
        "error: 1 of 3 pictures failed: text.jpg",
    ]
    assert [json.loads(line)["content"] for line in output.out.splitlines()] == ["photo.png", "b.png"]


def test_a_missing_picture_whose_result_is_there_already(capsys):
    write_picture(read_picture("photo.png"), "out/missing.png")
    assert stylize("missing.png", "photo.png", "--quiet", output="out") == 3
    said = "error: missing.png: missing.png does not exist; check the path\n"
    assert capsys.readouterr().err == said + "error: 1 of 2 pictures failed: missing.png\n"


def test_all_bad_is_a_failure(capsys):
    broken("text.jpg")
    assert stylize("missing.jpg", "text.jpg", "--quiet", output="out") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "error: 2 of 2 pictures failed: missing.jpg, text.jpg"


def test_a_wrong_option_is_said_once_for_all_pictures(capsys):
    write_picture(read_picture("photo.png"), "b.png")
    assert fails(capsys, 2, "photo.png", "b.png", "--descriptor", "vgg18", output="out") == (
        "unknown descriptor 'vgg18'; did you mean 'vgg19'?"
    )
