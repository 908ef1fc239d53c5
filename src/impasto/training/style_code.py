"""Refinement of the code of one style: a few minutes of optimisation improve the predictor's estimate.

Dumoulin et al. (2017), section 3.2: only scales and shifts are learned for a new style, and the network is unchanged.
Differs from the paper in that the last layers can be learned as well.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from impasto.descriptors.catalog import load_descriptor
from impasto.descriptors.compact import load_compact
from impasto.descriptors.devices import choose_device, placed
from impasto.errors import StyleError, shortage_explained
from impasto.gallery import GalleryStyle, encode_style_image, read_style_file
from impasto.losses.functional import content_distance, style_distance, total_variation
from impasto.networks.checkpoint import load_network
from impasto.networks.conditional import LAST_LAYERS, STYLE_LAYERS, ConditionalStylizer
from impasto.runtimes.network_folder import IDENTITY_FILE, network_folder, read_description
from impasto.training.data import at_short_side
from impasto.training.painting import as_picture
from impasto.training.stylizer import CONTENT_LAYER, noise_for
from impasto.types import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from impasto.descriptors import Descriptor
    from impasto.descriptors.compact import CompactDescriptor
    from impasto.descriptors.vgg import VGG
    from impasto.options import LearnOptions
    from impasto.types import OnStep, Picture

_PATIENCE = 60
"""Steps without progress after which learning ends."""
_PROGRESS = 0.99
_LAYERS_RATE = 0.05
"""Learning rate of the last layers, as a share of the code's."""
_MEMORY = 0.95
"""Decay factor of the running mean of the losses."""
_REMEDY = "choose a smaller batch or crop"


def learn_style(
    picture: Picture,
    name: str,
    options: LearnOptions,
    contents: Sequence[Picture],
    *,
    on_step: OnStep,
    on_download: Callable[[int, int | None], None] | None = None,
) -> GalleryStyle:
    """Learn the style of ``picture`` for the network that the options name.

    Args:
        picture: the style image.
        name: the name of the new style.
        options: the options of the learning.
        contents: content images to learn with; small ones are enlarged.
        on_step: called after every step; an exception from it stops the learning.
        on_download: called with bytes received and bytes in total if the judge's weights have to be fetched.

    Raises:
        UsageError: the options name no network, or a device that PyTorch cannot use.
        OutOfMemoryError: the memory does not suffice.
        UnknownNameError: the options name an unknown descriptor.
        StyleError: the network belongs to another version of impasto.
    """
    device = choose_device(options.device)
    folder = network_folder(options.network)
    network = load_network(folder / read_description(folder).weights, ConditionalStylizer)
    descriptor = load_compact(full=[CONTENT_LAYER])
    if network.descriptor != descriptor.identity:
        raise StyleError(f"{folder.name} was exported by another version of impasto; export it again")
    judge: VGG | CompactDescriptor = descriptor
    if options.judge != "compact":
        judge = load_descriptor(options.judge, on_download=on_download)
        judge = descriptor if judge.identity == descriptor.identity else judge
    with shortage_explained(f"{options.batch} crops of {options.crop}x{options.crop} pixels", _REMEDY):
        code, layers = learn_code(
            placed(network.requires_grad_(False), device),
            placed(descriptor, device),
            placed(judge, device),
            at_short_side(picture.over_white, options.side, options.style_margin).to(device),
            [
                at_short_side(content.over_white, max(options.crop, min(content.pixels.shape[:2])))[0].to(device)
                for content in contents
            ],
            options,
            on_step=on_step,
        )
    learned = {name: weights.cpu().numpy() for name, weights in layers.items()}
    network_id = read_style_file(folder / IDENTITY_FILE).network
    style = GalleryStyle(name, code.cpu().numpy(), network_id, layers=learned)
    return style.with_image(encode_style_image(picture))


