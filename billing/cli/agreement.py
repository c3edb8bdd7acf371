"""``tokenworks agreement``: what an account accepts.

Invariant: a version is accepted once; the same file again changes nothing.
"""

from __future__ import annotations

from pathlib import Path

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_rows, say
from billing.cli.stored import by_option, floor_override, moment_option, opened, store_option
from billing.operations.agreement import accept_agreement
from pricing_rules.period import moment_text

COLUMNS = ("account", "version", "effective_from", "digest", "new")


@click.group("agreement")
def command() -> None:
    """Accept agreements."""


@command.command("accept")
@click.argument("file", type=click.Path(path_type=Path))
@store_option
@by_option
@click.option("--override", metavar="REASON", help="Why rates may lie under their floor.")
@moment_option("--override-ends-at", about="When that ends; RFC 3339 moment.")
@now_option
@format_option
def accept(
    *,
    file: Path,
    store: str,
    by: str,
    override: str | None,
    override_ends_at: int | None,
    now_at: int,
    shape: str,
) -> None:
    """Accept the next version of an account's agreement.

    Example: tokenworks agreement accept acme.yaml --store billing.db --by dana
    """
    with opened(store) as found:
        accepted = accept_agreement(
            file,
            store=found,
            by=by,
            now_at=now_at,
            override=floor_override(override, ends_at=override_ends_at, by=by),
        )
    agreement = accepted.agreement
    row: dict[str, object] = {
        "account": agreement.account,
        "version": agreement.version,
        "effective_from": moment_text(agreement.effective_from),
        "digest": accepted.digest,
        "new": accepted.new,
    }
    under = [one.sentence() for one in accepted.under_floor]
    print_rows([row], columns=COLUMNS, shape=shape, document={**row, "under_floor": under})
    for sentence in under:
        say(f"finding: {sentence}")
    if shape == "table" and not accepted.new:
        say(f"version {agreement.version} of {agreement.account} was accepted before")
