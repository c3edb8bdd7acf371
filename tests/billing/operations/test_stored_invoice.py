"""Invoices of a store: numbered, listed, explained, and written as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from billing.operations.stored_invoice import explain_stored, list_stored, write_invoices
from billing.store.store import Store
from pricing_rules.document import DocumentError
from tests.billing.operations.made_store import (
    IN_NOVEMBER_AT,
    PLAIN,
    accept,
    closed,
    deliver,
    deliver_ladder,
    deliver_late,
    invoices,
    publish,
)
from tests.journeys.made_files import event

M = 1_000_000
DAY = 86_400 * M


def test_each_issuer_and_series_is_numbered_for_itself(store: Store, tmp_path: Path) -> None:
    publish(store, PLAIN)
    for account, issuer in (("a", "One"), ("b", "Two"), ("c", "One")):
        accept(store, tmp_path, account=account, fields={"issuer": {"name": issuer}})
    units = {"input_tokens": M}
    deliver(store, tmp_path, [event(i, units, account=a) for i, a in enumerate("abc")])
    closed(store)
    found = [(one.issuer.name, one.number, one.account) for one in invoices(store)]
    assert found == [
        ("One", "INV-2026-000001", "a"),
        ("One", "INV-2026-000002", "c"),
        ("Two", "INV-2026-000001", "b"),
    ]
    with pytest.raises(DocumentError, match=r"several issuers have this number \(One, Two\)"):
        list_stored(store, limit=1, after="INV-2026-000001", account=None, issuer=None)
    page = list_stored(store, limit=1, after="INV-2026-000001", account=None, issuer="One")
    assert [one.account for one in page.invoices] == ["c"]


def test_a_line_of_a_stored_invoice_is_explained(store: Store, tmp_path: Path) -> None:
    deliver_ladder(store, tmp_path)
    closed(store)
    deliver_late(store, tmp_path)
    closed(store, now_at=IN_NOVEMBER_AT + 2 * DAY)
    step = explain_stored(store, number="INV-2026-000002", line=1, issuer=None)
    assert "320 minor units of 3.2 USD exactly" in step.sentence
    assert "corrects invoice INV-2026-000001" in step.rests_on[0].sentence


def test_the_files_of_a_month_are_written_once(store: Store, tmp_path: Path) -> None:
    deliver_ladder(store, tmp_path)
    closed(store)
    folder = tmp_path / "out"
    assert write_invoices(store, month="2026-10", folder=folder, dry_run=True)
    assert not folder.exists()
    (written,) = write_invoices(store, month="2026-10", folder=folder, dry_run=False)
    assert [path.name for path in written.files] == ["INV-2026-000001.json", "INV-2026-000001.pdf"]
    assert write_invoices(store, month="2026-10", folder=folder, dry_run=False) == (written,)
    written.files[0].write_text("edited")
    with pytest.raises(DocumentError, match="exists with another content"):
        write_invoices(store, month="2026-10", folder=folder, dry_run=False)
    assert write_invoices(store, month="2026-11", folder=folder, dry_run=False) == ()


def test_issuers_that_share_numbers_are_written_one_by_one(store: Store, tmp_path: Path) -> None:
    publish(store, PLAIN)
    for account, issuer in (("a", "One"), ("b", "Two")):
        accept(store, tmp_path, account=account, fields={"issuer": {"name": issuer}})
    units = {"input_tokens": M}
    deliver(store, tmp_path, [event(i, units, account=a) for i, a in enumerate("ab")])
    closed(store)
    with pytest.raises(DocumentError, match=r"several issuers have invoices .* \(One, Two\)"):
        write_invoices(store, month="2026-10", folder=tmp_path / "out", dry_run=True)
    for issuer, account in (("One", "a"), ("Two", "b")):
        (written,) = write_invoices(
            store, month="2026-10", folder=tmp_path / issuer, issuer=issuer, dry_run=False
        )
        assert (written.number, written.account) == ("INV-2026-000001", account)
