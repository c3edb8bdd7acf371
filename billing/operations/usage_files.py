"""Several usage files as one usage.

Invariant: an event that is in two files counts once, and each row that is not counted is named with
its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from billing.engines.event_runs import ROW_STRIDE, EventRun, event_run
from billing.operations.usage_file import Trace, UsageFile
from pricing_rules.document import DocumentError
from pricing_rules.usage.event_columns import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedFile:
    """A file that usage was read from, and the SHA-256 of its bytes."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedUsage:
    """A row that is not counted: its file, its number there, and why."""

    file: str
    row: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OneUsage:
    """Usage files as one usage, open to be read: ``run`` is over the rows of all of them."""

    files: tuple[UsedFile, ...]
    run: EventRun

    def refused(self, verdicts: Sequence[Verdict]) -> tuple[RefusedUsage, ...]:
        """Verdicts on rows of the run, each with its file."""
        return tuple(
            RefusedUsage(
                file=self.files[one.row // ROW_STRIDE].name,
                row=one.row % ROW_STRIDE,
                reason=one.reason,
            )
            for one in verdicts
        )

    def refuse_nothing(self, accepted: int, *, verdicts: Sequence[Verdict]) -> None:
        """DocumentError where rows came and none of them is an event."""
        if verdicts and not accepted:
            first = self.refused(verdicts[:1])[0]
            raise DocumentError(
                ", ".join(file.name for file in self.files),
                f"holds no usage event: all {len(verdicts):,} rows are refused, the first (row "
                f"{first.row} of {first.file}) because {first.reason}",
            )


@contextmanager
def one_usage(paths: Sequence[Path], *, trace: Trace | None) -> Iterator[OneUsage]:
    """Read usage files together; ``trace``: what they are where they are public traces.

    DocumentError where there is no file, and where one cannot be read as a whole.
    """
    if not paths:
        raise DocumentError("usage", "there is none; give at least one file")
    files = [UsageFile(path, trace=trace) for path in paths]
    names = [file.path.name for file in files]
    used = tuple(
        UsedFile(
            name=name if names.count(name) == 1 else str(file.path),
            sha256=str(file.reading["sha256"]),
        )
        for name, file in zip(names, files, strict=True)
    )
    with event_run([file.source() for file in files]) as run:
        yield OneUsage(files=used, run=run)
        for file in files:
            file.refuse_changed()
