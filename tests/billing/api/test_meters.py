"""Events in the shapes of other meters come in on the same route, and say what they lack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from billing.operations.verify import verify
from billing.settings import Settings
from billing.store.events import StoredEvent, read_events
from billing.store.store import open_store
from pricing_rules.period import parse_moment
from tests.billing.api.made_service import (
    BATCH,
    EVENT,
    LINES,
    Made,
    lines,
    made_service,
    sent,
    served,
    verdicts,
)
from tests.billing.intake.test_otlp_traces import export, span
from tests.billing.operations.made_ingest import NOW_AT, own_folder

Json = Any

JSON = "application/json"
RECORDED = json.loads((Path(__file__).parent / "litellm_requests.json").read_bytes())
RECORDED_AT = parse_moment("2026-11-26T15:05:00Z")


def openmeter(number: int = 1, **fields: Json) -> Json:
    """What LiteLLM's callback for OpenMeter sends."""
    tokens = {"model": "m", "cost": 0.1, "prompt_tokens": 10, "completion_tokens": 5}
    return {
        "specversion": "1.0",
        "type": "litellm_tokens",
        "id": f"c{number}",
        "time": "2026-10-02T10:00:00.5+00:00",
        "subject": "a",
        "source": "litellm-proxy",
        "data": {**tokens, "total_tokens": 15},
        **fields,
    }


def lago(number: int = 1, **fields: Json) -> Json:
    """An event of Lago, with a time."""
    tokens = {"model": "m", "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {
        "transaction_id": f"t{number}",
        "external_subscription_id": "a",
        "code": "tokens",
        "timestamp": "1790935200.5",  # 2026-10-02T10:00:00.5Z
        "properties": tokens,
        **fields,
    }


def stored(made: Made, account: str = "a") -> list[StoredEvent]:
    with made.store.read() as connection:
        return list(read_events(connection, account=account))


@pytest.mark.parametrize("request_", RECORDED["requests"], ids=lambda one: one["name"])
def test_what_litellm_sends_is_stored_and_sent_again_it_is_a_duplicate(request_: Json) -> None:
    with own_folder() as folder, open_store(folder / "store.db") as store:
        moments = iter([RECORDED_AT, *[RECORDED_AT + 60_000_000] * 99])
        at = {"now": next(moments)}
        with served(store, settings=Settings(), clock=lambda: at["now"]) as made:
            key = made.key("ingest")
            for verdict in ("accepted", "duplicate"):
                answer = made.client.post(
                    request_["path"],
                    content=request_["body"],
                    headers={**request_["headers"], "authorization": f"Bearer {key}"},
                )
                assert answer.status_code == 200  # raise_for_status raises for none of them
                (result,) = answer.json()["events"]
                assert result["verdict"] == verdict
                assert result["flags"] == request_["flags"]
                at["now"] = next(moments)
            (event,) = stored(made, "acme")
    found = {name: getattr(event, name) for name in ("source", "id", "account", "model", "units")}
    assert found == request_["event"]
    assert (event.service_tier, event.region, event.outcome) == ("standard", "", "completed")
    timeless = "time_is_received_at" in request_["flags"]
    assert event.timed_by == ("receipt" if timeless else "event")
    assert event.occurred_at == RECORDED_AT or not timeless


def test_what_is_sent_is_what_is_published(made: Made) -> None:
    document = made.client.get("/openapi.json").json()

    def fits(value: Json, *, form: str, path: str) -> bool:
        content = document["paths"][path]["post"]["requestBody"]["content"]
        schema = {**content[form]["schema"], "components": document["components"]}
        return Draft202012Validator(schema).is_valid(value)

    for one in RECORDED["requests"]:
        form, path = one["headers"]["content-type"], one["path"]
        assert fits(json.loads(one["body"]), form=form, path=path)
    batch = {"events": [lago()]}
    assert fits(batch, form=JSON, path="/api/v1/events/batch")
    assert fits([sent(1), openmeter()], form=BATCH, path="/v1/events")
    assert not fits({"events": []}, form=JSON, path="/v1/events")
    assert not fits(openmeter(data={"model": "m"}), form=EVENT, path="/v1/events")
    assert fits(json.loads(export(span())), form=JSON, path="/v1/traces")


