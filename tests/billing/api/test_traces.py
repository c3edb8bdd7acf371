"""``POST /v1/traces``: what OpenTelemetry exports is stored once, and answered as it expects."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from billing.intake.otlp_traces import ACCOUNT
from billing.operations.verify import verify
from billing.store.events import StoredEvent, read_events
from tests.billing.api.made_service import Made, made_service
from tests.billing.intake.test_otlp_protobuf import in_protobuf, part
from tests.billing.intake.test_otlp_traces import SPAN, TOKENS, TRACE, export, span

Json = Any

NOTHING: Json = {}
PROTOBUF = "application/x-protobuf"


def post(made: Made, body: bytes, **more: Json) -> httpx2.Response:
    return made.post(body, **{"form": "application/json", "path": "/v1/traces", **more})


def stored(made: Made, account: str = "acme") -> list[StoredEvent]:
    with made.store.read() as connection:
        return list(read_events(connection, account=account))


def test_a_span_is_stored_once_however_often_it_is_exported(made: Made) -> None:
    for _ in range(2):
        answer = post(made, export(span()))
        assert (answer.status_code, answer.json()) == (200, NOTHING)
        assert answer.headers["content-type"] == "application/json"
    (event,) = stored(made)
    assert (event.source, event.id, event.units) == (
        "otlp",
        f"{TRACE}-{SPAN}",
        {"input_tokens": 10},
    )
    assert verify(made.store).holds


def test_old_names_count_as_the_new_ones(made: Made) -> None:
    old = {
        "gen_ai.request.model": "m",
        "gen_ai.usage.prompt_tokens": 7,
        "gen_ai.usage.completion_tokens": 3,
    }
    assert post(made, export(span(old))).json() == NOTHING
    assert stored(made)[0].units == {"input_tokens": 7, "output_tokens": 3}


def test_other_spans_are_ignored_and_counted(made: Made) -> None:
    agent = {**TOKENS, "gen_ai.operation.name": "invoke_agent"}
    answer = post(made, export(span({"http.request.method": "GET"}), span(agent), span({})))
    assert (answer.status_code, answer.json()) == (200, NOTHING)
    assert stored(made) == []
    text = made.get("/metrics").text
    for kind, count in (("other", 2), ("sum_of_others", 1), ("usage", 0), ("uncounted", 0)):
        assert f'tokenworks_spans_total{{kind="{kind}"}} {count}.0' in text


def test_what_is_rejected_is_counted_and_the_rest_is_stored(made: Made) -> None:
    conflict = span({**TOKENS, "gen_ai.usage.output_tokens": 1})
    wrong = span({"gen_ai.usage.input_tokens": 1}, spanId="c" * 16)  # nobody says the model
    post(made, export(span()))
    answer = post(made, export(conflict, span(spanId="b" * 16), wrong))
    assert answer.status_code == 200
    said = answer.json()["partialSuccess"]
    assert said["rejectedSpans"] == "2"  # 64 bits are a text in JSON
    assert said["errorMessage"] == (
        f"rejected spans: 2 of 3, the first {TRACE}-{SPAN}: came before with another content, "
        "which stands"
    )
    assert [one.id for one in stored(made)] == [f"{TRACE}-{SPAN}", f"{TRACE}-{'b' * 16}"]
    assert verify(made.store).holds


def test_a_warning_rejects_nothing(made: Made) -> None:
    uncounted = span({"gen_ai.operation.name": "chat"}, spanId="b" * 16)
    dreams = span({**TOKENS, "gen_ai.usage.dream_tokens": 3})
    assert post(made, export(uncounted, dreams)).json() == {
        "partialSuccess": {
            "rejectedSpans": "0",
            "errorMessage": "spans with numbers that no unit counts: 1, the first "
            "/attributes/gen_ai.usage.dream_tokens; spans of inference without usage, not "
            "billed: 1",
        }
    }
    assert len(stored(made)) == 1


def test_where_every_span_is_rejected_nothing_is_sent_again(made: Made) -> None:
    answer = post(made, export(span(traceId="x"), resource={}))
    assert answer.status_code == 200
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert "/traceId: must be 32 hexadecimal digits" in answer.text
    assert verify(made.store).holds  # received = rejected


def test_the_key_of_an_account_names_it_and_no_span_another(made: Made) -> None:
    key = made.key("ingest", account="mine")
    other = span({**TOKENS, ACCOUNT: "other"}, spanId="b" * 16)
    answer = post(made, export(span(), other, resource={}), key=key)
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    (event,) = stored(made, "mine")
    assert event.owner == "account:mine"
    assert stored(made, "other") == []


def test_the_attribute_of_the_account_is_a_setting() -> None:
    with made_service(account_attribute="metadata.team", region="eu") as made:
        assert post(made, export(span({**TOKENS, "metadata.team": "t1"}))).json() == NOTHING
        (event,) = stored(made, "t1")
        assert (event.service_tier, event.region) == ("standard", "eu")


def test_a_packed_request_is_unpacked(made: Made) -> None:
    body = gzip.compress(export(span()))
    answer = post(made, body, headers={"content-encoding": "gzip"})
    assert (answer.status_code, len(stored(made))) == (200, 1)


def test_a_large_request_is_read_beside_the_loop(made: Made) -> None:
    spans = [span(spanId=f"{number:016x}") for number in range(1, 401)]
    assert len(export(*spans)) > 65_536
    assert post(made, export(*spans)).json() == NOTHING
    assert len(stored(made)) == 400


def said_in(answer: httpx2.Response) -> tuple[int, str]:
    """What an answer in protobuf says was rejected, and why."""
    assert answer.headers["content-type"] == PROTOBUF
    said = ExportTraceServiceResponse.FromString(answer.content).partial_success
    return said.rejected_spans, said.error_message


@pytest.mark.parametrize("first", ["application/json", PROTOBUF])
def test_a_span_in_the_other_encoding_is_the_same_span(made: Made, first: str) -> None:
    stated = {**TOKENS, "gen_ai.response.finish_reasons": "stop", "gen_ai.usage.dream_tokens": 3}
    body = export(span(stated, traceId=TRACE.upper()))
    bodies = {"application/json": body, PROTOBUF: in_protobuf(body)}
    order = sorted(bodies, key=lambda form: form != first)
    for form in order:
        answer = post(made, bodies[form], form=form)
        assert (answer.status_code, answer.headers["content-type"]) == (200, form)
    (event,) = stored(made)
    assert (event.id, event.units) == (f"{TRACE}-{SPAN}", {"input_tokens": 10})
    text = made.get("/metrics").text
    for verdict in ("accepted", "duplicate"):
        assert f'tokenworks_events_total{{verdict="{verdict}"}} 1.0' in text
    assert 'tokenworks_events_total{verdict="conflict"} 0.0' in text
    assert verify(made.store).holds


def test_an_answer_in_protobuf_says_what_one_in_json_says(made: Made) -> None:
    assert post(made, in_protobuf(export(span())), form=PROTOBUF).content == b""
    conflict = span({**TOKENS, "gen_ai.usage.output_tokens": 1})
    body = export(conflict, span({"gen_ai.operation.name": "chat"}))
    written = post(made, body).json()["partialSuccess"]
    assert said_in(post(made, in_protobuf(body), form=PROTOBUF)) == (1, written["errorMessage"])
    assert said_in(post(made, b"", form=PROTOBUF)) == (0, "")


def test_a_packed_or_large_request_in_protobuf_is_read(made: Made) -> None:
    spans = [span(spanId=f"{number:016x}") for number in range(1, 1_001)]
    body = in_protobuf(export(*spans))
    assert len(body) > 65_536
    packed = post(made, gzip.compress(body), form=PROTOBUF, headers={"content-encoding": "gzip"})
    assert (packed.status_code, packed.content, len(stored(made))) == (200, b"", 1_000)
    assert (post(made, body, form=PROTOBUF).content, len(stored(made))) == (b"", 1_000)


def test_both_encodings_are_published(made: Made) -> None:
    published = made.client.get("/openapi.json").json()["paths"]["/v1/traces"]["post"]
    both = {"application/json", PROTOBUF}
    assert set(published["requestBody"]["content"]) == both
    assert set(published["responses"]["200"]["content"]) == both


def test_no_bytes_are_answered_with_a_fault_of_ours(made: Made) -> None:
    good = in_protobuf(export(span(), span({})))
    cut = st.tuples(st.integers(0, len(good)), st.binary(max_size=3)).map(
        lambda found: good[: found[0]] + found[1] + good[found[0] + 1 :]
    )

    @settings(max_examples=100)
    @given(st.binary(max_size=200) | cut)
    def check(body: bytes) -> None:
        answer = post(made, body, form=PROTOBUF)
        if answer.status_code == 200:
            said_in(answer)
        else:
            assert (answer.status_code, answer.json()["status"]) == (400, 400)
            assert answer.headers["content-type"] == "application/problem+json"

    check()
    assert verify(made.store).holds


@pytest.mark.parametrize(
    "form, body, status, said",
    [
        ("application/x-protobuf; x=y", b"", 415, "application/json, application/x-protobuf"),
        ("application/protobuf", b"", 415, "application/json, application/x-protobuf"),
        ("text/plain", b"{}", 415, "Content-Type must be one of application/json"),
        ("application/json", b"", 400, "is not JSON"),
        ("application/json", b"[]", 400, "is no ExportTraceServiceRequest"),
        (PROTOBUF, b"{}", 400, "is no ExportTraceServiceRequest in protobuf; send what its"),
        (PROTOBUF, b"\x0a\x05", 400, "is no ExportTraceServiceRequest in protobuf"),
        (PROTOBUF, b"\x0a" * (16 * 2**20 + 1), 413, "16,777,216 bytes"),
        (PROTOBUF, part(1, part(2, part(2, b"") * 640_001)), 413, "too many spans"),
        ("application/json", b" " * (16 * 2**20 + 1), 413, "16,777,216 bytes"),
        ("application/json", b'{"x":[' + b"1," * 640_001 + b"1]}", 413, "too many spans"),
    ],
)
def test_a_request_that_is_none_is_refused(
    made: Made, form: str, body: bytes, status: int, said: str
) -> None:
    answer = post(made, body, form=form)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert said in answer.json()["detail"]


def test_a_key_that_reads_exports_nothing(made: Made) -> None:
    assert post(made, export(span()), key=made.key("account", account="acme")).status_code == 403
    assert made.client.post("/v1/traces", content=export(span())).status_code == 401


def test_an_exporter_that_must_wait_is_told_how_long() -> None:
    with made_service(requests_per_s=1) as made:
        answers = [post(made, export(span())) for _ in range(3)]
        late = next(one for one in answers if one.status_code != 200)
        assert (late.status_code, late.headers["retry-after"]) == (429, "1")


def test_a_store_that_cannot_take_it_now_is_503_with_a_time_to_wait(made: Made) -> None:
    made.service.writer.stop()
    answer = post(made, export(span()))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert json.loads(answer.content)["type"] == "urn:tokenworks:problem:unavailable"
