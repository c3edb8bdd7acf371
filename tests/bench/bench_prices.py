"""How long a quote and a rating take, the quote beside genai-prices on the same request.

Invariant: both sides of a ratio price the same counts at the same rates in the same run, and their
amounts are compared before anything is measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
from genai_prices import Usage, calc_price

from pricing_rules.document import load_json
from pricing_rules.money import decimal_text
from pricing_rules.period import parse_moment
from pricing_rules.prices.columnar import compile_rungs
from pricing_rules.prices.ladder import Ladder
from pricing_rules.prices.price_book import BooksInForce, PriceBook, load_price_book
from pricing_rules.prices.quote import compile_book
from pricing_rules.prices.quote_lines import quote_line
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.usage.totals import Cell, UsageTotal
from tests.bench.timing import measure

MODEL, PROVIDER, AT = "gpt-4o", "openai", datetime(2026, 11, 1, tzinfo=UTC)
COUNTS = {"input_tokens": 1200, "cache_read_tokens": 1000, "output_tokens": 300}
CALLS = 20_000
LINES = 200_000
CELLS = 20_000
CHARGES = 5_000_000


def run() -> Iterator[dict[str, object]]:
    """The figures: quotes, quotes of JSON lines, rated totals, and a column of ladder charges.

    A quote is an integer at the book's scale; the peer's is a Decimal.
    """
    usage = Usage(**COUNTS)
    theirs = calc_price(usage, model_ref=MODEL, provider_id=PROVIDER, genai_request_timestamp=AT)
    book = _book(
        {
            "input_tokens": theirs.model_price.input_mtok,
            "cache_read_tokens": theirs.model_price.cache_read_mtok,
            "output_tokens": theirs.model_price.output_mtok,
        }
    )
    compiled = compile_book(book)
    card = compiled.card(model=MODEL, service_tier="standard", size_tokens=1200)
    if card.amount(COUNTS) != Fraction(theirs.total_price):
        raise AssertionError(f"{card.amount_text(COUNTS)} is not {theirs.total_price}")

    def resolved() -> None:
        card.amount_scaled(COUNTS)

    def with_resolution() -> None:
        found = compiled.card(model=MODEL, service_tier="standard", size_tokens=1200)
        found.amount_scaled(COUNTS)

    def peer() -> None:
        calc_price(usage, model_ref=MODEL, provider_id=PROVIDER, genai_request_timestamp=AT)

    yield _figure("quote_on_a_resolved_card", _each(resolved, calls=CALLS) * 1e9, unit="ns")
    yield {
        **_figure("quote_with_resolution", _each(with_resolution, calls=CALLS) * 1e9, unit="ns"),
        "peer": "genai-prices calc_price",
        "peer_value": _each(peer, calls=2_000) * 1e9,
    }
    yield from _lines_per_s(book)
    yield from _rated_per_s(book)
    yield from _charges_per_s()


def _each(call: Callable[[], None], *, calls: int) -> float:
    """Seconds of one call."""

    def repeated() -> None:
        for _ in range(calls):
            call()

    return measure(repeated, repeat=5) / calls


def _figure(metric: str, value: float, *, unit: str) -> dict[str, object]:
    return {"metric": metric, "value": value, "unit": unit}


def _lines_per_s(book: PriceBook) -> Iterator[dict[str, object]]:
    compiled = compile_book(book)
    short = {"model": MODEL, "service_tier": "standard", "units": COUNTS}
    full = {
        **short,
        "region": "eu-west-1",
        "at": "2026-11-01T12:00:00.123456Z",
        "dimensions": {"project": "search"},
        "request_tokens": 1200,
    }
    for metric, value in (("quote_lines", short), ("quote_lines_with_every_field", full)):
        line = json.dumps(value).encode()

        def all_lines(line: bytes = line) -> None:
            for _ in range(LINES):
                quote_line(compiled, line=line)

        yield _figure(metric, LINES / measure(all_lines, repeat=3), unit="lines/s")


def _rated_per_s(book: PriceBook) -> Iterator[dict[str, object]]:
    books = BooksInForce(books=(book,))
    grid = grid_for(books, period=None)
    totals = [
        UsageTotal(
            cell=Cell(
                account=f"account-{i % 5000}",
                epoch=0,
                segment_start_at=grid.segment_start_at(parse_moment("2026-11-01T00:00:00Z")),
                model=MODEL,
                service_tier="standard",
                region=f"region-{i // 5000}",
                size_class_tokens=0,
                outcome="completed",
                dimensions=(),
            ),
            events=10,
            leaves=COUNTS,
        )
        for i in range(CELLS)
    ]
    seconds = measure(lambda: rate_totals(totals, books=books, grid=grid), repeat=3)
    yield _figure("rated_counts", CELLS * len(COUNTS) / seconds, unit="counts/s")


def _charges_per_s() -> Iterator[dict[str, object]]:
    bands = [
        {"up_to": 10**7, "rate": "2"},
        {"up_to": 10**8, "rate": "1.8"},
        {"rate": "1.5"},
    ]
    value = {"id": "in", "kind": "graduated", "bands": bands}
    ladder = load_json(Ladder, json.dumps(value).encode(), name="ladder")
    compiled = compile_rungs(ladder.rungs(per=10**6), scale=1)
    quantities = np.random.default_rng(1).integers(0, 2 * 10**8, CHARGES, dtype=np.int64)
    seconds = measure(lambda: compiled.costs(quantities), repeat=3)
    yield _figure("column_of_graduated_charges", CHARGES / seconds, unit="charges/s")


def _book(rates: dict[str, object]) -> PriceBook:
    value = {
        "schema": "tokenworks.price-book/1",
        "series": "public",
        "number": 1,
        "currency": "USD",
        "effective_from": "2026-10-01T00:00:00Z",
        "rate_cards": [
            {
                "model": MODEL,
                "service_tier": "standard",
                "rates": [
                    {"unit": unit, "rate": decimal_text(rate)}  # type: ignore[arg-type]
                    for unit, rate in rates.items()
                ],
            }
        ],
    }
    return load_price_book(json.dumps(value).encode(), name="book.json")
