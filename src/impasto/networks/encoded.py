"""Networks that consist of a frozen VGG encoder, a part that changes the activations, and a decoder.

Their files hold all three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from impasto.descriptors.vgg import VGG
from impasto.networks.base import PaintingNetwork
from impasto.networks.blocks import EdgeConvolution

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENCODER = "encoder."


class EncodedNetwork(PaintingNetwork):
    """Changes the activations of a content image and decodes them into a picture.

    Attributes:
        encoder: the encoder, with constant weights.
        decoder: the decoder, which turns activations into pictures.
    """

    encoded_layers: ClassVar[tuple[str, ...]]
    """Layers of the encoder, from shallow to deep. The decoder takes the activations of the first."""

    def __init__(self, encoder: VGG, *, seed: int = 0) -> None:
        """Copy the required layers of ``encoder``. All other weights are random; ``seed`` seeds them."""
        super().__init__()
        deepest = encoder.layers.index(self.encoded_layers[-1])
        needed = {name for name in encoder.layers[: deepest + 1] if name.startswith("conv")}
        tensors = {name: tensor for name, tensor in encoder.tensors().items() if name.rpartition(".")[0] in needed}
        mean, std = (value.flatten().tolist() for value in (encoder.mean, encoder.std))
        self.encoder = VGG(encoder.architecture, tensors, mean=mean, std=std)
        self.arguments = {"architecture": encoder.architecture, "mean": mean, "std": std}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.decoder = Decoder(self.encoder, self.encoded_layers[0])
            self._build({layer: self.channels(layer) for layer in self.encoded_layers})

    def _build(self, widths: Mapping[str, int]) -> None:
        """Build the layers between encoder and decoder, by default none.

        ``widths`` are the numbers of channels of the encoded layers.
        """

    def channels(self, layer: str) -> int:
        """Return the number of channels of ``layer``."""
        return int(self.encoder.convolutions[layer.replace("relu", "conv")].get_buffer("weight").shape[0])

    def encoded(self, image: Tensor) -> dict[str, Tensor]:
        """Return the activations of ``image`` (N, 3, H, W) by encoded layer."""
        return dict(self.encoder.forward(image, self.encoded_layers))

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors that the file must hold."""
        own = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(_ENCODER)}
        return {**own, **{f"{_ENCODER}{name}": tensor for name, tensor in self.encoder.tensors().items()}}

    @classmethod
    def rebuilt(cls, arguments: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Rebuild a network from its arguments and tensors: see `PaintingNetwork.rebuilt`."""
        given = {name[len(_ENCODER) :]: tensor for name, tensor in tensors.items() if name.startswith(_ENCODER)}
        network = cls(VGG(arguments["architecture"], given, mean=arguments["mean"], std=arguments["std"]))
        own = {name: tensor for name, tensor in tensors.items() if not name.startswith(_ENCODER)}
        missing, unknown = network.load_state_dict(own, strict=False)
        if unknown or any(not name.startswith(_ENCODER) for name in missing):
            raise ValueError(f"missing: {missing}, unknown: {unknown}")
        return network


class Decoder(nn.Module):
    """The convolutions of an encoder in reverse, with bilinear upsampling in place of pooling.

    Huang and Belongie (2017) repeat pixels instead. That leaves a pattern with a period of 4 pixels.
    """

    def __init__(self, encoder: VGG, layer: str) -> None:
        """Mirror ``encoder`` up to ``layer``, such as 'relu4_1'."""
        super().__init__()
        convolutions: list[nn.Module] = []
        names = encoder.layers[: encoder.layers.index(layer) + 1]
        for name in reversed(names):
            if name.startswith("pool"):
                convolutions.append(nn.Upsample(scale_factor=2, mode="bilinear"))
            elif name.startswith("conv"):
                weight = encoder.convolutions[name].get_buffer("weight")
                width, channels = weight.shape[:2]
                convolutions += [EdgeConvolution(width, channels, 3, edges="reflect"), nn.ReLU()]
        self.layers = nn.Sequential(*convolutions[:-1])  # the output is not rectified

    def forward(self, features: Tensor) -> Tensor:
        """Turn activations (N, C, H, W) into pictures (N, 3, H * s, W * s).

        The factor s is the stride of the encoder. Values are sRGB and may lie slightly outside [0, 1].
        """
        picture: Tensor = self.layers(features).float()
        return picture
