"""Usage totals of 1M events from Parquet, with a plain grouped sum over the same file beside them.

Invariant: the peer reads the same columns and forms the same groups, without checks or identity.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from billing.engines.duckdb_totals import usage_totals
from billing.engines.event_source import EventFile
from pricing_rules.period import moment_text, parse_moment
from pricing_rules.usage.totals import Grid
from tests.bench.timing import measure

EVENTS = 1_000_000
START_AT = parse_moment("2026-10-01T00:00:00Z")
HALF_AT = START_AT + EVENTS // 2 * 1_000_000
THRESHOLD_TOKENS = 5_000

# One event a second: 1,000 accounts, 7 models, 2 service tiers, 2 regions. Ids are hashes, as real
# ones are, so that they compress badly.
_EVENTS_SQL = f"""
COPY (
  SELECT md5(i::VARCHAR) AS id, 'gateway' AS source, 'account-' || (i % 1000) AS account,
    make_timestamptz({START_AT} + i * 1000000) AS time, 'model-' || (i % 7) AS model,
    CASE WHEN i % 5 = 0 THEN 'batch' ELSE 'standard' END AS service_tier,
    CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END AS region,
    1000 + i % 9000 AS input_tokens, i % 900 AS cache_read_tokens, i % 700 AS output_tokens
  FROM range({EVENTS}) AS events(i)
) TO '{{path}}' (FORMAT parquet)
"""

_PLAIN_SQL = f"""
SELECT account, epoch_us(time) >= {HALF_AT} AS segment, model, service_tier, region,
  input_tokens >= {THRESHOLD_TOKENS} AS size_class, COUNT(*),
  SUM(input_tokens - cache_read_tokens), SUM(cache_read_tokens), SUM(output_tokens)
FROM read_parquet('{{path}}')
GROUP BY ALL
"""


def run() -> Iterator[dict[str, object]]:
    """Seconds for the totals of 1M events, first from Parquet and then from CSV, and for the
    command ``rate`` as a whole.
    """
    grid = Grid(instants_at=(HALF_AT,), thresholds_tokens=(THRESHOLD_TOKENS,))
    with TemporaryDirectory() as folder, duckdb.connect(":memory:") as connection:
        parquet, text = Path(folder, "events.parquet"), Path(folder, "events.csv")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(_EVENTS_SQL.format(path=parquet))
        connection.execute(
            f"COPY (SELECT * REPLACE (strftime(time, '%Y-%m-%dT%H:%M:%SZ') AS time) "
            f"FROM read_parquet('{parquet}')) TO '{text}' (FORMAT csv, HEADER)"
        )
        plain_s = measure(
            lambda: connection.execute(_PLAIN_SQL.format(path=parquet)).fetchall(), repeat=3
        )
        for file in (EventFile(path=parquet, kind="parquet"), EventFile(path=text, kind="csv")):
            totals = partial(usage_totals, file, grid=grid, period=None)
            yield {
                "metric": f"usage totals of {EVENTS:,} events from {file.kind}",
                "value": round(measure(totals, repeat=3), 3),
                "unit": "s",
                "peer": "DuckDB, one grouped sum over the Parquet file, nothing checked",
                "peer_value": round(plain_s, 3),
            }
        book = Path(folder, "book.json")
        book.write_text(json.dumps(_book()), encoding="utf-8")
        arguments = ["rate", "--price-book", str(book), "--usage", str(parquet)]
        yield {
            "metric": f"command rate of {EVENTS:,} events from parquet, JSON out",
            "value": round(measure(lambda: _command(*arguments, "--format", "json"), repeat=3), 3),
            "unit": "s",
        }
        yield {
            "metric": "command --help",
            "value": round(measure(lambda: _command("--help")), 3),
            "unit": "s",
            "peer": "python -c pass",
            "peer_value": round(measure(lambda: _python("-c", "pass")), 3),
        }


def _book() -> dict[str, object]:
    """A price book for the events: input dearer from a threshold on, cached input, output."""
    rates = [
        {"unit": "input_tokens", "rate": "0.25"},
        {"unit": "input_tokens", "rate": "0.5", "when": {"request_tokens_at_least": 5_000}},
        {"unit": "cache_read_tokens", "rate": "0.025"},
        {"unit": "output_tokens", "rate": "1.25"},
    ]
    return {
        "schema": "tokenworks.price-book/1",
        "series": "bench",
        "number": 1,
        "currency": "USD",
        "effective_from": moment_text(START_AT),
        "rate_cards": [
            {"model": f"model-{model}", "service_tier": service_tier, "rates": rates}
            for model in range(7)
            for service_tier in ("batch", "standard")
        ],
    }


def _command(*arguments: str) -> None:
    _python("-c", "from billing.cli.main import main; main()", *arguments)


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
