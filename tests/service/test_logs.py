"""No line of the log holds a key, an address or a tenant, whatever goes wrong."""

from __future__ import annotations

import logging

import pytest

from impasto.service import logs

SECRET = "alice@example.org"


class WrongError(Exception):
    pass


def fails():
    try:
        raise ValueError(f"cannot send to {SECRET}")
    except ValueError as error:
        raise WrongError(SECRET) from error


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_has_places_and_types_but_no_messages(log_format, capsys):
    logs.set_up(log_format)
    with logs.about(job="7"):
        try:
            fails()
        except WrongError:
            logging.getLogger("test").exception("delivery")
    said = capsys.readouterr().err
    assert SECRET not in said.replace("\\", "")
    for part in ("delivery", "test_logs", "in fails", "builtins.ValueError", "WrongError"):
        assert part in said, said
