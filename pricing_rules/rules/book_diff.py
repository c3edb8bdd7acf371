"""What changed from one price book to another: each rate before and after, and what made it.

Invariant: everything that is said stands in the two books (their steps, floors, costs and inputs);
a change that neither records is called unrecorded, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from pricing_rules.document import DocumentError
from pricing_rules.prices.explain import plain, rate_text
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry
from pricing_rules.prices.provenance import RuleStep
from pricing_rules.rules.cost_diff import Cause, cost_causes
from pricing_rules.rules.guard_rails import entry_bands, met_bands
from pricing_rules.rules.limits import percent_text
from pricing_rules.rules.policy import FLOOR_RULE

UNSOLD_KINDS: Final = ("not_served", "precision", "unmeasured", "unreachable_promise")
"""Findings that say why a book has no card of a model in a service tier."""

_IGNORES_FLOOR: Final = re.compile(r"set to |[0-9.]+ x the (lowest|median) market rate ")
_LASTS: Final = re.compile(r"up to a multiple of |(graduated|volume) ladder ")
"""Actions by their words: a book records what a rule did as text."""

RateName = tuple[str, str, str, tuple[object, ...]]
"""Model, service tier, unit, and the shape of the conditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateChange:
    """One rate that differs. ``before`` and ``after`` are per million units unless they say
    otherwise; ``change_percent`` is cut to 4 decimals, of ladders the largest of its bands, and
    None where there is nothing to divide by.
    """

    model: str
    service_tier: str
    unit: str
    when: str
    what: Literal["changed", "added", "removed"]
    before: str | None
    after: str | None
    change_percent: str | None
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentChange:
    """An input that differs between the books, by role and name; None where one has none."""

    role: str
    name: str
    before_sha256: str | None
    after_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BookDiff:
    """All that differs between two books, and how many rates do not."""

    rates: tuple[RateChange, ...]
    documents: tuple[DocumentChange, ...]
    unchanged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    card: RateCard
    entry: RateEntry


def book_diff(old: PriceBook, *, new: PriceBook) -> BookDiff:
    """What changed from ``old`` to ``new``, in the order of the new book, then what is gone.

    DocumentError where they are in two currencies.
    """
    if old.currency != new.currency:
        raise DocumentError(
            f"book {new.number}", f"is in {new.currency}, the other in {old.currency}; no rate of "
            "one compares with the other's",
        )  # fmt: skip
    before, after = _rates(old), _rates(new)
    changes: list[RateChange] = []
    for name, placed in after.items():
        if name not in before:
            causes = tuple(_made(placed, other=old))
            changes.append(_change(placed, what="added", before=None, after=placed, causes=causes))
        elif _terms(before[name].entry) != _terms(placed.entry):
            causes = tuple(_causes(name, old=old, new=new, before=before, after=after))
            changes.append(
                _change(placed, what="changed", before=before[name], after=placed, causes=causes)
            )
    for name, placed in before.items():
        if name not in after:
            causes = tuple(_made(placed, other=new))
            changes.append(
                _change(placed, what="removed", before=placed, after=None, causes=causes)
            )
    unchanged = len(before.keys() | after.keys()) - len(changes)
    return BookDiff(
        rates=tuple(changes), documents=tuple(_documents(old, new=new)), unchanged=unchanged
    )


def _rates(book: PriceBook) -> dict[RateName, _Placed]:
    return {
        (card.model, card.service_tier, entry.unit, entry.when.shape): _Placed(
            card=card, entry=entry
        )
        for card in book.rate_cards
        for entry in card.rates
    }


def _terms(entry: RateEntry) -> tuple[object, ...]:
    """What is asked for: the same for a rate of 1 per 1,000 and of 1,000 per million."""
    if entry.ladder is None:
        return (entry_bands(entry),)
    settings = entry.ladder.model_dump(exclude={"bands"})
    flats = tuple((band.flat, band.cap) for band in entry.ladder.bands)
    return (entry_bands(entry), tuple(settings.items()), flats)


def _change(
    placed: _Placed,
    *,
    what: Literal["changed", "added", "removed"],
    before: _Placed | None,
    after: _Placed | None,
    causes: tuple[Cause, ...],
) -> RateChange:
    share: Fraction | None = None
    if before and after:
        pairs = met_bands(entry_bands(before.entry), other=entry_bands(after.entry))
        shares = [(b - a) / a for a, b in pairs if a]
        share = max(shares, key=abs, default=None)
    return RateChange(
        model=placed.card.model,
        service_tier=placed.card.service_tier,
        unit=placed.entry.unit,
        when=placed.entry.when.text(),
        what=what,
        before=_text(before.entry) if before else None,
        after=_text(after.entry) if after else None,
        change_percent=None if share is None else percent_text(share),
        causes=causes,
    )


def _text(entry: RateEntry) -> str:
    if entry.rate is not None and entry.per == 1_000_000:
        return plain(entry.rate)
    return rate_text(entry)


