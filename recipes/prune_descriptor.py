"""Make the wide descriptor: ``python recipes/prune_descriptor.py OUT FOLDER...``, with pictures in the folders.

VGG19 is pruned to fewer channels by the project's own method (`impasto.training.distillation.prune_teacher`), without
any training, and cut off after relu4_1, the deepest layer that the engine 'nnst' looks at. OUT gets the weights, their
card and the graphs.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from impasto.descriptors.catalog import load_vgg
from impasto.descriptors.vgg import VGG
from impasto.losses.gradients import NeighborGraphs
from impasto.runtimes.descriptor_export import write_graphs
from impasto.training.data import Crops, training_files
from impasto.training.distillation import Student, compact_tensors, prune_teacher

WIDTHS = {
    **{"conv1_1": 32, "conv1_2": 24, "conv2_1": 64, "conv2_2": 48},
    **{"conv3_1": 128, "conv3_2": 112, "conv3_3": 112, "conv3_4": 112},
    **{"conv4_1": 224, "conv4_2": 224, "conv4_3": 224, "conv4_4": 224, "conv5_1": 256},
}
PICTURES, CROP, SEED = 64, 128, 0


def main(out: Path, folders: list[Path]) -> None:
    """Prune, and write everything into ``out``."""
    teacher = load_vgg("vgg19")
    files = training_files(folders)
    student = Student(teacher, WIDTHS)
    prune_teacher(student, teacher, Crops(files, CROP, PICTURES, SEED).at(0))
    layers = list(WIDTHS)[: list(WIDTHS).index("conv4_1") + 1]
    tensors = {name: each for name, each in compact_tensors(student).items() if name.partition(".")[0] in layers}
    mean, std = teacher.mean.flatten().tolist(), teacher.std.flatten().tolist()
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "wide.safetensors"
    save_file(tensors, weights, {"mean": json.dumps(mean), "std": json.dumps(std)})
    network = VGG("vgg19", {name: each.float() for name, each in tensors.items()}, mean=mean, std=std)
    write_graphs(NeighborGraphs(network), out, weights)
    card = {
        "title": "Wide descriptor: VGG19 with three to four eighths of its channels, up to relu4_1",
        "recipe": {"command": "python recipes/prune_descriptor.py", "pictures": PICTURES, "crop": CROP, "seed": SEED},
        "data": {"pictures": len(files), "folders": sorted(folder.name for folder in folders)},
        "teacher": {"name": teacher.name, "sha256": teacher.identity},
        "parameters": sum(each.numel() for each in tensors.values()),
        "bytes": weights.stat().st_size,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "license": "Apache-2.0",
    }
    (out / "wide.json").write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
