"""Four segments by command: one policy, from measured hardware to tasks and invoices.

Invariant: every sum is done by hand from the rates that the policy sets, and the floors are those
of the measurements, so that a discount is refused or accepted for what the hardware costs.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from tests.house.tree import REPOSITORY
from tests.journeys.made_files import Json, Ran, event, tokenworks, write_events

SEGMENTS = REPOSITORY / "tests" / "examples" / "segments"

NOVEMBER = "2026-11-25T00:00:00Z"

SIGNED = {
    "not_served:*": "each segment has its own pool",
    "precision:*": "clinical serves nothing under fp8",
    "overcharge:*": "the cover is on the safe side",
    "refused_rows:*": "known",
    "flagged:*": "known",
}

M = 1_000_000


@pytest.fixture(scope="module")
def published(measured: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book of the segments, derived from the sample and the made-up p95, and published."""
    folder = tmp_path_factory.mktemp("segments")
    derived = tokenworks(
        *("price", "derive", "--factory", SEGMENTS / "factory.yaml"),
        *("--policy", SEGMENTS / "policy.yaml", "--measurements", "aiconfigurator"),
        *("--measurements", SEGMENTS / "finance-p95.jsonl", "--number", "1"),
        *("--effective-from", "2026-12-01T00:00:00Z", "--out", folder / "candidate.json"),
    )
    assert derived.code == 0, derived.err
    signed = [f"--sign-off={pattern}={reason}" for pattern, reason in SIGNED.items()]
    ran = tokenworks(
        *("price", "publish", folder / "candidate.json", "--published-at", NOVEMBER),
        *("--by", "dana", "--out", folder / "book.json"),
        *signed,
    )
    assert ran.code == 0, ran.err
    return folder / "book.json"


def _quoted(book: Path, request: Json) -> str:
    ran = tokenworks("quote", "--price-book", book, stdin=json.dumps(request).encode() + b"\n")
    assert ran.code == 0, ran.text
    return str(ran.json["amount"])


def _task(book: Path, segment: str) -> Json:
    ran = tokenworks(
        *("price", "task", SEGMENTS / f"{segment}-task.yaml", "--price-book", book),
        *("--agreement", SEGMENTS / f"{segment}.yaml", "--format", "json"),
    )
    assert ran.code == 0, ran.err
    return ran.json


def _preview(
    book: Path, segment: str, folder: Path, *, events: list[Json], period: str = "2026-12"
) -> Json:
    starts = {"2026-12": "2026-12-01/2027-01-01", "2027-01": "2027-01-01/2027-02-01"}
    ran = tokenworks(
        *("invoice", "preview", "--agreement", SEGMENTS / f"{segment}.yaml", "--price-book", book),
        *("--usage", write_events(folder, events, form="jsonl"), "--period", starts[period]),
        *("--format", "json"),
    )
    assert ran.code == 0, ran.err
    return ran.json


def _used(account: str, *used: tuple[str, Json]) -> list[Json]:
    """Events of an account: a moment, and the fields that differ; a million in and out each."""
    return [
        event(
            number,
            fields.pop("units", {"input_tokens": M, "output_tokens": M}),
            account=account,
            time=time,
            **fields,
        )
        for number, (time, fields) in enumerate(used, start=1)
    ]


TRADING = {"model": "gpt-oss-120b", "service_tier": "trading", "region": "us-east"}
CLINICAL = {"model": "Llama-3.1-70B", "service_tier": "clinical", "region": "us-east"}
NIGHTLY = {"model": "gpt-oss-120b", "service_tier": "night-batch", "region": "eu-central"}
FLEET = {"model": "gpt-oss-120b", "service_tier": "fleet", "region": "us-central"}


def test_the_policy_of_the_segments_has_no_rule_without_an_effect() -> None:
    ran = tokenworks("price", "check", SEGMENTS / "policy.yaml")
    assert ran.code == 0, ran.text


