"""Waiving unpriced usage: a person decides that it is not billed.

Invariant: a waiver names its account, period, model, service tier and unit, and who gave it why; it
is given once.
"""

from __future__ import annotations

from billing.domain.agreement.billing_periods import billing_periods
from billing.operations.agreement import versions_known
from billing.operations.stated import stated_name, stated_text
from billing.store.audit import append_audit
from billing.store.store import Store
from billing.store.waivers import Waiver, append_waiver, read_waivers
from pricing_rules.document import DocumentError
from pricing_rules.period import moment_text, parse_month
from pricing_rules.usage.units import UNITS


def waive(
    store: Store,
    *,
    account: str,
    month: str,
    model: str,
    service_tier: str,
    unit: str,
    reason: str,
    by: str,
    now_at: int,
) -> tuple[tuple[Waiver, bool], ...]:
    """Waive usage of the periods of an account that start in a month (``2026-10``).

    One waiver for each period, each with whether it is new: what was waived before stays as it was.
    DocumentError where the account has no agreement then, where the unit does not exist, and where
    a name or the reason is none.
    """
    if unit not in UNITS:
        raise DocumentError(
            "--unit", f'"{unit:.60}" is not a unit; tokenworks schema usage-event lists them'
        )
    for flag, text in (("--reason", reason), ("--by", by)):
        stated_text(flag, text=text)
    for flag, text in (("--model", model), ("--service-tier", service_tier)):
        stated_name(flag, text=text)
    year, named = parse_month(month)
    with store.write() as connection:
        versions = versions_known(connection, account=account)
        periods = billing_periods(versions, year=year, month=named)
        if not periods:
            sentence = f"has no agreement in effect that bills {month}"
            raise DocumentError(f"account {account:.60}", sentence)
        given = {
            (one.period_start_at, one.model, one.service_tier, one.unit): one
            for one in read_waivers(connection, account=account)
        }
        found: list[tuple[Waiver, bool]] = []
        for agreed in periods:
            known = given.get((agreed.period.start_at, model, service_tier, unit))
            if known is not None:
                found.append((known, False))
                continue
            waiver = Waiver(
                account=account,
                period_start_at=agreed.period.start_at,
                model=model,
                service_tier=service_tier,
                unit=unit,
                reason=reason,
                by=by,
                waived_at=now_at,
            )
            append_waiver(connection, waiver=waiver)
            append_audit(
                connection,
                command="waive",
                subject=account,
                by=by,
                detail={
                    "period_start_at": moment_text(agreed.period.start_at),
                    "model": model,
                    "service_tier": service_tier,
                    "unit": unit,
                    "reason": reason,
                },
                recorded_at=now_at,
            )
            found.append((waiver, True))
    return tuple(found)
