"""What the commands of a store share: its option, who runs them, and progress on a terminal.

Invariant: a store is let go of when the command ends, and progress is for terminals only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from billing.operations.floor_override import FloorOverride
from billing.operations.stated import stated_name, stated_text
from pricing_rules.document import DocumentError
from pricing_rules.period import parse_moment

if TYPE_CHECKING:
    from billing.store.store import Store

F = TypeVar("F", bound=Callable[..., Any])

STORE_HELP = "A SQLite file, or postgresql://USER@HOST/DATABASE"

store_option = click.option("--store", required=True, metavar="PATH", help=f"{STORE_HELP}.")


def _somebody(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("is empty; name who does it", ctx=ctx, param=param)
    return stated_name("--by", text=value)


by_option = click.option(
    "--by", required=True, callback=_somebody, help="Who does it, for the audit."
)

signer_option = click.option(
    "--by", required=True, callback=_somebody, help="Who signs the findings off."
)


def moment_option(flag: str, *, about: str) -> Callable[[F], F]:
    """An option that is an RFC 3339 moment, or absent."""
    return click.option(flag, callback=_moment, help=about)


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return parse_moment(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from None


@contextmanager
def opened(store: str) -> Iterator[Store]:
    """The store of a command, open until it ends."""
    # Imported now: commands that can do without a store start without one.
    from billing.store.store import open_store

    with open_store(store) as found:
        yield found


def floor_override(reason: str | None, *, ends_at: int | None, by: str) -> FloorOverride | None:
    """The override that two options make; DocumentError where one of them is missing."""
    if reason is None and ends_at is None:
        return None
    if not reason or ends_at is None:
        raise DocumentError(
            "--override", "an override says why and until when; give --override-ends-at, too"
        )
    return FloorOverride(by=by, reason=stated_text("--override", text=reason), ends_at=ends_at)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """What an operation calls with (done, of all); it draws a bar where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(label, total=None)

        def show(done: int, of_all: int) -> None:
            drawn.update(task, completed=done, total=of_all)

        yield show


@contextmanager
def rows_shown(name: str) -> Iterator[Callable[[int], None]]:
    """What shows, where stderr is a terminal, how many rows are done."""
    if not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{name}: reading") as status:

        def show(rows: int) -> None:
            status.update(f"{name}: {rows:,} rows")

        yield show


def _silent(done: int, of_all: int) -> None:
    """Progress where nobody looks."""
