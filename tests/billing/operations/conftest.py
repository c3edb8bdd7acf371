"""A store for each test, as the tests of the store have it.

Invariant: no test sees what another wrote.
"""

from tests.billing.store.conftest import made_file, store, store_path

__all__ = ["made_file", "store", "store_path"]
