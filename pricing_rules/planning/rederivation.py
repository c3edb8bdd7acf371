"""What a new derivation does to a book in force: floors that moved and why, rates now under them.

Invariant: every figure and cause stands in the two books; a rate that a subsidy of the policy pays
for is said to be, and counts as no breach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from pricing_rules.document import DocumentError
from pricing_rules.money import exact_text
from pricing_rules.prices.explain import plain
from pricing_rules.prices.lowest_rate import lowest_rate
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry
from pricing_rules.prices.provenance import UnitFloor
from pricing_rules.rules.book_diff import UNSOLD_KINDS, BookDiff, book_diff
from pricing_rules.rules.conditions import condition_holds
from pricing_rules.rules.cost_diff import Cause, cost_causes
from pricing_rules.rules.limits import percent_text
from pricing_rules.rules.policy import Policy

CardUnit = tuple[str, str, str]
"""A model, a service tier and a unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorMove:
    """A floor per million units that differs, in percent of what it was (cut to 4 decimals).

    ``before`` is None where the book in force has none, ``after`` where no hardware keeps the
    promise any more; ``change_percent`` where there is nothing to divide by.
    """

    model: str
    service_tier: str
    unit: str
    before: str | None
    after: str | None
    change_percent: str | None
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateUnder:
    """A rate of the book in force that lies under its new floor, or that has lost its floor.

    ``lowest``: the least that usage can meet there, per million units: the lowest band, times
    ``multipliers``. ``floor`` is None where there is none any more, and ``floor_before`` where
    there was none. ``paid_by``: the subsidy of the policy that pays for it when the candidate takes
    effect, in words.
    """

    model: str
    service_tier: str
    unit: str
    when: str
    lowest: str
    multipliers: tuple[str, ...]
    floor_before: str | None
    floor: str | None
    paid_by: str | None

    def sentence(self) -> str:
        """The rate and its floor as one sentence."""
        about = "/".join(filter(None, (self.model, self.service_tier, self.unit, self.when)))
        times = f" (with {', '.join(self.multipliers)})" if self.multipliers else ""
        if self.floor is None:
            return (
                f"{about}: {self.lowest}{times} has lost its floor, which was {self.floor_before}"
            )
        before = f", which was {self.floor_before}" if self.floor_before else ""
        paid = f"; {self.paid_by}" if self.paid_by else ""
        return f"{about}: {self.lowest}{times} is under the new floor {self.floor}{before}{paid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rederivation:
    """Floors that moved, rates of the book in force that are under theirs now, and what the
    candidate would change.
    """

    moves: tuple[FloorMove, ...]
    under: tuple[RateUnder, ...]
    diff: BookDiff

    @property
    def breaches(self) -> tuple[RateUnder, ...]:
        """The rates under their floors that no subsidy pays for."""
        return tuple(one for one in self.under if one.paid_by is None)

    @property
    def moved(self) -> bool:
        """Whether a floor or a rate of the candidate differs from the book in force."""
        return bool(self.moves or self.diff.rates)


def rederivation(current: PriceBook, *, candidate: PriceBook, policy: Policy) -> Rederivation:
    """Hold a book in force against the candidate that was derived anew.

    ``policy``: that of the candidate; its subsidies count that have not ended when the candidate
    takes effect. DocumentError where the books are of two series or currencies.
    """
    if (current.series, current.currency) != (candidate.series, candidate.currency):
        raise DocumentError(
            "book",
            f"is {current.series} in {current.currency}, and the policy makes {candidate.series} "
            f"in {candidate.currency}; give the book in force of the same series",
        )
    return Rederivation(
        moves=tuple(_moves(current, candidate=candidate)),
        under=tuple(_under(current, candidate=candidate, policy=policy)),
        diff=book_diff(current, new=candidate),
    )


def _floors(book: PriceBook) -> dict[CardUnit, UnitFloor]:
    return {
        (card.model, card.service_tier, floor.unit): floor
        for card in book.rate_cards
        if card.cost is not None
        for floor in card.cost.floors
    }


