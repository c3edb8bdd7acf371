"""Commands over HTTP, killed before and after their commit: whoever sends one again under its
idempotency key has it done once, and is told the same (I11, I42; fault 6).

Invariant: the kill comes after the answer was written into the transaction, before it is sent.
"""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from billing.operations.verify import verify
from billing.store.store import open_store
from tests.billing.api.made_service import lines, sent
from tests.billing.operations.made_ingest import made_store
from tests.survival.forked_services import Order
from tests.survival.killing import Forking, Service, made_load

Json = Any

GONE = (ConnectionError, http.client.HTTPException)
"""How a connection ends whose server is killed."""

MONTH = {"start_at": "2026-10-01T00:00:00Z", "end_at": "2026-11-01T00:00:00Z"}
BACKFILL = {"account": "a", **MONTH, "reason": "a meter was wrong"}
VOID = {"kind": "void", "source": "gw", "reason": "sent twice"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A store before a command; ``names``: of the correction and the backfill that it holds."""

    file: Path
    key: str
    names: Mapping[str, str]


@contextmanager
def running(forks: Forking, file: Path, *, point: str = "") -> Iterator[Service]:
    """A service on a file, which ends at a point of the first command, or is told to stop."""
    service = forks.start(Order(store=str(file), point=point, after="command_answer.appended"))
    try:
        yield service
    finally:
        if point:
            assert service.wait()["killed_by"] == signal.SIGKILL
        else:
            assert service.stop() == 0


@pytest.fixture(scope="module")
def before(forks: Forking, tmp_path_factory: pytest.TempPathFactory) -> Before:
    """Four events, of which the first is voided, and an open backfill of two others."""
    file = tmp_path_factory.mktemp("commands") / "before.db"
    file.write_bytes(made_store())
    key = made_load(str(file), seed=0).key
    with running(forks, file) as service:

        def post(path: str, body: bytes, form: str = "application/json") -> Json:
            headers = {"content-type": form}
            status, _, answer = service.ask("POST", path, key=key, body=body, headers=headers)
            assert status in (200, 201), answer
            return answer

        events = lines([sent(n) for n in range(1, 5)])
        post("/v1/events", events, "application/x-ndjson")
        voided = post("/v1/corrections", as_json({"corrections": [{**VOID, "id": "e1"}]}))
        opened = post("/v1/backfills", as_json(BACKFILL))["backfill"]
        anew = lines([sent(4), sent(5), sent(6)])
        post(f"/v1/backfills/{opened}/events", anew, "application/x-ndjson")
    correction = voided["corrections"][0]["correction"]
    return Before(file=file, key=key, names={"correction": correction, "backfill": opened})


def as_json(value: Json) -> bytes:
    return json.dumps(value).encode()


def rows(file: Path) -> dict[str, int]:
    """How many rows each table has."""
    with closing(sqlite3.connect(file)) as raw:
        tables = raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: raw.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for (name,) in tables
        }


AMEND = {**VOID, "kind": "amend", "id": "e3", "event": sent(7)}
COMMANDS: Mapping[str, Json] = {
    "/v1/corrections": {"corrections": [{**VOID, "id": "e2"}, AMEND]},
    "/v1/corrections/{correction}/revert": {"reason": "it was right"},
    "/v1/backfills": BACKFILL,
    "/v1/backfills/{backfill}/apply": {"events": 3},
    "/v1/keys": {"scope": "ingest", "name": "gateway"},
}


@pytest.mark.parametrize("route", COMMANDS)
def test_a_command_that_is_killed_and_sent_again_is_done_once(
    forks: Forking, before: Before, tmp_path: Path, route: str
) -> None:
    path = route.format(**before.names)
    headers = {"content-type": "application/json", "idempotency-key": "once"}

    def send(service: Service) -> tuple[int, Mapping[str, str], Json]:
        return service.ask(
            "POST", path, key=before.key, body=as_json(COMMANDS[route]), headers=headers
        )

    def fresh(name: str) -> Path:
        return Path(shutil.copyfile(before.file, tmp_path / name))

    whole = fresh("whole.db")
    with running(forks, whole) as service:
        status, _, _ = send(service)
    assert status in (200, 201)
    done, nothing = rows(whole), rows(before.file)
    assert done != nothing
    for point, left in (("write.uncommitted", nothing), ("write.committed", done)):
        file = fresh(f"{point}.db")
        with running(forks, file, point=point) as service, pytest.raises(GONE):
            send(service)
        assert rows(file) == left, point
        with running(forks, file) as service:
            again = send(service)
        assert again[0] == status
        assert ("idempotent-replayed" in again[1]) == (left == done)
        assert rows(file) == done, point
        with open_store(file) as store:
            assert verify(store).holds
