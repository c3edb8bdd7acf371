"""How commands print: one set of rows as a table, JSON or CSV, and refused rows on stderr.

Invariant: JSON on stdout is one document and nothing else; what is for people goes to stderr.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

SHOWN_REFUSALS = 20
"""Refused rows that are named on stderr; JSON names every one."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def format_option(command: F) -> F:
    """The option ``--format table|json|csv`` that every command has."""
    return click.option(
        "--format",
        "shape",
        type=click.Choice(["table", "json", "csv"]),
        default="table",
        show_default=True,
        help="How to print the result.",
    )(command)


def print_json(document: object) -> None:
    """One JSON document, indented, with keys in their documented order."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_csv(rows: Iterable[Mapping[str, object]], *, columns: Sequence[str]) -> None:
    """Rows as CSV (RFC 4180); a cell that a spreadsheet would run as a formula gets a quote."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column, "")) for column in columns])
    click.echo(text.getvalue(), nl=False)


def print_table(
    rows: Iterable[Mapping[str, object]], *, columns: Sequence[str], title: str = ""
) -> None:
    """Rows as a table for a terminal; numbers to the right, and nothing is cut off."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left", header_style="bold")
    listed = list(rows)
    for column in columns:
        numeric = all(_is_numeric(row.get(column, "")) for row in listed)
        table.add_column(
            column.replace("_", " "), justify="right" if numeric else "left", overflow="fold"
        )
    for row in listed:
        table.add_row(*(Text(_shown(row.get(column, ""))) for column in columns))
    console = Console(soft_wrap=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)


def print_rows(
    rows: Sequence[Mapping[str, object]],
    *,
    columns: Sequence[str],
    shape: str,
    document: object,
    title: str = "",
) -> None:
    """Rows in the shape that was asked for; ``document`` is what JSON prints instead of rows."""
    if shape == "json":
        print_json(document)
    elif shape == "csv":
        print_csv(rows, columns=columns)
    else:
        print_table(rows, columns=columns, title=title)


def print_refused(name: str, *, refused: Sequence[tuple[int, str]]) -> None:
    """Name refused rows on stderr, one line each, and say how many more there are."""
    for row, reason in refused[:SHOWN_REFUSALS]:
        click.echo(f"tokenworks: {name}:{row}: {printable(reason)}", err=True)
    if len(refused) > SHOWN_REFUSALS:
        more = len(refused) - SHOWN_REFUSALS
        click.echo(
            f"tokenworks: {name}: {more} more rows refused (--format json names all)", err=True
        )


def printable(sentence: str) -> str:
    """The sentence on one line, with what a terminal would obey shown as its escape: a sentence
    quotes what it refuses."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in sentence
    )


def readable(value: Decimal) -> str:
    """A figure for a table: 6 significant digits, or all before the point; thousands set apart."""
    digits = value if value == value.to_integral_value() else Decimal(f"{value:.6g}").normalize()
    return f"{value:,.0f}" if abs(value) >= 100_000 else f"{digits:,f}"


def say(sentence: str) -> None:
    """A sentence for the person at the terminal, on stderr."""
    click.echo(sentence, err=True)


def _shown(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_numeric(value: object) -> bool:
    text = str(value).replace(",", "").replace("%", "").strip()
    return not text or text.lstrip("-").replace(".", "", 1).replace("/", "", 1).isdigit()


def _cell(value: object) -> str:
    """A cell of CSV; what is true or false is written as JSON and tables write it."""
    text = "" if value is None else str(value)
    if isinstance(value, bool):
        return text.lower()
    risky = text.startswith(_FORMULA) and not _is_numeric(text)
    return f"'{text}" if risky else text
