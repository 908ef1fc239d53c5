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
    """Return the settings. Those ``given``, unless None, take precedence over variables, and these over the file.

    Raises:
        MissingDependencyError: a package that the service needs is not installed.
        UsageError: a setting is invalid. The message leaves the value out, which may be secret.
    """
    with needs_extra(command, "serve"):
        from impasto.service.settings import Settings
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        setting, why = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise UsageError(f"setting {setting}: {why}") from error
    except (ValueError, OSError) as error:  # invalid JSON or TOML, or a file that is closed to the user
        raise UsageError(f"the settings cannot be read: {error}") from error


@contextmanager
def service_parts(command: str, **given: Any) -> Iterator[Parts]:
    """Connect to the service's data.

    Raises:
        MissingDependencyError: a package that the service needs is not installed.
        StorageError: the database cannot be reached.
        UsageError: a setting is invalid.
    """
    settings = service_settings(command, **given)
    with needs_extra(command, "serve"):
        from impasto.service import wiring
    with closing(wiring.build(settings)) as parts:
        yield parts
