"""The settings of publications give pictures like those of the publications."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import impasto
from impasto.descriptors.compact import load_compact
from impasto.images import read_picture, resize_picture
from impasto.losses.functional import content_distance, style_distance

pytestmark = pytest.mark.slow


def seen(picture, layer):
    image = torch.from_numpy(np.ascontiguousarray(picture.pixels.transpose(2, 0, 1)))[None]
    return load_compact().forward(image, [layer])[layer]


def distance(picture, style):
    """Distance of the Gram matrices of two layers of the compact descriptor."""
    return sum(float(style_distance(seen(picture, layer), seen(style, layer))) for layer in ("relu3_1", "relu4_1"))


def finest_grain(picture):
    """Mean square of what alternates from pixel to pixel in both directions."""
    pixels = picture.pixels
    return float(np.square(pixels[1:, 1:] - pixels[1:, :-1] - pixels[:-1, 1:] + pixels[:-1, :-1]).mean())


@pytest.mark.usefixtures("shared", "stored_weights")
def test_the_style_arrives_and_the_noise_goes(photo, painting):
    """From white noise with average pooling, rescaled activations and the paper's losses: Gatys et al. (2016)."""
    content, style = (resize_picture(read_picture(path), 96, 72) for path in (photo, painting))
    painted = impasto.stylize(content, style, engine="gatys", preset="gatys2016", steps=100)
    assert distance(painted, style) < 0.5 * distance(content, style)
    assert finest_grain(painted) < 2 * finest_grain(style)  # that of white noise is 56 times as large
    found, wanted = (seen(picture, "relu4_2") for picture in (painted, content))
    assert float(content_distance(found, wanted)) < 1.3  # the style's is 1.6
