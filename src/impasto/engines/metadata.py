"""Metadata of results, sufficient to reproduce them."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from impasto.options import FILES_OF_A_RUN

if TYPE_CHECKING:
    from impasto.options import Options


def result_metadata(engine: str, options: Options, **more: str) -> dict[str, str]:
    """Return the metadata of a result of ``engine``; ``more`` names the networks that were used."""
    return {
        "software": f"impasto {version('impasto')}",
        "engine": engine,
        "options": options.model_dump_json(exclude=set(FILES_OF_A_RUN)),
        **more,
    }
