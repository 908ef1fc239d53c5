"""``impasto train conditional | transformer | texture | adain | sanet | cyclegan``: networks that paint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from impasto.cli.named_styles import read_style
from impasto.cli.training_run import TrainingFlags, train, trained, training, training_crops
from impasto.options import layer_weights
from impasto.options.training import (
    ConditionalTrainingOptions,
    CycleGANTrainingOptions,
    EncodedTrainingOptions,
    OneStyleTrainingOptions,
    SANetTrainingOptions,
    TextureTrainingOptions,
    TrainingOptions,
    TransformerTrainingOptions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import Tensor

    from impasto.cli.console import RunDisplay
    from impasto.descriptors import Descriptor
    from impasto.options.training import TrainingOptions
    from impasto.training.data import Crops
    from impasto.training.painting import PerceptualLosses

_SMALLEST_SHARE = 0.4  # so that strokes of all scales are learned

Folders = Annotated[list[Path], Parameter(negative="")]
Styles = Annotated[tuple[str, ...], Parameter(name=("--style", "-s"), negative="")]


def conditional(
    *,
    content: Folders,
    style: Folders,
    where: TrainingFlags,
    start: Path | None = None,
    options: Annotated[ConditionalTrainingOptions | None, Parameter(name="*")] = None,
) -> None:
    """Train the network of engine 'fast', which paints any picture in the style of any other in one pass.

    One picture in twenty, chosen by its name, is kept from training. With --resume, judge, weights of the losses, crop,
    batch and steps may be others than before.

    Parameters
    ----------
    content
        A folder of photographs; repeat it for several.
    style
        A folder of paintings; repeat it for several.
    start
        Weights to start from, of an earlier training: conditional.safetensors; random ones by default.
    options
        Options of the training.
    """
    chosen = options or ConditionalTrainingOptions()
    with training("conditional", where, chosen) as (display, device):
        from impasto.descriptors.catalog import load_vgg
        from impasto.descriptors.compact import load_compact
        from impasto.descriptors.devices import placed
        from impasto.networks.checkpoint import load_network
        from impasto.networks.conditional import ConditionalStylizer
        from impasto.training.stylizer import CONTENT_LAYER, ConditionalTraining

        pictures = _pictures(content, style, chosen, smallest_share=_SMALLEST_SHARE)
        descriptor = placed(load_compact(full=[CONTENT_LAYER]), device)
        judge: Descriptor = descriptor
        if chosen.judge != "compact":
            judge = placed(load_vgg(chosen.judge, on_download=display.download), device)
        network = placed(ConditionalStylizer.seeing_with(descriptor, seed=chosen.seed), device)
        if start is not None:
            network.load_state_dict(load_network(start, ConditionalStylizer).state_dict())
        contents, styles = pictures["content"], pictures["style"]
        task = ConditionalTraining(network, descriptor, judge, contents, styles, chosen.loss_weights)
        facts = {"descriptor": {"name": "compact", "sha256": descriptor.identity}}
        train(task, chosen, where, display, "Conditional transformer and style predictor", pictures, facts)


def transformer(
    *,
    content: Folders,
    style: Styles,
    where: TrainingFlags,
    options: Annotated[TransformerTrainingOptions | None, Parameter(name="*")] = None,
) -> None:
    """Train a transformer network, which paints any picture in one style in one pass: Johnson et al. (2016).

    'impasto stylize --engine transformer --network FOLDER' paints with what comes out.

    Parameters
    ----------
    content
        A folder of photographs; repeat it for several.
    style
        A picture to take the style from, as STYLE or STYLE:WEIGHT; several are mixed by their weights.
    options
        Options of the training.
    """
    chosen = options or TransformerTrainingOptions()
    with training("transformer", where, chosen) as (display, device):
        from impasto.descriptors.devices import placed
        from impasto.networks.transformer import STRIDE, TransformerNetwork
        from impasto.training.painting import PaintingTraining

        styles, shares = _style_images(style, chosen)
        contents = training_crops(content, chosen, chosen.seed)
        network = TransformerNetwork(width=chosen.width, blocks=chosen.blocks, norm=chosen.norm, seed=chosen.seed)
        losses = _losses(chosen, STRIDE, display, device)
        task = PaintingTraining(placed(network, device), losses, styles, shares, contents)
        train(
            task,
            chosen,
            where,
            display,
            "Transformer network for one style",
            {"content": contents},
            _style_facts(style),
        )


def texture(
    *,
    style: Styles,
    where: TrainingFlags,
    content: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    options: Annotated[TextureTrainingOptions | None, Parameter(name="*")] = None,
) -> None:
    """Train a texture network, which makes a texture of noise in any size: Ulyanov et al. (2016).

    'impasto texture FOLDER' makes textures with what comes out. With --content it learns to paint pictures instead:
    'impasto stylize --engine texture-net --network FOLDER'.

    Parameters
    ----------
    style
        A picture of the texture, as STYLE or STYLE:WEIGHT; several are mixed by their weights.
    content
        A folder of photographs; repeat it for several.
    options
        Options of the training.
    """
    chosen = options or TextureTrainingOptions()
    with training("texture", where, chosen) as (display, device):
        from impasto.descriptors.devices import placed
        from impasto.networks.texture import STRIDE, StylizingTextureNetwork, TextureNetwork
        from impasto.training.painting import PaintingTraining, TextureTraining

        styles, shares = _style_images(style, chosen)
        losses, facts = _losses(chosen, STRIDE, display, device), _style_facts(style)
        if content:
            contents = training_crops(content, chosen, chosen.seed)
            painter = placed(StylizingTextureNetwork(width=chosen.width, seed=chosen.seed), device)
            painting = PaintingTraining(painter, losses, styles, shares, contents)
            title = "Texture network that paints in one style"
            train(painting, chosen, where, display, title, {"content": contents}, facts)
        else:
            maker = placed(TextureNetwork(width=chosen.width, seed=chosen.seed), device)
            making = TextureTraining(
                maker, losses, styles, shares, size=chosen.crop, batch=chosen.batch, seed=chosen.seed
            )
            train(making, chosen, where, display, "Texture network", {}, facts)


def adain(
    *,
    content: Folders,
    style: Folders,
    where: TrainingFlags,
    options: Annotated[EncodedTrainingOptions | None, Parameter(name="*")] = None,
) -> None:
    """Train the decoder of adaptive instance normalisation, which paints in any style: Huang and Belongie (2017).

    'impasto stylize --engine adain --network FOLDER -s PAINTING' paints with what comes out.

    Parameters
    ----------
    content
        A folder of photographs; repeat it for several.
    style
        A folder of paintings; repeat it for several.
    options
        Options of the training.
    """
    chosen = options or EncodedTrainingOptions()
    with training("adain", where, chosen) as (display, device):
        from impasto.descriptors.catalog import load_encoder
        from impasto.descriptors.devices import placed
        from impasto.networks.adain import AdaINNetwork
        from impasto.training.encoded import AdaINTraining

        pictures = _pictures(content, style, chosen)
        network = AdaINNetwork(load_encoder(chosen.encoder, on_download=display.download), seed=chosen.seed)
        task = AdaINTraining(placed(network, device), pictures["content"], pictures["style"], chosen.loss_weights)
        train(task, chosen, where, display, "Decoder of adaptive instance normalisation", pictures)


def sanet(
    *,
    content: Folders,
    style: Folders,
    where: TrainingFlags,
    options: Annotated[SANetTrainingOptions | None, Parameter(name="*")] = None,
) -> None:
    """Train a style-attentional network, which paints in any style: Park and Lee (2019).

    'impasto stylize --engine sanet --network FOLDER -s PAINTING' paints with what comes out.

    Parameters
    ----------
    content
        A folder of photographs; repeat it for several.
    style
        A folder of paintings; repeat it for several.
    options
        Options of the training.
    """
    chosen = options or SANetTrainingOptions()
    with training("sanet", where, chosen) as (display, device):
        from impasto.descriptors.catalog import load_encoder
        from impasto.descriptors.devices import placed
        from impasto.networks.sanet import SANetwork
        from impasto.training.encoded import SANetTraining

        pictures = _pictures(content, style, chosen)
        network = SANetwork(load_encoder(chosen.encoder, on_download=display.download), seed=chosen.seed)
        task = SANetTraining(placed(network, device), pictures["content"], pictures["style"], chosen.loss_weights)
        train(task, chosen, where, display, "Style-attentional network", pictures)


def cyclegan(
    *,
    domain_a: Folders,
    domain_b: Folders,
    where: TrainingFlags,
    options: Annotated[CycleGANTrainingOptions | None, Parameter(name="*")] = None,
) -> None:
    """Train two transformer networks that turn pictures of two folders into each other's kind: Zhu et al. (2017).

    'impasto stylize --engine transformer --network FOLDER/a-to-b' paints with what comes out, or FOLDER/b-to-a.

    Parameters
    ----------
    domain_a
        A folder of pictures, such as photographs; repeat it for several.
    domain_b
        A folder of pictures of another kind, such as paintings; no pairs are needed.
    options
        Options of the training.
    """
    chosen = options or CycleGANTrainingOptions()
    with training("cyclegan", where, chosen) as (display, device):
        from impasto.descriptors import check_size
        from impasto.descriptors.catalog import load_descriptor
        from impasto.descriptors.devices import placed
        from impasto.training.cyclegan import JUDGED_LAYERS, CycleNetworks, CycleTraining
        from impasto.training.finish import finish

        pictures = {
            "a": training_crops(domain_a, chosen, chosen.seed),
            "b": training_crops(domain_b, chosen, chosen.seed + 1),
        }
        judge = None if chosen.judge == "pixels" else load_descriptor(chosen.judge, on_download=display.download)
        if judge:
            check_size(judge, chosen.crop, chosen.crop, JUDGED_LAYERS, "crop")
        networks = CycleNetworks(
            width=chosen.width,
            blocks=chosen.blocks,
            discriminator=chosen.discriminator,
            crop=chosen.crop,
            seed=chosen.seed,
            judge=judge,
        )
        judge = judge and placed(judge, device)
        task = CycleTraining(placed(networks, device), pictures["a"], pictures["b"], chosen.loss_weights, judge)
        both = trained(task, chosen, where, display, pictures.values())
        for name, network in (("a-to-b", both.to_b), ("b-to-a", both.to_a)):
            finish(
                network,
                where.output / name,
                command=display.name,
                title=f"Transformer network of unpaired translation, {name.replace('-', ' ')}",
                options=chosen,
                pictures=pictures,
            )


def _pictures(
    content: Sequence[Path], style: Sequence[Path], options: TrainingOptions, *, smallest_share: float = 0.5
) -> dict[str, Crops]:
    return {
        "content": training_crops(content, options, options.seed, smallest_share=smallest_share),
        "style": training_crops(style, options, options.seed + 1, smallest_share=smallest_share),
    }


def _style_facts(style: Sequence[str]) -> dict[str, object]:
    return {"style": [Path(text).name for text in style]}


def _style_images(texts: Sequence[str], options: OneStyleTrainingOptions) -> tuple[list[Tensor], list[float]]:
    """Return the style images, cropped and scaled for the training, and their shares."""
    from impasto.engines.base import mixture
    from impasto.training.data import at_short_side

    styles = [read_style(text) for text in texts]
    images = [at_short_side(style.picture.pixels, options.style_size, options.style_margin) for style in styles]
    return images, mixture(styles)


def _losses(
    options: OneStyleTrainingOptions, stride: int, display: RunDisplay, device: torch.device
) -> PerceptualLosses:
    from impasto.descriptors import check_size
    from impasto.descriptors.catalog import load_descriptor
    from impasto.descriptors.devices import placed
    from impasto.training.painting import PerceptualLosses

    judge = placed(load_descriptor(options.judge, on_download=display.download), device)
    content, style = layer_weights(options.content_layers), layer_weights(options.style_layers)
    check_size(judge, options.crop, options.crop, [*content, *style], "crop")
    return PerceptualLosses(
        judge,
        content,
        style,
        options.content_weight,
        options.style_weight,
        options.tv_weight,
        options.grid_weight,
        stride,
    )
