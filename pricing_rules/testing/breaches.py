"""How a policy test fails: what breaks it, and what each rate in it rests on.

Invariant: a message shows the rates of the worst breaches with their floors, their rules with
their why, and the files, rows and digests that their cost was measured in, or that there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pricing_rules.document import DocumentError
from pricing_rules.money import parse_rate
from pricing_rules.prices.explain import explain_band, rate_text
from pricing_rules.prices.price_book import PriceBook, RateCard
from pricing_rules.testing.met_rates import MetRate

SHOWN_BREACHES = 3
"""Breaches that a message walks through; of the others it gives the sentence."""

SHOWN_SENTENCES = 50

SHOWN_ROWS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One way in which a book breaks an assertion.

    ``by``: how far, so that the worst is told first. ``evidence``: further lines, for what is
    about no rate.
    """

    sentence: str
    rates: Sequence[MetRate] = ()
    by: Fraction = Fraction(0)
    evidence: Sequence[str] = ()


def expect_none(breaches: Iterable[Breach], *, claim: str) -> None:
    """Raise AssertionError with the breaches of a claim; nothing without any.

    The worst comes first; of equally bad ones those about a rate, which the message can walk.
    """
    __tracebackhide__ = True
    found = sorted(breaches, key=lambda one: (-one.by, not one.rates))
    if not found:
        return
    lines = [f"{claim}: {len(found)} {'breach' if len(found) == 1 else 'breaches'}"]
    for number, breach in enumerate(found[:SHOWN_SENTENCES], start=1):
        lines.append(f"{number}. {breach.sentence}")
        if number <= SHOWN_BREACHES:
            lines += [f"   {line}" for rate in breach.rates for line in rate_evidence(rate)]
            lines += [f"   {line}" for line in breach.evidence]
    if len(found) > SHOWN_SENTENCES:
        lines.append(f"and {len(found) - SHOWN_SENTENCES} more")
    raise AssertionError("\n".join(lines))


def rate_evidence(rate: MetRate) -> Iterator[str]:
    """A rate, the rules that made it, its floor, and what that was measured in."""
    walk = explain_band(rate.book, card=rate.card, unit=rate.unit, when=rate.matched.when)
    yield f"{rate.about}: {rate_text(rate.entry)} {rate.book.currency}"
    for step in walk.rests_on:
        yield f"  {step.kind}: {step.sentence}"
        yield from (
            f"  {inner.kind}: {inner.sentence}"
            for inner in step.rests_on
            if inner.kind == "running maximum"
        )
    if rate.unit_floor is not None:
        yield from card_evidence(rate.card)


def card_evidence(card: RateCard) -> Iterator[str]:
    """The files, rows and digests that the cost of a card was measured in."""
    if card.cost is None:
        yield f"  cost: none ({card.cost_none or 'no measured cost stands behind this card'})"
        return
    files: dict[tuple[str, str], tuple[set[int], set[str]]] = {}
    for hardware in card.cost.hardware:
        for source in (point.source for shape in hardware.shapes for point in shape.points):
            rows, dates = files.setdefault((source.file, source.sha256), (set(), set()))
            rows.update(source.rows)
            if source.measured_date is not None:
                dates.add(source.measured_date)
    for (file, sha256), (rows, dates) in sorted(files.items()):
        listed = ", ".join(str(row) for row in sorted(rows)[:SHOWN_ROWS])
        more = f" and {len(rows) - SHOWN_ROWS} more" if len(rows) > SHOWN_ROWS else ""
        when = "".join(f", {day}" for day in sorted({min(dates), max(dates)})) if dates else ""
        yield f"  measured: {file} rows {listed}{more}{when}, {sha256}"


def input_evidence(book: PriceBook) -> Iterator[str]:
    """The documents that a book was derived from, for what no rate card stands for."""
    for one in book.derived_from:
        yield f"  {one.role}: {one.name}, {one.sha256}"


def stated_share(text: str) -> Fraction:
    """A share of an assertion from its text; DocumentError for none, and for one over 1."""
    share = stated(text, name="share")
    if share > 1:
        raise DocumentError("share", f'must be at most 1, not "{text}"; write 20 % as "0.20"')
    return share


def stated(text: str, *, name: str) -> Fraction:
    """A number of an assertion from its text; DocumentError says what is wrong."""
    try:
        return Fraction(parse_rate(text))
    except ValueError as error:
        raise DocumentError(name, str(error)) from None
