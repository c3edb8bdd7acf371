"""A mix is rated where its sums say enough, and refused with a reason where they do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.period import parse_moment
from pricing_rules.planning.backtest import Backtest, backtest, backtest_grid, billing_months
from pricing_rules.planning.mix_totals import mix_totals, mixes_span
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.usage.mix import UsageMix
from tests.pricing_rules.planning.made_backtests import (
    MTOK,
    books,
    costed_card,
    revenue,
    run_backtest,
    used,
)
from tests.pricing_rules.prices.made_books import book_json, in_force, read_book

PLAIN = books(costed_card({"input_tokens": "2", "requests": {"rate": "1", "per": 1}}))


def mix(
    start: str = "2026-10-01",
    end: str = "2026-11-01",
    *,
    leaves: Mapping[str, int] | None = None,
    events: int = 4,
) -> UsageMix:
    """4 events of acme, 3M input tokens together."""
    counts = leaves or {"input_tokens": 3 * MTOK}
    return UsageMix.model_validate(
        {
            "schema": "tokenworks.usage-mix/1",
            "start_at": f"{start}T00:00:00Z",
            "end_at": f"{end}T00:00:00Z",
            "entries": (
                {
                    "account": "acme",
                    "model": "m",
                    "service_tier": "standard",
                    "events": events,
                    "leaves": counts,
                    "shapes": (
                        {
                            "events": events,
                            "input_tokens": counts.get("input_tokens", 0),
                            "cache_read_tokens": 0,
                            "output_tokens": counts.get("output_tokens", 0),
                        },
                    ),
                    "events_by_hour_of_week": (events, *[0] * 167),
                },
            ),
        }
    )


def rate_mixes(*mixes: UsageMix, after: BooksInForce, before: BooksInForce = PLAIN) -> Backtest:
    months = billing_months(mixes_span(mixes))
    grid = backtest_grid(after, before=before, months=months)
    totals = mix_totals(mixes, sides=(before, after), months=months, grid=grid)
    return backtest(totals, after=after, before=before, months=months)


def refused(*mixes: UsageMix, after: BooksInForce) -> str:
    with pytest.raises(DocumentError) as found:
        rate_mixes(*mixes, after=after)
    return str(found.value)


def test_a_mix_is_charged_as_its_events_are() -> None:
    # 3M at 2 and 4 requests at 1 are 10; at 3 and without a fee they are 9.
    after = books(costed_card({"input_tokens": "3"}), number=2)
    found = rate_mixes(mix(), after=after)
    assert revenue(found) == (10, 9)
    events = [used({"input_tokens": 3 * MTOK}, events=4)]
    assert found.total == run_backtest(events, after=after, before=PLAIN).total


def test_a_ladder_counts_a_mix_of_one_month() -> None:
    ladder = {
        "id": "l",
        "kind": "graduated",
        "bands": [{"up_to": "2000000", "rate": "5"}, {"rate": "1"}],
    }
    after = books(costed_card({"input_tokens": {"ladder": ladder}}), number=2)
    assert revenue(rate_mixes(mix(), after=after))[1] == 11  # 2 * 5 + 1 * 1
    # Two months in two mixes: twice that.
    both = rate_mixes(mix(), mix("2026-11-01", "2026-12-01"), after=after)
    assert revenue(both)[1] == 22
    said = refused(mix("2026-10-20", "2026-11-20"), after=after)
    assert said == (
        "usage mix: a month begins inside of it, at 2026-11-01T00:00:00Z, and book 2 has ladders "
        "or allowances that start anew; give the events instead (--usage)"
    )


def test_plain_rates_do_not_mind_a_month_inside_of_a_mix() -> None:
    assert revenue(rate_mixes(mix("2026-10-20", "2026-11-20"), after=PLAIN)) == (10, 10)


def test_an_allowance_minds_it() -> None:
    allowance = {"id": "a", "units": ["input_tokens"], "quantity": MTOK}
    after = books(costed_card({"input_tokens": "2"}), number=2, allowances=[allowance])
    assert revenue(rate_mixes(mix(), after=after))[1] == 4
    assert "has ladders or allowances" in refused(mix("2026-10-20", "2026-11-20"), after=after)


@pytest.mark.parametrize(
    "reset, zone, start, end, begins",
    [
        # A mix tells nothing of its days: 1M free on each of 31 would be free once.
        ("day", "UTC", "2026-10-01", "2026-11-01", "day of UTC begins inside of it, at 2026-10-02"),
        ("day", "UTC", "2026-10-01", "2026-10-02", None),
        ("month", "UTC", "2026-10-01", "2026-11-01", None),
        ("month", "Asia/Tokyo", "2026-10-01", "2026-11-01", "at 2026-10-31T15:00:00Z"),
        ("month", "Asia/Tokyo", "2026-10-01", "2026-10-31", None),
    ],
)
def test_a_day_or_month_of_an_allowance_inside_of_a_mix_is_refused(
    reset: str, zone: str, start: str, end: str, begins: str | None
) -> None:
    free = {"id": "a", "units": ["input_tokens"], "quantity": MTOK, "reset": reset, "zone": zone}
    after = books(costed_card({"input_tokens": "2"}), number=2, allowances=[free])
    if begins is None:
        assert revenue(rate_mixes(mix(start, end), after=after))[1] == 4  # 1M of 3M is free
    else:
        said = refused(mix(start, end), after=after)
        assert begins in said
        assert "the allowance a of book 2 starts anew; give the events instead" in said


def test_an_allowance_of_what_a_mix_does_not_hold_does_no_harm() -> None:
    card = costed_card({"input_tokens": "2", "web_searches": {"rate": "10", "per": 1000}})
    other = {"id": "n", "units": ["input_tokens"], "quantity": 1, "reset": "day", "models": ["n"]}
    tools = {"id": "t", "units": ["web_searches"], "quantity": 1, "reset": "day"}
    second = costed_card({"input_tokens": "2"}, model="n")
    both = books(card, second, number=2, allowances=[other, tools])
    assert revenue(rate_mixes(mix(), after=both))[1] == 6
    fee = {"id": "f", "units": ["requests"], "quantity": 1, "reset": "day"}
    rates: dict[str, Any] = {"input_tokens": "2", "requests": {"rate": "1", "per": 1}}
    after = books(costed_card(rates), number=2, allowances=[fee])
    assert "the allowance f of book 2 starts anew" in refused(mix(), after=after)


@pytest.mark.parametrize(
    "when, said",
    [
        ({"region": "eu"}, "region=eu"),
        ({"request_tokens_over": 100}, "request_tokens>100"),
    ],
)
def test_a_rate_that_depends_on_what_a_mix_lacks_is_refused(
    when: Mapping[str, Any], said: str
) -> None:
    conditional = {"rate": "9", "when": when}
    rates: dict[str, Any] = {"input_tokens": "2", "input_tokens when": conditional}
    after = books(costed_card(rates), number=2)
    assert refused(mix(), after=after) == (
        f"usage mix: book 2 has a rate for {said}, and a mix does not say how much that is; give "
        "the events instead (--usage)"
    )
    # On the card of a model that the mix does not name it does no harm.
    other = books(costed_card({"input_tokens": "2"}), costed_card(rates, model="n"), number=2)
    assert revenue(rate_mixes(mix(), after=other))[1] == 6


def test_multipliers_hold_for_all_usage_or_are_refused() -> None:
    card = costed_card({"input_tokens": "2"})
    always = {"id": "x", "factor": "1.5", "when": {}}
    assert revenue(rate_mixes(mix(), after=books(card, number=2, multipliers=[always])))[1] == 9
    regional = {"id": "x", "factor": "1.5", "when": {"region": "eu"}}
    said = refused(mix(), after=books(card, number=2, multipliers=[regional]))
    assert "book 2 has a rate for region=eu" in said


@pytest.mark.parametrize(
    "starts, is_refused", [("2026-10-20", False), ("2026-10-21", True), ("2026-10-25", False)]
)
def test_a_price_change_inside_of_a_mix_is_refused(starts: str, is_refused: bool) -> None:
    first = read_book(book_json([costed_card({"input_tokens": "1"})], number=1))
    second = read_book(
        book_json(
            [costed_card({"input_tokens": "3"})], number=2, effective_from=f"{starts}T00:00:00Z"
        )
    )
    series = in_force(first, second)
    if is_refused:
        said = refused(mix("2026-10-20", "2026-10-25"), after=series)
        assert "book 2 takes effect inside of it, at 2026-10-21T00:00:00Z" in said
    else:
        rate = 3 if starts == "2026-10-20" else 1
        assert revenue(rate_mixes(mix("2026-10-20", "2026-10-25"), after=series))[1] == 3 * rate


def test_mixes_that_share_a_moment_are_refused() -> None:
    touching = [mix("2026-11-01", "2026-12-01"), mix()]
    assert mixes_span(touching).start_at == parse_moment("2026-10-01T00:00:00Z")
    with pytest.raises(DocumentError, match="their usage would count twice"):
        mixes_span([mix(), mix("2026-10-31", "2026-12-01")])


def test_usage_of_a_model_without_a_card_is_unpriced() -> None:
    found = rate_mixes(mix(), after=books(costed_card({"input_tokens": "1"}, model="n"), number=2))
    assert [one.unit for one in found.after.unpriced] == ["input_tokens"]