@pytest.mark.parametrize(
    "form, body",
    [
        (EVENT, json.dumps(openmeter()).encode()),
        (BATCH, json.dumps([openmeter()]).encode()),
        (LINES, lines([openmeter()])),
        (JSON, json.dumps(openmeter()).encode()),
        (JSON, b"\n " + json.dumps([openmeter()], indent=2).encode()),
        (JSON + "; charset=utf-8", json.dumps([openmeter()]).encode()),
    ],
)
@pytest.mark.parametrize("path", ["/v1/events", "/api/v1/events"])
def test_openmeters_events_are_taken_in_every_form(
    made: Made, form: str, body: bytes, path: str
) -> None:
    answer = made.post(body, form=form, path=path)
    assert (answer.status_code, verdicts(answer)) == (200, ["accepted"])
    (event,) = stored(made)
    assert (event.source, event.id, event.model) == ("litellm-proxy", "c1", "m")
    assert event.units == {"input_tokens": 10, "output_tokens": 5}
    assert event.occurred_at == parse_moment("2026-10-02T10:00:00.5Z")


@pytest.mark.parametrize("path", ["/v1/events", "/api/v1/events", "/api/v1/events/batch"])
@pytest.mark.parametrize("body", [{"event": lago()}, {"events": [lago()]}])
def test_lagos_events_are_taken_alone_and_in_a_batch(made: Made, body: Json, path: str) -> None:
    answer = made.post(body, form=JSON, path=path)
    assert (answer.status_code, verdicts(answer)) == (200, ["accepted"])
    (event,) = stored(made)
    assert (event.source, event.id, event.account) == ("tokens", "t1", "a")
    assert event.units == {"input_tokens": 10, "output_tokens": 5}
    assert event.occurred_at == parse_moment("2026-10-02T10:00:00.5Z")


def test_our_own_events_come_as_json_too(made: Made) -> None:
    assert verdicts(made.post(sent(1), form=JSON)) == ["accepted"]
    assert verdicts(made.post([sent(1), sent(2)], form=JSON)) == ["duplicate", "accepted"]


def test_what_an_event_of_another_meter_becomes_is_the_same_as_ours(made: Made) -> None:
    ours = sent(1, source="litellm-proxy", account="a", time="2026-10-02T10:00:00.5Z", model="m")
    ours |= {"id": "c1"}
    ours["data"] |= {"units": {"input_tokens": 10, "output_tokens": 5}}
    ours["data"] |= {"service_tier": "standard", "region": ""}
    ours["data"].pop("request_tokens", None)
    assert verdicts(made.post(openmeter())) == ["accepted"]
    assert verdicts(made.post(ours)) == ["duplicate"]


def test_shapes_stand_beside_each_other_and_each_has_its_verdict(made: Made) -> None:
    # 1 ours, 2 OpenMeter's, 3 of a misspelled type of ours, 4 OpenMeter's again, 5 without counts,
    # 6 OpenMeter's with another content under the id of 2
    body = [
        sent(1),
        openmeter(),
        sent(2) | {"type": "tokenworks.usage.v0"},
        openmeter(),
        openmeter(2, data={"model": "image", "cost": 0.04}),
        openmeter(time="2026-10-02T11:00:00Z"),
    ]
    answer = made.post(body, form=BATCH)
    assert answer.status_code == 207
    found = answer.json()
    assert verdicts(answer) == [
        "accepted", "accepted", "rejected", "duplicate", "rejected", "conflict",
    ]  # fmt: skip
    assert (found["received"], found["accepted"], found["duplicate"]) == (6, 2, 1)
    assert (found["conflict"], found["rejected"]) == (1, 2)
    results = found["events"]
    assert [one.get("pointer") for one in results] == [
        None, None, "/type", None, "/data/prompt_tokens", None,
    ]  # fmt: skip
    assert [one.get("flags") for one in results[:2]] == [None, ["no_cache_details"]]
    assert (results[4]["source"], results[4]["id"]) == ("litellm-proxy", "c2")
    assert verify(made.store).holds


def test_a_batch_of_lago_keeps_what_is_right_and_names_what_is_not(made: Made) -> None:
    wrong = lago(2, properties={"model": "m", "prompt_tokens": -1})
    late = lago(3, timestamp=(NOW_AT + 15 * 60_000_000 + 1) / 1e6)  # 15 minutes and 1 us
    answer = made.post({"events": [lago(1), wrong, late, lago(1)]}, form=JSON)
    assert answer.status_code == 207
    assert verdicts(answer) == ["accepted", "rejected", "rejected", "duplicate"]
    second, third = answer.json()["events"][1:3]
    assert (second["source"], second["id"]) == ("tokens", "t2")
    assert second["pointer"] == "/properties/prompt_tokens"
    assert (third["id"], third["pointer"]) == ("t3", "/time")
    assert "more than 15 minutes after it came in" in third["reason"]
    assert verify(made.store).holds


