"""Any order, batching and duplication of deliveries ends as a dict that takes each id once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from billing.store.events import NewEvent, read_events
from billing.store.store import Store, open_store
from tests.billing.store.made_rows import event, ingest, own_store
from tests.billing.store.postgresql_server import Server

EVENTS = st.builds(
    event,
    st.sampled_from(["a", "b", "c"]),
    source=st.sampled_from(["s", "t"]),
    digest=st.sampled_from(["d1", "d2"]),
    account=st.sampled_from(["acme", "globex"]),
    occurred_at=st.integers(0, 3),
)
BATCHES = st.lists(st.lists(EVENTS, max_size=8), max_size=6)


class Taken:
    """The model: a dict from identity to the event that has it."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], NewEvent] = {}

    def ingest(self, rows: Sequence[NewEvent]) -> list[str]:
        """The verdicts of a batch."""
        new = []
        for row in sorted(rows, key=lambda e: (e.occurred_at, e.payload_digest, e.account)):
            if self.events.setdefault((row.source, row.id), row) is row:
                new.append(row)
        return [self._kind(row, new=new) for row in rows]

    def _kind(self, row: NewEvent, *, new: list[NewEvent]) -> str:
        first = self.events[row.source, row.id]
        if any(row is accepted for accepted in new):
            return "accepted"
        same = (first.payload_digest, first.account) == (row.payload_digest, row.account)
        return "duplicate" if same else "conflict"


def content(e: object) -> tuple[object, ...]:
    """What of an event must be the same in the store and in the model."""
    names = ("source", "id", "account", "occurred_at", "model", "units", "dimensions")
    return tuple(str(getattr(e, name)) for name in names)


def ingest_all(store: Store, *, batches: Sequence[Sequence[NewEvent]]) -> tuple[object, object]:
    """The verdicts of the batches, and what an empty store holds afterwards."""
    verdicts = [[v.kind for v in ingest(store, rows=rows)] for rows in batches]
    with store.read() as connection:
        stored = sorted(
            content(e)
            for account in ("acme", "globex")
            for e in read_events(connection, account=account)
        )
    return verdicts, stored


@given(batches=BATCHES)
def test_the_store_says_and_keeps_what_a_dict_would(
    made_file: Path, batches: list[list[NewEvent]]
) -> None:
    with own_store(made_file) as store:
        _check_dict(store, batches=batches)


# As many examples as new databases take a second or two; the lookups are other ones there.
@settings(max_examples=15)
@given(batches=BATCHES)
def test_a_postgresql_store_says_and_keeps_what_a_dict_would(
    server: Server, batches: list[list[NewEvent]]
) -> None:
    with server.database(template="made") as url, open_store(url) as store:
        _check_dict(store, batches=batches)


def _check_dict(store: Store, *, batches: list[list[NewEvent]]) -> None:
    model = Taken()
    said = [model.ingest(rows) for rows in batches]
    verdicts, stored = ingest_all(store, batches=batches)
    assert verdicts == said
    assert stored == sorted(content(e) for e in model.events.values())


@given(data=st.data())
def test_without_conflicts_order_batching_and_duplication_change_nothing(
    made_file: Path, data: st.DataObject
) -> None:
    events = [event(f"e{n}", occurred_at=n) for n in range(5)]
    deliveries = data.draw(st.lists(st.sampled_from(events), max_size=12)) + events
    deliveries = data.draw(st.permutations(deliveries))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(deliveries)), max_size=4)))
    bounds = list(zip([0, *cuts], [*cuts, len(deliveries)], strict=True))
    with own_store(made_file) as store:
        verdicts, stored = ingest_all(store, batches=[deliveries[a:b] for a, b in bounds])
    assert stored == sorted(content(e) for e in events)
    said = [kind for batch in verdicts for kind in batch]  # type: ignore[attr-defined]
    # 5 accepted, each other delivery a duplicate, no conflict.
    assert sorted(said) == ["accepted"] * 5 + ["duplicate"] * (len(deliveries) - 5)
