"""The margin of each account, and what sets it apart from that of all accounts together.

Over what its usage costs, an account brings more or less than all accounts do on average. With
``l`` the listed revenue of all over their cost, ``l(c)`` that of a card and ``l(u)`` that of a unit
of the card, and ``d`` the discounts of all over their cost:

    its net revenue - its cost x (l - d)
        = sum over units of (its listed revenue - its cost x l(u))            rates
        + sum over units of (its cost - its cost of the card x the share that
          all have of the unit in the card) x (l(u) - l(c))                   units
        + sum over cards of (its cost - its whole cost x the share that
          all have of the card) x (l(c) - l)                                  cards
        - (what its discounts take off - its cost x d)                        discounts

``rates`` are those that it meets beside those that all meet (windows, bands, regions, allowances);
``units`` is how much it uses of each unit of a card (long output, cached input); ``cards`` is which
models and service tiers it uses. What is listed without any cost, a fee for each request, counts as
a rate beside the share of it that the account's cost has of all cost.

Invariant: the effects of an account add up to that difference, exactly, and over all accounts each
of the four kinds adds up to zero (where anything has a cost at all).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from pricing_rules.planning.unit_takings import UnitKey, UnitTakings

EffectKind = Literal["rates", "units", "cards", "discounts"]

MATERIAL_SHARE: Final = Fraction(1, 100)
"""What is no cause: so small a share of an account's cost."""

EFFECT_KINDS: Final[tuple[EffectKind, ...]] = ("discounts", "rates", "units", "cards")

_NOTHING = UnitTakings()
_ZERO = Fraction(0)

CardUnit = tuple[str, str, str]
"""Model, service tier and unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How much more than the average something leaves an account; negative where it is less.

    ``about``: model and service tier, and the unit where the effect is about one; empty for
    discounts. ``is_more``: whether more of its cost is of that unit or card than of all accounts'.
    """

    kind: EffectKind
    about: tuple[str, ...]
    amount: Fraction
    is_more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMargin:
    """One account: its takings in all and by unit, and its effects, the worst first."""

    account: str
    takings: UnitTakings
    units: Mapping[CardUnit, UnitTakings]
    effects: tuple[Effect, ...]

    def of_kind(self, kind: EffectKind) -> Fraction:
        """The sum of its effects of one kind."""
        return sum((one.amount for one in self.effects if one.kind == kind), _ZERO)

    @property
    def cause(self) -> Effect | None:
        """The worst effect of the kind that takes most from its margin; None where no kind takes
        more than a hundredth of its cost.

        Where it uses more of something poor and so less of something good, the first is named.
        """
        worst = min(EFFECT_KINDS, key=self.of_kind)
        if -self.of_kind(worst) <= MATERIAL_SHARE * self.takings.cost_exact:
            return None
        taking = [one for one in self.effects if one.kind == worst and one.amount < 0]
        return min(taking, key=lambda one: (not one.is_more, one.amount))


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMargins:
    """All accounts whose usage has a measured cost, the worst margin first, and their averages."""

    accounts: tuple[AccountMargin, ...]
    takings: UnitTakings
    units: Mapping[CardUnit, UnitTakings]


def add_units(parts: Iterable[UnitTakings]) -> UnitTakings:
    """All of them together."""
    total = _NOTHING
    for part in parts:
        total = total.plus(part)
    return total


def account_margins(units: Mapping[UnitKey, UnitTakings]) -> AccountMargins:
    """Rank accounts by margin: losses first, the largest amount before smaller ones, then what
    earns, the lowest share of its revenue first.
    """
    by_account: dict[str, dict[CardUnit, UnitTakings]] = defaultdict(dict)
    by_unit: dict[CardUnit, UnitTakings] = defaultdict(UnitTakings)
    for (account, *card_unit), takings in units.items():
        if takings.cost_exact or takings.costed_revenue:
            about: CardUnit = (card_unit[0], card_unit[1], card_unit[2])
            by_account[account][about] = takings
            by_unit[about] = by_unit[about].plus(takings)
    every = _Average(by_unit)
    found = [
        AccountMargin(
            account=account,
            takings=add_units(own.values()),
            units=own,
            effects=tuple(
                sorted(
                    (one for one in every.effects(own) if one.amount),
                    key=lambda one: (one.amount, one.kind, one.about),
                )
            ),
        )
        for account, own in by_account.items()
    ]
    return AccountMargins(
        accounts=tuple(sorted(found, key=_rank)), takings=every.total, units=by_unit
    )


def _rank(one: AccountMargin) -> tuple[bool, Fraction, str]:
    margin, share = one.takings.margin, one.takings.margin_share
    return (margin >= 0, margin if margin < 0 or share is None else share, one.account)


class _Average:
    """What all accounts together bring over their cost, and how one account differs from it."""

    def __init__(self, units: Mapping[CardUnit, UnitTakings]) -> None:
        self._units = units
        self.total = add_units(units.values())
        costed = {about: one for about, one in units.items() if one.cost_exact}
        self._cards = _by_card(costed)
        self._listed = _per_cost(add_units(costed.values()))

    def effects(self, own: Mapping[CardUnit, UnitTakings]) -> Iterator[Effect]:
        """The effects of an account, those of nothing too."""
        mine = add_units(own.values())
        cards = _by_card(own)
        share = mine.cost_exact / self.total.cost_exact if self.total.cost_exact else _ZERO
        for about, every in self._units.items():
            model, service_tier, _ = about
            takings, card = own.get(about, _NOTHING), cards.get((model, service_tier), _NOTHING)
            if not every.cost_exact:
                amount = takings.listed - share * every.listed
                yield Effect(kind="rates", about=about, amount=amount)
                continue
            listed, whole = _per_cost(every), self._cards[model, service_tier]
            yield Effect(
                kind="rates", about=about, amount=takings.listed - takings.cost_exact * listed
            )
            more = takings.cost_exact - card.cost_exact * every.cost_exact / whole.cost_exact
            amount = more * (listed - _per_cost(whole))
            yield Effect(kind="units", about=about, amount=amount, is_more=more > 0)
        for name, every in self._cards.items():
            more = cards.get(name, _NOTHING).cost_exact - share * every.cost_exact
            amount = more * (_per_cost(every) - self._listed)
            yield Effect(kind="cards", about=name, amount=amount, is_more=more > 0)
        yield Effect(
            kind="discounts", about=(), amount=share * self.total.taken_off - mine.taken_off
        )


def _by_card(units: Mapping[CardUnit, UnitTakings]) -> dict[tuple[str, str], UnitTakings]:
    cards: dict[tuple[str, str], UnitTakings] = defaultdict(UnitTakings)
    for (model, service_tier, _), takings in units.items():
        cards[model, service_tier] = cards[model, service_tier].plus(takings)
    return cards


def _per_cost(takings: UnitTakings) -> Fraction:
    return takings.listed / takings.cost_exact if takings.cost_exact else _ZERO
