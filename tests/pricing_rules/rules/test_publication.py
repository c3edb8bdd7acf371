"""Publishing: every finding signed off, the digest, and what a book may follow."""

from __future__ import annotations

from typing import Any

import pytest

from pricing_rules.document import DocumentError, canonical_json, dump
from pricing_rules.period import moment_text, parse_moment
from pricing_rules.prices.price_book import PriceBook, Supersedes, load_price_book
from pricing_rules.prices.provenance import SignOff
from pricing_rules.rules.publication import publish
from tests.pricing_rules.rules.made_documents import EFFECTIVE_FROM, made_book, made_rule

PUBLISHED_AT = parse_moment("2026-11-25T12:00:00Z")
# No measured request has cached input, so whole requests still earn their floor.
CHEAP = made_rule(
    "cheap", then={"action": "set", "rate": "0.01"}, when={"units": ["cache_read_tokens"]}
)
FINDING = "under_floor:m/standard/cache_read_tokens"


def signed(finding: str = FINDING, *, by: str = "ada", ends_at: int | None = None) -> SignOff:
    document = {"finding": finding, "by": by, "reason": "a pilot"}
    if ends_at is not None:
        document["ends_at"] = moment_text(ends_at)
    return SignOff.model_validate(document)


def follower(**changed: Any) -> PriceBook:
    return made_book().model_copy(update={"number": 2, **changed})


def first_book() -> PriceBook:
    return publish(made_book(), published_at=PUBLISHED_AT, sign_offs=(), previous=None)


def refusal(candidate: PriceBook, **changed: Any) -> str:
    options: dict[str, Any] = {"published_at": PUBLISHED_AT, "sign_offs": (), "previous": None}
    with pytest.raises(DocumentError) as caught:
        publish(candidate, **{**options, **changed})
    return str(caught.value)


def test_a_published_book_carries_its_moment_and_the_digest_of_what_it_says() -> None:
    book = first_book()
    assert book.published_at == PUBLISHED_AT
    assert book.digest is not None
    data = canonical_json(dump(book))
    assert load_price_book(data, name="book.json") == book
    tampered = data.replace(b'"rate":"0.515874"', b'"rate":"0.515875"')
    assert tampered != data
    with pytest.raises(DocumentError, match="edited after it was published"):
        load_price_book(tampered, name="book.json")


def test_a_candidate_that_was_read_from_a_file_is_published_alike() -> None:
    read = load_price_book(canonical_json(dump(made_book())), name="candidate.json")
    assert read.digest is not None
    book = publish(read, published_at=PUBLISHED_AT, sign_offs=(), previous=None)
    assert book == first_book()


def test_a_book_is_published_once() -> None:
    assert refusal(first_book()) == "candidate: number 1 is published already"


def test_every_finding_needs_a_sign_off() -> None:
    eu = made_rule("eu", then={"action": "set", "rate": "1"}, when={"regions": ["eu"]})
    candidate = made_book(rules=[CHEAP, eu])
    assert refusal(candidate) == (
        f"sign-offs: missing for 2 of 2 findings: rule_unmet:eu, {FINDING}"
    )
    assert refusal(candidate, sign_offs=[signed("rule_unmet:eu")]) == (
        f"sign-offs: missing for 1 of 2 findings: {FINDING}"
    )
    both = [signed(ends_at=EFFECTIVE_FROM + 1), signed("rule_unmet:eu")]
    book = publish(candidate, published_at=PUBLISHED_AT, sign_offs=both, previous=None)
    assert [one.finding for one in book.sign_offs] == ["rule_unmet:eu", FINDING]


def test_an_override_of_a_floor_says_when_it_ends() -> None:
    candidate = made_book(rules=[CHEAP])
    where = f'sign-off of "{FINDING}": '
    assert refusal(candidate, sign_offs=[signed()]) == (
        f"{where}an override of a floor ends; say when in ends_at"
    )
    # Below and at the book's effective_from it would override nothing; above it does.
    for ends_at in (EFFECTIVE_FROM - 1, EFFECTIVE_FROM):
        assert refusal(candidate, sign_offs=[signed(ends_at=ends_at)]) == (
            f"{where}the override ends before the book is in force; "
            "give an ends_at after 2026-12-01T00:00:00Z"
        )
    sign_offs = [signed(ends_at=EFFECTIVE_FROM + 1)]
    book = publish(candidate, published_at=PUBLISHED_AT, sign_offs=sign_offs, previous=None)
    assert book.sign_offs == tuple(sign_offs)


