"""Reads ``silicon_sample.csv`` of NVIDIA aiconfigurator: TTFT and TPOT measured on hardware.

Invariant: every row of the file is in exactly one place: among the rows of one operating point, or
refused with its line number and the reason. The file holds no throughput: it is derived from
Little's law, and each point says so.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import pandas as pd

from pricing_rules.cost.measurement import OperatingPoint, Parallelism, Setup, Shape, Source
from pricing_rules.document import DocumentError, bytes_digest

LENGTH_FACTOR: Final = 0.9
"""Mean over nominal request length: the benchmark samples lengths in [0.8, 1.0] of the nominal."""

DERIVED_FLAG: Final = "derived"
"""Throughput was computed from TTFT, TPOT and concurrency; it overstates by 2 to 5 %."""

RefusalKind = Literal[
    "disaggregated",
    "concurrency missing",
    "precision missing",
    "suspect accelerators",
    "suspect concurrency",
    "unreadable",
]

_HGX: Final = frozenset({"h100_sxm", "h200_sxm", "b200_sxm", "b300_sxm"})
_HGX_ACCELERATORS: Final = 8
_COLUMNS: Final = (
    "silicon_data_source",
    "backend",
    "backend_version",
    "model_path",
    "system",
    "precision",
    "mode",
    "isl",
    "osl",
    "batch_size",
    "tp_size",
    "pp_size",
    "attention_dp_size",
    "moe_tp_size",
    "moe_ep_size",
    "silicon_ttft_ms",
    "silicon_tpot_ms",
)
_CONCURRENCY = re.compile(r"(?:^|;)\s*silicon_concurrency=([^;]*)")
_MEASURED = re.compile(r"(?:^|;)\s*measured=(\d{4}-\d{2}-\d{2})(?:T|;|\s*$)")
_FOLDER = re.compile(r"source_file=[^;]*/")
_COUNT = re.compile(r"[1-9][0-9]{0,8}(?:\.0+)?\Z")
_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,3})?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRow:
    """A row that no cost may rest on: its line in the file (header = line 1), its kind and why."""

    row: int
    kind: RefusalKind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What a file gave: its operating points, and a verdict on every row that gave none."""

    points: tuple[OperatingPoint, ...]
    refused: tuple[RefusedRow, ...]

    def refused_counts(self) -> dict[str, int]:
        """Refused rows by kind, most first."""
        return dict(Counter(row.kind for row in self.refused).most_common())


class _RowError(ValueError):
    def __init__(self, kind: RefusalKind, reason: str) -> None:
        super().__init__(reason)
        self.kind: RefusalKind = kind


def read_silicon_sample(
    data: bytes, *, name: str, models: Mapping[str, str] | None = None
) -> Measurements:
    """Operating points of the aggregated rows of ``silicon_sample.csv``, and the refused rows.

    ``models`` gives the product name of a ``model_path``; any other path is called by its last part
    (``openai/gpt-oss-120b`` is ``gpt-oss-120b``). Two paths of one name are one model.

    Accelerators are tp x pp x max(1, dp). Rows are refused where the file does not say the
    concurrency or the precision; where the accelerator count is suspect (experts spread both ways,
    more than 8 in one HGX box, or experts spread over another number than tp x dp); where
    batch size and concurrency disagree; and all disaggregated ones. Rows of one measurement that
    stand twice (same set-up, shape, concurrency, TTFT and TPOT to 10 digits) become one point with
    all its rows. Throughput per accelerator is
    concurrency x L_out / (TTFT + (L_out - 1) TPOT) / accelerators, with lengths x 0.9.

    Raises DocumentError where the file is not such a CSV.
    """
    frame = _frame(data, name=name)
    digest = bytes_digest(data)
    names = models or {}
    found: dict[tuple[object, ...], OperatingPoint] = {}
    refused: list[RefusedRow] = []
    columns = [frame[column].tolist() for column in _COLUMNS]
    for row, values in enumerate(zip(*columns, strict=True), start=2):
        cells = dict(zip(_COLUMNS, values, strict=True))
        try:
            point, tpot_ms = _point(cells, row=row, file=name, sha256=digest, models=names)
        except _RowError as error:
            refused.append(RefusedRow(row=row, kind=error.kind, reason=str(error)))
            continue
        # The same double is written with 16 or 17 digits in the two halves of the file.
        times = (f"{point.ttft_ms:.10g}", f"{tpot_ms:.10g}")
        twin = (point.setup, point.shape, point.concurrency, *times)
        found[twin] = _merge(found[twin], point) if twin in found else point
    return Measurements(points=tuple(found.values()), refused=tuple(refused))


