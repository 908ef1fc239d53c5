"""A table from names to code that is imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from impasto.errors import UnknownNameError, needs_extra


class Registry:
    """Names of one kind (losses, networks, runtimes), each with the ``module:attribute`` that it stands for."""

    def __init__(self, kind: str, entries: list[tuple[str, str]], *, extra: str = "torch") -> None:
        """Take ``(name, "module:attribute")`` rows for one ``kind``, a singular noun.

        If a dependency of a module is missing, the error names ``extra`` as the remedy.

        Raises:
            ValueError: a name appears twice.
        """
        self.kind = kind
        self.extra = extra
        self._targets: dict[str, str] = {}
        for name, target in entries:
            if name in self._targets:
                raise ValueError(f"{kind} {name!r} is registered twice")
            self._targets[name] = target

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of the table."""
        return tuple(self._targets)

    def load(self, name: str) -> Any:
        """Import and return the attribute that is registered as ``name``.

        Raises:
            UnknownNameError: there is no such name; the message suggests the nearest one.
            MissingDependencyError: the code needs a package that is not installed.
        """
        if name not in self._targets:
            raise UnknownNameError(self.kind, name, self._targets)
        module, _, attribute = self._targets[name].partition(":")
        with needs_extra(f"{self.kind} {name!r}", self.extra):
            return getattr(import_module(module), attribute)
