"""Where the usage totals of one account are cut: the cuts of all accounts, and its own.

Invariant: each billing period of each version, and the stretch of time under each version, is a
union of whole segments. A cut too many changes no sum, so that every version cuts all of the span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from billing.domain.agreement.agreement import Agreement
from pricing_rules.period import BillingAnchor
from pricing_rules.usage.totals import Grid

NO_AGREEMENT_ANCHOR = BillingAnchor(day=1, zone="UTC")
"""The anchor of an account that has accepted no agreement."""


def account_grid(
    grid: Grid, *, versions: Sequence[Agreement], start_at: int, end_at: int
) -> Grid:
    """The grid of an account for usage in ``[start_at, end_at)``.

    ``grid``: the cuts of all accounts. ``versions``: the versions of the account's agreement, in
    any order. The segment of a moment inside the span does not depend on how wide the span is: the
    last boundary of each anchor at or before ``start_at`` is a cut, too.
    """
    anchors = {version.anchor for version in versions} or {NO_AGREEMENT_ANCHOR}
    cuts = set(grid.instants_at) | {version.effective_from for version in versions}
    for anchor in anchors:
        first_at = anchor.period_at(start_at).start_at
        cuts.update((first_at, *anchor.boundaries(start_at, end_at=end_at)))
    return replace(grid, instants_at=tuple(sorted(cuts)))
