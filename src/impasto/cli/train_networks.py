"""``impasto train conditional | transformer | texture | adain | sanet | cyclegan``: networks that paint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from impasto.cli.stylize import read_style
from impasto.cli.training_run import TrainingFlags, trained, training, training_crops
from impasto.options import (
    ConditionalTrainingOptions,
    CycleGANTrainingOptions,
    EncodedTrainingOptions,
    OneStyleTrainingOptions,
    SANetTrainingOptions,
    TextureTrainingOptions,
    TransformerTrainingOptions,
    layer_weights,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from impasto.cli.console import RunDisplay
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
    with training("conditional", where) as display:
        from impasto.descriptors.catalog import load_vgg
        from impasto.descriptors.compact import load_compact
        from impasto.networks.arbitrary import ArbitraryStylizer
        from impasto.networks.checkpoint import load_network
        from impasto.training.finish import described, finish
        from impasto.training.stylizer import CONTENT_LAYER, ConditionalTraining, LossWeights

        contents, styles = (
            training_crops(folders, chosen, seed, smallest_share=_SMALLEST_SHARE)
            for folders, seed in ((content, chosen.seed), (style, chosen.seed + 1))
        )
        descriptor = load_compact(full=[CONTENT_LAYER])
        judge = descriptor if chosen.judge == "compact" else load_vgg(chosen.judge, on_download=display.download)
        network = ArbitraryStylizer.seeing_with(descriptor, seed=chosen.seed)
        if start is not None:
            network.load_state_dict(load_network(start, ArbitraryStylizer).state_dict())
        weights = LossWeights(
            chosen.content_weight, chosen.style_weight, chosen.tv_weight, chosen.identity_weight, chosen.grid_weight
        )
        task = ConditionalTraining(network, descriptor, judge, contents, styles, weights)
        finish(
            trained(task, chosen, where, display, [contents, styles]),
            where.output,
            command="conditional",
            title="Conditional transformer and style predictor",
            options=chosen,
            data={"content": described(contents, content), "style": described(styles, style)},
            facts={"descriptor": {"name": "compact", "sha256": descriptor.identity}},
        )


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
    with training("transformer", where) as display:
        from impasto.networks.transformer import TransformerNetwork
        from impasto.training.finish import described, finish
        from impasto.training.painting import PaintingTraining

        styles, shares = _style_images(style, chosen)
        contents = training_crops(content, chosen, chosen.seed)
        network = TransformerNetwork(width=chosen.width, blocks=chosen.blocks, norm=chosen.norm, seed=chosen.seed)
        task = PaintingTraining(network, _losses(chosen, display), styles, shares, contents)
        finish(
            trained(task, chosen, where, display, [contents]),
            where.output,
            command="transformer",
            title="Transformer network for one style",
            options=chosen,
            data={"content": described(contents, content), "style": [Path(text).name for text in style]},
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
    with training("texture", where) as display:
        from impasto.networks.texture import StylizingTextureNetwork, TextureNetwork
        from impasto.training.finish import described, finish
        from impasto.training.painting import PaintingTraining, TextureTraining

        styles, shares = _style_images(style, chosen)
        losses = _losses(chosen, display)
        names = [Path(text).name for text in style]
        if not content:
            maker = TextureNetwork(width=chosen.width, seed=chosen.seed)
            task = TextureTraining(
                maker, losses, styles, shares, size=chosen.crop, batch=chosen.batch, seed=chosen.seed
            )
            finish(
                trained(task, chosen, where, display, []),
                where.output,
                command="texture",
                title="Texture network",
                options=chosen,
                data={"style": names},
            )
            return
        contents = training_crops(content, chosen, chosen.seed)
        painter = StylizingTextureNetwork(width=chosen.width, seed=chosen.seed)
        finish(
            trained(PaintingTraining(painter, losses, styles, shares, contents), chosen, where, display, [contents]),
            where.output,
            command="texture",
            title="Texture network that paints in one style",
            options=chosen,
            data={"content": described(contents, content), "style": names},
        )


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
    with training("adain", where) as display:
        from impasto.descriptors.catalog import load_encoder
        from impasto.networks.adain import AdaINNetwork
        from impasto.training.arbitrary import AdaINTraining
        from impasto.training.finish import described, finish

        contents, styles = training_crops(content, chosen, chosen.seed), training_crops(style, chosen, chosen.seed + 1)
        network = AdaINNetwork(load_encoder(chosen.encoder, on_download=display.download), seed=chosen.seed)
        weights = {"content": chosen.content_weight, "style": chosen.style_weight, "tv": chosen.tv_weight}
        finish(
            trained(AdaINTraining(network, contents, styles, weights), chosen, where, display, [contents, styles]),
            where.output,
            command="adain",
            title="Decoder of adaptive instance normalisation",
            options=chosen,
            data={"content": described(contents, content), "style": described(styles, style)},
        )


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
    with training("sanet", where) as display:
        from impasto.descriptors.catalog import load_encoder
        from impasto.networks.sanet import SANetwork
        from impasto.training.arbitrary import SANetTraining
        from impasto.training.finish import described, finish

        contents, styles = training_crops(content, chosen, chosen.seed), training_crops(style, chosen, chosen.seed + 1)
        network = SANetwork(load_encoder(chosen.encoder, on_download=display.download), seed=chosen.seed)
        weights = {
            "content": chosen.content_weight,
            "style": chosen.style_weight,
            "tv": chosen.tv_weight,
            "identity": chosen.identity_weight,
            "features": chosen.features_weight,
        }
        finish(
            trained(SANetTraining(network, contents, styles, weights), chosen, where, display, [contents, styles]),
            where.output,
            command="sanet",
            title="Style-attentional network",
            options=chosen,
            data={"content": described(contents, content), "style": described(styles, style)},
        )


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
    with training("cyclegan", where) as display:
        from impasto.training.cyclegan import CycleNetworks, CycleTraining
        from impasto.training.finish import described, finish

        a, b = training_crops(domain_a, chosen, chosen.seed), training_crops(domain_b, chosen, chosen.seed + 1)
        networks = CycleNetworks(
            width=chosen.width,
            blocks=chosen.blocks,
            discriminator=chosen.discriminator,
            crop=chosen.crop,
            seed=chosen.seed,
        )
        weights = {"cycle": chosen.cycle_weight, "identity": chosen.identity_weight}
        both = trained(CycleTraining(networks, a, b, weights), chosen, where, display, [a, b])
        for name, network in (("a-to-b", both.to_b), ("b-to-a", both.to_a)):
            finish(
                network,
                where.output / name,
                command="cyclegan",
                title=f"Transformer network of unpaired translation, {name.replace('-', ' ')}",
                options=chosen,
                data={"a": described(a, domain_a), "b": described(b, domain_b)},
            )


def _style_images(texts: Sequence[str], options: OneStyleTrainingOptions) -> tuple[list[Tensor], list[float]]:
    """Read the style images at the size at which they are seen, and their shares."""
    from impasto.engines.base import mixture
    from impasto.training.data import at_short_side

    styles = [read_style(text) for text in texts]
    images = [at_short_side(style.picture.pixels, options.style_size, options.style_margin) for style in styles]
    return images, mixture(styles)


def _losses(options: OneStyleTrainingOptions, display: RunDisplay) -> PerceptualLosses:
    from impasto.descriptors.base import check_size
    from impasto.descriptors.catalog import load_descriptor
    from impasto.training.painting import PerceptualLosses

    judge = load_descriptor(options.judge, on_download=display.download)
    content, style = layer_weights(options.content_layers), layer_weights(options.style_layers)
    check_size(judge, options.crop, options.crop, [*content, *style], "crop")
    return PerceptualLosses(judge, content, style, options.content_weight, options.style_weight, options.tv_weight)
