"""A usage file as it is delivered: how it is read, the digest that names it, and its rows in parts.

Invariant: the parts depend on the bytes, on how they are read and on the size asked for alone, so
that a part is known again by its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from billing.engines.event_source import EventFile, EventTable
from billing.engines.file_events import file_events, table_parts
from billing.intake.assignment import Assignment
from billing.intake.azure_trace import read_azure_trace
from billing.intake.cloud_events import read_cloud_events
from billing.intake.mooncake_trace import read_mooncake_trace
from billing.operations.files import read_file
from billing.operations.usage import event_file, read_as, readable
from pricing_rules.document import DocumentError, JsonValue, content_digest
from pricing_rules.period import moment_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """How a public trace becomes events: which one it is, when it starts, and who sent it."""

    kind: Literal["azure", "mooncake"]
    starting_at: int
    assignment: Assignment

    def as_json(self) -> dict[str, JsonValue]:
        """All that decides which events a trace becomes, besides its bytes."""
        assigned = self.assignment
        return {
            "starting_at": moment_text(self.starting_at),
            "accounts": [list(pair) for pair in assigned.accounts],
            "models": [list(pair) for pair in assigned.models],
            "service_tiers": [list(pair) for pair in assigned.service_tiers],
        }


class UsageFile:
    """A usage file: CloudEvents, CSV or Parquet by its ending, or a trace.

    ``reading``: the SHA-256 of its bytes and how they are read. ``digest``: of both, since the same
    bytes read otherwise hold other events. DocumentError where the file cannot be read, or its
    ending is not known.
    """

    def __init__(self, path: Path, *, trace: Trace | None) -> None:
        self.path = path
        self.trace = trace
        kind = trace.kind if trace else read_as(path)
        self._data: bytes | None = None
        with readable(path):
            if trace is None and kind != "CloudEvents":
                event_file(path)
                self._stamp = _stamp(path)
                with path.open("rb") as stream:
                    sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            else:
                self._data = read_file(path)
                sha256 = hashlib.sha256(self._data).hexdigest()
        self.reading: Mapping[str, JsonValue] = {
            "sha256": sha256,
            "read_as": kind,
            **(trace.as_json() if trace else {}),
        }
        self.digest = content_digest(dict(self.reading))

    def parts(self, batch_rows: int) -> Iterator[EventTable]:
        """The rows, ``batch_rows`` at a time; DocumentError where it is no usage file."""
        if self._data is not None:
            yield from table_parts(self._table(self._data), batch_rows=batch_rows)
            return
        with readable(self.path):
            for part in file_events(event_file(self.path), batch_rows=batch_rows):
                self.refuse_changed()
                yield part

    def source(self) -> EventTable | EventFile:
        """All its rows, as an engine reads them."""
        return event_file(self.path) if self._data is None else self._table(self._data)

    def refuse_changed(self) -> None:
        """DocumentError where the bytes are no longer those of the digest."""
        if self._data is None and _stamp(self.path) != self._stamp:
            raise DocumentError(str(self.path), "was changed while it was read; run it again")

    def _table(self, data: bytes) -> EventTable:
        name, trace = self.path.name, self.trace
        if trace is None:
            table, rejected = read_cloud_events(data, name=name)
        else:
            read = read_azure_trace if trace.kind == "azure" else read_mooncake_trace
            table, rejected = read(
                data, name=name, starting_at=trace.starting_at, assignment=trace.assignment
            )
        return EventTable(table=table, rejected=rejected, name=name)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
