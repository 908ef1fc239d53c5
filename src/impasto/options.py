"""One frozen model of options per engine: the only place where a default, a limit or an explanation is written.

The command line's flags and help, the HTTP schema and the reference in the docs are derived from these models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from impasto.errors import UnknownNameError, UsageError

ALL_STYLE_LAYERS = "relu1_1:1,relu2_1:1,relu3_1:1,relu4_1:1,relu5_1:1"


def layer_weights(text: str) -> dict[str, float]:
    """Read ``"relu1_1:0.5,relu2_1"`` as ``{"relu1_1": 0.5, "relu2_1": 1.0}``.

    Raises:
        ValueError: a weight is no positive number, or a layer is empty or named twice.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, colon, number = map(str.strip, part.partition(":"))
        try:
            weight = float(number) if colon else 1.0
        except ValueError:
            weight = math.nan
        if not name or not (0 < weight < math.inf):
            raise ValueError(f"{part.strip()!r} is not LAYER or LAYER:WEIGHT with a positive weight, like relu4_2:0.5")
        if name in weights:
            raise ValueError(f"layer {name!r} is named twice")
        weights[name] = weight
    return weights


def _canonical_layer_weights(value: object) -> str:
    if isinstance(value, Mapping):
        value = ",".join(f"{layer}:{weight}" for layer, weight in value.items())
    elif isinstance(value, Iterable) and not isinstance(value, str):
        value = ",".join(map(str, value))
    if not isinstance(value, str):
        raise ValueError("it should be LAYER:WEIGHT,... or a mapping or sequence of layers")
    weights = layer_weights(value)
    return ",".join(f"{layer}:{weight:g}" for layer, weight in weights.items())


LayerWeights = Annotated[str, BeforeValidator(_canonical_layer_weights)]
"""``LAYER[:WEIGHT],...``; from Python also a mapping or a sequence of names. `layer_weights` takes it apart."""


def layer_names(text: str) -> list[str]:
    """Read ``"relu1_1,relu2_1"`` as ``["relu1_1", "relu2_1"]``, and ``"none"`` as no names at all.

    Raises:
        ValueError: a layer is empty or named twice.
    """
    if text == "none":
        return []
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not name:
            raise ValueError("a layer has no name; write LAYER,LAYER,... or none")
        if names.count(name) > 1:
            raise ValueError(f"layer {name!r} is named twice")
    return names


def _canonical_layer_names(value: object) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = ",".join(map(str, value)) or "none"
    return ",".join(layer_names(str(value))) or "none"


LayerNames = Annotated[str, BeforeValidator(_canonical_layer_names)]
"""``LAYER,...`` or ``none``; from Python also a sequence of names. `layer_names` takes it apart."""


class Options(BaseModel):
    """What every run understands."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(0, ge=0, lt=2**63, description="Same seed, same processor: same picture, to the byte.")

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Check ``values`` by option name.

        Raises:
            UnknownNameError: there is no such option.
            UsageError: one sentence about the first wrong value.
        """
        for name in values:
            if name not in cls.model_fields:
                raise UnknownNameError("option", name, cls.model_fields)
        try:
            return cls(**values)
        except ValidationError as error:
            raise usage_error(error) from None


class EngineOptions(Options):
    """What every engine understands."""

    size: int | None = Field(
        None,
        ge=16,
        le=100_000,
        description="Long side of the result in pixels. Not given: the size of the content image.",
    )
    keep_colors: Literal["none", "luminance", "histogram", "coral"] = Field(
        "none",
        description="Keep the colours of the content image: paint its luminance only, or first give the style image "
        "the content's colours (histogram: the whole distribution; coral: mean and covariance).",
    )
    stroke_size: float = Field(
        1.0,
        ge=0.1,
        le=10,
        description="Size of the style's strokes: the style image is seen this many times as large.",
    )
    style_margin: float = Field(
        0.02,
        ge=0,
        le=0.45,
        description="Share of its width and height that each edge of the style image loses before it is looked at: "
        "frames and the edges of scans are no style.",
    )


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


class DescentOptions(Options):
    """What it takes to change pixels until a descriptor network sees what it should."""

    descriptor: str = Field(
        "auto",
        description="Descriptor network: a name from 'impasto models list', or a file; auto is vgg19, or compact where "
        "vgg19 is not stored and cannot be fetched.",
    )
    pooling: Literal["max", "average"] = Field("max", description="Pooling of the descriptor network.")
    style_loss: Literal["gram", "mean-std"] = Field(
        "gram", description="Statistics to match: Gram matrices, or mean and standard deviation per channel."
    )
    optimizer: Literal["lbfgs", "adam", "sgd"] = Field("lbfgs", description="Optimisation algorithm.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Step length. Not given: 1 for lbfgs, 0.02 for adam, 0.01 for sgd (in units of pixel values).",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of the descriptor; auto takes bfloat16 where the processor has it."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to compute.")


