"""Requests that are broken or hostile, over a real connection: each has one answer or none, memory
stays bounded, and the next request is not mistaken for a part of it (I46; faults 106 to 115).

What the routes themselves refuse is in tests/billing/api; who goes away and who is slow is in
test_serve.py, too.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from billing.operations.verify import verify
from billing.store.audit import read_audit
from billing.store.store import open_store
from tests.billing.api.made_service import lines, sent
from tests.billing.operations.made_ingest import made_store
from tests.journeys.test_serve import Running, made_key, serving, stored_ids

Json = Any

LIMIT = 65_536


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("faults") / "store.db"
    found.write_bytes(made_store())
    return found


@pytest.fixture(scope="module")
def key(file: Path) -> str:
    return made_key(file)


@pytest.fixture(scope="module")
def running(file: Path, key: str) -> Iterator[Running]:
    """A service that takes little and waits a second; sound at the end, whatever was sent."""
    limits = {"TOKENWORKS_BODY_TIMEOUT_S": "1", "TOKENWORKS_MAX_BODY_BYTES": str(LIMIT)}
    with serving(file, TOKENWORKS_LOG_LEVEL="error", **limits) as one:
        yield one
        assert one.ask("GET", "/readyz")[0] == 200
        assert one.log.read_text() == ""
    with open_store(file) as store:
        assert verify(store).holds


def head(
    key: str, *more: bytes, target: str = "/v1/events", form: str = "application/x-ndjson"
) -> bytes:
    """The head of a POST with a key, without its end."""
    said = [
        f"POST {target} HTTP/1.1".encode(),
        b"host: x",
        f"authorization: Bearer {key}".encode(),
        f"content-type: {form}".encode(),
        *more,
    ]
    return b"\r\n".join(said) + b"\r\n"


def whole(key: str, body: bytes, *more: bytes) -> bytes:
    """A POST with a body."""
    return head(key, f"content-length: {len(body)}".encode(), *more) + b"\r\n" + body


def raw(running: Running, data: bytes) -> bytes:
    """What the service says to bytes until it closes the connection, or says no more."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=4) as connection:
        parts = []
        with suppress(OSError):
            connection.sendall(data)
        with suppress(OSError):
            while part := connection.recv(65_536):
                parts.append(part)
        return b"".join(parts)


