"""Commands that cannot be carried out: each is refused in one sentence, before the work, and nothing is written.

What a value of an option may be is the affair of `tests/test_options.py`.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from clips import write_clip
from impasto.cli.main import run
from impasto.gallery import StyleCatalog, write_style_file
from impasto.images import read_picture, resize_picture, write_picture
from impasto.types import Picture

if TYPE_CHECKING:
    from pathlib import Path

FILES = "photo.png -s painting.jpg -o out.png"
PAINT = f"stylize {FILES} --engine gatys --steps 1000000 --scales 1"
SHALLOW = "--content-layers relu2_2 --style-layers relu1_1,relu2_1"
GATYS = f"--engine gatys --steps 1000000 --scales 1 {SHALLOW}"
NAMES = "use one of jpg, jpeg, png, tif, tiff, webp, avif, gif, jpe, jfif"
NO_PICTURE = "is not a JPEG, PNG, TIFF, WebP, AVIF or GIF file; convert it to one of these"
NUMBER = "it must be a positive number, like painting.jpg:0.5"
TRAIN = "--steps 2 --batch 2 --crop 64 --warmup 1 --quiet"
TRANSFORMER = f"train transformer -o new {TRAIN}"
CONDITIONAL = "train conditional --content photos --style photos -o new --quiet"
CLASSIFIER = "train classifier --data classes -o new --quiet --crop 32 --batch 8"

WRONG = [
    # commands and options
    (2, "stilize", 'Unknown command "stilize". Did you mean "stylize"?'),
    (2, "--verbose", 'Unknown command "--verbose".'),
    (2, "models lst", 'Unknown command "lst". Did you mean "list"?'),
    (2, f"{PAINT} --stepz 3", "unknown option '--stepz'; did you mean '--steps'?"),
    (2, f"{PAINT} --size 15", "size is '15'; it should be greater than or equal to 16"),
    (2, f"stylize {FILES} --engine gatis", "unknown engine 'gatis'; did you mean 'gatys'?"),
    (2, f"stylize {FILES} --engine fast --steps 3", "engine 'fast' has no option --steps; nnst or gatys has it"),
    (
        2,
        "stylize photo.png -o out.png --engine transformer --stroke-size 2",
        "engine 'transformer' has no option --stroke-size; nnst or gatys or fast or adain or sanet has it",
    ),
    (2, "stylize photo.png -o out.png --engine transformer --network mosaik", "unknown transformer network 'mosaik'"),
    (
        2,
        f"stylize {FILES} --engine fast --resume",
        "--resume is for runs of many steps; engine 'fast' paints in one",
    ),
    # descriptors and their layers
    (2, f"{PAINT} --descriptor vgg18", "unknown descriptor 'vgg18'; did you mean 'vgg19'?"),
    (
        2,
        f"stylize {FILES} --descriptor run/compact.safetensors",
        "there is no file 'run/compact.safetensors' with weights",
    ),
    (2, f"stylize photo.png b.png -s painting.jpg -o out {GATYS} --descriptor vgg18", "unknown descriptor 'vgg18'"),
    (2, f"{PAINT} --descriptor missing/vgg.pth", "there is no file 'missing/vgg.pth' with weights"),
    (2, f"{PAINT} --content-layers ''", "--content-layers is empty; is a variable of the shell not set?"),
    (2, f"{PAINT} --style-layers relu9_1", "unknown layer of vgg19 'relu9_1'; did you mean 'relu5_1'?"),
    pytest.param(
        2,
        f"{PAINT} {SHALLOW} --device cuda",
        "device 'cuda' cannot be used by this PyTorch; choose auto or cpu",
        marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
    ),
    (
        1,
        "stylize small.png -s painting.jpg -o out.png --engine gatys --style-layers relu1_1,relu4_1",
        "content image is 15x20; relu4_2 needs at least 16x16; choose a larger size or shallower layers",
    ),
    (
        1,
        "stylize photo.png -s small.png -o out.png --engine gatys --style-layers relu1_1,relu4_1",
        "style image is 15x20; relu4_1 needs at least 16x16; choose a larger size or shallower layers",
    ),
    # sizes that cannot be
    *(
        (2, f"{command} --engine {engine} --size 100000", "and at most 500,000,000 are painted; choose a smaller size")
        for command in (f"stylize {FILES}", f"compare {FILES}")
        for engine in ("nnst", "gatys", "fast", "adain", "sanet")
    ),
    (2, "texture painting.jpg -o out.png --size 100000x100000", "the limit is 500,000,000; choose a smaller size"),
    # the content
    (
        2,
        f"stylize -s painting.jpg -o out.png {GATYS}",
        "no content image is given; name a file, a folder, a pattern, or '-'",
    ),
    (1, f"stylize missing.jpg -s painting.jpg -o out.png {GATYS}", "missing.jpg does not exist; check the path"),
    (1, f"stylize photoss -s painting.jpg -o painted/ {GATYS}", "photoss does not exist; check the path"),
    (1, f"stylize text.jpg -s painting.jpg -o out.png {GATYS}", f"text.jpg {NO_PICTURE}"),
    (
        2,
        f"stylize out -s painting.jpg -o out.png {GATYS}",
        "folder out holds no pictures (.avif, .bmp, .dib, .gif, .heic, .heif, .hif, .jfif, .jpe, .jpeg, .jpg, .jxl, "
        ".png, .tif, .tiff, .webp)",
    ),
    (2, f"stylize *.tiff -s painting.jpg -o out.png {GATYS}", "no file matches '*.tiff'"),
    # the style
    (2, f"stylize photo.png -o out.png {GATYS}", "no style is given; name one of the gallery, or give a picture"),
    (1, f"stylize photo.png -s missing.jpg:2 -o out.png {GATYS}", "missing.jpg does not exist; check the path"),
    (1, f"stylize photo.png -s cut.jpg -o out.png {GATYS}", "cut.jpg is a broken or truncated JPEG file ("),
    (2, f"stylize photo.png -s out -o out.png {GATYS}", "folder out holds no pictures"),
    (2, f"stylize photo.png -s paintign -o painted/ {GATYS}", "unknown style 'paintign'"),
    (2, f"stylize photo.png -s painting.jpg:abc -o out.png {GATYS}", f"style weight is 'abc'; {NUMBER}"),
    (2, f"stylize photo.png -s painting.jpg: -o out.png {GATYS}", f"style weight is ''; {NUMBER}"),
    (2, f"stylize photo.png -s painting.jpg:0 -o out.png {GATYS}", "style weight is 0; it must be positive"),
    (2, f"stylize photo.png -s painting.jpg:-2 -o out.png {GATYS}", "style weight is -2; it must be positive"),
    (2, f"stylize photo.png -s painting.jpg:nan -o out.png {GATYS}", "style weight is nan; it must be positive"),
    (2, f"stylize photo.png -s painting.jpg:inf -o out.png {GATYS}", "style weight is inf; it must be positive"),
    (1, "stylize photo.png -s empty.style -o out.png --engine fast", "not a style file"),
    (1, "stylize photo.png -s nothing.style -o out.png --engine fast", "'impasto style' is missing"),
    (1, "stylize photo.png -s newer.style -o out.png --engine fast", "newer version of impasto"),
    (1, "stylize photo.png -s odd.style -o out.png --engine fast", "not a style file"),
    (1, "stylize photo.png -s short.style -o out.png --engine fast", "not a style file"),
    (2, "bench photo.png -s code.style --quiet", "is only a code for engine 'fast'"),
    # masks, the start, an earlier result
    (2, f"stylize {FILES} --mask mask.png --mask mask.png", "2 masks are given for 1 styles"),
    (
        2,
        f"{PAINT} -s great-wave {SHALLOW} --mask mask.png --mask mask.png --resume",
        "cannot be continued",
    ),
    (
        2,
        f"{PAINT} {SHALLOW} --init missing.png",
        "init is 'missing.png', which is not a file; choose 'content', 'noise', 'content+noise', ",
    ),
    (1, f"{PAINT} {SHALLOW} --init empty.png", "empty.png is empty (0 bytes); save or download it again"),
    (2, "stylize --from photo.png -o out.png", "photo.png does not say how it was painted"),
    (1, "stylize --from nothing.png -o out.png", "nothing.png does not exist"),
    *(
        (
            1,
            f"stylize photo.png -s painting.jpg -o {name}.png {GATYS} --resume",
            f"{name}.png.checkpoint is not a readable checkpoint; delete it, or start again without resuming",
        )
        for name in ("hollow", "hello", "zeros")
    ),
    # the result
    (2, f"stylize photo.png -s painting.jpg {GATYS}", "--output requires an argument"),
    (2, f"stylize photo.png -s painting.jpg {GATYS} -o", "-o requires an argument"),
    (
        1,
        f"stylize photo.png -s painting.jpg -o out.bmp {GATYS}",
        f"cannot write out.bmp: 'bmp' is not a format that impasto writes; {NAMES}",
    ),
    (
        1,
        f"stylize photo.png -s painting.jpg -o result {GATYS}",
        f"cannot write result: it has no suffix; {NAMES}",
    ),
    (2, f"{PAINT} --quality 101", "quality 101 for png: give 1 to 100, and only for JPEG, WebP or AVIF"),
    (2, f"{PAINT} --quality 80", "quality 80 for png: give 1 to 100, and only for JPEG, WebP or AVIF"),
    (
        2,
        f"stylize photo.png -s painting.jpg -o . {GATYS}",
        "photo.png would be replaced, and it is read as an input; choose another name for the result",
    ),
    # several pictures
    (
        2,
        f"stylize photo.png b.png -s painting.jpg -o out.png {GATYS}",
        "2 pictures need a folder for their results, such as painted/, or {stem} in their name; 'out.png' is neither",
    ),
    (
        2,
        f"stylize photo.png b.png -s painting.jpg -o - {GATYS}",
        "stdout takes one picture and 2 are given; name a folder with -o",
    ),
    (
        2,
        f"stylize photo.png - -s painting.jpg -o out {GATYS}",
        "a picture from stdin has no name; give its result one with -o FILE",
    ),
    (
        2,
        f"stylize photo.png photos/../photo.png -s painting.jpg -o out {GATYS}",
        "photo.png and photos/../photo.png would both become out/photo.png; tell them apart in -o with {suffix}",
    ),
    *(
        (
            2,
            f"stylize photo.png b.png -s painting.jpg -o {folder} {GATYS} {flag} run.{suffix}",
            f"{flag} names one file and 2 pictures are given; paint them one by one",
        )
        for folder, flag, suffix in (("out", "--losses", "csv"), ("painted/", "--animation", "gif"))
    ),
    # what is written beside the result
    (2, f"{PAINT} --losses run.txt", "--losses is 'run.txt'; its name must end in .csv"),
    (2, f"{PAINT} --animation run.mp4", "--animation is 'run.mp4'; its name must end in .gif or .webp"),
    *(
        (1, f"{PAINT} {SHALLOW} {flag} missing/{name}", f"cannot write missing/{name}: folder missing does not exist")
        for flag, name in (("--losses", "run.csv"), ("--animation", "run.gif"))
    ),
    (
        2,
        f"stylize photo.png -s painting.jpg -o - {GATYS} --json",
        "--json and -o - both write to stdout; choose one",
    ),
    (
        2,
        f"stylize photo.png -s painting.jpg -o - {GATYS} --save-every 1",
        "--save-every needs an output file to put its pictures beside; -o - has none",
    ),
    # films
    (2, "stylize clip.mp4 -s great-wave -o out.jpg", "the result of a film is a film"),
    (2, "stylize clip.mp4 -s great-wave -o -", "the result of a film is a film"),
    (2, "stylize clip.mp4 -s great-wave -o out.avi", "the result of a film is a film"),
    (2, "stylize clip.mp4 -s great-wave -o out.mp4 --mask mask.png", "leave --mask"),
    (2, "stylize clip.mp4 -s great-wave -o out.mp4 --steady 1", "--steady is 1; it should be at least 0"),
    (2, "stylize clip.mp4 -s great-wave -o out.mp4 --quality 500", "--quality is 500; it should be from 1 to 100"),
    (2, "stylize clip.mp4 -s painting.jpg -o out.mp4 --engine gatys --losses l.csv", "--losses is for pictures"),
    (2, "stylize clip.mp4 -s painting.jpg -o out.mp4 --engine gatys --save-every 2", "--save-every is for"),
    (2, "stylize clip.mp4 -s great-wave -o out.mp4 --plan", "--plan is for pictures"),
    (2, "stylize clips/* -s great-wave -o out.mp4 --plan", "--plan is for pictures"),
    (2, "stylize photo.png -s great-wave -o out.png --plan --resume", "--plan is for a whole run"),
    (2, "stylize photo.png -s great-wave -o out.png --steady 0.5", "--steady is for films"),
    (1, "stylize text.mp4 -s great-wave -o out.mp4", "text.mp4 cannot be read as a film"),
    (1, "stylize nowhere.mp4 -s great-wave -o out.mp4", "nowhere.mp4 does not exist; check the path"),
    # other commands
    (2, "texture painting.jpg -o out.png --size 64", "size is '64'; write WIDTHxHEIGHT in pixels"),
    (2, "texture -o out.png", "no style is given; name a picture of a texture, or a texture network"),
    (2, "texture golds -o out.png", "unknown picture or texture network 'golds'; did you mean 'gold'?"),
    (2, "texture gold painting.jpg -o out.png", "a texture network has one texture"),
    (2, "texture gold -o out.png --steps 3", "engine 'texture-net' has no option --steps"),
    (1, "texture nowhere.jpg -o out.png", "nowhere.jpg does not exist; check the path"),
    (
        2,
        f"compare {FILES}",
        "there is nothing to compare; give a recipe, or a sweep: write OPTION=VALUE,VALUE, or OPTION:OPTION",
    ),
    (
        2,
        f"compare {FILES} --sweep style-wieght=1,2",
        "unknown option 'style-wieght'; did you mean 'style-weight'?",
    ),
    (2, f"compare {FILES} --sweep steps=", "sweep 'steps=' lacks a value; write OPTION=VALUE,VALUE"),
    (2, f"compare {FILES} --sweep steps=10,0", "steps is '0'; it should be greater than or equal to 1"),
    (2, f"compare {FILES} --sweep optimizer=adam,adams", "optimizer is 'adams'; choose 'lbfgs', 'adam' or 'sgd'"),
    (
        2,
        f"compare {FILES} --recipe none.toml",
        "recipe none.toml cannot be read (No such file or directory); check the path",
    ),
    (
        2,
        "reconstruct painting.jpg -o out.png --content relu9_2",
        "unknown layer of vgg19 'relu9_2'; did you mean 'relu",
    ),
    (
        1,
        "reconstruct painting.jpg -o out.png --size 32",
        "image is 32x27; relu5_2 needs at least 32x32; choose a larger size or shallower layers",
    ),
    (2, "reconstruct painting.jpg -o out.png --descriptor vgg91", "unknown descriptor 'vgg91'; did you mean 'vgg19'?"),
    (1, "reconstruct painting.jpg -o out.html", "'html' is not a format that impasto writes"),
    (1, "reconstruct no.jpg -o out.png", "no.jpg does not exist; check the path"),
    (2, "bench photo.png -s painting.jpg --quiet --engine fasst", "did you mean 'fast'?"),
    (1, "bench photo.png -s painting.jpg --quiet -o nowhere/bench.json", "folder nowhere does not exist"),
    (2, "bench photo.png -s painting.jpg --quiet --runs 0", "--runs is 0; it should be at least 1"),
    (1, "bench photo.png -s painting.jpg --quiet --size 1", "size is '1'; it should be greater than or equal to 16"),
    (2, "styles show great-wav", "unknown style 'great-wav'; did you mean 'great-wave'?"),
    (2, "styles export great-wave -o mine.json", "output is 'mine.json'; the name of a style ends in .style"),
    (2, "styles learn painting.jpg --name 'A B'", "style name is 'A B'; use small letters, digits and hyphens"),
    (2, "styles learn painting.jpg -o a.png", "output is 'a.png'; the name of a style ends in .style"),
    (2, "styles learn painting.jpg --style-margin 0.49", "style_margin is"),
    (2, "styles remove nothing", "unknown style 'nothing'"),
    # trainings
    (
        2,
        f"{TRANSFORMER} --content photos -s painting.jpg --device gpu",
        "device is 'gpu'; choose 'auto', 'cpu', 'cuda', 'mps', or one of several GPUs",
    ),
    (
        2,
        f"{TRANSFORMER} --content photos -s painting.jpg --device cuda:99",
        "device 'cuda:99' cannot be used by this PyTorch; choose auto or cpu",
    ),
    (2, f"train compact --data nowhere -o new {TRAIN}", "nowhere is not a folder with pictures"),
    (2, "train compact --data photos -o new --quiet --crop 16", "crop is '16'; it should be greater than or equal to"),
    (2, f"{CONDITIONAL} --crop 100", "crop is '100'; it should be a multiple of 8"),
    (2, f"{CONDITIONAL} --judge vgg91", "unknown descriptor 'vgg91'; did you mean 'vgg19'?"),
    (2, f"train texture -o new {TRAIN}", "--style requires an argument"),
    (2, f"{TRANSFORMER} --judge compact --content nowhere -s painting.jpg", "nowhere is not a folder with pictures"),
    (1, f"{TRANSFORMER} --judge compact --content photos -s nowhere.jpg", "nowhere.jpg does not exist; check the path"),
    (2, f"{TRANSFORMER} --judge vgg91 --content photos -s painting.jpg", "did you mean 'vgg19'?"),
    (2, f"{TRANSFORMER} --judge compact --content photos -s painting.jpg --norm none", "norm is 'none'; choose"),
    (2, f"{TRANSFORMER} --judge compact --content photos -s painting.jpg --style-layers relu6_1", "relu6_1"),
    (
        2,
        f"{TRANSFORMER} --judge compact --content damaged -s painting.jpg",
        "hardly any picture can be read (damaged.jpg, for example, cannot)",
    ),
    (
        2,
        f"{CLASSIFIER} --width 0.0625 --freeze 2",
        "freeze keeps random weights as they are; name the weights to fine-tune with --start",
    ),
    (2, f"{CLASSIFIER} --width 0", "width is '0'; it should be greater than 0"),
    (2, f"{CLASSIFIER} --start nothing", "unknown descriptor 'nothing'"),
    (2, f"{CLASSIFIER} --optimizer adamax", "optimizer is 'adamax'; choose 'adamw', 'rmsprop' or 'sgd'"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory, request):
    """A folder with good and bad files of every kind. Trainings go into the folder 'new'."""
    folder = tmp_path_factory.mktemp("files")
    photo, painting = (read_picture(request.getfixturevalue(name)) for name in ("photo", "painting"))
    write_picture(resize_picture(photo, 40, 32), folder / "photo.png")
    write_picture(resize_picture(photo, 40, 32), folder / "b.png")
    write_picture(resize_picture(photo, 15, 20), folder / "small.png")
    write_picture(resize_picture(painting, 36, 30), folder / "painting.jpg")
    write_picture(Picture(np.ones((32, 40, 3), np.float32)), folder / "mask.png")
    for name in ("out", "clips", "photos", "damaged", "classes"):
        (folder / name).mkdir()
    write_picture(resize_picture(photo, 96, 72), folder / "photos" / "photo.jpg")
    (folder / "damaged" / "damaged.jpg").write_bytes((folder / "photos" / "photo.jpg").read_bytes()[:300])
    for name in ("good", "bad"):
        (folder / "classes" / name).mkdir()
        for number in range(20):
            noise = np.random.default_rng([number, len(name)]).random((44, 44, 3), dtype=np.float32)
            write_picture(Picture(noise), folder / "classes" / name / f"{number}.png")
    write_clip(folder / "clip.mp4", [resize_picture(photo, 64, 48).pixels] * 2)
    (folder / "clips" / "clip.mp4").symlink_to(folder / "clip.mp4")
    write_style_file(replace(StyleCatalog().get("great-wave"), image=b""), folder / "code.style")
    for name, content in {
        "text.jpg": b"This is no picture.\n",
        "text.mp4": b"no film",
        "empty.png": b"",
        "cut.jpg": (folder / "painting.jpg").read_bytes()[:-300],
        "hollow.png.checkpoint": b"",
        "hello.png.checkpoint": b"hello",
        "zeros.png.checkpoint": bytes(4096),
        "empty.style": b"",
        "nothing.style": b"{}",
        "newer.style": b'{"impasto style": 99}',
        "odd.style": b'{"impasto style": 1, "code": "%%"}',
        "short.style": b'{"impasto style": 1, "code": "AAA=", "swatch": ""}',
    }.items():
        (folder / name).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    paths = [path for path in folder.rglob("*") if "new" not in path.parts]
    return {path: path.read_bytes() if path.is_file() else b"" for path in paths}


@pytest.mark.usefixtures("loaded_once")
@pytest.mark.parametrize(("code", "command", "sentence"), WRONG)
def test_a_wrong_command_is_refused_before_the_work(files, monkeypatch, capsys, code, command, sentence):
    monkeypatch.chdir(files)
    before = contents(files)
    assert run(shlex.split(command)) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ") and output.err.count("\n") == 1
    assert sentence in output.err
    assert contents(files) == before
