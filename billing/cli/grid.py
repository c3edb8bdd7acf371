"""``tokenworks grid``: where usage totals are cut, and rebuilding those that are stale.

Invariant: a rebuild changes no event; stopped midway, the accounts that are done stay done.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_rows, say
from billing.cli.stored import by_option, opened, progress, store_option
from billing.operations.grid import rebuild, show_grid
from pricing_rules.document import JsonValue, dump
from pricing_rules.period import moment_text

CUT_COLUMNS = ("kind", "cut")
REBUILT_COLUMNS = ("account", "events", "cells", "grid_version", "agreement_version")


@click.group("grid")
def command() -> None:
    """Show where usage totals are cut; rebuild stale ones."""


@command.command("show")
@store_option
@format_option
def show(*, store: str, shape: str) -> None:
    """Show the cuts that hold for all accounts, and the accounts whose totals are stale.

    Example: tokenworks grid show --store billing.db
    """
    with opened(store) as found:
        state = show_grid(found)
    grid = state.newest.grid
    instants = [moment_text(at) for at in grid.instants_at]
    cuts: dict[str, Sequence[object]] = {
        "instant": instants,
        "request tokens": grid.thresholds_tokens,
        "dimension": grid.dimensions,
        "window": [f"{one.name}: {one.window.text()}" for one in grid.windows],
        "start of each": [f"{cut.every} of {cut.zone}" for cut in grid.calendar_cuts],
    }
    rows = [{"kind": kind, "cut": cut} for kind, found in cuts.items() for cut in found]
    document: JsonValue = {
        "schema": "tokenworks.grid/1",
        "version": state.newest.version,
        "reason": state.newest.reason,
        "instants": list(instants),
        "thresholds_tokens": list(grid.thresholds_tokens),
        "dimensions": list(grid.dimensions),
        "windows": [
            {"key": one.key, "name": one.name, "window": dump(one.window)} for one in grid.windows
        ],
        "calendar_cuts": [{"every": cut.every, "zone": cut.zone} for cut in grid.calendar_cuts],
        "stale_accounts": list(state.stale),
    }
    print_rows(rows, columns=CUT_COLUMNS, shape=shape, document=document, title="Grid")
    if shape == "table":
        say(f"version {state.newest.version}; {len(state.stale):,} accounts are stale")
        for account in state.stale[:20]:
            say(f"stale: {account}")


@command.command("rebuild")
@store_option
@click.option(
    "--account", "accounts", multiple=True, help="These, stale or not; repeatable. Else all stale."
)
@by_option
@now_option
@format_option
def rebuild_totals(
    *, store: str, accounts: tuple[str, ...], by: str, now_at: int, shape: str
) -> None:
    """Compute the totals of stale accounts anew from their events.

    Prices or agreements that change cut totals further; until they are rebuilt, nobody reads the
    old ones. It may be stopped and run again, and twice at once.

    Example: tokenworks grid rebuild --store billing.db --by dana
    """
    with opened(store) as found, progress("rebuild") as shown:
        report = rebuild(found, accounts=accounts or None, by=by, now_at=now_at, progress=shown)
    rows = [{name: getattr(one, name) for name in REBUILT_COLUMNS} for one in report.rebuilt]
    document: JsonValue = {"schema": "tokenworks.rebuild/1", "rebuilt": list(rows)}
    print_rows(rows, columns=REBUILT_COLUMNS, shape=shape, document=document, title="Rebuilt")
    if shape == "table":
        say(f"{len(rows):,} accounts rebuilt from {report.events:,} events")
