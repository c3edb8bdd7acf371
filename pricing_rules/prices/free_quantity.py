"""What is left of shared allowances, as usage goes through them in its order.

Invariant: of one account in one period an allowance makes at most its quantity free, whatever
models and units use it, and however usage is split into totals.
"""

from __future__ import annotations

from collections.abc import Sequence

from pricing_rules.period import CalendarCut
from pricing_rules.prices.allowances import Allowance
from pricing_rules.usage.totals import Cell


class FreeQuantities:
    """The allowances of some accounts, from the start of a period on."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, str, int, CalendarCut | None, int], int] = {}
        self._starts: dict[tuple[CalendarCut, int], int] = {}

    def take(
        self, count: int, *, cell: Cell, allowances: Sequence[Allowance], unit: str
    ) -> tuple[tuple[str, int], ...]:
        """How much of a count at the rate of ``unit`` is free, by the text of the allowance.

        Counts are at the unit's scale. Of several allowances the one that the book names first is
        used first. Cells come in canonical order.
        """
        found: list[tuple[str, int]] = []
        for allowance in allowances:
            if count and allowance.covers(
                model=cell.model, service_tier=cell.service_tier, unit=unit
            ):
                cut, start_at = self._period(allowance.cut, cell=cell)
                key = (cell.account, allowance.id, allowance.scale, cut, start_at)
                used = self._used.get(key, 0)
                # A later book may have made it smaller than what was used before.
                free = min(count, max(allowance.quantity_scaled - used, 0))
                if free:
                    self._used[key] = used + free
                    found.append((allowance.text(), free))
                    count -= free
        return tuple(found)

    def _period(self, cut: CalendarCut | None, *, cell: Cell) -> tuple[CalendarCut | None, int]:
        if cut is None:
            return None, 0
        at = cell.segment_start_at
        if (cut, at) not in self._starts:
            self._starts[cut, at] = cut.start_at(at)
        return cut, self._starts[cut, at]
