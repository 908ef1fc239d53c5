"""A GPU against the processor of the same machine: times, memory, and how far results differ. `gpu.sh` runs it.

    python benchmarks/gpu.py [--device cuda] [--seconds 145] [--limit 20] [--pictures FOLDER] [PART ...]

The parts are listed in `PARTS`; all run by default, in that order. A part that fails says why in its row. Rows are
printed as they come.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from impasto.engines.base import StylizeInputs
    from impasto.training.loop import Task
    from impasto.types import FloatArray, Picture

EXAMPLES = Path(__file__).parent.parent / "examples" / "pictures"
SHORTEST = 2.0
"""Seconds that must be left for a row."""
TRAININGS = ("transformer", "conditional", "adain", "sanet", "texture", "cyclegan", "classifier", "compact")
WARM_UP = 5


class TimeLimitError(Exception):
    """A row takes too long."""


@dataclass(frozen=True)
class Bench:
    """Settings of the table."""

    device: str
    pictures: Path
    sizes: Sequence[int]
    steps: int
    training_steps: int
    vgg19: str
    limit: float
    """Seconds that a row may take."""
    ends: float
    """Value of the monotonic clock at which the table ends."""

    def row(self, part: str, device: str, measure: Callable[[], Sequence[str]]) -> None:
        """Print the time, the memory and the remark that ``measure`` returns, or why it failed."""
        left = min(self.limit, self.ends - time.monotonic())
        found: Sequence[str] = ("", "", "no time is left")
        if left > SHORTEST:
            try:
                with limited(left):
                    found = measure()
            except TimeLimitError:
                found = ("", "", f"takes more than {left:.0f} s")
            except Exception as error:
                found = ("", "", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        cells = [part, device, *found]
        print("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |", flush=True)

    def inputs(self) -> StylizeInputs:
        """Return a photograph and a painting."""
        from impasto.engines.base import Style, StylizeInputs
        from impasto.images import LazyPicture, read_picture

        content, style = (read_picture(EXAMPLES / name) for name in ("harbour.jpg", "swirls.jpg"))
        return StylizeInputs(LazyPicture.of(content), (Style(style),))

    def painted(self, engine: str, device: str, **options: Any) -> tuple[Picture, list[float], float]:
        """Paint once; return the picture, the losses of all steps, and the seconds without loading networks."""
        painter, losses = self.engine(engine, device, **options), list[float]()
        inputs = self.inputs()
        settle(device)
        began = time.perf_counter()
        picture: Picture = painter.stylize(inputs, on_step=lambda step: losses.append(step.losses["total"]))
        return picture, losses, time.perf_counter() - began

    def engine(self, name: str, device: str, **options: Any) -> Any:
        """Make an engine that has painted a small picture on ``device``, so that everything is loaded."""
        from impasto.engines.catalog import OPTIONS, create_engine, parse_options
        from impasto.errors import MissingDependencyError

        if name == "nnst" and device == "cpu" and "runtime" not in options:
            try:
                return self.engine(name, device, runtime="openvino", **options)
            except (ImportError, MissingDependencyError):
                return self.engine(name, device, runtime="onnxruntime", **options)
        small = {**options, "size": 64, "steps": 3}
        first = create_engine(name, parse_options(name, {**small, "device": device}, OPTIONS))
        first.stylize(self.inputs(), on_step=lambda step: None)
        return create_engine(name, parse_options(name, {**options, "device": device}, OPTIONS), network=first.network)


def completed(path: Path, folder: Path) -> str:
    """Return the path of the weights of VGG19. If those in ``path`` end early, a copy in ``folder`` gets zeros."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    from impasto.weights.canonical import tensor_shapes

    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    missing = {name: shape for name, shape in tensor_shapes("vgg19").items() if name not in tensors}
    if not missing or "conv1_1.weight" not in tensors:
        return str(path)
    dtype = tensors["conv1_1.weight"].dtype
    save_file(
        {**tensors, **{name: torch.zeros(shape, dtype=dtype) for name, shape in missing.items()}},
        folder / path.name,
        metadata,
    )
    return str(folder / path.name)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TimeLimitError` after ``seconds``."""

    def stop(*_: object) -> None:
        raise TimeLimitError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def settle(device: str) -> None:
    """Wait for the GPU, and forget its peak memory."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def peak(device: str) -> str:
    """Return the peak memory of the GPU since `settle`."""
    return f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB" if device.startswith("cuda") else ""


@contextmanager
def exact() -> Iterator[None]:
    """Compute float32 convolutions in float32 on a GPU, too, and not in TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def apart(one: FloatArray, another: FloatArray) -> str:
    """Describe the difference of two pictures in levels of 255."""
    levels = 255 * abs(one.astype("float64") - another)
    return f"pictures differ by {levels.mean():.3f} levels of 255 on average, {levels.max():.1f} at most"


def curves(one: Sequence[float], another: Sequence[float]) -> str:
    """Describe the difference of two curves of losses."""
    shares = [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(one, another, strict=False)]
    return f"losses by {shares[0]:.1e} at the first step, {max(shares[:10]):.1e} within 10, {shares[-1]:.1e} at the end"


def paintings(bench: Bench, engine: str, descriptor: str, device: str) -> None:
    """Print a row for each size."""
    steps = {"steps": bench.steps, "scales": 1} if engine == "gatys" else {}
    for size in bench.sizes:

        def measure(size: int = size) -> Sequence[str]:
            _, losses, seconds = bench.painted(engine, device, descriptor=descriptor, size=size, **steps)
            return f"{seconds:.2f} s", peak(device), f"{len(losses)} steps, {1000 * seconds / len(losses):.0f} ms each"

        bench.row(f"{engine}, {Path(descriptor).stem}, {size}", device, measure)


def differences(bench: Bench) -> None:
    """Print how far the same paintings and trainings on both devices differ."""
    small = {"size": 256, "steps": min(30, bench.steps)}
    for engine, descriptor, options in (
        ("gatys", "compact", {"scales": 1, "precision": "float32"}),
        ("gatys", bench.vgg19, {"scales": 1, "precision": "float32"}),
        ("gatys", bench.vgg19, {"scales": 1}),
        ("nnst", "compact", {"precision": "float32"}),
    ):

        def measure(
            engine: str = engine, descriptor: str = descriptor, options: dict[str, Any] = options
        ) -> Sequence[str]:
            chosen = {**small, **options, "descriptor": descriptor}
            with exact():
                one, another = (bench.painted(engine, device, **chosen) for device in (bench.device, "cpu"))
            return "", "", f"{apart(one[0].pixels, another[0].pixels)}; {curves(one[1], another[1])}"

        precision = options.get("precision", "auto")
        bench.row(f"{engine}, {Path(descriptor).stem}, 256, {precision}", f"{bench.device} - cpu", measure)
    for name in TRAININGS:

        def compare(name: str = name) -> Sequence[str]:
            found = []
            for device in (bench.device, "cpu"):
                with exact(), tempfile.TemporaryDirectory() as folder:
                    task = made(bench, name, device, Path(folder), batch=2, crop=64)
                    rows = trained(task, Path(folder) / "run", 4, precision="float32")
                    found.append([float(row["total"]) for row in rows])
            return "", "", curves(*found)

        bench.row(f"train {name}, 4 steps, float32", f"{bench.device} - cpu", compare)


def trainings(bench: Bench) -> None:
    """Print the seconds of a step of each training."""
    for name in TRAININGS:

        def measure(name: str = name) -> Sequence[str]:
            with tempfile.TemporaryDirectory() as folder:
                task = made(bench, name, bench.device, Path(folder))
                task.begin = lambda: None  # its seconds are not those of a step
                began = time.perf_counter()
                batch = task.batch(10**6)
                decoding = time.perf_counter() - began
                settle(bench.device)
                rows = trained(task, Path(folder) / "run", WARM_UP + bench.training_steps)
            seconds = statistics.median(float(row["seconds"]) for row in rows[WARM_UP:])
            shape = "x".join(map(str, batch[0].shape))
            return f"{seconds:.3f} s a step", peak(bench.device), f"batch of {shape}, decoded in {decoding:.3f} s"

        bench.row(f"train {name}", bench.device, measure)


def trained(task: Task[Any], folder: Path, steps: int, **schedule: Any) -> list[dict[str, str]]:
    """Train ``steps`` steps in ``folder``; return the rows of the log."""
    from impasto.training.loop import LOG_FILE, Schedule, Training

    Training(task, Schedule(steps, 1e-4, warmup=1, **schedule), folder).run(lambda step: None)
    return list(csv.DictReader((folder / LOG_FILE).read_text().splitlines()))


def made(bench: Bench, name: str, device: str, folder: Path, **changed: int) -> Any:
    """Make the task of the training ``name`` on ``device``, with the default options except those that are given."""
    from impasto.descriptors.catalog import load_encoder, load_vgg
    from impasto.descriptors.compact import load_compact
    from impasto.descriptors.devices import choose_device, placed
    from impasto.images import read_picture
    from impasto.options import layer_weights
    from impasto.options import training as options
    from impasto.training.data import Crops, at_short_side, picture_files

    where = choose_device(device)
    files = picture_files([bench.pictures])
    style = at_short_side(read_picture(EXAMPLES / "swirls.jpg").pixels, 256)

    def crops(chosen: options.TrainingOptions, seed: int) -> Crops:
        return Crops(files, chosen.crop, chosen.batch, seed)

    def judged(chosen: options.OneStyleTrainingOptions, stride: int) -> Any:
        from impasto.training.painting import PerceptualLosses

        layers = layer_weights(chosen.content_layers), layer_weights(chosen.style_layers)
        weights = chosen.content_weight, chosen.style_weight, chosen.tv_weight, chosen.grid_weight
        return PerceptualLosses(placed(load_vgg(bench.vgg19), where), *layers, *weights, stride)

    match name:
        case "transformer":
            from impasto.networks import transformer
            from impasto.training.painting import PaintingTraining

            chosen = options.TransformerTrainingOptions(**changed)
            network = placed(transformer.TransformerNetwork(), where)
            return PaintingTraining(network, judged(chosen, transformer.STRIDE), [style], [1.0], crops(chosen, 0))
        case "texture":
            from impasto.networks import texture
            from impasto.training.painting import TextureTraining

            making = options.TextureTrainingOptions(**changed)
            maker = placed(texture.TextureNetwork(), where)
            sizes = {"size": making.crop, "batch": making.batch, "seed": 0}
            return TextureTraining(maker, judged(making, texture.STRIDE), [style], [1.0], **sizes)
        case "conditional":
            from impasto.networks.conditional import ConditionalStylizer
            from impasto.training.stylizer import CONTENT_LAYER, ConditionalTraining

            any_style = options.ConditionalTrainingOptions(**changed)
            descriptor = placed(load_compact(full=[CONTENT_LAYER]), where)
            stylizer = placed(ConditionalStylizer.seeing_with(descriptor), where)
            data = crops(any_style, 0), crops(any_style, 1)
            return ConditionalTraining(stylizer, descriptor, descriptor, *data, any_style.loss_weights)
        case "adain":
            from impasto.networks.adain import AdaINNetwork
            from impasto.training.encoded import AdaINTraining

            encoded = options.EncodedTrainingOptions(**changed)
            adain = placed(AdaINNetwork(load_encoder("compact")), where)
            return AdaINTraining(adain, crops(encoded, 0), crops(encoded, 1), encoded.loss_weights)
        case "sanet":
            from impasto.networks.sanet import SANetwork
            from impasto.training.encoded import SANetTraining

            attending = options.SANetTrainingOptions(**changed)
            sanet = placed(SANetwork(load_encoder("compact")), where)
            return SANetTraining(sanet, crops(attending, 0), crops(attending, 1), attending.loss_weights)
        case "cyclegan":
            from impasto.training.cyclegan import CycleNetworks, CycleTraining

            cycle, judge = options.CycleGANTrainingOptions(**changed), load_compact()
            widths = {"width": cycle.width, "blocks": cycle.blocks, "discriminator": cycle.discriminator}
            networks = placed(CycleNetworks(**widths, crop=cycle.crop, seed=0, judge=judge), where)
            judge = placed(judge, where)
            return CycleTraining(networks, crops(cycle, 0), crops(cycle, 1), cycle.loss_weights, judge)
        case "classifier":
            return classification(files, options.ClassifierTrainingOptions(**changed), where, folder)
        case _:
            from impasto.training.distillation import Distillation, new_student

            distilled = options.CompactTrainingOptions(**changed)
            teacher = placed(load_vgg(bench.vgg19), where)
            student = placed(new_student(teacher, "compact"), where)
            return Distillation(student, teacher, crops(distilled, 0))


def classification(files: Sequence[Path], chosen: Any, device: torch.device, folder: Path) -> Any:
    """Make the task of a classifier that tells the even pictures of ``files`` from the odd ones."""
    from impasto.descriptors.devices import placed
    from impasto.training.classification import Classification, VGGClassifier
    from impasto.training.labelled import survey
    from impasto.training.packing import LabelledBatches, PackedPictures
    from impasto.weights.canonical import TORCHVISION

    for number, file in enumerate(files):
        (folder / "classes" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        (folder / "classes" / "ab"[number % 2] / file.name).write_bytes(file.read_bytes())
    found = survey(folder / "classes")
    pictures = PackedPictures(folder, found.examples, round(1.25 * chosen.crop))
    labels = [example.label for example in found.examples]
    batches = LabelledBatches(pictures, labels, range(len(labels)), chosen.crop, chosen.batch, 0)
    network = VGGClassifier(chosen.architecture, 2, mean=TORCHVISION.mean, std=TORCHVISION.std)
    return Classification(placed(network, device), batches, found.classes, range(len(labels)))


def machine(bench: Bench) -> None:
    """Print what computes."""

    def measure() -> Sequence[str]:
        gpu = torch.cuda.get_device_name() if bench.device.startswith("cuda") else "no GPU"
        cores = len(os.sched_getaffinity(0))
        return "", "", f"{gpu}; {cores} cores, {torch.get_num_threads()} threads; PyTorch {torch.__version__}"

    bench.row("machine", bench.device, measure)


PARTS: dict[str, Callable[[Bench], None]] = {
    "machine": machine,
    "gatys": lambda bench: paintings(bench, "gatys", bench.vgg19, bench.device),
    "nnst": lambda bench: paintings(bench, "nnst", "compact", bench.device),
    "trainings": trainings,
    "differences": differences,
    "nnst-vgg19": lambda bench: paintings(bench, "nnst", bench.vgg19, bench.device),
    "nnst-cpu": lambda bench: paintings(bench, "nnst", "compact", "cpu"),
    "gatys-cpu": lambda bench: paintings(replace(bench, sizes=bench.sizes[:1]), "gatys", bench.vgg19, "cpu"),
    "nnst-vgg19-cpu": lambda bench: paintings(bench, "nnst", bench.vgg19, "cpu"),
}


def main() -> None:
    """Print one table."""
    began = time.monotonic()
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=145)
    parser.add_argument("--limit", type=float, default=20, help="seconds of a row")
    parser.add_argument("--pictures", type=Path, default=EXAMPLES)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--training-steps", type=int, default=20)
    given = parser.parse_args()
    stored = Path(os.environ.get("IMPASTO_WEIGHTS_DIR", ".")) / "vgg19.safetensors"
    bench = Bench(
        given.device,
        given.pictures,
        given.sizes,
        given.steps,
        given.training_steps,
        "vgg19",
        given.limit,
        began + given.seconds,
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            version("impasto")
        except PackageNotFoundError:  # in a checkout that is not installed
            (Path(folder) / "impasto-0.dist-info").mkdir()
            (Path(folder) / "impasto-0.dist-info" / "METADATA").write_text("Name: impasto\nVersion: 0\n")
            sys.path.append(folder)
        if stored.exists():
            bench = replace(bench, vgg19=completed(stored.resolve(), Path(folder)))
        print("| part | device | time | peak GPU memory | remark |\n|---|---|---|---|---|", flush=True)
        for part in given.parts:
            try:
                PARTS[part](bench)
            except Exception as error:
                print(f"| {part} | | | | {type(error).__name__}: {error} |", flush=True)


if __name__ == "__main__":
    main()