def test_each_segment_is_a_card_with_its_own_promise_and_floor(published: Path) -> None:
    book = json.loads(published.read_bytes())
    cards = {card["service_tier"]: card for card in book["rate_cards"]}
    assert {name: card["model"] for name, card in cards.items()} == {
        "night-batch": "gpt-oss-120b",
        "clinical": "Llama-3.1-70B",
        "fleet": "gpt-oss-120b",
        "trading": "gpt-oss-120b",
    }
    promises = {name: card["cost"]["promise"] for name, card in cards.items()}
    assert "120 output tokens/s per user, TTFT at most 400 ms (p95)" in promises["trading"]
    # One model, three promises: the faster and the emptier its pool, the higher its floor.
    floors = {
        name: Fraction(
            next(f["floor"] for f in card["cost"]["floors"] if f["unit"] == "output_tokens")
        )
        for name, card in cards.items()
    }
    assert floors["night-batch"] < floors["fleet"] < floors["trading"]
    # Nothing under fp8 is sold to clinics, and no rate lies under its floor.
    assert [f["id"] for f in book["findings"] if f["kind"] == "precision"] == [
        "precision:gpt-oss-120b/clinical"
    ]
    assert not [f for f in book["findings"] if f["kind"] in ("under_floor", "yield")]


def test_the_p95_promise_of_trading_counts_measurements_at_p95_alone(
    measured: None, tmp_path: Path
) -> None:
    # The sample has means only: without the file of p95 there is no card to sell.
    ran = tokenworks(
        *("price", "derive", "--factory", SEGMENTS / "factory.yaml"),
        *("--policy", SEGMENTS / "policy.yaml", "--measurements", "aiconfigurator"),
        *("--number", "1", "--effective-from", "2026-12-01T00:00:00Z"),
        *("--out", tmp_path / "candidate.json", "--format", "json"),
    )
    assert "trading" not in {card["service_tier"] for card in ran.json["rate_cards"]}
    found = [f["sentence"] for f in ran.json["findings"] if f["id"].endswith("120b/trading")]
    assert found[0].endswith("no measurement of it in fp4 with p95 figures")


# Finance.


@pytest.mark.parametrize(
    "at, amount",
    [
        # .20 + .90 beside market hours, x 1.25 in them: from 09:30 on, until 16:00 in New York.
        ("2026-12-01T14:29:59.999999Z", "1.1"),
        ("2026-12-01T14:30:00Z", "1.375"),
        ("2026-12-01T20:59:59.999999Z", "1.375"),
        ("2026-12-01T21:00:00Z", "1.1"),
        ("2026-12-25T15:00:00Z", "1.1"),  # a holiday of the exchange
    ],
)
def test_finance_pays_more_while_the_exchange_is_open(
    published: Path, at: str, amount: str
) -> None:
    units = {"input_tokens": M, "output_tokens": M}
    assert _quoted(published, {**TRADING, "at": at, "units": units}) == amount


def test_a_research_note_has_a_price_a_floor_and_a_margin(published: Path) -> None:
    found = _task(published, "finance")
    # read: 2,000 at .25 + 6,000 cached at .025 + 400 at 1.125 = 1,100 millionths, less 5 %.
    # check-position: 4 x (1,000 at .25 + 100 at 1.125) = 1,450 millionths, less 5 %.
    assert [(one["id"], one["amounts"]["amount"]) for one in found["requests"]] == [
        ("read", "0.001045"),
        ("check-position", "0.0013775"),
    ]
    amounts = found["amounts"]
    assert (amounts["list_amount"], amounts["discount_amount"]) == ("0.00255", "0.0001275")
    assert amounts["amount"] == "0.0024225"
    price, floor, cost = (
        Fraction(amounts[name]) for name in ("amount", "floor_amount", "cost_amount")
    )
    # At its floor a rate keeps the minimum margin of 30 % and the 3 % of card payments; the floors
    # of the book have nine digits, so that the sums meet in the sixth.
    assert abs(cost / (1 - Fraction("0.33")) / floor - 1) < Fraction(1, 10**6)
    assert cost < floor < price
    assert found["findings"] == []


def test_finance_is_invoiced_less_five_percent(published: Path, tmp_path: Path) -> None:
    events = _used(
        "harbor-capital",
        ("2026-12-01T15:00:00Z", {**TRADING}),
        ("2026-12-01T22:00:00Z", {**TRADING}),
    )
    invoice = _preview(published, "finance", tmp_path, events=events)
    # .25 + 1.125 in market hours, .20 + .90 after them: 2.475 less 5 % = 2.35125.
    assert (invoice["usage_minor"], invoice["discount_minor"]) == (247, -12)
    assert invoice["total_minor"] == 235
    assert invoice["findings"] == []