def _moves(current: PriceBook, *, candidate: PriceBook) -> Iterator[FloorMove]:
    was, now = _floors(current), _floors(candidate)
    for key in dict.fromkeys((*now, *was)):
        before = was[key].floor if key in was else None
        after = now[key].floor if key in now else None
        if before == after:
            continue
        share = None
        if before and after is not None:
            share = (Fraction(after) - Fraction(before)) / Fraction(before)
        yield FloorMove(
            model=key[0],
            service_tier=key[1],
            unit=key[2],
            before=None if before is None else plain(before),
            after=None if after is None else plain(after),
            change_percent=None if share is None else percent_text(share),
            causes=tuple(dict.fromkeys(_causes(key, current=current, candidate=candidate))),
        )


def _causes(key: CardUnit, *, current: PriceBook, candidate: PriceBook) -> Iterator[Cause]:
    model, service_tier, unit = key
    old = current.card(model=model, service_tier=service_tier)
    new = candidate.card(model=model, service_tier=service_tier)
    if old is None or new is None:
        book = candidate if new is None else current
        about = f"{model}/{service_tier}"
        yield Cause(kind="card", sentence=f"number {book.number} has no card of {about}")
        for finding in book.findings:
            if finding.kind in UNSOLD_KINDS and f"{finding.id}/".startswith(
                f"{finding.kind}:{about}/"
            ):
                yield Cause(kind="finding", sentence=finding.sentence)
        return
    exchange = (current.exchange, candidate.exchange)
    yield from cost_causes(old, new=new, unit=unit, exchange=exchange)
    yield from _joined(old, new=new)
    for slower in _raised_by(old, new, unit=unit):
        was = current.card(model=model, service_tier=slower)
        now = candidate.card(model=model, service_tier=slower)
        if was is not None and now is not None:
            causes = cost_causes(was, new=now, unit=unit, exchange=exchange)
            for cause in (*causes, *_joined(was, new=now)):
                yield Cause(kind=cause.kind, sentence=f"through {slower}: {cause.sentence}")


def _joined(old: RateCard, *, new: RateCard) -> Iterator[Cause]:
    """What hardware was measured by that serves the new card and not the old one."""
    before = {one.hardware for one in old.cost.hardware} if old.cost else set()
    for one in new.cost.hardware if old.cost and new.cost else ():
        if one.hardware not in before:
            rows: dict[str, set[int]] = {}
            for shape in one.shapes:
                for point in shape.points:
                    source = f"{point.source.file} ({point.source.sha256[:15]})"
                    rows.setdefault(source, set()).update(point.source.rows)
            files = (f"{name} rows {', '.join(map(str, sorted(rows[name])))}" for name in rows)
            yield Cause(
                kind="measurement", sentence=f"{one.hardware} is measured in {'; '.join(files)}"
            )


def _raised_by(*cards: RateCard, unit: str) -> list[str]:
    """The slower service tiers whose floor a unit of these cards takes."""
    return sorted(
        {
            floor.raised.service_tier
            for card in cards
            for floor in (card.cost.floors if card.cost else ())
            if floor.unit == unit and floor.raised is not None
        }
    )


def _under(current: PriceBook, *, candidate: PriceBook, policy: Policy) -> Iterator[RateUnder]:
    was, now = _floors(current), _floors(candidate)
    for card in current.rate_cards:
        for entry in card.rates:
            key = (card.model, card.service_tier, entry.unit)
            before, after = was.get(key), now.get(key)
            lowest = lowest_rate(entry, card=card, book=current)
            if after is None and before is None:
                continue
            if after is not None and lowest.per_mtok >= Fraction(after.floor):
                continue
            yield RateUnder(
                model=card.model,
                service_tier=card.service_tier,
                unit=entry.unit,
                when=entry.when.text(),
                lowest=exact_text(lowest.per_mtok),
                multipliers=tuple(one.id for one in lowest.multipliers),
                floor_before=None if before is None else plain(before.floor),
                floor=None if after is None else plain(after.floor),
                paid_by=None
                if after is None
                else _paid_by(card, entry=entry, policy=policy, at=candidate.effective_from),
            )


def _paid_by(card: RateCard, *, entry: RateEntry, policy: Policy, at: int) -> str | None:
    facts = policy.facts().of(
        card.model, service_tier=card.service_tier, unit=entry.unit, when=entry.when
    )
    for subsidy in policy.subsidies:
        if (
            subsidy.covers is not None
            and subsidy.ends_at > at
            and condition_holds(subsidy.covers, facts=facts)
        ):
            return subsidy.text(currency=policy.currency)
    return None