@pytest.mark.parametrize(
    "body, status, said",
    [
        (b"{}", 400, ""),
        (b'{"event":7}', 400, "must be an object"),
        (b'{"events":[]}', 400, "is empty"),
        (b'{"events":{}}', 400, "must be a list"),
        (b'{"events":[' + b"1," * 10_000 + b"1]}", 413, "10,001 events"),
        (b'{"event":{}}', 400, "/properties"),
        (b"[1,", 400, "is not JSON"),
        (b"", 400, "is empty"),
    ],
)
def test_a_body_of_no_shape_is_refused(made: Made, body: bytes, status: int, said: str) -> None:
    answer = made.post(body, form=JSON)
    assert answer.status_code == status
    assert said in answer.text


def test_nobodys_usage_is_refused(made: Made) -> None:
    answer = made.post({"event": lago(external_subscription_id=None)}, form=JSON)
    assert answer.status_code == 400
    assert "nobody says the account" in answer.json()["detail"]


def test_the_account_of_a_key_goes_before_what_the_event_states(made: Made) -> None:
    key = made.key("ingest", account="mine")
    assert verdicts(made.post(openmeter(subject="other"), key=key)) == ["accepted"]
    body = {"event": lago(external_subscription_id="other")}
    assert verdicts(made.post(body, form=JSON, key=key)) == ["accepted"]
    assert [one.owner for one in stored(made, "mine")] == ["account:mine"] * 2
    assert stored(made, "other") == []


def test_a_key_that_reads_sends_nothing(made: Made) -> None:
    key = made.key("account", account="a")
    assert made.post(openmeter(), key=key).status_code == 403


def test_a_shape_that_knows_no_service_tier_takes_that_of_the_settings() -> None:
    with made_service(service_tier="priority", region="eu") as made:
        made.post(openmeter())
        (event,) = stored(made)
        assert (event.service_tier, event.region) == ("priority", "eu")


def test_flags_and_numbers_without_a_unit_reach_whoever_sends_them(made: Made) -> None:
    event = lago(
        transaction_id="1f0c1c5e-9f0b-4a55-8f5a-0d5b6c1f2a3b",
        timestamp=None,
        properties={"model": "m", "prompt_tokens": 10, "cached": 4},
    )
    (result,) = made.post({"event": event}, form=JSON).json()["events"]
    assert result["flags"] == ["random_id", "no_cache_details", "time_is_received_at"]
    assert result["unmapped"] == ["/properties/cached"]
    made.post({"event": event}, form=JSON)  # a duplicate is no more usage
    text = made.get("/metrics").text
    for flag in result["flags"]:
        assert f'tokenworks_event_flags_total{{flag="{flag}"}} 1.0' in text


def test_an_answer_names_20_numbers_without_a_unit_and_200_characters_of_each(made: Made) -> None:
    # 20 pointers of a name of 60,000 characters would be an answer 20 times as long as the event.
    properties = {"model": "m", "prompt_tokens": 10, "k" * 60_000: [1] * 21}
    (result,) = made.post({"event": lago(properties=properties)}, form=JSON).json()["events"]
    assert result["verdict"] == "accepted"
    assert result["unmapped"] == ["/properties/" + "k" * 188] * 20


@pytest.mark.parametrize("form", [EVENT, BATCH, LINES, JSON])
def test_an_event_of_more_than_64_kib_is_refused_alone(made: Made, form: str) -> None:
    large = sent(1, attributes={"a": "x" * 65_536})
    events = [large] if form == EVENT else [large, sent(2)]
    answer = made.post(lines(events) if form in (EVENT, LINES) else events, form=form)
    first, *others = answer.json()["events"]
    assert (first["verdict"], first["source"], first["id"]) == ("rejected", "gw", "e1")
    assert first["reason"].endswith(" bytes, and an event at most 65,536; leave out attributes")
    assert [one["verdict"] for one in others] == ["accepted"] * (len(events) - 1)


def test_a_flag_of_one_that_is_not_stored_is_not_counted(made: Made) -> None:
    assert verdicts(made.post({"event": lago(timestamp=1)}, form=JSON)) == ["rejected"]
    assert "flag=" not in made.get("/metrics").text


def test_one_class_of_tokens_is_an_event_of_its_own(made: Made) -> None:
    data = {"tokens": "123", "model": "m", "type": "output"}
    answer = made.post(openmeter(type="prompt", data=data))
    (result,) = answer.json()["events"]
    assert result["flags"] == ["no_cache_details", "one_class_of_tokens"]
    assert stored(made)[0].units == {"output_tokens": 123}
