"""The usage mix of usage files, written as a document that pricing reads.

Invariant: the mix tells of each billable event of the files once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from billing.engines.usage_mix import Mixed, run_mix
from billing.operations.files import read_file, refuse_other, write_file
from billing.operations.usage_file import Trace
from billing.operations.usage_files import RefusedUsage, one_usage
from pricing_rules.document import DocumentError, dump
from pricing_rules.period import Period, moment_text
from pricing_rules.usage.mix import SCHEMA, UsageMix, load_usage_mix


@dataclass(frozen=True, slots=True, kw_only=True)
class MixReport:
    """A usage mix, what became of the rows that it was made from, and those that are refused."""

    mix: UsageMix
    counts: Mixed
    refused: tuple[RefusedUsage, ...]


def usage_mix(usage: Sequence[Path], *, period: Period | None, trace: Trace | None) -> MixReport:
    """The usage mix of usage files, of the events in ``period``; None: from the first to the last.

    DocumentError where a file cannot be read as a whole, and where no event is billable.
    """
    with one_usage(usage, trace=trace) as found:
        mixed = run_mix(found.run, period=period)
        found.refuse_nothing(mixed.accepted, verdicts=mixed.verdicts)
        refused = found.refused(mixed.verdicts)
        names = ", ".join(file.name for file in found.files)
    if mixed.first_at is None or mixed.last_at is None:
        within = f" in {period.text()}" if period else ""
        raise DocumentError(names, f"holds no billable event{within}: there is nothing to mix")
    covered = period or Period(start_at=mixed.first_at, end_at=mixed.last_at + 1)
    mix = UsageMix.model_validate(
        {
            "schema": SCHEMA,
            "start_at": moment_text(covered.start_at),
            "end_at": moment_text(covered.end_at),
            "entries": mixed.entries,
        }
    )
    return MixReport(mix=mix, counts=mixed, refused=refused)


def mix_bytes(mix: UsageMix) -> bytes:
    """A usage mix as the file that is kept: JSON, one entry a line."""
    value = dump(mix)
    entries = ",\n".join(json.dumps(one, ensure_ascii=False) for one in value.pop("entries"))
    head = json.dumps(value, ensure_ascii=False).removesuffix("}")
    return f'{head}, "entries": [\n{entries}\n]}}\n'.encode()


def write_mix(mix: UsageMix, *, path: Path) -> None:
    """Write a usage mix as a whole file; DocumentError where something else stands there."""
    refuse_other(path, begins=b'{"schema": "tokenworks.usage-mix/1"')
    write_file(path, data=mix_bytes(mix))


def read_mix(path: Path) -> UsageMix:
    """A usage mix from its file."""
    return load_usage_mix(read_file(path), name=path.name)
