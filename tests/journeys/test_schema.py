"""The published JSON Schemas describe the documents that the demo reads and the commands print.

Invariant: what a command accepts or prints validates against its schema, and what has an unknown
field, lacks one or is of another type does not.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from billing.cli.schema import DOCUMENTS
from tests.billing.operations.made_ingest import made_store
from tests.journeys.made_files import (
    Json,
    book,
    card,
    cloud_event,
    event,
    rate_of,
    rated,
    tokenworks,
    write_events,
)

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def _faults(value: Json, schema: Json, root: Json, path: str = "$") -> Iterator[str]:
    """Where a value breaks a schema: the keywords that our schemas use, and no others."""
    if "$ref" in schema:
        yield from _faults(
            value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, path
        )
    for keyword in ("anyOf", "oneOf"):
        choices = schema.get(keyword)
        if choices and all(list(_faults(value, choice, root, path)) for choice in choices):
            yield f"{path}: {keyword}"
    wanted = schema.get("type")
    if wanted and (
        not isinstance(value, TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean")
    ):
        yield f"{path}: {value!r:.40} is not {wanted}"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{path}: not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} not among {schema['enum']}"
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            yield f"{path}: a length of {len(value)}"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{path}: {value!r} does not match {schema['pattern']}"
    if isinstance(value, int):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high:
            yield f"{path}: {value} out of bounds"
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _faults(item, schema.get("items", {}), root, f"{path}[{i}]")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        more = schema.get("additionalProperties", {})
        yield from (
            f"{path}: lacks {name}" for name in schema.get("required", []) if name not in value
        )
        for name, item in value.items():
            if name not in properties and more is False:
                yield f"{path}: unknown {name}"
            else:
                below = properties.get(name, more or {})
                yield from _faults(item, {} if below is True else below, root, f"{path}.{name}")


def _schema(name: str) -> Json:
    ran = tokenworks("schema", name)
    assert (ran.code, ran.err) == (0, "")
    return ran.json


def _check(value: Json, *, schema: Json) -> list[str]:
    return list(_faults(value, schema, schema))


SCHEMA_OF = {
    "factory.yaml": "factory",
    "policy-demo.yaml": "policy",
    "acme.yaml": "agreement",
    "globex.yaml": "agreement",
    "initech.yaml": "agreement",
    "kaisha.yaml": "agreement",
    "policy-demo-jpy.yaml": "policy",
    "policy-demo-volume.yaml": "policy",
    "candidate-demo.json": "price-book",
    "book-demo-jpy.json": "price-book",
    "book-demo-volume.json": "price-book",
    "book-demo.json": "price-book",
    "rating.json": "rating",
    "preview.json": "invoice",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_is_a_whole_json_schema(name: str) -> None:
    schema = _schema(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    assert set(schema["required"]) <= set(schema["properties"])
    text = json.dumps(schema)
    references = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', text))
    assert references <= set(schema.get("$defs", {}))
    assert text.count('"$ref"') == len(re.findall(r'"\$ref": "#/\$defs/\w+"', text))


@pytest.mark.parametrize("name, document", SCHEMA_OF.items())
def test_a_document_of_the_demo_validates(
    demo_run: tuple[Path, object], name: str, document: str
) -> None:
    data = (demo_run[0] / "demo-out" / name).read_bytes()
    value = yaml.safe_load(data) if name.endswith(".yaml") else json.loads(data)
    schema = _schema(document)
    assert _check(value, schema=schema) == []
    # Neighbours that do not: a field too many, a field too few, another type.
    assert _check({**value, "vedor": 1}, schema=schema) == ["$: unknown vedor"]
    required = schema["required"][0]
    less = copy.deepcopy(value)
    del less[required]
    assert _check(less, schema=schema) == [f"$: lacks {required}"]
    assert _check({**value, required: 1.5}, schema=schema)


def test_what_the_demo_wrote_and_the_commands_print_are_the_same_documents(
    in_demo: Path,
) -> None:
    ran = tokenworks(
        *("rate", "--price-book", "demo-out/book-demo.json", "--usage", "demo-out/usage.parquet"),
        *("--format", "json"),
    )
    assert ran.json == json.loads((in_demo / "demo-out" / "rating.json").read_bytes())


def test_an_event_and_a_request_validate_and_others_do_not() -> None:
    usage = cloud_event(event(1, {"input_tokens": 5}, region="eu", dimensions={"gpu": "x"}))
    request = {"model": "m", "service_tier": "standard", "units": {"input_tokens": 5}}
    for name, value in (("usage-event", usage), ("quote-request", request)):
        schema = _schema(name)
        assert _check(value, schema=schema) == []
        assert _check({**value, "prompt": "x"}, schema=schema) == ["$: unknown prompt"]
    wrong = {**request, "units": {"input_tokens": 5.5}}
    assert _check(wrong, schema=_schema("quote-request")) != []


def test_a_count_in_fractions_validates_as_it_is_read(tmp_path: Path) -> None:
    one = event(1, {"audio_seconds": "2.5"})
    value = book(card(rate_of("audio_seconds", "2", per=1)))
    assert rated(tmp_path, [one], value).json["total_exact"] == "5"
    assert _check(cloud_event(one), schema=_schema("usage-event")) == []


def test_a_rating_with_every_kind_of_row_validates(tmp_path: Path) -> None:
    bands = [{"up_to": "3", "rate": "1", "flat": "1"}, {"rate": "2", "cap": "5"}]
    ladder = {"id": "l", "kind": "graduated", "bands": bands}
    value = book(
        card(rate_of("input_tokens", ladder=ladder, per=3), rate_of("output_tokens", "1", per=7))
    )
    events = [
        event(1, {"input_tokens": 5, "output_tokens": 5, "web_searches": 1}),
        event(2, {"input_tokens": -1}),
        event(1, {"input_tokens": 6}),
    ]
    ran = rated(tmp_path, events, value)
    assert ran.code == 1
    assert _check(ran.json, schema=_schema("rating")) == []
    assert _check(value, schema=_schema("price-book")) == []


def test_a_report_of_verify_validates(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    store.write_bytes(made_store())
    schema = _schema("verify")
    usage = write_events(tmp_path, [event(1, {"input_tokens": 5})], form="jsonl")
    assert tokenworks("ingest", usage, "--store", store, "--by", "me").code == 0
    report = tokenworks("verify", "--store", store, "--format", "json").json
    assert [one["of"] for one in report["marks"]] == ["audit", "events"]
    assert _check(report, schema=schema) == []
    del report["marks"][0]["digest"]
    assert _check(report, schema=schema) == ["$.marks[0]: lacks digest"]
