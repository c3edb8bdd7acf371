"""Whatever JSON a file holds, an import gives a book, a refusal by name, or one sentence.

Invariant: no file of another format raises anything but DocumentError.
"""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.interchange.csv_cards import COLUMNS, import_csv
from pricing_rules.interchange.genai_data import PRICE_KEYS
from pricing_rules.interchange.genai_prices import import_genai_prices
from pricing_rules.interchange.litellm import import_litellm
from pricing_rules.interchange.litellm_tokens import FIXED, MAIN
from pricing_rules.interchange.openrouter import PRICES, import_openrouter
from tests.pricing_rules.interchange.made_imports import HEAD

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**13)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "1", "0.000001", "-1", "1e-6", "1e99", "00:00-24:00", "2026-02-30", "x"])
)
KEYS = st.sampled_from(
    [
        *MAIN.values(), *FIXED.values(), *PRICES, *list(PRICE_KEYS)[:6],
        "input_cost_per_token_above_200k_tokens", "input_cost_per_token_flex", "litellm_provider",
        "mode", "tiered_pricing", "off_peak_pricing", "range", "hours_utc", "windows", "weekdays",
        "weekday_timezone", "provider_specific_entry", "us", "fast", "search_free_requests",
        "count", "period", "shared_group", "search_context_cost_per_query",
        "search_context_size_low", "guardrail_cost_per_unit", "supported_output_modalities",
        "output_cost_per_image", "input_cost_per_second", "input_cost_per_query", "prices", "base",
        "tiers", "start", "price", "constraint", "start_date", "start_time", "end_time",
        "price_variants", "when", "processing", "overrides", "min_prompt_tokens", "utc_start",
        "utc_end", "utc_days", "discount",
    ]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
ENTRIES = st.dictionaries(KEYS, VALUES, max_size=6)


@given(fields=ENTRIES | VALUES)
def test_any_entry_of_a_litellm_map(fields: object) -> None:
    found = import_litellm(json.dumps({"m": fields}).encode(), name="m", head=HEAD)
    assert len(found.refused) + len(found.without_price) == int(found.book is None)


@given(fields=ENTRIES)
def test_any_model_of_genai_prices(fields: dict[str, object]) -> None:
    data = json.dumps([{"id": "p", "models": [{**fields, "id": "m"}]}]).encode()
    found = import_genai_prices(data, name="m", head=HEAD)
    assert len(found.refused) + len(found.without_price) == int(found.book is None)


@given(pricing=ENTRIES | VALUES)
def test_any_pricing_of_openrouter(pricing: object) -> None:
    data = json.dumps({"data": [{"id": "m", "pricing": pricing}]}).encode()
    found = import_openrouter(data, name="m", head=HEAD)
    assert len(found.refused) + len(found.without_price) == int(found.book is None)


@given(
    lines=st.lists(
        st.lists(
            st.sampled_from(["", "m", "USD", "1", "1.5", "input_tokens", "a=b", "=x", "\x00"]),
            min_size=9,
            max_size=10,
        )
    ),
    noise=st.binary(max_size=20),
)
def test_any_rate_cards(lines: list[list[str]], noise: bytes) -> None:
    text = "\r\n".join(",".join(cells) for cells in [list(COLUMNS), *lines])
    for data in (text.encode(), text.encode() + noise, noise):
        with contextlib.suppress(DocumentError):
            import_csv(data, name="m", head=HEAD)
