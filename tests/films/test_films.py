"""Films: what goes in, what comes out, and what happens in between."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

import impasto
from clips import write_clip
from impasto.cli.console import RunDisplay
from impasto.cli.main import run
from impasto.engines.base import Style
from impasto.engines.catalog import OPTIONS, create_engine, parse_options
from impasto.errors import CheckpointError
from impasto.films import FILM_FORMATS
from impasto.films.clips import Clip, whole_times
from impasto.films.containers import Encoding
from impasto.films.joining import check_joining
from impasto.films.motion import Steady
from impasto.films.painting import PaintedFrames, Parts, Shots, paint_film
from impasto.gallery import StyleCatalog, write_style_file
from impasto.images import read_picture, resize_picture, resize_pixels
from impasto.types import Picture
from lanes import slow

WIDTH, HEIGHT = 160, 96
MOVE = (1, 2)
"""Pixels down and right that the camera moves between two frames."""


@pytest.fixture(scope="module")
def scenes(request):
    """Two pictures to move over."""
    folder = request.getfixturevalue("photo").parent
    sides = (2 * WIDTH, 2 * HEIGHT)
    return [resize_picture(read_picture(folder / name), *sides).pixels for name in ("harbour.jpg", "still-life.jpg")]


def panned(scene, number):
    down, right = (number * step for step in MOVE)
    grain = np.random.default_rng(number).normal(0, 0.01, (HEIGHT, WIDTH, 3))
    return np.clip(scene[down : down + HEIGHT, right : right + WIDTH] + grain, 0, 1).astype(np.float32)


def packets(path, kind):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(**{kind: 0}) if packet.size]


def seconds(path, kind):
    with av.open(str(path)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(**{kind: 0}))


def moments(clip, frames):
    return [float((frame.time - frames[0].time) * clip.time_base) for frame in frames]


def stylize(source, target, *options):
    return run(["stylize", str(source), "-s", "great-wave", "-o", str(target), "--quiet", *map(str, options)])


@pytest.fixture(scope="module")
def clip(scenes, tmp_path_factory):
    frames = [panned(scenes[0], number) for number in range(14)] + [panned(scenes[1], number) for number in range(10)]
    return write_clip(tmp_path_factory.mktemp("films") / "clip.mp4", frames, sound=True)


@pytest.mark.parametrize("suffix", [".mp4", *slow(".mkv", ".mov", ".webm")])
def test_a_film_keeps_all_but_its_looks(clip, tmp_path, suffix, capsys):
    out = tmp_path / f"out{suffix}"
    assert stylize(clip, out, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["shots"], report["width"], report["height"]) == (24, 2, WIDTH, HEIGHT)
    given, made = Clip(clip), Clip(out)
    assert (made.width, made.height, made.rate, made.colors) == (given.width, given.height, given.rate, given.colors)
    if suffix == ".webm":  # whose sound has codecs of its own
        assert abs(seconds(out, "audio") - seconds(clip, "audio")) < 0.1
    else:
        assert packets(out, "audio") == packets(clip, "audio")
    before, after = list(given.read()), list(made.read())
    assert moments(made, after) == pytest.approx(moments(given, before), abs=0.002)
    alone = impasto.stylize(Picture(before[0].pixels), "great-wave", engine="fast").pixels
    assert np.abs(after[0].pixels - alone).mean() < 0.02, "the first frame is painted as a picture, and encoded"
    assert np.abs(after[0].pixels - before[0].pixels).mean() > 0.1
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_frames_keep_their_times_however_irregular(scenes, tmp_path):
    times = [0, 40, 90, 91, 400, 1000]
    clip = write_clip(tmp_path / "clip.mkv", [panned(scenes[0], number) for number in range(6)], times=times)
    assert stylize(clip, tmp_path / "out.mkv") == 0
    made = Clip(tmp_path / "out.mkv")
    assert [round(1000 * frame.time * made.time_base) for frame in made.read()] == times


def test_pixels_keep_their_shape(scenes, tmp_path):
    wide = Fraction(16, 11)
    clip = write_clip(tmp_path / "clip.mp4", [panned(scenes[0], number) for number in range(2)], shape=wide)
    assert Clip(clip).shape == wide
    assert stylize(clip, tmp_path / "out.mp4") == 0
    assert Clip(tmp_path / "out.mp4").shape == wide


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([-40, 0, 40, 40, 30, 100], [0, 40, 80, 81, 82, 140]),
        ([5, 10, 10, 10, 10, 60], [5, 10, 11, 12, 13, 60]),
        ([None, None, None], [0, 40, 80]),
        ([0, None, 50], [0, 40, 50]),
    ],
)
def test_times_that_cannot_be_written_are_put_right(given, expected):
    assert list(whole_times(given, 40)) == expected


@pytest.mark.slow
def test_two_tracks_of_sound_are_kept(clip, tmp_path):
    double = tmp_path / "double.mkv"
    with av.open(str(double), "w") as container, av.open(str(clip)) as source, av.open(str(clip)) as again:
        streams = [container.add_stream_from_template(stream) for stream in (*source.streams, again.streams.audio[0])]
        for opened, kinds in ((source, streams[:2]), (again, [None, streams[2]])):
            for packet in opened.demux():
                if packet.dts is not None and kinds[packet.stream.index]:
                    packet.stream = kinds[packet.stream.index]
                    container.mux(packet)
    assert stylize(double, tmp_path / "out.mkv") == 0
    with av.open(str(tmp_path / "out.mkv")) as made:
        assert [stream.type for stream in made.streams] == ["video", "audio", "audio"]


@pytest.mark.parametrize("matrix", [1, 5])
def test_colours_are_read_and_written_by_the_same_matrix(tmp_path, matrix):
    pure = np.zeros((64, 96, 3), np.float32)
    for index, color in enumerate([(0.9, 0.1, 0.1), (0.1, 0.8, 0.2), (0.1, 0.2, 0.9)]):
        pure[:, 32 * index : 32 * index + 32] = color
    clip = write_clip(tmp_path / "clip.mp4", [pure] * 3, matrix=matrix)
    assert stylize(clip, tmp_path / "out.mp4", "--strength", 0) == 0
    for source in (clip, tmp_path / "out.mp4"):
        film = Clip(source)
        assert film.colors["colorspace"] == matrix
        found = next(film.read()).pixels
        assert np.abs(found - pure)[8:-8].reshape(48, 3, 32, 3)[:, :, 8:-8].max() < 0.03


def test_a_film_of_a_phone_that_was_held_upright_is_painted_upright(scenes, tmp_path):
    upright = np.ascontiguousarray(panned(scenes[0], 0)[:, :HEIGHT])
    lying = np.ascontiguousarray(np.rot90(upright))
    clip = write_clip(tmp_path / "clip.mp4", [np.ascontiguousarray(lying[:64])] * 2)
    data = bytearray(clip.read_bytes())
    # ISO 14496-12, section 8.3.2: the matrix that turns pictures by 90 degrees clockwise.
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 64 << 16, 0, 1 << 30)
    clip.write_bytes(data)
    expected = np.rot90(lying[:64], -1)
    found = next(Clip(clip).read()).pixels
    assert found.shape == expected.shape == (HEIGHT, 64, 3)
    assert np.abs(found - expected).mean() < 0.02
    assert stylize(clip, tmp_path / "out.mp4", "--strength", 0) == 0
    assert np.abs(next(Clip(tmp_path / "out.mp4").read()).pixels - expected).mean() < 0.03


def flicker(frames):
    """How much a frame differs from the one before, moved as the camera moved."""
    down, right = MOVE
    return np.mean([np.abs(a[down:, right:] - b[:-down, :-right]).mean() for a, b in pairwise(frames)])


@pytest.mark.slow
def test_films_flicker_less_than_their_frames(scenes, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", [panned(scenes[0], number) for number in range(12)])
    assert stylize(clip, tmp_path / "out.mp4") == 0
    assert stylize(clip, tmp_path / "rough.mp4", "--steady", 0) == 0
    single = [impasto.stylize(Picture(frame.pixels), "great-wave", engine="fast").pixels for frame in Clip(clip).read()]
    steady, rough = ([frame.pixels for frame in Clip(tmp_path / name).read()] for name in ("out.mp4", "rough.mp4"))
    assert flicker(steady) < 0.7 * flicker(single)
    assert flicker(steady) < 0.7 * flicker(rough)


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "steady"), [("fast", 0), ("nnst", 0.7)])
def test_a_film_has_the_colours_of_its_first_frame(scenes, tmp_path, engine, steady):
    still, passer = panned(scenes[0], 0), panned(scenes[1], 0)
    frames = []
    for number in range(6):
        frame = still.copy()
        frame[:, : 12 * number] = passer[:, : 12 * number]
        frames.append(frame)
    clip = write_clip(tmp_path / "clip.mp4", frames)
    assert stylize(clip, tmp_path / "out.mp4", "--steady", steady, "--engine", engine) == 0
    corner = [frame.pixels[:, 130:].mean((0, 1)) for frame in Clip(tmp_path / "out.mp4").read()]
    single = [impasto.stylize(Picture(frame.pixels), "great-wave", engine=engine) for frame in Clip(clip).read()]
    alone = [picture.pixels[:, 130:].mean((0, 1)) for picture in single]
    assert np.abs(corner[-1] - corner[0]).max() < 0.5 * np.abs(alone[-1] - alone[0]).max()


def test_shots(scenes):
    scene, other = (resize_pixels(each, 90, 160) for each in scenes)
    film = [np.roll(scene, 3 * number, axis=1) for number in range(20)]
    film += [np.roll(other, 3 * number, axis=1) for number in range(20)]
    film += [(1 - share) * film[-1] + share * scene for share in np.linspace(0, 1, 25)]
    film += [scene * 0.9] * 5
    shots = Shots()
    begins = [number for number, pixels in enumerate(film) if shots.begins(pixels.astype(np.float32))]
    assert begins == [0, 20]


def paint_in_parts(path, target, on_step, *, engine="fast", resume=False, run="a run"):
    """Paint a film in parts of 5 frames."""
    clip, style = Clip(path), Style(StyleCatalog().get("great-wave"))
    encoding = Encoding.of(clip.width, clip.height, FILM_FORMATS[target.suffix], 90)
    tracks, _ = check_joining(clip, encoding, target)
    options = parse_options(engine, {} if engine == "fast" else {"steps": 12}, OPTIONS)
    frames = PaintedFrames(clip, create_engine(engine, options), (style,), Steady(0.7), on_step, print)
    paint_film(frames, clip, tracks, encoding, target, Parts(target.with_name("parts"), run, 5), resume=resume)


@pytest.mark.parametrize("engine", ["fast", *slow("nnst")])
def test_a_killed_run_goes_on_and_ends_in_the_same_pictures(clip, tmp_path, engine):
    def killed(step):
        if step.done == 18:
            raise KeyboardInterrupt

    painted = []
    paint_in_parts(clip, tmp_path / "whole.mp4", lambda step: None, engine=engine)
    with pytest.raises(KeyboardInterrupt):
        paint_in_parts(clip, tmp_path / "out.mp4", killed, engine=engine)
    assert not (tmp_path / "out.mp4").exists()
    with pytest.raises(CheckpointError, match="parts belongs to a run with another film or options"):
        paint_in_parts(clip, tmp_path / "out.mp4", print, engine=engine, resume=True, run="another run")
    paint_in_parts(clip, tmp_path / "out.mp4", lambda step: painted.append(step.done), engine=engine, resume=True)
    assert painted == list(range(16, 25))
    assert packets(tmp_path / "out.mp4", "video") == packets(tmp_path / "whole.mp4", "video")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "whole.mp4"]


def test_an_interrupted_command_keeps_its_parts_until_it_goes_on(scenes, tmp_path, monkeypatch):
    """An engine of many steps paints parts of 4 frames."""
    clip = write_clip(tmp_path / "clip.mp4", [panned(scenes[0], number) for number in range(6)])
    out = tmp_path / "o.mp4"
    paint = ["stylize", str(clip), "-o", str(out), "--engine", "gatys", "--descriptor", "compact", "--steps", "2", "-q"]
    done = []

    def killed(self, step):
        done.append(step.done)
        if len(done) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunDisplay, "step", killed)
    assert run([*paint, "-s", "great-wave"]) == 130
    assert not out.exists()
    assert run([*paint, "-s", "starry-night", "--resume"]) == 1
    write_style_file(replace(StyleCatalog().get("great-wave"), image=b""), tmp_path / "code.style")
    assert run([*paint, "-s", str(tmp_path / "code.style")]) == 2, "and the parts stay"
    (tmp_path / "code.style").unlink()
    assert run([*paint, "-s", "great-wave", "--resume"]) == 0
    assert done == [1, 2, 3, 4, 5, 6, 5, 6]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "o.mp4"]


def test_a_side_that_is_odd_loses_a_pixel(scenes, tmp_path, capsys):
    clip = write_clip(tmp_path / "clip.mp4", [panned(scenes[0], 0)] * 2)
    assert stylize(clip, tmp_path / "out.mp4", "--size", 101, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["width"], report["height"]) == (100, 60)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["gatys", "nnst"])
def test_an_optimisation_is_steadied_by_the_motion(scenes, painting, tmp_path, engine):
    clip = write_clip(tmp_path / "clip.mp4", [panned(scenes[0], number) for number in range(5)])
    errors = []
    for steady in ("0", "0.7"):
        out = tmp_path / f"{steady}.mp4"
        options = ["--engine", engine, "--descriptor", "compact", "--steps", "8", "--steady", steady, "-q"]
        assert run(["stylize", str(clip), "-s", str(painting), "-o", str(out), *options]) == 0
        errors.append(flicker([frame.pixels for frame in Clip(out).read()]))
    assert errors[1] < 0.7 * errors[0]
