"""``tokenworks db``: making and upgrading a store.

Invariant: an upgrade changes the tables, never a fact in them, and takes effect whole or not at
all.
"""

from __future__ import annotations

import click

from billing.cli.output import format_option, print_rows, say
from billing.cli.stored import STORE_HELP
from billing.store.place import shown
from billing.store.schema import current_revision, upgrade

COLUMNS = ("store", "revision_before", "revision")


@click.group("db")
def command() -> None:
    """Make or upgrade a store."""


@command.command("upgrade")
@click.option(
    "--store", required=True, metavar="PATH", help=f"{STORE_HELP}; a file is made if new."
)
@format_option
def upgrade_store(*, store: str, shape: str) -> None:
    """Bring a store to the newest revision, and make it where there is none.

    A PostgreSQL database must be there, in UTF8; its tables are made. A password may come from
    PGPASSWORD or the password file of PostgreSQL, and is not printed.

    It is safe to run again, and a store that is interrupted stays as it was. Other processes that
    use the store are refused afterwards until they are started anew with this version.

    Example: tokenworks db upgrade --store billing.db
    """
    before = current_revision(store)
    after = upgrade(store)
    store = shown(store)
    row = {"store": store, "revision_before": before or "", "revision": after}
    print_rows([row], columns=COLUMNS, shape=shape, document=row)
    if shape == "table":
        say(f"{store} is at revision {after}" + (", as before" if before == after else ""))
