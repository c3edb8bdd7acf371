"""Backfills over HTTP: staged as events are posted, applied and reverted once, shown in pages."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx2
import pytest

from billing.operations.verify import verify
from tests.billing.api.made_service import BATCH, LINES, Made, lines, sent, verdicts

Json = Any

NEW = {
    "account": "a",
    "start_at": "2026-10-01T00:00:00Z",
    "end_at": "2026-11-01T00:00:00Z",
    "reason": "the meter was wrong",
}


def command(made: Made, path: str, body: Json, **headers: str) -> httpx2.Response:
    return made.post(body, form="application/json", path=f"/v1/backfills{path}", headers=headers)


def opened(made: Made, **fields: Json) -> str:
    answer = command(made, "", {**NEW, **fields})
    assert answer.status_code == 201, answer.text
    name: str = answer.json()["backfill"]
    return name


def staged(made: Made, name: str, events: list[Json]) -> httpx2.Response:
    return made.post(events, form=BATCH, path=f"/v1/backfills/{name}/events")


def requests(made: Made) -> int:
    """How many events of the account count in October."""
    found = made.usage(step="period").json()["data"]
    return sum(one["count"] for one in found if one["unit"] == "requests")


def test_a_backfill_is_opened_staged_applied_and_reverted(made: Made) -> None:
    made.post([sent(1), sent(2)], form=BATCH)
    name = opened(made)
    assert name.startswith("bf_")
    assert len(name) == 3 + 32
    assert verdicts(staged(made, name, [sent(2), sent(3), sent(4)])) == ["accepted"] * 3
    before = made.get(f"/v1/backfills/{name}").json()
    assert (before["state"], before["staged"], before["added"]) == ("open", 3, None)
    assert requests(made) == 2  # nothing counts yet
    applied = command(made, f"/{name}/apply", {"events": 3})
    assert applied.status_code == 200
    found = applied.json()
    counts = [found[key] for key in ("staged", "added", "kept", "restored", "voided", "epoch")]
    assert (found["state"], counts) == ("applied", [3, 2, 1, 0, 1, 1])
    assert requests(made) == 3
    reverted = command(made, f"/{name}/revert", {"reason": "it was right"}).json()
    assert (reverted["state"], reverted["reversal"][:4]) == ("reverted", "cor_")
    assert requests(made) == 2
    assert made.get(f"/v1/backfills/{name}").json() == reverted
    assert verify(made.store).holds


def test_asked_for_again_it_is_answered_the_same(made: Made) -> None:
    name = opened(made)
    staged(made, name, [sent(1)])
    for path, body in (("apply", {"events": 1}), ("revert", {"reason": "r"})):
        first = command(made, f"/{name}/{path}", body)
        again = command(made, f"/{name}/{path}", body)
        assert (first.status_code, again.json()) == (200, first.json())


def test_with_an_idempotency_key_one_backfill_is_opened(made: Made) -> None:
    answers = [command(made, "", NEW, **{"idempotency-key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert len(made.get("/v1/backfills").json()["data"]) == 1


def test_staging_takes_every_form_of_events_and_names_what_it_refuses(made: Made) -> None:
    made.post(sent(9, 9))
    name = opened(made)
    path = f"/v1/backfills/{name}/events"
    assert made.post(sent(1), path=path).status_code == 200
    packed = gzip.compress(lines([sent(2), sent(3)]))
    answer = made.post(packed, form=LINES, path=path, headers={"content-encoding": "gzip"})
    assert verdicts(answer) == ["accepted", "accepted"]
    mixed = [sent(1), sent(1, 11), sent(9, 10), 5, sent(4, account="b"), sent(5)]
    answer = staged(made, name, mixed)
    assert answer.status_code == 207
    kinds = ["duplicate", "conflict", "conflict", "rejected", "rejected", "accepted"]
    assert verdicts(answer) == kinds
    told = answer.json()
    counts = [told[key] for key in ("received", "accepted", "duplicate", "conflict", "rejected")]
    assert counts == [6, 1, 1, 2, 2]
    assert told["events"][4]["pointer"] == "/subject"
    answer = staged(made, name, [sent(1, 12), sent(9, 11)])
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:tokenworks:problem:conflict")
    answer = staged(made, name, [sent(6, time="2026-11-01T00:00:00Z"), 5])
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:tokenworks:problem:events-refused"
    assert answer.json()["detail"].startswith("no event was staged; the first: /time 2026-11-01")
    assert made.get(f"/v1/backfills/{name}").json()["staged"] == 4


def test_an_event_without_a_time_is_not_staged(made: Made) -> None:
    name = opened(made, end_at="2026-12-01T00:00:00Z")  # now lies in the range
    event = sent(1)
    del event["time"]
    answer = staged(made, name, [event])
    (told,) = answer.json()["events"]
    assert (answer.status_code, told["pointer"]) == (400, "/time")
    assert told["reason"] == "is missing; in a backfill each event says when it happened"


@pytest.mark.parametrize(
    "path, body, status, detail",
    [
        ("", {**NEW, "end_at": NEW["start_at"]}, 400, "end_at: must lie after start_at"),
        ("", {**NEW, "start_at": "1999-12-31T00:00:00Z"}, 400, "start_at: 1999-12-31T00:00:00Z"),
        ("", {**NEW, "reason": ""}, 400, "reason: "),
        ("", {**NEW, "account": 5}, 400, "account: "),
        ("/bf_none/apply", {"events": 0}, 404, "there is nothing here"),
        ("/bf_none/revert", {"reason": "r"}, 404, "there is nothing here"),
        ("/bf_none/drop", {}, 404, "there is nothing here"),
        ("/{open}/apply", {"events": 2}, 400, "events: 1 events are staged, not 2"),
        ("/{open}/apply", {}, 400, "events: "),
        ("/{open}/apply", {"events": -1}, 400, "events: "),
        ("/{open}/revert", {"reason": "r"}, 400, "backfill {open}: was not applied"),
        ("/{applied}/drop", {}, 400, "backfill {applied}: was applied already"),
    ],
)
def test_what_is_refused_is_said_in_one_sentence(
    made: Made, path: str, body: Json, status: int, detail: str
) -> None:
    names = {"open": opened(made), "applied": opened(made)}
    staged(made, names["open"], [sent(1)])
    command(made, f"/{names['applied']}/apply", {"events": 0})
    answer = command(made, path.format(**names), body)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail.format(**names))


def test_events_of_an_unknown_or_applied_backfill_are_refused(made: Made) -> None:
    assert staged(made, "bf_none", [sent(1)]).status_code == 404
    assert made.get("/v1/backfills/bf_none").status_code == 404
    name = opened(made)
    command(made, f"/{name}/apply", {"events": 0})
    answer = staged(made, name, [sent(1)])
    assert (answer.status_code, answer.json()["type"]) == (
        400,
        "urn:tokenworks:problem:bad-request",
    )


def test_what_was_dropped_is_staged_anew(made: Made) -> None:
    name = opened(made)
    staged(made, name, [sent(1), sent(2)])
    dropped = command(made, f"/{name}/drop", {})
    assert (dropped.status_code, dropped.json()["staged"]) == (200, 0)
    assert verdicts(staged(made, name, [sent(1, 11)])) == ["accepted"]


def test_backfills_come_in_pages(made: Made) -> None:
    names = {account: [opened(made, account=account) for _ in range(3)] for account in "ab"}
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = made.get("/v1/backfills", account="b", limit="2", **cursor).json()
        found += [one["backfill"] for one in page["data"]]
        if page["cursor"] is None:
            break
        cursor = {"cursor": page["cursor"]}
    assert sorted(found) == sorted(names["b"])
    everyone = made.get("/v1/backfills").json()
    assert (len(everyone["data"]), everyone["cursor"]) == (6, None)
    assert made.get("/v1/backfills", account="a", **cursor).status_code == 400


def test_only_an_operator_may(made: Made) -> None:
    name = opened(made)
    for scope, account in (("ingest", ""), ("account", "a")):
        key = made.key(scope, account=account)  # type: ignore[arg-type]
        for path in ("", f"/{name}/events", f"/{name}/apply", f"/{name}/revert", f"/{name}/drop"):
            answer = made.post(b"{}", form="application/json", path=f"/v1/backfills{path}", key=key)
            assert answer.status_code == 403
        for path in ("", f"/{name}"):
            assert made.get(f"/v1/backfills{path}", key=key).status_code == 403


def test_who_did_it_is_the_key(made: Made) -> None:
    name = opened(made)
    command(made, f"/{name}/apply", {"events": 0})
    with made.store.read() as connection:
        rows = connection.exec_driver_sql(
            'SELECT command, "by", detail FROM audit WHERE subject = ? ORDER BY seq', (name,)
        ).all()
    who = f"test ({made.operator[:13]})"
    assert [(row[0], row[1]) for row in rows] == [("backfill open", who), ("backfill apply", who)]
    assert json.loads(rows[1][2]) == {"corrections": [name]}