def learn_code(
    network: ConditionalStylizer,
    descriptor: Descriptor,
    judge: Descriptor,
    style: Tensor,
    contents: Sequence[Tensor],
    options: LearnOptions,
    *,
    on_step: OnStep,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the code (code_size) with which ``network`` best paints ``style``, and its last layers by name.

    Args:
        network: the trained network; its last layers are trained, and returned, only if the options say so. It, the
            descriptors and the images are on the same device.
        descriptor: the descriptor whose activations of style images the predictor takes.
        judge: the descriptor with which the losses are measured.
        style: (1, 3, H, W), sRGB in [0, 1], at the scale at which strokes should be painted.
        contents: content images (3, H, W); no side is shorter than the crop.
        options: weights of the losses, and number of steps. Learning ends earlier if the loss stops falling.
        on_step: called after every step; an exception from it stops the learning.
    """
    random = torch.Generator().manual_seed(options.seed)
    with torch.no_grad():
        targets = judge.forward(style, STYLE_LAYERS)
        start = network.codes(descriptor.forward(style, STYLE_LAYERS))[0]
    code = start.clone().requires_grad_()
    layers = {name: network.get_parameter(name).requires_grad_() for name in LAST_LAYERS if options.last_layers}
    learning = [code, *layers.values()]
    rates = [options.learning_rate, *[_LAYERS_RATE * options.learning_rate] * len(layers)]
    optimizer = torch.optim.Adam([{"params": [each], "lr": rate} for each, rate in zip(learning, rates, strict=True)])
    best, best_at, mean = math.inf, 0, math.nan
    averages = [each.detach().clone() for each in learning]
    began = time.monotonic()
    for step in range(1, options.steps + 1):
        elapsed = (time.monotonic() - began) / 60 / options.minutes
        fraction = max(step / options.steps, elapsed)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction))))
        crops = torch.stack([_crop(contents, options.crop, random) for _ in range(options.batch)])
        with torch.no_grad():
            content = judge.forward(crops, [CONTENT_LAYER])[CONTENT_LAYER]
        painted = network.transformer(crops, code.expand(len(crops), -1), noise_for(crops, seed=step))
        features = judge.forward(painted, [*STYLE_LAYERS, CONTENT_LAYER])
        losses = {
            "content": options.content_weight * content_distance(features[CONTENT_LAYER], content).mean(),
            "style": options.style_weight
            * torch.stack([style_distance(features[layer], targets[layer]).mean() for layer in STYLE_LAYERS]).mean(),
            "tv": options.tv_weight * total_variation(painted),
        }
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        for each, gradient in zip(learning, torch.autograd.grad(total, learning), strict=True):
            each.grad = gradient
        optimizer.step()
        for average, each in zip(averages, learning, strict=True):
            average.lerp_(each.detach(), 1 - _MEMORY)
        # One transfer for all of them, because each waits for the GPU.
        *parts, value = torch.stack([loss.detach() for loss in (*losses.values(), total)]).tolist()
        mean = value if math.isnan(mean) else _MEMORY * mean + (1 - _MEMORY) * value
        if mean < _PROGRESS * best:
            best, best_at = mean, step
        done = step == options.steps or fraction >= 1 or step - best_at >= _PATIENCE
        on_step(
            Step(
                done=step,
                total=step if done else options.steps,
                fraction=1.0 if done else fraction,
                scale=(options.crop, options.crop),
                losses={**dict(zip(losses, parts, strict=True)), "total": value},
                preview=lambda painted=painted: as_picture(painted[0]),  # type: ignore[misc]
            )
        )
        if done:
            break
    return averages[0], dict(zip(layers, averages[1:], strict=True))


def _crop(contents: Sequence[Tensor], side: int, random: torch.Generator) -> Tensor:
    picture = contents[int(torch.randint(len(contents), (), generator=random))]
    top, left = (int(torch.randint(extent - side + 1, (), generator=random)) for extent in picture.shape[1:])
    return picture[:, top : top + side, left : left + side]