PRESETS: dict[str, dict[str, Any]] = {
    # Gatys, Ecker and Bethge (2016), section 3 and figure 2: alpha / beta = 1e-3 there, for activations of mean one.
    "gatys2016": {
        "style_margin": 0.0,
        "init": "noise",
        "optimizer": "lbfgs",
        "pooling": "average",
        "rescale_activations": True,
        "normalization": "paper",
        "content_layers": "relu4_2:1",
        "style_layers": ALL_STYLE_LAYERS,
        "content_weight": 1.0,
        "style_weight": 1000.0,
        "tv_weight": 0.0,
        "scales": 1,
        "steps": 500,
    },
    # The theses' scripts: Adam from the content image mixed with noise, 20 epochs of 100 steps, a picture after each.
    "thesis": {
        "style_margin": 0.0,
        "init": "content+noise",
        "optimizer": "adam",
        "content_layers": "relu4_2:1",
        "style_layers": "relu1_1:0.1,relu2_1:0.1,relu3_1:0.2,relu4_1:0.3,relu5_1:0.3",
        "scales": 1,
        "steps": 2000,
        "save_every": 100,
    },
    # The thesis that takes its features after the pooling layers.
    "thesis-pooling": {
        "style_margin": 0.0,
        "init": "content+noise",
        "optimizer": "adam",
        "content_layers": "pool4:1",
        "style_layers": "pool1:0.1,pool2:0.1,pool3:0.2,pool4:0.3,pool5:0.3",
        "scales": 1,
        "steps": 2000,
        "save_every": 100,
    },
}


class GatysOptions(DescentOptions, EngineOptions):
    """The classical optimisation of Gatys et al. (2016): the pixels themselves are what is trained."""

    preset: Literal["gatys2016", "thesis", "thesis-pooling"] | None = Field(
        None, description="Settings of a publication; options given beside it win."
    )

    # what is compared
    content_layers: LayerWeights = Field(
        "relu4_2:1",
        description="LAYER[:WEIGHT],... whose activations the picture should share with the content.",
    )
    style_layers: LayerWeights = Field(
        ALL_STYLE_LAYERS,
        description="LAYER[:WEIGHT],... whose statistics the picture should share with the style.",
    )
    content_weight: float = Field(1.0, ge=0, description="Weight of the content loss.")
    style_weight: float = Field(10.0, ge=0, description="Weight of the style loss.")
    tv_weight: float = Field(5.0, ge=0, description="Weight of the total variation: more is smoother.")
    normalization: Literal["relative", "paper"] = Field(
        "relative",
        description="Losses relative to the size of their targets (a weight means the same for every layer, descriptor "
        "and size), or as printed in the papers.",
    )
    rescale_activations: bool = Field(
        False,
        description="Scale the descriptor's filters so that each has a mean activation of one (Gatys et al. 2016).",
    )

    # the optimisation
    init: Literal["content", "noise", "content+noise", "style"] | str = Field(
        "content", description="Picture to start from; also a file."
    )
    steps: int = Field(300, ge=1, le=1_000_000, description="Steps in all, over all scales.")
    scales: int = Field(
        0,
        ge=0,
        le=12,
        description="Coarse-to-fine scales, each twice the last; 1 is none, 0 chooses by the size.",
    )

    # what is kept on the way
    save_every: int = Field(0, ge=0, description="Also save the picture after every so many steps; 0 is never.")
    checkpoint_every: int = Field(
        50, ge=0, description="Keep the state for --resume after every so many steps; 0 is never."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: Any) -> Any:
        preset = values.get("preset") if isinstance(values, Mapping) else None
        if isinstance(preset, str) and preset in PRESETS:
            return {**PRESETS[preset], **values}
        return values

    @model_validator(mode="after")
    def _something_to_minimise(self) -> Self:
        if not self.content_weight and not self.style_weight:
            raise ValueError("content_weight and style_weight are both 0; nothing is left to optimise")
        return self


class FastOptions(EngineOptions):
    """One pass through a network that was trained for all styles."""

    strength: float = Field(
        1.0, ge=0, le=1, description="From 0, the content image as it is, to 1, as far as the network goes."
    )
    network: str | None = Field(
        None, description="Folder of a network that 'impasto export' wrote; the bundled one if not given."
    )
    runtime: Literal["openvino", "onnxruntime"] = Field("openvino", description="Who runs the network.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of the network; auto takes bfloat16 where the processor has it."
    )
    threads: int = Field(0, ge=0, le=1024, description="Threads of the processor; 0 for all.")


