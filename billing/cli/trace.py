"""The options that say what a public trace, which names nobody, is taken for.

Invariant: each of them is needed for a trace, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import click

from billing.engines.event_checks import check_name
from billing.intake.assignment import Assignment, Weighted
from billing.operations.usage_file import Trace
from pricing_rules.document import DocumentError
from pricing_rules.period import parse_moment

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--trace",
        type=click.Choice(["azure", "mooncake"]),
        help="The files are a public trace, which names nobody: say who sent it, below.",
    ),
    click.option(
        "--starting-at", metavar="MOMENT", help="When the first request of a trace happens."
    ),
    click.option("--account", "accounts", multiple=True, metavar="NAME=WEIGHT", help="Repeatable."),
    click.option("--model", "models", multiple=True, metavar="NAME=WEIGHT", help="Repeatable."),
    click.option(
        "--service-tier", "service_tiers", multiple=True, metavar="NAME=WEIGHT", help="Repeatable."
    ),
)


def trace_options(command: F) -> F:
    """The options that describe a trace: which one, when it starts, and who sent it."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def described_trace(
    kind: Literal["azure", "mooncake"] | None,
    *,
    starting_at: str | None,
    accounts: Sequence[str],
    models: Sequence[str],
    service_tiers: Sequence[str],
) -> Trace | None:
    """The trace that the options describe; each of them is needed for one, and for nothing else."""
    given = {
        "--starting-at": starting_at,
        "--account": accounts,
        "--model": models,
        "--service-tier": service_tiers,
    }
    if kind is None:
        unused = [flag for flag, value in given.items() if value]
        if unused:
            raise DocumentError(unused[0], "is for a trace; give --trace, or leave it out")
        return None
    missing = [flag for flag, value in given.items() if not value]
    if missing or starting_at is None:
        raise DocumentError(missing[0], f"is missing; a trace of {kind} needs it")
    try:
        moment_at = parse_moment(starting_at)
    except ValueError as error:
        raise DocumentError("--starting-at", str(error)) from None
    assignment = Assignment(
        accounts=_weighted(accounts, flag="--account"),
        models=_weighted(models, flag="--model"),
        service_tiers=_weighted(service_tiers, flag="--service-tier"),
    )
    return Trace(kind=kind, starting_at=moment_at, assignment=assignment)


def _weighted(texts: Sequence[str], *, flag: str) -> Weighted:
    found = []
    for text in texts:
        name, equals, weight = text.rpartition("=")
        if (
            not equals
            or not name
            or not weight.isascii()
            or not weight.isdigit()
            or not int(weight)
        ):
            raise DocumentError(flag, f'must be NAME=WEIGHT such as acme=3, not "{text:.60}"')
        check_name(name, where=flag)
        found.append((name, int(weight)))
    return tuple(found)
