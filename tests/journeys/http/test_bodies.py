"""Bodies that are too large, too deep, packed or of another kind: each is refused in bounded memory
(I46; faults 106 to 109 and 112).
"""

from __future__ import annotations

import gzip
import json
import socket
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

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
from tests.journeys.test_serve import Running, serving

Json = Any


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
            (one, of_keys(1_000_000), 400),
            (one, units, 400),
            (batch, of_keys(1_000_000), 413),
            (batch, b"[" + b"0," * 1_000_000 + b"0]", 413),
        ):
            status, answer = running.ask("POST", "/v1/events", key=key, body=body, form=form)
            assert (status, answer["status"]) == (expected, expected), (form, body[:20])
        assert len(of_keys(80_000)) < 2**20 < len(of_keys(100_000))
        for body, expected in (
            (b"[" * 100_000, 400),
            (of_keys(80_000), 400),
            (of_keys(100_000), 413),
        ):
            form = "application/json"
            status, answer = running.ask("POST", "/v1/keys", key=key, body=body, form=form)
            assert (status, answer["status"]) == (expected, expected)
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
    # What is packed holds the time of packing: ids of it would differ between test processes.
    ids=lambda one: "bytes" if isinstance(one, bytes) else str(one),
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


def test_this_python_reads_its_numbers_within_bounds() -> None:
    # Fault 86: the limit that a service inherits from its interpreter is not switched off.
    assert sys.get_int_max_str_digits() == 4_300
