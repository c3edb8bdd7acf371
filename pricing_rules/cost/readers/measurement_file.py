"""The measurement file: operating points of any origin, one per line, with where they come from.

Invariant: what is written is read back as it was, to the last digit: figures are JSON numbers in
their shortest exact form, because they stay inside the cost module.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, PositiveInt, StringConstraints, model_validator

from pricing_rules.cost.measurement import (
    AnySetup,
    DisaggregatedSetup,
    OperatingPoint,
    Parallelism,
    PowerKind,
    Role,
    Setup,
    Shape,
    Source,
    Statistic,
)
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.cost.readers.run_fields import LEAST, MOST
from pricing_rules.document import Document, DocumentError, JsonValue, Name, read_json, validate

SCHEMA: Final = "tokenworks.operating-point/1"


def _iso(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a date; write it as 2026-02-13') from None
    return text


MeasuredNumber = Annotated[float, Field(ge=LEAST, le=MOST, allow_inf_nan=False)]
"""A measured figure above 0."""

IsoDate = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_iso)
]


class ParallelismDocument(Document):
    """How a model is spread."""

    tp: PositiveInt
    pp: PositiveInt
    dp: PositiveInt
    moe_tp: PositiveInt
    moe_ep: PositiveInt


class RoleDocument(Document):
    """One pool of disaggregated serving."""

    workers: PositiveInt
    parallelism: ParallelismDocument


class SetupDocument(Document):
    """Aggregated serving has ``parallelism`` and ``accelerators``, disaggregated its two pools."""

    model: Name
    hardware: Name
    framework: Name
    framework_version: Name | None = None
    precision: Name
    speculative: Name | None = None
    parallelism: ParallelismDocument | None = None
    accelerators: PositiveInt | None = None
    prefill: RoleDocument | None = None
    decode: RoleDocument | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> SetupDocument:
        aggregated = (self.parallelism is not None, self.accelerators is not None)
        disaggregated = (self.prefill is not None, self.decode is not None)
        if (all(aggregated), *disaggregated) == (True, False, False):
            return self
        if (all(disaggregated), *aggregated) == (True, False, False):
            return self
        raise ValueError(
            "a set-up has either parallelism and accelerators or a prefill and a decode pool"
        )


class ShapeDocument(Document):
    """Nominal tokens of one request."""

    input_tokens: PositiveInt
    output_tokens: PositiveInt


class SourceDocument(Document):
    """The file that the point was measured in; a file without rows has nothing to point to."""

    file: Name
    sha256: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
    rows: tuple[PositiveInt, ...] = Field(min_length=1)
    measured_date: IsoDate | None = None
    note: Annotated[str, StringConstraints(max_length=5000)] = ""


class OperatingPointDocument(Document):
    """One line of a measurement file; the names and units are those of ``OperatingPoint``."""

    schema_: Literal["tokenworks.operating-point/1"] = Field(alias="schema")
    setup: SetupDocument
    shape: ShapeDocument
    length_factor: MeasuredNumber
    concurrency: PositiveInt
    input_tokens_per_s_per_accelerator: MeasuredNumber
    output_tokens_per_s_per_accelerator: MeasuredNumber
    interactivity_tokens_per_s: MeasuredNumber
    ttft_ms: MeasuredNumber
    statistic: Statistic
    power_w_per_accelerator: MeasuredNumber | None = None
    power_kind: PowerKind | None = None
    source: SourceDocument
    flags: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _power_has_a_kind(self) -> OperatingPointDocument:
        if (self.power_w_per_accelerator is None) != (self.power_kind is None):
            raise ValueError("power_w_per_accelerator and power_kind go together")
        return self


def measurement_lines(points: Iterable[OperatingPoint]) -> bytes:
    """The points as lines of a measurement file, each ending in a newline."""
    return b"".join(_line(point) + b"\n" for point in points)


def read_measurement_file(data: bytes, *, name: str) -> Measurements:
    """The points of a measurement file, each once however often it stands there.

    It is read whole or not at all: DocumentError names the line and the path of what is wrong.
    """
    points: dict[OperatingPoint, None] = {}
    for row, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            where = f"{name}:{row}"
            document = validate(
                OperatingPointDocument, read_json(line, name=where), name=where, lines={}
            )
            points[_point(document)] = None
    if not points:
        raise DocumentError(name, "the file holds no operating points")
    return Measurements(points=tuple(points), refused=())


def new_points(
    points: Iterable[OperatingPoint], *, standing: Iterable[OperatingPoint]
) -> tuple[OperatingPoint, ...]:
    """The points that do not stand yet, each once; a copy of a file under another name is the file.

    Raises DocumentError for a measurement that stands with other facts: which of the two is right,
    a person must say.
    """
    known = {_identity(point): point for point in standing}
    found = []
    for point in points:
        twin = known.get(_identity(point))
        if twin is None:
            known[_identity(point)] = point
            found.append(point)
        elif replace(point, source=replace(point.source, file=twin.source.file)) != twin:
            raise DocumentError(
                f"{point.source.file}:{point.source.rows[0]}",
                f"stands already, from {twin.source.file}, as {twin.setup.text} at "
                f"{twin.shape.text}; take it out there, or write to another file",
            )
    return tuple(found)


def _identity(point: OperatingPoint) -> tuple[str, tuple[int, ...], Statistic]:
    return point.source.sha256, point.source.rows, point.statistic


def _line(point: OperatingPoint) -> bytes:
    fields = {
        key: value for key, value in asdict(point).items() if value is not None and value != ()
    }
    for part in ("setup", "source"):
        fields[part] = {key: value for key, value in fields[part].items() if value is not None}
    line: dict[str, JsonValue] = {"schema": SCHEMA, **fields}
    # What could not be read back is not written: a name of a model may be anything so far.
    where = f"{point.source.file}:{point.source.rows[0]}"
    validate(OperatingPointDocument, line, name=where, lines={})
    return json.dumps(line, ensure_ascii=False, allow_nan=False).encode()


def _point(document: OperatingPointDocument) -> OperatingPoint:
    fields = document.model_dump(exclude={"schema_", "setup", "shape", "source"})
    return OperatingPoint(
        setup=_setup(document.setup),
        shape=Shape(**document.shape.model_dump()),
        source=Source(**document.source.model_dump()),
        **fields,
    )


def _setup(document: SetupDocument) -> AnySetup:
    same = document.model_dump(exclude={"parallelism", "accelerators", "prefill", "decode"})
    if document.prefill is not None and document.decode is not None:
        return DisaggregatedSetup(
            prefill=_role(document.prefill), decode=_role(document.decode), **same
        )
    fields = document.model_dump(include={"parallelism", "accelerators"})
    spread = Parallelism(**fields["parallelism"])
    return Setup(parallelism=spread, accelerators=fields["accelerators"], **same)


def _role(document: RoleDocument) -> Role:
    return Role(
        workers=document.workers, parallelism=Parallelism(**document.parallelism.model_dump())
    )
