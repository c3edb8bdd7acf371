"""Each layer of a rate, from the worked policy to the amount of one request.

Invariant: every amount is a sum in the test: tokens times the rate per million that the layers
give, in millionths of a dollar.
"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.document import load_json
from pricing_rules.prices.quote import CompiledBook, QuoteRequest, compile_book
from tests.pricing_rules.rules.test_examples import EXAMPLES, derived, policy_of

NOON = "2026-12-01T12:00:00Z"  # a Tuesday, 13:00 in Berlin
NIGHT = "2026-12-01T23:00:00Z"
ASK = {"input_tokens": 1000, "output_tokens": 100}


@pytest.fixture(scope="module")
def layered() -> CompiledBook:
    """The book of ``layered.yaml``: 1 in and 4 out in standard, the rest follows from its rules."""
    return compile_book(derived(policy_of(EXAMPLES / "layered.yaml")))


def quoted(book: CompiledBook, **fields: Any) -> Fraction:
    """The amount of a request in millionths of a dollar: standard, 1,000 in and 100 out, noon."""
    request = {"model": "m", "service_tier": "standard", "at": NOON, "units": ASK, **fields}
    read = load_json(QuoteRequest, json.dumps(request).encode(), name="request")
    return book.amount(read) * 10**6


def test_a_plain_request_meets_the_plain_rates(layered: CompiledBook) -> None:
    assert quoted(layered) == 1000 * 1 + 100 * 4


def test_interactivity(layered: CompiledBook) -> None:
    # priority promises 120 tokens/s: 1 x 2.5 and 4 x 2.5.
    assert quoted(layered, service_tier="priority") == 1000 * Fraction("2.5") + 100 * 10


def test_batch(layered: CompiledBook) -> None:
    # Half of standard: .50 and 2.
    assert quoted(layered, service_tier="batch") == 1000 * Fraction("0.5") + 100 * 2


@pytest.mark.parametrize("cached", [0, 1, 400, 1000])
def test_cached_input(layered: CompiledBook, cached: int) -> None:
    # A cached token is a tenth of a fresh one, and counted among the input.
    units = {**ASK, "cache_read_tokens": cached}
    amount = (1000 - cached) * 1 + cached * Fraction("0.1") + 100 * 4
    assert quoted(layered, units=units) == amount


def test_region(layered: CompiledBook) -> None:
    # 1 x 1.10 and 4 x 1.10 in eu; every other region has the plain rates.
    assert quoted(layered, region="eu") == 1000 * Fraction("1.1") + 100 * Fraction("4.4")
    assert quoted(layered, region="us") == quoted(layered)


@pytest.mark.parametrize(
    "at, share",
    [
        ("2026-12-01T20:59:59.999999Z", "1"),
        ("2026-12-01T21:00:00Z", "0.8"),  # 22:00 in Berlin
        ("2026-12-02T04:59:59.999999Z", "0.8"),
        ("2026-12-02T05:00:00Z", "1"),
        ("2026-12-05T12:00:00Z", "0.8"),  # a Saturday
    ],
)
def test_window(layered: CompiledBook, at: str, share: str) -> None:
    assert quoted(layered, at=at) == 1400 * Fraction(share)


@pytest.mark.parametrize(
    "tokens_in, share", [(8191, "1"), (8192, "1"), (8193, "1.5")], ids=["below", "at", "over"]
)
def test_context(layered: CompiledBook, tokens_in: int, share: str) -> None:
    units = {"input_tokens": tokens_in, "output_tokens": 100}
    assert quoted(layered, units=units) == (tokens_in * 1 + 100 * 4) * Fraction(share)


@pytest.mark.parametrize(
    "tokens_out, amount",
    [
        (10**9 - 1, 4 * (10**9 - 1)),
        (10**9, 4 * 10**9),
        # The first billion at 4, what comes over it at 4 x .90 = 3.60.
        (10**9 + 1, 4 * 10**9 + Fraction("3.6")),
        (12 * 10**8, 4 * 10**9 + 2 * 10**8 * Fraction("3.6")),
    ],
    ids=["below", "at", "over", "far over"],
)
def test_volume(layered: CompiledBook, tokens_out: int, amount: Fraction) -> None:
    assert quoted(layered, units={"output_tokens": tokens_out}) == amount


def test_all_layers_together(layered: CompiledBook) -> None:
    units = {"input_tokens": 10_000, "cache_read_tokens": 4000, "output_tokens": 1000}
    # In and out x 2.5 (priority) x 1.10 (eu) x .80 (night) x 1.50 (over 8,192): 3.30 and 13.20.
    # Cached reads know no window: .25 x 1.10 x 1.50 = .4125, up to a whole cent .42.
    amount = 6000 * Fraction("3.3") + 4000 * Fraction("0.42") + 1000 * Fraction("13.2")
    together = {"service_tier": "priority", "region": "eu", "at": NIGHT, "units": units}
    assert quoted(layered, **together) == amount == 34_680
