"""Backtest and usage mix of 10M events from Parquet: wall time and peak memory of the command.

Invariant: the command runs in a process of its own, so that its peak is not that of the
preparation; both sides have context steps of their own, and the usage spans three months.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from billing.cli.main import run as run_command
from pricing_rules.period import MICROSECONDS, parse_moment
from tests.house.tree import REPOSITORY

EVENTS = 10_000_000
START_AT = parse_moment("2026-10-01T00:00:00Z")
STEP = 60 * 86_400 * MICROSECONDS // EVENTS

# 1,000 accounts, 7 models, 2 service tiers, 2 regions over 60 days. Ids are hashes, as real ones
# are, so that they compress badly.
_EVENTS_SQL = f"""
COPY (
  SELECT md5(i::VARCHAR) AS id, 'gateway' AS source, 'account-' || (i % 1000) AS account,
    make_timestamptz({START_AT} + i * {STEP}) AS time, 'model-' || (i % 7) AS model,
    CASE WHEN i % 5 = 0 THEN 'batch' ELSE 'standard' END AS service_tier,
    CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END AS region,
    1000 + i % 9000 AS input_tokens, i % 900 AS cache_read_tokens, i % 700 AS output_tokens
  FROM range({EVENTS}) AS events(i)
) TO '{{path}}' (FORMAT parquet)
"""


def run() -> Iterator[dict[str, object]]:
    """Seconds and MB of a backtest with a page, and of a usage mix."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        usage = folder / "usage.parquet"
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(_EVENTS_SQL.format(path=usage))
        old = _book(folder, number=1, rates=("0.25", "0.5", "1.25"), threshold_tokens=5_000)
        new = _book(folder, number=2, rates=("0.27", "0.5", "1.1"), threshold_tokens=6_000)
        commands = {
            "backtest": (
                *("backtest", "--price-book", new, "--against", old, "--usage", usage),
                *("--report", folder / "page.html", "--format", "json"),
            ),
            "usage mix": ("usage", "mix", "--usage", usage, "--out", folder / "mix.json"),
        }
        for command, arguments in commands.items():
            figures = _measured([str(one) for one in arguments])
            label = f"{command} of {EVENTS:,} events from parquet"
            yield {"metric": label, "value": figures["seconds"], "unit": "s"}
            yield {"metric": f"{label}, peak RSS", "value": figures["peak_mb"], "unit": "MB"}


def _book(folder: Path, *, number: int, rates: tuple[str, str, str], threshold_tokens: int) -> Path:
    """A price book for the events: input dearer from a threshold on, cached input, output."""
    entries = [
        {"unit": "input_tokens", "rate": rates[0]},
        {
            "unit": "input_tokens",
            "rate": rates[1],
            "when": {"request_tokens_at_least": threshold_tokens},
        },
        {"unit": "cache_read_tokens", "rate": "0.025"},
        {"unit": "output_tokens", "rate": rates[2]},
    ]
    value = {
        "schema": "tokenworks.price-book/1",
        "series": "bench",
        "number": number,
        "currency": "USD",
        "effective_from": "2026-10-01T00:00:00Z",
        "rate_cards": [
            {"model": f"model-{model}", "service_tier": service_tier, "rates": entries}
            for model in range(7)
            for service_tier in ("batch", "standard")
        ],
    }
    path = folder / f"book-{number}.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def _measured(arguments: list[str]) -> dict[str, object]:
    """The command in a fresh process, its start included."""
    started_s = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.bench_backtest", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - started_s
    peak_kb = int(ran.stderr.rsplit("peak_kb=", 1)[1])
    return {"seconds": round(seconds, 2), "peak_mb": round(peak_kb / 1024, 1)}


if __name__ == "__main__":
    code = run_command(sys.argv[1:])
    print(f"peak_kb={resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", file=sys.stderr)
    sys.exit(code)
