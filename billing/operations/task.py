"""The price of a task, from files: the task, the book, and the agreement of an account.

Invariant: nothing is written, and the floors are those of the book.
"""

from __future__ import annotations

from pathlib import Path

from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.task_report import TaskReport, report_task
from billing.operations.files import read_file
from billing.operations.price_book import read_book
from pricing_rules.document import load_yaml
from pricing_rules.prices.task import Task, price_task


def price_of_task(task: Path, *, price_book: Path, agreement: Path | None) -> TaskReport:
    """What one task of a file is charged under a book, at list rates or under an agreement."""
    asked = load_yaml(Task, read_file(task), name=task.name)
    priced = price_task(asked, book=read_book(price_book))
    agreed = None
    if agreement is not None:
        agreed = load_yaml(Agreement, read_file(agreement), name=agreement.name)
    return report_task(priced, agreement=agreed)
