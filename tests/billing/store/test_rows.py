"""Records and rows: canonical JSON in bulk, and columns in their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.store.rows import append_rows, json_text
from billing.store.store import Store
from billing.store.tables import REFUSALS
from pricing_rules.document import canonical_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.one_of(
    st.dictionaries(TEXTS, TEXTS, max_size=4),
    st.dictionaries(TEXTS, st.integers(0, 2**63 - 1), max_size=4),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    st.lists(TEXTS, max_size=4),
)


@given(value=VALUES)
def test_the_quick_writer_writes_canonical_json(value: object) -> None:
    assert json_text(value).encode() == canonical_json(value)


def test_keys_are_in_the_order_of_their_code_points() -> None:
    # U+FF5E sorts under U+1F600 by code points and over it by UTF-16 units.
    assert json_text({"\U0001f600": 1, "\uff5e": 2, "a": 3}).encode() == canonical_json(
        {"\U0001f600": 1, "\uff5e": 2, "a": 3}
    )


def test_columns_in_another_order_are_a_bug(store: Store) -> None:
    with (
        pytest.raises(ValueError, match="not columns of refusals in their order"),
        store.write() as connection,
    ):
        append_rows(connection, table=REFUSALS, names=("row", "delivery"), rows=[(1, "a")])
