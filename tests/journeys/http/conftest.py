"""What broken requests share: a service with narrow limits on a store of its own, and a key of it.

Invariant: whatever was sent, the service is ready at the end and its store is sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.billing.operations.made_ingest import made_store
from tests.journeys.http.made_requests import limited
from tests.journeys.test_serve import Running, made_key


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("faults") / "store.db"
    found.write_bytes(made_store())
    return found


@pytest.fixture(scope="module")
def key(file: Path) -> str:
    return made_key(file)


@pytest.fixture(scope="module")
def running(file: Path, key: str) -> Iterator[Running]:
    with limited(file) as one:
        yield one
