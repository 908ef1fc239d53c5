"""Films as people have them: turned, cut off, in HDR, with places, covers, subtitles and strange names."""

from __future__ import annotations

import json
import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from impasto.cli.console import RunDisplay
from impasto.cli.film import is_film
from impasto.cli.main import run
from impasto.errors import ImageError, ImageReadError, TruncatedFilmError
from impasto.films import FILM_FORMATS
from impasto.films.animations import open_film
from impasto.films.clips import Clip
from impasto.films.containers import Encoding, packets, reading
from impasto.films.joining import check_joining, join
from impasto.images import made_by, read_picture
from lanes import slow

WIDTH, HEIGHT, FRAMES, RATE = 96, 64, 12, 24


def drawn(number):
    """A frame of which every quarter has a colour of its own, with a bar that moves."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = 220, 40, 40
    pixels[: HEIGHT // 2, WIDTH // 2 :] = 40, 200, 60
    pixels[HEIGHT // 2 :, : WIDTH // 2] = 50, 60, 210
    pixels[HEIGHT // 2 :, WIDTH // 2 :] = 200, 200, 90
    pixels[:, 4 * number : 4 * number + 4] = 255
    return pixels


def write_film(path, *, form=None, codec="libx264", sound=None, frames=FRAMES, tags=(), faststart=False, **pictures):
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(f"file:{path}", "w", format=form, options=options) as container:
        container.metadata.update(dict(tags))
        stream = container.add_stream(codec, rate=RATE, width=WIDTH, height=HEIGHT)
        stream.pix_fmt = pictures.pop("pix_fmt", "yuv420p")
        stream.options, stream.codec_context.bit_rate = pictures.pop("options", {}), pictures.pop("bit_rate", 0)
        for name, value in pictures.items():
            setattr(stream.codec_context, name, value)
        voice = container.add_stream(sound, rate=48000, bit_rate=128_000) if sound else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(drawn(number)).reformat(format=stream.pix_fmt, dst_colorspace=1)
            for name, value in pictures.items():
                setattr(frame, name, value)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
            if voice:
                container.mux(voice.encode(tone(number, voice)))
        container.mux(stream.encode())
        if voice:
            container.mux(voice.encode())
    return path


def tone(number, voice):
    count = 48000 // RATE
    waves = np.sin(440 * 2 * np.pi * np.arange(number * count, (number + 1) * count) / 48000)
    planar = np.repeat((8000 * waves).astype(np.int16)[None], 2, 0)
    frame = av.AudioFrame.from_ndarray(planar, format="s16p", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48000, number * count, Fraction(1, 48000)
    (resampled,) = av.AudioResampler(format=voice.format.name, layout="stereo", rate=48000).resample(frame)
    return resampled


def stylize(source, target, *options):
    return run(["stylize", str(source), "-s", "great-wave", "-o", str(target), "--quiet", *options])


def copied(source, target):
    """Write the frames of ``source`` into ``target``, unpainted; return the sentences about what is left out."""
    clip = open_film(source)
    encoding = Encoding.of(clip.width, clip.height, FILM_FORMATS[target.suffix], 90)
    tracks, lost = check_joining(clip, encoding, target)
    part = target.with_suffix(".part")
    encoding.write_part(part, clip.read(), clip)
    join([part], clip, tracks, target, encoding, json.dumps({"engine": "none"}))
    return lost


def shown(path):
    return [frame.pixels for frame in Clip(path).read()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("films") / "plain.mp4", sound="aac")


MATRICES = {
    (1, 0, 0, 1): lambda a: a,
    (-1, 0, 0, 1): lambda a: a[:, ::-1],
    (1, 0, 0, -1): lambda a: a[::-1],
    (-1, 0, 0, -1): lambda a: a[::-1, ::-1],
    (0, 1, -1, 0): lambda a: np.rot90(a, -1),
    (0, -1, 1, 0): lambda a: np.rot90(a),
    (0, 1, 1, 0): lambda a: a.swapaxes(0, 1),
    (0, -1, -1, 0): lambda a: np.rot90(a.swapaxes(0, 1), 2),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_film_is_shown_as_its_track_matrix_says(plain, tmp_path, matrix):
    data = bytearray(plain.read_bytes())
    a, b, c, d = (number << 16 for number in matrix)
    begin = data.index(b"tkhd") + 4 + 40  # ISO 14496-12, section 8.3.2
    data[begin : begin + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(data)
    expected = MATRICES[matrix](shown(plain)[0])
    clip = Clip(turned)
    assert (clip.height, clip.width) == expected.shape[:2]
    assert np.array_equal(next(clip.read()).pixels, expected)


@pytest.mark.parametrize("suffix", [".mp4", *slow(".mov", ".mkv", ".webm")])
def test_a_result_tells_neither_place_nor_camera(tmp_path, suffix):
    tags = {"location": "+52.5200+013.4050/", "make": "Apple", "model": "iPhone 15", "title": "holiday"}
    tags |= {"com.apple.quicktime.location.ISO6709": "+52.5200+013.4050/", "synopsis": "13.4050 east"}
    film = write_film(tmp_path / "given.mkv", sound="aac", tags=tags)
    result = tmp_path / f"out{suffix}"
    copied(film, result)
    data = result.read_bytes()
    assert b"52.52" not in data and b"13.4050" not in data and b"iPhone" not in data and b"Apple" not in data
    with reading(result) as container:
        assert {name.lower(): value for name, value in container.metadata.items()}["comment"] == '{"engine": "none"}'
        assert container.metadata["title"] == "holiday"


@pytest.mark.slow  # FFmpeg takes seconds to prepare a mapping
@pytest.mark.parametrize(("transfer", "primaries", "matrix"), [(18, 9, 9), (1, 12, 1)], ids=["HLG", "P3"])
def test_a_film_in_hdr_or_a_wide_gamut_becomes_bt709(tmp_path, transfer, primaries, matrix):
    colors = {"color_trc": transfer, "color_primaries": primaries, "colorspace": matrix, "color_range": 1}
    ten = {"pix_fmt": "yuv420p10le", "options": {"x265-params": "log-level=none"}}
    film = write_film(tmp_path / "given.mp4", codec="libx265", frames=2, **ten, **colors)
    copied(film, tmp_path / "out.mp4")
    with reading(tmp_path / "out.mp4") as container:
        frame = next(container.decode(video=0))
        assert [frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range] == [1, 1, 1, 1]
    red = shown(tmp_path / "out.mp4")[0][8:24, 16:32].mean((0, 1))
    if transfer == 1:  # the same numbers are a stronger colour in a wide gamut
        assert red[0] > 230 / 255 and red.min() < 36 / 255
    else:
        assert red.argmax() == 0 and red[0] - red[1:].max() > 0.3


@pytest.mark.slow
def test_bright_parts_of_a_film_in_pq_keep_their_order(tmp_path):
    """SMPTE ST 2084: 0.508 is 100 cd/m2, 0.581 is 203, 0.752 is 1,000; clipping at white would make two of them one."""
    colors = {"color_trc": 16, "color_primaries": 9, "colorspace": 9, "color_range": 1}
    with av.open(str(tmp_path / "ramp.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE, width=96, height=32)
        stream.pix_fmt = "yuv420p10le"
        for name, value in colors.items():
            setattr(stream.codec_context, name, value)
        levels = np.repeat(np.array([0.0, 0.508, 0.581, 0.752, 0.902, 1.0]), 16)
        pixels = np.broadcast_to((65535 * levels).astype(np.uint16)[None, :, None], (32, 96, 3))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb48le")
        frame = frame.reformat(format="yuv420p10le", dst_colorspace=9, dst_color_range=1)
        for name, value in colors.items():
            setattr(frame, name, value)
        frame.pts, frame.time_base = 0, Fraction(1, RATE)
        container.mux([*stream.encode(frame), *stream.encode()])
    found = shown(tmp_path / "ramp.mkv")[0][16, 8::16].mean(1)
    assert found[0] < 0.02 and found[-1] > 0.95
    assert np.diff(found).min() > 0.03
    assert 0.4 < found[1] < 0.6


def test_the_colours_of_an_unknown_matrix_are_refused(tmp_path):
    film = write_film(tmp_path / "given.mkv", colorspace=14)
    with pytest.raises(ImageReadError, match="colour matrix 14 cannot be read"):
        Clip(film)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_film_that_is_cut_off_is_painted_and_said_so(tmp_path, suffix, capsys):
    film = write_film(
        tmp_path / f"whole{suffix}", frames=48, faststart=suffix == ".mp4", options={"g": "6", "crf": "5"}
    )
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(film.read_bytes()[: film.stat().st_size * 4 // 5])
    whole = shown(film)
    assert len(whole) == 48
    assert stylize(cut, tmp_path / "out.mp4", "--strength", "0", "--steady", "0", "--json") == 3
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert 2 < report["frames"] < 47
    assert f"cut{suffix} is cut off after {report['frames']} of about" in said.err
    assert said.err.count("\n") == 1 and report["missing"] in said.err
    found = shown(tmp_path / "out.mp4")
    assert len(found) == report["frames"]
    assert np.abs(found[2] - whole[2]).mean() < 0.03


def test_frames_that_cannot_be_decoded_are_said(tmp_path):
    film = write_film(tmp_path / "whole.mov", codec="png", pix_fmt="rgb24")
    with reading(film) as container:
        (fourth,) = [bytes(packet) for index, packet in enumerate(packets(container)) if index == 3]
    broken = tmp_path / "broken.mov"
    broken.write_bytes(film.read_bytes().replace(fourth, bytes(len(fourth))))
    read = []
    with pytest.raises(TruncatedFilmError, match="1 of about 12 frames cannot be read"):
        for frame in Clip(broken).read():
            read.append(frame)
    assert len(read) == FRAMES - 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_main_track_is_painted(plain, tmp_path, suffix):
    """A thumbnail that comes first, and a larger cover that says what it is."""
    mixed = tmp_path / f"mixed{suffix}"
    with av.open(str(mixed), "w") as container, av.open(str(plain)) as source:
        small = container.add_stream("mjpeg", rate=1, width=48, height=48, pix_fmt="yuvj420p")
        film = container.add_stream_from_template(source.streams.video[0])
        cover = container.add_stream("mjpeg", rate=1, width=320, height=320, pix_fmt="yuvj420p")
        cover.disposition = av.stream.Disposition.attached_pic
        for stream in (small, cover):
            still = av.VideoFrame(stream.width, stream.height, "yuvj420p")
            still.pts, still.time_base = 0, Fraction(1)
            container.mux([*stream.encode(still), *stream.encode()])
        for packet in packets(source, source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = film
                container.mux(packet)
    clip = Clip(mixed)
    assert (clip.width, clip.height) == (WIDTH, HEIGHT)
    assert len(list(clip.read())) == FRAMES


NAMES = [("clip:1.mp4", "take:2.mp4"), ("pipe:0.mp4", "http:.mkv"), ("a%03d.mp4", "b%03d.mp4"), ("-.mp4", "ü ?.mp4")]


@pytest.mark.parametrize(
    ("given", "made"), [*slow(*NAMES), (os.fsdecode(b"\xff\xfe.mp4"), os.fsdecode(b"out\xff.mp4"))]
)
def test_films_may_have_any_name(plain, tmp_path, monkeypatch, given, made, capsys):
    monkeypatch.chdir(tmp_path)
    Path(given).write_bytes(plain.read_bytes())
    assert stylize(given, made, "--json") == 0
    assert json.loads(capsys.readouterr().out)["frames"] == FRAMES
    assert {path.name for path in Path().iterdir()} == {given, made}
    assert len(shown(Path(made))) == FRAMES


@pytest.mark.parametrize(
    ("codec", "form"), [("pcm_s16le", "mov"), ("aac", "ts"), *slow(("libopus", "webm"), ("flac", "mkv"))]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".3gp", *slow(".mov", ".webm", ".flv", ".ts")])
def test_every_container_gets_sound_that_it_can_hold(tmp_path, codec, form, suffix):
    picture = "libvpx-vp9" if form == "webm" else "libx264"
    film = write_film(tmp_path / f"given.{form}", codec=picture, sound=codec)
    copied(film, tmp_path / f"out{suffix}")
    assert len(shown(tmp_path / f"out{suffix}")) == FRAMES
    with reading(tmp_path / f"out{suffix}") as made:
        heard = sum(frame.samples for frame in made.decode(audio=0)) / 48000
    assert abs(heard - FRAMES / RATE) < 0.1


def test_what_cannot_be_written_is_known_before_it_is_painted(plain, tmp_path, monkeypatch, capsys):
    def in_vp9(width, height, form, quality):
        return Encoding(width, height, form, quality, codec="libvpx-vp9")

    monkeypatch.setattr(RunDisplay, "step", lambda *_: pytest.fail("painted"))
    monkeypatch.setattr(Encoding, "of", in_vp9)  # which FFmpeg does not write into QuickTime
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "other").touch()
    assert stylize(plain, folder / "out.mov") == 1
    assert "cannot be written" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["other"]


def test_subtitles_and_chapters_are_kept_but_for_those_of_drones(tmp_path):
    film = write_film(tmp_path / "given.mkv", sound="aac")
    with av.open(str(tmp_path / "titled.mkv"), "w") as container, av.open(str(film)) as source:
        streams = [container.add_stream_from_template(stream) for stream in source.streams]
        words, places = container.add_stream("subrip"), container.add_stream("subrip")
        for stream in (words, places):
            stream.codec_context.subtitle_header = b"[Script Info]\nScriptType: v4.00+\n"
        words.metadata["language"] = "fra"
        container.set_chapters(
            [{"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}]
        )
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
        for stream, text in ((words, b"bonjour"), (places, b"GPS (13.4050, 52.5200, 18)")):
            packet = av.Packet(text)
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = 100
            packet.duration = 200
            container.mux(packet)
    for suffix in (".mp4", ".mkv", ".webm"):
        out = tmp_path / f"out{suffix}"
        assert copied(tmp_path / "titled.mkv", out) == ["subtitles that contain locations are left out (track 3)"]
        with reading(out) as made:
            (subtitles,) = made.streams.subtitles
            assert subtitles.metadata["language"] == "fra"
            assert [chapter["metadata"]["title"] for chapter in made.chapters()] == ["one"]
            (packet,) = [packet for packet in packets(made, subtitles) if b"bonjour" in bytes(packet)]
            assert float(packet.pts * packet.time_base) == pytest.approx(0.1, abs=0.002)
            assert float(packet.duration * packet.time_base) == pytest.approx(0.2, abs=0.002)
        assert b"52.5200" not in out.read_bytes()


KINDS = {
    ".3gp": ("mpeg4", "aac"),
    ".avi": ("mpeg4", "libmp3lame"),
    ".flv": ("flv", "aac"),
    ".m2ts": ("libx264", "ac3"),
    ".mpg": ("mpeg2video", "mp2"),
    ".ts": ("mpeg2video", "mp2"),
    ".wmv": ("wmv2", "wmav2"),
}


@pytest.mark.parametrize("suffix", KINDS)
def test_the_films_that_people_have_are_read_with_their_sound(tmp_path, suffix):
    picture, sound = KINDS[suffix]
    film = write_film(tmp_path / f"given{suffix}", codec=picture, sound=sound, bit_rate=2_000_000)
    assert is_film(film, tmp_path / "out.mp4")
    clip = Clip(film)
    read = list(clip.read())
    assert len(read) == FRAMES
    assert float((read[-1].time - read[0].time) * clip.time_base) == pytest.approx((FRAMES - 1) / RATE, abs=0.05)
    assert np.abs(read[3].pixels - drawn(3) / 255).mean() < 0.06
    assert copied(film, tmp_path / "out.mp4") == []
    with reading(tmp_path / "out.mp4") as made:
        assert made.start_time / av.time_base < 0.1, "the film begins at once, wherever its file begins to count"
        heard = sum(frame.samples for frame in made.decode(audio=0)) / 48000
    assert abs(heard - FRAMES / RATE) < 0.2


DELAYS = [100, 40, 300, 70]


def animated(path):
    """Four frames of an animation, with a transparent corner."""
    frames = []
    for number in range(4):
        levels = np.dstack([drawn(number), np.full((HEIGHT, WIDTH), 255, np.uint8)])
        levels[-16:, -16:] = 0
        frames.append(Image.fromarray(levels))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=DELAYS, loop=0, disposal=2, lossless=True)
    return path


@pytest.mark.parametrize("given", [".gif", ".webp"])
@pytest.mark.parametrize("made", [".gif", ".webp", ".mp4"])
def test_animations_are_films(tmp_path, given, made):
    clip = open_film(animated(tmp_path / f"given{given}"))
    assert (clip.width, clip.height, clip.frames) == (WIDTH, HEIGHT, 4)
    assert [frame.time for frame in clip.read()] == [0, 100, 140, 440]
    assert next(clip.read()).pixels[-8:, -8:].min() == 1, "alpha is laid over white"
    copied(tmp_path / f"given{given}", tmp_path / f"made{made}")
    back = open_film(tmp_path / f"made{made}")
    times = [round(1000 * frame.time * back.time_base) for frame in back.read()]
    assert times == [0, 100, 140, 440] and back.frames == 4
    for number, frame in enumerate(back.read()):
        assert np.abs(frame.pixels[:-16] - drawn(number)[:-16] / 255).mean() < 0.03


def test_an_animation_is_painted_and_its_first_frame_is_a_picture(tmp_path, capsys):
    given = animated(tmp_path / "given.gif")
    assert stylize(given, tmp_path / "out.webp", "--json") == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 4
    assert open_film(tmp_path / "out.webp").frames == 4
    assert made_by(tmp_path / "out.webp")["engine"] == "fast"
    assert stylize(given, tmp_path / "out.png", "--engine", "fast") == 0
    assert read_picture(tmp_path / "out.png").width == WIDTH
    with Image.open(given) as image:
        image.convert("RGB").save(tmp_path / "one.gif")
    assert not is_film(tmp_path / "one.gif", tmp_path / "out.gif")


def test_films_become_animations_that_browsers_show_at_their_speed(tmp_path):
    film = write_film(tmp_path / "given.mp4", sound="aac")
    fast = tmp_path / "fast.mkv"
    with av.open(str(fast), "w") as container:
        stream = container.add_stream("libx264", rate=100, width=WIDTH, height=HEIGHT)
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(drawn(number))
            frame.pts, frame.time_base = number, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert copied(film, tmp_path / "slow.gif") == ["a GIF has no sound"]
    copied(fast, tmp_path / "fast.gif")
    for name, seconds in (("slow.gif", FRAMES / RATE), ("fast.gif", 0.2)):
        with Image.open(tmp_path / name) as image:
            delays = [image.seek(number) or image.info["duration"] for number in range(image.n_frames)]
        assert min(delays) >= 20 and sum(delays) / 1000 == pytest.approx(seconds, abs=0.025)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_cut_off_animation_is_never_read_in_silence(tmp_path, suffix):
    whole = animated(tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ImageError, match="cut"):
        list(open_film(tmp_path / f"cut{suffix}").read())


def test_what_no_frame_of_a_gif_covers_is_white(tmp_path):
    data = bytearray(animated(tmp_path / "given.gif").read_bytes())
    data[6:10] = struct.pack("<2H", WIDTH + 16, HEIGHT + 16)
    (tmp_path / "wide.gif").write_bytes(data)
    frames = [frame.pixels for frame in open_film(tmp_path / "wide.gif").read()]
    assert len(frames) == 4
    assert all(pixels[HEIGHT:].min() == pixels[:, WIDTH:].min() == 1 for pixels in frames)


def test_an_animation_without_a_whole_frame_is_refused(tmp_path):
    (tmp_path / "bad.gif").write_bytes(animated(tmp_path / "given.gif").read_bytes()[:200])
    data = bytearray(animated(tmp_path / "given.webp").read_bytes())
    data[90:300] = bytes(210)
    (tmp_path / "bad.webp").write_bytes(data)
    for name in ("bad.gif", "bad.webp"):
        with pytest.raises(ImageReadError, match=f"{name} is broken"):
            list(open_film(tmp_path / name).read())


def test_a_folder_with_a_dot_gets_whole_animations(tmp_path):
    given = animated(tmp_path / "given.gif")
    assert stylize(given, f"{tmp_path / 'out.v2'}/") == 0
    assert open_film(tmp_path / "out.v2" / "given.gif").frames == 4