def _frame(data: bytes, *, name: str) -> pd.DataFrame:
    try:
        text = data.decode("utf-8")
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
    cells: Mapping[str, str], *, row: int, file: str, sha256: str, models: Mapping[str, str]
) -> tuple[OperatingPoint, float]:
    setup = _setup(cells, models=models)
    shape = Shape(
        input_tokens=_count(cells, column="isl"), output_tokens=_count(cells, column="osl")
    )
    concurrency = _concurrency(cells, dp=setup.parallelism.dp)
    ttft_ms = _positive(cells, column="silicon_ttft_ms")
    tpot_ms = _positive(cells, column="silicon_tpot_ms")
    output_tokens = shape.output_tokens * LENGTH_FACTOR
    if output_tokens <= 1:
        raise _RowError(
            "unreadable", f"osl {shape.output_tokens} is too short for a time per token"
        )
    request_s = (ttft_ms + (output_tokens - 1) * tpot_ms) / 1000
    requests_per_s = concurrency / request_s / setup.accelerators
    text = cells["silicon_data_source"]
    measured = _MEASURED.search(text)
    source = Source(
        file=file,
        sha256=sha256,
        rows=(row,),
        measured_date=measured[1] if measured else None,
        # Some rows name a folder of the machine that wrote them; the name of the file is enough.
        note=_FOLDER.sub("source_file=", text),
    )
    point = OperatingPoint(
        setup=setup,
        shape=shape,
        length_factor=LENGTH_FACTOR,
        concurrency=concurrency,
        input_tokens_per_s_per_accelerator=requests_per_s * shape.input_tokens * LENGTH_FACTOR,
        output_tokens_per_s_per_accelerator=requests_per_s * output_tokens,
        interactivity_tokens_per_s=1000 / tpot_ms,
        ttft_ms=ttft_ms,
        statistic="mean",
        source=source,
        flags=(DERIVED_FLAG,),
    )
    return point, tpot_ms


def _setup(cells: Mapping[str, str], *, models: Mapping[str, str]) -> Setup:
    if cells["mode"] == "disagg":
        raise _RowError("disaggregated", "disaggregated serving is not read by this version")
    if cells["mode"] != "agg":
        raise _RowError("unreadable", f'mode is "{cells["mode"]:.20}", not agg or disagg')
    for column in ("model_path", "system", "backend"):
        if not cells[column].strip():
            raise _RowError("unreadable", f"{column} is blank")
    if not cells["precision"].strip():
        raise _RowError("precision missing", "precision is blank; the row does not say what ran")
    parallelism = Parallelism(
        tp=_count(cells, column="tp_size"),
        pp=_count(cells, column="pp_size"),
        dp=_count_or_one(cells, column="attention_dp_size"),
        moe_tp=_count_or_one(cells, column="moe_tp_size"),
        moe_ep=_count_or_one(cells, column="moe_ep_size"),
    )
    path, hardware = cells["model_path"], cells["system"]
    return Setup(
        model=models.get(path) or path.rsplit("/", 1)[-1],
        hardware=hardware,
        framework=cells["backend"],
        framework_version=cells["backend_version"] or None,
        precision=cells["precision"],
        parallelism=parallelism,
        accelerators=_accelerators(parallelism, hardware=hardware),
    )


def _accelerators(parallelism: Parallelism, *, hardware: str) -> int:
    tp, dp = parallelism.tp, parallelism.dp
    moe_tp, moe_ep = parallelism.moe_tp, parallelism.moe_ep
    accelerators = tp * parallelism.pp * dp
    if moe_tp > 1 and moe_ep > 1:
        raise _RowError(
            "suspect accelerators",
            f"experts are spread both ways (moe_tp {moe_tp}, moe_ep {moe_ep}), where such rows "
            f"are known to overstate the accelerators ({accelerators})",
        )
    if hardware in _HGX and accelerators > _HGX_ACCELERATORS:
        raise _RowError(
            "suspect accelerators",
            f"{accelerators} accelerators, but one {hardware} box holds {_HGX_ACCELERATORS}",
        )
    if moe_tp * moe_ep not in (1, tp * dp):
        raise _RowError(
            "suspect accelerators",
            f"experts are spread over {moe_tp * moe_ep}, but tp x dp is {tp * dp}",
        )
    return accelerators


def _concurrency(cells: Mapping[str, str], *, dp: int) -> int:
    stated = _CONCURRENCY.search(cells["silicon_data_source"])
    if not stated:
        raise _RowError("concurrency missing", "silicon_data_source states no silicon_concurrency")
    if not _COUNT.match(stated[1].strip()):
        raise _RowError("unreadable", f'silicon_concurrency "{stated[1]:.20}" is no count')
    concurrency = int(float(stated[1]))
    batch = _count(cells, column="batch_size")
    if batch != max(1, concurrency // dp):
        raise _RowError(
            "suspect concurrency",
            f"batch_size {batch} is not concurrency {concurrency} / dp {dp}, so the row may stand "
            "for several replicas",
        )
    return concurrency


def _count(cells: Mapping[str, str], *, column: str) -> int:
    text = cells[column].strip()
    if not _COUNT.match(text):
        raise _RowError("unreadable", f'{column} "{text:.20}" is not a positive whole number')
    return int(float(text))


def _count_or_one(cells: Mapping[str, str], *, column: str) -> int:
    """The format writes blank or 0 where a kind of parallelism is not used."""
    return 1 if cells[column].strip() in {"", "0", "0.0"} else _count(cells, column=column)


def _positive(cells: Mapping[str, str], *, column: str) -> float:
    text = cells[column].strip()
    value = float(text) if _DECIMAL.match(text) else math.nan
    if not math.isfinite(value) or value <= 0:
        raise _RowError("unreadable", f'{column} "{text:.20}" is not a positive number')
    return value


def _merge(kept: OperatingPoint, twin: OperatingPoint) -> OperatingPoint:
    dates = [p.source.measured_date for p in (kept, twin) if p.source.measured_date]
    source = replace(
        kept.source,
        rows=(*kept.source.rows, *twin.source.rows),
        measured_date=max(dates, default=None),
    )
    return replace(kept, source=source)
