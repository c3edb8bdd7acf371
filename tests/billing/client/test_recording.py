"""Recording: what a gateway hands over is on the disk, once, as the service will take it.

Invariant: what the service would never take is told at once, and is not on the disk.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from billing.client import SpoolError, UsageClient
from tests.billing.client.made_client import made_client, record
from tests.billing.client.made_network import Answer, MadeService, made_service
from tests.house.tree import REPOSITORY

Json = Any

SHORT = Answer(status=200, body=b"{}", headers={"content-length": "100"})


@pytest.fixture
def service() -> Iterator[MadeService]:
    with made_service() as made:
        yield made


def test_what_was_recorded_is_sent_with_its_key_id_and_moment(
    tmp_path: Path, service: MadeService
) -> None:
    with made_client(tmp_path, url=f"{service.url}/", key="tw_secret") as client:
        given = record(
            client,
            1,
            occurred_at=1_791_000_000_500_000,
            region="eu",
            request_tokens=12,
            outcome="cancelled",
            dimensions={"team": "x"},
            attributes={"retries": 1},
        )
        assert given == "e1"
        assert client.flush(timeout_s=10)
        assert client.pending() == 0
    assert service.keys == {"Bearer tw_secret"}
    assert service.stored == {
        ("gw", "e1"): {
            "specversion": "1.0",
            "type": "tokenworks.usage.v1",
            "id": "e1",
            "source": "gw",
            "subject": "a",
            # 1,791,000,000 s is 2026-10-03T04:00:00Z
            "time": "2026-10-03T04:00:00.500000Z",
            "data": {
                "model": "m",
                "service_tier": "standard",
                "region": "eu",
                "units": {"input_tokens": 10},
                "outcome": "cancelled",
                "dimensions": {"team": "x"},
                "attributes": {"retries": 1},
                "request_tokens": 12,
            },
        }
    }


def test_an_event_without_id_and_moment_gets_them_once_for_all_deliveries(
    tmp_path: Path, service: MadeService
) -> None:
    # Both deliveries reach the service; the answer to the first is lost on the way.
    seen: list[bytes] = []

    def lose_the_first(texts: list[bytes]) -> Answer | None:
        seen.extend(texts)
        if len(seen) == 1:
            service.taken(texts)
            return SHORT
        return None

    service.rule = lose_the_first
    before_at = time.time_ns() // 1000
    with made_client(tmp_path, url=service.url) as client:
        given = client.record(account="a", model="m", service_tier="s", units={"input_tokens": 1})
        assert client.flush(timeout_s=10)
        assert (client.counters.accepted, client.counters.duplicate) == (0, 1)
    assert seen[0] == seen[1]
    event = json.loads(seen[0])
    assert event["id"] == given
    assert len(given) == 32
    moment = datetime.fromisoformat(event["time"])
    assert before_at <= moment.timestamp() * 1e6 + 1


def test_many_threads_and_asyncio_record_at_once(tmp_path: Path, service: MadeService) -> None:
    with made_client(tmp_path, url=service.url) as client:

        async def gateway() -> None:
            calls = (asyncio.to_thread(record, client, number) for number in range(40))
            await asyncio.gather(*calls)

        others = threading.Thread(target=lambda: [record(client, n) for n in range(40, 60)])
        others.start()
        asyncio.run(gateway())
        others.join()
        assert client.flush(timeout_s=10)
        assert client.counters.recorded == 60
    assert len(service.stored) == 60


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"account": ""}, "event subject: "),
        ({"model": "m\n"}, "event data.model: "),
        ({"units": {"tokens": 1}}, "event data.units: "),
        ({"units": {"input_tokens": -1}}, "event data.units: "),
        ({"units": {"input_tokens": 1, "cache_read_tokens": 2}}, "event data.units: "),
        ({"id": "x" * 201}, "event id: "),
        ({"occurred_at": -1}, "must lie between 1970 and 2199"),
        ({"occurred_at": 10**18}, "must lie between 1970 and 2199"),
        ({"occurred_at": 1.791e15}, "occurred_at: must be whole microseconds UTC, not 1791000"),
        ({"occurred_at": True}, "occurred_at: must be whole microseconds UTC, not True"),
        ({"occurred_at": "now"}, "occurred_at: must be whole microseconds UTC, not 'now'"),
        ({"outcome": "won"}, "event data.outcome: "),
        ({"attributes": {"a": None}}, "event: the attribute a must be"),
        ({"attributes": {"a": "x" * 65_536}}, "an event at most 65,536; leave out attributes"),
        ({"dimensions": {"": "x"}}, "event data.dimensions"),
    ],
)
def test_what_the_service_would_never_take_is_not_spooled(
    tmp_path: Path, fields: dict[str, Json], said: str
) -> None:
    with made_client(tmp_path) as client:
        with pytest.raises(ValueError, match=said):
            record(client, 1, **fields)
        assert (client.pending(), client.counters.recorded) == (0, 0)


def test_an_event_that_is_json_already_is_recorded_as_it_is(
    tmp_path: Path, service: MadeService
) -> None:
    text = (
        '{"specversion":"1.0","type":"tokenworks.usage.v1","id":"x","source":"theirs",\n'
        '"subject":"ä","time":"2026-10-03T04:00:00Z",'
        '"data":{"model":"m","service_tier":"s","units":{}}}'
    ).encode()
    with made_client(tmp_path, url=service.url) as client:
        assert client.record_event(text) == "x"
        with pytest.raises(ValueError, match="this is not JSON"):
            client.record_event(b"{")
        assert client.flush(timeout_s=10)
    assert service.stored == {("theirs", "x"): json.loads(text)}


@pytest.mark.parametrize(
    "differing, said",
    [
        ({"url": "billing.example"}, "url: must be such as https://billing.example"),
        ({"url": "ftp://billing.example"}, "url: must be such as"),
        ({"url": "http://x/?a=1"}, "url: must be such as"),
        ({"url": "http://x?"}, "url: must be such as"),
        ({"url": "http://x#part"}, "url: must be such as"),
        ({"url": "http://x/\n"}, "url: must be such as"),
        ({"url": " http://x"}, "url: must be such as"),
        ({"url": "http://bücher.example"}, "url: must be such as"),
        ({"url": "http://x:65536"}, "url: must be such as"),
        ({"url": "http://x:0"}, "url: must be such as"),
        ({"url": "http://[::1"}, "url: must be such as"),
        ({"key": ""}, "key: is not an API key"),
        ({"key": "a b"}, "key: is not an API key"),
        ({"key": "a\r\nx: y"}, "key: is not an API key"),
    ],
)
def test_a_client_that_could_never_send_is_not_made(
    tmp_path: Path, differing: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said), made_client(tmp_path, **differing):
        pass
    assert not (tmp_path / "spool.db").exists()


def test_a_login_in_the_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="without a login") as raised,
        made_client(tmp_path, url="https://dana:secret@billing.example"),
    ):
        pass
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "name, least, most",
    [
        ("max_spool_events", 1, 1_000_000_000),
        ("batch_events", 1, 1_000_000),
        ("batch_bytes", 1, 2**30),
        ("linger_s", 0.001, 3_600),
        ("longest_wait_s", 0.01, 3_600),
        ("answer_timeout_s", 0.1, 3_600),
    ],
)
def test_a_number_with_which_nothing_would_be_sent_is_refused(
    tmp_path: Path, name: str, least: float, most: float
) -> None:
    for taken in (least, most):
        given: Json = {name: taken}
        with made_client(tmp_path, **given):
            pass
    for refused in (0, -1, least * 0.9, most + 1, float("nan")):
        given = {name: refused}
        said = f"{name}: must be from {least} to {most}, not {refused}"
        with (
            pytest.raises(ValueError, match=re.escape(said)),
            made_client(tmp_path, **given),
        ):
            pass


def test_a_closed_client_says_so_and_closing_again_does_nothing(tmp_path: Path) -> None:
    with made_client(tmp_path) as client:
        record(client, 1)
    client.close()
    with pytest.raises(SpoolError, match="was closed; open it anew"):
        record(client, 2)


def test_a_client_that_is_left_sends_what_it_has(tmp_path: Path, service: MadeService) -> None:
    with UsageClient(
        url=service.url, key="k", spool=tmp_path / "s.db", source="gw", linger_s=60
    ) as client:
        record(client, 1)
    assert list(service.stored) == [("gw", "e1")]


def test_the_readme_of_the_client_does_what_it_says(
    tmp_path: Path, service: MadeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (REPOSITORY / "billing" / "client" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(example.replace("https://billing.example", service.url), {})
    assert list(service.stored) == [("gw-eu-1", "resp-7f3")]


def test_the_client_is_imported_without_the_service_or_what_it_needs_to_send() -> None:
    code = "import sys, billing.client; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    heavy = {"fastapi", "pandas", "pyarrow", "duckdb", "sqlalchemy", "pydantic", "urllib3"}
    assert heavy & set(ran.stdout.split()) == set()
