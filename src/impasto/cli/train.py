"""``impasto train``: train what impasto paints with."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotations
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from impasto.cli.console import RunDisplay
from impasto.errors import needs_extra
from impasto.options import CompactTrainingOptions, ConditionalTrainingOptions

if TYPE_CHECKING:
    from impasto.options import TrainingOptions
    from impasto.training.loop import Schedule

_BATCHES_TO_FIT = 64
_BATCHES_TO_MEASURE = 16
_SMALLEST_SHARE = 0.4  # so that strokes of all scales are learned

app = App(name="train", help="Train what impasto paints with.")
app.command("impasto.cli.train_classifier:app", name="classifier")


@app.command
def compact(
    *,
    data: Annotated[list[Path], Parameter(negative="")],
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    resume: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
    options: Annotated[CompactTrainingOptions | None, Parameter(name="*")] = None,
) -> None:
    """Train the compact descriptor: a narrow VGG19 that learns to see what VGG19 sees.

    One picture in twenty, chosen by its name, is kept from training and tells how well it went.

    Parameters
    ----------
    data
        A folder of pictures; repeat it for several.
    output
        The folder for the weights (compact.safetensors), their card (compact.json), the state, the losses and sheets of
        samples.
    resume
        Continue from the state in the output folder.
    quiet
        No progress.
    options
        Options of the training.
    """
    chosen = options or CompactTrainingOptions()
    with needs_extra("impasto train", "torch"):
        from impasto.descriptors.catalog import load_vgg
        from impasto.training import distillation
        from impasto.training.data import Crops, held_out_files, training_files
        from impasto.training.loop import Training
        from impasto.training.saving import save_network

    train, held_out = training_files(data), held_out_files(data)
    output.mkdir(parents=True, exist_ok=True)
    with RunDisplay("compact", quiet=quiet) as display:
        teacher = load_vgg(chosen.descriptor, on_download=display.download)
        student = distillation.Student(teacher)
        task = distillation.Distillation(student, teacher, Crops(train, chosen.crop, chosen.batch, chosen.seed))
        if not resume:
            display.note("choosing the teacher's channels; this takes a minute")
        trained = Training(task, _schedule(chosen), output, resume=resume).run(display.step)
        display.note("fitting the heads")
        seen = Crops(train, chosen.crop, chosen.batch, chosen.seed)
        distillation.refit_heads(trained, teacher, (seen.at(step) for step in range(_BATCHES_TO_FIT)))
        display.note("measuring on pictures that were kept from training")
        unseen = Crops(held_out, chosen.crop, chosen.batch, chosen.seed)
        scores = distillation.explained(trained, teacher, [unseen.at(step) for step in range(_BATCHES_TO_MEASURE)])
    save_network(
        output / "compact.safetensors",
        distillation.compact_tensors(trained),
        metadata={
            "mean": json.dumps(teacher.mean.flatten().tolist()),
            "std": json.dumps(teacher.std.flatten().tolist()),
        },
        card={
            "title": "Compact descriptor: VGG19 at a quarter of its width",
            "recipe": {"command": "impasto train compact", "options": chosen.model_dump()},
            "data": {
                "pictures": len(train),
                "kept from training": len(held_out),
                "folders": [path.name for path in data],
            },
            "teacher": {"name": teacher.name, "sha256": teacher.identity},
            "explained variance": {layer: round(score, 4) for layer, score in scores.items()},
        },
    )
    print(json.dumps({layer: round(score, 4) for layer, score in scores.items()}))


@app.command
def conditional(
    *,
    content: Annotated[list[Path], Parameter(negative="")],
    style: Annotated[list[Path], Parameter(negative="")],
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    start: Path | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"), negative="")] = False,
    options: Annotated[ConditionalTrainingOptions | None, Parameter(name="*")] = None,
) -> None:
    """Train the network that paints any picture in the style of any other in one pass.

    One picture in twenty, chosen by its name, is kept from training.

    Parameters
    ----------
    content
        A folder of photographs; repeat it for several.
    style
        A folder of paintings; repeat it for several.
    output
        The folder for the weights (conditional.safetensors), their card (conditional.json), the state, the losses and
        sheets of samples.
    start
        Weights to start from, of an earlier training: conditional.safetensors; random ones by default.
    resume
        Continue from the state in the output folder; judge, weights of the losses, crop, batch and steps may be others
        than before.
    quiet
        No progress.
    options
        Options of the training.
    """
    chosen = options or ConditionalTrainingOptions()
    with needs_extra("impasto train", "torch"):
        from impasto.descriptors.catalog import load_vgg
        from impasto.descriptors.compact import load_compact
        from impasto.networks.arbitrary import STYLE_LAYERS, ArbitraryStylizer
        from impasto.networks.checkpoint import load_stylizer
        from impasto.training.data import Crops, training_files
        from impasto.training.loop import Training
        from impasto.training.saving import save_network
        from impasto.training.stylizer import CONTENT_LAYER, ConditionalTraining, LossWeights

    contents, styles = (
        Crops(training_files(folders), chosen.crop, chosen.batch, seed, smallest_share=_SMALLEST_SHARE)
        for folders, seed in ((content, chosen.seed), (style, chosen.seed + 1))
    )
    output.mkdir(parents=True, exist_ok=True)
    with RunDisplay("conditional", quiet=quiet) as display:
        descriptor = load_compact(full=[CONTENT_LAYER])
        judge = descriptor if chosen.judge == "compact" else load_vgg(chosen.judge, on_download=display.download)
        network = ArbitraryStylizer({layer: descriptor.channels(layer) for layer in STYLE_LAYERS}, seed=chosen.seed)
        if start is not None:
            network.load_state_dict(load_stylizer(start).network.state_dict())
        weights = LossWeights(
            chosen.content_weight, chosen.style_weight, chosen.tv_weight, chosen.identity_weight, chosen.grid_weight
        )
        task = ConditionalTraining(network, descriptor, judge, contents, styles, weights)
        trained = Training(task, _schedule(chosen), output, resume=resume).run(display.step)
    save_network(
        output / "conditional.safetensors",
        {name: value.half().contiguous() for name, value in trained.state_dict().items()},
        metadata={"descriptor": descriptor.identity},
        card={
            "title": "Conditional transformer and style predictor",
            "recipe": {"command": "impasto train conditional", "options": chosen.model_dump()},
            "data": {
                "content": {"pictures": len(contents.files), "folders": [path.name for path in content]},
                "style": {"pictures": len(styles.files), "folders": [path.name for path in style]},
            },
            "descriptor": {"name": "compact", "sha256": descriptor.identity},
        },
    )


def _schedule(options: TrainingOptions) -> Schedule:
    from impasto.training.loop import Schedule

    return Schedule(
        options.steps,
        options.learning_rate,
        warmup=options.warmup,
        checkpoint_every=options.checkpoint_every,
        show_every=options.show_every,
    )
