"""What time it is: the one place of the command that reads the clock.

Invariant: a command reads it once, at its start, and everything that it does has that moment.
"""

from __future__ import annotations

import time

import click

from pricing_rules.period import parse_moment

_NS_PER_MICROSECOND = 1_000


def now_at(option: str | None) -> int:
    """The moment that ``--now`` names, else that of the clock, in microseconds since 1970 UTC.

    ValueError where the text is not a moment.
    """
    if option is not None:
        return parse_moment(option)
    return time.time_ns() // _NS_PER_MICROSECOND


def _now_at(ctx: click.Context, param: click.Parameter, value: str | None) -> int:
    try:
        return now_at(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from None


now_option = click.option(
    "--now",
    "now_at",
    metavar="MOMENT",
    callback=_now_at,
    help="The moment to take for now, such as 2026-11-02T08:00:00Z. Without it: the clock.",
)
"""The option ``--now`` of every command that writes; it gives the command ``now_at``."""
