"""Settings and data of the service, for the commands that work on them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from impasto.errors import UsageError, needs_extra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from impasto.service.settings import Settings
    from impasto.service.wiring import Parts


def service_settings(command: str, **given: Any) -> Settings:
    """Return the settings: those ``given`` that are not None win over variables and file.

    Raises:
        MissingDependencyError: what the service needs is not installed.
        UsageError: a setting has a value that it cannot have; the sentence leaves the value out, which may be secret.
    """
    with needs_extra(command, "serve"):
        from impasto.service.settings import Settings
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        setting, why = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise UsageError(f"setting {setting}: {why}") from error
    except ValueError as error:  # no JSON, or no TOML
        raise UsageError(f"the settings cannot be read: {error}") from error


@contextmanager
def service_parts(command: str, **given: Any) -> Iterator[Parts]:
    """Connect to the service's data.

    Raises:
        MissingDependencyError: what the service needs is not installed.
        StorageError: the database cannot be reached.
    """
    settings = service_settings(command, **given)
    with needs_extra(command, "serve"):
        from impasto.service import wiring
    with closing(wiring.build(settings)) as parts:
        yield parts
