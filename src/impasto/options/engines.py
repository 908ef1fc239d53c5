"""Options of everything that makes pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from impasto.options.base import Device, LayerNames, LayerWeights, Options, SeedOptions
from impasto.options.presets import ALL_STYLE_LAYERS, PRESETS

DEFAULT_ENGINE = "nnst"
FILM_ENGINE = "fast"
"""The default engine for films. Engine 'nnst' takes seconds per frame, and its neighbours jump from frame to frame."""
PLAIN_NAME = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")
"""A name of stored weights or of a network, without a path or suffix."""
FILES_OF_A_RUN = frozenset({"save_every", "checkpoint_every"})
"""Options that change no pixel, only which files a run leaves behind."""
UNRECORDED = FILES_OF_A_RUN | {"threads"}
"""Options that do not change the result, so its metadata do not have them."""

StyleMargin = Annotated[
    float,
    Field(
        ge=0,
        le=0.45,
        description="Share of its width and height that is cropped from each edge of the style image, to drop frames "
        "and scan borders.",
    ),
]

StepsOverScales = Annotated[
    int,
    Field(
        ge=1,
        le=1_000_000,
        description="Steps in all, over all scales; each takes two at least, unless 1 is asked for.",
    ),
]


class EngineOptions(Options):
    """Options of every engine."""

    size: int | None = Field(
        None,
        ge=16,
        le=100_000,
        description="Long side of the result in pixels. Not given: the size of the content image.",
    )
    strength: float = Field(
        1.0, ge=0, le=1, description="From 0, the content image as it is, to 1, as far as the engine goes."
    )
    keep_colors: Literal["none", "luminance", "histogram", "coral"] = Field(
        "none",
        description="Keep the colours of the content image: paint its luminance only, or give the result the mean and "
        "covariance of its colours (histogram: over all channels at once; coral: of standardised channels).",
    )

    @property
    def network_key(self) -> tuple[str, ...]:
        """A key that is equal for options with which an engine loads the same network in the same way."""
        return ()

    @property
    def expected_steps(self) -> int:
        """Number of steps of a usual run."""
        return 1

    @property
    def divides_the_processor(self) -> bool:
        """True if several engines can compute at once, each on a part of the processor's threads."""
        return False

    @property
    def saved_every(self) -> int:
        """Number of steps from one saving of the picture to the next; 0 means never."""
        return 0

    def defaults(self) -> Self:
        """Return these options with default values for all but the preset."""
        return type(self)()


class StyleImageOptions(Options):
    """Options of engines that look at a style image."""

    stroke_size: float = Field(
        1.0,
        ge=0.1,
        le=10,
        description="Size of the style's strokes: the style image is seen this many times as large.",
    )
    style_margin: StyleMargin = 0.02


class StepwiseOptions(Options):
    """Options of engines that paint in many steps."""

    init: Literal["content", "noise", "content+noise", "style"] | str = Field(
        "content", description="Picture to start from; also a file."
    )
    # files that a run leaves behind: see FILES_OF_A_RUN
    save_every: int = Field(0, ge=0, description="Also save the picture after every so many steps; 0 is never.")
    checkpoint_every: int = Field(
        50, ge=0, description="Keep the state for --resume after every so many steps; 0 is never."
    )

    @property
    def saved_every(self) -> int:
        """See `EngineOptions.saved_every`."""
        return self.save_every


class PerceptualOptions(Options):
    """Layers and weights of the content loss and the style loss."""

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


class DescentOptions(SeedOptions):
    """Options of an optimisation through a descriptor network."""

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

    @property
    def network_key(self) -> tuple[str, ...]:
        """See `EngineOptions.network_key`."""
        return (self.descriptor, self.pooling, self.precision, self.device)


class GatysOptions(PerceptualOptions, DescentOptions, StepwiseOptions, StyleImageOptions, EngineOptions):
    """The classical optimisation of Gatys et al. (2016): the pixels themselves are what is trained."""

    preset: Literal["gatys2016", "thesis", "thesis-pooling"] | None = Field(
        None, description="Settings of a publication; options given beside it win."
    )

    # how it is compared
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
    steps: StepsOverScales = 300
    scales: int = Field(
        0,
        ge=0,
        le=12,
        description="Coarse-to-fine scales, each twice the last; 1 is none, 0 chooses by the size.",
    )

    tile: int | None = Field(
        None,
        ge=0,
        le=100_000,
        description="Side in pixels of the tiles that pictures are looked at in, with the same losses and gradients, "
        "less memory and more time; 0 is the whole at once. Not given: as the memory asks for.",
    )

    @property
    def expected_steps(self) -> int:
        """See `EngineOptions.expected_steps`."""
        return self.steps

    def defaults(self) -> Self:
        """See `EngineOptions.defaults`."""
        return type(self)(preset=self.preset)

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


