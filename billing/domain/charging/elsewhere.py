"""Usage that was served elsewhere than its agreement says: a finding, and never a changed bill.

Invariant: every billable event is where it was agreed, or is counted in exactly one finding.
"""

from __future__ import annotations

from collections.abc import Iterable

from billing.domain.agreement.agreement import Agreement
from pricing_rules.usage.totals import BILLABLE_OUTCOMES, UsageTotal


def served_elsewhere(totals: Iterable[UsageTotal], *, agreement: Agreement) -> tuple[str, ...]:
    """A sentence for each region and service tier in which billable usage of the account was
    served although its agreement has it served elsewhere, sorted.

    ``totals`` may hold other accounts, which are left out.
    """
    served_in = agreement.served_in
    if served_in is None:
        return ()
    events: dict[tuple[str, str], int] = {}
    for total in totals:
        cell = total.cell
        if cell.account != agreement.account or not BILLABLE_OUTCOMES[cell.outcome]:
            continue
        if not served_in.holds(region=cell.region, service_tier=cell.service_tier):
            place = (cell.region, cell.service_tier)
            events[place] = events.get(place, 0) + total.events
    agreed = " in ".join(
        " or ".join(names) for names in (served_in.service_tiers, served_in.regions) if names
    )
    return tuple(
        f"{count:,} events of {agreement.account} were served in {service_tier} in "
        f"{region or 'no named region'}, and its agreement has them served in {agreed}"
        for (region, service_tier), count in sorted(events.items())
        if count
    )
