"""The service is the same on each kind of database (I50)."""

from __future__ import annotations

import threading
from itertools import count

from billing.operations.verify import verify
from billing.settings import Settings
from billing.store.store import Store
from tests.billing.api.made_service import BATCH, Made, sent, served, verdicts


def test_events_usage_and_keys_are_the_same_on_each_database(store: Store) -> None:
    with served(store, settings=Settings(key_fresh_s=0)) as made:
        mixed = made.post([sent(1), 5, sent(1), sent(2, account="b")], form=BATCH)
        assert verdicts(mixed) == ["accepted", "rejected", "duplicate", "accepted"]
        assert made.post(sent(1, 11)).status_code == 409
        own = made.key("ingest", account="a")
        assert verdicts(made.post(sent(1, 7), key=own)) == ["accepted"]
        reader = made.key("account", account="a")
        page = made.usage(key=reader, by="model,dimensions.team", limit="1").json()
        (first,) = page["data"]
        assert (first["unit"], first["count"]) == ("input_tokens", 17)
        last = made.usage(
            key=reader, by="model,dimensions.team", limit="1", cursor=page["cursor"]
        ).json()
        assert [(one["unit"], one["count"]) for one in last["data"]] == [("requests", 2)]
        assert last["cursor"] is None
        assert made.usage("b", key=reader).status_code == 404
        assert made.get("/readyz").json() == {"status": "ready", "epoch": 1}
        assert verify(store).holds


def test_requests_at_once_store_each_event_once_on_each_database(store: Store) -> None:
    with served(store, settings=Settings()) as made:
        found: list[str] = []
        numbers = count()

        def post(made: Made) -> None:
            for _ in range(5):
                number = next(numbers) % 10
                found.extend(verdicts(made.post([sent(number), sent(100 + number)], form=BATCH)))

        threads = [threading.Thread(target=post, args=[made]) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        # 40 requests of 2 events, of which 20 are different.
        assert sorted(found) == ["accepted"] * 20 + ["duplicate"] * 60
        assert verify(store).holds
