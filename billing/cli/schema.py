"""``tokenworks schema``: the JSON Schema of each document that people and programs write or read.

Invariant: the schema is made from the model that validates the document, so the two cannot differ.
"""

from __future__ import annotations

import importlib
import json

import click

DOCUMENTS = {
    "factory": ("pricing_rules.cost.factory", "Factory"),
    "policy": ("pricing_rules.rules.policy", "Policy"),
    "price-book": ("pricing_rules.prices.price_book", "PriceBook"),
    "quote-request": ("pricing_rules.prices.quote", "QuoteRequest"),
    "usage-event": ("pricing_rules.usage.event", "UsageEvent"),
    "agreement": ("billing.domain.agreement.agreement", "Agreement"),
    "rating": ("billing.domain.charging.report", "RatingReport"),
    "invoice": ("billing.domain.invoice.invoice", "Invoice"),
}
"""Each document by name, with the model that it is read or written as."""


@click.command("schema")
@click.argument("document", type=click.Choice(list(DOCUMENTS)))
def command(document: str) -> None:
    """Print the JSON Schema (2020-12) of a document.

    Example: tokenworks schema price-book
    """
    module, name = DOCUMENTS[document]
    model = getattr(importlib.import_module(module), name)
    mode = "serialization" if document in ("rating", "invoice") else "validation"
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True, mode=mode),
    }
    click.echo(json.dumps(schema, indent=2, ensure_ascii=False))
