"""Ladders: what a quantity costs when the rate changes with quantity. The one definition, scalar
and exact.

Invariant: bands tile the quantities from 0 up, with neither gap nor overlap, and what a segment
costs is the difference of two cumulative costs, so any split of a quantity costs the same in sum.

How the five kinds differ, with q units inside a band of rate r per p:

- standard     one open band: q * r / p.
- graduated    every band that is entered charges the part of the quantity that lies inside it.
- volume       the band in which the total of the period lies charges the whole quantity.
- package      graduated, but each band sells whole packages of p units: ceil(q / p) * r.
- percentage   graduated, with r in percent of a spend: q * r / 100.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from pricing_rules.document import Document, Name
from pricing_rules.money import RateText, decimal_text, parse_rate


def _quantity(value: object) -> Decimal:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return Decimal(value)
    if isinstance(value, int | float):
        raise ValueError(f'must be a whole number or a string such as "2.5", not {value!r:.40}')
    return parse_rate(value)


QuantityText = Annotated[
    Decimal,
    BeforeValidator(_quantity),
    PlainSerializer(decimal_text, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}),
]
"""A quantity in natural units: a whole number, or a decimal string."""

Per = Annotated[int, Field(ge=1, le=10**12)]
"""How many natural units one rate is for."""


class Band(Document):
    """One step of a ladder.

    ``up_to``: the band's upper bound (absent: the open last band). ``from``: its lower bound,
    which may be written to be checked against the band before. ``flat``: charged once when the
    band is entered. ``cap``: the most that the band charges, flat included. ``per``: overrides
    the per of the rate.
    """

    from_: QuantityText | None = Field(default=None, alias="from")
    up_to: QuantityText | None = None
    rate: RateText = Decimal(0)
    flat: RateText = Decimal(0)
    cap: RateText | None = None
    per: Per | None = None


Kind = Literal["standard", "graduated", "volume", "package", "percentage"]


class Ladder(Document):
    """A ladder as a document.

    ``id`` carries the position: as long as it stays, quantity counts on across books and
    agreement versions. ``scope``: whose quantity counts (the account, or its payer with pooled
    members). Settings, where systems differ, with our default first:

    - ``bounds`` "inclusive": a quantity equal to ``up_to`` still lies in the band; "exclusive":
      in the next.
    - ``flat_at_zero`` false: no quantity, no flat amount; true: the first band's flat is due
      without usage.
    - ``past_last_band`` "refuse": usage beyond a bounded last band is unpriced; "extend": it
      takes that band.
    - ``whole_packages`` false; true for volume ladders that sell whole packages (package ladders
      always do).
    - ``package_rounding`` "up": a begun package is charged; "down": only full ones are.
    """

    id: Name
    kind: Kind
    bands: Annotated[tuple[Band, ...], Field(min_length=1, max_length=1000)]
    scope: Literal["account", "payer"] = "account"
    reset: Literal["billing_period"] = "billing_period"
    bounds: Literal["inclusive", "exclusive"] = "inclusive"
    flat_at_zero: bool = False
    past_last_band: Literal["refuse", "extend"] = "refuse"
    whole_packages: bool = False
    package_rounding: Literal["up", "down"] = "up"

    @model_validator(mode="after")
    def _bands_tile(self) -> Ladder:
        lower = Decimal(0)
        for i, band in enumerate(self.bands):
            if band.from_ is not None and band.from_ != lower:
                word = "gap between bands" if band.from_ > lower else "overlapping bands"
                raise ValueError(
                    f"{word}: bands[{i}] starts at {band.from_}, the one before ends at {lower}"
                )
            if band.up_to is None:
                if i != len(self.bands) - 1:
                    raise ValueError(f"bands[{i}] is open but not the last; give it an up_to")
                continue
            if band.up_to <= lower:
                raise ValueError(
                    f"overlapping bands: bands[{i}] ends at {band.up_to}, "
                    f"where {lower} is already reached"
                )
            lower = band.up_to
        if self.kind == "standard" and (len(self.bands) != 1 or self.bands[0].up_to is not None):
            raise ValueError("a standard ladder has one open band")
        if self.whole_packages and self.kind not in ("volume", "package"):
            raise ValueError(
                "whole_packages is for volume ladders; package ladders always sell whole packages"
            )
        if self.package_rounding == "down" and not (self.whole_packages or self.kind == "package"):
            raise ValueError("package_rounding is for ladders that sell whole packages")
        if self.kind == "percentage" and any(band.per is not None for band in self.bands):
            raise ValueError("a percentage ladder is per 100; leave out the per of its bands")
        return self

    def rungs(self, *, per: int) -> Rungs:
        """The ladder ready to compute, for a rate whose ``per`` is as given (percentage: always
        100).
        """
        whole = self.whole_packages or self.kind == "package"
        lower = Fraction(0)
        steps: list[Step] = []
        for number, band in enumerate(self.bands):
            upper = None if band.up_to is None else Fraction(band.up_to)
            steps.append(
                Step(
                    number=number,
                    lower=lower,
                    upper=upper,
                    rate=band.rate,
                    per=100 if self.kind == "percentage" else (band.per or per),
                    flat=band.flat,
                    cap=band.cap,
                )
            )
            lower = lower if upper is None else upper
        return Rungs(
            steps=tuple(steps),
            volume=self.kind == "volume",
            inclusive=self.bounds == "inclusive",
            flat_at_zero=self.flat_at_zero,
            extend=self.past_last_band == "extend",
            packages=(self.package_rounding if whole else None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One band in natural units: ``lower`` to ``upper`` (None: open) at ``rate`` per ``per``.

    ``number``: its place in the ladder, from 0.
    """

    number: int
    lower: Fraction
    upper: Fraction | None
    rate: Decimal
    per: int
    flat: Decimal
    cap: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BandCharge:
    """What one band charges: ``quantity`` (natural units) at ``rate`` per ``per``, and the exact
    amount, which includes ``flat``. ``whole_packages`` and ``capped`` say why the amount may differ
    from quantity * rate / per + flat. ``number``: the place of the band in the ladder, from 0.
    """

    number: int
    quantity: Fraction
    rate: Decimal
    per: int
    flat: Fraction
    amount: Fraction
    whole_packages: bool
    capped: bool


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """A ladder ready to compute; see ``Ladder`` for what its settings mean."""

    steps: tuple[Step, ...]
    volume: bool
    inclusive: bool
    flat_at_zero: bool
    extend: bool
    packages: Literal["up", "down"] | None

    @cached_property
    def limit(self) -> Fraction | None:
        """The largest quantity that the bands reach, or None where the last is open or extended."""
        return None if self.extend else self.steps[-1].upper

    def covered(self, quantity: Fraction) -> Fraction:
        """How much of a cumulative quantity has a rate: a bounded last band ends it.

        A volume ladder prices all of the quantity or, past its last band, none of it.
        """
        if self.limit is None or quantity < self.limit:
            return quantity
        if self.volume:
            return quantity if self.inclusive and quantity == self.limit else Fraction(0)
        return self.limit

    def cost(self, quantity: Fraction) -> Fraction:
        """The exact cost of a whole period's quantity. LookupError where it lies past the last
        band.
        """
        return sum((part.amount for part in self.bands(quantity)), Fraction(0))

    def bands(self, quantity: Fraction) -> tuple[BandCharge, ...]:
        """The bands that charge for a whole period's quantity, lowest first."""
        if self.covered(quantity) != quantity:
            raise LookupError(f"{quantity} lies past the last band, which ends at {self.limit}")
        if self.volume:
            return self._charged(((self._chosen(quantity), quantity),), quantity)
        return self._charged(self._entered(quantity), quantity)

    def between(self, start: Fraction, *, end: Fraction, total: Fraction) -> tuple[BandCharge, ...]:
        """The bands of the segment that moves the position from ``start`` to ``end``.

        ``total`` is the period's whole quantity, which chooses the band of a volume ladder. A
        position of 0 means that nothing was charged yet, so flat amounts fall to the segment that
        enters their band. The amounts of consecutive segments add up to the cost of the whole
        where the ladder stays the same.
        """
        if self.volume:
            step = self._chosen(total)
            after = self._charged(((step, end),), end)
            before = self._charged(((step, start),), start) if start else ()
            return _difference(after, before) if before else after
        after = self._charged(self._entered(end), end)
        before = self._charged(self._entered(start), start) if start else ()
        return tuple(part for part in _difference(after, before) if part.quantity or part.amount)

    def _chosen(self, total: Fraction) -> Step:
        for step in self.steps:
            if step.upper is None or total < step.upper or (self.inclusive and total == step.upper):
                return step
        if self.extend:
            return self.steps[-1]
        raise LookupError(f"{total} lies past the last band, which ends at {self.limit}")

    def _entered(self, quantity: Fraction) -> tuple[tuple[Step, Fraction], ...]:
        parts: list[tuple[Step, Fraction]] = []
        for i, step in enumerate(self.steps):
            reached = quantity > step.lower or (not self.inclusive and quantity == step.lower)
            if i and not reached:
                break
            open_end = step.upper is None or (self.extend and i == len(self.steps) - 1)
            top = quantity if open_end or step.upper is None else min(quantity, step.upper)
            parts.append((step, top - step.lower))
        return tuple(parts)

    def _charged(
        self, parts: tuple[tuple[Step, Fraction], ...], quantity: Fraction
    ) -> tuple[BandCharge, ...]:
        charged: list[BandCharge] = []
        for step, inside in parts:
            flat = Fraction(step.flat) if quantity > 0 or self.flat_at_zero else Fraction(0)
            amount = self._packages(inside, step.per) * Fraction(step.rate) + flat
            capped = step.cap is not None and amount > step.cap
            charged.append(
                BandCharge(
                    number=step.number,
                    quantity=inside,
                    rate=step.rate,
                    per=step.per,
                    flat=flat,
                    amount=Fraction(step.cap or 0) if capped else amount,
                    whole_packages=self.packages is not None,
                    capped=capped,
                )
            )
        return tuple(charged)

    def _packages(self, quantity: Fraction, per: int) -> Fraction:
        count = quantity / per
        if self.packages == "up":
            return Fraction(-((-count.numerator) // count.denominator))
        return Fraction(count.numerator // count.denominator) if self.packages else count


def _difference(
    after: tuple[BandCharge, ...], before: tuple[BandCharge, ...]
) -> tuple[BandCharge, ...]:
    shared = min(len(after), len(before))
    changed = [
        replace(
            new,
            quantity=new.quantity - old.quantity,
            flat=new.flat - old.flat,
            amount=new.amount - old.amount,
        )
        for new, old in zip(after, before, strict=False)
    ]
    left = [
        replace(old, quantity=-old.quantity, flat=-old.flat, amount=-old.amount)
        for old in before[shared:]
    ]
    return (*changed, *after[shared:], *left)
