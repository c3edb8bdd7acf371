"""What must hold of whatever requests and usage Hypothesis draws from the price book."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_rules.cost.factory import Factory
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.prices.price_book import BooksInForce, PriceBook
from pricing_rules.prices.quote import compile_book
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.rules.policy import Policy
from pricing_rules.testing.assertions import assert_yield_covers_cost
from pricing_rules.testing.strategies import quote_requests, usage_mixes, usage_totals


@given(data=st.data())
def test_a_longer_answer_never_costs_less(candidate: PriceBook, data: st.DataObject) -> None:
    compiled = compile_book(candidate)
    request = data.draw(quote_requests(candidate))
    longer = {**request.units, "output_tokens": request.units.get("output_tokens", 0) + 1}
    more = request.model_copy(update={"units": longer})
    assert compiled.amount(more) >= compiled.amount(request)


@given(data=st.data())
def test_waiting_never_costs_more(candidate: PriceBook, data: st.DataObject) -> None:
    compiled = compile_book(candidate)
    now = data.draw(quote_requests(candidate, service_tiers=("standard", "priority")))
    later = now.model_copy(update={"service_tier": "batch"})
    assert compiled.amount(later) <= compiled.amount(now)


@given(data=st.data())
def test_all_usage_has_a_price(candidate: PriceBook, data: st.DataObject) -> None:
    books = BooksInForce(books=(candidate,))
    totals = data.draw(usage_totals(candidate))
    rating = rate_totals(totals, books=books, grid=grid_for(books, period=None))
    assert rating.unpriced == ()


@settings(max_examples=10)
@given(data=st.data())
def test_whatever_accounts_send_earns_its_cost(
    candidate: PriceBook,
    factory: Factory,
    policy: Policy,
    measurements: Measurements,
    data: st.DataObject,
) -> None:
    mix = data.draw(usage_mixes(candidate))
    assert_yield_covers_cost(
        candidate, factory=factory, policy=policy, measurements=measurements, mixes=(mix,)
    )
