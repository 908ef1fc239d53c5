"""Options of everything that is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from impasto.options.base import Device, SeedOptions
from impasto.options.engines import PerceptualOptions, StyleMargin

CLASSIFIER_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "thesis": {"optimizer": "rmsprop", "learning_rate": 1e-4, "batch": 16, "decay": "constant"},
    "report": {
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "initialization": "gaussian",
        "batch_norm": True,
        "decay": "steps",
    },
}


class TrainingOptions(SeedOptions):
    """Options of every training."""

    steps: int = Field(..., ge=1, le=100_000_000, description="Steps in all.")
    batch: int = Field(..., ge=1, le=1024, description="Pictures per step.")
    crop: int = Field(..., ge=32, le=2048, description="Side of the square crops in pixels.")
    learning_rate: float = Field(1e-3, gt=0, description="Of AdamW at its highest; it falls along half a cosine.")
    momentum: float = Field(
        0.9, ge=0, lt=1, description="Share of the moving average of gradients that a step of AdamW or SGD leaves."
    )
    warmup: int = Field(100, ge=0, description="Steps over which the learning rate rises.")
    checkpoint_every: int = Field(100, ge=1, description="Keep the state for --resume after every so many steps.")
    show_every: int = Field(500, ge=1, description="Draw a sheet of samples after every so many steps.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Of the convolutions; auto takes bfloat16 where the device has it. Weights stay in float32.",
    )
    device: Device = "auto"

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weights of the losses by name: every option NAME_weight."""
        return {name.removesuffix("_weight"): value for name, value in self if name.endswith("_weight")}


class CompactTrainingOptions(TrainingOptions):
    """Distillation of the compact descriptor from VGG19."""

    steps: int = Field(2000, ge=1, le=100_000_000, description="Steps in all.")
    batch: int = Field(16, ge=1, le=1024, description="Pictures per step.")
    learning_rate: float = Field(
        2e-4, gt=0, description="Of AdamW at its highest; more would undo what was taken over from the teacher."
    )
    crop: int = Field(128, ge=32, le=2048, description="Side of the square crops in pixels.")
    descriptor: str = Field("vgg19", description="Teacher: a name from 'impasto models list', or a file.")
    width: Literal["compact", "wide"] = Field(
        "compact", description="Channels: compact, or wide, which takes twice as long and sees more."
    )
    kept: int = Field(
        0,
        ge=0,
        description="Batches for which the teacher's activations are kept on disk (27 MB each) and used again, which "
        "saves most of the time of a step; 0 takes new crops in every step.",
    )
    painted: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of each batch that is painted through the descriptor as it is by then, so that it learns "
        "where it is wrong; for the end of a training.",
    )


class ConditionalTrainingOptions(TrainingOptions):
    """The transformer network for all styles, and the predictor of their codes."""

    steps: int = Field(20_000, ge=1, le=100_000_000, description="Steps in all.")
    batch: int = Field(8, ge=2, le=1024, description="Pictures per step.")
    crop: int = Field(224, ge=64, le=2048, multiple_of=8, description="Side of the square crops in pixels.")
    judge: str = Field("compact", description="Descriptor that measures the losses; vgg19 is exact and slow.")
    content_weight: float = Field(1.0, ge=0, description="Weight of the content loss.")
    style_weight: float = Field(8.0, ge=0, description="Weight of the style loss.")
    tv_weight: float = Field(1.0, ge=0, description="Weight of the total variation.")
    identity_weight: float = Field(20.0, ge=0, description="Weight of the pixels that the identity code should keep.")
    grid_weight: float = Field(0.3, ge=0, description="Weight of grids at the periods of the network's enlargements.")
    blotch_weight: float = Field(100.0, ge=0, description="Weight of what is uneven where the photograph is even.")


class OneStyleTrainingOptions(PerceptualOptions, TrainingOptions):
    """Networks that learn one style from what a descriptor sees."""

    batch: int = Field(4, ge=1, le=1024, description="Pictures per step.")
    crop: int = Field(256, ge=64, le=2048, multiple_of=16, description="Side of the square crops in pixels.")
    judge: str = Field(
        "auto",
        description="Descriptor that measures the losses: auto (vgg19, or compact where that cannot be fetched), "
        "compact (cheap), or another from 'impasto models list', or a file.",
    )
    grid_weight: float = Field(0.3, ge=0, description="Weight of grids at the periods of the network's enlargements.")
    style_size: int = Field(
        256,
        ge=32,
        le=4096,
        description="Short side in pixels at which the style image is seen: more makes larger strokes.",
    )
    style_margin: StyleMargin = 0.02


class TransformerTrainingOptions(OneStyleTrainingOptions):
    """The image transformation network of Johnson et al. (2016)."""

    steps: int = Field(4000, ge=1, le=100_000_000, description="Steps in all.")
    width: int = Field(32, ge=4, le=512, description="Channels at the full resolution; 32 in the paper.")
    blocks: int = Field(5, ge=0, le=64, description="Residual blocks.")
    norm: Literal["instance", "batch"] = Field(
        "instance", description="Normalise each picture by itself, or all of a batch together, as in the paper."
    )


class TextureTrainingOptions(OneStyleTrainingOptions):
    """The texture network of Ulyanov et al. (2016)."""

    steps: int = Field(2000, ge=1, le=100_000_000, description="Steps in all.")
    width: int = Field(8, ge=1, le=128, description="Channels that each of the five scales adds; 8 in the paper.")


