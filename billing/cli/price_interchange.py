"""``tokenworks price import`` and ``price export``: price books from and to other formats.

Invariant: an import ends with 1 where an entry was refused, and JSON names every entry that is not
in the book; an export writes nothing where its format cannot say what the book says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.cli.output import format_option, print_rows, printable, say
from billing.cli.stored import moment_option

if TYPE_CHECKING:
    from billing.operations.interchange import Format
    from pricing_rules.interchange.imported import Imported

FORMATS = ("litellm", "genai-prices", "openrouter", "csv")
COLUMNS = ("what", "entries", "reason")
EXPORT_COLUMNS = ("to", "models", "rate_cards", "out")

SHOWN = 20
"""Refused entries that are named on stderr; JSON names every one."""


@click.command("import")
@click.argument("file")
@click.option(
    "--from",
    "source",
    type=click.Choice(FORMATS),
    required=True,
    help="What the file is: LiteLLM's cost map, the JSON of genai-prices, OpenRouter's list of "
    "models, or rate cards as CSV.",
)
@moment_option("--at", about="When the book takes effect; genai-prices: what is in force then.")
@click.option("--series", help="The series of the book; else the name of the format.")
@click.option(
    "--number", type=click.IntRange(min=1), default=1, show_default=True, help="In its series."
)
@click.option(
    "--service-tier",
    "service_tiers",
    multiple=True,
    help="Repeatable: every model gets a card of it. Where the file does not name it, litellm "
    "(batch at half) and genai-prices charge the standard rates.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The candidate book.")
@format_option
@click.pass_context
def import_prices(
    ctx: click.Context,
    *,
    file: str,
    source: Format,
    at: int | None,
    series: str | None,
    number: int,
    service_tiers: tuple[str, ...],
    out: Path,
    shape: str,
) -> None:
    """Make a candidate price book of somebody's published prices.

    FILE is a path; with --from genai-prices the word "installed" is the data of the installed
    package. What a price book cannot say is refused entry by entry, each named (--format json).

    Example: tokenworks price import model_prices_and_context_window.json --from litellm
    --at 2026-12-01T00:00:00Z --out litellm.json
    """
    from billing.operations.interchange import import_book
    from pricing_rules.interchange.imported import BookHead

    if at is None:
        raise click.UsageError("Missing option '--at'.", ctx=ctx)
    head = BookHead(series=series or source, number=number, effective_from=at)
    found = import_book(file, source=source, head=head, out=out, service_tiers=service_tiers)
    rows = _rows(found)
    print_rows(rows, columns=COLUMNS, shape=shape, document=_document(found, out=out))
    for one in found.refused[:SHOWN]:
        say(printable(f"tokenworks: {one.entry}: {one.sentence()}"))
    if len(found.refused) > SHOWN:
        more = len(found.refused) - SHOWN
        say(f"tokenworks: {more} more entries refused (--format json names all)")
    say(f"wrote {out}")
    ctx.exit(1 if found.refused else 0)


@click.command("export")
@click.argument("book", type=click.Path(path_type=Path))
@click.option(
    "--to", "target", type=click.Choice(FORMATS), required=True, help="The format to write."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write.")
@format_option
def export_prices(*, book: Path, target: Format, out: Path, shape: str) -> None:
    """Write a price book in another format; floors and provenance stay behind.

    The file is read back before it is written: a book of which the format would lose or change a
    rate is refused, with the first such rate.

    Example: tokenworks price export book-1.json --to openrouter --out models.json
    """
    from billing.operations.interchange import export_book

    found = export_book(book, target=target, out=out)
    row = {
        "to": target,
        "models": len({card.model for card in found.rate_cards}),
        "rate_cards": len(found.rate_cards),
        "out": str(out),
    }
    print_rows([row], columns=EXPORT_COLUMNS, shape=shape, document=row)


def _rows(found: Imported) -> list[dict[str, object]]:
    cards = found.book.rate_cards if found.book else ()
    rows: list[dict[str, object]] = [
        {"what": "models", "entries": len({card.model for card in cards}), "reason": ""},
        {"what": "rate cards", "entries": len(cards), "reason": ""},
    ]
    if found.without_price:
        rows.append({"what": "without a price", "entries": len(found.without_price), "reason": ""})
    for reason, entries in found.refused_by_reason.items():
        rows.append({"what": "refused", "entries": entries, "reason": reason})
    for sentence, entries in found.notes_by_sentence.items():
        rows.append({"what": "noted", "entries": entries, "reason": sentence})
    return rows


def _document(found: Imported, *, out: Path) -> dict[str, object]:
    cards = found.book.rate_cards if found.book else ()
    return {
        "out": str(out),
        "models": len({card.model for card in cards}),
        "rate_cards": len(cards),
        "refused_by_reason": found.refused_by_reason,
        "refused": [
            {"entry": one.entry, "reason": one.reason, "detail": one.detail}
            for one in found.refused
        ],
        "without_price": list(found.without_price),
        "notes": [
            {
                "sentence": sentence,
                "entries": [note.entry for note in found.notes if note.sentence == sentence],
            }
            for sentence in found.notes_by_sentence
        ],
    }
