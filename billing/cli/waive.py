"""``tokenworks waive``: let unpriced usage go unbilled, with a reason.

Invariant: a waiver is given once, is for named usage of one period, and stands.
"""

from __future__ import annotations

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_rows
from billing.cli.stored import by_option, opened, store_option
from billing.operations.waive import waive
from pricing_rules.period import moment_text

COLUMNS = ("account", "period_start_at", "model", "service_tier", "unit", "reason", "new")


@click.command("waive")
@click.argument("account")
@store_option
@click.option("--period", "month", required=True, metavar="YYYY-MM", help="Such as 2026-10.")
@click.option("--model", required=True)
@click.option("--service-tier", required=True)
@click.option("--unit", required=True, help="The unpriced unit, such as output_tokens.")
@click.option("--reason", required=True, help="Why it is not billed.")
@by_option
@now_option
@format_option
def command(
    *,
    account: str,
    store: str,
    month: str,
    model: str,
    service_tier: str,
    unit: str,
    reason: str,
    by: str,
    now_at: int,
    shape: str,
) -> None:
    """Waive unpriced usage of an account, so that its period can be closed.

    Example: tokenworks waive acme --period 2026-10 --model gpt-oss-120b --service-tier batch
    --unit web_searches --reason 'a trial' --by dana --store billing.db
    """
    with opened(store) as found:
        waived = waive(
            found,
            account=account,
            month=month,
            model=model,
            service_tier=service_tier,
            unit=unit,
            reason=reason,
            by=by,
            now_at=now_at,
        )
    rows: list[dict[str, object]] = [
        {
            "account": one.account,
            "period_start_at": moment_text(one.period_start_at),
            "model": one.model,
            "service_tier": one.service_tier,
            "unit": one.unit,
            "reason": one.reason,
            "new": new,
        }
        for one, new in waived
    ]
    print_rows(rows, columns=COLUMNS, shape=shape, document=rows, title="Waived")
