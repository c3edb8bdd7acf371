"""Books in which something recurs: a window of the night, and an allowance of each day.

Invariant: what recurs is added to a book that is there already, and read anew as a file would be.
"""

from __future__ import annotations

import json

from pricing_rules.document import dump
from pricing_rules.prices.price_book import PriceBook, load_price_book
from tests.journeys.made_files import Json


def night(*, end_hour: int = 6, zone: str = "Europe/Berlin") -> Json:
    """From 22:00 until the morning."""
    return {"zone": zone, "times": [{"start_time": "22:00", "end_time": f"{end_hour:02}:00"}]}


def free(quantity: int, *, reset: str, unit: str = "input_tokens", zone: str = "UTC") -> Json:
    """An allowance of one unit."""
    return {"id": "free", "units": [unit], "quantity": quantity, "reset": reset, "zone": zone}


def recurring(made: PriceBook, *, shift: int) -> PriceBook:
    """A book with input at half its rate by night, which ends later with each ``shift``, and with
    10 input tokens free on each day of New York."""
    value = dump(made.model_copy(update={"digest": None}))
    value["windows"] = {"night": night(end_hour=4 + shift % 3)}
    value["allowances"] = [free(10, reset="day", zone="America/New_York")]
    value["multipliers"] = [{"id": "night", "factor": "0.5", "when": {"window": "night"}}]
    return load_price_book(json.dumps(value).encode(), name="book.json")