class LearnOptions(Options):
    """Refining the code of one style by optimisation."""

    network: str | None = Field(
        None, description="Folder of a network that 'impasto export' wrote; the bundled one if not given."
    )
    judge: str = Field(
        "auto",
        description="Descriptor that measures the losses: auto (vgg19, or compact where that cannot be fetched), or a "
        "name from 'impasto models list'.",
    )
    side: int = Field(
        384,
        ge=64,
        le=2048,
        description="Short side in pixels at which the style image is looked at: more makes larger strokes.",
    )
    style_margin: float = Field(
        0.02, ge=0, lt=0.5, description="Share of the style image's sides that is cut off at each edge: frames."
    )
    minutes: float = Field(5.0, gt=0, description="Time after which learning ends.")
    steps: int = Field(400, ge=1, le=1_000_000, description="Steps after which learning ends.")
    learning_rate: float = Field(0.02, gt=0, description="Of Adam at its highest; it falls along half a cosine.")
    batch: int = Field(2, ge=1, le=64, description="Content images per step.")
    crop: int = Field(224, ge=64, le=2048, multiple_of=8, description="Side in pixels of what is painted of them.")
    content_weight: float = Field(1.0, ge=0, description="Weight of the content loss.")
    style_weight: float = Field(8.0, ge=0, description="Weight of the style loss.")
    tv_weight: float = Field(1.0, ge=0, description="Weight of the total variation.")


class ReconstructOptions(DescentOptions):
    """Figure 1 of Gatys et al. (2016): what the layers of a descriptor network know of one image."""

    descriptor: str = Field(
        "vgg19",
        description="Descriptor network: a name from 'impasto models list', or a file with the layers below.",
    )
    size: int = Field(256, ge=16, le=4096, description="Long side of the reconstructions in pixels.")
    content: LayerNames = Field(
        "relu1_2,relu2_2,relu3_2,relu4_2,relu5_2",
        description="LAYER,... to reconstruct the image from the activations of, one picture per layer; or none.",
    )
    style: LayerNames = Field(
        "relu1_1,relu2_1,relu3_1,relu4_1,relu5_1",
        description="LAYER,... to reconstruct the style from the statistics of: from the first, the first two, and so "
        "on; or none.",
    )
    tv_weight: float = Field(
        4.0,
        ge=0,
        description="Weight of the total variation, against the grain that deep layers do not see: more is smoother.",
    )
    steps: int = Field(200, ge=1, le=1_000_000, description="Steps for each reconstruction.")

    @model_validator(mode="after")
    def _something_to_reconstruct(self) -> Self:
        if self.content == self.style == "none":
            raise ValueError("content and style are both none; nothing is left to reconstruct")
        return self


class TrainingOptions(Options):
    """What every training understands."""

    steps: int = Field(..., ge=1, le=100_000_000, description="Steps in all.")
    batch: int = Field(..., ge=1, le=1024, description="Pictures per step.")
    crop: int = Field(..., ge=32, le=2048, description="Side of the square crops in pixels.")
    learning_rate: float = Field(1e-3, gt=0, description="Of AdamW at its highest; it falls along half a cosine.")
    warmup: int = Field(100, ge=0, description="Steps over which the learning rate rises.")
    checkpoint_every: int = Field(100, ge=1, description="Keep the state for --resume after every so many steps.")
    show_every: int = Field(500, ge=1, description="Draw a sheet of samples after every so many steps.")


class CompactTrainingOptions(TrainingOptions):
    """Distillation of the compact descriptor from VGG19."""

    steps: int = Field(2000, ge=1, le=100_000_000, description="Steps in all.")
    batch: int = Field(16, ge=1, le=1024, description="Pictures per step.")
    learning_rate: float = Field(
        2e-4, gt=0, description="Of AdamW at its highest; more would undo what was taken over from the teacher."
    )
    crop: int = Field(128, ge=32, le=2048, description="Side of the square crops in pixels.")
    descriptor: str = Field("vgg19", description="Teacher: a name from 'impasto models list', or a file.")


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
    optimizer: Literal["adamw", "rmsprop", "sgd"] = Field("adamw", description="sgd has a momentum of 0.9.")
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
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of the arithmetic; auto takes bfloat16 where the processor has it."
    )
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


def usage_error(error: ValidationError) -> UsageError:
    """Say the first thing that ``error`` found wrong in one sentence, with the option, the value and the limit."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "literal_error" and (choices := first.get("ctx", {}).get("expected")):
        return UsageError(f"{name} is {first['input']!r}; choose {choices}")
    message = first["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "it should be", 1)
    return UsageError(f"{name} is {first['input']!r}; {message}" if name else message)
