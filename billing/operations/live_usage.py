"""Live usage: what an account has used so far, by time, by what it names and by unit, in pages.

Invariant: the pages of one question, put together, are its sums over the events that were stored,
and not voided, when its first page was read: none is lost and none comes twice, whatever is stored
or corrected meanwhile (I47).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

from billing.operations.cursor import Moment, Page, Word, cut_page, read_cursor, read_page
from billing.operations.stored_events import known_account
from billing.store.numbering import Numbers
from billing.store.store import Connection, Store
from billing.store.usage_sums import EventLabel, UsageSum, read_usage_sums
from pricing_rules.document import DocumentError, content_digest
from pricing_rules.period import MICROSECONDS, Period
from pricing_rules.usage.event_columns import DIMENSION_PREFIX

Step = Literal["hour", "day", "period"]

MAX_LABELS = 8
_DAY = 86_400 * MICROSECONDS
_STEPS: dict[Step, int | None] = {"hour": 3_600 * MICROSECONDS, "day": _DAY, "period": None}
_MOST_DAYS: dict[Step, int] = {"hour": 31, "day": 400, "period": 400}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuestion:
    """Which sums: of an account in a period, apart by time steps (UTC) and by labels.

    ``labels``: of model, service_tier, region, outcome and ``dimensions.<name>``.
    """

    account: str
    period: Period
    step: Step
    labels: tuple[str, ...]


class _Place(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The last event and the last step of a correction that count, and the key of the last sum."""

    through_seq: Moment
    through_step_seq: Moment
    key: tuple[Moment | Word, ...]


def usage_page(
    store: Store, *, question: UsageQuestion, limit: int, cursor: str | None
) -> Page[UsageSum]:
    """One page of at most ``limit`` sums, the first where ``cursor`` is None.

    NotFoundError where the store has nothing of the account. DocumentError where a label is unknown
    or given twice, where the period is too long for its steps, and where the cursor is not one of
    this question.
    """
    _check(question)
    digest = content_digest(
        [
            question.account,
            question.period.start_at,
            question.period.end_at,
            question.step,
            list(question.labels),
        ]
    )
    at = _place(cursor, digest=digest, labels=len(question.labels))

    def read(connection: Connection, through: Numbers) -> Page[UsageSum]:
        known_account(connection, account=question.account)
        sums = read_usage_sums(
            connection,
            account=question.account,
            period=question.period,
            step_microseconds=_STEPS[question.step],
            labels=question.labels,
            through_seq=through.event,
            through_step_seq=through.step,
            after=None if at is None else at.key,
            limit=limit + 1,
        )
        return cut_page(
            sums, limit=limit, question=digest, place=lambda one: _Place(*through, one.key)
        )

    return read_page(
        store,
        through=None if at is None else Numbers(at.through_seq, at.through_step_seq),
        read=read,
    )


def end_of_step(start_at: int, *, question: UsageQuestion) -> int:
    """When the time step that starts then ends; the last one ends with the period."""
    step = _STEPS[question.step]
    end_at = question.period.end_at
    return end_at if step is None else min(start_at + step, end_at)


def _check(question: UsageQuestion) -> None:
    labels = question.labels
    if len(labels) > MAX_LABELS:
        raise DocumentError("by", f"names {len(labels)} labels; give at most {MAX_LABELS}")
    known = get_args(EventLabel)
    for label in labels:
        if label not in known and not label.removeprefix(DIMENSION_PREFIX):
            raise DocumentError("by", "names a dimension without a name; write dimensions.NAME")
        if label not in known and not label.startswith(DIMENSION_PREFIX):
            names = ", ".join(known)
            raise DocumentError(
                "by", f'"{label:.60}" is none of {names} and no {DIMENSION_PREFIX}NAME'
            )
    if len(set(labels)) < len(labels):
        raise DocumentError("by", "names a label twice; give it once")
    most_days = _MOST_DAYS[question.step]
    if question.period.end_at - question.period.start_at > most_days * _DAY:
        raise DocumentError(
            "end_at", f"lies more than {most_days} days after start_at; ask for less at once"
        )


def _place(text: str | None, *, digest: str, labels: int) -> _Place | None:
    found = read_cursor(_Place, text=text, question=digest)
    if found is None:
        return None
    start_at, *texts = found.key or ("",)
    named = isinstance(start_at, int) and all(isinstance(part, str) for part in texts)
    if len(texts) != labels + 1 or not named:
        raise DocumentError("cursor", "is not one that we gave; start without one")
    return found
