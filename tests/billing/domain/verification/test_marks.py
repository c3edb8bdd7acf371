"""High-water marks beside those of an earlier report: what is lower, or another row, is named."""

from __future__ import annotations

import pytest

from billing.domain.verification.marks import Mark, nothing_went_back

DIGESTS = [f"sha256:{digit * 64}" for digit in "0123456789"]


def mark(of: str = "events", number: int = 5, **fields: str) -> Mark:
    digest = fields.pop("digest", DIGESTS[number])
    return Mark.model_validate({"of": of, "number": number, "digest": digest, **fields})


INVOICES = mark("numbers", 3, issuer="Example Tokens", series="INV")


def found(earlier: Mark, *, now: list[Mark], there: list[Mark]) -> list[tuple[str, str, str]]:
    checked = nothing_went_back([earlier], now=now, there=there)
    assert checked.equations == ()
    return [(one.kind, one.where, one.sentence) for one in checked.damage]


@pytest.mark.parametrize("number, went_back", [(4, True), (5, False), (6, False)])
def test_a_number_that_is_lower_than_it_was_went_back(number: int, went_back: bool) -> None:
    there = [] if went_back else [mark()]
    told = found(mark(), now=[mark(number=number)], there=there)
    sentence = (
        "went back from 5 to 4 since the earlier report, as in an older copy; write nothing to it, "
        "or numbers are used twice, and put a later copy in its place"
    )
    assert told == ([("went_back", "events", sentence)] if went_back else [])


def test_what_is_not_there_at_all_went_back_to_nothing() -> None:
    ((_, where, sentence),) = found(INVOICES, now=[], there=[])
    assert where == "numbers of INV, Example Tokens"
    assert sentence.startswith("went back from 3 to 0 since")


def test_a_number_that_another_row_has_now_was_used_twice() -> None:
    there = [mark(digest=DIGESTS[0])]
    told = found(mark(), now=[mark(number=9)], there=there)
    sentence = (
        "number 5 is not what it was in the earlier report: an older copy, or another store, was "
        "put here and written to; write nothing more to it, and put a later copy of the first in "
        "its place"
    )
    assert told == [("went_back", "events", sentence)]


@pytest.mark.parametrize(
    "issuer, series", [("Example Tokens", "CRN"), ("Tokens", "INV"), ("INV", "Example Tokens")]
)
def test_a_series_is_compared_with_itself_alone(issuer: str, series: str) -> None:
    other = mark("numbers", 9, issuer=issuer, series=series)
    ((_, where, sentence),) = found(INVOICES, now=[other], there=[other])
    assert (where, sentence[:22]) == ("numbers of INV, Example Tokens", "went back from 3 to 0 ")


def test_each_mark_is_named_and_where_there_was_none_nothing_is() -> None:
    earlier = [mark("audit", 7), mark("epochs", 2), INVOICES]
    now = [mark("audit", 6), mark("epochs", 2), mark("events", 1)]
    checked = nothing_went_back(earlier, now=now, there=[mark("epochs", 2)])
    assert [one.where for one in checked.damage] == ["audit", "numbers of INV, Example Tokens"]
    assert nothing_went_back([], now=now, there=[]).holds
