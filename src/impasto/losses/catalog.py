"""The style losses by name."""

from impasto.registry import Registry

STYLE_LOSSES = Registry(
    "style loss",
    [
        ("gram", "impasto.losses.style:GramLoss"),
        ("mean-std", "impasto.losses.style:MeanStdLoss"),
    ],
)
