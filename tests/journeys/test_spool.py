"""The spool of a gateway that is gone: looked at, and sent to the service by a person.

Invariant: what a person sends is what the gateway recorded, and it goes once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.client.spool import Spool
from tests.billing.client.made_client import made_client, record
from tests.billing.operations.made_ingest import made_store
from tests.journeys.made_files import tokenworks
from tests.journeys.test_serve import Running, made_key, serving, stored_ids

OCTOBER_AT = 1_791_000_000_000_000
"""2026-10-03T04:00:00Z"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    file = tmp_path_factory.mktemp("served") / "store.db"
    file.write_bytes(made_store())
    (file.parent / "key").write_text(made_key(file, "ingest") + "\n")
    with serving(file) as started:
        yield started


def sending(running: Running, spool: Path, *more: str) -> list[str | Path]:
    """The command that sends a spool to the service."""
    url = f"http://127.0.0.1:{running.port}"
    key_file = running.log.parent / "key"
    return ["spool", "send", spool, "--url", url, "--key-file", key_file, "--format", "json", *more]


def test_what_a_gateway_left_is_shown_and_sent_once(tmp_path: Path, running: Running) -> None:
    file = tmp_path / "spool.db"
    with made_client(tmp_path) as client:
        for number in range(3):
            record(client, number, occurred_at=OCTOBER_AT)
    shown = tokenworks("spool", "show", file, "--format", "json").json
    assert (shown["waiting"], shown["refused"]) == (3, 0)
    assert shown["oldest_at"].startswith("20")
    sent = tokenworks(*sending(running, file))
    assert (sent.code, sent.json) == (
        0,
        {"spool": str(file), "accepted": 3, "duplicate": 0, "refused": 0, "waiting": 0},
    )
    assert tokenworks(*sending(running, file)).json["accepted"] == 0
    shown = tokenworks("spool", "show", file, "--format", "json").json
    assert (shown["waiting"], shown["oldest_at"]) == (0, None)
    store = running.log.with_suffix(".db")
    assert [one for one in stored_ids(store) if one in ("e0", "e1", "e2")] == ["e0", "e1", "e2"]


def test_what_the_service_refuses_is_named_and_can_be_sent_again(
    tmp_path: Path, running: Running
) -> None:
    file = tmp_path / "spool.db"
    with made_client(tmp_path, source="clock") as client:
        record(client, 1, occurred_at=4_102_444_800_000_000)  # 2100
        record(client, 2, occurred_at=OCTOBER_AT)
    sent = tokenworks(*sending(running, file))
    assert sent.code == 1
    assert (sent.json["accepted"], sent.json["refused"], sent.json["waiting"]) == (1, 1, 0)
    assert "e1: 2100-01-01T00:00:00Z lies more than 15 minutes after it came in" in sent.err
    (refused,) = tokenworks("spool", "refused", file, "--format", "json").json
    assert (refused["id"], refused["source"], refused["account"]) == ("e1", "clock", "a")
    assert (refused["verdict"], refused["pointer"]) == ("rejected", "/time")
    assert refused["event"]["data"]["units"] == {"input_tokens": 10}
    assert "lies more than 15" in tokenworks("spool", "refused", file).text.replace("\n", "")
    assert tokenworks(*sending(running, file)).code == 0  # it is set aside, and not sent
    again = tokenworks(*sending(running, file, "--retry-refused"))
    assert (again.code, again.json["refused"]) == (1, 1)


def test_what_is_not_sent_in_time_stays_and_is_said(tmp_path: Path, running: Running) -> None:
    with made_client(tmp_path) as client:
        record(client, 1)
    command = sending(running, tmp_path / "spool.db", "--timeout-s", "1")
    command[command.index("--url") + 1] = "http://127.0.0.1:9"
    ran = tokenworks(*command)
    assert (ran.code, ran.json["waiting"]) == (1, 1)
    assert "tokenworks: 1 events still wait; send them later" in ran.err


def test_a_spool_that_a_gateway_sends_is_left_to_it(tmp_path: Path, running: Running) -> None:
    spool = Spool(tmp_path / "spool.db", max_events=9)
    assert spool.may_send()
    said = tokenworks(*sending(running, spool.file)).sentence
    assert said == f"{spool.file}: is sent by a gateway that runs; let it, or stop it"
    spool.close()


@pytest.mark.parametrize("name", ["show", "refused"])
def test_a_file_that_is_no_spool_is_one_sentence_and_left_alone(tmp_path: Path, name: str) -> None:
    said = tokenworks("spool", name, tmp_path / "none.db").sentence
    assert said.endswith("none.db: is not a spool; name the file of a gateway's client")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.db").touch()
    said = tokenworks("spool", name, tmp_path / "empty.db").sentence
    assert said.endswith("empty.db: is not a spool; name the file of a gateway's client")
    assert (tmp_path / "empty.db").read_bytes() == b""
    (tmp_path / "store.db").write_bytes(made_store())
    said = tokenworks("spool", name, tmp_path / "store.db").sentence
    assert said.endswith("store.db: is not a spool; name another file")


def test_an_address_or_a_key_that_is_none_is_one_sentence(tmp_path: Path, running: Running) -> None:
    file = tmp_path / "spool.db"
    Spool(file, max_events=9).close()
    command = sending(running, file)
    command[command.index("--url") + 1] = "billing"
    assert tokenworks(*command).sentence.startswith("url: must be such as https://")
    (tmp_path / "key").write_text("")
    command = sending(running, file)
    command[command.index("--key-file") + 1] = tmp_path / "key"
    assert tokenworks(*command).sentence.startswith("key: is not an API key")
