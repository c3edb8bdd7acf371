"""Deriving a book anew after a measurement: what moved, what is under its floor now, a candidate.

Invariant: the candidate and the report are each written whole, the candidate first, and the report
names the candidate's digest; the same documents give the same bytes again, and nothing is ever
published.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from billing.operations.files import read_file, refuse_other, write_file
from billing.operations.price_book import book_bytes, derive_book, read_book, write_candidate
from pricing_rules.document import DocumentError, content_digest, dump

if TYPE_CHECKING:
    from pricing_rules.planning.rederivation import Rederivation
    from pricing_rules.prices.price_book import PriceBook

REPORT_SCHEMA = "tokenworks.rederivation/1"
_REPORT_BEGINS = f'{{\n  "schema": "{REPORT_SCHEMA}"'.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedAnew:
    """A book in force, the candidate that was derived anew, and what lies between them."""

    current: PriceBook
    candidate: PriceBook
    between: Rederivation

    def as_json(self) -> dict[str, object]:
        """The report ``tokenworks.rederivation/1``.

        ``{"schema", "current", "candidate", "floors": [...], "under_floor": [...], "rates": [...],
        "documents": [...], "findings": [...]}``: floors that moved with their causes, rates of the
        book in force under their new floors, and the rates, input documents and findings of the
        candidate that a person looks at before publishing it.
        """
        found = self.between
        return {
            "schema": REPORT_SCHEMA,
            "current": _named(self.current),
            "candidate": _named(self.candidate),
            "floors": [asdict(one) for one in found.moves],
            "under_floor": [asdict(one) for one in found.under],
            "rates": [asdict(one) for one in found.diff.rates],
            "documents": [asdict(one) for one in found.diff.documents],
            "findings": [dump(one) for one in self.candidate.findings],
        }


def derive_anew(
    book: Path,
    *,
    factory: Path,
    policy: Path,
    measurements: Sequence[str],
    number: int,
    effective_from: int,
    mixes: Sequence[Path] = (),
    markets: Sequence[Path] = (),
) -> DerivedAnew:
    """Derive the candidate that follows a book in force, and hold the two against one another.

    Nothing is written. DocumentError where a document does not load, where ``number`` does not
    follow that of the book, and where the policy makes another series.
    """
    from pricing_rules.planning.rederivation import rederivation
    from pricing_rules.rules.policy import load_policy

    current = read_book(book)
    if number <= current.number:
        raise DocumentError(
            "--number", f"{number} does not follow {current.number}; give a higher one"
        )
    candidate = derive_book(
        factory,
        policy=policy,
        measurements=measurements,
        number=number,
        effective_from=effective_from,
        mixes=mixes,
        markets=markets,
        previous=current,
    )
    between = rederivation(
        current,
        candidate=candidate,
        policy=load_policy(read_file(policy), name=policy.name),
    )
    return DerivedAnew(current=current, candidate=candidate, between=between)


def write_derived_anew(found: DerivedAnew, *, candidate: Path, report: Path) -> tuple[Path, ...]:
    """Write candidate and report where a floor or a rate moved; gives the files that are new.

    A file that holds the same bytes is left alone. DocumentError, and nothing written, where a
    published book or another document stands at ``candidate``, or anything but an earlier report at
    ``report``.
    """
    if not found.between.moved:
        return ()
    if candidate.resolve() == report.resolve():
        raise DocumentError(str(report), "is the name of the candidate; give the report another")
    refuse_other(report, begins=_REPORT_BEGINS)
    written: list[Path] = []
    if not _holds(candidate, data=book_bytes(found.candidate)):
        write_candidate(found.candidate, path=candidate)
        written.append(candidate)
    data = (json.dumps(found.as_json(), indent=2, ensure_ascii=False) + "\n").encode()
    if not _holds(report, data=data):
        write_file(report, data=data)
        written.append(report)
    return tuple(written)


def _holds(path: Path, *, data: bytes) -> bool:
    return path.is_file() and read_file(path) == data


def _named(book: PriceBook) -> dict[str, object]:
    unsigned = book.model_copy(update={"digest": None})
    return {
        "series": book.series,
        "number": book.number,
        "digest": content_digest(dump(unsigned)),
    }
