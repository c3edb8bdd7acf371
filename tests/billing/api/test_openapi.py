"""The published document is the service: its routes, its schemas, and the answers that it gives."""

from __future__ import annotations

from typing import Any

import msgspec

from billing.api.access import SCOPES
from billing.api.events import EventsResult
from billing.api.metrics import Metrics
from pricing_rules.usage.event import UsageEvent
from tests.billing.api.made_service import BATCH, EVENT, Made, sent

Json = Any


def document(made: Made) -> Json:
    return made.client.get("/openapi.json").json()


def test_it_is_openapi_3_1_and_has_every_route_and_no_other(made: Made) -> None:
    found = document(made)
    assert found["openapi"] == "3.1.0"
    published = {
        (method.upper(), path) for path, methods in found["paths"].items() for method in methods
    }
    routes = [
        inner
        for route in made.service_app.routes
        for inner in getattr(getattr(route, "original_router", None), "routes", [route])
    ]
    routed = {(method, one.path) for one in routes for method in one.methods if method != "HEAD"}
    assert published == routed == set(SCOPES)


def test_every_reference_leads_to_a_schema_and_every_schema_is_used(made: Made) -> None:
    found = document(made)
    used: set[str] = set()

    def walk(value: Json) -> None:
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                used.add(reference.removeprefix("#/components/schemas/"))
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(found)
    assert used == set(found["components"]["schemas"])


def test_the_event_that_is_published_is_the_one_of_usage_files(made: Made) -> None:
    schemas = document(made)["components"]["schemas"]
    own = UsageEvent.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, schema in own.pop("$defs").items():
        assert schemas[name] == schema
    assert schemas["UsageEvent"] == own


def test_answers_are_those_that_are_published(made: Made) -> None:
    paths = document(made)["paths"]
    tried = {
        made.post(sent(1)).status_code,
        made.post(sent(1, 11)).status_code,
        made.post([sent(1), 5], form=BATCH).status_code,
        made.post(b"", form=EVENT).status_code,
        made.post(b"{}", form="text/plain").status_code,
        made.client.post("/v1/events").status_code,
        made.post(sent(2), key=made.key("account", account="a")).status_code,
    }
    assert tried == {200, 207, 400, 401, 403, 409, 415}
    for path in ("/v1/events", "/api/v1/events"):
        assert {str(code) for code in tried} <= set(paths[path]["post"]["responses"])
    usage = paths["/v1/accounts/{account}/usage"]["get"]["responses"]
    assert set(usage) == {"200", "400", "401", "403", "404", "405", "429", "500", "503"}


def test_a_result_reads_back_as_what_is_published(made: Made) -> None:
    answer = made.post([sent(1), 5, sent(1)], form=BATCH)
    found = msgspec.json.decode(answer.content, type=EventsResult, strict=True)
    assert (found.received, found.accepted, found.duplicate, found.rejected) == (3, 1, 1, 1)


def test_metrics_count_what_was_committed_and_answered(made: Made) -> None:
    made.post([sent(1), 5, sent(1)], form=BATCH)
    made.post(sent(1, 11))
    made.client.get("/nowhere")
    text = made.get("/metrics").text
    for line in (
        'tokenworks_events_total{verdict="accepted"} 1.0',
        'tokenworks_events_total{verdict="duplicate"} 1.0',
        'tokenworks_events_total{verdict="conflict"} 1.0',
        'tokenworks_events_total{verdict="rejected"} 1.0',
        'tokenworks_requests_total{method="POST",route="/v1/events",status="207"} 1.0',
        'tokenworks_requests_total{method="POST",route="/v1/events",status="409"} 1.0',
        'tokenworks_requests_total{method="GET",route="none",status="404"} 1.0',
        "tokenworks_commit_requests_count 2.0",
    ):
        assert line in text
    assert made.operator[:13] not in text
    assert Metrics().text()  # each has a registry of its own
