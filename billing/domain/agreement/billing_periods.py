"""The billing periods of one account under all versions of its agreement.

Invariant: from the first version's ``effective_from`` on, they tile time: every instant lies in
exactly one period, under exactly one version (I18). Before it there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from billing.domain.agreement.agreement import Agreement
from pricing_rules.document import DocumentError
from pricing_rules.period import Period, known_zone, moment_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedPeriod:
    """A billing period and the version that was in effect throughout.

    The first period of a version is shorter where the version starts inside a period of its anchor.
    """

    agreement: Agreement
    period: Period


def billing_periods(
    versions: Sequence[Agreement], *, year: int, month: int
) -> tuple[AgreedPeriod, ...]:
    """The periods that start in a month (in the zone of their version), in order.

    There are none before the first version, and two where a version starts inside a period of its
    anchor and a whole period follows in the same month.
    """
    found: dict[int, AgreedPeriod] = {}
    for version in versions:
        whole = version.anchor.starting_in(year, month=month)
        for moment_at in (version.effective_from, whole.start_at):
            agreed = billing_period_at(versions, moment_at=moment_at)
            if agreed is not None and _is_of(agreed, year=year, month=month):
                found[agreed.period.start_at] = agreed
    return tuple(found[start_at] for start_at in sorted(found))


def billing_period_at(versions: Sequence[Agreement], *, moment_at: int) -> AgreedPeriod | None:
    """The period that a moment lies in; None before the first version is in effect."""
    started = [one for one in versions if one.effective_from <= moment_at]
    if not started:
        return None
    agreement = max(started, key=lambda one: one.effective_from)
    whole = agreement.anchor.period_at(moment_at)
    later = [one.effective_from for one in versions if one.effective_from > moment_at]
    period = Period(
        start_at=max(whole.start_at, agreement.effective_from),
        end_at=min([whole.end_at, *later]),
    )
    return AgreedPeriod(agreement=agreement, period=period)


def _is_of(agreed: AgreedPeriod, *, year: int, month: int) -> bool:
    return month_of(agreed.period, zone=agreed.agreement.zone) == (year, month)


def check_next_version(versions: Sequence[Agreement], *, agreement: Agreement) -> None:
    """DocumentError where a version cannot follow those that an account accepted before.

    Its number grows, it keeps the account's currency and whether prices include tax, and it
    starts where a billing period of the version before starts, so that each period is billed
    under one version.
    """
    if not versions:
        return
    newest = max(versions, key=lambda one: one.version)
    where = f"agreement of {agreement.account}"
    if agreement.version <= newest.version:
        raise DocumentError(
            where,
            f"version {agreement.version} does not follow {newest.version}; give a higher one",
        )
    if agreement.currency != newest.currency:
        raise DocumentError(
            where, f"is in {newest.currency}, and an account keeps its currency; open another one"
        )
    if agreement.prices_include_tax != newest.prices_include_tax:
        raise DocumentError(
            where,
            "changes prices_include_tax, and what was invoiced so is corrected so; open another "
            "account",
        )
    if agreement.effective_from <= newest.effective_from:
        raise DocumentError(
            where,
            f"version {agreement.version} must be in effect from after "
            f"{moment_text(newest.effective_from)}, when version {newest.version} is",
        )
    whole = newest.anchor.period_at(agreement.effective_from)
    if agreement.effective_from != whole.start_at:
        raise DocumentError(
            where,
            f"version {agreement.version} starts inside a billing period; let it be in effect from "
            f"{moment_text(whole.start_at)} or {moment_text(whole.end_at)}",
        )


def month_of(period: Period, *, zone: str) -> tuple[int, int]:
    """Year and month in which a period starts, on the calendar of its zone."""
    start = (_EPOCH + timedelta(microseconds=period.start_at)).astimezone(known_zone(zone))
    return start.year, start.month
