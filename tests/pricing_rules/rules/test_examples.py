"""Worked policies that run: each document is derived and its rates are recomputed by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pricing_rules.cost.measurement import Shape
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.period import Period, parse_moment
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.quote import QuoteRequest, compile_book
from pricing_rules.rules.derivation import derive
from pricing_rules.rules.market import Market
from pricing_rules.rules.policy import Policy, load_policy
from pricing_rules.rules.policy_check import policy_findings
from tests.pricing_rules.cost.made_points import made_point, made_setup
from tests.pricing_rules.rules.made_documents import (
    EFFECTIVE_FROM,
    INPUTS,
    card_of,
    entry_of,
    finding_ids,
    made_factory,
    measured,
    rate_of,
)
from tests.pricing_rules.rules.test_market import market, offer

EXAMPLES = Path(__file__).resolve().parent / "examples"
GTC = Path(__file__).resolve().parents[3] / "billing" / "cli" / "demo" / "gtc_2026.yaml"


def policy_of(path: Path) -> Policy:
    return load_policy(path.read_bytes(), name=path.name)


def derived(
    policy: Policy,
    *,
    service_tiers: tuple[str, ...] = ("batch", "standard", "priority", "free"),
    models: tuple[str, ...] = ("m",),
    measurements: Measurements | None = None,
    markets: tuple[Market, ...] = (),
) -> PriceBook:
    return derive(
        made_factory(service_tiers=service_tiers, models=models),
        policy=policy,
        measurements=measurements or measured(),
        number=1,
        effective_from=EFFECTIVE_FROM,
        inputs=INPUTS,
        markets=markets,
    )


@pytest.mark.parametrize("path", [*sorted(EXAMPLES.glob("*.yaml")), GTC], ids=lambda p: p.name)
def test_every_rule_of_an_example_has_an_effect_and_no_match_is_ambiguous(path: Path) -> None:
    assert policy_findings(policy_of(path), effective_from=EFFECTIVE_FROM) == ()


@pytest.fixture(scope="module")
def layered() -> PriceBook:
    return derived(policy_of(EXAMPLES / "layered.yaml"))


@pytest.mark.parametrize(
    "service_tier, unit, when, rate",
    [
        ("standard", "input_tokens", "", "1"),
        ("priority", "input_tokens", "", "2.5"),  # 1 x 2.5
        ("priority", "output_tokens", "", "10"),  # 4 x 2.5
        ("batch", "input_tokens", "", "0.5"),  # 1 x .5
        ("batch", "output_tokens", "", "2"),  # 4 x .5
        ("standard", "cache_read_tokens", "", "0.1"),  # 1 x .1
        ("batch", "cache_read_tokens", "", "0.05"),  # .5 x .1
        ("priority", "input_tokens", "region=eu", "2.75"),  # 2.5 x 1.1
        ("priority", "input_tokens", "window=off-peak", "2"),  # 2.5 x .8
        ("priority", "input_tokens", "request_tokens>8192", "3.75"),  # 2.5 x 1.5
        # 2.5 x 1.1 x .8 x 1.5
        (
            "priority",
            "input_tokens",
            "region=eu and window=off-peak and request_tokens>8192",
            "3.3",
        ),
        ("batch", "output_tokens", "region=eu and request_tokens>8192", "3.3"),  # 2 x 1.1 x 1.5
        ("batch", "cache_read_tokens", "region=eu", "0.06"),  # .055, up to a whole cent
    ],
)
def test_each_layer_multiplies_the_ones_before(
    layered: PriceBook, service_tier: str, unit: str, when: str, rate: str
) -> None:
    found = rate_of(layered, unit, service_tier=service_tier, when=when)
    assert Decimal(found) == Decimal(rate)


def test_volume_is_a_ladder_under_every_condition(layered: PriceBook) -> None:
    def bands(when: str) -> list[str]:
        ladder = entry_of(layered, "output_tokens", when=when).ladder
        assert ladder is not None
        return [str(band.rate.normalize()) for band in ladder.bands]

    assert bands("") == ["4", "3.6"]
    assert bands("window=off-peak") == ["3.2", "2.88"]
    # 4 x 1.1 x .8 x 1.5 = 5.28; x .9 = 4.752, up to 4.76
    assert bands("region=eu and window=off-peak and request_tokens>8192") == ["5.28", "4.76"]


def test_night_work_and_cached_reads_know_no_window(layered: PriceBook) -> None:
    named = {
        (card.service_tier, entry.unit)
        for card in layered.rate_cards
        for entry in card.rates
        if entry.when.window is not None
    }
    assert named == {
        (service_tier, unit)
        for service_tier in ("standard", "priority")
        for unit in ("input_tokens", "output_tokens")
    }
    assert list(layered.windows) == ["off-peak"]


def test_a_request_meets_the_one_rate_that_names_all_of_it(layered: PriceBook) -> None:
    def chosen(*, region: str, size_tokens: int, windows: tuple[str, ...]) -> str:
        found = card_of(layered, service_tier="priority").rates_for(
            region=region, size_tokens=size_tokens, dimensions={}, windows=windows
        )
        return str(found["input_tokens"].rate)

    assert chosen(region="us", size_tokens=8192, windows=()) == "2.5"
    assert chosen(region="us", size_tokens=8193, windows=()) == "3.75"
    assert chosen(region="eu", size_tokens=8192, windows=("off-peak",)) == "2.2"
    # A night in Berlin: 21:00 UTC in winter is 22:00, and the window has begun.
    night = layered.windows["off-peak"].periods(
        Period(
            start_at=parse_moment("2026-12-01T12:00:00Z"),
            end_at=parse_moment("2026-12-02T12:00:00Z"),
        )
    )
    assert [(one.start_at, one.end_at) for one in night] == [
        (parse_moment("2026-12-01T21:00:00Z"), parse_moment("2026-12-02T05:00:00Z"))
    ]


@pytest.mark.parametrize(
    "at, input_tokens, amount",
    [
        # By day, at the step and over it: 2.5 and 3.75 per million, 10 and 15 for output.
        ("2026-12-02T12:00:00Z", 8192, "8192 x 2.5 + 1000 x 10"),
        ("2026-12-02T12:00:00Z", 8193, "8193 x 3.75 + 1000 x 15"),
        # 22:00 in Berlin is 21:00 UTC: a microsecond before, and the start itself.
        ("2026-12-01T20:59:59.999999Z", 8192, "8192 x 2.5 + 1000 x 10"),
        ("2026-12-01T21:00:00Z", 8192, "8192 x 2 + 1000 x 8"),
        ("2026-12-02T05:00:00Z", 8192, "8192 x 2.5 + 1000 x 10"),
    ],
)
def test_a_derived_window_is_quoted_at_its_moments(
    layered: PriceBook, at: str, input_tokens: int, amount: str
) -> None:
    request = QuoteRequest.model_validate(
        {
            "model": "m",
            "service_tier": "priority",
            "at": at,
            "units": {"input_tokens": input_tokens, "output_tokens": 1000},
        }
    )
    sums = [Fraction(n) * Fraction(rate) for n, rate in (
        term.split(" x ") for term in amount.split(" + ")
    )]  # fmt: skip
    assert compile_book(layered).amount(request) == sum(sums) / 10**6


def test_the_layers_keep_every_guard_rail_and_every_floor(layered: PriceBook) -> None:
    kinds = {one.kind for one in layered.findings}
    # Where a price point or a discount goes under a floor, it is told; here none does.
    assert kinds & {
        "under_floor", "service_tier_order", "service_tier_spread", "cached_over_input",
        "ambiguous_match", "unreachable_rule", "unequal_rate", "floor_clash",
    } == set()  # fmt: skip
    assert layered.notice_days_at_least == 14


def test_an_anchored_policy_follows_the_market_down_to_its_floor() -> None:
    offers = [offer("4", "a"), offer("5", "b"), offer("0.10", "a", unit="input_tokens")]
    found = market(*[{**one, "model": "vendor/m"} for one in offers])
    book = derived(policy_of(EXAMPLES / "anchored.yaml"), markets=(found,))
    assert rate_of(book, "output_tokens") == "3.8"  # 4 x .95
    # The floor of input is .109126984: the market's .10 is under it, so 1.02 x the floor.
    steps = entry_of(book, "input_tokens").steps
    assert [str(step.after) for step in steps[1:]] == ["0.1", "0.11130952368", "0.11131"]
    # In free, where no rule names a floor, all three are covered by the subsidy of Dana.
    assert finding_ids(book, kind="under_floor") == []
    assert finding_ids(book, kind="subsidised") == [
        "subsidised:m/free/cache_read_tokens", "subsidised:m/free/input_tokens",
        "subsidised:m/free/measured", "subsidised:m/free/output_tokens",
    ]  # fmt: skip
    assert finding_ids(book, kind="yield") == []


# The five service tiers of the keynote.

RATES = {"free": "0", "medium": "3", "high": "6", "premium": "45", "ultra": "150"}

PROMISES = {"free": 50, "medium": 100, "high": 200, "premium": 400, "ultra": 1000}

SHOWN = {
    "free": "Qwen3-235B",
    "medium": "Kimi-K2.5",
    "high": "GPT-MoE-2T",
    "premium": "GPT-MoE-2T",
    "ultra": "GPT-MoE-2T",
}

SECONDS_PER_YEAR = 31_536_000

RUBIN = {"free": "1.65", "medium": "1.60", "high": "0.70", "premium": "0.20"}
B300 = {"free": "0.70", "medium": "0.60", "high": "0.15", "premium": "0.07"}
"""Million output tokens/s per MW at 50, 100, 200 and 400 tokens/s per user, read off a chart."""


@pytest.fixture(scope="module")
def keynote() -> PriceBook:
    """The policy over made-up points that keep its promises: what is tested are its rates."""
    points = [
        made_point(
            promise,
            output=100_000 * share / promise,
            setup=replace(made_setup(model=model), precision="fp4"),
            shape=Shape(input_tokens=size, output_tokens=1000),
            concurrency=2000 // promise,
        )
        for model in sorted(set(SHOWN.values()))
        for promise in PROMISES.values()
        for size, share in ((1000, 1.0), (8000, 0.45))
    ]
    return _keynote_book(points)


def _keynote_book(points: list[Any]) -> PriceBook:
    factory = made_factory()
    pools = tuple(
        factory.pools[0].model_copy(
            update={"name": name, "models": (SHOWN[name],), "service_tiers": (name,)}
        )
        for name in RATES
    )
    return derive(
        factory.model_copy(update={"pools": pools}),
        policy=policy_of(GTC),
        measurements=measured(points),
        number=1,
        effective_from=EFFECTIVE_FROM,
        inputs=INPUTS,
    )


def test_the_five_service_tiers_have_the_rates_and_promises_of_the_keynote(
    keynote: PriceBook,
) -> None:
    assert {
        card.service_tier: (
            card.model,
            str(next(one.rate for one in card.rates if one.unit == "output_tokens")),
        )
        for card in keynote.rate_cards
    } == {name: (SHOWN[name], rate) for name, rate in RATES.items()}
    promises = {one.name: one.interactivity_tokens_per_s for one in policy_of(GTC).service_tiers}
    assert promises == PROMISES


def test_the_free_service_tier_is_a_subsidy_with_an_owner_and_an_end(keynote: PriceBook) -> None:
    subsidised = [one for one in keynote.findings if one.kind == "subsidised"]
    assert [one.id for one in subsidised] == [
        f"subsidised:Qwen3-235B/free/{unit}"
        for unit in ("cache_read_tokens", "input_tokens", "measured", "output_tokens")
    ]
    assert all("2000000000 USD a year until 2027-03-16" in one.sentence for one in subsidised)
    assert finding_ids(keynote, kind="under_floor") == []
    assert finding_ids(keynote, kind="service_tier_order") == []


def _revenue_usd(book: PriceBook, *, mtok_per_s_per_mw: dict[str, str]) -> Fraction:
    """A year of a 1 GW site, 250 MW for each of four service tiers, output tokens alone."""
    total = Fraction(0)
    for card in book.rate_cards:
        if card.service_tier in mtok_per_s_per_mw:
            rate = next(one.rate for one in card.rates if one.unit == "output_tokens")
            mtok_per_s = 250 * Fraction(mtok_per_s_per_mw[card.service_tier])
            total += Fraction(rate or 0) * mtok_per_s * SECONDS_PER_YEAR
    return total


def test_a_gigawatt_of_rubin_earns_what_was_claimed_but_for_five_percent(
    keynote: PriceBook,
) -> None:
    # 250 MW x (0 x 1.65 + 3 x 1.60 + 6 x .70 + 45 x .20 = 18) x 31,536,000 s = 141.912 billion
    earned = _revenue_usd(keynote, mtok_per_s_per_mw=RUBIN)
    assert earned == 141_912_000_000
    claimed = 150 * 10**9
    assert earned / claimed - 1 == Fraction("-0.05392")


def test_a_gigawatt_of_blackwell_earns_half_more_than_was_claimed_so_a_point_is_suspect(
    keynote: PriceBook,
) -> None:
    # 250 MW x (3 x .60 + 6 x .15 + 45 x .07 = 5.85) x 31,536,000 s = 46.1214 billion, not 30
    earned = _revenue_usd(keynote, mtok_per_s_per_mw=B300)
    assert earned == 46_121_400_000
    # At the claim, premium would have (30e9 / 250 / 31,536,000 - 2.7) / 45 = .0246 for its .07.
    implied = (Fraction(30 * 10**9, 250 * SECONDS_PER_YEAR) - Fraction("2.7")) / 45
    assert Fraction("0.0245") < implied < Fraction("0.0246")
    assert implied < Fraction(B300["premium"]) / 2
