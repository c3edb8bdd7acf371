"""Which format a measurement file is of, by its content, and the one way to read any of them.

Invariant: a file is of one format or refused; what a person states goes to the formats that ask for
it, and is refused with those that hold it themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

from pricing_rules.cost.measurement import OperatingPoint
from pricing_rules.cost.readers.aiperf import read_aiperf
from pricing_rules.cost.readers.guidellm import read_guidellm
from pricing_rules.cost.readers.inferencex import read_inferencex
from pricing_rules.cost.readers.measurement_file import SCHEMA, read_measurement_file
from pricing_rules.cost.readers.measurements import Measurements, RefusedRow, RowError
from pricing_rules.cost.readers.serving_run import ServingRuns, lacking, points_of
from pricing_rules.cost.readers.sglang_bench import read_sglang_bench
from pricing_rules.cost.readers.stated_facts import StatedFacts
from pricing_rules.cost.readers.vllm_bench import read_vllm_bench
from pricing_rules.document import DocumentError, JsonValue, bytes_digest

Format = Literal[
    "aiconfigurator", "inferencex", "vllm", "sglang", "aiperf", "guidellm", "measurements"
]
"""The formats that are read; ``measurements`` is our own file of operating points."""

FORMATS: Final[tuple[Format, ...]] = get_args(Format)

_RUN_READERS: Final[Mapping[Format, Callable[..., ServingRuns]]] = {
    "vllm": read_vllm_bench,
    "sglang": read_sglang_bench,
    "aiperf": read_aiperf,
    "guidellm": read_guidellm,
}


class LackingFacts(DocumentError):
    """A file lacks what a cost needs: ``facts`` are fields of ``StatedFacts`` to supply."""

    def __init__(self, where: str, *, facts: tuple[str, ...]) -> None:
        super().__init__(where, f"lacks {', '.join(facts)}; state it")
        self.facts = facts


def format_of(data: bytes, *, name: str) -> Format:
    """The format of a file by what it holds. DocumentError where it is none that is read."""
    if not data.strip():
        raise DocumentError(name, "the file is empty")
    head = data.lstrip()[:1]
    if head in (b"{", b"["):
        found = _json_format(_first_object(data))
    else:
        # It is the one CSV that is read; its reader names the column that another one lacks.
        found = "aiconfigurator" if b"," in data.split(b"\n", 1)[0] else None
    if found is None:
        raise DocumentError(name, f"is of no format that is read here ({', '.join(FORMATS)})")
    return found


def read_any(
    data: bytes,
    *,
    name: str,
    format_name: Format,
    stated: StatedFacts,
    renamed: Mapping[str, str],
) -> Measurements:
    """The operating points of a file of one of the formats, and the rows that it refuses.

    ``renamed`` gives our names for the models and hardware that a file calls otherwise. Raises
    LackingFacts with all that the runs of the file lack, and DocumentError where it is unreadable
    or something is stated that it holds itself.
    """
    reader = _RUN_READERS.get(format_name)
    if reader is not None:
        return _read_runs(reader(data, name=name), name=name, data=data, stated=stated)
    if stated.given():
        raise DocumentError(
            name, f"{format_name} files hold their own {stated.given()[0]}; leave it out"
        )
    if format_name == "measurements":
        return read_measurement_file(data, name=name)
    if format_name == "aiconfigurator":
        # It brings pandas, which the other formats need not wait for.
        from pricing_rules.cost.readers.aiconfigurator import read_silicon_sample

        return read_silicon_sample(data, name=name, models=renamed)
    return _read_inferencex(data, name=name, renamed=renamed)


def _read_runs(found: ServingRuns, *, name: str, data: bytes, stated: StatedFacts) -> Measurements:
    lacks = {fact: None for run in found.runs for fact in lacking(run, stated=stated)}
    if lacks:
        raise LackingFacts(name, facts=tuple(lacks))
    digest = bytes_digest(data)
    points: list[OperatingPoint] = []
    refused = list(found.refused)
    for run in found.runs:
        try:
            points += points_of(run, stated=stated, file=name, sha256=digest)
        except RowError as error:
            refused.append(RefusedRow(row=run.row, kind=error.kind, reason=str(error)))
    return Measurements(
        points=tuple(points), refused=tuple(sorted(refused, key=lambda one: one.row))
    )


def _read_inferencex(data: bytes, *, name: str, renamed: Mapping[str, str]) -> Measurements:
    """Means and medians of each row that has them; what one of the two refuses, both lack."""
    readings = [
        read_inferencex(data, name=name, statistic=statistic, models=renamed, hardware=renamed)
        for statistic in ("mean", "p50")
    ]
    points = [point for reading in readings for point in reading.points]
    read = {row for point in points for row in point.source.rows}
    refused: dict[int, RefusedRow] = {}
    for one in (one for reading in readings for one in reading.refused):
        if one.kind != "statistic missing" or one.row not in read:
            refused.setdefault(one.row, one)
    return Measurements(
        points=tuple(p for p in points if not set(p.source.rows) & refused.keys()),
        refused=tuple(refused[row] for row in sorted(refused)),
    )


def _first_object(data: bytes) -> JsonValue:
    """The whole JSON, the first of a list of rows, or the first line where each is an object."""
    for part in (data, data.lstrip().split(b"\n", 1)[0]):
        try:
            value = json.loads(part)
        except (ValueError, RecursionError):
            continue
        return value[0] if isinstance(value, list) and value else value
    return None


def _json_format(value: JsonValue) -> Format | None:
    if not isinstance(value, dict):
        return None
    if str(value.get("schema")) == SCHEMA:
        return "measurements"
    if "benchmarks" in value and "metadata" in value:
        return "guidellm"
    if "input_config" in value and "request_throughput" in value:
        return "aiperf"
    if {"isl", "osl", "conc"} <= value.keys():
        return "inferencex"
    if "output_throughput" in value and "duration" in value:
        # The end-to-end time is named by vLLM ``e2el``, by SGLang ``e2e_latency``.
        is_vllm = "model_id" in value or "tokenizer_id" in value
        return "vllm" if is_vllm else "sglang"
    return None
