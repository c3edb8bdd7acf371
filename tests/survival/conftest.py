"""A process that forks services, and a store for each test on both kinds of database.

Invariant: no test sees what another wrote.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.billing.store.conftest import (
    database,
    made_file,
    pytest_generate_tests,
    store,
    store_path,
    store_place,
)
from tests.survival.killing import Forking, forking

__all__ = [
    "database",
    "made_file",
    "pytest_generate_tests",
    "store",
    "store_path",
    "store_place",
]


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    """What starts services, one at a time."""
    with forking(tmp_path_factory.mktemp("services")) as process:
        yield process
