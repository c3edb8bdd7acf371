"""The notice that a book gives to its accounts, which only its publishing can tell."""

from __future__ import annotations

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.period import parse_moment
from pricing_rules.prices.price_book import Supersedes
from pricing_rules.prices.provenance import SignOff
from pricing_rules.rules.publication import publish, with_notice
from tests.pricing_rules.rules.made_documents import made_book


@pytest.mark.parametrize(
    "published_at, short",
    # In force from 2026-12-01T00:00:00Z; 14 days before is 2026-11-17T00:00:00Z.
    [
        ("2026-11-16T23:59:59Z", False),
        ("2026-11-17T00:00:00Z", False),
        ("2026-11-17T00:00:01Z", True),
    ],
)
def test_a_book_that_follows_another_gives_notice_or_somebody_signs(
    published_at: str, short: bool
) -> None:
    rails = {"guard_rails": {"notice_days_at_least": 14}}
    first = made_book(changed=rails)
    assert first.notice_days_at_least == 14
    # The first book changes nothing for anybody.
    before = publish(
        first, published_at=parse_moment("2026-11-01T00:00:00Z"), sign_offs=[], previous=None
    )
    late = first.model_copy(
        update={"number": 2, "effective_from": parse_moment("2026-12-01T00:00:00Z")}
    )
    at = parse_moment(published_at)
    why = Supersedes(number=1, reason="a price change")
    if not short:
        book = publish(late, published_at=at, sign_offs=[], previous=before, supersedes=why)
        assert book.findings == ()
        return
    with pytest.raises(DocumentError) as caught:
        publish(late, published_at=at, sign_offs=[], previous=before, supersedes=why)
    assert str(caught.value) == "sign-offs: missing for 1 of 1 findings: notice_period:2"
    signed = SignOff(finding="notice_period:2", by="ada", reason="a price falls")
    book = publish(late, published_at=at, sign_offs=[signed], previous=before, supersedes=why)
    assert [one.sentence for one in book.findings] == [
        "published at 2026-11-17T00:00:01Z and in force from 2026-12-01T00:00:00Z, under the 14 "
        "days of notice that the policy asks for; 2026-12-01T00:00:01Z would keep them"
    ]
    assert with_notice(late, published_at=at, previous=before).findings == book.findings
    again = with_notice(late, published_at=at, previous=before)
    assert with_notice(again, published_at=at, previous=before) == again
