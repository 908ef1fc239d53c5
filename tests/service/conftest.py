"""Databases for the tests of the service."""

from __future__ import annotations

import pytest

from impasto.service.stores.database import Database
from impasto.service.stores.migration import migrate
from service.servers import postgresql


@pytest.fixture(scope="session")
def make_postgresql(tmp_path_factory):
    with postgresql(tmp_path_factory.mktemp("postgresql")) as make:
        yield make


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_url(request, tmp_path):
    """A new database, in each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.db'}"
    return request.getfixturevalue("make_postgresql")()


class Clock:
    """A time that passes when the test says so."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(database_url, clock):
    """A database with the tables of the service, and a clock of the test's own."""
    made = Database(database_url, clock=clock)
    migrate(made)
    yield made
    made.close()
