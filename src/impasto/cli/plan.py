"""``impasto stylize --plan``: a forecast of the memory, disk and time for painting, in one line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from impasto.optimization.memory import free_memory, resident_memory

if TYPE_CHECKING:
    from impasto.engines.base import Forecast


@dataclass(frozen=True)
class Plan:
    """The forecast of an engine, and the memory in bytes for encoding the result."""

    forecast: Forecast
    encoding: int

    @property
    def memory(self) -> int:
        """Maximum resident memory of the process in bytes."""
        return self.forecast.memory + self.encoding

    @property
    def report(self) -> dict[str, object]:
        """The fields for ``--json``."""
        return {"plan": {**asdict(self.forecast), "memory": self.memory, "available": _available()}}

    def __str__(self) -> str:
        """Return the plan as one line."""
        found = self.forecast
        parts = [f"{self.memory / 1e9:.1f} GB of memory at most ({_available() / 1e9:.1f} GB available)"]
        if found.accelerator:
            parts.append(f"{found.accelerator / 1e9:.1f} GB of GPU memory")
        if found.tile:
            parts.append(f"tiles of {found.tile} pixels")
        if found.disk:
            parts.append(f"{found.disk / 1e9:.1f} GB of temporary disk space")
        parts.append(f"about {_duration(found.seconds)}")
        return ", ".join(parts)


def _available() -> int:
    """Return the memory in bytes that this process uses now plus what it can still get."""
    return free_memory() + resident_memory()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(timedelta(seconds=seconds) / timedelta(minutes=1))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
