"""The fast engine."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import impasto
import impasto.cli.console
from impasto.cli.main import run
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.fast import FastEngine, Noise
from impasto.engines.network_graphs import NetworkGraphs
from impasto.engines.tiling import Tiling
from impasto.errors import StyleError, UsageError, WeightsError, WeightsFormatError
from impasto.gallery import GalleryStyle, read_style_file
from impasto.images import LazyPicture, read_picture, resize_picture, resize_pixels, write_picture
from impasto.networks.checkpoint import load_network
from impasto.networks.conditional import NOISE_CHANNELS, ConditionalStylizer
from impasto.options import FastOptions
from impasto.types import Picture
from lanes import slow


@pytest.fixture
def paint(folder):
    def run_engine(content, *styles, on_step=lambda step: None, tiling=Tiling(), **options):  # noqa: B008 - frozen
        inputs = StylizeInputs(LazyPicture.of(content), tuple(s if isinstance(s, Style) else Style(s) for s in styles))
        engine = FastEngine(FastOptions(network=str(folder), **options), tiling=tiling)
        return engine.stylize(inputs, on_step=on_step)

    return run_engine


@pytest.mark.parametrize("size", [(301, 219), (5, 3), *slow(((8, 8),), ((1, 40),), ((513, 16),), ((1500, 3),))])
def test_the_result_is_as_large_as_the_content(paint, content, styles, size):
    result = paint(resize_picture(content, *size), styles[0])
    assert (result.width, result.height) == size
    assert np.isfinite(result.pixels).all() and 0 <= result.pixels.min() <= result.pixels.max() <= 1


@pytest.mark.parametrize(("width", "side"), [(None, 64), *slow((700, 144))])
def test_tiles_leave_no_trace(paint, content, styles, width, side):
    steps = []
    content = content if width is None else resize_picture(content, width, 560)
    whole = paint(content, styles[0], precision="float32")
    tiling = Tiling(((side, side),), undivided=0)
    tiled = paint(content, styles[0], precision="float32", tiling=tiling, on_step=steps.append)
    assert len(steps) == 5 * 4 and steps[-1].fraction == 1
    assert np.abs(tiled.pixels - whole.pixels).max() < 1 / 255


@pytest.mark.parametrize(("width", "graphs"), [(512, ["measure"]), *slow((640, ["measure", "measure", "render"]))])
def test_what_is_measured_as_a_whole_is_painted_by_that(paint, folder, content, width, graphs, monkeypatch):
    ran = []
    run_graph = NetworkGraphs.run
    monkeypatch.setattr(
        NetworkGraphs, "run", lambda self, name, **given: ran.append(name) or run_graph(self, name, **given)
    )
    paint(resize_picture(content, width, 300), read_style_file(folder / "identity.style"))
    assert ran == graphs


class RecordedGraphs(NetworkGraphs):
    """A network that keeps the names of the graphs that ran."""

    def __init__(self, *given):
        super().__init__(*given)
        self.ran = []

    def run(self, graph, **inputs):
        self.ran.append(graph)
        return super().run(graph, **inputs)


@pytest.mark.parametrize("width", [301, *slow(640)])
def test_a_style_is_predicted_once(folder, content, styles, width):
    options = FastOptions(network=str(folder))
    network = RecordedGraphs(options, "conditional")
    inputs = StylizeInputs(LazyPicture.of(resize_picture(content, width, 300)), (Style(styles[0]),))
    FastEngine(options, network=network).stylize(inputs, on_step=lambda step: None)
    assert network.ran.count("predict") == 1


@pytest.mark.parametrize("width", [301, 700])
def test_the_first_frame_of_a_shot_is_a_picture_and_gives_the_others_its_statistics(
    paint, folder, content, styles, width
):
    """So strokes are as large in films as in pictures."""
    content = resize_picture(content, width, 400)
    shot = FastEngine(FastOptions(network=str(folder))).shot(
        StylizeInputs(LazyPicture.of(content), (Style(styles[0]),)), print
    )

    def frame(picture):
        return np.concatenate([strip.pixels for strip in shot(LazyPicture.of(picture), None)])

    assert np.array_equal(frame(content), paint(content, styles[0]).pixels)
    passer = content.pixels.copy()
    passer[:, : width // 2] = 1 - passer[:, : width // 2]
    changed = np.abs(frame(Picture(passer)) - frame(content)).mean((0, 2))
    alone = np.abs(paint(Picture(passer), styles[0]).pixels - frame(content)).mean((0, 2))
    assert changed[: width // 4].min() > 0.01
    assert changed[-width // 8 :].max() < 0.2 * alone[-width // 8 :].mean()


def test_a_network_that_an_earlier_version_exported(paint, folder, content, monkeypatch):
    run_graph = NetworkGraphs.run

    def run_as_before(self, name, **given):
        return {"affine": run_graph(self, name, **given)["affine"]}

    monkeypatch.setattr(NetworkGraphs, "run", run_as_before)
    with pytest.raises(WeightsError, match="exported by another version of impasto; export it again"):
        paint(content, read_style_file(folder / "identity.style"))


def test_painting_with_the_exported_graphs_is_painting_with_the_network(folder, paint, checkpoint, content):
    network = load_network(checkpoint, ConditionalStylizer)
    small = resize_picture(content, 96, 64)
    image = torch.from_numpy(small.pixels).permute(2, 0, 1)[None]
    noise = torch.from_numpy(Noise(NOISE_CHANNELS, 0).part(0, 0, 8, 12))
    expected = network.transformer(image, network.identity[None], noise)[0].permute(1, 2, 0).detach().numpy()
    identity = read_style_file(folder / "identity.style")
    found = paint(small, identity, precision="float32").pixels
    assert np.abs(found - expected).max() < 2 / 255


def test_runtimes_agree(paint, content, styles):
    results = [
        paint(content, styles[0], runtime=runtime, precision="float32").pixels
        for runtime in ("openvino", "onnxruntime")
    ]
    assert np.abs(results[0] - results[1]).max() < 2 / 255


@pytest.mark.slow
def test_strength_goes_from_the_content_to_the_style(paint, content, styles):
    strengths = (0.0, 1e-4, 0.3, 0.7, 1.0)
    pixels = [paint(content, styles[0], strength=strength, precision="float32").pixels for strength in strengths]
    np.testing.assert_array_equal(pixels[0], content.pixels)
    distances = [float(np.abs(each - content.pixels).mean()) for each in pixels]
    assert distances == sorted(distances)
    assert distances[1] < 1e-3 < distances[2]


def test_styles_are_mixed_by_their_weights(folder, content, styles):
    engine = FastEngine(FastOptions(network=str(folder)))

    def code(*weighted):
        return engine.code(
            tuple(Style(source) for source, _ in weighted), [share for _, share in weighted], content.pixels
        )

    one, other = (code((each, 1.0)) for each in styles)
    np.testing.assert_allclose(code((styles[0], 0.25), (styles[1], 0.75)), 0.25 * one + 0.75 * other, atol=1e-4)
    assert np.abs(one - other).max() > 0.1
    stored = gallery_style(folder, one[0] + 1)
    np.testing.assert_allclose(code((styles[0], 0.5), (stored, 0.5)), one + 0.5, atol=1e-4)


def gallery_style(folder, code):
    return GalleryStyle("plain", code, read_style_file(folder / "identity.style").network)


def test_a_gallery_style_paints_as_its_picture_would(folder, paint, content, styles):
    engine = FastEngine(FastOptions(network=str(folder)))
    code = engine.code((Style(styles[0]),), [1.0], content.pixels)
    stored = gallery_style(folder, code[0])
    np.testing.assert_array_equal(paint(content, stored).pixels, paint(content, styles[0]).pixels)
    with pytest.raises(UsageError, match=r"stroke size is 0\.5; below 1 it needs the picture of the style"):
        paint(content, stored, stroke_size=0.5)
    with pytest.raises(StyleError, match="style 'plain' was learned for another version of the network; learn it anew"):
        paint(content, replace(stored, network="0" * 64))


@pytest.mark.parametrize("mode", ["histogram", *slow("coral")])
def test_colours_are_kept(paint, content, styles, mode):
    painted = paint(content, styles[0], keep_colors=mode).pixels
    plain = paint(content, styles[0]).pixels

    def difference(pixels):
        return max(
            np.abs(pixels.mean((0, 1)) - content.pixels.mean((0, 1))).max(),
            np.abs(pixels.std((0, 1)) - content.pixels.std((0, 1))).max(),
        )

    assert difference(painted) < 0.04 < difference(plain)


@pytest.mark.slow
def test_strips_of_a_file_are_the_whole_picture(paint, folder, content, styles, tmp_path, monkeypatch):
    alpha = np.linspace(0, 1, content.height * content.width, dtype=np.float32).reshape(content.pixels.shape[:2])
    write_picture(Picture(content.pixels, alpha, bit_depth=16), tmp_path / "in.png")
    write_picture(styles[0], tmp_path / "style.png")
    arguments = ["stylize", str(tmp_path / "in.png"), "-s", str(tmp_path / "style.png"), "--engine", "fast"]
    arguments += ["--network", str(folder), "--keep-colors", "coral", "--size", "1240", "--precision", "float32"]
    for module in (impasto.images.decoding, impasto.images.encoding):
        monkeypatch.setattr(module, "LARGE_PICTURE", 1000)
    assert run([*arguments, "-o", str(tmp_path / "{stem}-{style}.png")]) == 0
    strips = read_picture(tmp_path / "in-style.png")
    assert (strips.width, strips.height, strips.bit_depth) == (1240, 902, 16)
    given, style = (read_picture(tmp_path / name) for name in ("in.png", "style.png"))
    options = {"keep_colors": "coral", "size": 1240, "precision": "float32"}
    whole = paint(given, style, tiling=Tiling(undivided=strips.width * strips.height), **options)
    assert np.abs(strips.pixels - whole.pixels).max() < 1 / 255
    np.testing.assert_allclose(strips.alpha, whole.alpha, atol=1 / 65535)
    assert strips.metadata["options"] == whole.metadata["options"]


@pytest.mark.slow
def test_stroke_size_and_margin_change_what_is_seen_of_the_style(paint, content, styles):
    plain = paint(content, styles[0]).pixels
    for options in ({"stroke_size": 2.0}, {"style_margin": 0.3}):
        assert np.abs(paint(content, styles[0], **options).pixels - plain).mean() > 1e-4


def test_size_alpha_and_what_made_it(paint, content, styles):
    alpha = np.linspace(0, 1, content.height * content.width, dtype=np.float32).reshape(content.pixels.shape[:2])
    result = paint(Picture(content.pixels, alpha, bit_depth=16), styles[0], size=150)
    assert (result.width, result.height, result.bit_depth) == (150, 109, 16)
    assert result.alpha.shape == (109, 150)
    assert result.metadata["engine"] == "fast"
    assert len(result.metadata["network"]) == len("sha256:") + 64
    assert json.loads(result.metadata["options"])["size"] == 150


def test_ctrl_c_writes_nothing(folder, photo, painting, tmp_path, monkeypatch, capsys):
    def stop(self, step):
        raise KeyboardInterrupt

    monkeypatch.setattr(impasto.cli.console.RunDisplay, "step", stop)
    arguments = ["-s", str(painting), "-o", str(tmp_path / "out.png"), "--engine", "fast", "--network", str(folder)]
    assert run(["stylize", str(photo), *arguments]) == 130
    assert not (tmp_path / "out.png").exists()
    assert capsys.readouterr().err == "error: interrupted\n"


def test_from_python_and_from_the_command_line(folder, photo, painting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = impasto.stylize(photo, painting, engine="fast", network=str(folder), size=96, precision="float32")
    arguments = ["-s", str(painting), "-o", "out.png", "--engine", "fast", "--network", str(folder), "--size", "96"]
    arguments += ["--precision", "float32"]
    assert run(["stylize", str(photo), *arguments]) == 0
    assert np.abs(read_picture("out.png").pixels - made.pixels).max() < 0.6 / 255


def test_painting_needs_no_pytorch_and_no_progress_bar(folder, photo, painting, tmp_path):
    code = (
        "import sys\n"
        "unused = ('torch', 'safetensors', 'matplotlib', 'scipy', 'onnx', 'rich', 'impasto.options.training')\n"
        "for name in unused: sys.modules[name] = None\n"
        "from impasto.cli.main import main; main()"
    )
    arguments = ["-s", painting, "-o", "out.png", "--engine", "fast", "--network", folder, "--size", "64"]
    command = [sys.executable, "-c", code, "stylize", photo, *arguments]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert read_picture(tmp_path / "out.png").width == 64


def test_what_is_no_network_is_refused(tmp_path, capsys):
    (tmp_path / "predict.onnx").write_bytes(b"")
    with pytest.raises(UsageError, match=r"lacks network\.json; name a folder that 'impasto export' wrote"):
        FastEngine(FastOptions(network=str(tmp_path)))
    bundled = impasto.descriptors.compact.BUNDLED
    with pytest.raises(WeightsFormatError, match=r"compact\.safetensors is a descriptor, which sees and does not"):
        load_network(bundled, ConditionalStylizer)
    assert run(["export", str(bundled), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith(
        "error: compact.safetensors is a descriptor, which sees and does not paint"
    )


def test_engines_share_a_network(folder, content, styles):

    inputs = StylizeInputs(LazyPicture.of(content), (Style(styles[0]),))
    first = FastEngine(FastOptions(network=str(folder), strength=0.5))
    second = FastEngine(FastOptions(network=str(folder)), network=first.network)
    assert first.network is second.network
    alone = FastEngine(FastOptions(network=str(folder))).stylize(inputs, on_step=lambda step: None)
    first.stylize(inputs, on_step=lambda step: None)
    shared = second.stylize(inputs, on_step=lambda step: None)
    np.testing.assert_array_equal(shared.pixels, alone.pixels)
    assert shared.metadata == alone.metadata and '"strength":1.0' in shared.metadata["options"]


@pytest.mark.parametrize("engine", ["adain", *slow("sanet")])
def test_networks_with_an_encoder_paint_no_frame(styles, engine):
    pixels = np.full((151, 203, 3), 0.5, np.float32)  # sides that no stride divides
    pixels[60:90, 80:120] = (0.8, 0.3, 0.2)
    painted = impasto.stylize(Picture(pixels), styles[0], engine=engine).pixels
    frame = [painted[:6], painted[-6:], painted[:, :6], painted[:, -6:]]
    near = np.concatenate([painted[16:24, 16:-16].reshape(-1, 3), painted[-24:-16, 16:-16].reshape(-1, 3)]).mean(0)
    assert max(np.abs(edge - near).mean() for edge in frame) < 0.03


def plain_styles():
    columns = np.linspace(0, 1, 160, dtype=np.float32)[None, :, None]
    even = np.ones((120, 160, 3), np.float32)
    grain = np.random.default_rng(0).normal(0, 0.01, (120, 160, 1)).astype(np.float32)
    return {
        "black": 0 * even,
        "white": even,
        "red": even * np.float32([0.8, 0.1, 0.1]),
        "paper": (even * np.float32([0.93, 0.91, 0.85]) + grain).clip(0, 1),
        "gradient": even * (0.2 + 0.6 * columns),
        "two colours": np.where(columns < 0.5, even * np.float32([0.1, 0.2, 0.7]), even * np.float32([0.9, 0.8, 0.2])),
    }


@pytest.mark.parametrize("engine", ["fast", *slow("adain", "sanet")])
@pytest.mark.parametrize("style", plain_styles())
def test_a_plain_style_gives_a_calm_picture(engine, style, content):
    pixels = plain_styles()[style]
    painted = impasto.stylize(content, Picture(pixels), engine=engine).pixels
    glaring = (painted <= 1 / 255) | (painted >= 254 / 255)
    bright = pixels.mean() in (0, 1)  # the colour itself is at the end of the range
    assert glaring.mean() < (0.9 if bright else 0.1)
    assert painted.std() < content.pixels.std() + 0.1
    grey, own = painted.mean(2), content.pixels.mean(2)
    assert np.corrcoef(grey.ravel(), own.ravel())[0, 1] > 0.3, "the photograph is still to be seen"


@pytest.mark.slow
def test_colours_lie_between_photograph_and_painting(content, styles):
    ends = [impasto.stylize(content, styles[0], engine="fast", strength=strength).pixels for strength in (0, 1)]
    for strength in (0.25, 0.5, 0.75):
        painted = impasto.stylize(content, styles[0], engine="fast", strength=strength).pixels
        mixed = ends[0] + strength * (ends[1] - ends[0])
        np.testing.assert_allclose(painted.mean((0, 1)), mixed.mean((0, 1)), atol=0.02)
        np.testing.assert_allclose(painted.std((0, 1)), mixed.std((0, 1)), atol=0.03)


@pytest.mark.parametrize("engine", ["fast", *slow("adain", "sanet")])
def test_a_larger_stroke_size_changes_the_whole(engine, content, styles):
    content = resize_picture(content, 256, 192)

    def cells(stroke_size):
        painted = impasto.stylize(content, styles[0], engine=engine, stroke_size=stroke_size)
        return resize_pixels(painted.pixels, 12, 16)

    usual, double, large = (cells(stroke_size) for stroke_size in (1.0, 2.0, 4.0))
    assert np.abs(large - usual).mean() > np.abs(double - usual).mean() > 0.01
