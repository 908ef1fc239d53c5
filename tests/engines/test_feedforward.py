"""The fast engine, on a network with random weights: what it promises holds for any."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import impasto
import impasto.engines.feedforward
from impasto.cli.main import run
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.fast import FastEngine
from impasto.engines.network_graphs import NetworkGraphs
from impasto.engines.noise import Noise
from impasto.errors import StyleError, UsageError, WeightsError, WeightsFormatError
from impasto.gallery import GalleryStyle, read_style_file
from impasto.images import LazyPicture, read_picture, resize_picture, write_picture
from impasto.networks.checkpoint import load_network
from impasto.networks.conditional import NOISE_CHANNELS, ConditionalStylizer
from impasto.options import FastOptions
from impasto.types import Picture


@pytest.fixture
def paint(folder):
    def run_engine(content, *styles, on_step=lambda step: None, **options):
        inputs = StylizeInputs(LazyPicture.of(content), tuple(s if isinstance(s, Style) else Style(s) for s in styles))
        return FastEngine(FastOptions(network=str(folder), **options)).stylize(inputs, on_step=on_step)

    return run_engine


@pytest.mark.parametrize("size", [(301, 219), (8, 8), (5, 3), (1, 40), (513, 16), (1500, 3)])
def test_the_result_is_as_large_as_the_content(paint, content, styles, size):
    result = paint(resize_picture(content, *size), styles[0])
    assert (result.width, result.height) == size
    assert np.isfinite(result.pixels).all() and 0 <= result.pixels.min() <= result.pixels.max() <= 1


@pytest.mark.parametrize(("width", "side"), [(None, 64), (700, 144)])
def test_tiles_leave_no_trace(paint, content, styles, width, side, monkeypatch):
    steps = []
    content = content if width is None else resize_picture(content, width, 560)
    whole = paint(content, styles[0], precision="float32")
    monkeypatch.setattr(impasto.engines.feedforward, "_TILES", ((side, side),))
    monkeypatch.setattr(impasto.engines.feedforward, "_UNDIVIDED", 0)
    tiled = paint(content, styles[0], precision="float32", on_step=steps.append)
    assert len(steps) == 5 * 4 and steps[-1].fraction == 1
    assert np.abs(tiled.pixels - whole.pixels).max() < 1 / 255


@pytest.mark.parametrize(("width", "graphs"), [(512, ["measure"]), (640, ["measure", "measure", "render"])])
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


@pytest.mark.parametrize("width", [301, 640])
def test_a_style_is_predicted_once(folder, content, styles, width):
    options = FastOptions(network=str(folder))
    network = RecordedGraphs(options, "conditional")
    inputs = StylizeInputs(LazyPicture.of(resize_picture(content, width, 300)), (Style(styles[0]),))
    FastEngine(options, network=network).stylize(inputs, on_step=lambda step: None)
    assert network.ran.count("predict") == 1


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
    with pytest.raises(UsageError, match="stroke size needs the picture of the style; 'plain' is a code without one"):
        paint(content, stored, stroke_size=2.0)
    with pytest.raises(StyleError, match="style 'plain' was learned for another version of the network; learn it anew"):
        paint(content, replace(stored, network="0" * 64))


@pytest.mark.parametrize("mode", ["histogram", "coral"])
def test_colours_are_kept(paint, content, styles, mode):
    painted = paint(content, styles[0], keep_colors=mode).pixels
    plain = paint(content, styles[0]).pixels

    def difference(pixels):
        return max(
            np.abs(pixels.mean((0, 1)) - content.pixels.mean((0, 1))).max(),
            np.abs(pixels.std((0, 1)) - content.pixels.std((0, 1))).max(),
        )

    assert difference(painted) < 0.04 < difference(plain)


def test_strips_of_a_file_are_the_whole_picture(folder, content, styles, tmp_path, monkeypatch):
    alpha = np.linspace(0, 1, content.height * content.width, dtype=np.float32).reshape(content.pixels.shape[:2])
    write_picture(Picture(content.pixels, alpha, bit_depth=16), tmp_path / "in.png")
    write_picture(styles[0], tmp_path / "style.png")
    arguments = ["stylize", str(tmp_path / "in.png"), "-s", str(tmp_path / "style.png"), "--engine", "fast"]
    arguments += ["--network", str(folder), "--keep-colors", "coral", "--size", "280", "--precision", "float32"]
    assert run([*arguments, "-o", str(tmp_path / "whole.png")]) == 0
    monkeypatch.setattr(impasto.engines.feedforward, "_TILES", ((64, 64),))
    monkeypatch.setattr(impasto.engines.feedforward, "_UNDIVIDED", 0)
    for module in (impasto.images.decoding, impasto.images.encoding):
        monkeypatch.setattr(module, "LARGE_PICTURE", 1000)
    assert run([*arguments, "-o", str(tmp_path / "{stem}-{style}.png")]) == 0
    whole, strips = read_picture(tmp_path / "whole.png"), read_picture(tmp_path / "in-style.png")
    assert (strips.width, strips.height, strips.bit_depth) == (280, 204, 16)
    assert np.abs(strips.pixels - whole.pixels).max() < 1 / 255
    np.testing.assert_array_equal(strips.alpha, whole.alpha)
    assert strips.metadata == whole.metadata


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


def test_from_python_and_from_the_command_line(folder, photo, painting, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made = impasto.stylize(photo, painting, engine="fast", network=str(folder), size=96, precision="float32")
    arguments = ["-s", str(painting), "-o", "out.png", "--engine", "fast", "--network", str(folder), "--size", "96"]
    arguments += ["--precision", "float32"]
    assert run(["stylize", str(photo), *arguments]) == 0
    assert np.abs(read_picture("out.png").pixels - made.pixels).max() < 0.6 / 255
    assert run(["stylize", str(photo), *arguments, "--steps", "3"]) == 2
    assert capsys.readouterr().err.endswith("error: engine 'fast' has no option --steps; nnst or gatys has it\n")


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


def test_there_is_nothing_to_resume(folder, photo, painting, capsys):
    arguments = ["-s", str(painting), "-o", "out.png", "--engine", "fast", "--network", str(folder), "--resume"]
    assert run(["stylize", str(photo), *arguments]) == 2
    assert capsys.readouterr().err == ("error: --resume is for runs of many steps; engine 'fast' paints in one\n")


def test_what_is_no_network_is_refused(tmp_path, capsys):
    (tmp_path / "predict.onnx").write_bytes(b"")
    with pytest.raises(UsageError, match=r"lacks network\.json; name a folder that 'impasto export' wrote"):
        FastEngine(FastOptions(network=str(tmp_path)))
    bundled = impasto.descriptors.compact.BUNDLED
    with pytest.raises(WeightsFormatError, match=r"compact\.safetensors is no network of 'impasto train'"):
        load_network(bundled, ConditionalStylizer)
    assert run(["export", str(bundled), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("error: compact.safetensors is no network")


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
