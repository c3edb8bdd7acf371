"""Measurements from files of any format: appended to a measurement file, or read to derive from.

Invariant: an import appends all the points of its files or nothing, and a file that was imported
before adds nothing.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from billing.operations.files import read_file, write_file
from pricing_rules.document import DocumentError, bytes_digest

if TYPE_CHECKING:
    from pricing_rules.cost.measurement import OperatingPoint
    from pricing_rules.cost.readers.detection import Format
    from pricing_rules.cost.readers.measurements import Measurements, RefusedRow
    from pricing_rules.cost.readers.prometheus import EnergyWindow, TokenWindow
    from pricing_rules.cost.readers.stated_facts import StatedFacts

AICONFIGURATOR = "aiconfigurator"
"""The word that stands for the measurements of the installed package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFile:
    """What one file gave: points that are new, points that stood already, and refused rows."""

    name: str
    format_name: Format
    sha256: str
    points: tuple[OperatingPoint, ...]
    new: tuple[OperatingPoint, ...]
    refused: tuple[RefusedRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrapes:
    """The texts that exporters gave at one moment."""

    paths: tuple[Path, ...]
    scraped_at: int


def import_measurements(
    files: Sequence[str],
    *,
    out: Path,
    format_name: Format | None,
    stated: StatedFacts,
    renamed: Mapping[str, str],
) -> tuple[ImportedFile, ...]:
    """Append the points of these files to the measurement file ``out``.

    Without ``format_name`` each file's format is found by its content. DocumentError where a file
    is unreadable, or where files lack what a cost needs: all of it at once, with its flags.
    """
    from pricing_rules.cost.readers.detection import LackingFacts, format_of, read_any
    from pricing_rules.cost.readers.measurement_file import (
        measurement_lines,
        new_points,
        read_measurement_file,
    )

    before = read_file(out) if out.exists() else b""
    standing = read_measurement_file(before, name=out.name).points if before.strip() else ()
    read: list[tuple[str, Format, bytes, Measurements]] = []
    lacks: list[tuple[str, tuple[str, ...]]] = []
    for where in files:
        name, data = read_measurements(where)
        kind = format_name or format_of(data, name=name)
        try:
            found = read_any(data, name=name, format_name=kind, stated=stated, renamed=renamed)
        except LackingFacts as error:
            lacks.append((name, error.facts))
            continue
        read.append((name, kind, data, found))
    if lacks:
        raise _lacking(lacks)
    _check_renamed(renamed, points=[point for *_, found in read for point in found.points])
    imported, known = [], list(standing)
    for name, kind, data, found in read:
        new = new_points(found.points, standing=known)
        known += new
        imported.append(
            ImportedFile(
                name=name,
                format_name=kind,
                sha256=bytes_digest(data),
                points=found.points,
                new=new,
                refused=found.refused,
            )
        )
    added = measurement_lines(point for one in imported for point in one.new)
    if added:
        ended = before if not before or before.endswith(b"\n") else before + b"\n"
        write_file(out, data=ended + added)
    return tuple(imported)


def read_all_measurements(
    places: Sequence[str],
) -> tuple[tuple[tuple[str, bytes], ...], Measurements]:
    """Name and bytes of measurement files, and what they hold together, each point once.

    A file may be a measurement file, a silicon_sample.csv (or ``aiconfigurator`` for that of the
    installed package) or InferenceX JSON. DocumentError for a file of another format, which has to
    be imported first, and for one measurement that stands in two files with other facts.
    """
    from pricing_rules.cost.readers.detection import LackingFacts, format_of, read_any
    from pricing_rules.cost.readers.measurement_file import new_points
    from pricing_rules.cost.readers.measurements import Measurements
    from pricing_rules.cost.readers.stated_facts import StatedFacts

    files: dict[str, tuple[str, bytes]] = {}
    points: list[OperatingPoint] = []
    refused: list[RefusedRow] = []
    for place in places:
        name, data = read_measurements(place)
        digest = bytes_digest(data)
        if digest in files:
            continue
        files[digest] = (name, data)
        kind = format_of(data, name=name)
        try:
            found = read_any(data, name=name, format_name=kind, stated=StatedFacts(), renamed={})
        except LackingFacts:
            raise DocumentError(
                name,
                f"is a {kind} file, which does not say all that a cost needs; make a measurement "
                "file of it with `tokenworks measure import`",
            ) from None
        points += new_points(found.points, standing=points)
        refused += found.refused
    together = Measurements(points=tuple(points), refused=tuple(refused))
    return tuple(files.values()), together


def read_measurements(where: str) -> tuple[str, bytes]:
    """Name and bytes of a measurement file: a path, or ``aiconfigurator`` for the package's own."""
    if where != AICONFIGURATOR:
        path = Path(where)
        return path.name, read_file(path)
    spec = importlib.util.find_spec("aiconfigurator_core")
    if spec is None or spec.origin is None:
        raise DocumentError(
            "--measurements",
            "the package aiconfigurator-core is not installed; install tokenworks[measurements] "
            "(Python before 3.14) or name a file",
        )
    version = importlib.metadata.version("aiconfigurator-core")
    found = Path(spec.origin).parent / "systems" / "silicon_sample.csv"
    return f"aiconfigurator-core-{version}/silicon_sample.csv", read_file(found)


def read_windows(
    scrapes: Sequence[Scrapes],
) -> tuple[tuple[TokenWindow, ...], tuple[EnergyWindow, ...]]:
    """Tokens by model and joules by accelerator between scrapes, of vLLM and DCGM exporters.

    DocumentError where a text is none of an exporter, or holds nothing of either.
    """
    from pricing_rules.cost.readers.prometheus import Scrape, energy_windows, token_windows

    texts = [
        Scrape(
            name=", ".join(path.name for path in one.paths),
            data=b"\n".join(read_file(path) for path in one.paths),
            scraped_at=one.scraped_at,
        )
        for one in scrapes
    ]
    tokens, energy = token_windows(texts), energy_windows(texts)
    if not tokens and not energy:
        raise DocumentError(
            texts[0].name, "holds neither token counters of vLLM nor energy counters of DCGM"
        )
    return tokens, energy


def _lacking(lacks: Sequence[tuple[str, tuple[str, ...]]]) -> DocumentError:
    """One error for all files: what they lack together, and the flags that supply it."""
    from pricing_rules.cost.readers.stated_facts import FACTS

    facts = [fact for fact in FACTS if any(fact in found for _, found in lacks)]
    flags = {fact: f"--{fact.replace('_', '-')}" for fact in facts}
    flags |= {"parallelism": "--parallelism, or --prefill and --decode"}
    named = "; ".join(f"{FACTS[fact]} ({flags[fact]})" for fact in facts)
    files = ", ".join(name for name, _ in lacks[:3])
    more = f" and {len(lacks) - 3} more" if len(lacks) > 3 else ""
    verb = "lacks" if len(lacks) == 1 else "lack"
    return DocumentError("", f"{files}{more} {verb} {named}: state what is true of the run")


def _check_renamed(renamed: Mapping[str, str], *, points: Sequence[OperatingPoint]) -> None:
    used = {point.setup.model for point in points} | {point.setup.hardware for point in points}
    for theirs, ours in renamed.items():
        if ours not in used:
            raise DocumentError(
                "--rename", f'no model or hardware of these files is called "{theirs:.60}"'
            )
