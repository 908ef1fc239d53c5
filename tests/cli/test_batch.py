"""Many pictures in one ``impasto stylize``: which are meant, where results go, and what never stops or is replaced."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from impasto.cli.batch import expand, pair_outputs
from impasto.cli.main import run
from impasto.cli.provenance import Source
from impasto.errors import UsageError
from impasto.files import write_whole
from impasto.images import made_by, read_picture, resize_picture, write_picture


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, photo, painting):
    monkeypatch.chdir(tmp_path)
    small = resize_picture(read_picture(photo), 40, 32)
    write_picture(small, "photo.png")
    write_picture(small, "photo.jpg")
    write_picture(resize_picture(read_picture(painting), 36, 30), "style.png")
    write_picture(replace(small, alpha=small.pixels[:, :, 0].round()), "clear.png")
    return tmp_path


def paint(*arguments, style="style.png", engine="fast"):
    return run(["stylize", *map(str, arguments), "-s", style, "--engine", engine])


def found(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


# --- which pictures -------------------------------------------------------------------------------------------------


def test_two_stars_stand_for_folders_at_any_depth():
    Path("tree/deep/deeper").mkdir(parents=True)
    for name in ("tree/a.png", "tree/deep/b.png", "tree/deep/deeper/c.png"):
        Path(name).write_bytes(Path("photo.png").read_bytes())
    notes = []
    assert expand(["tree/**/*.png"], notes.append) == [
        "tree/a.png",
        "tree/deep/b.png",
        "tree/deep/deeper/c.png",
    ]
    assert "tree/deep" not in expand(["tree/**"], notes.append), "folders are no pictures"
    assert notes == []


def test_hidden_files_of_a_folder_are_not_meant_and_others_are_mentioned_once():
    Path("in").mkdir()
    for name in ("a.png", "._a.png", ".hidden.jpg"):
        Path("in", name).write_bytes(Path("photo.png").read_bytes())
    for number in range(12):
        Path("in", f"note{number:02d}.txt").write_text("no picture")
    notes = []
    assert expand(["in"], notes.append) == ["in/a.png"]
    (note,) = notes
    assert note.startswith("12 files in in are not pictures that can be read: note00.txt, ")
    assert note.endswith("note09.txt and 2 more")


def test_a_file_that_is_named_twice_is_painted_once():
    assert expand(["photo.png", "*.png"], print) == ["photo.png", "clear.png", "style.png"]


@pytest.mark.parametrize("flag", ["content", "-o", "-s", "--mask", "--from", "--animation", "--init", "--network"])
def test_an_empty_name_is_refused(capsys, flag):
    given = {"content": "photo.png", "-s": "style.png", "-o": "out.png", "--engine": "nnst"}
    given[flag] = ""
    if flag == "--network":
        given["--engine"] = "fast"
    content = given.pop("content")
    assert run(["stylize", content, *(word for pair in given.items() for word in pair)]) == 2
    error = capsys.readouterr().err
    assert "is empty; is a variable of the shell not set?" in error and error.count("\n") == 1
    assert not Path("out.png").exists()


def test_texts_may_be_empty_and_folders_may_not(capsys):
    assert run(["styles", "export", "great-wave", "-o", ""]) == 2
    assert run(["compare", "photo.png", "-s", "style.png", "-o", "sheet.png", "--separate", ""]) == 2
    assert run(["train", "compact", "--data", "", "-o", "out"]) == 2
    assert capsys.readouterr().err.count("is empty; is a variable of the shell not set?") == 3
    assert run(["styles", "learn", "missing.png", "--title", "", "-o", "a.style"]) == 1, "the picture is missing"


# --- where results go -----------------------------------------------------------------------------------------------


def sources(*names):
    return [Source(name, Path(name)) for name in names]


def test_placeholders_tell_results_apart():
    given = sources("a/photo.jpg", "a/photo.png", "/b/c/photo.png", "../photo.png")
    targets = [str(target) for _, target in pair_outputs(given, "out/{folder}/{stem}-{suffix}-{style}.png", given[:1])]
    assert targets == [
        "out/a/photo-jpg-photo.png",
        "out/a/photo-png-photo.png",
        "out/b/c/photo-png-photo.png",
        "out/photo-png-photo.png",
    ]
    (pair,) = pair_outputs(sources("{style}.png"), "{stem}.png", given[:1])
    assert str(pair[1]) == "{style}.png", "a name that looks like a placeholder is a name"


def test_results_of_one_name_say_which_placeholder_tells_them_apart():
    with pytest.raises(UsageError) as caught:
        pair_outputs(sources("photo.jpg", "photo.png"), "out/{stem}.png", [])
    assert str(caught.value).startswith(
        "photo.jpg and photo.png would both become out/photo.png; tell them apart in -o"
    )
    assert "{suffix}" in str(caught.value)


def test_a_photograph_in_two_formats_is_painted_twice():
    assert paint("photo.jpg", "photo.png", "-o", "out/{stem}-{suffix}.png", "-q") == 0
    assert found("out") == ["photo-jpg.png", "photo-png.png"]


def test_thousands_of_names_take_no_time():
    names = [f"in/{number}.jpg" for number in range(20_000)]
    began = time.process_time()
    pairs = pair_outputs(sources(*names), "out/", [])
    assert len({target for _, target in pairs}) == 20_000
    assert time.process_time() - began < 5, "comparing all with all takes minutes"


# --- one file never stops a batch -----------------------------------------------------------------------------------


def test_a_setting_that_one_file_does_not_take_costs_the_others_nothing(capsys):
    write_picture(read_picture("photo.png"), "last.jpg")
    assert paint("photo.jpg", "photo.png", "last.jpg", "-o", "out/", "--quality", "85", "-q") == 3
    assert found("out") == ["last.jpg", "photo.jpg"]
    errors = capsys.readouterr().err.splitlines()
    assert errors == [
        "error: photo.png: quality 85 for png: give 1 to 100, and only for JPEG, WebP or AVIF",
        "error: 1 of 3 pictures failed: photo.png",
    ]


def test_an_opaque_picture_has_no_alpha_mask_and_the_others_have(capsys):
    Path("see-through.png").write_bytes(Path("clear.png").read_bytes())
    assert paint("clear.png", "photo.png", "see-through.png", "-o", "out/", "--mask", "alpha", "-q") == 3
    assert found("out") == ["clear.png", "see-through.png"]
    assert "photo.png: the content has no transparency" in capsys.readouterr().err


def test_what_is_wrong_for_all_is_said_once(capsys):
    assert paint("photo.png", "clear.png", "-o", "out/", "--quality", "101", "-q") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert paint("photo.png", "clear.png", "-o", "out/", "--network", "nowhere", "-q") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path("out").exists()


def test_a_file_that_cannot_be_read_costs_the_others_nothing(capsys):
    os.mkfifo("pipe.png")
    Path("broken.png").write_bytes(Path("photo.png").read_bytes()[:200])
    long = "x" * 300 + ".png"
    assert paint("pipe.png", "broken.png", long, "photo.png", "-o", "out/", "-q") == 3
    assert found("out") == ["photo.png"]
    assert capsys.readouterr().err.splitlines()[-1] == f"error: 3 of 4 pictures failed: pipe.png, {long}, broken.png"


# --- no output replaces an input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["", "symbolic", "hard"])
@pytest.mark.parametrize("read", ["style.png", "mask.png", "start.png", "photo.png"])
def test_no_result_replaces_an_input(capsys, read, link):
    for name in ("mask.png", "start.png"):
        Path(name).write_bytes(Path("photo.png").read_bytes())
    target = "out.png" if link else read
    if link == "symbolic":
        Path(target).symlink_to(read)
    elif link == "hard":
        os.link(read, target)
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    given = ["photo.png", "--mask", "mask.png", "--init", "start.png"]
    assert paint(*given, "-o", target, engine="nnst") == 2
    assert "would be replaced, and it is read as an input" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["photo.png", "--animation", "style.gif", "-s", "style.gif", "-o", "out.png"],
        ["out-000050.png", "--save-every", "50", "-s", "style.png", "-o", "out.png"],
        ["photo.png", "--losses", "run.csv", "-s", "run-curves.png", "-o", "out.png"],
        ["photo.png", "photo.jpg", "-s", "style.png", "-o", "{stem}.jpg"],
        ["photo.png", "sub/photo-2.png", "-s", "style.png", "-o", "sub/{stem}-2.png"],
    ],
)
def test_no_file_of_a_run_replaces_an_input(capsys, arguments):
    Path("sub").mkdir()
    for name in ("style.gif", "out-000050.png", "run-curves.png", "sub/photo-2.png"):
        write_picture(read_picture("photo.png"), name)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert run(["stylize", *arguments]) == 2
    error = capsys.readouterr().err
    assert "is read as an input" in error or "would both become" in error
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_result_is_not_painted_over_the_one_that_it_is_made_from(capsys):
    assert paint("photo.png", "-o", "one.png", "-q") == 0
    assert run(["stylize", "--from", "one.png", "-o", "one.png"]) == 2
    assert "one.png would be replaced" in capsys.readouterr().err


# --- what is there already ------------------------------------------------------------------------------------------


def test_results_that_are_there_already_can_be_left(capsys):
    assert paint("photo.png", "-o", "out/", "-q") == 0
    before = Path("out/photo.png").stat().st_mtime_ns
    assert paint("photo.png", "clear.png", "-o", "out/", "--skip-existing", "--json") == 0
    output = capsys.readouterr()
    first, second = map(json.loads, output.out.splitlines())
    assert first == {"content": "photo.png", "output": "out/photo.png", "skipped": True}
    assert second["content"] == "clear.png" and second["width"] == 40
    assert "1 of 2 results are there already and were left as they are" in output.err
    assert Path("out/photo.png").stat().st_mtime_ns == before


def test_a_result_is_left_when_its_content_is_gone(capsys):
    assert paint("photo.png", "-o", "out/", "-q") == 0
    Path("photo.png").unlink()
    assert paint("photo.png", "-o", "out/", "--skip-existing", "-q") == 0
    assert paint("photo.png", "-o", "out/", "-q") == 1
    assert capsys.readouterr().err == "error: photo.png does not exist; check the path\n"


def test_resume_leaves_a_finished_picture_as_it_is(capsys):
    steps = ["--steps", "2"]
    assert paint("photo.png", "-o", "out.png", *steps, engine="nnst") == 0
    before = Path("out.png").read_bytes()
    capsys.readouterr()
    assert paint("photo.png", "-o", "out.png", *steps, "--seed", "3", "--resume", engine="nnst") == 0
    assert capsys.readouterr().err == "1 of 1 results are there already and were left as they are\n"
    assert Path("out.png").read_bytes() == before


def test_a_film_that_cannot_be_read_is_named_once(capsys):
    Path("d").mkdir()
    Path("d/a.mp4").write_text("text")
    assert paint("d/a.mp4", "photo.png", "-o", "out/", "-q") == 3
    said = capsys.readouterr().err
    first, summary = said.splitlines()
    assert first.startswith("error: d/a.mp4 cannot be read as a film: ")
    assert summary == "error: 1 of 2 pictures failed: d/a.mp4"
    assert found("out") == ["photo.png"]


def test_contents_that_do_not_exist_are_named_before_anything_is_painted(capsys):
    assert paint("photo.png", "no.png", "no.mp4", "-o", "out/", "--json", "-q") == 3
    output = capsys.readouterr()
    assert output.err.splitlines()[:2] == [
        "error: no.png does not exist; check the path",
        "error: no.mp4 does not exist; check the path",
    ]
    assert json.loads(output.out)["content"] == "photo.png"


# --- any file name --------------------------------------------------------------------------------------------------


def test_a_name_that_is_no_text_can_be_painted_and_painted_again(tmp_path):
    odd = os.fsdecode(b"caf\xe9 \xff.png")
    Path(odd).write_bytes(Path("photo.png").read_bytes())
    target = os.fsdecode(b"out\xff.png")
    assert paint(odd, "-o", target, "-q", style=odd) == 0
    assert json.loads(made_by(Path(target))["run"])["content"]["name"] == odd
    assert run(["stylize", "--from", target, "-o", "again.png", "-q"]) == 0
    assert Path("again.png").read_bytes() == Path(target).read_bytes()


def test_a_name_of_the_greatest_length_has_room_for_its_checkpoint():
    name = "ä" * 125 + ".png"
    assert len(name.encode()) == 254
    assert paint("photo.png", "-o", name, "--steps", "2", "--checkpoint-every", "1", "-q", engine="nnst") == 0
    assert Path(name).exists()
    assert found(".") == sorted([name, "clear.png", "photo.jpg", "photo.png", "style.png"])


# --- the file that is replaced --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_result_keeps_the_mode_of_the_file_that_it_replaces(mode):
    Path("out.png").write_bytes(b"private")
    Path("out.png").chmod(mode)
    assert paint("photo.png", "-o", "out.png", "-q") == 0
    assert Path("out.png").stat().st_mode & 0o777 == mode
    write_whole(Path("out.png"), b"again")
    assert Path("out.png").stat().st_mode & 0o777 == mode


def test_a_new_file_has_the_mode_that_the_user_wants_for_new_files():
    before = os.umask(0o027)
    try:
        write_whole(Path("new"), b"")
    finally:
        os.umask(before)
    assert Path("new").stat().st_mode & 0o777 == 0o640
