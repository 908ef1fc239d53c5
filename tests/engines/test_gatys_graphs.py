"""The engine 'gatys' through graphs, against that of PyTorch."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from impasto.descriptors.compact import BUNDLED, load_compact
from impasto.engines import descriptor_graphs
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.descriptor_graphs import DescriptorGraphs
from impasto.engines.gatys_graphs import GraphEngine
from impasto.engines.network_graphs import cache_folder
from impasto.engines.optimization import OptimizationEngine
from impasto.engines.statistics_objective import STYLE_LAYERS, StatisticsLook, StatisticsObjective, statistics
from impasto.errors import MissingDependencyError, UnknownNameError
from impasto.images import LazyPicture, read_picture, resize_picture
from impasto.losses.objective import GramLoss, LayerLosses, MeanStdLoss, Objective, content_losses, style_losses
from impasto.optimization.arrays import Memory, OnDisk
from impasto.optimization.checkpoint import Checkpoint
from impasto.options import GatysOptions, RuntimeOptions, shares_of_layers
from impasto.runtimes.network_folder import graphs_folder
from impasto.types import Picture
from impasto.weights.location import stored_identity
from impasto.weights.store import REMOTE_WEIGHTS
from lanes import slow

STYLE = {"relu1_1": 1.0, "relu2_1": 0.5, "relu4_1": 2.0, "relu5_1": 1.0}


@pytest.fixture(scope="module")
def graphs():
    return DescriptorGraphs("compact", RuntimeOptions(precision="float32"), graphs="statistics")


@pytest.fixture(scope="module")
def images(content, styles):
    """A picture, a content and a style, of sides that all strides divide."""
    sized = (
        resize_picture(content, 288, 208),
        resize_picture(styles[1], 288, 208),
        resize_picture(styles[0], 160, 128),
    )
    return [Memory().image(each.pixels) for each in sized]


def objective(graphs, images, kind, normalization, side=2**20, memory=None, **options):
    _, content, style = images
    look = StatisticsLook(graphs, side, memory or Memory())
    targets = {layer: statistics(kind, sums) for layer, sums in look.sums(style).items()}
    given = {"content": content, "content_weight": 2.0, "style": targets, "tv_weight": 5.0, **options}
    shares = shares_of_layers(STYLE, 30.0)
    return StatisticsObjective(look, style_shares=shares, kind=kind, normalization=normalization, **given)


@pytest.mark.parametrize("normalization", ["relative", "paper"])
@pytest.mark.parametrize("kind", ["gram", "mean-std"])
def test_losses_and_gradient_are_those_of_pytorch(graphs, images, kind, normalization):
    network = load_compact()
    image, content, style = (torch.from_numpy(each) for each in images)
    losses = {"gram": GramLoss, "mean-std": MeanStdLoss}[kind]
    style_parts = style_losses(losses, [network.forward(style, STYLE)], [1.0], normalization)
    layer = {"relu4_2": 1.0}
    parts = {
        "content": LayerLosses(content_losses(network.forward(content, layer), normalization), layer, 2.0),
        "style": LayerLosses(style_parts, STYLE, 30.0),
    }
    leaf = image.clone().requires_grad_(True)
    expected = Objective(network, parts, 5.0)(leaf)
    (gradient,) = torch.autograd.grad(expected["total"], leaf)
    found = objective(graphs, images, kind, normalization).evaluate(images[0])
    # The maps of the compact descriptor are kept in half precision beside the graphs.
    assert found.losses == pytest.approx({name: float(loss.detach()) for name, loss in expected.items()}, rel=5e-3)
    assert np.linalg.norm(found.gradient - gradient.numpy()) < 5e-3 * float(gradient.norm())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gram", "mean-std"])
@pytest.mark.parametrize("size", [(288, 208), (304, 224)])
def test_tiles_see_what_the_whole_sees(graphs, images, content, tmp_path, kind, size):
    image = Memory().image(resize_picture(content, *size).pixels)
    given = [image, np.ascontiguousarray(image[:, :, ::-1]), images[2]]
    whole = objective(graphs, given, kind, "relative").evaluate(image)
    for memory in (Memory(), OnDisk(tmp_path)):
        tiled = objective(graphs, given, kind, "relative", side=96, memory=memory).evaluate(image)
        assert tiled.losses == pytest.approx(whole.losses, rel=1e-5)
        assert np.linalg.norm(tiled.gradient - whole.gradient) < 1e-5 * np.linalg.norm(whole.gradient)


def test_one_loss_alone(graphs, images):
    alone = objective(graphs, images, "gram", "relative", style={}, tv_weight=0.0).evaluate(images[0])
    assert set(alone.losses) == {"content", "total"} and np.abs(alone.gradient).max() > 0
    alone = objective(graphs, images, "gram", "relative", content=None, tv_weight=0.0).evaluate(images[0])
    assert set(alone.losses) == {"style", "total"} and np.abs(alone.gradient).max() > 0


def paint(engine, content, *styles, on_step=lambda step: None, checkpoint=None, **options):
    given = GatysOptions.parse({"steps": 12, "descriptor": "compact", "precision": "float32", **options})
    inputs = StylizeInputs(LazyPicture.of(content), tuple(Style(style) for style in styles))
    return engine(given).stylize(inputs, on_step=on_step, checkpoint=checkpoint)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"style_loss": "mean-std"},
        {"strength": 0.5, "stroke_size": 2.0},
        {"content_weight": 0.0, "optimizer": "adam"},
        {"style_layers": "relu2_1,relu4_1:2", "keep_colors": "luminance", "tile": 96},
    ],
)
def test_the_picture_is_that_of_pytorch(images, content, styles, options):
    content = resize_picture(content, 128, 96)
    one, other = (paint(engine, content, *styles, **options).pixels for engine in (GraphEngine, OptimizationEngine))
    assert np.abs(one - other).mean() < 0.25 * np.abs(other - content.pixels).mean()


@pytest.mark.parametrize("size", [(47, 33), *slow(((32, 32),), ((101, 75),))])
def test_sides_that_no_stride_divides(styles, content, size):
    result = paint(GraphEngine, resize_picture(content, *size), styles[0])
    assert (result.width, result.height) == size and np.isfinite(result.pixels).all()


@pytest.mark.slow
def test_a_resumed_run_ends_in_the_same_bytes(tmp_path, content, styles):
    class KilledError(Exception):
        pass

    def stop(step):
        if step.done == 7:
            raise KilledError

    content, path = resize_picture(content, 96, 72), tmp_path / "checkpoint"
    whole = paint(GraphEngine, content, styles[0], checkpoint_every=2)
    with pytest.raises(KilledError):
        paint(GraphEngine, content, styles[0], on_step=stop, checkpoint=Checkpoint(path), checkpoint_every=2)
    again = Checkpoint(path, resume=True)
    resumed = paint(GraphEngine, content, styles[0], checkpoint=again, checkpoint_every=2)
    assert resumed.pixels.tobytes() == whole.pixels.tobytes()


@pytest.mark.parametrize(
    ("options", "feature"),
    [
        ({"device": "cuda"}, "device 'cuda'"),
        ({"pooling": "average"}, "pooling 'average'"),
        ({"rescale_activations": True}, "scaling the descriptor's filters"),
        ({"content_layers": "relu3_2"}, "content layer relu3_2"),
        ({"style_layers": "relu1_1,relu2_2"}, "style layer relu2_2"),
    ],
)
def test_what_needs_pytorch_is_said(options, feature):
    with pytest.raises(MissingDependencyError, match=rf"^{feature} needs PyTorch: pip install 'impasto\[torch\]'$"):
        GraphEngine(GatysOptions(**options))


def test_unknown_descriptors_are_refused():
    with pytest.raises(UnknownNameError):
        GraphEngine(GatysOptions(descriptor="compakt"))


def test_without_pytorch_gatys_paints_through_graphs(photo, painting, tmp_path):
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'scipy', 'matplotlib'): sys.modules[name] = None\n"
        "from impasto.cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "stylize", photo, "-s", painting, "--engine", "gatys"]
    command += ["-o", "out.png", "--size", "64", "--steps", "4"]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = read_picture(tmp_path / "out.png")
    assert result.width == 64 and "compact sha256:" in result.metadata["descriptor"]
    done = subprocess.run([*map(str, command), "--pooling", "average"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith("error: pooling 'average' needs PyTorch: pip install 'impasto[torch]'\n")


def test_the_wide_descriptor_needs_no_pytorch(content, styles):
    painted = paint(GraphEngine, resize_picture(content, 64, 48), *styles[:1], steps=3, descriptor="wide")
    assert painted.width == 64 and painted.metadata["descriptor"].startswith("wide sha256:")


@pytest.mark.parametrize("color", [(0.5, 0.5, 0.5), (0.8, 0.1, 0.1)])
def test_a_plain_style_gives_a_calm_picture(content, color):
    plain = Picture(np.full((60, 80, 3), color, np.float32))
    painted = paint(GraphEngine, resize_picture(content, 80, 60), plain, steps=40).pixels
    assert ((painted < 1 / 255) | (painted > 254 / 255)).mean() < 0.1


def test_graphs_that_were_made_once_need_no_pytorch(stored_weights, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx'): sys.modules[name] = None\n"
        "import numpy as np\n"
        "from impasto.engines.descriptor_graphs import DescriptorGraphs\n"
        "from impasto.options import RuntimeOptions\n"
        "graphs = DescriptorGraphs('vgg19', RuntimeOptions(precision='float32'))\n"
        "print(graphs.run('see_layers', image=np.zeros((1, 3, 16, 16), np.float32))['relu4_1'].shape[2:])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "descriptor 'vgg19', when it is first used, needs PyTorch" in done.stderr
    made = cache_folder() / "descriptors" / graphs_folder(stored_identity("vgg19"), "neighbors")
    shutil.copytree(BUNDLED.parent, made)  # in place of those of VGG19, which take a minute
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "(2, 2)\n", done.stderr


def test_weights_that_can_be_fetched_have_the_names_that_graphs_know():
    assert set(descriptor_graphs._FETCHED) == set(REMOTE_WEIGHTS)


def test_the_layers_are_those_of_the_graphs():
    from impasto.losses import gradients

    assert gradients.STYLE_LAYERS == STYLE_LAYERS
