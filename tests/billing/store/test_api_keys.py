"""API keys come through the revision that lets one read metrics alone, and go back without it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from billing.store.api_keys import (
    Revocation,
    append_api_key,
    append_revocation,
    read_api_keys,
)
from billing.store.schema import current_revision, upgrade
from billing.store.store import Store, open_store
from billing.store.tables import REVISION
from tests.billing.operations.made_ingest import facts
from tests.billing.store.made_rows import api_key
from tests.billing.store.test_schema import move

TABLES = ("api_keys", "api_key_revocations")
BEFORE_MONITORS = "0007"


def test_keys_and_revocations_come_through_the_revision_of_monitors_both_ways(
    store: Store, store_place: str | Path
) -> None:
    with store.write() as connection:
        append_api_key(connection, key=api_key())
        append_api_key(connection, key=api_key(prefix="tw_2", digest="d2", account="acme"))
        revoked = Revocation(prefix="tw_1", reason="lost", by="dana", revoked_at=2_000)
        append_revocation(connection, revocation=revoked)
    store.close()
    before = facts(store_place, tables=TABLES)
    assert [len(rows) for rows in before.values()] == [2, 1]
    for revision in (BEFORE_MONITORS, REVISION):
        move(store_place, revision=revision)
        assert facts(store_place, tables=TABLES) == before
    with open_store(store_place) as opened, opened.write() as connection:
        append_api_key(connection, key=api_key(prefix="tw_3", digest="d3", scope="monitor"))
        assert [one.key.scope for one in read_api_keys(connection)] == [
            "operator",
            "account",
            "monitor",
        ]


def test_a_monitors_key_is_not_taken_to_the_revisions_that_know_none(
    store: Store, store_place: str | Path
) -> None:
    with store.write() as connection:
        append_api_key(connection, key=api_key(scope="monitor"))
    store.close()
    with pytest.raises(IntegrityError, match="scope_known"):
        move(store_place, revision=BEFORE_MONITORS)
    assert current_revision(store_place) == REVISION == upgrade(store_place)
