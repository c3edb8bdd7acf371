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
    "task": ("pricing_rules.prices.task", "Task"),
    "usage-event": ("pricing_rules.usage.event", "UsageEvent"),
    "agreement": ("billing.domain.agreement.agreement", "Agreement"),
    "rating": ("billing.domain.charging.report", "RatingReport"),
    "task-price": ("billing.domain.charging.task_report", "TaskReport"),
    "invoice": ("billing.domain.invoice.invoice", "Invoice"),
    "verify": ("billing.domain.verification.report", "VerifyDocument"),
    "usage-mix": ("pricing_rules.usage.mix", "UsageMix"),
    "backtest": ("billing.domain.charging.backtest_report", "BacktestReport"),
    "pricing-review": ("billing.domain.charging.pricing_review", "PricingReviewReport"),
    "operating-point": ("pricing_rules.cost.readers.measurement_file", "OperatingPointDocument"),
    "market": ("pricing_rules.rules.market", "Market"),
    "market-names": ("pricing_rules.planning.market_offers", "MarketNames"),
    "efficiency": ("pricing_rules.planning.efficiency_document", "EfficiencyDocument"),
    "efficiency-report": ("pricing_rules.planning.efficiency_report", "EfficiencyReport"),
    "capacity": ("pricing_rules.planning.capacity_plan", "CapacityPlan"),
    "capacity-report": ("pricing_rules.planning.capacity_report", "CapacityReport"),
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
    mode = (
        "serialization"
        if document in ("rating", "task-price", "invoice", "backtest", "pricing-review")
        else "validation"
    )
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True, mode=mode),
    }
    click.echo(json.dumps(schema, indent=2, ensure_ascii=False))
