"""Every control in every engine has its effect, or says which engine has it. Networks are those in the package; one is
trained in two steps, as none of its kind is in the package.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import impasto
from impasto.cli.main import run
from impasto.engines.base import StylizeInputs
from impasto.engines.synthesis import TileView
from impasto.engines.texture_net import TextureNetEngine, TextureNetSynthesizer, UniformNoise
from impasto.engines.tiling import Tiling
from impasto.errors import UnknownNameError, UsageError
from impasto.images import LazyPicture, luminance, read_picture, resize_picture
from impasto.networks.checkpoint import load_network
from impasto.networks.transformer import TransformerNetwork
from impasto.options import TextureNetOptions, TextureNetSynthesisOptions
from impasto.runtimes.network_folder import network_folder
from random_networks import narrow_vgg

pytestmark = pytest.mark.slow

TRAINED = ("transformer", "texture-net", "adain", "sanet")
"""Engines of networks of the literature."""
ENGINES = (*TRAINED, "fast", "gatys", "nnst")
OWN_STYLE = ("transformer", "texture-net")
ANY_STYLE = tuple(name for name in ENGINES if name not in OWN_STYLE)
DESCENTS = ("gatys", "nnst")
STEPS = 12
"""Of descents."""


@pytest.fixture(scope="module")
def networks(photo, painting, compiled, tmp_path_factory):
    """Folders of the networks, by engine."""
    folder = tmp_path_factory.mktemp("texture-net")
    (folder / "photos").mkdir()
    shutil.copy(photo, folder / "photos")
    command = ["train", "texture", "-s", str(painting), "--content", str(folder / "photos"), "-o", str(folder / "out")]
    small = ["--width", "2", "--judge", "compact", "--steps", "2", "--batch", "2", "--crop", "64", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(compiled))
        assert run([*command, *small]) == 0
    return {
        name: folder / "out" if name == "texture-net" else network_folder(None, architecture=name) for name in TRAINED
    }


@pytest.fixture(scope="module")
def texture_folder():
    return network_folder("gold", architecture="texture")


@pytest.fixture
def content(content, request):
    """A photograph: for descents, which take a hundred times as long as networks, a smaller one."""
    engine = request.node.callspec.params["engine"] if hasattr(request.node, "callspec") else ""
    return resize_picture(content, 151, 109) if engine in DESCENTS else content


@pytest.fixture(scope="module")
def kept():
    """Pictures that were painted without any options, by engine."""
    return {}


@pytest.fixture
def usual(paint, content, kept):
    def painted(engine):
        if engine not in kept:
            kept[engine] = paint(engine, content).pixels
        return kept[engine]

    return painted


@pytest.fixture
def paint(networks, styles):
    def painted(engine, content, *chosen, **options):
        given = chosen or (() if engine in OWN_STYLE else (styles[0],))
        if engine in TRAINED:
            options["network"] = str(networks[engine])
        if engine == "gatys":
            options = {"descriptor": "compact", "steps": STEPS, "scales": 1, **options}
        if engine == "nnst":
            options = {"steps": STEPS // 2, **options}
        return impasto.stylize(content, list(given), engine=engine, **options)

    return painted


@pytest.mark.parametrize("engine", TRAINED)
def test_the_result_is_as_large_as_the_content_and_says_what_made_it(paint, content, engine):
    for size in ((301, 219), (5, 3), (40, 1)):
        result = paint(engine, resize_picture(content, *size))
        assert (result.width, result.height) == size
        assert np.isfinite(result.pixels).all() and 0 <= result.pixels.min() <= result.pixels.max() <= 1
    assert result.metadata["engine"] == engine and len(result.metadata["network"]) == len("sha256:") + 64


def test_tiles_leave_no_trace(paint, networks, content):
    """In a network with noise; `tests/acceptance` has those in the package."""
    steps = []
    large = resize_picture(content, 602, 438)
    whole = paint("texture-net", large, precision="float32")
    options = TextureNetOptions(network=str(networks["texture-net"]), precision="float32")
    engine = TextureNetEngine(options, tiling=Tiling(((192, 256),), undivided=0))
    tiled = engine.stylize(StylizeInputs(LazyPicture.of(large), ()), on_step=steps.append)
    assert len(steps) == 9
    assert np.abs(tiled.pixels - whole.pixels).max() < 1 / 255


IN_SIZES = pytest.mark.parametrize(
    ("engine", "width"),
    [*((name, 151 if name in DESCENTS else 301) for name in ENGINES), ("transformer", 602), ("fast", 602)],
)
"""Without and with strokes that grow with the picture, which all networks have in common."""


# --- controls ---------------------------------------------------------------------------------------------------------


@IN_SIZES
def test_strength_goes_from_the_content_to_the_style(paint, photo, engine, width):
    content = resize_picture(read_picture(photo), width, width * 3 // 4)
    pixels = [paint(engine, content, strength=strength).pixels for strength in (0.0, 0.3, 0.7, 1.0)]
    np.testing.assert_array_equal(pixels[0], content.pixels)
    distances = [float(np.abs(each - content.pixels).mean()) for each in pixels]
    assert distances == sorted(distances) and distances[1] > 0


@IN_SIZES
def test_luminance_keeps_the_colours(paint, photo, engine, width):
    content = resize_picture(read_picture(photo), width, width * 3 // 4)
    pale = replace(content, pixels=0.35 + 0.3 * content.pixels)  # whose chroma fits into every luminance
    painted = paint(engine, pale, keep_colors="luminance").pixels
    chroma = [pixels - luminance(pixels)[:, :, None] for pixels in (painted, pale.pixels)]
    inside = (np.abs(painted - 0.5) < 0.4999).all(2)  # elsewhere it is too light or too dark for the colour
    assert inside.mean() > 0.2
    assert np.abs(chroma[0] - chroma[1])[inside].max() <= 2 / 255
    assert np.abs(painted - pale.pixels).max() > 0.02, "it has been painted"


@pytest.mark.parametrize("mode", ["histogram", "coral"])
@pytest.mark.parametrize("engine", ENGINES)
def test_colours_are_matched(paint, usual, content, engine, mode):
    free, matched = usual(engine), paint(engine, content, keep_colors=mode).pixels

    def apart(pixels):
        return np.abs(pixels.mean((0, 1)) - content.pixels.mean((0, 1))).max()

    assert apart(matched) < 0.1 and apart(matched) <= apart(free) + 0.01
    assert np.abs(matched - free).mean() > 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_masks_say_where_a_style_applies(paint, usual, content, engine):
    height, width = content.pixels.shape[:2]
    left, grey = np.zeros((2, height, width), np.float32)
    left[:, : width // 2] = 1
    grey[:] = 0.5
    whole, half, faint = usual(engine), *(paint(engine, content, mask=mask).pixels for mask in (left, grey))
    np.testing.assert_allclose(half[:, width // 2 + 2 :], content.pixels[:, width // 2 + 2 :], atol=1 / 255)
    np.testing.assert_allclose(half[:, : width // 2 - 2], whole[:, : width // 2 - 2], atol=1 / 255)
    np.testing.assert_allclose(faint, (whole + content.pixels) / 2, atol=1 / 255)
    cut = replace(content, alpha=left)
    np.testing.assert_allclose(
        paint(engine, cut, mask="alpha").pixels[:, width // 2 + 2 :], cut.pixels[:, width // 2 + 2 :], atol=1 / 255
    )


@pytest.mark.parametrize("engine", ANY_STYLE)
def test_styles_are_mixed_by_their_weights(paint, content, styles, engine):
    exact = {"precision": "float32"}
    one, other = (paint(engine, content, style, **exact).pixels for style in styles)
    mixed = [paint(engine, content, (styles[0], 1 - w), (styles[1], w), **exact).pixels for w in (0.001, 0.5, 0.999)]
    assert np.abs(mixed[0] - one).mean() < np.abs(mixed[1] - one).mean() < np.abs(mixed[2] - one).mean()
    assert np.abs(mixed[2] - other).mean() < np.abs(mixed[1] - other).mean()
    # A descent goes elsewhere if anything is different.
    close = 0.15 if engine in ("gatys", "nnst") else 0.01
    assert np.abs(mixed[0] - one).mean() < close * np.abs(other - one).mean() + 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_stroke_size_changes_how_the_style_is_seen(paint, usual, content, engine):
    if engine in OWN_STYLE:
        with pytest.raises(
            UsageError, match=f"'{engine}' has no option stroke_size; nnst or gatys or fast or adain or sanet has"
        ):
            paint(engine, content, stroke_size=2)
        return
    larger = paint(engine, content, stroke_size=2.5).pixels
    assert np.abs(larger - usual(engine)).mean() > 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_the_seed_changes_what_is_random(paint, content, engine):
    if engine in ("transformer", "adain", "sanet"):
        with pytest.raises(
            UsageError, match=f"'{engine}' has no option seed; nnst or gatys or fast or texture-net has it"
        ):
            paint(engine, content, seed=1)
        return
    more = {"init": "noise"} if engine in ("gatys", "nnst") else {}
    one, again, other = (paint(engine, content, seed=seed, **more).pixels for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert np.abs(other - one).mean() > 1e-3


# --- styles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", OWN_STYLE)
def test_a_network_with_its_own_style_refuses_others(paint, content, styles, engine):
    with pytest.raises(UsageError, match="has one style, which it was trained for; name none, or choose engine 'nnst'"):
        paint(engine, content, styles[0])


@pytest.mark.parametrize("engine", ["fast", "adain", "sanet"])
def test_a_network_for_all_styles_wants_one(content, networks, engine):
    folder = networks.get(engine)
    with pytest.raises(UsageError, match="no style is given"):
        impasto.stylize(content, engine=engine, network=folder and str(folder))


def test_the_command_line_names_a_folder_or_a_checkpoint(networks, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = networks["transformer"]
    arguments = ["stylize", str(photo), "--engine", "transformer", "--size", "96", "-q"]
    for network in (folder, folder / "transformer.safetensors"):
        assert run([*arguments, "-o", "{stem}-{style}.png", "--network", str(network)]) == 0
        assert read_picture("harbour-styled.png").width == 96
    assert run([*arguments, "-o", "out.png", "--network", str(networks["adain"])]) == 2
    assert "is a network of 'adain', and one of 'transformer' is needed; choose another" in capsys.readouterr().err
    with pytest.raises(UnknownNameError):
        impasto.stylize(photo, photo, engine="adain", network="nowhere")


def synthesize(folder, width, height, *, tileable=False, tile=512, **options):
    chosen = TextureNetSynthesisOptions(network=str(folder), precision="float32", **options)
    maker = TextureNetSynthesizer(chosen, tile=tile)
    strips = maker.synthesize(width, height, tileable=tileable, on_step=lambda step: None)
    return np.concatenate([strip.pixels for strip in strips])


def test_textures_of_any_size_and_seed(texture_folder):
    one = synthesize(texture_folder, 190, 130)
    assert one.shape == (130, 190, 3) and 0 <= one.min() <= one.max() <= 1
    np.testing.assert_array_equal(one, synthesize(texture_folder, 190, 130))
    assert np.abs(one - synthesize(texture_folder, 190, 130, seed=1)).mean() > 1e-3
    larger = synthesize(texture_folder, 600, 530)
    assert np.abs(larger[:130, :190] - one).max() < 1 / 255  # a part of the same endless texture
    assert np.abs(synthesize(texture_folder, 190, 130, tile=64) - one).max() < 1 / 255


def test_a_tileable_texture_goes_on_beyond_its_edge(texture_folder):
    tile = synthesize(texture_folder, 160, 96, tileable=True)
    steps = np.abs(np.diff(np.concatenate([tile, tile[:1]]), axis=0)).mean((1, 2))
    assert steps[-1] < 1.5 * np.median(steps) + 1e-4
    steps = np.abs(np.diff(np.concatenate([tile, tile[:, :1]], axis=1), axis=1)).mean((0, 2))
    assert steps[-1] < 1.5 * np.median(steps) + 1e-4
    rolled = synthesize(texture_folder, 320, 96, tileable=True)
    assert rolled.shape == (96, 320, 3)
    with pytest.raises(UsageError, match="multiples of 16, unlike 100x96; choose 112x96"):
        synthesize(texture_folder, 100, 96, tileable=True)


def test_noise_is_the_same_at_a_place():
    noise = UniformNoise(2, 7)
    whole = noise.part(-200, -50, 300, 250)
    assert whole.min() >= 0 and whole.max() < 1 and abs(whole.mean() - 0.5) < 0.01
    np.testing.assert_array_equal(noise.part(-20, 60, 40, 30), whole[:, :, 180:220, 110:140])
    around = UniformNoise(2, 7, (48, 32)).part(-48, 32, 96, 64)
    np.testing.assert_array_equal(around[:, :, :48, :32], around[:, :, 48:, 32:])


def test_texture_from_the_command_line(texture_folder, painting, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        run(["texture", str(texture_folder), "-o", "net.png", "--size", "96x64", "--tileable", "--seed", "3", "-q"])
        == 0
    )
    assert (read_picture("net.png").width, read_picture("net.png").height) == (96, 64)
    assert read_picture("net.png").metadata["engine"] == "texture-net"
    small = ["--size", "64x48", "--steps", "4", "--descriptor", "compact", "-q"]
    assert run(["texture", str(painting), "-o", "made.png", *small, "--json"]) == 0
    assert '"width": 64, "height": 48' in capsys.readouterr().out
    assert read_picture("made.png").metadata["engine"] == "gatys"


def test_a_tile_looks_the_same_wherever_its_edges_are():
    network, layers = narrow_vgg(), ("relu1_1", "relu3_1", "relu5_1")
    image = torch.rand((1, 3, 48, 80), generator=torch.Generator().manual_seed(0))
    seen, moved = (TileView(network).forward(each, layers) for each in (image, image.roll((16, 32), (2, 3))))
    for layer in layers:
        step = 48 // seen[layer].shape[2]
        torch.testing.assert_close(seen[layer].roll((16 // step, 32 // step), (2, 3)), moved[layer], atol=1e-3, rtol=0)
        odd = TileView(network).forward(image[:, :, :, :77], layers)[layer]
        assert odd.shape[2:] == (48 // step, 77 // step)


@pytest.mark.usefixtures("stored_weights")
def test_an_optimised_texture_can_be_tiled_and_mixed(painting, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["texture", f"{painting}:2", str(photo), "--size", "64x64", "--descriptor", "compact", "-q"]
    arguments += ["--steps", "120", "--scales", "1"]
    seams = {}
    for name, flags in (("plain", []), ("tileable", ["--tileable"])):
        assert run([*arguments, *flags, "-o", f"{name}.png"]) == 0
        made = read_picture(f"{name}.png").pixels
        down, across = (np.abs(made - np.roll(made, 1, axis)).mean((1 - axis, 2)) for axis in (0, 1))
        seams[name] = max(down[0] / np.median(down), across[0] / np.median(across))
    assert seams["tileable"] < 1.4
    assert seams["plain"] > seams["tileable"]


def test_a_network_without_pytorch(networks, photo, tmp_path):
    code = (
        "import sys\n"
        "for name in ('torch', 'safetensors', 'onnx'): sys.modules[name] = None\n"
        "from impasto.cli.main import main; main()"
    )
    for engine in ("transformer", "texture-net"):
        arguments = [
            "stylize",
            photo,
            "--engine",
            engine,
            "--network",
            networks[engine],
            "-o",
            "out.png",
            "--size",
            "64",
        ]
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_batches_and_torch_agree(networks, content):
    network = load_network(networks["transformer"] / "transformer.safetensors", TransformerNetwork)
    image = torch.from_numpy(content.pixels[:216, :300].transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        expected = network(image)[0].permute(1, 2, 0).numpy()
    found = impasto.stylize(
        content.pixels[:216, :300], engine="transformer", network=str(networks["transformer"]), precision="float32"
    ).pixels
    assert np.abs(found - expected).max() < 2 / 255
