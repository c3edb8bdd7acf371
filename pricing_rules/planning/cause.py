"""Why the margin of an account is what it is, in one sentence, and figures as people read them.

Invariant: a sentence says what the effects of the account say, and the figures that it names are
those of the account and of all accounts, shortened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from pricing_rules.cost.floor import quantise
from pricing_rules.money import exact_text
from pricing_rules.planning.account_margins import (
    AccountMargin,
    AccountMargins,
    add_units,
)
from pricing_rules.planning.gates import percent_text
from pricing_rules.planning.unit_takings import UnitTakings
from pricing_rules.prices.rating import Charge, ChargeBand
from pricing_rules.usage.units import UNITS

CauseKind = Literal["discounts", "rates", "unit_share", "card_mix", "rate_level", "none"]
"""What drives a margin: discounts; rates that it meets, such as those of a window; much of one unit
(long output, cached input); cards that earn little; rates under cost that all meet; nothing.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What most takes from a margin: its kind, how much, and the sentence that says it."""

    kind: CauseKind
    amount: Fraction
    sentence: str


def cause_of(one: AccountMargin, *, among: AccountMargins, charges: Iterable[Charge]) -> Cause:
    """The cause of an account's margin among all accounts; ``charges`` may hold other accounts'."""
    effect = one.cause
    if effect is None:
        return _as_all(one)
    write = {
        "discounts": _discounts, "rates": _rates, "units": _unit_share, "cards": _card_mix,
    }[effect.kind]  # fmt: skip
    sentence = write(_Compared(one=one, among=among, about=effect.about, charges=tuple(charges)))
    return Cause(kind=_KINDS[effect.kind], amount=one.of_kind(effect.kind), sentence=sentence)


def nine_digits(exact: Fraction | None) -> Decimal | None:
    """A ratio to 9 significant digits, for documents; None stays None."""
    return None if exact is None else quantise(float(exact))


def _as_all(one: AccountMargin) -> Cause:
    """An account that nothing leaves much less than the average."""
    worst = min(
        (about for about, takings in one.units.items() if takings.cost_exact),
        key=lambda about: one.units[about].margin,
        default=None,
    )
    if one.takings.margin < 0 and worst is not None:
        takings = one.units[worst]
        sentence = (
            f"it meets the rates that all meet: {_named(worst)} bring {_times(takings)} their cost"
        )
        return Cause(kind="rate_level", amount=takings.margin, sentence=sentence)
    sentence = "it brings about what all accounts bring on average, or more"
    return Cause(kind="none", amount=Fraction(0), sentence=sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """An account beside all accounts, in what an effect is about."""

    one: AccountMargin
    among: AccountMargins
    about: tuple[str, ...]
    charges: tuple[Charge, ...]

    def parts(self) -> tuple[UnitTakings, UnitTakings]:
        """What it is about, of the account and of all."""
        mine, every = (_of(found, about=self.about) for found in (self.one, self.among))
        return mine, every


def _discounts(found: _Compared) -> str:
    return (
        f"discounts take {percent_text(_off_share(found.one.takings))} off what its usage lists "
        f"for; all accounts together get {percent_text(_off_share(found.among.takings))}"
    )


def _rates(found: _Compared) -> str:
    mine, every = found.parts()
    if not every.cost_exact:
        return (
            f"{_named(found.about)} bring {percent_text(_ratio(mine.listed, found.one.takings))} "
            f"of its cost, and {percent_text(_ratio(every.listed, found.among.takings))} of that "
            "of all accounts"
        )
    bands = [
        band
        for charge in found.charges
        if (charge.account, charge.model, charge.service_tier, charge.unit)
        == (found.one.account, *found.about)
        for band in charge.bands
        if band.quantity
    ]
    return (
        f"{_named(found.about)} list for {_times(mine)} their cost, where those of all "
        f"accounts list for {_times(every)}{_cheapest(bands, unit=found.about[2])}"
    )


def _unit_share(found: _Compared) -> str:
    card = found.about[:2]
    mine, every = found.parts()
    own_card, all_card = (_of(one, about=card) for one in (found.one, found.among))
    return (
        f"{percent_text(_ratio(mine.cost_exact, own_card))} of its cost on {_named(card)} is "
        f"{found.about[2]} ({percent_text(_ratio(every.cost_exact, all_card))} over all accounts), "
        f"which list for {_times(every)} their cost where the whole card lists for "
        f"{_times(all_card)}"
    )


def _card_mix(found: _Compared) -> str:
    mine, every = found.parts()
    return (
        f"{percent_text(_ratio(mine.cost_exact, found.one.takings))} of its cost is on "
        f"{_named(found.about)} ({percent_text(_ratio(every.cost_exact, found.among.takings))} "
        f"over all accounts), which lists for {_times(every)} its cost where everything lists for "
        f"{_times(found.among.takings)}"
    )


_KINDS: Final[dict[str, CauseKind]] = {
    "discounts": "discounts", "rates": "rates", "units": "unit_share", "cards": "card_mix",
}  # fmt: skip


def _cheapest(bands: Sequence[ChargeBand], *, unit: str) -> str:
    """Which part of a charge is cheapest; nothing where nothing was charged."""
    if not bands:
        return ""
    lowest = min(bands, key=lambda band: band.amount / band.quantity)
    share = Fraction(lowest.quantity, sum(band.quantity for band in bands))
    rate = Fraction(lowest.amount) * UNITS[unit].scale * 10**6 / lowest.quantity
    when = f" ({lowest.when})" if lowest.when else ""
    return f"; {percent_text(share)} of them at {_short(rate)} per million{when}"


def _of(found: AccountMargin | AccountMargins, *, about: tuple[str, ...]) -> UnitTakings:
    """The takings of a card, or of a unit of it."""
    return add_units(takings for key, takings in found.units.items() if key[: len(about)] == about)


def _ratio(part: Fraction, whole: UnitTakings) -> Fraction:
    """A part of the cost of the whole; 0 of nothing."""
    return part / whole.cost_exact if whole.cost_exact else Fraction(0)


def _off_share(takings: UnitTakings) -> Fraction:
    return takings.taken_off / takings.listed if takings.listed else Fraction(0)


def _times(takings: UnitTakings) -> str:
    """The listed revenue over the cost."""
    return f"{float(_ratio(takings.listed, takings)):,.2f} times"


def _named(about: tuple[str, ...]) -> str:
    """``m in standard``, or ``output_tokens of m in standard``."""
    model, service_tier, *unit = about
    return f"{unit[0]} of {model} in {service_tier}" if unit else f"{model} in {service_tier}"


def _short(rate: Fraction) -> str:
    text = exact_text(rate)
    return text if len(text) <= 12 else f"{float(rate):.6g}"
