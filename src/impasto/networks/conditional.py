"""A transformer network that takes style codes, and a network that predicts the code of any style image.

`ConditionalTransformer` follows Dumoulin et al. (2017), "A Learned Representation For Artistic Style": one network
paints all styles, and its instance normalisations take scales and shifts from a style code. The architecture is our
own. Most computation is at an eighth of the resolution, where strokes form, and little is at the full resolution. In
flat areas, such a network has the same input everywhere and would paint a pattern that repeats every 8 pixels. Noise at
an eighth of the resolution makes the strokes irregular (as in Ulyanov et al. 2016, section 3).

`StylePredictor` follows Ghiasi et al. (2017), "Exploring the structure of a real-time, arbitrary neural artistic
stylization network": it predicts the code of a style image from the activations of a descriptor. Differs from the paper
in its input: means, deviations and correlations of the layers of the style loss, in place of mean activations of a
classifier.

`ConditionalStylizer` combines both networks with a code that leaves the content unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from impasto.descriptors.compact import load_compact
from impasto.errors import UsageError
from impasto.networks.base import Graph, NormalizedNetwork, PaintingNetwork, picture_sides
from impasto.networks.blocks import EdgeConvolution, enlarge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from impasto.descriptors.compact import CompactDescriptor
    from impasto.networks.base import Normalize

STRIDE = 8
"""The sides of pictures, in pixels, are multiples of this."""
NOISE_CHANNELS = 8
"""Number of channels of the noise input, which has one position per ``STRIDE`` x ``STRIDE`` pixels."""
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""Descriptor layers of the predictor's input and of the style loss."""
LAST_LAYERS = ("transformer.up.1.weight", "transformer.up.2.weight", "transformer.detail.weight")
"""Weights of the convolutions at half and full resolution, 24,576 numbers. A style can have its own values
for them. Biases are not included, because the following normalisations cancel them."""
_NOISE_SHARE = 0.1
_DEEPEST = 2


