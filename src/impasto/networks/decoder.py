"""From the activations of a VGG network back to a picture: the second half of the encoder-decoder networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from impasto.networks.blocks import EdgeConvolution

if TYPE_CHECKING:
    from impasto.descriptors.vgg import VGG


class Decoder(nn.Module):
    """The convolutions of an encoder in reverse, with bilinear enlargements in place of the poolings.

    Differs from Huang and Belongie (2017), whose decoder repeats pixels: that leaves a weave of 4 pixels.
    """

    def __init__(self, encoder: VGG, layer: str) -> None:
        """Mirror ``encoder`` up to the rectified convolution ``layer``."""
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
        self.layers = nn.Sequential(*convolutions[:-1])  # nothing rectifies a picture

    def forward(self, features: Tensor) -> Tensor:
        """Turn activations (N, C, H, W) into pictures (N, 3, H * step, W * step), sRGB around [0, 1]."""
        picture: Tensor = self.layers(features).float()
        return picture
