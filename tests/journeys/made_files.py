"""Files that the journeys are made of, and the command run on them inside this process.

Invariant: a book or an event says only what a test is about; everything else is the same plain
default, so that a sum can be done by hand.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from billing.cli.main import run

Json = Any

FORMATS = ("jsonl", "csv", "parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command left: its exit code, its stdout as bytes, its stderr as text."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Json:
        """Stdout as the one JSON document that it is."""
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one line of stderr of a command that did nothing."""
        assert (self.code, self.out) == (2, b""), (self.code, self.text, self.err)
        (line,) = self.err.splitlines()
        assert line.startswith("tokenworks: ")
        return line.removeprefix("tokenworks: ")


def tokenworks(*arguments: str | Path, stdin: bytes = b"") -> Ran:
    """Run the command in this process, its three streams in memory."""
    out, err = io.BytesIO(), io.BytesIO()
    wrapped_out = io.TextIOWrapper(out, encoding="utf-8")
    wrapped_err = io.TextIOWrapper(err, encoding="utf-8")
    with (
        contextlib.redirect_stdout(wrapped_out),
        contextlib.redirect_stderr(wrapped_err),
        mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")),
    ):
        code = run([str(one) for one in arguments])
        wrapped_out.flush()
        wrapped_err.flush()
        return Ran(code=code, out=out.getvalue(), err=err.getvalue().decode())


def rate_of(unit: str, rate: str | None = None, **fields: Json) -> Json:
    """One rate of a card: per million unless ``per`` says otherwise."""
    plain = {} if rate is None else {"rate": rate}
    return {"unit": unit, **plain, **fields}


def card(*rates: Json, model: str = "m", service_tier: str = "standard") -> Json:
    return {"model": model, "service_tier": service_tier, "rates": list(rates)}


def book(*cards: Json, **fields: Json) -> Json:
    """A price book of these cards, number 1 of the series s in USD, in force from 2026-10-01."""
    return {
        "schema": "tokenworks.price-book/1",
        "series": "s",
        "number": 1,
        "currency": "USD",
        "effective_from": "2026-10-01T00:00:00Z",
        **fields,
        "rate_cards": list(cards),
    }


def write_json(path: Path, value: Json) -> Path:
    path.write_bytes(json.dumps(value, ensure_ascii=False).encode())
    return path


def event(number: int, units: Json, **fields: Json) -> Json:
    """Event ``e<number>`` of the account a for model m in standard, at noon of 2026-10-02."""
    return {
        "id": f"e{number}",
        "source": "gw",
        "account": "a",
        "time": "2026-10-02T12:00:00Z",
        "model": "m",
        "service_tier": "standard",
        **fields,
        "units": units,
    }


def cloud_event(one: Json) -> Json:
    """An event as the CloudEvent that a gateway sends."""
    envelope = {"id": one["id"], "source": one["source"], "time": one["time"]}
    moved = {"id", "source", "time", "account"}
    return {
        "specversion": "1.0",
        "type": "tokenworks.usage.v1",
        **envelope,
        "subject": one["account"],
        "data": {name: value for name, value in one.items() if name not in moved},
    }


def write_events(folder: Path, events: Sequence[Json], *, form: str) -> Path:
    """The events as ``usage.<form>`` in a folder."""
    path = folder / f"usage.{form}"
    if form == "jsonl":
        lines = [json.dumps(cloud_event(one), ensure_ascii=False) for one in events]
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return path
    rows = [_flat(one) for one in events]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows([row.get(name, "") for name in columns] for row in rows)
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
        return path
    table = pa.table({name: [_typed(row.get(name), name=name) for row in rows] for name in columns})
    moments = table.column("time").cast(pa.timestamp("us", tz="UTC"))
    at = table.column_names.index("time")
    pq.write_table(table.set_column(at, "time", moments), path)
    return path


def _flat(one: Json) -> dict[str, Json]:
    row = {name: value for name, value in one.items() if name not in ("units", "dimensions")}
    row |= {f"dimensions.{name}": value for name, value in one.get("dimensions", {}).items()}
    return {**row, **one["units"]}


def _typed(value: Json, *, name: str) -> Json:
    return datetime.fromisoformat(value) if name == "time" else value


def amounts(rating: Json) -> dict[tuple[str, ...], str]:
    """The exact amount of each charge by (account, model, service tier, unit)."""
    return {
        (account["account"], one["model"], one["service_tier"], one["unit"]): one["amount"]
        for account in rating["accounts"]
        for one in account["charges"]
    }


def rated(folder: Path, events: Sequence[Json], *books: Json, form: str = "jsonl") -> Ran:
    """``tokenworks rate --format json`` of events under books, all written to a folder."""
    flags: list[str | Path] = []
    for i, value in enumerate(books):
        flags += ["--price-book", write_json(folder / f"book-{i}.json", value)]
    usage = write_events(folder, events, form=form)
    return tokenworks("rate", *flags, "--usage", usage, "--format", "json")


def amount_of(ran: Ran, unit: str = "input_tokens") -> str:
    """The exact amount of one unit of account a, model m, standard, where all rows were taken."""
    assert ran.code == 0, ran.err
    return amounts(ran.json)["a", "m", "standard", unit]
