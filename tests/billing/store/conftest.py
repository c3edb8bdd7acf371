"""A store for each test: a copy of one that was made once.

Invariant: no test sees what another wrote.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.store.schema import upgrade
from billing.store.store import Store, open_store


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
def store(store_path: Path) -> Iterator[Store]:
    """A store of the test's own."""
    with open_store(store_path) as opened:
        yield opened
