"""A service for each test, and what it notes.

Invariant: no test sees what another sent.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.billing.api.made_service import Made, made_service
from tests.billing.store.conftest import (
    database,
    made_file,
    pytest_generate_tests,
    store,
    store_path,
    store_place,
)

__all__ = [
    "database",
    "made_file",
    "pytest_generate_tests",
    "store",
    "store_path",
    "store_place",
]


@pytest.fixture(autouse=True)
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    """The lines of the log, as they are added."""
    with capture_logs() as noted:
        yield noted


@pytest.fixture
def made() -> Iterator[Made]:
    """A service with the default settings on an empty store."""
    with made_service() as one:
        yield one
