"""The networks that paint, by name of their architecture."""

from __future__ import annotations

from impasto.registry import Registry

NETWORKS = Registry(
    "network",
    [
        ("conditional", "impasto.networks.conditional:ConditionalStylizer"),
        ("transformer", "impasto.networks.transformer:TransformerNetwork"),
        ("texture", "impasto.networks.texture:TextureNetwork"),
        ("texture-stylizer", "impasto.networks.texture:StylizingTextureNetwork"),
        ("adain", "impasto.networks.adain:AdaINNetwork"),
        ("sanet", "impasto.networks.sanet:SANetwork"),
    ],
)
"""The classes of the networks."""
