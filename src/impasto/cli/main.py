"""The ``impasto`` program: finds the command, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import cyclopts
from pydantic import ValidationError

from impasto.cli.console import fail
from impasto.errors import ImpastoError, Interrupted, UsageError
from impasto.options import usage_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cyclopts import ArgumentCollection

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_TEXTS = frozenset({"--title", "--artist", "--year", "--license"})
"""Options that may be empty."""


def _refuse_empty(app: cyclopts.App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse empty values, which unset variables of the shell leave. As a path, they would mean the current folder.

    Raises:
        UsageError: a value is empty.
    """
    for argument in arguments:
        values = [token.value for token in argument.tokens if token.implicit_value is cyclopts.UNSET]  # flags have none
        if "" in values and argument.name not in _TEXTS:
            raise UsageError(f"{argument.name} is empty; is a variable of the shell not set?")


app = cyclopts.App(
    name="impasto",
    help="Neural style transfer: paints one image in the style of another.",
    help_flags=["--help", "-h"],
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `run` reports it
    config=_refuse_empty,
)
_COMMANDS = {
    **{name: f"{name}:app" for name in ("stylize", "styles", "texture", "reconstruct", "compare")},
    "bench": "compare:bench_app",
    **{name: f"{name}:app" for name in ("train", "export", "models")},
    **{name: f"service:{name}_app" for name in ("serve", "worker", "keys", "doctor")},
}
for _name, _place in _COMMANDS.items():  # by name, so that a command's module is imported only when it is used
    app.command(f"impasto.cli.{_place}", name=_name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with ``arguments`` (``sys.argv`` by default) and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")  # a terminal may lack the characters of a file name
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run the program and return its exit code: 0 done, 1 failed, 2 usage, 3 some inputs failed, 130 interrupted."""
    try:
        if not arguments or arguments[0] in app.help_flags:
            for name in _COMMANDS:
                app[name]  # imports the command, whose docstring is shown in the list
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            return fail(usage_error(cause), USAGE)
        return fail(error, USAGE)
    except UsageError as error:
        return fail(error, USAGE)
    except (Interrupted, KeyboardInterrupt):
        return fail("interrupted", INTERRUPTED)
    except ImpastoError as error:
        return fail(error, FAILED)
    except MemoryError:
        return fail("the memory does not suffice; choose a smaller size, or close other programs", FAILED)
    except BrokenPipeError:
        return FAILED
    except OSError as error:
        return fail(error, FAILED)
    return code if isinstance(code, int) else DONE
