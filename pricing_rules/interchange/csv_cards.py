"""A price book as CSV (RFC 4180), one rate a line, and back: for a spreadsheet.

Invariant: every rate of the file is in the book, or its whole rate card is refused with the line;
a cell that a spreadsheet would run as a formula is written with a quote before it, which reading
takes away.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from pydantic import ValidationError

from pricing_rules.document import DocumentError
from pricing_rules.interchange.foreign_json import InexpressibleError
from pricing_rules.interchange.imported import (
    BookHead,
    Collected,
    Imported,
    first_fault,
    input_file,
    rate_card,
)
from pricing_rules.interchange.meaning import CSV, head_of, refuse_beyond_rates, refuse_lost
from pricing_rules.interchange.rate_states import plain_rate
from pricing_rules.money import decimal_text
from pricing_rules.prices.price_book import PriceBook, RateEntry, When

COLUMNS = (
    "model", "service_tier", "unit", "per", "rate", "currency", "region", "request_tokens_over",
    "request_tokens_at_least", "dimensions",
)  # fmt: skip
"""All columns are there, in any order; those after currency may be empty.

``dimensions`` are ``name=value`` with ``;`` between them.
"""

_RISKY = ("=", "+", "-", "@", "\t", "\r", "'")


def import_csv(data: bytes, *, name: str, head: BookHead) -> Imported:
    """The candidate of a rate card file; a card with a line that cannot be read is refused whole.

    DocumentError where the file is not UTF-8, lacks a column or has one that is not known, or
    names two currencies.
    """
    rows = _rows(data, name=name)
    found: dict[tuple[str, str], list[RateEntry]] = {}
    refused: dict[tuple[str, str], InexpressibleError] = {}
    currencies = sorted({row["currency"] for _, row in rows})
    if len(currencies) != 1:
        raise DocumentError(
            f"{name} currency", f"must be one for all rates, not {', '.join(currencies) or 'none'}"
        )
    for line, row in rows:
        key = row["model"], row["service_tier"]
        found.setdefault(key, [])
        try:
            found[key].append(_entry(row))
        except ValueError as error:
            where = f"{name}:{line}: {_reason(error)}"
            refused.setdefault(key, InexpressibleError("not a rate", detail=where))
    collected = Collected(source=name, inputs=input_file(data, name=name), currency=currencies[0])
    for (model, service_tier), rates in found.items():
        try:
            if (model, service_tier) in refused:
                raise refused[model, service_tier]
            collected.cards.append(
                rate_card(model, service_tier=service_tier, rates=tuple(rates), source=name)
            )
        except InexpressibleError as error:
            collected.refuse(f"{model} in {service_tier}", error=error)
    return collected.finished(head)


def export_csv(book: PriceBook) -> bytes:
    """A book as a rate card file. DocumentError names what it cannot say."""
    refuse_beyond_rates(book, target=CSV)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for card in book.rate_cards:
        for entry in card.rates:
            when, rate = entry.when, plain_rate(entry)
            values = (
                card.model, card.service_tier, entry.unit, entry.per, decimal_text(rate),
                book.currency, when.region, when.request_tokens_over,
                when.request_tokens_at_least, _dimensions_text(when),
            )  # fmt: skip
            writer.writerow([_guarded(value) for value in values])
    data = text.getvalue().encode()
    back = import_csv(data, name=CSV, head=head_of(book))
    refuse_lost(book, back=back, target=CSV)
    return data


def _rows(data: bytes, *, name: str) -> list[tuple[int, dict[str, str]]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DocumentError(name, "is not UTF-8; save it as CSV UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        header = next(reader, [])
        if sorted(header) != sorted(COLUMNS):
            raise DocumentError(f"{name}:1", f"must have the columns {', '.join(COLUMNS)}")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DocumentError(
                    f"{name}:{reader.line_num}", f"has {len(cells)} cells, not {len(header)}"
                )
            rows.append((reader.line_num, dict(zip(header, map(_bare, cells), strict=True))))
    except csv.Error as error:
        raise DocumentError(f"{name}:{reader.line_num}", f"is not CSV ({error})") from None
    return rows


def _entry(row: Mapping[str, str]) -> RateEntry:
    when = When(
        region=row["region"] or None,
        request_tokens_over=_whole(row["request_tokens_over"]),
        request_tokens_at_least=_whole(row["request_tokens_at_least"]),
        dimensions=_dimensions(row["dimensions"]),
    )
    per = _whole(row["per"])
    if per is None:
        raise ValueError("per is missing; write how many units the rate is for")
    return RateEntry(unit=row["unit"], per=per, rate=row["rate"], when=when)  # type: ignore[arg-type]


def _whole(text: str) -> int | None:
    if text and not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ValueError(f'"{text:.40}" is not a whole number')
    return int(text) if text else None


def _dimensions(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in text.split(";") if text else ():
        key, equals, value = pair.partition("=")
        if not equals or not key or key in found:
            raise ValueError(f'the dimensions "{text:.40}" are not name=value;name=value')
        found[key] = value
    return found


def _dimensions_text(when: When) -> str:
    return ";".join(f"{key}={value}" for key, value in sorted(when.dimensions.items()))


def _reason(error: ValueError) -> str:
    return first_fault(error) if isinstance(error, ValidationError) else str(error)


def _guarded(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_RISKY) else text


def _bare(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_RISKY) else cell
