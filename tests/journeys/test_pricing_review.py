"""The journey of ``tokenworks pricing review``: the weekly pack, as a page and as data."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from billing.cli.pricing import _short
from billing.domain.charging.pricing_review import PricingReviewReport
from pricing_rules.document import bytes_digest, load_json
from tests.billing.operations.made_store import agreement_text
from tests.journeys.made_files import (
    FORMATS,
    Json,
    Ran,
    book,
    event,
    tokenworks,
    write_events,
    write_json,
)
from tests.pricing_rules.planning.made_reviews import card
from tests.pricing_rules.rules.made_documents import figure

MTOK = 10**6
BOOK = book(card())

# The week of 2026-10-19: a 3M in and 1M out, 1.5 + 4 = 5.50; b 2M out, 8. Before: a 1M out.
EVENTS = [
    event(1, {"input_tokens": 3 * MTOK}, time="2026-10-20T00:00:00Z"),
    event(2, {"output_tokens": MTOK}, time="2026-10-25T12:00:00Z"),
    event(3, {"output_tokens": 2 * MTOK}, account="b", time="2026-10-21T00:00:00Z"),
    event(4, {"output_tokens": MTOK}, account="b", time="2026-10-21T00:00:00Z", outcome="failed"),
    event(5, {"output_tokens": MTOK}, time="2026-10-13T00:00:00Z"),
    event(6, {"output_tokens": MTOK}, time="2026-10-01T00:00:00Z"),
]


def reviewed(
    folder: Path,
    *arguments: str | Path,
    value: Json = BOOK,
    events: Sequence[Json] = EVENTS,
    form: str = "csv",
) -> Ran:
    """``tokenworks pricing review`` of events under a book, both written to a folder."""
    return tokenworks(
        *("pricing", "review", "--price-book", write_json(folder / "book.json", value)),
        *("--usage", write_events(folder, events, form=form)),
        *("--at", "2026-10-26T08:00:00Z", "--stale-days", "90"),
        *arguments,
    )


def factory(*, usd_per_hour: str = "3.60", pool: str = "main") -> Json:
    """Ten metered accelerators of one pool."""
    power = {"it_kw": figure("1.5"), "pue": figure("1.2")}
    hardware = {"rented": {"all_in_usd_per_hour": figure(usd_per_hour)}, "power": power}
    return {
        "schema": "tokenworks.factory/1",
        "name": "f",
        "hardware": {"h": hardware},
        "pools": [
            {
                "name": pool, "use": "shared", "hardware": {"h": 10}, "models": ["m"],
                "service_tiers": ["standard"], "utilization": figure("0.5"),
            }
        ],
    }  # fmt: skip


def agreement(folder: Path, **fields: Json) -> Path:
    path = folder / "agreement.yaml"
    path.write_text(agreement_text(**fields), encoding="utf-8")
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_the_last_week_is_reviewed_beside_the_one_before(tmp_path: Path, form: str) -> None:
    ran = reviewed(tmp_path, "--format", "json", form=form)
    assert ran.code == 0, ran.err
    found = ran.json
    assert found["period"] == "2026-10-19T00:00:00Z/2026-10-26T00:00:00Z"
    assert found["period_before"] == "2026-10-12T00:00:00Z/2026-10-19T00:00:00Z"
    assert (found["total"]["revenue"], found["total_before"]["revenue"]) == ("13.5", "4")
    # a: 3 x 0.22 + 2.02 = 2.68; b: 4.04.
    assert [(one["account"], one["margin"]) for one in found["accounts"]] == [
        ("b", "3.96"),
        ("a", "2.82"),
    ]
    # 6,048 over 6M tokens, and over 1M.
    (variance,) = found["variance"]
    assert (variance["before_per_mtok"], variance["after_per_mtok"]) == ("6048", "1008")
    assert found["events"]["outside_period"] == 2
    assert found["events"]["not_billable"] == 1
    assert load_json(PricingReviewReport, ran.out, name="review.json").accounts_costed == 2


def test_the_page_is_written_and_every_input_has_its_digest(tmp_path: Path) -> None:
    page = tmp_path / "review.html"
    ran = reviewed(
        tmp_path,
        *("--factory", write_json(tmp_path / "factory.yaml", factory())),
        *("--agreement", agreement(tmp_path), "--out", page, "--format", "json"),
    )
    assert ran.code == 0, ran.err
    assert ran.err == f"wrote {page}\n"
    digests = {one["name"]: one["sha256"] for one in ran.json["inputs"]}
    assert digests == {
        name: bytes_digest((tmp_path / name).read_bytes())
        for name in ("book.json", "factory.yaml", "agreement.yaml", "usage.csv")
    }
    text = page.read_text(encoding="utf-8")
    assert all(digest in text for digest in digests.values())
    # 1,680 hours x 1.8 kW.
    (pool,) = ran.json["pools"]
    assert (pool["facility_mwh"], pool["revenue_per_mwh"]) == ("3.024", "4.46428571")
    assert pool["hours_source"] == "f"


def test_a_page_is_never_written_over_another_document(tmp_path: Path) -> None:
    page = tmp_path / "review.html"
    assert reviewed(tmp_path, "--out", page).code == 0
    assert reviewed(tmp_path, "--out", page).code == 0
    before = (tmp_path / "book.json").read_bytes()
    ran = reviewed(tmp_path, "--out", tmp_path / "book.json")
    assert ran.code == 2
    assert "book.json: holds another document; choose another name" in ran.err
    assert (tmp_path / "book.json").read_bytes() == before


def test_what_an_hour_cost_before_is_spend(tmp_path: Path) -> None:
    # The same usage in both weeks, at 2.40 an hour and then at 3.60.
    events = [
        event(1, {"output_tokens": MTOK}, time="2026-10-13T00:00:00Z"),
        event(2, {"output_tokens": MTOK}, time="2026-10-20T00:00:00Z"),
    ]
    ran = reviewed(
        tmp_path,
        *("--factory", write_json(tmp_path / "now.yaml", factory())),
        *("--before-factory", write_json(tmp_path / "then.yaml", factory(usd_per_hour="2.40"))),
        *("--period", "2026-10-19/2026-10-26", "--format", "json"),
        events=events,
    )
    (variance,) = ran.json["variance"]
    assert (variance["change"], variance["spend"]) == ("2016", "2016")
    assert [one["role"] for one in ran.json["inputs"]][1:3] == ["factory", "factory before"]


def test_the_period_before_may_come_from_files_of_its_own(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    before = [event(9, {"output_tokens": 2 * MTOK}, time="2026-09-10T00:00:00Z")]
    ran = reviewed(
        tmp_path,
        *("--before-usage", write_events(earlier, before, form="csv")),
        *("--format", "json"),
        value=book(card(), effective_from="2026-09-01T00:00:00Z"),
    )
    found = ran.json
    assert found["period_before"] == "2026-09-04T00:00:00Z/2026-09-11T00:00:00Z"
    assert found["total_before"]["revenue"] == "8"
    assert [one["role"] for one in found["inputs"]] == ["price book", "usage", "usage before"]


def test_discounts_of_agreements_are_taken_off(tmp_path: Path) -> None:
    half = [{"id": "d", "description": "Half", "percent": "50"}]
    ran = reviewed(tmp_path, "--agreement", agreement(tmp_path, discounts=half), "--format", "json")
    account = next(one for one in ran.json["accounts"] if one["account"] == "a")
    assert (account["revenue"], account["taken_off"]) == ("2.75", "2.75")
    assert account["cause_kind"] == "discounts"
    # 0.5 and 4 at a half are under 0.275 and 2.525.
    assert [one["found_in"] for one in ran.json["findings"]] == ["agreement"] * 2


def test_the_book_before_is_compared_and_in_force_before(tmp_path: Path) -> None:
    new = book(
        card({"output_tokens": "6", "input_tokens": "0.5"}),
        number=2,
        effective_from="2026-10-19T00:00:00Z",
    )
    old = write_json(tmp_path / "old.json", BOOK)
    ran = reviewed(tmp_path, "--previous-book", old, "--format", "json", value=new)
    assert (ran.json["total"]["revenue"], ran.json["total_before"]["revenue"]) == ("19.5", "4")
    before = {one["unit"]: one.get("before") for one in ran.json["rates"]}
    assert before == {"output_tokens": "4", "input_tokens": "0.5"}
    both = reviewed(tmp_path, "--price-book", old, "--format", "json", value=new)
    assert both.json["rates"] == ran.json["rates"]


def test_an_allowance_of_the_month_is_used_up_before_the_week(tmp_path: Path) -> None:
    free = {"id": "f", "units": ["output_tokens"], "quantity": 3 * MTOK, "reset": "month"}
    ran = reviewed(tmp_path, "--format", "json", value=book(card(), allowances=[free]))
    # a has used 2M of its 3M by the week and the third in it; b 2M of its own.
    assert ran.json["total"]["revenue"] == "1.5"


def test_a_snapshot_and_a_policy_are_read(tmp_path: Path) -> None:
    offers = [{"model": "m", "unit": "output_tokens", "per_mtok": "3", "offered_by": "alpha"}]
    market = {
        "schema": "tokenworks.market/1", "source": "made up", "snapshot_date": "2026-10-20",
        "currency": "USD", "rates": offers,
    }  # fmt: skip
    policy = {
        "schema": "tokenworks.policy/1", "series": "s", "currency": "USD",
        "reference_shape": {"input_tokens": 1, "output_tokens": 1},
        "revenue_share": figure("0"), "cached_share": figure("0.1"),
        "models": [{"name": "m", "precision": "fp8"}],
        "service_tiers": [{"name": "standard", "pool": "main", "minimum_margin": "0.2"}],
        "subsidies": [
            {
                "id": "launch", "owner": "growth", "reason": "r", "covers": {},
                "ends_at": "2027-01-01T00:00:00Z", "budget": {"amount": "7300", "per": "month"},
            }
        ],
    }  # fmt: skip
    ran = reviewed(
        tmp_path,
        *("--market", write_json(tmp_path / "market.json", market)),
        *("--policy", write_json(tmp_path / "policy.yaml", policy), "--format", "json"),
        value=book(card({"output_tokens": "2", "input_tokens": "0.5"})),
    )
    assert ran.code == 0, ran.err
    rate = next(one for one in ran.json["rates"] if one["unit"] == "output_tokens")
    assert (rate["lowest_offer"], rate["under_market_share"]) == ("3", "0.333333333")
    (subsidy,) = ran.json["subsidies"]
    # 3M at 2 where the floor is 2.525.
    assert (subsidy["paid"], subsidy["budget"]) == ("1.575", "1680")


def test_csv_has_a_row_for_each_figure(tmp_path: Path) -> None:
    findings = [{"id": f"f{n}", "kind": "yield", "sentence": f"finding {n}"} for n in range(2)]
    offs = [{"finding": "f0", "by": "cfo", "reason": "r", "ends_at": "2026-11-01T00:00:00Z"}]
    eu = {"unit": "output_tokens", "rate": "5", "when": {"region": "eu"}}
    value = book(
        card({"output_tokens": "4"}, extra=[eu]), card({"web_searches": "1"}, model="n"),
        findings=findings, sign_offs=offs,
    )  # fmt: skip
    ran = reviewed(tmp_path, "--format", "csv", "--stale-days", "3", value=value)
    rows = list(csv.DictReader(io.StringIO(ran.text)))
    assert {row["part"] for row in rows} == {
        "total", "rate", "pool", "rate card", "account", "variance", "override",
        "stale measurement", "finding", "unpriced",
    }  # fmt: skip
    said = {row["about"]: row["says"] for row in rows}
    assert said["m/standard/output_tokens"] == (
        "rate 4, full floor 2.525; breaks even at 25.13 %, stated 50.00 %"
    )
    assert said["n/standard/web_searches"] == "rate 1, no floor"
    assert "m/standard/output_tokens when region=eu" in said
    change, *effects = [Fraction(row["value"]) for row in rows if row["part"] == "variance"]
    assert change == sum(effects)


def test_the_table_shows_ten_rows_of_a_part_and_the_conclusions(tmp_path: Path) -> None:
    cards = [card(model=f"m{n}") for n in range(4)]
    usage = [event(1, {"output_tokens": MTOK}, model="m1", time="2026-10-20T00:00:00Z")]
    findings = [{"id": "f0", "kind": "yield", "sentence": "s"}]
    offs = [{"finding": "f0", "by": "cfo", "reason": "r", "ends_at": "2026-11-01T00:00:00Z"}]
    value = book(*cards, findings=findings, sign_offs=offs)
    ran = reviewed(tmp_path, value=value, events=usage)
    assert ran.code == 0
    assert "2026-11-01T00:00:00Z" in ran.text
    assert "2 more (--format" in ran.text
    assert ran.err.startswith("No rate is under its floor; the least room is 58.42 %")
    assert "The cost of a token is not compared with the period before" in ran.err


def test_the_table_shortens_exact_values_without_an_exponent() -> None:
    # A float would show the first as 1e-05 and take the last digits of the second for its own.
    assert _short("0.00001234567") == "0.0000123457"
    assert _short("12345678901234567.25") == "12,345,678,901,234,567"
    assert _short("1/30000000000") == "0.0000000000333333"
    assert _short("2026-11-01T00:00:00Z") == "2026-11-01T00:00:00Z"


def test_refused_rows_are_named_with_their_file(tmp_path: Path) -> None:
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    bad = event(7, {"output_tokens": -1}, time="2026-10-13T00:00:00Z")
    before = write_events(earlier, [EVENTS[4], bad], form="csv")
    ran = reviewed(tmp_path, "--before-usage", before, "--format", "json", events=[*EVENTS, bad])
    assert ran.code == 1
    assert len(ran.json["refused"]) == 2
    assert ran.err.count("usage.csv:") >= 1


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"events": EVENTS[3:4]}, "usage.csv: holds no billable event in 2026-10-15T00:00:00Z/"),
        ({"events": [{**EVENTS[0], "time": ""}]}, "usage.csv: holds no usage event: all 1 rows"),
        (
            {"value": book(card(), effective_from="2026-11-01T00:00:00Z")},
            "price books: none is in force in 2026-10-19T00:00:00Z/2026-10-26T00:00:00Z",
        ),
    ],
)
def test_nothing_to_review_is_one_sentence(
    tmp_path: Path, changed: dict[str, Json], sentence: str
) -> None:
    ran = reviewed(tmp_path, "--out", tmp_path / "review.html", **changed)
    assert ran.sentence.startswith(sentence)
    assert not (tmp_path / "review.html").exists()


def test_without_usage_there_is_nothing_to_review(tmp_path: Path) -> None:
    command = ("pricing", "review", "--price-book", write_json(tmp_path / "book.json", BOOK))
    assert tokenworks(*command).sentence == "usage: there is none; give at least one file"
    header = tmp_path / "header.csv"
    header.write_bytes(write_events(tmp_path, EVENTS, form="csv").read_bytes().splitlines()[0])
    assert tokenworks(*command, "--usage", header).sentence == (
        "header.csv: holds no usage event: there is nothing to review"
    )


def test_documents_that_do_not_belong_together_are_one_sentence(tmp_path: Path) -> None:
    lab = write_json(tmp_path / "factory.yaml", factory(pool="lab"))
    assert reviewed(tmp_path, "--factory", lab).sentence == (
        "factory: has no pool main, which serves m in standard by the price book; it has lab"
    )
    assert reviewed(tmp_path, "--before-factory", lab).sentence == (
        "--before-factory: needs --factory beside it, to compare with"
    )
    other = agreement(tmp_path, series="other")
    assert reviewed(tmp_path, "--agreement", other).sentence == (
        "agreement of a: follows other in USD, and the price book is s in USD; review it with the "
        "books of its series"
    )
    assert "--at" in reviewed(tmp_path, "--at", "yesterday").sentence


def test_the_review_of_the_same_files_is_the_same(tmp_path: Path) -> None:
    pages = []
    for name in ("one.html", "two.html"):
        ran = reviewed(tmp_path, "--out", tmp_path / name, "--format", "json")
        pages.append((tmp_path / name).read_bytes())
        assert json.loads(ran.out)["reviewed_at"] == "2026-10-26T08:00:00Z"
    assert pages[0] == pages[1]