# Healthcare.


def test_a_letter_of_discharge_keeps_no_prompt(published: Path) -> None:
    found = _task(published, "healthcare")
    # us-east and no prompt kept: .29 x 1.05 x 1.10 = .33495 in, .50 x 1.05 x 1.10 = .5775 out.
    # summarise: 3 x (4,000 at .33495 + 500 at .5775 less 25 %) = 4,019.4 + 649.6875 millionths;
    # letter: 2,000 at .33495 + 1,000 at .5775 less 25 % = 669.9 + 433.125 millionths.
    assert [(one["id"], one["amounts"]["amount"]) for one in found["requests"]] == [
        ("summarise", "0.0046690875"),
        ("letter", "0.001103025"),
    ]
    assert found["amounts"]["amount"] == "0.0057721125"


def test_healthcare_served_in_another_region_is_billed_there_and_found(
    published: Path, tmp_path: Path
) -> None:
    events = _used(
        "st-anna-clinics",
        ("2026-12-07T16:00:00Z", {**CLINICAL, "dimensions": {"prompt_retention": "none"}}),
        ("2026-12-07T16:00:00Z", {**CLINICAL}),
        ("2026-12-07T16:00:00Z", {**CLINICAL, "region": "eu-central"}),
    )
    invoice = _preview(published, "healthcare", tmp_path, events=events)
    # in: .33495 + .3045 + .29 = .92945; out: .5775 + .525 + .50 = 1.6025, less 25 % of it.
    # .92945 + 1.201875 = 2.131325
    assert invoice["total_minor"] == 213
    assert (
        "1 events of st-anna-clinics were served in clinical in eu-central, and its agreement has "
        "them served in clinical in us-east"
    ) in invoice["findings"]


# Manufacturing.


def test_a_part_is_described_at_night(published: Path) -> None:
    found = _task(published, "manufacturing")
    # 20 x (500 at .016 less 4 % + 500 cached at .0016 + 200 at .12): 153.6 + 16 + 480 millionths.
    assert found["amounts"]["amount"] == "0.0006496"
    by_day = {**NIGHTLY, "at": "2026-12-01T12:00:00Z", "units": {"output_tokens": M}}
    assert _quoted(published, by_day) == "0.15"
    assert _quoted(published, {**by_day, "at": "2026-12-01T21:00:00Z"}) == "0.12"  # 22:00 in Kiel


def test_manufacturing_pays_less_over_a_billion_tokens_and_by_night(
    published: Path, tmp_path: Path
) -> None:
    events = _used(
        "werk-nord",
        ("2026-12-01T12:00:00Z", {**NIGHTLY, "units": {"input_tokens": 800 * M}}),
        ("2026-12-02T12:00:00Z", {**NIGHTLY, "units": {"input_tokens": 400 * M}}),
        ("2026-12-02T22:00:00Z", {**NIGHTLY, "units": {"output_tokens": 100 * M}}),
    )
    invoice = _preview(published, "manufacturing", tmp_path, events=events)
    # 1,000M at .02 + 200M at .018 = 23.60, less 4 % = 22.656; 100M at .12 = 12 without a discount.
    assert invoice["usage_minor"] == 3560
    assert invoice["total_minor"] == 3466  # 34.656


# Transportation.


def test_a_delivery_is_planned_off_peak_and_routed_at_rush_hour(published: Path) -> None:
    found = _task(published, "transportation")
    # plan: 5,000 at .08 + 1,000 at .36 = 760 millionths; route-anew: 2 x (1,000 at .14 + 200 at
    # .63) = 532 millionths. In month 1 nothing is taken off.
    assert [(one["id"], one["amounts"]["amount"]) for one in found["requests"]] == [
        ("plan", "0.00076"),
        ("route-anew", "0.000532"),
    ]
    assert found["amounts"]["discount_amount"] == "0"


