"""A store for each test, as the tests of the store have it.

Invariant: no test sees what another wrote.
"""

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
