"""Price books from and to the formats of others, as files.

Invariant: a candidate is written whole, beside an account of every entry that is not in it; an
export is written only where it says all that the book says.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from billing.operations.files import read_file, refuse_input, write_file
from billing.operations.price_book import read_book, write_candidate
from pricing_rules.document import DocumentError, JsonValue
from pricing_rules.interchange.csv_cards import export_csv, import_csv
from pricing_rules.interchange.genai_export import export_genai_prices
from pricing_rules.interchange.genai_prices import import_genai_prices
from pricing_rules.interchange.imported import BookHead, Imported
from pricing_rules.interchange.litellm import import_litellm
from pricing_rules.interchange.litellm_export import export_litellm
from pricing_rules.interchange.openrouter import export_openrouter, import_openrouter
from pricing_rules.money import decimal_text
from pricing_rules.prices.price_book import PriceBook

if TYPE_CHECKING:
    from genai_prices import types as genai

Format = Literal["litellm", "genai-prices", "openrouter", "csv"]

INSTALLED = "installed"
"""The word that stands for the data of the installed package genai-prices."""

FALLING_BACK = frozenset[Format]({"litellm", "genai-prices"})
"""Formats whose own calculators price a service tier that an entry does not name."""

EXPORTS: Mapping[Format, Callable[[PriceBook], bytes]] = {
    "litellm": export_litellm,
    "genai-prices": export_genai_prices,
    "openrouter": export_openrouter,
    "csv": export_csv,
}


def import_book(
    where: str, *, source: Format, head: BookHead, out: Path, service_tiers: Sequence[str] = ()
) -> Imported:
    """Read a price file, write the candidate, and say what is not in it.

    ``where``: a path, or ``installed`` for the data of the installed genai-prices. DocumentError
    where the file is no such file or holds nothing that a book can say, and nothing is written.
    ``service_tiers``: of litellm and genai-prices, those that every model gets a card of.
    """
    if service_tiers and source not in FALLING_BACK:
        raise DocumentError(
            "--service-tier", f"{source} names the service tiers of its rates; leave it out"
        )
    name, data = _read(where, source=source)
    if source == "litellm":
        found = import_litellm(data, name=name, head=head, service_tiers=service_tiers)
    elif source == "genai-prices":
        found = import_genai_prices(data, name=name, head=head, service_tiers=service_tiers)
    elif source == "openrouter":
        found = import_openrouter(data, name=name, head=head)
    else:
        found = import_csv(data, name=name, head=head)
    if found.book is None:
        first = found.refused[0] if found.refused else None
        why = f", the first because of {first.sentence()}" if first else ""
        raise DocumentError(name, f"holds no entry with a price that a book can say{why}")
    write_candidate(found.book, path=out)
    return found


def export_book(book: Path, *, target: Format, out: Path) -> PriceBook:
    """Write a price book in another format.

    DocumentError names what the format cannot say; a book is not written over.
    """
    refuse_input(out, inputs=[book])
    found = read_book(book)
    write_file(out, data=EXPORTS[target](found))
    return found


def _read(where: str, *, source: Format) -> tuple[str, bytes]:
    if source == "genai-prices" and where == INSTALLED:
        return installed_genai_prices()
    path = Path(where)
    return path.name, read_file(path)


def installed_genai_prices() -> tuple[str, bytes]:
    """Name and JSON of the data that the installed package genai-prices holds.

    DocumentError where the package is not installed.
    """
    if importlib.util.find_spec("genai_prices") is None:
        raise DocumentError(
            INSTALLED,
            "the package genai-prices is not installed; install tokenworks[market] or name a file",
        )
    from genai_prices.data import providers

    value = [
        {"id": provider.id, "models": [_model(model) for model in provider.models]}
        for provider in providers
    ]
    version = importlib.metadata.version("genai-prices")
    return f"genai-prices-{version}", json.dumps(value).encode()


def _model(model: genai.ModelInfo) -> JsonValue:
    prices = model.prices
    return {
        "id": model.id,
        "prices": [
            {"constraint": _constraint(one.constraint), "prices": _prices(one.prices)}
            for one in prices
        ]
        if isinstance(prices, list)
        else _prices(prices),
        "price_variants": [
            {
                "when": variant.when,
                "prices": _prices(variant.prices),
                "constraint": _constraint(variant.constraint),
            }
            for variant in model.price_variants or ()
        ],
    }


def _prices(prices: genai.ModelPrice) -> JsonValue:
    found: dict[str, JsonValue] = {}
    for key, price in vars(prices).items():
        if price is None:
            continue
        steps = getattr(price, "tiers", None)
        found[key] = (
            decimal_text(price)
            if steps is None
            else {
                "base": decimal_text(price.base),
                "tiers": [
                    {"start": step.start, "price": decimal_text(step.price)} for step in steps
                ],
            }
        )
    return found


def _constraint(constraint: object) -> JsonValue:
    if constraint is None:
        return None
    return {name: value.isoformat() for name, value in vars(constraint).items()}