class ConditionalTransformer(NormalizedNetwork):
    """Paints a picture in the style that a code represents."""

    def __init__(
        self,
        *,
        full: int = 16,
        half: int = 48,
        quarter: int = 64,
        eighth: int = 128,
        half_up: int = 32,
        blocks: int = 4,
    ) -> None:
        """Build the network with these channels at each resolution, and ``blocks`` residual blocks at an eighth of it.

        ``half_up`` is the number of channels at half the resolution in the decoder.
        """
        super().__init__()
        self.first = EdgeConvolution(3, full, 3)
        self.down = nn.ModuleList(
            [
                EdgeConvolution(full, half, 4, stride=2),
                EdgeConvolution(half, quarter, 4, stride=2),
                EdgeConvolution(quarter, eighth, 4, stride=2),
            ]
        )
        self.body = nn.ModuleList(EdgeConvolution(eighth, eighth, 3) for _ in range(2 * blocks))
        self.up = nn.ModuleList(
            [
                EdgeConvolution(eighth, quarter, 3),
                EdgeConvolution(quarter, half_up, 3),
                EdgeConvolution(half_up, full, 3),
            ]
        )
        self.last = EdgeConvolution(full, 3, 3)
        self.detail = nn.Conv2d(half, half_up, 1, bias=False)
        nn.init.zeros_(self.detail.weight)
        self.noise = nn.Conv2d(NOISE_CHANNELS, eighth, 1, bias=False)
        nn.init.normal_(self.noise.weight, std=_NOISE_SHARE)
        self._set_widths(
            [
                convolution.out_channels
                for stage in (self.down, self.body, self.up)
                for convolution in stage
                if isinstance(convolution, EdgeConvolution)
            ]
        )

    def forward(self, image: Tensor, code: Tensor, noise: Tensor) -> Tensor:
        """Paint each image in the style that its code represents.

        Args:
            image: (N, 3, H, W), sRGB in [0, 1].
            code: (N, code_size).
            noise: (N, NOISE_CHANNELS, H / STRIDE, W / STRIDE), with mean 0 and variance 1.

        Returns:
            (N, 3, H, W), sRGB in [0, 1].
        """
        return self._train_pass([image, noise], code)

    def measure(self, image: Tensor, code: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Paint ``image`` (1, 3, H, W), and find scales and shifts with which `render` paints tiles of a larger copy.

        Returns:
            Scales and shifts (1, code_size), and the painted picture (1, 3, H, W).
        """
        return self._measure_pass([image, noise], code)

    def render(self, tile: Tensor, affine: Tensor, noise: Tensor) -> Tensor:
        """Paint ``tile`` (N, 3, H, W) with the scales and shifts from `measure` and the tile's part of the noise."""
        return self._render_pass([tile, noise], affine)

    def _paint(self, inputs: Sequence[Tensor], normalize: Normalize) -> Tensor:
        image, noise = inputs
        x = self.first(image - 0.5).relu()
        skip = detail = x
        for depth, convolution in enumerate(self.down):
            x = convolution(x)
            x = normalize(x + self.noise(noise) if depth == _DEEPEST else x).relu()
            if depth == 0:
                detail = x
            elif depth == 1:
                skip = x
        for one, two in zip(self.body[::2], self.body[1::2], strict=True):
            x = x + normalize(two(normalize(one(x)).relu()))
        x = normalize(self.up[0](enlarge(x))).relu() + skip
        x = normalize(self.up[1](enlarge(x)) + self.detail(detail)).relu()
        x = normalize(self.up[2](enlarge(x))).relu()
        return torch.sigmoid(self.last(x).float())


class StylePredictor(nn.Module):
    """Maps the activations of a style image to a style code."""

    def __init__(
        self,
        widths: Mapping[str, int],
        code_size: int,
        *,
        correlated: int = 20,
        hidden: int = 320,
        embedding: int = 128,
    ) -> None:
        """Build the predictor.

        Args:
            widths: number of channels of each descriptor layer in the input.
            code_size: size of a code.
            correlated: number of channels to which a layer is projected before its channels are correlated.
            hidden: width of the hidden layer.
            embedding: size of the bottleneck, in which similar styles are close to each other (section 3.2).
        """
        super().__init__()
        self.layers = tuple(widths)
        self.projections = nn.ModuleList(nn.Conv2d(width, correlated, 1, bias=False) for width in widths.values())
        upper = torch.triu_indices(correlated, correlated)
        self.register_buffer("_upper", upper[0] * correlated + upper[1], persistent=False)
        statistics = sum(2 * width + 1 + upper.shape[1] for width in widths.values())
        self.head = nn.Sequential(
            nn.Linear(statistics, hidden),
            nn.ReLU(),
            nn.Linear(hidden, embedding),
            nn.ReLU(),
            nn.Linear(embedding, code_size),
        )
        with torch.no_grad():
            last = self.head[-1]
            last.weight.mul_(0.1)  # type: ignore[operator]
            # Initial scales are one and initial shifts are zero.
            last.bias.copy_(torch.cat([torch.ones(code_size // 2), torch.zeros(code_size // 2)]))  # type: ignore[operator]

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Predict the codes (N, code_size) of N style images from their activations (N, C, H, W) by layer."""
        parts = []
        for layer, projection in zip(self.layers, self.projections, strict=True):
            x = features[layer]
            mean = x.mean((2, 3))
            centred = x - mean[:, :, None, None]
            deviation = (centred.square().mean((2, 3)) + 1e-6).sqrt()
            size = deviation.square().sum(1, keepdim=True).sqrt() + 1e-6
            projected = projection(centred / size[:, :, None, None]).flatten(2)
            correlations = projected @ projected.transpose(1, 2) / projected.shape[2] * x.shape[1]
            parts += [mean / size, deviation / size, correlations.flatten(1)[:, self._upper], size.log()]
        return self.head(torch.cat(parts, dim=1))  # type: ignore[no-any-return]


class ConditionalStylizer(PaintingNetwork):
    """Ghiasi et al. (2017): a conditional transformer whose codes are predicted from style images.

    Attributes:
        descriptor: identity of the compact descriptor whose activations are the predictor's input.
        identity: the code (code_size) with which the transformer reproduces the content image.
    """

    architecture = "conditional"
    stride = STRIDE
    halo = 104
    noise_channels = NOISE_CHANNELS

    def __init__(self, widths: Mapping[str, int], *, descriptor: str = "", seed: int = 0) -> None:
        """Build both networks with weights from ``seed``, for descriptor layers with these ``widths``."""
        super().__init__()
        self.arguments = {"widths": dict(widths), "descriptor": descriptor}
        self.descriptor = descriptor
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(widths)

    @classmethod
    def seeing_with(cls, descriptor: CompactDescriptor, *, seed: int = 0) -> Self:
        """Build networks whose predictor takes the activations of ``descriptor``."""
        widths = {layer: descriptor.channels(layer) for layer in STYLE_LAYERS}
        return cls(widths, descriptor=descriptor.identity, seed=seed)

    def _build(self, widths: Mapping[str, int]) -> None:
        self.transformer = ConditionalTransformer()
        self.predictor = StylePredictor(widths, self.transformer.code_size)
        self.identity = nn.Parameter(self.transformer.plain_code())

    def codes(self, features: Mapping[str, Tensor]) -> Tensor:
        """Predict the codes (N, code_size) of N style images from their activations by layer."""
        codes: Tensor = self.predictor(features)
        return codes

    def graphs(self) -> list[Graph]:
        """Return the three graphs of the engine 'fast'.

        - ``predict``: ``style`` (1, 3, H, W) to ``code`` (1, code_size);
        - ``measure``: ``image`` (1, 3, H, W), ``code`` and ``noise`` (1, C, H / 8, W / 8) to ``affine`` (1, code_size)
          and ``painted`` (1, 3, H, W);
        - ``render``: ``tile`` (1, 3, H, W), ``affine`` and ``noise`` to ``painted`` (1, 3, H, W).

        Raises:
            UsageError: the network was trained with a descriptor other than the bundled one.
        """
        descriptor = load_compact()
        if descriptor.identity != self.descriptor:
            raise UsageError("this network was trained with another version of the compact descriptor; train it again")
        layers, transformer = self.predictor.layers, self.transformer

        def predict(style: Tensor) -> Tensor:
            return self.codes(descriptor.forward(style, layers))

        image, noise = torch.rand(1, 3, 8 * STRIDE, 12 * STRIDE), torch.randn(1, NOISE_CHANNELS, 8, 12)
        with torch.no_grad():
            code = predict(image)
            affine, _ = transformer.measure(image, code, noise)
        return [
            Graph(
                "predict",
                predict,
                [self.predictor, descriptor],
                {"style": image},
                ("code",),
                {"style": picture_sides(STRIDE)},
            ),
            Graph(
                "measure",
                transformer.measure,
                [transformer],
                {"image": image, "code": code, "noise": noise},
                ("affine", "painted"),
                {"image": picture_sides(STRIDE), "noise": picture_sides(1)},
            ),
            Graph(
                "render",
                transformer.render,
                [transformer],
                {"tile": image, "affine": affine, "noise": noise},
                ("painted",),
                {"tile": picture_sides(STRIDE), "noise": picture_sides(1)},
            ),
        ]