class EncodedTrainingOptions(TrainingOptions):
    """Networks between an encoder, which stays as it is, and a decoder."""

    steps: int = Field(10_000, ge=1, le=100_000_000, description="Steps in all.")
    batch: int = Field(4, ge=1, le=1024, description="Pictures per step.")
    crop: int = Field(256, ge=64, le=2048, multiple_of=16, description="Side of the square crops in pixels.")
    learning_rate: float = Field(
        2e-4, gt=0, description="Of AdamW at its highest; more would undo what the decoder begins with."
    )
    encoder: str = Field(
        "compact", description="Descriptor: compact (small), or vgg19, or another from 'impasto models list'."
    )
    content_weight: float = Field(1.0, ge=0, description="Weight of the content loss.")
    style_weight: float = Field(10.0, ge=0, description="Weight of the style loss.")
    tv_weight: float = Field(0.1, ge=0, description="Weight of the total variation.")
    grid_weight: float = Field(0.3, ge=0, description="Weight of grids at the periods of the decoder's enlargements.")


class SANetTrainingOptions(EncodedTrainingOptions):
    """Style attention, which also learns to leave a picture in its own style as it is."""

    identity_weight: float = Field(50.0, ge=0, description="Weight of the pixels of pictures in their own style.")
    features_weight: float = Field(1.0, ge=0, description="Weight of what the encoder sees of them.")


class CycleGANTrainingOptions(TrainingOptions):
    """Unpaired translation between two folders of pictures."""

    steps: int = Field(10_000, ge=1, le=100_000_000, description="Steps in all.")
    batch: int = Field(1, ge=1, le=256, description="Pictures of each domain per step.")
    crop: int = Field(128, ge=64, le=1024, multiple_of=4, description="Side of the square crops in pixels.")
    judge: str = Field(
        "compact",
        description="What discriminators see with: compact, another descriptor from 'impasto models list' or a file; "
        "or pixels, as in the paper, which takes many more steps.",
    )
    learning_rate: float = Field(2e-4, gt=0, description="Of AdamW at its highest; it falls along half a cosine.")
    momentum: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Share of the moving average of gradients that a step leaves.",
    )
    width: int = Field(32, ge=4, le=512, description="Channels of the generators at the full resolution.")
    blocks: int = Field(6, ge=0, le=64, description="Residual blocks of the generators.")
    discriminator: int = Field(
        32, ge=4, le=512, description="Channels of the discriminators at first; 64 in the paper."
    )
    cycle_weight: float = Field(10.0, ge=0, description="Weight of the pixels of pictures painted there and back.")
    identity_weight: float = Field(
        5.0, ge=0, description="Weight of the pixels of pictures that are of the right domain already."
    )


class ClassifierTrainingOptions(TrainingOptions):
    """A VGG network that learns to tell one's own pictures apart."""

    steps: int = Field(0, ge=0, le=100_000_000, description="Steps in all; 0 for --epochs.")
    epochs: float = Field(30.0, gt=0, le=100_000, description="How often every picture is seen.")
    batch: int = Field(16, ge=2, le=4096, description="Pictures per step, over all processes.")
    crop: int = Field(128, ge=32, le=1024, description="Side of the square crops in pixels.")
    checkpoint_every: int = Field(50, ge=1, description="Keep the state for --resume after every so many steps.")
    architecture: Literal["vgg16", "vgg19"] = Field("vgg19", description="Which network.")
    width: float = Field(1.0, gt=0, le=4, description="Channels of all layers, as a share of VGG's.")
    batch_norm: bool = Field(False, description="Normalise what each convolution returns.")
    head: Literal["average", "dense"] = Field(
        "average", description="Classifier on the mean over positions, or on 7x7 positions by three layers, as in VGG."
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="Share that is dropped before each linear layer.")
    start: str | None = Field(
        None, description="Fine-tune these weights: a name from 'impasto models list', or a file; random if not given."
    )
    freeze: int = Field(0, ge=0, le=5, description="Blocks of convolutions, from the first, that keep their weights.")
    initialization: Literal["he", "gaussian"] = Field(
        "he", description="Of random weights; gaussian has a deviation of 0.01 and wants --batch-norm."
    )
    optimizer: Literal["adamw", "rmsprop", "sgd"] = Field("adamw", description="How weights move along gradients.")
    learning_rate: float = Field(3e-4, gt=0, description="At its highest.")
    weight_decay: float = Field(1e-4, ge=0, description="Pull of all weights towards 0.")
    decay: Literal["cosine", "steps", "constant"] = Field(
        "cosine", description="How the learning rate falls: along half a cosine, by 10 after 1/2 and 3/4, or not."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the probability spread over all classes.")
    smallest_crop: float = Field(0.6, gt=0, le=1, description="Share of the short side that a crop covers at least.")
    flip: bool = Field(True, description="Mirror half of the crops.")
    jitter: float = Field(0.2, ge=0, le=1, description="Largest change of brightness, contrast and saturation.")
    validation: float = Field(0.2, gt=0, lt=0.5, description="Share of each class to validate with.")
    test: float = Field(0.1, gt=0, lt=0.5, description="Share of each class to test with at the end.")
    patience: int = Field(0, ge=0, description="Epochs without better validation after which it ends; 0 is never.")
    preset: Literal["thesis", "report"] | None = Field(
        None, description="thesis: RMSProp 1e-4, batch 16; report: SGD 0.01, momentum 0.9, Gaussian initialisation."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: Any) -> Any:
        preset = values.get("preset") if isinstance(values, Mapping) else None
        if isinstance(preset, str) and preset in CLASSIFIER_PRESETS:
            return {**CLASSIFIER_PRESETS[preset], **values}
        return values

    @model_validator(mode="after")
    def _shape_of_what_is_given(self) -> Self:
        if self.start is not None and {"architecture", "width"} & self.model_fields_set:
            raise ValueError("architecture and width are those of the weights to start from; leave them out")
        if self.start is None and self.freeze:
            raise ValueError("freeze keeps random weights as they are; name the weights to fine-tune with --start")
        return self
