"""What a descriptor network of one's own changes in the picture: four networks, one HTML report.

    python recipes/descriptor_study.py --flowers FLOWERS --photos PHOTOS --paintings PAINTINGS -o REPORT_FOLDER

Random weights; flowers learned from scratch; flowers fine-tuned from ImageNet; ImageNet. Trains what is not there yet
(with ``--resume``, so that it may be stopped and started), then paints, reconstructs and measures, and writes
``report.html`` and ``report.json``. All figures and numbers of the report come from this run.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
import statistics
import sys
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from skimage.metrics import structural_similarity

from impasto.cli.main import run
from impasto.comparison.compare import DistanceMeasure
from impasto.comparison.reconstruct import reconstruct
from impasto.descriptors.catalog import load_vgg
from impasto.descriptors.vgg import VGG, rescale_activations
from impasto.engines.base import Style, StylizeInputs
from impasto.engines.catalog import create_engine
from impasto.images import (
    PICTURE_SUFFIXES,
    LazyPicture,
    encode_picture,
    fit_size,
    luminance,
    read_picture,
    resize_picture,
)
from impasto.optimization.tensors import to_tensor
from impasto.options import GatysOptions, ReconstructOptions
from impasto.training.classification import VGGClassifier
from impasto.training.finish import save_weights
from impasto.weights.canonical import TORCHVISION
from similarity import linear_cka

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from impasto.types import Picture, Step

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
KINDS = ("flowers", "others", "drawn")
NAMES = ("random", "flowers from scratch", "flowers fine-tuned", "ImageNet")
_CKA_PICTURES = 64


@dataclass(frozen=True)
class Pair:
    """What is painted."""

    kind: str
    """'flowers', 'others', or 'drawn': pictures of this project, which may be published."""
    content: Path
    style: Path


def main() -> None:
    """Train, paint, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flowers", type=Path, required=True, help="a folder of photographs per class")
    parser.add_argument("--photos", type=Path, required=True, help="other photographs")
    parser.add_argument("--paintings", type=Path, required=True)
    parser.add_argument("--imagenet", default="vgg19", help="name or file of the ImageNet weights")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--scratch", default="--epochs 24 --crop 80 --width 0.5 --batch-norm --batch 32")
    parser.add_argument("--tuned", default="--epochs 3 --crop 128 --freeze 3 --batch 16 --learning-rate 0.00004")
    parser.add_argument("--pairs", type=int, default=2, help="of flowers, and of others")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument(
        "--publish", action="store_true", help="show no pictures of others, nor what was made of their photographs"
    )
    arguments = parser.parse_args()
    output: Path = arguments.output
    for folder in (arguments.flowers, arguments.photos, arguments.paintings):
        if not _pictures(folder):
            parser.error(f"{folder} holds no pictures")
    output.mkdir(parents=True, exist_ok=True)

    trainings = {
        "flowers from scratch": _train(arguments.flowers, output / "scratch", arguments.scratch.split()),
        "flowers fine-tuned": _train(
            arguments.flowers, output / "tuned", [*arguments.tuned.split(), "--start", arguments.imagenet]
        ),
    }
    descriptors = {
        "random": _random(output / "random.safetensors", arguments.flowers),
        **{name: str(folder / "descriptor.safetensors") for name, folder in trainings.items()},
        "ImageNet": arguments.imagenet,
    }
    held_out = json.loads((trainings["flowers from scratch"] / "split.json").read_text())["test"]
    flowers = [arguments.flowers / name for name in held_out]
    drawn = _pictures(Path(str(files("impasto.bundled") / "contents")))
    contents = {"flowers": flowers, "others": _pictures(arguments.photos), "drawn": drawn}
    pairs = list(_pairs(contents, _pictures(arguments.paintings), arguments.pairs))
    networks = {name: load_vgg(descriptors[name]) for name in NAMES}

    report: dict[str, Any] = {
        "options": {
            name: value.name if isinstance(value, Path) else str(value) for name, value in vars(arguments).items()
        },
        "classification": {name: _classification(folder) for name, folder in trainings.items()},
        "cka": _alignment(networks, flowers, _pictures(arguments.photos), arguments.size // 2),
    }
    painted = _transfers(pairs, descriptors, networks["ImageNet"], arguments.size, arguments.steps)
    report["transfers"] = [
        {"pair": index, "kind": pairs[index].kind, "descriptor": name, **numbers}
        for (index, name), (_, numbers) in painted.items()
    ]
    report["means"] = _means(report["transfers"])
    report["conclusion"] = conclusion(report)
    rebuilt = _reconstructions(
        drawn[-1] if arguments.publish else flowers[0], descriptors, arguments.size // 2, arguments.steps
    )
    (output / "report.json").write_text(json.dumps(report, indent=1))
    page = _page(report, pairs, painted, rebuilt, trainings, hidden=KINDS[:-1] if arguments.publish else ())
    (output / "report.html").write_text(page, encoding="utf-8")
    print(output / "report.html")


# --- trainings --------------------------------------------------------------------------------------------------------


def _train(data: Path, folder: Path, options: Sequence[str]) -> Path:
    if not (folder / "descriptor.json").exists():
        command = ["train", "classifier", "--data", str(data), "-o", str(folder), "--resume", *options]
        if code := run(command):
            sys.exit(code)
    return folder


def _random(path: Path, data: Path) -> str:
    """Write a VGG19 that has learned nothing."""
    if not path.exists():
        network = VGGClassifier("vgg19", 2, mean=TORCHVISION.mean, std=TORCHVISION.std)
        plain = VGG("vgg19", network.descriptor_tensors(), mean=TORCHVISION.mean, std=TORCHVISION.std)
        images = [_image(each, 128) for each in _pictures(data)[::97][:16]]
        rescaled = rescale_activations(plain, images)
        metadata = {"architecture": "vgg19", "mean": json.dumps(TORCHVISION.mean), "std": json.dumps(TORCHVISION.std)}
        save_weights(path, rescaled.tensors(), metadata=metadata, card={"title": "VGG19 with random weights"})
    return str(path)


def _classification(folder: Path) -> dict[str, Any]:
    card = json.loads((folder / "descriptor.json").read_text())
    with (folder / "validation.csv").open(newline="") as file:
        curve = [float(row["accuracy"]) for row in csv.DictReader(file)]
    return {**card["results"], "pictures": card["data"]["pictures"], "validation curve": curve}


# --- measurements -----------------------------------------------------------------------------------------------------


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)