@pytest.mark.parametrize(
    "period, at, total_minor",
    [
        # 10M at .14 + 10M at .63 = 7.70 at rush hour; 08:00 in Chicago, month 1: nothing off.
        ("2026-12", "2026-12-02T14:00:00Z", 770),
        ("2027-01", "2027-01-06T14:00:00Z", 708),  # month 2: less 8 % = 7.084
        ("2027-01", "2027-01-06T18:00:00Z", 506),  # noon: 10M at .10 + 10M at .45 = 5.50, less 8 %
        ("2027-01", "2027-01-06T06:00:00Z", 405),  # midnight: x .8 = 4.40, less 8 % = 4.048
    ],
)
def test_transportation_pays_by_the_hour_and_less_from_its_second_month_on(
    published: Path, tmp_path: Path, period: str, at: str, total_minor: int
) -> None:
    units = {"input_tokens": 10 * M, "output_tokens": 10 * M}
    events = _used("midway-freight", (at, {**FLEET, "units": units}))
    invoice = _preview(published, "transportation", tmp_path, events=events, period=period)
    assert invoice["total_minor"] == total_minor


# The fifth proof: a discount under the floor, the person who answers for it, and its end.


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Path:
    path = tmp_path / "billing.db"
    assert tokenworks("db", "upgrade", "--store", path).code == 0
    ran = _stored(path, "price", "load", published)
    assert ran.code == 0, ran.err
    return path


def _stored(store: Path, *words: str | Path) -> Ran:
    return tokenworks(*words, "--store", store, "--by", "dana", "--now", NOVEMBER)


def _accepted(store: Path, agreement: Path, *, ends_at: str | None = None) -> Ran:
    reason = "the pilot shows what the tier can do"
    override = ("--override", reason, "--override-ends-at", ends_at) if ends_at else ()
    return _stored(store, "agreement", "accept", agreement, *override, "--format", "json")


def test_a_discount_under_the_floor_needs_a_person_until_it_ends_and_then_again(
    store: Path, published: Path, tmp_path: Path
) -> None:
    card = next(
        one
        for one in json.loads(published.read_bytes())["rate_cards"]
        if one["service_tier"] == "clinical"
    )
    floor = next(f["floor"] for f in card["cost"]["floors"] if f["unit"] == "output_tokens")
    # .50 x 1.05 = .525 in us-east, less 25 % = .39375. The rate without a region (.375) is not
    # met there, and where no prompt is kept .433125 is over the floor.
    refused = _accepted(store, SEGMENTS / "healthcare.yaml").sentence
    assert refused == (
        "healthcare.yaml: Llama-3.1-70B in clinical: output_tokens at 0.39375 per million after "
        f"discounts is under its floor of {floor} (book 1): 0.525 less 25 % of pilot, from "
        "2026-12-01T05:00:00Z on (month 1) until 2027-03-01T05:00:00Z; raise the rate, lower the "
        "discount, or give an override that says why and until when"
    )

    # It lasts as long as the pilot, which ends when March begins in New York: below and at that.
    early = _accepted(store, SEGMENTS / "healthcare.yaml", ends_at="2027-03-01T04:59:59.999999Z")
    assert "too early; let it last until 2027-03-01T05:00:00Z" in early.sentence
    accepted = _accepted(store, SEGMENTS / "healthcare.yaml", ends_at="2027-03-01T05:00:00Z")
    assert accepted.code == 0, accepted.err
    assert len(accepted.json["under_floor"]) == 1  # months 4 and 7 are over it: .4725, .49875

    # The pilot goes on from month 4 on: its override has ended by then, so it is refused again.
    renewed = tmp_path / "renewed.yaml"
    text = (SEGMENTS / "healthcare.yaml").read_text(encoding="utf-8")
    renewed.write_text(
        text.replace("version: 1", "version: 2").replace(
            "2026-12-01T00:00:00-05:00", "2027-03-01T00:00:00-05:00"
        ),
        encoding="utf-8",
    )
    assert _accepted(store, renewed).sentence.startswith(
        "renewed.yaml: Llama-3.1-70B in clinical: output_tokens at 0.39375 per million"
    )
    ended = _accepted(store, renewed, ends_at="2027-03-01T05:00:00Z").sentence
    assert "the override ends before it is needed; give an end after 2027-03-01T05:00:00Z" in ended
    # Three more months, until June begins in New York (in summer time).
    assert _accepted(store, renewed, ends_at="2027-06-01T04:00:00Z").code == 0
