"""Planning a site of fixed power by command: the keynote's example, and plans that cannot be.

Invariant: it writes no file and sets no rate.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from tests.journeys.made_files import Ran, tokenworks, write_json
from tests.pricing_rules.planning.made_planning import EXAMPLES, plan_document, served

SPLIT = EXAMPLES / "gtc_2026_rubin_split.yaml"
DEMAND = EXAMPLES / "gtc_2026_rubin_demand.yaml"


def planned(plan: Path, *, shape: str = "json") -> Ran:
    return tokenworks("capacity", "plan", plan, "--format", shape)


def test_the_keynotes_split_of_a_rubin_site_earns_141_9_billion_a_year() -> None:
    report = planned(SPLIT).json
    assert report["schema"] == "tokenworks.capacity-report/1"
    assert report["revenue_usd_per_year"] == "141912000000"
    assert {one["mw"] for one in report["service_tiers"]} == {"250"}


def test_by_demand_high_gets_nothing_and_breaks_even_at_6_86() -> None:
    ran = planned(DEMAND)
    report = ran.json
    assert (ran.code, report["revenue_usd_per_year"]) == (0, "149480640000")
    assert {one["service_tier"]: one["mw"] for one in report["service_tiers"]} == {
        "free": "100",
        "medium": "800",
        "high": "0",
        "premium": "100",
    }
    high = report["service_tiers"][2]
    assert (high["break_even_usd_per_mtok"], high["earns_its_power"]) == ("6.85714286", False)


def test_a_table_says_what_a_mw_more_is_worth_and_who_does_not_earn_its_power() -> None:
    ran = planned(DEMAND, shape="table")
    assert "gtc-2026-rubin-demand: 149,480.6 million USD of revenue a year" in ran.text
    assert ran.err.splitlines() == [
        "one MW more would earn 151.4 million USD a year",
        "finding: free does not earn its power; it would from 2.909 USD per million tokens on",
        "finding: high does not earn its power; it would from 6.857 USD per million tokens on",
    ]


def test_a_table_says_what_diversity_costs(tmp_path: Path) -> None:
    plan = plan_document(
        served("medium", model_class="open"), served("premium"), classes={"open": "0.2"}
    )
    ran = planned(write_json(tmp_path / "plan.yaml", plan), shape="table")
    # 283.824 - 151.373 = 132.451 million a MW; x 200 MW.
    assert (
        "model class open: 200 MW of at least 200; its last MW costs 132.5 million USD a year, "
        "all of them 26,490.2 million USD\n"
    ) in ran.err


def test_a_table_says_what_a_plan_leaves_as_margin(tmp_path: Path) -> None:
    # 200,000 tokens/s x 45 less 5 USD x 31.536 s of a year are 252.288 million a MW; x 100 MW.
    plan = plan_document(
        served("premium", demand_tokens_per_s="20000000", cost_usd_per_mtok="5"),
        objective="margin",
    )
    ran = planned(write_json(tmp_path / "plan.yaml", plan), shape="table")
    title = "made: 28,382.4 million USD of revenue a year, 25,228.8 million USD of margin"
    assert title in " ".join(ran.text.split())


def test_a_plan_without_a_site_has_no_worth_of_a_mw(tmp_path: Path) -> None:
    plan = plan_document(served("premium", demand_tokens_per_s="20000000"), site_mw=None)
    ran = planned(write_json(tmp_path / "plan.yaml", plan), shape="table")
    assert (ran.code, ran.err) == (0, "")


def test_csv_has_a_row_for_each_service_tier_with_plain_figures() -> None:
    rows = list(csv.DictReader(io.StringIO(planned(DEMAND, shape="csv").text)))
    assert [row["service_tier"] for row in rows] == ["free", "medium", "high", "premium"]
    assert rows[1]["revenue_usd_per_year"] == "121098240000"
    assert rows[1]["margin_usd_per_year"] == ""
    assert [row["earns_its_power"] for row in rows] == ["false", "true", "false", "true"]


def test_a_plan_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    plan = plan_document(served("free", minimum_mw="600"), served("premium", minimum_mw="500"))
    assert planned(write_json(tmp_path / "plan.yaml", plan)).sentence.endswith(
        "site_mw: the minima need 1100 MW (free 600 MW, premium 500 MW) of a site of 1000 MW; "
        "lower one of them"
    )
    text = SPLIT.read_text(encoding="utf-8").replace('{value: "1000"', '{value: "999"')
    (tmp_path / "small.yaml").write_text(text, encoding="utf-8")
    sentence = planned(tmp_path / "small.yaml").sentence
    assert sentence.startswith("small.yaml:11 site_mw: the minima need 1000 MW (free 250 MW")


def test_a_plan_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    assert "cannot be read" in planned(tmp_path / "absent.yaml").sentence


def test_the_report_is_what_its_schema_says() -> None:
    schema = tokenworks("schema", "capacity-report").json
    report = planned(DEMAND).json
    assert set(report) <= set(schema["properties"])
    assert set(schema["required"]) <= set(report)
    assert json.dumps(report)
