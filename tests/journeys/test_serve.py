"""The service as a process: started, asked, stopped, killed under load, and started again.

Invariant: every event that was called accepted is in the store, once, whatever ended the process
(I40, I41; faults 6, 7, 15, 106, 110, 111, 114).
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from billing.operations.verify import verify
from billing.store.events import read_events
from billing.store.store import open_store
from tests.billing.api.made_service import lines, sent
from tests.billing.operations.made_ingest import made_store
from tests.house.tree import REPOSITORY
from tests.journeys.made_files import tokenworks

Json = Any

ROUNDS = 3
"""How often the service is killed; each start takes a second or two."""

SENDERS = 8
OCTOBER = "?start_at=2026-10-01T00:00:00Z&end_at=2026-11-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A service in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(
        self, method: str, path: str, *, key: str = "", body: bytes = b"", form: str = ""
    ) -> tuple[int, Json]:
        """One request on a connection of its own; OSError where the service is gone."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            headers = {"authorization": f"Bearer {key}", "content-type": form}
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def post(self, body: bytes, *, key: str) -> tuple[int, Json]:
        """Send JSON lines."""
        return self.ask("POST", "/v1/events", key=key, body=body, form="application/x-ndjson")

    def raw(self, data: bytes) -> bytes:
        """What the service says to bytes, until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            with suppress(OSError):
                connection.sendall(data)
            parts = []
            with suppress(OSError):
                while part := connection.recv(65_536):
                    parts.append(part)
            return b"".join(parts)


@contextmanager
def serving(store: Path, *, before: str = "", **environment: str) -> Iterator[Running]:
    """``tokenworks serve`` on a store, killed at the end if it still runs.

    ``before``: what the process does first.
    """
    log = store.with_suffix(".log")
    with started("--store", str(store), log=log, before=before, environment=environment) as running:
        yield running


@contextmanager
def started(
    *options: str, log: Path, before: str = "", environment: Mapping[str, str]
) -> Iterator[Running]:
    """``tokenworks serve`` with these options, killed at the end if it still runs."""
    code = f"{before}\nfrom billing.cli.main import main; main()"
    arguments = ["serve", *options, "--port", "0", "--format", "json"]
    with (
        log.open("ab") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **environment},
        ) as process,
    ):
        assert process.stdout is not None
        said = b""
        while not said.endswith(b"}\n"):
            line = process.stdout.readline()
            assert line, log.read_text()
            said += line
        port = int(json.loads(said)["url"].rpartition(":")[2])
        try:
            yield Running(process=process, port=port, log=log)
        finally:
            process.kill()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    file = tmp_path / "store.db"
    file.write_bytes(made_store())
    return file


def made_key(store: Path, *scope: str) -> str:
    """A key that the command made."""
    flags = ("--name", "test", "--by", "me", "--store", store, "--format", "json")
    ran = tokenworks("key", "make", "--scope", *(scope or ("operator",)), *flags)
    assert ran.code == 0, ran.err
    key: str = ran.json["key"]
    return key


def stored_ids(store: Path, *, account: str = "a") -> list[str]:
    with open_store(store) as opened, opened.read() as connection:
        return [one.id for one in read_events(connection, account=account)]


def test_events_go_in_and_usage_comes_out_and_the_service_stops_when_told(store: Path) -> None:
    key = made_key(store)
    with serving(store) as running:
        status, ready = running.ask("GET", "/readyz")
        assert (status, ready) == (200, {"status": "ready", "epoch": 1})
        status, answer = running.post(lines([sent(1, 10), sent(2, 5)]), key=key)
        assert (status, answer["accepted"]) == (200, 2)
        status, usage = running.ask("GET", f"/v1/accounts/a/usage{OCTOBER}", key=key)
        assert [(one["unit"], one["count"]) for one in usage["data"]] == [
            ("input_tokens", 15),
            ("requests", 2),
        ]
        prefix = key[:13]
        flags = ("--reason", "lost", "--by", "me", "--store", store)
        assert tokenworks("key", "revoke", prefix, *flags).code == 0
        deadline_s = time.monotonic() + 20
        while running.post(lines([sent(3)]), key=key)[0] != 401:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 0
    assert stored_ids(store)[:2] == ["e1", "e2"]
    log = running.log.read_text()
    assert all(json.loads(line) for line in log.splitlines())
    assert key not in log
    assert tokenworks("verify", "--store", store).code == 0


def test_told_to_stop_it_answers_what_it_began(store: Path) -> None:
    key = made_key(store)
    found: list[tuple[int, Json]] = []
    with serving(store) as running:
        assert running.ask("GET", "/readyz")[0] == 200
        large = lines([sent(n) for n in range(5_000)])

        def send() -> None:
            with suppress(OSError, http.client.HTTPException):
                found.append(running.post(large, key=key))

        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(0.3)
        running.process.send_signal(signal.SIGTERM)
        sender.join()
        assert running.process.wait(30) == 0
    # Drained, or cleanly refused: what was acknowledged is there, and nothing in part (fault 15).
    assert len(stored_ids(store)) in ([5_000] if found and found[0][0] == 200 else [0, 5_000])


@dataclass(slots=True)
class Sender:
    """Sends events until the service is gone, and notes what was acknowledged."""

    running: Running
    key: str
    name: str
    acknowledged: set[str]
    tried: set[str]
    last: bytes = b""
    """The body of the last request that was acknowledged."""

    def send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=30)
        headers = {
            "authorization": f"Bearer {self.key}",
            "content-type": "application/x-ndjson",
            "content-encoding": "gzip",
        }
        with closing(connection), suppress(OSError, http.client.HTTPException):
            for number in range(100_000):
                size = 1 if number % 3 else 20
                ids = [f"{self.name}-{number}-{n}" for n in range(size)]
                events = [{**sent(0, n + 1), "id": one} for n, one in enumerate(ids)]
                # The last one again: a duplicate in each request, and of the request before.
                events += [events[-1]]
                self.tried.update(ids)
                body = lines(events)
                packed = gzip.compress(body, 1)
                connection.request("POST", "/v1/events", body=packed, headers=headers)
                answer = connection.getresponse()
                found = json.loads(answer.read())
                assert answer.status == 200, found
                for one in found["events"]:
                    assert one["verdict"] in ("accepted", "duplicate")
                    self.acknowledged.add(one["id"])
                self.last = body


def test_killed_under_load_it_keeps_every_event_that_it_acknowledged_once(store: Path) -> None:
    key = made_key(store)
    acknowledged: set[str] = set()
    tried: set[str] = set()
    last = b""
    for round_number in range(ROUNDS):
        with serving(store) as running:
            if last:  # sent again after the kill, it is a duplicate (fault 6)
                again = running.post(last, key=key)[1]
                assert again["duplicate"] == again["received"]
            senders = [
                Sender(running, key, f"{round_number}-{n}", set(), set()) for n in range(SENDERS)
            ]
            threads = [threading.Thread(target=one.send) for one in senders]
            for one in threads:
                one.start()
            # Each round is killed at another moment, but not before something was acknowledged.
            while sum(len(one.acknowledged) for one in senders) < 40 * (round_number + 1):
                assert any(one.is_alive() for one in threads)
                time.sleep(0.005)
            running.process.kill()
            for one in threads:
                one.join()
        for sender in senders:
            acknowledged |= sender.acknowledged
            tried |= sender.tried
            last = sender.last or last
        stored = stored_ids(store)
        assert len(stored) == len(set(stored))
        assert acknowledged <= set(stored) <= tried
        with open_store(store) as opened:
            report = verify(opened)
            assert report.holds, report
    assert len(acknowledged) >= 40 * ROUNDS


def test_a_disk_that_takes_no_more_is_said_and_what_was_acknowledged_is_there(store: Path) -> None:
    # No file may grow beyond 300 kB: the write-ahead log reaches that after a few requests.
    key = made_key(store)
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))"
    acknowledged: set[str] = set()
    with serving(store, before=full, TOKENWORKS_LOG_LEVEL="error") as running:
        for number in range(100):
            events = [sent(1_000 * number + n) for n in range(200)]
            status, answer = running.post(lines(events), key=key)
            if status == 503:
                break
            assert (status, answer["accepted"]) == (200, 200)
            acknowledged |= {one["id"] for one in answer["events"]}
        assert status == 503
        assert answer["type"] == "urn:tokenworks:problem:unavailable"
        assert str(store) not in answer["detail"]
        assert acknowledged
        assert running.ask("GET", "/healthz")[0] == 200
    with serving(store) as running:  # room was made
        status, answer = running.post(lines(events), key=key)
        assert (status, answer["accepted"]) == (200, 200)
    assert set(stored_ids(store)) == acknowledged | {one["id"] for one in events}
    with open_store(store) as opened:
        assert verify(opened).holds


HEAD = b"POST /v1/events HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that waits a second for headers and for bodies."""
    file = tmp_path_factory.mktemp("hurried") / "store.db"
    file.write_bytes(made_store())
    (file.parent / "key").write_text(made_key(file))
    with serving(file, TOKENWORKS_BODY_TIMEOUT_S="1", TOKENWORKS_MAX_BODY_BYTES="2048") as running:
        yield running


