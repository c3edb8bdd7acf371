"""Ladders and plain rates over columns: what many quantities cost, in 64-bit integers.

Invariant: each cost equals ``Rungs.cost`` of its quantity exactly, or nothing is computed at all: a
column that could overflow on the way is refused before the first product.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pricing_rules.prices.ladder import Rungs, Step

Integers = NDArray[np.int64]

_LARGEST = 2**63 - 1
_CHUNK = 1 << 16
"""Quantities computed at once: few enough that the columns between stay in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Band:
    """One band in integers: what x quantity inside it costs, times the common denominator.

    ``per`` is the size of a package, 1 where the band is linear. ``before``: what all the bands
    below it cost when they are full.
    """

    lower: int
    upper: int | None
    origin: int
    weight: int
    per: int
    flat: int
    cap: int | None
    before: int

    def largest(self, quantity: int) -> int:
        """The largest integer that computing a quantity up to this one meets in this band."""
        top = quantity if self.upper is None else min(quantity, self.upper)
        inside = max(top - self.origin, 0)
        return self.before + -(-inside // self.per) * self.weight + self.flat


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnarLadder:
    """A ladder, or one plain rate, compiled for columns of quantities at a unit's integer scale.

    Costs are integers in 1/``denominator`` of a major unit. ``limit`` is the largest quantity that
    the bands reach (None: any), ``largest_quantity`` the largest that cannot overflow (-1: none).
    """

    denominator: int
    limit: int | None
    largest_quantity: int
    bounds: Integers
    side_of_bound: Literal["left", "right"]
    at_zero: int
    down: bool
    _weights: Integers
    _constants: Integers
    _origins: Integers
    _pers: Integers | None
    _caps: Integers | None
    _befores: Integers

    def costs(self, quantities: Integers) -> tuple[Integers, int]:
        """What each quantity of a whole period costs: (int64 numerators, the denominator).

        ``quantities``: one dimension of int64 at the unit's integer scale. TypeError for another
        type, ValueError for a negative quantity, LookupError for one past the last band, and
        OverflowError, which names the largest quantity that fits, before anything is computed.
        """
        if quantities.dtype != np.int64:
            raise TypeError(f"quantities are int64, not {quantities.dtype}")
        costs = np.empty(len(quantities), dtype=np.int64)
        if not len(quantities):
            return costs, self.denominator
        largest = int(quantities.max())
        if quantities.min() < 0:
            raise ValueError(f"a quantity is not negative, and one is {quantities.min()}")
        if self.limit is not None and largest > self.limit:
            raise LookupError(f"{largest} lies past the last band, which ends at {self.limit}")
        if largest > self.largest_quantity:
            raise OverflowError(
                f"the cost of {largest} is beyond 64 bits; the largest quantity that fits is "
                f"{self.largest_quantity}"
            )
        for start in range(0, len(quantities), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            self._compute(quantities[chunk], costs[chunk])
        return costs, self.denominator

    def _compute(self, quantities: Integers, costs: Integers) -> None:
        if len(self.bounds):
            chosen = np.searchsorted(self.bounds, quantities, side=self.side_of_bound)
            np.subtract(quantities, self._origins.take(chosen), out=costs)
        else:
            chosen = np.zeros(1, dtype=np.intp)
            costs[:] = quantities
        if self._pers is not None:
            pers = self._pers.take(chosen)
            if not self.down:
                np.negative(costs, out=costs)
            np.floor_divide(costs, pers, out=costs)
            if not self.down:
                np.negative(costs, out=costs)
        costs *= self._weights.take(chosen)
        costs += self._constants.take(chosen)
        if self._caps is not None:
            np.minimum(costs, self._caps.take(chosen), out=costs)
        costs += self._befores.take(chosen)
        costs[quantities == 0] = self.at_zero


def compile_rungs(rungs: Rungs, *, scale: int) -> ColumnarLadder:
    """A ladder for columns of a unit of this scale.

    ValueError where a bound lies between two integer quantities: no count ends there.
    """
    denominator = lcm(*(part.denominator for step in rungs.steps for part in _parts(step, scale)))
    bands = _bands(rungs, scale=scale, denominator=denominator)

    def largest(quantity: int) -> int:
        return max(band.largest(quantity) for band in bands if band.lower <= quantity)

    fits = bisect_right(range(_LARGEST), _LARGEST, key=largest) - 1
    used = [band for band in bands if band.lower <= max(fits, 0)]
    steps = [band.upper for band in used[:-1] if band.upper is not None]
    packages = rungs.packages is not None
    capped = any(band.cap is not None for band in used)
    return ColumnarLadder(
        denominator=denominator,
        limit=_limit(rungs, scale=scale),
        largest_quantity=fits,
        bounds=np.array(steps, dtype=np.int64),
        side_of_bound="left" if rungs.inclusive else "right",
        at_zero=_fitting(_numerator(rungs.cost(Fraction(0)), denominator)),
        down=rungs.packages == "down",
        _weights=_column([band.weight for band in used]),
        _constants=_column([band.flat for band in used]),
        _origins=_column([band.origin for band in used]),
        _pers=_column([band.per for band in used]) if packages else None,
        _caps=_column([_LARGEST if b.cap is None else b.cap for b in used]) if capped else None,
        _befores=_column([band.before for band in used]),
    )


def compile_rate(rate: Decimal, *, per: int, scale: int) -> ColumnarLadder:
    """One plain rate per ``per`` natural units, for columns of a unit of this scale."""
    step = Step(
        number=0, lower=Fraction(0), upper=None, rate=rate, per=per, flat=Decimal(0), cap=None
    )
    return compile_rungs(
        Rungs(
            steps=(step,),
            volume=False,
            inclusive=True,
            flat_at_zero=False,
            extend=False,
            packages=None,
        ),
        scale=scale,
    )


def _parts(step: Step, scale: int) -> tuple[Fraction, ...]:
    rate = Fraction(step.rate)
    return rate, rate / (step.per * scale), Fraction(step.flat), Fraction(step.cap or 0)


def _bands(rungs: Rungs, *, scale: int, denominator: int) -> list[_Band]:
    found: list[_Band] = []
    before = Fraction(0)
    for i, step in enumerate(rungs.steps):
        bounded = step.upper is not None and not (rungs.extend and i == len(rungs.steps) - 1)
        lower = _whole(step.lower * scale)
        rate = Fraction(step.rate)
        found.append(
            _Band(
                lower=lower,
                upper=_whole(step.upper * scale) if bounded and step.upper is not None else None,
                origin=0 if rungs.volume else lower,
                weight=_numerator(
                    rate if rungs.packages else rate / (step.per * scale), denominator
                ),
                per=step.per * scale if rungs.packages else 1,
                flat=_numerator(Fraction(step.flat), denominator),
                cap=None if step.cap is None else _numerator(Fraction(step.cap), denominator),
                before=_numerator(before, denominator),
            )
        )
        if not rungs.volume and bounded and step.upper is not None:
            # An exclusive bound itself enters the next band: only what is inside counts here.
            full = Rungs(
                steps=rungs.steps[: i + 1],
                volume=False,
                inclusive=True,
                flat_at_zero=rungs.flat_at_zero,
                extend=False,
                packages=rungs.packages,
            )
            before = full.cost(step.upper)
    return found


def _limit(rungs: Rungs, *, scale: int) -> int | None:
    """The largest integer quantity that has a cost."""
    if rungs.limit is None:
        return None
    limit = _whole(rungs.limit * scale)
    return limit if rungs.covered(rungs.limit) == rungs.limit else limit - 1


def _column(values: list[int]) -> Integers:
    return np.array([_fitting(value) for value in values], dtype=np.int64)


def _fitting(value: int) -> int:
    # What does not fit belongs to no quantity up to the largest one, except in a cap, where the
    # largest integer is as good as any that is larger.
    return min(value, _LARGEST)


def _numerator(amount: Fraction, denominator: int) -> int:
    return _whole(amount * denominator)


def _whole(number: Fraction) -> int:
    if number.denominator != 1:
        raise ValueError(f"{number} lies between two integers; round the bound to the unit's scale")
    return number.numerator
