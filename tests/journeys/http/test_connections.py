"""Requests that are broken or hostile, over a real connection: each has one answer or none, and the
next one is not mistaken for a part of it (I46; faults 110, 111 and 113 to 115).

Who goes away and who is slow is in test_serve.py, too.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from billing.store.audit import read_audit
from billing.store.store import open_store
from tests.billing.api.made_service import lines, sent
from tests.journeys.http.made_requests import (
    EVENT,
    LAST,
    LIMIT,
    head,
    raw,
    resident_kib,
    statuses,
    whole,
)
from tests.journeys.test_serve import Running, stored_ids

Json = Any


def test_fault_110_idle_connections_and_slow_ones_keep_nobody_else_waiting(
    running: Running, key: str
) -> None:
    sockets = []
    try:
        for number in range(400):
            one = socket.create_connection(("127.0.0.1", running.port), timeout=30)
            sockets.append(one)
            one.sendall(
                (b"", b"POST /v1/ev", head(key, b"content-length: 9") + b"\r\n{")[number % 3]
            )
        assert running.post(lines([sent(110_000)]), key=key)[0] == 200
        time.sleep(1.2)  # the time that heads and bodies have
        for number, one in enumerate(sockets):
            answer = b""
            with suppress(OSError):
                while part := one.recv(65_536):
                    answer += part
            assert statuses(answer) == ([408] if number % 3 == 2 else []), number
    finally:
        for one in sockets:
            one.close()
    assert running.post(lines([sent(110_001)]), key=key)[0] == 200


def test_fault_111_requests_in_one_packet_are_answered_one_by_one(
    running: Running, key: str
) -> None:
    first, second = (whole(key, lines([sent(n)])) for n in (111_000, 111_001))
    answer = raw(running, first + b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n" + second + LAST)
    assert statuses(answer) == [200, 404, 200, 200]
    assert answer.count(b'"e111000"') == answer.count(b'"e111001"') == 1
    # A body that is refused unread ends the connection: what follows is not taken for a request.
    refused = head(key, f"content-length: {LIMIT + 1}".encode()) + b"\r\n"
    smuggled = b"POST /v1/keys/tw_0000000000/revoke HTTP/1.1\r\nhost: x\r\n\r\n"
    assert statuses(raw(running, refused + smuggled + LAST)) == [413]


LENGTH = f"content-length: {len(EVENT)}".encode()
CHUNKED = f"{len(EVENT):x}\r\n".encode() + EVENT + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "more, body",
    [
        ((b"content-length: 0", b"transfer-encoding: chunked"), CHUNKED),
        ((b"transfer-encoding: chunked", b"content-length: 0"), CHUNKED),
        ((b"transfer-encoding: xchunked",), CHUNKED),
        ((b"transfer-encoding: identity",), EVENT),
        ((b"transfer-encoding: chunked, identity",), CHUNKED),
        ((b"transfer-encoding: identity", b"transfer-encoding: chunked"), CHUNKED),
        ((b"transfer-encoding : chunked",), CHUNKED),
        ((b"transfer-encoding\t: chunked",), CHUNKED),
        ((LENGTH, b"content-length: 0"), EVENT),
        ((LENGTH, LENGTH), EVENT),
        ((b"content-length: +5",), EVENT),
        ((b"content-length: 0x5",), EVENT),
        ((b"content-length: 5, 5",), EVENT),
        ((b"content-length: ",), EVENT),
        ((LENGTH, b"x-a: b\rx-c: d"), EVENT),
        ((LENGTH, b"x-a: b\x00c"), EVENT),
        ((LENGTH, b"x a: b"), EVENT),
        ((LENGTH, b": b"), EVENT),
        ((LENGTH, b"x-a"), EVENT),
        ((LENGTH, b" folded"), EVENT),
        ((LENGTH, b"host: y"), EVENT),
    ],
)
def test_fault_111_what_two_readers_might_read_in_two_ways_is_refused(
    running: Running, key: str, more: tuple[bytes, ...], body: bytes
) -> None:
    answer = raw(running, head(key, *more) + b"\r\n" + body + LAST)
    assert statuses(answer) == [400], answer
    assert "e111999" not in stored_ids(running.log.with_suffix(".db"))


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /healthz HTTP/1.1\r\n",  # no host
        b"GET http://other/healthz HTTP/1.1\r\nhost: x\r\nhost: other\r\n",
        b"GET /healthz\r\nhost: x\r\n",
        b"GET /heal\x00thz HTTP/1.1\r\nhost: x\r\n",
        b"GET /heal thz HTTP/1.1\r\nhost: x\r\n",
        b"G\xc9T /healthz HTTP/1.1\r\nhost: x\r\n",
        b"GET /healthz HTTP/2.0\r\nhost: x\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: x\r\n",
    ],
)
def test_fault_111_a_head_that_is_none_is_refused(running: Running, request_line: bytes) -> None:
    answer = raw(running, request_line + b"\r\n" + LAST)
    assert statuses(answer) == [400], answer
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 8_388_608 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * 1_000_000 + b"\r\n",
        b"GET /" + b"a" * 8_388_608 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /healthz?" + b"a" * 65_536 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"A" * 8_388_608,
    ],
    ids=["8 MB header", "a million headers", "8 MB path", "64 KB query", "8 MB method"],
)
def test_fault_111_a_head_without_measure_is_given_up(running: Running, data: bytes) -> None:
    before_kib = resident_kib(running)
    answer = raw(running, data)
    assert statuses(answer) in ([400], []), answer[:200]  # it may be lost with the connection
    assert resident_kib(running) - before_kib < 64 * 1_024
    assert running.ask("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("size_bytes", [1_000, 8_000, 60_000])
def test_fault_111_a_long_address_is_only_an_address(running: Running, size_bytes: int) -> None:
    get = b"GET /%b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % (b"a" * size_bytes)
    assert statuses(raw(running, get)) == [404]


def test_fault_111_nothing_of_a_request_breaks_out_into_the_answer(running: Running) -> None:
    for target in (b"/%0d%0aset-cookie:%20a=b", b"/healthz?a=%0d%0aset-cookie:%20a=b"):
        given = b"x-request-id: a%0d%0aset-cookie: a=b\r\n"
        answer = raw(
            running,
            b"GET " + target + b" HTTP/1.1\r\nhost: x\r\n" + given + b"connection: close\r\n\r\n",
        )
        assert b"set-cookie" not in answer.lower()


@pytest.mark.parametrize(
    "method",
    ["TRACE", "TRACK", "DEBUG", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get", "POSTX"],
)
def test_fault_113_another_method_is_refused_and_nothing_is_said_back(
    running: Running, key: str, method: str
) -> None:
    secret = b"x-secret: " + b"s" * 30
    data = head(key, secret).replace(b"POST", method.encode(), 1) + b"connection: close\r\n\r\n"
    answer = raw(running, data)
    assert statuses(answer) in ([405], [400]), answer
    assert b"s" * 30 not in answer
    assert key.encode() not in answer


def test_fault_113_no_tunnel_is_opened(running: Running) -> None:
    for data in (
        b"CONNECT other:80 HTTP/1.1\r\nhost: other:80\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        (status,) = statuses(raw(running, data)) or [400]
        assert status in (200, 400, 404, 405), data


def test_fault_114_who_goes_away_at_any_byte_has_one_effect(
    running: Running, file: Path, key: str
) -> None:
    event = whole(key, lines([sent(114_000)]), b"connection: close")
    body = json.dumps({"scope": "ingest", "name": "fault 114"}).encode()
    more = (b"content-length: %d" % len(body), b"idempotency-key: fault-114", b"connection: close")
    made = head(key, *more, target="/v1/keys", form="application/json") + b"\r\n" + body
    for request in (event, made):
        raw(running, request)
        length = len(raw(running, request))  # answered again, it is longer or shorter
        assert length > 200
        for received in range(0, length - 2, 3):  # the number in its request id may be longer
            with closing(connected(running)) as connection:
                connection.sendall(request)
                read = 0
                while read < received:
                    read += len(connection.recv(received - read))
    assert running.post(lines([sent(114_000)]), key=key)[1]["duplicate"] == 1
    assert stored_ids(file).count("e114000") == 1
    with open_store(file) as store, store.read() as connection_:
        audit = read_audit(connection_, limit=10_000)
    assert sum("fault 114" in one.detail for one in audit) == 1


def connected(running: Running) -> socket.socket:
    """A connection that is reset when it is closed."""
    found = socket.create_connection(("127.0.0.1", running.port), timeout=30)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return found


def test_fault_115_each_item_of_a_batch_has_its_verdict_whatever_is_beside_it(
    running: Running, key: str
) -> None:
    good = [sent(115_000 + n) for n in range(3)]
    bad: list[Json] = [{}, 5, None, "x", [], {**sent(115_009), "data": {}}, sent(115_000, 11)]
    status, answer = running.post(lines([good[0], *bad, *good[1:]]), key=key)
    assert status == 207
    found = [one["verdict"] for one in answer["events"]]
    assert found == ["accepted", *["rejected"] * 6, "conflict", "accepted", "accepted"]
    counted = (answer["received"], answer["accepted"], answer["rejected"], answer["conflict"])
    assert counted == (10, 3, 6, 1)
