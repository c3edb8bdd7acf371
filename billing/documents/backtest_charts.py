"""The charts of a backtest, as SVG that stands in a page.

Invariant: a chart shows figures of the report and computes no other; what is left out of one is
said in its title.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Final

import altair as alt

from billing.documents.charts import COLOURS, INK, inline_svg, number_axis
from billing.domain.charging.backtest_report import AccountRecord, BacktestReport

BEFORE, AFTER = "before", "after"
LESS: Final = COLOURS[0]
MORE: Final = COLOURS[1]
SAME: Final = "#8A8A8A"

_CARDS = 12
_ACCOUNTS = 8
_WIDTH = 400
_ROW = 24
_STEPS_PERCENT = (5, 10, 25, 50)
"""Where the groups of changes end, in per cent of what an account paid before."""


def revenue_chart(report: BacktestReport) -> str:
    """Revenue by rate card under both sides, the largest cards one by one, the rest together."""
    cards = sorted(
        report.rate_cards, key=lambda card: -max(card.before.revenue, card.after.revenue)
    )
    rows: list[dict[str, object]] = []
    for card in cards[:_CARDS]:
        name = f"{card.model}, {card.service_tier}"
        rows += _sides(name, before=card.before.revenue, after=card.after.revenue)
    rest = cards[_CARDS:]
    if rest:
        rows += _sides(
            f"{len(rest):,} others",
            before=sum((card.before.revenue for card in rest), Fraction(0)),
            after=sum((card.after.revenue for card in rest), Fraction(0)),
        )
    names = list(dict.fromkeys(str(row["card"]) for row in rows))
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(height={"band": 0.85})
        .encode(
            x=alt.X("amount:Q", title=f"revenue, {report.currency}", axis=number_axis()),
            y=alt.Y("card:N", sort=names, title=None, axis=_labels()),
            yOffset=alt.YOffset("side:N", sort=[BEFORE, AFTER]),
            color=alt.Color(
                "side:N",
                sort=[BEFORE, AFTER],
                scale=alt.Scale(domain=[BEFORE, AFTER], range=["#9AA5B1", COLOURS[0]]),
                legend=alt.Legend(title=None, orient="top"),
            ),
        )
        .properties(width=_WIDTH, height=2 * _ROW * max(len(names), 1) * 0.7)
    )
    return inline_svg(chart, prefix="revenue")


def distribution_chart(report: BacktestReport) -> str:
    """How many accounts pay how much more or less, in groups of their change in per cent."""
    groups = _groups()
    counts = dict.fromkeys(groups, 0)
    for account in report.accounts:
        counts[_group(account)] += 1
    colours = [LESS if "less" in name else MORE if "more" in name else SAME for name in groups]
    rows = [{"group": name, "accounts": count} for name, count in counts.items()]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X(
            "group:N",
            sort=list(groups),
            title="change of what an account pays",
            axis=alt.Axis(labelAngle=-40, labelLimit=0),
        ),
        y=alt.Y("accounts:Q", title="accounts", axis=alt.Axis(format=",.0f", tickMinStep=1)),
    )
    bars = base.mark_bar().encode(
        color=alt.Color("group:N", scale=alt.Scale(domain=list(groups), range=colours), legend=None)
    )
    counted = (
        base.transform_filter("datum.accounts > 0")
        .mark_text(dy=-7, color=INK, fontSize=11)
        .encode(text=alt.Text("accounts:Q", format=",.0f"))
    )
    return inline_svg((bars + counted).properties(width=_WIDTH, height=220), prefix="distribution")


def accounts_chart(report: BacktestReport) -> str:
    """The accounts with the largest rises and falls of what they pay."""
    changed = sorted(report.accounts, key=lambda account: -account.change)
    rises = [account for account in changed if account.change > 0][:_ACCOUNTS]
    falls = [account for account in changed if account.change < 0][-_ACCOUNTS:]
    rows = [
        {
            "account": account.account,
            "change": float(account.change),
            "kind": "pays more" if account.change > 0 else "pays less",
        }
        for account in [*rises, *falls]
    ]
    names = [str(row["account"]) for row in rows]
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(height={"band": 0.7})
        .encode(
            x=alt.X("change:Q", title=f"change, {report.currency}", axis=number_axis()),
            y=alt.Y("account:N", sort=names, title=None, axis=_labels()),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=["pays more", "pays less"], range=[MORE, LESS]),
                legend=alt.Legend(title=None, orient="top"),
            ),
        )
        .properties(width=_WIDTH, height=_ROW * max(len(names), 1))
    )
    return inline_svg(chart, prefix="accounts")


def _sides(name: str, *, before: Fraction, after: Fraction) -> list[dict[str, object]]:
    return [
        {"card": name, "side": BEFORE, "amount": float(before)},
        {"card": name, "side": AFTER, "amount": float(after)},
    ]


def _groups() -> tuple[str, ...]:
    """The names of the groups of changes, from the largest fall to the largest rise."""
    bounds = (0, *_STEPS_PERCENT)
    rises = [
        f"{low} to {high} % more" if low else f"to {high} % more" for low, high in pairwise(bounds)
    ]
    rises.append(f"over {bounds[-1]} % more")
    falls = [name.replace("more", "less") for name in reversed(rises)]
    return (*falls, "the same", *rises, "more, from nothing")


def _group(account: AccountRecord) -> str:
    if account.change == 0:
        return "the same"
    if account.change_share is None:
        return "more, from nothing"
    groups = _groups()
    middle = groups.index("the same")
    passed = sum(abs(account.change_share) * 100 > step for step in _STEPS_PERCENT)
    return groups[middle + (passed + 1) * (1 if account.change > 0 else -1)]


def _labels() -> alt.Axis:
    return alt.Axis(labelLimit=190)
