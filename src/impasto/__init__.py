"""Neural style transfer: paints one image in the style of another.

>>> import impasto
>>> picture = impasto.stylize("photo.jpg", "painting.jpg", size=512)  # doctest: +SKIP
>>> impasto.write_picture(picture, "out.png")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.client import Client
    from impasto.errors import ImpastoError, Interrupted
    from impasto.images import read_picture, write_picture
    from impasto.options import FastOptions, GatysOptions, NnstOptions
    from impasto.painting import stylize
    from impasto.types import Picture, Step

_HOMES = {
    "Client": "impasto.client",
    "FastOptions": "impasto.options",
    "GatysOptions": "impasto.options",
    "ImpastoError": "impasto.errors",
    "Interrupted": "impasto.errors",
    "NnstOptions": "impasto.options",
    "Picture": "impasto.types",
    "Step": "impasto.types",
    "read_picture": "impasto.images",
    "stylize": "impasto.painting",
    "write_picture": "impasto.images",
}

__all__ = [
    "Client",
    "FastOptions",
    "GatysOptions",
    "ImpastoError",
    "Interrupted",
    "NnstOptions",
    "Picture",
    "Step",
    "read_picture",
    "stylize",
    "write_picture",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing impasto loads neither torch nor libvips."""
    if name not in _HOMES:
        raise AttributeError(f"module 'impasto' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