def _made(placed: _Placed, *, other: PriceBook) -> Iterator[Cause]:
    """Why only one book has a rate: the other has no such card, or not the rules that made it."""
    card, entry = placed.card, placed.entry
    about = f"{card.model}/{card.service_tier}"
    if other.card(model=card.model, service_tier=card.service_tier) is None:
        yield Cause(kind="card", sentence=f"number {other.number} has no card of {about}")
        for finding in other.findings:
            if finding.kind in UNSOLD_KINDS and f"{finding.id}/".startswith(
                f"{finding.kind}:{about}/"
            ):
                yield Cause(kind="finding", sentence=finding.sentence)
    rules = [f"{step.rule} ({step.action})" for step in entry.steps]
    if rules:
        yield Cause(kind="rule", sentence=f"it is made by {', '.join(rules)}")


def _causes(
    name: RateName,
    *,
    old: PriceBook,
    new: PriceBook,
    before: Mapping[RateName, _Placed],
    after: Mapping[RateName, _Placed],
    seen: frozenset[RateName] = frozenset(),
) -> Iterator[Cause]:
    """What made the rates of one name differ: exchange, cost, rules, and the rates that they took
    a part of.
    """
    was, now = before[name], after[name]
    exchange = (old.exchange, new.exchange)
    costs = list(cost_causes(was.card, new=now.card, unit=name[2], exchange=exchange))
    # A rate that another took a part of may have been made anew since: then all of it counts.
    for made in (
        (_Made.of(was.entry), _Made.of(now.entry)),
        (_Made.whole(was.entry), _Made.whole(now.entry)),
    ):
        found = [
            *(costs if made[0].by_floor or made[1].by_floor else ()),
            *_rule_causes(made[0].steps, new=made[1].steps),
        ]
        for service_tier, unit, alike in _related(made[0].steps, new=made[1].steps):
            other: RateName = (name[0], service_tier, unit, name[3])
            if other in seen | {name} or other not in before or other not in after:
                continue
            if alike or _terms(before[other].entry) != _terms(after[other].entry):
                below = _causes(
                    other, old=old, new=new, before=before, after=after, seen=seen | {name}
                )
                found += [
                    Cause(kind=one.kind, sentence=f"through {service_tier}/{unit}: {one.sentence}")
                    for one in below
                ]
        if found:
            yield from dict.fromkeys(found)
            return
    yield Cause(kind="unrecorded", sentence="no recorded step, floor or cost differs")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """The steps that a rate is what it is for, and whether its own floor is in it.

    A step that looks at nothing before it (``set``, ``relate``, ``market``; ``markup`` and
    ``margin``, which start at the floor again) ends the effect of those before, but for a ladder
    and a price point.
    """

    steps: tuple[RuleStep, ...]
    by_floor: bool

    @classmethod
    def whole(cls, entry: RateEntry) -> _Made:
        """Every step of the rate, and its floor."""
        steps = tuple(step for step in entry.steps if step.rule != FLOOR_RULE)
        return cls(steps=steps, by_floor=True)

    @classmethod
    def of(cls, entry: RateEntry) -> _Made:
        """What made the rate, read from the steps that its book records."""
        start, by_floor = 0, True
        for i, step in enumerate(entry.steps):
            if step.related_unit is not None or _IGNORES_FLOOR.match(step.action):
                start, by_floor = i, False
            elif step.action.startswith("floor "):
                start, by_floor = i, True
            elif step.action.startswith("at least floor ") and step.before != step.after:
                by_floor = True
        steps = tuple(
            step
            for i, step in enumerate(entry.steps)
            if step.rule != FLOOR_RULE and (i >= start or _LASTS.match(step.action))
        )
        return cls(steps=steps, by_floor=by_floor)


def _rule_causes(old: Sequence[RuleStep], *, new: Sequence[RuleStep]) -> list[Cause]:
    was, now = ({step.rule: step for step in steps} for steps in (old, new))
    found = []
    for rule, step in now.items():
        if rule not in was:
            found.append(f"{rule} is new: {_step_text(step)}")
        elif was[rule].action != step.action:
            found.append(f"{rule} was {was[rule].action}, is {_step_text(step)}")
    found += [f"{rule} is gone: {_step_text(was[rule])}" for rule in was if rule not in now]
    if was.keys() == now.keys() and list(was) != list(now):
        found.append(f"rules run in another order: {', '.join(now)}")
    return [Cause(kind="rule", sentence=sentence) for sentence in found]


def _step_text(step: RuleStep) -> str:
    before = "none" if step.before is None else plain(step.before)
    return f"{step.action}: {before} -> {plain(step.after)} ({step.why})"


def _related(old: Sequence[RuleStep], *, new: Sequence[RuleStep]) -> list[tuple[str, str, bool]]:
    """The rates that both took a part of by one rule, with another result; and whether it was the
    same part, so that the other rate must have differed then.
    """
    was = {step.rule: step for step in old}
    return [
        (step.related_service_tier, step.related_unit, was[step.rule].action == step.action)
        for step in new
        if step.related_service_tier is not None
        and step.related_unit is not None
        and step.rule in was
        and was[step.rule].after != step.after
    ]


def _documents(old: PriceBook, *, new: PriceBook) -> Iterator[DocumentChange]:
    was = {(one.role, one.name): one.sha256 for one in old.derived_from}
    now = {(one.role, one.name): one.sha256 for one in new.derived_from}
    for role, name in sorted(was.keys() | now.keys()):
        before, after = was.get((role, name)), now.get((role, name))
        if before != after:
            yield DocumentChange(role=role, name=name, before_sha256=before, after_sha256=after)
