"""Where usage totals are cut: for all accounts by price books, for one account by its agreement.

Invariant: each billing period of each version, and the stretch of time under each version, is a
union of whole segments. A cut too many changes no sum, so that every version cuts all of the span.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from billing.domain.agreement.agreement import Agreement
from pricing_rules.period import BillingAnchor, CalendarCut
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.usage.totals import Grid
from pricing_rules.windows import united_windows

T = TypeVar("T", int, str, CalendarCut)

NO_AGREEMENT_ANCHOR = BillingAnchor(day=1, zone="UTC")
"""The anchor of an account that has accepted no agreement."""


def book_grid(grid: Grid, *, books: Sequence[PriceBook]) -> Grid:
    """The cuts of all accounts with those that these books need: their price changes, request
    sizes, dimensions, recurring windows, and the days and months of their allowances.

    A window whose definition changes is another window: the old one goes on cutting, so that both
    books find their own.
    """
    return Grid(
        instants_at=_united(grid.instants_at, (book.effective_from for book in books)),
        thresholds_tokens=_united(
            grid.thresholds_tokens, (n for book in books for n in book.thresholds_tokens)
        ),
        dimensions=_united(grid.dimensions, (name for book in books for name in book.dimensions)),
        windows=united_windows(
            [*grid.windows, *(one for book in books for one in book.used_windows)]
        ),
        calendar_cuts=_united(
            grid.calendar_cuts, (cut for book in books for cut in book.calendar_cuts)
        ),
    )


def account_grid(grid: Grid, *, versions: Sequence[Agreement], start_at: int, end_at: int) -> Grid:
    """The grid of an account for usage in ``[start_at, end_at)``.

    ``grid``: the cuts of all accounts. ``versions``: the versions of the account's agreement, in
    any order. The segment of a moment inside the span does not depend on how wide the span is: the
    last boundary of each anchor at or before ``start_at`` is a cut, too.
    """
    anchors = {version.anchor for version in versions} or {NO_AGREEMENT_ANCHOR}
    cuts = {version.effective_from for version in versions}
    for anchor in anchors:
        cuts.add(anchor.period_at(start_at).start_at)
        cuts.update(anchor.boundaries(start_at, end_at=end_at))
    return replace(grid, instants_at=_united(grid.instants_at, cuts))


def _united(first: Iterable[T], second: Iterable[T]) -> tuple[T, ...]:
    found = set(first)
    found.update(second)
    return tuple(sorted(found))
