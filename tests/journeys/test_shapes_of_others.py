"""A provider whose gateway speaks to other meters, and whose servers export spans, points them at
the service and bills what they say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.billing.api.test_meters import RECORDED
from tests.billing.intake.test_otlp_traces import TOKENS, export, span
from tests.journeys.made_files import tokenworks
from tests.journeys.test_serve import made_key, serving, store

__all__ = ["store"]

Json = Any

NOVEMBER = "?start_at=2026-11-01T00:00:00Z&end_at=2026-12-01T00:00:00Z&by=model"


def test_a_gateway_and_a_server_report_to_the_service_as_to_any_other(store: Path) -> None:
    # What LiteLLM's OpenMeter callback sent: a chat of 10 + 20 tokens, a stream of 11 + 8, and
    # embeddings of 10; moved to the second of November. A span of the server: 10 tokens.
    sent = [one for one in RECORDED["requests"] if one["name"].startswith("openmeter")]
    key, operator = made_key(store, "ingest"), made_key(store)
    with serving(store, TOKENWORKS_ACCOUNT_ATTRIBUTE="metadata.team") as running:
        for _ in range(2):  # the second time nothing is stored
            for one in sent:
                form, body = (
                    one["headers"]["content-type"],
                    one["body"].replace("-26T", "-02T").encode(),
                )
                status, answer = running.ask("POST", one["path"], key=key, body=body, form=form)
                assert (status, answer["accepted"] + answer["duplicate"]) == (200, 1)
            spans = export(span({**TOKENS, "metadata.team": "acme"}), resource={})
            status, answer = running.ask(
                "POST", "/v1/traces", key=key, body=spans, form="application/json"
            )
            assert (status, answer) == (200, {})
        _, usage = running.ask("GET", f"/v1/accounts/acme/usage{NOVEMBER}", key=operator)
    counts: dict[tuple[str, str], int] = {}
    for one in usage["data"]:
        cell = one["labels"]["model"], one["unit"]
        counts[cell] = counts.get(cell, 0) + one["count"]
    assert counts == {
        ("gpt-oss-120b", "input_tokens"): 10 + 11,
        ("gpt-oss-120b", "output_tokens"): 20 + 8,
        ("gpt-oss-120b", "requests"): 2,
        ("text-embedding-3-small", "input_tokens"): 10,
        ("text-embedding-3-small", "requests"): 1,
        ("m", "input_tokens"): 10,
        ("m", "requests"): 1,
    }
    verified = tokenworks("verify", "--store", store, "--format", "json")
    assert verified.code == 0, json.dumps(verified.json)
