"""``tokenworks key``: API keys of the service.

Invariant: a key is shown when it is made, and never again.
"""

from __future__ import annotations

from typing import get_args

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_rows, say
from billing.cli.stored import by_option, moment_option, opened, store_option
from billing.operations.api_key import list_api_keys, make_api_key, revoke_api_key
from billing.store.api_keys import ApiKey, Scope
from pricing_rules.period import moment_text

COLUMNS = (
    *("prefix", "scope", "account", "name", "made_at", "expires_at", "requests_per_s"),
    "revoked_at",
)


@click.group("key")
def command() -> None:
    """Make, list and revoke API keys."""


@command.command("make")
@store_option
@click.option(
    "--scope",
    type=click.Choice(get_args(Scope)),
    required=True,
    help="operator: everything; ingest: send events; account: read one account's usage; "
    "monitor: read /metrics alone.",
)
@click.option(
    "--account", default="", help="Whose key it is; with ingest, it sends that account's events."
)
@click.option("--name", required=True, help="What the key is for.")
@moment_option("--expires-at", about="From when on it is not let in. Without it: never.")
@click.option(
    "--requests-per-s",
    type=int,
    help="How many requests a second it may send. Without it: as the service is set.",
)
@by_option
@now_option
@format_option
def make(
    *,
    store: str,
    scope: Scope,
    account: str,
    name: str,
    expires_at: int | None,
    requests_per_s: int | None,
    by: str,
    now_at: int,
    shape: str,
) -> None:
    """Make a key and show it, this once.

    Example: tokenworks key make --scope ingest --name gateway --by dana --store billing.db
    """
    with opened(store) as found:
        made = make_api_key(
            found,
            scope=scope,
            account=account,
            name=name,
            expires_at=expires_at,
            requests_per_s=requests_per_s,
            by=by,
            now_at=now_at,
        )
    row = {"key": made.text, **_row(made.key, revoked_at=None)}
    print_rows([row], columns=("key", "scope", "account", "expires_at"), shape=shape, document=row)
    if shape == "table":
        say("keep the key: it is not shown again")


@command.command("list")
@store_option
@format_option
def list_keys(*, store: str, shape: str) -> None:
    """List the keys that were made, without their secrets.

    Example: tokenworks key list --store billing.db
    """
    with opened(store) as found:
        rows = [_row(one.key, revoked_at=one.revoked_at) for one in list_api_keys(found)]
    print_rows(rows, columns=COLUMNS, shape=shape, document=rows, title="Keys")


@command.command("revoke")
@click.argument("prefix")
@store_option
@click.option("--reason", required=True, help="Why it is revoked.")
@by_option
@now_option
@format_option
def revoke(*, prefix: str, store: str, reason: str, by: str, now_at: int, shape: str) -> None:
    """Revoke a key by its prefix; a running service lets it in for a second longer at most.

    Example: tokenworks key revoke tw_0123456789 --reason lost --by dana --store billing.db
    """
    with opened(store) as found:
        revoked = revoke_api_key(found, prefix=prefix, reason=reason, by=by, now_at=now_at)
    row = _row(revoked.key, revoked_at=revoked.revoked_at)
    print_rows([row], columns=COLUMNS, shape=shape, document=row, title="Revoked")


def _row(key: ApiKey, *, revoked_at: int | None) -> dict[str, str | int | None]:
    return {
        "prefix": key.prefix,
        "scope": key.scope,
        "account": key.account,
        "name": key.name,
        "made_at": moment_text(key.made_at),
        "expires_at": None if key.expires_at is None else moment_text(key.expires_at),
        "requests_per_s": key.requests_per_s,
        "revoked_at": None if revoked_at is None else moment_text(revoked_at),
    }
