"""Any painting's style in one pass: predictor and transformer together, with the code that changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from impasto.descriptors.compact import load_compact
from impasto.errors import UsageError
from impasto.networks.base import Graph, PaintingNetwork, picture_sides
from impasto.networks.conditional import NOISE_CHANNELS, STRIDE, ConditionalTransformer
from impasto.networks.predictor import StylePredictor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from impasto.descriptors.compact import CompactDescriptor

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
"""What the predictor looks at, and what the style loss is made of."""


LAST_LAYERS = ("transformer.up.1.weight", "transformer.up.2.weight", "transformer.detail.weight")
"""Convolutions at half and full resolution, 24,576 numbers: a small part of the network, which a style may learn. Their
biases are undone by the normalisations that follow."""


class ConditionalStylizer(PaintingNetwork):
    """Ghiasi et al. (2017): a conditional transformer whose codes are predicted from style images.

    Attributes:
        descriptor: identity of the compact descriptor that the predictor sees style images with.
        identity: the code (code_size) with which the transformer gives back the content image.
    """

    architecture = "conditional"

    def __init__(self, widths: Mapping[str, int], *, descriptor: str = "", seed: int = 0) -> None:
        """Build both networks with weights from ``seed``; the predictor looks at layers with these ``widths``."""
        super().__init__()
        self.arguments = {"widths": dict(widths), "descriptor": descriptor}
        self.descriptor = descriptor
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(widths)

    @classmethod
    def seeing_with(cls, descriptor: CompactDescriptor, *, seed: int = 0) -> Self:
        """Build networks whose predictor sees style images with ``descriptor``."""
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
            UsageError: it was trained with another descriptor than the bundled one.
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