def _pairs(contents: Mapping[str, Sequence[Path]], paintings: Sequence[Path], count: int) -> Iterable[Pair]:
    for place, (kind, pictures) in enumerate(contents.items()):
        for index in range(count):
            style = paintings[(len(contents) * index + place) * len(paintings) // (len(contents) * count)]
            yield Pair(kind, pictures[index * len(pictures) // count], style)


def _image(path: Path, side: int) -> Tensor:
    picture = read_picture(path)
    return to_tensor(resize_picture(picture, side, side).pixels, torch.device("cpu"))


def _alignment(
    networks: Mapping[str, VGG], flowers: Sequence[Path], photos: Sequence[Path], side: int
) -> dict[str, dict[str, float]]:
    """Return the CKA of each network's layers with those of ImageNet, on flowers and other photographs."""
    half = _CKA_PICTURES // 2
    chosen = [*flowers[:: max(1, len(flowers) // half)][:half], *photos[:: max(1, len(photos) // half)][:half]]
    images = torch.cat([_image(path, side) for path in chosen])
    seen: dict[str, dict[str, Tensor]] = {}
    with torch.no_grad():
        for name, network in networks.items():
            parts = [network.forward(images[first : first + 8], LAYERS) for first in range(0, len(images), 8)]
            # Means over positions: what is there, not where.
            seen[name] = {layer: torch.cat([part[layer].mean((2, 3)) for part in parts]) for layer in LAYERS}
    return {
        name: {layer: round(linear_cka(seen[name][layer], seen["ImageNet"][layer]), 4) for layer in LAYERS}
        for name in networks
    }


def _transfers(
    pairs: Sequence[Pair], descriptors: Mapping[str, str], yardstick: VGG, size: int, steps: int
) -> dict[tuple[int, str], tuple[Picture, dict[str, float]]]:
    """Paint every pair with every descriptor; measure all with ImageNet's VGG19, and SSIM to the content."""
    painted = {}
    for index, pair in enumerate(pairs):
        content = read_picture(pair.content)
        inputs = StylizeInputs(LazyPicture.of(content), (Style(read_picture(pair.style)),))
        measure = DistanceMeasure(inputs, yardstick, torch.device("cpu"))
        for name, descriptor in descriptors.items():
            options = GatysOptions(descriptor=descriptor, size=size, steps=steps)
            picture = create_engine("gatys", options).stylize(inputs, on_step=_say(f"pair {index}, {name}"))
            shown = resize_picture(content, picture.width, picture.height)
            grey = luminance(picture.pixels), luminance(shown.pixels)
            similarity = structural_similarity(*grey, data_range=1.0)  # type: ignore[no-untyped-call]
            numbers = {**measure(picture), "ssim": float(similarity)}
            painted[index, name] = picture, {key: round(value, 4) for key, value in numbers.items()}
    return painted


def _reconstructions(
    path: Path, descriptors: Mapping[str, str], size: int, steps: int
) -> dict[str, list[tuple[str, Picture]]]:
    content = "relu1_2,relu2_2,relu3_2,relu4_2,relu5_2"
    rebuilt = {}
    for name, descriptor in descriptors.items():
        options = ReconstructOptions(descriptor=descriptor, size=max(64, size), steps=steps, content=content)
        found = reconstruct(read_picture(path), options, on_step=_say(f"reconstructions, {name}"))
        rebuilt[name] = [(f"{each.kind}, {each.layers[-1]}", each.picture) for each in found]
    return rebuilt


def _say(what: str) -> Any:
    def on_step(step: Step) -> None:
        if step.done == step.total:
            print(what, file=sys.stderr, flush=True)

    return on_step


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        kind: {
            name: {
                key: round(
                    statistics.fmean(row[key] for row in rows if row["kind"] == kind and row["descriptor"] == name), 4
                )
                for key in ("content", "style", "ssim")
            }
            for name in NAMES
        }
        for kind in KINDS
    }


def conclusion(report: Mapping[str, Any]) -> list[str]:
    """Say in sentences what the numbers say."""
    classification, means, cka = report["classification"], report["means"], report["cka"]
    lines = []
    for name, found in classification.items():
        lines.append(
            f"{name}: {found['validation accuracy']:.1%} of the validation pictures and {found['test accuracy']:.1%} "
            "of the test pictures are classified right."
        )
    for kind, found in means.items():
        order = sorted(found, key=lambda name: found[name]["style"])
        said = ", ".join(f"{name} {found[name]['style']:.3f}" for name in order)
        lines.append(f"Style distance on {kind}, best first: {said}.")
        best, scratch = found["ImageNet"], found["flowers from scratch"]
        ratio = scratch["style"] / max(1e-9, best["style"])
        lines.append(
            f"On {kind}, the network from scratch leaves {ratio:.1f} times the style distance of ImageNet; "
            f"random weights {found['random']['style'] / max(1e-9, best['style']):.1f} times; fine-tuned "
            f"{found['flowers fine-tuned']['style'] / max(1e-9, best['style']):.1f} times."
        )
        nearer = min(found, key=lambda name: found[name]["content"])
        lines.append(f"Content is kept best on {kind} by {nearer} ({found[nearer]['content']:.3f}).")
    deep = {name: cka[name][LAYERS[-1]] for name in NAMES}
    lines.append(
        "What the deepest layer sees is like ImageNet's (CKA, 1 is the same) to "
        + ", ".join(f"{value:.2f} ({name})" for name, value in deep.items())
        + "."
    )
    lines.append(
        "The yardstick is ImageNet's VGG19, which favours pictures that were painted with it: its column is a bound, "
        "not a competitor."
    )
    return lines


# --- the page ---------------------------------------------------------------------------------------------------------

_CSS = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1rem; max-width: 80rem; font: 1rem/1.45 system-ui, sans-serif; }
.row { display: grid; gap: .6rem; grid-template-columns: repeat(6, 1fr); margin-bottom: .8rem; }
.row.two { grid-template-columns: 2fr 1fr; max-width: 60rem; }
.row.five { grid-template-columns: repeat(5, 1fr); }
figure { margin: 0; } img { width: 100%; height: auto; } figcaption { font-size: .8rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
"""


def _page(
    report: Mapping[str, Any],
    pairs: Sequence[Pair],
    painted: Mapping[tuple[int, str], tuple[Picture, Mapping[str, float]]],
    rebuilt: Mapping[str, Sequence[tuple[str, Picture]]],
    trainings: Mapping[str, Path],
    *,
    hidden: Sequence[str],
) -> str:
    parts = ["<h1>What a descriptor of one's own changes in the picture</h1>", "<h2>Conclusion</h2><ul>"]
    parts += [f"<li>{escape(line)}</li>" for line in report["conclusion"]]
    parts += ["</ul><h2>Classification</h2>"]
    for name, folder in trainings.items():
        parts.append(f"<h3>{escape(name)}</h3><div class='row two'>")
        for file in ("accuracy.png", "confusion.png"):
            parts.append(_figure(read_picture(folder / file), file.partition(".")[0], 640))
        parts.append("</div>")
    parts.append("<h2>The same transfers</h2><p>Distances by ImageNet's VGG19, 0 is the same; SSIM to the content.</p>")
    if hidden:
        parts.append(
            f"<p>Of {' and '.join(hidden)}, only the numbers are shown, and of styles the names: the pictures are "
            "other people's.</p>"
        )
    for index, pair in enumerate(pairs):
        if pair.kind in hidden:
            continue
        cells = [_figure(read_picture(pair.content), f"content; style: {pair.style.stem}")]
        if not hidden:
            cells.append(_figure(read_picture(pair.style), "style"))
        for name in NAMES:
            picture, numbers = painted[index, name]
            caption = (
                f"{name}: content {numbers['content']:.2f}, style {numbers['style']:.3f}, SSIM {numbers['ssim']:.2f}"
            )
            cells.append(_figure(picture, caption))
        parts.append(f"<div class='row{' five' if hidden else ''}'>{''.join(cells)}</div>")
    each: dict[str, dict[str, dict[str, float]]] = {}
    for row in report["transfers"]:
        lines = each.setdefault(f"pair {row['pair']}, {row['kind']}", {})
        lines[row["descriptor"]] = {key: row[key] for key in ("content", "style", "ssim")}
    parts.append("<h2>Means</h2>" + _table(report["means"]) + "<h2>Each pair</h2>" + _table(each))
    parts.append("<h2>Reconstructions</h2>")
    for name in NAMES:
        cells = [_figure(picture, caption, 160) for caption, picture in rebuilt[name]]
        parts.append(f"<h3>{escape(name)}</h3><div class='row five'>{''.join(cells)}</div>")
    parts.append("<h2>Likeness of what the layers see to ImageNet's (linear CKA)</h2>")
    parts.append(_table({"": report["cka"]}))
    parts.append(f"<h2>Options</h2><pre>{escape(json.dumps(report['options'], indent=1))}</pre>")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{_CSS}</style>'
    head += "<title>Descriptor study</title>"
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def _table(groups: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    rows = []
    for group, lines in groups.items():
        keys = list(next(iter(lines.values())))
        rows.append("<tr>" + "".join(f"<th>{escape(each)}</th>" for each in [group, *keys]) + "</tr>")
        for name, values in lines.items():
            cells = "".join(f"<td>{values[key]:.3f}</td>" for key in keys)
            rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return f"<table>{''.join(rows)}</table>"


def _figure(picture: Picture, caption: str, side: int = 320) -> str:
    small = resize_picture(picture, *fit_size(picture.width, picture.height, side))
    data = base64.b64encode(encode_picture(small, "webp", keep_profile=False, quality=85)).decode()
    return (
        f'<figure><img alt="" src="data:image/webp;base64,{data}"><figcaption>{escape(caption)}</figcaption></figure>'
    )


if __name__ == "__main__":
    main()