class TextureOptions(DescentOptions, StyleImageOptions):
    """Textures by optimisation (Gatys et al. 2015)."""

    style_layers: LayerWeights = Field(
        ALL_STYLE_LAYERS, description="LAYER[:WEIGHT],... whose statistics the texture should share with its example."
    )
    tv_weight: float = Field(0.5, ge=0, description="Weight of the total variation: more is smoother.")
    steps: StepsOverScales = 300
    scales: int = Field(
        0, ge=0, le=12, description="Coarse-to-fine scales, each twice the last; 1 is none, 0 chooses by the size."
    )


class RuntimeOptions(Options):
    """Options of the runtime of a network."""

    runtime: Literal["openvino", "onnxruntime"] = Field("openvino", description="Who runs the network.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of the network; auto takes bfloat16 where the processor has it."
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="Threads of the processor for each picture; 0 divides all among the pictures that are painted at "
        "once.",
    )

    @property
    def divides_the_processor(self) -> bool:
        """See `EngineOptions.divides_the_processor`."""
        return self.runtime == "openvino"


class NetworkOptions(RuntimeOptions):
    """Options of a trained network and its runtime."""

    network: str | None = Field(
        None, description="A bundled network, or a folder that 'impasto export' wrote; the first bundled if not given."
    )

    @property
    def network_key(self) -> tuple[str, ...]:
        """See `EngineOptions.network_key`."""
        return (self.network or "", self.runtime, self.precision, str(self.threads))


class FeedForwardOptions(NetworkOptions, EngineOptions):
    """One pass through a network that was trained for one style."""


class AnyStyleOptions(StyleImageOptions, FeedForwardOptions):
    """One pass through a network that was trained for all styles."""


class FastOptions(SeedOptions, AnyStyleOptions):
    """One pass through a network that was trained for all styles, with strokes from noise."""


class NnstOptions(StepwiseOptions, SeedOptions, RuntimeOptions, StyleImageOptions, EngineOptions):
    """Optimisation by nearest neighbours of Kolkin et al. (2022)."""

    content_weight: float = Field(
        0.75,
        ge=0,
        le=1,
        description="Share of the content image in the picture whose neighbours are found; the rest is the picture so "
        "far. More keeps the drawing, less looks more painted.",
    )
    descriptor: str = Field(
        "compact",
        description="Descriptor network: compact; wide, which takes twice as long and paints cleaner strokes; a file "
        "that 'impasto train compact' wrote; or VGG weights by a name from 'impasto models list', such as vgg19.",
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Steps in all, over all sizes of the picture. Not given: as many as pay, 118 at 512 pixels.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        description="Where to compute; auto is the processor, or a GPU if ONNX Runtime finds one; cuda and mps run in "
        "PyTorch.",
    )

    @property
    def expected_steps(self) -> int:
        """See `EngineOptions.expected_steps`."""
        return self.steps or 118

    @property
    def divides_the_processor(self) -> bool:
        """See `EngineOptions.divides_the_processor`."""
        return super().divides_the_processor and self.device in ("auto", "cpu")

    @property
    def network_key(self) -> tuple[str, ...]:
        """See `EngineOptions.network_key`."""
        return (self.descriptor, self.runtime, self.precision, str(self.threads), self.device)


class TextureNetSynthesisOptions(SeedOptions, NetworkOptions):
    """A texture from noise, in one pass."""


class TextureNetOptions(TextureNetSynthesisOptions, FeedForwardOptions):
    """One pass through a network that was trained for one style, with strokes from noise."""


class LearnOptions(SeedOptions):
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
    style_margin: StyleMargin = 0.02
    last_layers: bool = Field(
        False,
        description="Learn the network's last layers, too: nearer to the painting, in a file of 80 kB; such a style "
        "cannot be mixed with others.",
    )
    minutes: float = Field(5.0, gt=0, description="Time after which learning ends.")
    steps: int = Field(400, ge=1, le=1_000_000, description="Steps after which learning ends.")
    learning_rate: float = Field(0.02, gt=0, description="Of Adam at its highest; it falls along half a cosine.")
    device: Device = "auto"
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
