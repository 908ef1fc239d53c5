"""The ``impasto`` program: finds the command, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import cyclopts
from pydantic import ValidationError

from impasto.cli.console import fail
from impasto.errors import ImpastoError, Interrupted, UsageError
from impasto.options import usage_error

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

app = cyclopts.App(
    name="impasto",
    help="Neural style transfer: paints one image in the style of another.",
    help_flags=["--help", "-h"],
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `run` says it
)
_COMMANDS = (
    *("stylize", "styles", "texture", "reconstruct", "compare", "bench"),
    *("train", "export", "models"),
    *("serve", "worker", "keys", "doctor"),
)
for _name in _COMMANDS:  # by name: a command's module, and what it needs, is imported when the command is used
    app.command(f"impasto.cli.{_name}:app", name=_name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with ``arguments`` (``sys.argv`` by default) and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run the program and return its exit code: 0 done, 1 failed, 2 usage, 3 some inputs failed, 130 interrupted."""
    try:
        if not arguments or arguments[0] in app.help_flags:
            for name in _COMMANDS:
                app[name]  # imported: its docstring is what the list says of it
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
