"""Reads ``silicon_sample.csv`` of NVIDIA aiconfigurator: TTFT and TPOT measured on hardware.

An aggregated row holds one spread of accelerators, a disaggregated one a prefill and a decode pool.
Most of the latter do not say how many workers a pool has: they need a person who knows.

Invariant: every row of the file is in exactly one place: among the rows of one operating point, or
refused with its line number and the reason. The file holds no throughput: it is derived from
Little's law, and each point says so.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import pandas as pd

from pricing_rules.cost.measurement import (
    AnySetup,
    DisaggregatedSetup,
    OperatingPoint,
    Parallelism,
    Role,
    Setup,
    Shape,
    Source,
)
from pricing_rules.cost.readers.measurements import (
    DERIVED_FLAG,
    SAMPLED_LENGTH_FACTOR,
    STATED_ACCELERATORS_FLAG,
    Measurements,
    RefusedRow,
    RowError,
    calendar_date,
)
from pricing_rules.document import DocumentError, bytes_digest

_HGX: Final = frozenset({"h100_sxm", "h200_sxm", "b200_sxm", "b300_sxm"})
_HGX_ACCELERATORS: Final = 8
_SPREAD: Final = (
    "batch_size",
    "tp_size",
    "pp_size",
    "attention_dp_size",
    "moe_tp_size",
    "moe_ep_size",
)
_COLUMNS: Final = (
    "id",
    "silicon_data_source",
    "backend",
    "backend_version",
    "model_path",
    "system",
    "precision",
    "mode",
    "isl",
    "osl",
    *_SPREAD,
    *(f"{role}_{column}" for role in ("prefill", "decode") for column in ("num_workers", *_SPREAD)),
    "silicon_ttft_ms",
    "silicon_tpot_ms",
)
_CONCURRENCY = re.compile(r"(?:^|;)\s*silicon_concurrency=([^;]*)")
_MEASURED = re.compile(r"(?:^|;)\s*measured=(\d{4}-\d{2}-\d{2})(?:T|;|\s*$)")
_FOLDER = re.compile(r"source_file=[^;]*/")
_COUNT = re.compile(r"[1-9][0-9]{0,8}(?:\.0+)?\Z")
_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,3})?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedAccelerators:
    """What a person says of a disaggregated row that does not say it: accelerators of each pool."""

    prefill: int
    decode: int


def read_silicon_sample(
    data: bytes,
    *,
    name: str,
    models: Mapping[str, str] | None = None,
    accelerators: Mapping[str, StatedAccelerators] | None = None,
) -> Measurements:
    """Operating points of ``silicon_sample.csv``, and the refused rows.

    ``models`` gives the product name of a ``model_path``; any other path is called by its last part
    (``openai/gpt-oss-120b`` is ``gpt-oss-120b``). Two paths of one name are one model.
    ``accelerators``, by the row's ``id``, are those of disaggregated rows that do not say their
    number of workers; such points carry the flag ``accelerators_stated``.

    Accelerators are tp x pp x max(1, dp), per pool of a disaggregated row times its workers. Rows
    are refused where the file does not say the concurrency, the precision or (and nobody stated it)
    the accelerator count; where that count is suspect (experts spread both ways, an aggregated row
    of more than 8 in one HGX box, or experts spread over another number than tp x dp); and where
    batch size and concurrency disagree. Rows of one measurement that stand twice (same set-up,
    shape, concurrency, TTFT and TPOT to 10 digits) become one point with all its rows. Throughput
    per accelerator, both pools counted, is
    concurrency x L_out / (TTFT + (L_out - 1) TPOT) / accelerators, with lengths x 0.9.

    Raises DocumentError where the file is not such a CSV, and for accelerators of a row that is
    none without workers.
    """
    frame = _frame(data, name=name)
    digest = bytes_digest(data)
    names, stated = models or {}, accelerators or {}
    unused = set(stated)
    found: dict[tuple[object, ...], OperatingPoint] = {}
    refused: list[RefusedRow] = []
    columns = [frame[column].tolist() for column in _COLUMNS]
    for row, values in enumerate(zip(*columns, strict=True), start=2):
        cells = dict(zip(_COLUMNS, values, strict=True))
        if _lacks_workers(cells):
            unused.discard(cells["id"])
        try:
            setup = _setup(cells, models=names, stated=stated.get(cells["id"]))
            point, tpot_ms = _point(cells, setup=setup, row=row, file=name, sha256=digest)
        except RowError as error:
            refused.append(RefusedRow(row=row, kind=error.kind, reason=str(error)))
            continue
        # The same double is written with 16 or 17 digits in the two halves of the file.
        times = (f"{point.ttft_ms:.10g}", f"{tpot_ms:.10g}")
        twin = (point.setup, point.shape, point.concurrency, *times)
        found[twin] = _merge(found[twin], point) if twin in found else point
    if unused:
        raise DocumentError(
            name,
            f'accelerators are stated for "{min(unused)}", which is no disaggregated row without '
            "workers; remove the statement",
        )
    return Measurements(points=tuple(found.values()), refused=tuple(refused))


def _frame(data: bytes, *, name: str) -> pd.DataFrame:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError(
            name, f"byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from None
    try:
        frame = pd.read_csv(
            io.StringIO(text), dtype=str, keep_default_na=False, skip_blank_lines=False
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())
        raise DocumentError(name, f"this is not a CSV file ({reason})") from None
    missing = [column for column in _COLUMNS if column not in frame.columns]
    if missing:
        raise DocumentError(
            name, f"the column {missing[0]} is missing; this is not a silicon_sample.csv"
        )
    if not isinstance(frame.index, pd.RangeIndex):
        raise DocumentError(name, "rows hold more cells than the header; mend the header")
    if len(frame) + 1 != len(text.removesuffix("\n").split("\n")):
        raise DocumentError(
            name, "a cell holds a line break, so rows cannot be named by line; remove it"
        )
    return frame.fillna("")


def _point(
    cells: Mapping[str, str], *, setup: AnySetup, row: int, file: str, sha256: str
) -> tuple[OperatingPoint, float]:
    shape = Shape(
        input_tokens=_count(cells, column="isl"), output_tokens=_count(cells, column="osl")
    )
    concurrency = _concurrency(cells, setup=setup)
    ttft_ms = _positive(cells, column="silicon_ttft_ms")
    tpot_ms = _positive(cells, column="silicon_tpot_ms")
    input_tokens = shape.input_tokens * SAMPLED_LENGTH_FACTOR
    output_tokens = shape.output_tokens * SAMPLED_LENGTH_FACTOR
    if output_tokens <= 1:
        raise RowError("unreadable", f"osl {shape.output_tokens} is too short for a time per token")
    request_s = (ttft_ms + (output_tokens - 1) * tpot_ms) / 1000
    requests_per_s = concurrency / request_s / setup.accelerators
    text = cells["silicon_data_source"]
    measured = _MEASURED.search(text)
    source = Source(
        file=file,
        sha256=sha256,
        rows=(row,),
        measured_date=calendar_date(measured[1]) if measured else None,
        # Some rows name a folder of the machine that wrote them; the name of the file is enough.
        note=_FOLDER.sub("source_file=", text),
    )
    point = OperatingPoint(
        setup=setup,
        shape=shape,
        length_factor=SAMPLED_LENGTH_FACTOR,
        concurrency=concurrency,
        input_tokens_per_s_per_accelerator=requests_per_s * input_tokens,
        output_tokens_per_s_per_accelerator=requests_per_s * output_tokens,
        interactivity_tokens_per_s=1000 / tpot_ms,
        ttft_ms=ttft_ms,
        statistic="mean",
        source=source,
        flags=(DERIVED_FLAG, STATED_ACCELERATORS_FLAG)
        if _lacks_workers(cells)
        else (DERIVED_FLAG,),
    )
    return point, tpot_ms


def _setup(
    cells: Mapping[str, str], *, models: Mapping[str, str], stated: StatedAccelerators | None
) -> AnySetup:
    if cells["mode"] not in ("agg", "disagg"):
        raise RowError("unreadable", f'mode is "{cells["mode"]:.20}", not agg or disagg')
    for column in ("model_path", "system", "backend"):
        if not cells[column].strip():
            raise RowError("unreadable", f"{column} is blank")
    if not cells["precision"].strip():
        raise RowError("precision missing", "precision is blank; the row does not say what ran")
    path, hardware = cells["model_path"], cells["system"]
    model = models.get(path) or path.rsplit("/", 1)[-1]
    if cells["mode"] == "disagg":
        return DisaggregatedSetup(
            model=model,
            hardware=hardware,
            framework=cells["backend"],
            framework_version=cells["backend_version"] or None,
            precision=cells["precision"],
            prefill=_role(cells, role="prefill", stated=stated.prefill if stated else None),
            decode=_role(cells, role="decode", stated=stated.decode if stated else None),
        )
    parallelism = _parallelism(cells, prefix="")
    return Setup(
        model=model,
        hardware=hardware,
        framework=cells["backend"],
        framework_version=cells["backend_version"] or None,
        precision=cells["precision"],
        parallelism=parallelism,
        accelerators=_accelerators(parallelism, hardware=hardware),
    )


def _lacks_workers(cells: Mapping[str, str]) -> bool:
    columns = ("prefill_num_workers", "decode_num_workers")
    return cells["mode"] == "disagg" and any(not cells[column].strip() for column in columns)


def _parallelism(cells: Mapping[str, str], *, prefix: str) -> Parallelism:
    return Parallelism(
        tp=_count(cells, column=f"{prefix}tp_size"),
        pp=_count(cells, column=f"{prefix}pp_size"),
        dp=_count_or_one(cells, column=f"{prefix}attention_dp_size"),
        moe_tp=_count_or_one(cells, column=f"{prefix}moe_tp_size"),
        moe_ep=_count_or_one(cells, column=f"{prefix}moe_ep_size"),
    )


def _role(
    cells: Mapping[str, str], *, role: Literal["prefill", "decode"], stated: int | None
) -> Role:
    if _lacks_workers(cells) and stated is None:
        raise RowError(
            "accelerator count unknown",
            f'the row says no number of workers; state the accelerators of "{cells["id"]}"',
        )
    parallelism = _parallelism(cells, prefix=f"{role}_")
    _check_experts(parallelism)
    if stated is None or not _lacks_workers(cells):
        workers = _count(cells, column=f"{role}_num_workers")
        return Role(workers=workers, parallelism=parallelism)
    worker = Role(workers=1, parallelism=parallelism).accelerators
    if stated < 1 or stated % worker:
        raise RowError(
            "suspect accelerators",
            f"{stated} {role} accelerators are stated, but one worker takes {worker}",
        )
    return Role(workers=stated // worker, parallelism=parallelism)


def _accelerators(parallelism: Parallelism, *, hardware: str) -> int:
    moe_tp, moe_ep = parallelism.moe_tp, parallelism.moe_ep
    accelerators = parallelism.tp * parallelism.pp * parallelism.dp
    if moe_tp > 1 and moe_ep > 1:
        raise RowError(
            "suspect accelerators",
            f"experts are spread both ways (moe_tp {moe_tp}, moe_ep {moe_ep}), where such rows "
            f"are known to overstate the accelerators ({accelerators})",
        )
    if hardware in _HGX and accelerators > _HGX_ACCELERATORS:
        raise RowError(
            "suspect accelerators",
            f"{accelerators} accelerators, but one {hardware} box holds {_HGX_ACCELERATORS}",
        )
    _check_experts(parallelism)
    return accelerators


def _check_experts(parallelism: Parallelism) -> None:
    ranks, experts = parallelism.tp * parallelism.dp, parallelism.moe_tp * parallelism.moe_ep
    if experts not in (1, ranks):
        raise RowError(
            "suspect accelerators",
            f"experts are spread over {experts}, but tp x dp is {ranks}",
        )


def _concurrency(cells: Mapping[str, str], *, setup: AnySetup) -> int:
    stated = _CONCURRENCY.search(cells["silicon_data_source"])
    if not stated:
        raise RowError("concurrency missing", "silicon_data_source states no silicon_concurrency")
    if not _COUNT.match(stated[1].strip()):
        raise RowError("unreadable", f'silicon_concurrency "{stated[1]:.20}" is no count')
    concurrency = int(float(stated[1]))
    if isinstance(setup, Setup):
        column, ranks, what = "batch_size", setup.parallelism.dp, "dp"
    else:
        column, what = "decode_batch_size", "decode workers x dp"
        ranks = setup.decode.workers * setup.decode.parallelism.dp
    if _lacks_workers(cells) and not cells[column].strip():
        return concurrency
    batch = _count(cells, column=column)
    if batch != max(1, concurrency // ranks):
        raise RowError(
            "suspect concurrency",
            f"{column} {batch} is not concurrency {concurrency} / {what} {ranks}, so the row may "
            "stand for several replicas",
        )
    return concurrency


def _count(cells: Mapping[str, str], *, column: str) -> int:
    text = cells[column].strip()
    if not _COUNT.match(text):
        raise RowError("unreadable", f'{column} "{text:.20}" is not a positive whole number')
    return int(float(text))


def _count_or_one(cells: Mapping[str, str], *, column: str) -> int:
    """The format writes blank or 0 where a kind of parallelism is not used."""
    return 1 if cells[column].strip() in {"", "0", "0.0"} else _count(cells, column=column)


def _positive(cells: Mapping[str, str], *, column: str) -> float:
    text = cells[column].strip()
    value = float(text) if _DECIMAL.match(text) else math.nan
    if not math.isfinite(value) or value <= 0:
        raise RowError("unreadable", f'{column} "{text:.20}" is not a positive number')
    return value


def _merge(kept: OperatingPoint, twin: OperatingPoint) -> OperatingPoint:
    dates = [p.source.measured_date for p in (kept, twin) if p.source.measured_date]
    source = replace(
        kept.source,
        rows=(*kept.source.rows, *twin.source.rows),
        measured_date=max(dates, default=None),
    )
    return replace(kept, source=source)
