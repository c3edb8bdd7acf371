"""Efficiency reports from files: documents, what the factory pays and measured, books, charts.

Invariant: figures come from ``pricing_rules.planning`` alone; charts are files of their own, each
written whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from billing.operations.files import read_file, write_file
from billing.operations.price_book import read_book
from pricing_rules.document import DocumentError

if TYPE_CHECKING:
    from pricing_rules.planning.efficiency_report import EfficiencyReport
    from pricing_rules.planning.window_efficiency import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A report, and the chart files that were written for it."""

    report: EfficiencyReport
    charts: tuple[Path, ...]


def report_efficiency(
    documents: Sequence[Path],
    *,
    factory: Path | None,
    policy: Path | None,
    measurements: Sequence[str],
    books: tuple[Path, Path] | None,
    without: str | None,
    charts: Path | None,
) -> Reported:
    """Report the windows of ``documents``, and write charts into the folder ``charts``.

    ``factory``, ``policy`` and ``measurements`` are given together or not at all. DocumentError
    names what is wrong; then nothing is written.
    """
    # They bring SciPy, and pandas where there are measurements.
    from pricing_rules.planning.efficiency_document import load_efficiency
    from pricing_rules.planning.efficiency_report import efficiency_report

    loaded = [load_efficiency(read_file(path), name=path.name) for path in documents]
    measured = _measured(factory, policy=policy, measurements=measurements)
    report = efficiency_report(
        loaded,
        measured=measured,
        books=(read_book(books[0]), read_book(books[1])) if books else None,
        without=without,
    )
    return Reported(
        report=report,
        charts=_write_charts(report, measured=measured, folder=charts) if charts else (),
    )


def _measured(
    factory: Path | None, *, policy: Path | None, measurements: Sequence[str]
) -> Measured | None:
    given = {"--factory": factory, "--policy": policy, "--measurements": measurements or None}
    missing = [flag for flag, value in given.items() if value is None]
    if factory is None or policy is None or not measurements:
        if len(missing) < len(given):
            present = next(flag for flag in given if flag not in missing)
            raise DocumentError(
                present, f"needs {' and '.join(missing)} beside it, or leave all three out"
            )
        return None
    from billing.operations.measurement import read_all_measurements
    from pricing_rules.cost.factory import load_factory
    from pricing_rules.planning.window_efficiency import measure
    from pricing_rules.rules.policy import load_policy

    paid = load_factory(read_file(factory), name=factory.name)
    promised = load_policy(read_file(policy), name=policy.name)
    _, measured = read_all_measurements(measurements)
    return measure(paid, policy=promised, points=measured.points)


def _write_charts(
    report: EfficiencyReport, *, measured: Measured | None, folder: Path
) -> tuple[Path, ...]:
    from billing.documents.efficiency_charts import efficiency_charts

    written = []
    for name, drawn in efficiency_charts(report, measured=measured).items():
        for suffix, data in ((".svg", drawn.svg), (".png", drawn.png)):
            path = folder / f"{name}{suffix}"
            write_file(path, data=data)
            written.append(path)
    return tuple(written)