def test_a_sign_off_of_no_finding_is_refused() -> None:
    assert refusal(made_book(), sign_offs=[signed("stale:m/standard")]) == (
        'sign-off of "stale:m/standard": the book has no such finding; remove it'
    )


def test_where_asked_for_another_person_than_the_author_signs() -> None:
    candidate = made_book(rules=[CHEAP])
    own = signed(by="ada", ends_at=EFFECTIVE_FROM + 1)
    assert refusal(candidate, sign_offs=[own], author="ada") == (
        f'sign-off of "{FINDING}": ada wrote the candidate; another person signs it off'
    )
    book = publish(
        candidate, published_at=PUBLISHED_AT, sign_offs=[own], previous=None, author="grace"
    )
    assert book.sign_offs == (own,)


def test_a_book_follows_the_newest_of_its_series() -> None:
    first = first_book()
    later = EFFECTIVE_FROM + 1
    book = publish(
        follower(effective_from=later), published_at=PUBLISHED_AT, sign_offs=(), previous=first
    )
    assert (book.number, book.supersedes) == (2, None)
    assert refusal(follower(effective_from=later, number=1), previous=first) == (
        "candidate number: 1 does not follow 1; give a higher one"
    )
    assert refusal(follower(effective_from=later, series="other"), previous=first) == (
        "candidate: other in USD does not follow made in USD"
    )
    assert refusal(follower(effective_from=later), previous=made_book()) == (
        "previous: number 1 was never published"
    )
    assert refusal(
        follower(effective_from=later), previous=first, published_at=PUBLISHED_AT - 1
    ) == ("published_at: lies before that of number 1, 2026-11-25T12:00:00Z")


@pytest.mark.parametrize(
    "effective_from, published_at, reaches_back",
    [
        # Against the moment of publishing, the first book being in force from the 1st of December:
        (EFFECTIVE_FROM + 5, EFFECTIVE_FROM + 6, True),
        (EFFECTIVE_FROM + 5, EFFECTIVE_FROM + 5, False),
        (EFFECTIVE_FROM + 5, EFFECTIVE_FROM + 4, False),
        # Against the first book:
        (EFFECTIVE_FROM - 1, PUBLISHED_AT, True),
        (EFFECTIVE_FROM, PUBLISHED_AT, True),
        (EFFECTIVE_FROM + 1, PUBLISHED_AT, False),
    ],
)
def test_a_book_that_reaches_back_says_which_it_supersedes(
    effective_from: int, published_at: int, reaches_back: bool
) -> None:
    candidate = follower(effective_from=effective_from)
    first = first_book()
    if reaches_back:
        assert "name in supersedes which book this one replaces, and why" in refusal(
            candidate, previous=first, published_at=published_at
        )
    supersedes = Supersedes(number=1, reason="a wrong rate") if reaches_back else None
    book = publish(
        candidate,
        published_at=published_at,
        sign_offs=(),
        previous=first,
        supersedes=supersedes,
    )
    assert book.supersedes == supersedes


def test_a_book_supersedes_only_what_exists() -> None:
    none_such = Supersedes(number=2, reason="a wrong rate")
    assert refusal(follower(), previous=first_book(), supersedes=none_such) == (
        "supersedes: there is no number 2; the newest is 1"
    )
    assert refusal(made_book(), supersedes=none_such) == (
        "supersedes: the first book of a series replaces none; leave it out"
    )


def test_the_first_book_of_a_series_may_reach_back_over_nothing() -> None:
    book = publish(made_book(), published_at=EFFECTIVE_FROM + 1, sign_offs=(), previous=None)
    assert book.supersedes is None
