"""The price of a task as a document (``tokenworks.task-price/1``), under an agreement or at list
rates: what ``tokenworks price task`` prints.

Invariant: the parts add up to the lines and the lines to the task, exactly; and where a unit has no
measured cost, its line and the task have no floor, cost and margin, and say of which.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from pydantic import Field

from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.records import BookUsed, Count, ExactText, Scale
from pricing_rules.document import Document, DocumentError, Name, Text
from pricing_rules.money import CurrencyCode, exact_text, scaled_text
from pricing_rules.period import moment_text
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.task import PricedTask, TaskLine, TaskPart, TaskRequest
from pricing_rules.usage.units import UNITS


class TaskAmounts(Document):
    """What is asked for and what it costs us, in the book's currency, exactly.

    ``amount`` = ``list_amount`` - ``discount_amount``. ``cost_amount`` is at the utilization of the
    pool, and ``margin_percent`` = (amount - cost_amount) / amount, cut to 4 decimals; absent where
    there is no measured cost, or where the task is free.
    """

    list_amount: ExactText
    discount_amount: ExactText
    amount: ExactText
    floor_amount: ExactText | None = None
    cost_amount: ExactText | None = None
    margin_percent: Name | None = None


class TaskUnit(Document):
    """One unit of a line; ``quantity`` counts steps of 1/``scale``."""

    unit: Name
    quantity: Count
    scale: Scale
    discount_percent: ExactText
    amounts: TaskAmounts


class TaskRequestPrice(Document):
    """All requests of one id that a task makes. ``cost_none``: its units without measured cost."""

    id: Name
    count: Count
    model: Name
    service_tier: Name
    units: tuple[TaskUnit, ...]
    amounts: TaskAmounts
    cost_none: tuple[Name, ...] = ()


class TaskAgreement(Document):
    """The version of an agreement whose discounts are taken."""

    account: Name
    version: Count


class TaskReport(Document):
    """The price of one task. ``findings`` name each line that is under its floor."""

    schema_: Literal["tokenworks.task-price/1"] = Field(alias="schema")
    task: Name
    currency: CurrencyCode
    price_book: BookUsed
    agreement: TaskAgreement | None = None
    requests: tuple[TaskRequestPrice, ...]
    amounts: TaskAmounts
    findings: tuple[Text, ...] = ()


def report_task(priced: PricedTask, *, agreement: Agreement | None) -> TaskReport:
    """The document of a priced task, with the discounts of the month of each request.

    DocumentError where the agreement follows another series or currency than the book, where it
    has a request served elsewhere, and where a request is from before it, or has no moment although
    a ramp changes its discounts.
    """
    book = priced.book
    if agreement is not None:
        _check_series(agreement, book=book)
    lines = tuple(_line(line, agreement=agreement) for line in priced.lines)
    return TaskReport(
        schema="tokenworks.task-price/1",
        task=priced.task.name,
        currency=book.currency,
        price_book=BookUsed.of(book),
        agreement=(
            TaskAgreement(account=agreement.account, version=agreement.version)
            if agreement
            else None
        ),
        requests=lines,
        amounts=_added([line.amounts for line in lines]),
        findings=tuple(_under_floor(lines, currency=book.currency)),
    )


def _check_series(agreement: Agreement, *, book: PriceBook) -> None:
    if (agreement.series, agreement.currency) != (book.series, book.currency):
        raise DocumentError(
            "agreement",
            f"follows {agreement.series} in {agreement.currency}, but the price book is "
            f"{book.series} in {book.currency}; give a book of its own series",
        )


def _line(line: TaskLine, *, agreement: Agreement | None) -> TaskRequestPrice:
    request = line.request
    agreed = None if agreement is None else _agreed(request, agreement=agreement)
    units = tuple(_unit(part, request=request, agreed=agreed) for part in line.parts)
    return TaskRequestPrice(
        id=request.id,
        count=request.count,
        model=request.model,
        service_tier=request.service_tier,
        units=units,
        amounts=_added([one.amounts for one in units]),
        cost_none=tuple(part.unit for part in line.parts if part.floor_amount is None),
    )


def _agreed(request: TaskRequest, *, agreement: Agreement) -> Agreement:
    """The agreement as it stands in the month of a request."""
    where, at = f"request {request.id}", request.at
    served_in = agreement.served_in
    if served_in is not None and not served_in.holds(
        region=request.region, service_tier=request.service_tier
    ):
        raise DocumentError(
            where,
            f"is served in {request.service_tier} in {request.region or 'no named region'}, which "
            f"the agreement of {agreement.account} does not name in served_in; name it there, or "
            "ask for what it names",
        )
    if at is None:
        if agreement.ramp_starts_at():
            raise DocumentError(
                where, "its discounts change from month to month; say at which moment it is made"
            )
        at = agreement.effective_from
    if at < agreement.effective_from:
        raise DocumentError(
            where,
            f"is made at {moment_text(at)}, before the agreement is in effect "
            f"({moment_text(agreement.effective_from)}); choose a later moment",
        )
    return agreement.in_month_of(at)


def _unit(part: TaskPart, *, request: TaskRequest, agreed: Agreement | None) -> TaskUnit:
    percent = sum(
        (
            Fraction(discount.percent)
            for discount in (agreed.discounts if agreed else ())
            if discount.covers(
                model=request.model, service_tier=request.service_tier, unit=part.unit
            )
        ),
        Fraction(0),
    )
    return TaskUnit(
        unit=part.unit,
        quantity=part.quantity,
        scale=UNITS[part.unit].scale,
        discount_percent=percent,
        amounts=_amounts(
            part.amount,
            discount_amount=part.amount * percent / 100,
            floor_amount=part.floor_amount,
            cost_amount=part.cost_amount,
        ),
    )


def _added(parts: Sequence[TaskAmounts]) -> TaskAmounts:
    floors = [one.floor_amount for one in parts if one.floor_amount is not None]
    costs = [one.cost_amount for one in parts if one.cost_amount is not None]
    known = len(floors) == len(costs) == len(parts)
    return _amounts(
        sum((part.list_amount for part in parts), Fraction(0)),
        discount_amount=sum((part.discount_amount for part in parts), Fraction(0)),
        floor_amount=sum(floors, Fraction(0)) if known else None,
        cost_amount=sum(costs, Fraction(0)) if known else None,
    )


def _amounts(
    list_amount: Fraction,
    *,
    discount_amount: Fraction,
    floor_amount: Fraction | None,
    cost_amount: Fraction | None,
) -> TaskAmounts:
    amount = list_amount - discount_amount
    margin = (amount - cost_amount) / amount if cost_amount is not None and amount else None
    return TaskAmounts(
        list_amount=list_amount,
        discount_amount=discount_amount,
        amount=amount,
        floor_amount=floor_amount,
        cost_amount=cost_amount,
        margin_percent=None if margin is None else _percent(margin),
    )


def _percent(share: Fraction) -> str:
    cut = abs(share.numerator) * 10**6 // share.denominator
    return scaled_text(-cut if share < 0 else cut, digits=4)


def _under_floor(lines: Sequence[TaskRequestPrice], *, currency: str) -> list[str]:
    return [
        f"{line.id}: {exact_text(line.amounts.amount)} {currency} a task is under its floor of "
        f"{exact_text(floor)}"
        for line in lines
        if (floor := line.amounts.floor_amount) is not None and line.amounts.amount < floor
    ]
