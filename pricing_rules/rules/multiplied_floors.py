"""What of a candidate lies under its floor as usage meets it: its rates, times its multipliers.

Invariant: a rate that a finding of the candidate names already is named again only where a
multiplier takes it lower; a check reports and changes no rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from pricing_rules.money import decimal_text, exact_text
from pricing_rules.prices.lowest_rate import lowest_rate
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry
from pricing_rules.prices.provenance import Finding, finding_id

_UNDER_FLOOR = "under_floor"


def with_floors(candidate: PriceBook) -> PriceBook:
    """The candidate with a finding for each rate under its floor that has none.

    Rules give multipliers to no book, so what a derivation found is of the rates alone; a book that
    was written or changed by hand may have multipliers below 1, and rates that no derivation saw.
    """
    known = {finding.id for finding in candidate.findings}
    found = [one for one in _found(candidate) if one.id not in known]
    if not found:
        return candidate
    findings = sorted((*candidate.findings, *found), key=lambda one: (one.id, one.sentence))
    return candidate.model_copy(update={"findings": tuple(findings)})


def _found(book: PriceBook) -> Iterator[Finding]:
    named = {finding.id for finding in book.findings}
    for card in book.rate_cards:
        floors = {one.unit: one.floor for one in card.cost.floors} if card.cost else {}
        for entry in card.rates:
            floor = floors.get(entry.unit)
            if floor is None:
                continue
            about = _about(card, entry=entry)
            lowest = lowest_rate(entry, card=card, book=book)
            listed = exact_text(lowest.listed_per_mtok)
            if lowest.listed_per_mtok < Fraction(floor) and named.isdisjoint(
                finding_id(kind, about=about) for kind in (_UNDER_FLOOR, "subsidised")
            ):
                yield _under(about, what=f"the rate {listed} is", floor=floor)
            if lowest.per_mtok < min(lowest.listed_per_mtok, Fraction(floor)):
                times = " and ".join(one.id for one in lowest.multipliers)
                what = f"the rate {listed} times {times} is {exact_text(lowest.per_mtok)},"
                yield _under(f"{about}/times {times}", what=what, floor=floor)


def _under(about: str, *, what: str, floor: Decimal) -> Finding:
    return Finding(
        id=finding_id(_UNDER_FLOOR, about=about),
        kind=_UNDER_FLOOR,
        sentence=f"{about}: {what} under the floor {decimal_text(floor)}",
    )


def _about(card: RateCard, *, entry: RateEntry) -> str:
    when = entry.when.text()
    about = f"{card.model}/{card.service_tier}/{entry.unit}"
    return f"{about}/{when}" if when else about
