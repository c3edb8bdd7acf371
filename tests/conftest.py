"""What all tests share: Hypothesis profiles, the folder of shared data, and a PostgreSQL server.

Invariant: without a profile asked for, a run draws the same examples on every machine. A test that
sets its own ``max_examples`` keeps it in every profile, ``soak`` too, so set it only where needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.billing.store.postgresql_server import Server

# No deadline and no complaint of slowness: times are measured in `make bench`, never asserted.
settings.register_profile(
    "default",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "soak",
    max_examples=5_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data that lies beside the repository; skips where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is absent")
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The PostgreSQL server of this process, which starts with the first test that asks for it."""
    # Imported now: what is imported at the start is not counted as covered.
    from tests.billing.store.postgresql_server import running

    with running() as started:
        yield started