def head(running: Running, **more: str) -> bytes:
    """The head of a request with a key."""
    key = (running.log.parent / "key").read_text()
    named: Mapping[str, str] = {
        "authorization": f"Bearer {key}",
        "content-type": "application/x-ndjson",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return HEAD + b"".join(f"{name}: {value}\r\n".encode() for name, value in named.items())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"POST /v1/ev",
        b"\r\n",
        HEAD,
        HEAD + b"x-a: " + b"a" * 70_000,
    ],
    ids=["nothing", "half a line", "an empty line", "half a head", "a long head"],
)
def test_a_head_that_does_not_end_is_given_up(hurried: Running, data: bytes) -> None:
    answer = hurried.raw(data)
    assert answer in (b"",) or answer.startswith(b"HTTP/1.1 400 ")
    assert hurried.ask("GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    "more, body, status",
    [
        ({"content_length": "50"}, b"{", b"408"),
        ({"transfer_encoding": "chunked"}, b"5\r\n{", b"408"),
        ({"content_length": "2049"}, b"", b"413"),
        ({"content_length": "9" * 30}, b"", b"4"),
        ({"transfer_encoding": "chunked"}, b"900\r\n" + b"a" * 0x900 + b"\r\n0\r\n\r\n", b"413"),
        ({"content_length": "5", "transfer_encoding": "chunked"}, b"0\r\n\r\n", b"400"),
        ({"content_length": "-1"}, b"", b"400"),
        ({"transfer_encoding": "chunked"}, b"zz\r\n", b"4"),
    ],
)
def test_a_body_that_does_not_come_or_is_too_large_is_given_up(
    hurried: Running, more: dict[str, str], body: bytes, status: bytes
) -> None:
    answer = hurried.raw(head(hurried, **more) + b"\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert b"application/problem+json" in answer
    assert hurried.ask("GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100],
)
def test_what_is_no_http_is_answered_with_a_problem(hurried: Running, data: bytes) -> None:
    answer = hurried.raw(data)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"urn:tokenworks:problem:no-http" in answer


def test_who_goes_away_early_has_stored_it_once(hurried: Running) -> None:
    body = lines([sent(77)])
    request = head(hurried, content_length=str(len(body))) + b"\r\n" + body
    for read in range(0, 40, 8):
        with socket.create_connection(("127.0.0.1", hurried.port), timeout=30) as connection:
            connection.sendall(request)
            if read:
                connection.recv(read)
    key = (hurried.log.parent / "key").read_text()
    status, answer = hurried.post(body, key=key)
    assert (status, answer["duplicate"]) == (200, 1)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--workers", "2"), "--workers: one process serves a store"),
        (("--host", "192.0.2.1", "--port", "1"), "192.0.2.1:1: cannot be listened on"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    store: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in tokenworks("serve", "--store", store, *arguments).sentence


def test_a_store_that_cannot_be_written_or_a_wrong_setting_is_not_served(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.chmod(0o400)
    assert "is read-only" in tokenworks("serve", "--store", store, "--port", "0").sentence
    monkeypatch.setenv("TOKENWORKS_LOG_LEVL", "info")
    said = tokenworks("serve", "--store", store, "--port", "0").sentence
    assert said == "TOKENWORKS_LOG_LEVL: is not a setting; did you mean TOKENWORKS_LOG_LEVEL?"
