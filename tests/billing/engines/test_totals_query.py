"""The canonical query is plain SQL: other engines run the same text in their own dialect."""

from __future__ import annotations

import re

from billing.engines.totals_query import REPEATED_SQL, TotalsQuery, sql_names
from pricing_rules.period import Period
from pricing_rules.usage.event_columns import event_columns
from pricing_rules.usage.totals import Grid
from pricing_rules.usage.units import REPORTED_UNITS
from tests.billing.engines.test_totals_agree import RECURRING

PLAIN = {
    "CASE",
    "CAST",
    "CHR",
    "COALESCE",
    "COUNT",
    "DENSE_RANK",
    "FIRST_VALUE",
    "ROW_NUMBER",
    "SUM",
}
KEYWORDS = {"AND", "AS", "BY", "ELSE", "IN", "NOT", "OR", "OVER", "THEN", "WHEN", "WHERE"}

QUERY = TotalsQuery(
    columns=tuple(event_columns(REPORTED_UNITS, dimensions=["team"])),
    grid=Grid(
        instants_at=(1, 2, 3),
        thresholds_tokens=(128_000,),
        dimensions=("team",),
        windows=RECURRING.windows,
    ),
    period=Period(start_at=1, end_at=3),
)


def test_the_query_calls_only_functions_that_every_engine_has() -> None:
    texts = [REPEATED_SQL, QUERY.repeats_sql(), QUERY.totals_sql(), QUERY.rejected_sql()]
    called = {name for text in texts for name in re.findall(r"([A-Za-z_]+) *\(", text)}
    assert called <= PLAIN | KEYWORDS


def test_the_query_adds_and_never_divides() -> None:
    for text in (QUERY.repeats_sql(), QUERY.totals_sql(), QUERY.rejected_sql()):
        assert not re.search(r"/|DOUBLE|FLOAT|DECIMAL|AVG", text)


def test_dimensions_that_differ_in_case_only_have_names_of_their_own() -> None:
    names = sql_names(["dimensions.team", "id", "dimensions.Team"])
    assert names == {
        "dimensions.team": '"dimension 1"',
        "id": '"id"',
        "dimensions.Team": '"dimension 0"',
    }
