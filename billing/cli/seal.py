"""``tokenworks seal``: seal the current epoch.

Invariant: sealing twice with nothing in between seals once.
"""

from __future__ import annotations

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_rows
from billing.cli.stored import by_option, opened, store_option
from billing.operations.epoch import seal_epoch
from pricing_rules.period import moment_text

COLUMNS = ("epoch", "sealed_at", "new")


@click.command("seal")
@store_option
@by_option
@now_option
@format_option
def command(*, store: str, by: str, now_at: int, shape: str) -> None:
    """Seal the current epoch: events that come later enter the next one.

    A close seals by itself; seal alone where a month's usage is to be fixed before it is closed.

    Example: tokenworks seal --store billing.db --by dana
    """
    with opened(store) as found:
        sealed = seal_epoch(found, by=by, now_at=now_at)
    row = {"epoch": sealed.epoch, "sealed_at": moment_text(sealed.sealed_at), "new": sealed.new}
    print_rows([row], columns=COLUMNS, shape=shape, document=row, title="Epoch")
