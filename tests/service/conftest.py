"""Databases for the tests of the service."""

from __future__ import annotations

import logging

import pytest

from impasto.service.stores.database import Database, migrate
from lanes import slow
from service.servers import postgresql


@pytest.fixture(autouse=True)
def logging_as_before():
    """Commands of the service log to standard error, which pytest closes after the test."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [each for each in root.handlers if type(each) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.fixture(scope="session")
def make_postgresql(tmp_path_factory):
    with postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        yield server.new_database


@pytest.fixture(params=["sqlite", *slow("postgresql")])
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