def statuses(answer: bytes) -> list[int]:
    """The statuses of the answers that a connection gave."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


LAST = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
"""What ends a connection, so that all answers before are read."""


def resident_kib(running: Running) -> int:
    """How much memory the service had at most."""
    path = Path(f"/proc/{running.process.pid}/status")
    if not path.exists():
        pytest.skip("this system does not tell the memory of a process")
    (line,) = [one for one in path.read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1])


def padded(number: int, *, size_bytes: int) -> bytes:
    """An event with blanks up to a size."""
    return lines([sent(number)]).ljust(size_bytes)


@pytest.mark.parametrize(
    "size_bytes, status", [(0, 400), (LIMIT - 1, 200), (LIMIT, 200), (LIMIT + 1, 413)]
)
def test_fault_106_a_body_is_taken_up_to_its_limit(
    running: Running, key: str, size_bytes: int, status: int
) -> None:
    body = padded(106_000, size_bytes=size_bytes) if size_bytes else b""
    assert running.post(body, key=key)[0] == status
    chunked = head(key, b"transfer-encoding: chunked", b"connection: close") + b"\r\n"
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n" if body else b""
    assert statuses(raw(running, chunked + chunk + b"0\r\n\r\n")) == [status]


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
def test_fault_106_a_gigabyte_is_refused_in_bounded_memory(
    running: Running, key: str, declared: bool
) -> None:
    before_kib = resident_kib(running)
    framing = b"content-length: 1073741824" if declared else b"transfer-encoding: chunked"
    part = b"a" * 1_048_576
    chunk = part if declared else b"100000\r\n" + part + b"\r\n"
    answer = b""
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as connection:
        connection.sendall(head(key, framing) + b"\r\n")
        with suppress(OSError):  # it closes long before the end
            for _ in range(1_024):
                connection.sendall(chunk)
        with suppress(OSError):
            answer = connection.recv(65_536)
    assert statuses(answer) in ([413], [])  # what it said may be lost with the connection
    assert resident_kib(running) - before_kib < 64 * 1_024


@pytest.mark.parametrize(
    "chunks",
    [
        b"5\r\nabc\r\n0\r\n\r\n",
        b"2\r\nabcdef\r\n0\r\n\r\n",
        b"-1\r\na\r\n0\r\n\r\n",
        b"0x5\r\nabcde\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\na",
        b"\r\n",
    ],
    ids=["short", "long", "negative", "prefixed", "too large", "empty"],
)
def test_fault_106_chunks_that_lie_are_refused(running: Running, key: str, chunks: bytes) -> None:
    answer = raw(running, head(key, b"transfer-encoding: chunked") + b"\r\n" + chunks + LAST)
    assert statuses(answer) in ([400], [408], [413]), answer


@pytest.mark.parametrize("text", [b"[", b'{"a":', b'[{"data":', b'{"data":{"units":'])
@pytest.mark.parametrize(
    "form",
    ["application/cloudevents+json", "application/cloudevents-batch+json", "application/json"],
)
def test_fault_107_nesting_without_end_is_refused(
    running: Running, key: str, text: bytes, form: str
) -> None:
    body = text * (LIMIT // len(text))
    status, answer = running.ask("POST", "/v1/events", key=key, body=body, form=form)
    assert (status, answer["status"]) == (400, 400)
    closed = body[: LIMIT // 2] + b"]" * (LIMIT // 2) if text == b"[" else body
    assert running.ask("POST", "/v1/events", key=key, body=closed, form=form)[0] == 400


def of_keys(count: int) -> bytes:
    """An object of so many different keys."""
    return b"{" + b",".join(b'"k%d":1' % number for number in range(count)) + b"}"


def test_fault_107_and_108_a_large_body_of_nothing_but_nesting_or_keys_is_refused(
    file: Path, key: str
) -> None:
    units = json.dumps(sent(1)).encode().replace(b'{"input_tokens": 10}', of_keys(100_000))
    assert len(units) > 1_000_000
    one, batch = "application/cloudevents+json", "application/cloudevents-batch+json"
    with serving(file, TOKENWORKS_LOG_LEVEL="error") as running:
        for form, body, expected in (
            (one, b"[" * 10_000_000, 400),
            (batch, b"[" * 10_000_000, 400),
            (one, of_keys(100_000), 400),
            (one, units, 400),
            (batch, of_keys(1_000_000), 413),
            (batch, b"[" + b"0," * 1_000_000 + b"0]", 413),
        ):
            status, answer = running.ask("POST", "/v1/events", key=key, body=body, form=form)
            assert (status, answer["status"]) == (expected, expected), (form, body[:20])
        for body in (b"[" * 100_000, of_keys(100_000)):
            form = "application/json"
            status, answer = running.ask("POST", "/v1/keys", key=key, body=body, form=form)
            assert (status, answer["status"]) == (400, 400)
        # Others are answered after it as before.
        assert running.post(lines([sent(108_000)]), key=key)[0] == 200
        assert running.log.read_text() == ""


def bomb(times: int) -> bytes:
    """A megabyte of blanks as gzip, a thousand to one, so many times over."""
    data = b" " * 1_048_576
    for _ in range(times):
        data = gzip.compress(data)
    return data


@pytest.mark.parametrize(
    "encoding, body, status",
    [
        (b"gzip", gzip.compress(lines([sent(109_000)])), 200),
        (b"GZIP", gzip.compress(lines([sent(109_000)])), 200),
        (b"identity", lines([sent(109_000)]), 200),
        (b"gzip", bomb(1), 413),
        (b"gzip", bomb(2), 400),  # what is packed twice is no event
        (b"gzip, gzip", bomb(2), 415),
        (b"gzip,identity", bomb(1), 415),
        (b"br", b"\x0b\x00\x80a\x03", 415),
        (b"zstd", b"\x28\xb5\x2f\xfd\x04\x00\x09\x00\x00a", 415),
        (b"deflate", zlib.compress(b"{}"), 415),
        (b"x-gzip", gzip.compress(b"{}"), 415),
        (b"compress", b"{}", 415),
        (b"", b"{}", 415),
        (b"\xff", b"{}", 415),
        (b"gzip", b"{}", 400),
        (b"gzip", gzip.compress(b"{}")[:-4], 400),
        (b"gzip", gzip.compress(b"{}") * 2, 400),
        (b"gzip", b"", 400),
    ],
)
def test_fault_109_only_one_layer_of_gzip_is_unpacked_within_the_limit(
    running: Running, key: str, encoding: bytes, body: bytes, status: int
) -> None:
    before_kib = resident_kib(running)
    answer = raw(running, whole(key, body, b"content-encoding: " + encoding, b"connection: close"))
    assert statuses(answer) == [status], answer
    assert resident_kib(running) - before_kib < 16 * 1_024


def test_fault_109_two_encodings_in_two_headers_are_refused(running: Running, key: str) -> None:
    more = (b"content-encoding: gzip", b"content-encoding: gzip", b"connection: close")
    assert statuses(raw(running, whole(key, bomb(2), *more))) == [400]


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


EVENT = lines([sent(111_999)])
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
    "form",
    [
        "",
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=a",
        "application/x-www-form-urlencoded",
        "application/cloudevents+json; charset=utf-7",
        "application/cloudevents+json; charset=utf-16",
        "application/cloudevents+json; charset=utf-8; charset=utf-16",
        "application/cloudevents+xml",
        "application/*",
        "*/*",
        "application/json, text/plain",
        "application/jsonx",
    ],
)
def test_fault_112_another_media_type_is_refused(running: Running, key: str, form: str) -> None:
    body = json.dumps(sent(112_000)).encode()
    for path in ("/v1/events", "/v1/keys"):
        status, answer = running.ask("POST", path, key=key, body=body, form=form)
        assert (status, answer["type"]) == (415, "urn:tokenworks:problem:unsupported-media-type")


def test_fault_112_two_media_types_are_refused(running: Running, key: str) -> None:
    more = (b"content-type: application/cloudevents+json", b"connection: close")
    assert statuses(raw(running, whole(key, EVENT, *more))) == [400]


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


def test_this_python_reads_its_numbers_within_bounds() -> None:
    # Fault 86: the limit that a service inherits from its interpreter is not switched off.
    assert sys.get_int_max_str_digits() == 4_300
