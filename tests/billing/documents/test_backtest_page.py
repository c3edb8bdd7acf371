"""The page of a backtest stands alone, shows what the report says, and escapes every name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pytest

from billing.documents.backtest_charts import (
    accounts_chart,
    distribution_chart,
    revenue_chart,
)
from billing.documents.backtest_page import render_backtest
from billing.domain.charging.backtest_report import (
    BacktestReport,
    UsageUsed,
    report_backtest,
)
from billing.domain.charging.report import EventCounts
from pricing_rules.planning.gates import judge, parse_gates
from tests.pricing_rules.planning.made_backtests import (
    MTOK,
    books,
    costed_card,
    floor,
    run_backtest,
    used,
)

EVIL = '<script>alert("&1")</script>'
FLOORS = [floor("input_tokens", "0.7", lowest="1")]


def report(
    usage: Sequence[Any], *, rates: tuple[str, str] = ("2", "0.9"), models: int = 1
) -> BacktestReport:
    sides = [
        books(
            *(
                costed_card({"input_tokens": rate}, FLOORS, model=f"m{n}" if n else "m")
                for n in range(models)
            ),
            number=number,
        )
        for number, rate in enumerate(rates, start=1)
    ]
    found = run_backtest(usage, after=sides[1], before=sides[0])
    gates = parse_gates(["account-rises=999%", "floor-breaches=0"])
    return report_backtest(
        found,
        before=sides[0],
        after=sides[1],
        usage=(UsageUsed(name="u.csv", sha256="f" * 64),),
        events=EventCounts(
            received=9,
            accepted=9,
            duplicate=0,
            conflict=0,
            rejected=0,
            outside_period=0,
            not_billable=0,
        ),
        refused=(),
        gates=[judge(gate, found=found) for gate in gates],
    )


class _Page(HTMLParser):
    """The tags, the attributes that could fetch something, and the text of a page."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.feed(data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "srcset", "data", "action"}:
                self.fetched.append(str(value))
            if name == "id":
                self.ids.append(str(value))

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


ONE = [used({"input_tokens": 3 * MTOK}), used({"output_tokens": 5}, account="globex")]


def test_the_page_shows_the_figures_of_the_report() -> None:
    page = _Page(render_backtest(report(ONE)))
    # 3M at 2 before and 0.9 after: 6.00, 2.70, a change of -3.30 or -55 %.
    for shown in ("6.00", "2.70", "-3.30", "-55.00 %", "Backtest of public 2 against public 1"):
        assert shown in page.words
    assert "✕ trips" in page.words
    assert "✓ holds" in page.words
    assert "floor breaches: 1, the largest of acme on m in standard" in page.words
    assert "sha256:" + "f" * 64 in page.words
    # What is shortened carries its exact text; the shortfall of 3 - 2.7 has four digits.
    assert b'title="2.7"' in render_backtest(report(ONE))
    assert "0.3000" in page.words


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    page = _Page(render_backtest(report(ONE)))
    assert [one for one in page.fetched if not one.startswith("#")] == []
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
    assert page.tags.count("svg") == 3
    assert len(page.ids) == len(set(page.ids))
    text = render_backtest(report(ONE)).decode()
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_names_are_text_and_never_markup() -> None:
    usage = [used({"input_tokens": MTOK}, account=EVIL), used({"input_tokens": 7}, model=EVIL)]
    data = render_backtest(report(usage))
    assert b"<script" not in data
    assert EVIL in _Page(data).words


def test_the_same_report_gives_the_same_bytes() -> None:
    assert render_backtest(report(ONE)) == render_backtest(report(ONE))


def test_a_table_that_is_cut_says_how_many_rows_it_lacks() -> None:
    usage = [used({"input_tokens": n * MTOK}, account=f"account-{n:02d}") for n in range(1, 41)]
    words = _Page(render_backtest(report(usage))).words
    assert "25 more accounts are in the JSON of this backtest." in words  # the 15 largest falls
    assert "10 more breaches are in the JSON of this backtest." in words  # 30 of 40
    assert "account-40" in words
    assert "account-10" not in words


def test_where_nothing_changes_there_is_no_chart_of_changes() -> None:
    page = _Page(render_backtest(report(ONE, rates=("2", "2"))))
    assert page.tags.count("svg") == 2
    assert "The largest rises and falls" not in page.words


@pytest.mark.parametrize(
    "after, group, colour",
    [
        ("2", "the same", "#8A8A8A"),
        ("2.1", "to 5 % more", "#D55E00"),  # 5 % itself
        ("2.11", "5 to 10 % more", "#D55E00"),
        ("3", "25 to 50 % more", "#D55E00"),
        ("3.01", "over 50 % more", "#D55E00"),
        ("1.9", "to 5 % less", "#0072B2"),
        ("0.5", "over 50 % less", "#0072B2"),
    ],
)
def test_an_account_falls_into_the_group_of_its_change(after: str, group: str, colour: str) -> None:
    svg = distribution_chart(report([used({"input_tokens": MTOK})], rates=("2", after)))
    (told,) = re.findall(
        r'aria-label="change of what an account pays: ([^;]+); accounts: 1;?[^"]*" '
        r'role="graphics-symbol" aria-roledescription="bar"',
        svg,
    )
    assert told == group
    assert colour in svg


def test_an_account_that_paid_nothing_has_a_group_of_its_own() -> None:
    svg = distribution_chart(report([used({"input_tokens": MTOK})], rates=("0", "1")))
    assert "more, from nothing; accounts: 1" in svg


def test_small_rate_cards_are_drawn_together() -> None:
    usage = [
        used({"input_tokens": (20 - n) * MTOK}, model=f"m{n}" if n else "m") for n in range(15)
    ]
    svg = revenue_chart(report(usage, models=15))
    assert "3 others" in svg  # 12 one by one
    assert "m11, standard" in svg
    assert "m12, standard" not in svg


def test_the_chart_of_accounts_has_the_largest_rises_and_falls() -> None:
    usage = [used({"input_tokens": n * MTOK}, account=f"account-{n:02d}") for n in range(1, 12)]
    svg = accounts_chart(report(usage, rates=("1", "2")))
    assert "account-11" in svg
    assert "account-03" not in svg  # the eight largest of eleven: 11 to 4
    assert "pays less" in svg
