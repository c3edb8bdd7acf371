"""The charts of a pricing review, as SVG that stands in a page.

Invariant: a chart shows figures of the review and computes no other; what is left out of one is
said in its title.
"""

from __future__ import annotations

from typing import Any, Final

import altair as alt

from billing.documents.charts import COLOURS, INK, inline_svg, number_axis
from billing.domain.charging.pricing_review import PricingReviewReport, RateFigures, VarianceFigures

GOOD: Final = COLOURS[0]
BAD: Final = COLOURS[1]
GREY: Final = "#9AA5B1"

SHOWN_RATES = 12
_WIDTH = 400
_ROW = 24
_EFFECTS = ("spend", "utilization", "mix", "efficiency")


def rooms_chart(report: PricingReviewReport) -> str | None:
    """The least room of rates over their floors in per cent of the floor; None without floors."""
    rows: list[dict[str, str | float]] = [
        {
            "rate": rate_name(one),
            "percent": float(one.room_share) * 100,
            "kind": "under the floor" if one.room_share < 0 else "over the floor",
        }
        for one in report.rates
        if one.room_share is not None
    ][:SHOWN_RATES]
    if not rows:
        return None
    names = [str(row["rate"]) for row in rows]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("percent:Q", title="room over the floor, % of the floor", axis=number_axis()),
        y=alt.Y("rate:N", sort=names, title=None, axis=alt.Axis(labelLimit=340)),
    )
    bars = base.mark_bar(height={"band": 0.7}).encode(
        color=_two(("over the floor", GOOD), ("under the floor", BAD), field="kind")
    )
    return inline_svg(
        _with_zero(bars).properties(width=300, height=_ROW * len(rows)), prefix="rooms"
    )


def pools_chart(report: PricingReviewReport) -> str | None:
    """How far each pool is used, beside what it needs and what its floors state."""
    rows: list[dict[str, object]] = []
    for pool in report.pools:
        for name, share in (
            ("used", pool.utilization),
            ("breaks even at", pool.break_even_utilization),
            ("stated in the floors", pool.stated_utilization),
        ):
            if share is not None:
                rows.append({"pool": pool.pool, "name": name, "percent": float(share) * 100})
    if not rows:
        return None
    order = ["used", "breaks even at", "stated in the floors"]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("percent:Q", title="share of the available hours, %", axis=number_axis()),
        y=alt.Y("pool:N", title=None, axis=alt.Axis(labelLimit=190)),
        yOffset=alt.YOffset("name:N", sort=order),
    )
    bars = base.mark_bar(height={"band": 0.85}).encode(
        color=alt.Color(
            "name:N",
            sort=order,
            scale=alt.Scale(domain=order, range=[GOOD, BAD, GREY]),
            legend=alt.Legend(title=None, orient="top"),
        )
    )
    texts = base.mark_text(align="left", dx=4, color=INK, fontSize=11).encode(
        text=alt.Text("percent:Q", format=".1f")
    )
    height = 3 * _ROW * len(report.pools)
    return inline_svg((bars + texts).properties(width=_WIDTH, height=height), prefix="pools")


def variance_chart(report: PricingReviewReport) -> str | None:
    """From the cost of a million tokens before to now, effect by effect; None where none is."""
    found = report.variance[0]
    if found.reason is not None or found.before_per_mtok is None or found.after_per_mtok is None:
        return None
    rows = _steps(found, before=float(found.before_per_mtok), after=float(found.after_per_mtok))
    names = [str(row["step"]) for row in rows]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("step:N", sort=names, title=None, axis=alt.Axis(labelAngle=0)),
    )
    bars = base.mark_bar().encode(
        y=alt.Y(
            "from:Q", title=f"{report.currency} per million tokens", scale=alt.Scale(zero=True)
        ),
        y2="to:Q",
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=["cost", "costs more", "costs less"], range=[GREY, BAD, GOOD]),
            legend=alt.Legend(title=None, orient="top"),
        ),
    )
    texts = base.mark_text(dy=-7, color=INK, fontSize=11).encode(y="top:Q", text="label:N")
    return inline_svg((bars + texts).properties(width=_WIDTH, height=230), prefix="variance")


def accounts_chart(report: PricingReviewReport) -> str | None:
    """The margin of the worst accounts, as a share of their revenue; None where none is known."""
    rows: list[dict[str, object]] = [
        {
            "account": one.account,
            "percent": float(one.margin_share) * 100,
            "kind": "loses" if one.margin < 0 else "earns",
        }
        for one in report.accounts
        if one.margin_share is not None
    ]
    if not rows:
        return None
    names = [str(row["account"]) for row in rows]
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(height={"band": 0.7})
        .encode(
            x=alt.X("percent:Q", title="margin, % of costed revenue", axis=number_axis()),
            y=alt.Y("account:N", sort=names, title=None, axis=alt.Axis(labelLimit=190)),
            color=_two(("earns", GOOD), ("loses", BAD), field="kind"),
        )
    )
    height = _ROW * len(rows) * 0.8
    return inline_svg(_with_zero(bars).properties(width=_WIDTH, height=height), prefix="accounts")


def rate_name(one: RateFigures) -> str:
    """A rate in one line, short enough for an axis."""
    when = f" ({one.when})" if one.when else ""
    return f"{one.unit.removesuffix('_tokens')} of {one.model}, {one.service_tier}{when}"


def _steps(found: VarianceFigures, *, before: float, after: float) -> list[dict[str, object]]:
    rows = [_step("before", start=0.0, end=before, kind="cost")]
    at = before
    for name in _EFFECTS:
        effect = float(getattr(found, name))
        kind = "costs more" if effect > 0 else "costs less"
        rows.append(_step(name, start=at, end=at + effect, kind=kind))
        at += effect
    return [*rows, _step("now", start=0.0, end=after, kind="cost")]


def _step(name: str, *, start: float, end: float, kind: str) -> dict[str, object]:
    change = end - start
    label = f"{change:.4g}" if kind == "cost" else f"{change:+.3g}" if change else "0"
    return {
        "step": name, "from": start, "to": end, "top": max(start, end), "kind": kind,
        "label": label,
    }  # fmt: skip


def _two(good: tuple[str, str], bad: tuple[str, str], *, field: str) -> alt.Color:
    return alt.Color(
        f"{field}:N",
        scale=alt.Scale(domain=[good[0], bad[0]], range=[good[1], bad[1]]),
        legend=alt.Legend(title=None, orient="top"),
    )


def _with_zero(chart: Any) -> Any:
    """The chart with a line at zero, from which bars grow to both sides."""
    zero = (
        alt.Chart(alt.InlineData(values=[{"zero": 0}]))
        .mark_rule(color=INK, strokeWidth=1)
        .encode(x="zero:Q")
    )
    return chart + zero
