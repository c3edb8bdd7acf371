"""``tokenworks price task``: what one task is charged, what it costs us, and its margin.

Invariant: JSON is the document ``tokenworks.task-price/1``, exact; the table shows six digits.
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from pathlib import Path

import click

from billing.cli.output import format_option, print_rows, say
from billing.domain.charging.task_report import TaskAmounts, TaskReport
from billing.operations.task import price_of_task
from pricing_rules.document import dump
from pricing_rules.money import decimal_text, exact_text

COLUMNS = (
    "request", "count", "model", "service_tier", "list_amount", "discount_amount", "amount",
    "floor_amount", "cost_amount", "margin_percent",
)  # fmt: skip


@click.command("task")
@click.argument("task", type=click.Path(path_type=Path))
@click.option("--price-book", type=click.Path(path_type=Path), required=True, help="A price book.")
@click.option("--agreement", type=click.Path(path_type=Path), help="agreement.yaml: its discounts.")
@format_option
def task(*, task: Path, price_book: Path, agreement: Path | None, shape: str) -> None:
    """Price one task: all the requests that it makes, with floor, unit cost and margin.

    Amounts are per task, in the book's currency. A ladder is priced from its start, and nothing is
    free by an allowance. A line without measured cost has no floor, and the task neither.

    Example: tokenworks price task task.yaml --price-book book-1.json --agreement acme.yaml
    """
    report = price_of_task(task, price_book=price_book, agreement=agreement)
    rows = _rows(report, shape=shape)
    under = f" for {report.agreement.account}" if report.agreement else " at list rates"
    title = f"{report.task}{under}, {report.currency} per task"
    print_rows(rows, columns=COLUMNS, shape=shape, document=dump(report), title=title)
    if shape == "table":
        for line in report.requests:
            if line.cost_none:
                say(f"{line.id}: no measured cost of {', '.join(line.cost_none)}")
        for finding in report.findings:
            say(f"finding: {finding}")


def _rows(report: TaskReport, *, shape: str) -> list[dict[str, object]]:
    lines = [
        {
            "request": line.id,
            "count": line.count,
            "model": line.model,
            "service_tier": line.service_tier,
            **_shown(line.amounts, shape=shape),
        }
        for line in report.requests
    ]
    return [*lines, {"request": "task", **_shown(report.amounts, shape=shape)}]


def _shown(amounts: TaskAmounts, *, shape: str) -> dict[str, object]:
    found = {
        "list_amount": amounts.list_amount,
        "discount_amount": amounts.discount_amount,
        "amount": amounts.amount,
        "floor_amount": amounts.floor_amount,
        "cost_amount": amounts.cost_amount,
    }
    text = _readable if shape == "table" else exact_text
    shown = {name: "" if one is None else text(one) for name, one in found.items()}
    return {**shown, "margin_percent": amounts.margin_percent or ""}


def _readable(amount: Fraction) -> str:
    """At most six significant digits."""
    six = Context(prec=6)
    return decimal_text(six.divide(Decimal(amount.numerator), Decimal(amount.denominator)))
