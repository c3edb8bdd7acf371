"""A store for each test, on both kinds of database: a copy of one that was made once.

A test that asks for ``store`` or ``store_place`` runs on SQLite and on PostgreSQL; one that asks
for ``store_path``, the file, runs on SQLite; one that asks for ``database``, on PostgreSQL.

Invariant: no test sees what another wrote.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.store.schema import upgrade
from billing.store.store import Store, open_store
from tests.billing.store.postgresql_server import Server

KINDS = ("sqlite", "postgresql")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each kind of database that it is about."""
    if "store_kind" in metafunc.fixturenames:
        asked = metafunc.fixturenames
        kinds = KINDS[:1] if "store_path" in asked else KINDS[1:] if "database" in asked else KINDS
        metafunc.parametrize("store_kind", kinds, scope="session")


@pytest.fixture(scope="session")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without rows."""
    file = tmp_path_factory.mktemp("store") / "made.db"
    upgrade(file)
    return file


@pytest.fixture
def store_path(made_file: Path, tmp_path: Path) -> Path:
    """The file of a store of the test's own."""
    file = tmp_path / "store.db"
    shutil.copyfile(made_file, file)
    return file


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """The URL of a PostgreSQL store of the test's own."""
    with server.database(template="made") as url:
        yield url


@pytest.fixture
def store_place(store_kind: str, request: pytest.FixtureRequest) -> str | Path:
    """A store of the test's own: its file, or the URL of its database."""
    place = request.getfixturevalue("store_path" if store_kind == "sqlite" else "database")
    assert isinstance(place, str | Path)
    return place


@pytest.fixture
def store(store_place: str | Path) -> Iterator[Store]:
    """A store of the test's own, open."""
    with open_store(store_place) as opened:
        yield opened
