"""Reviewing prices before they are published: what a new book changes, and what a policy has wrong.

Invariant: a review writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from billing.operations.files import read_file
from billing.operations.price_book import derive_book, read_book

if TYPE_CHECKING:
    from pricing_rules.rules.book_diff import BookDiff
    from pricing_rules.rules.policy_check import PlacedFinding


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedBooks:
    """Two books by what names them, and what changed from one to the other."""

    old: dict[str, object]
    new: dict[str, object]
    diff: BookDiff

    def as_json(self) -> dict[str, object]:
        """``{"old", "new", "rates": [...], "documents": [...], "unchanged"}``."""
        return {"old": self.old, "new": self.new, **asdict(self.diff)}


def review_books(old: Path, *, new: Path) -> ReviewedBooks:
    """What changed from one book file to another. DocumentError where one does not load."""
    from pricing_rules.rules.book_diff import book_diff

    books = read_book(old), read_book(new)
    named: list[dict[str, object]] = [
        {"series": book.series, "number": book.number, "digest": book.digest} for book in books
    ]
    return ReviewedBooks(old=named[0], new=named[1], diff=book_diff(books[0], new=books[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedFrom:
    """What a policy is checked with beside itself."""

    factory: Path
    measurements: Sequence[str]
    mixes: Sequence[Path] = ()
    markets: Sequence[Path] = ()
    previous: Path | None = None


def check_policy(
    policy: Path, *, effective_from: int, derived_from: DerivedFrom | None
) -> tuple[PlacedFinding, ...]:
    """What a policy has wrong, each finding with the line that it stands at.

    Without ``derived_from`` only what no measurement can change: rules without an effect and
    ambiguous matches. With it a candidate is derived as of ``effective_from``, and its rates are
    checked too. DocumentError where a document does not load.
    """
    from pricing_rules.rules.policy import load_policy
    from pricing_rules.rules.policy_check import placed, policy_findings

    data = read_file(policy)
    loaded = load_policy(data, name=policy.name)
    if derived_from is None:
        findings = policy_findings(loaded, effective_from=effective_from)
        return placed(findings, policy=loaded, book=None, data=data, name=policy.name)
    previous = read_book(derived_from.previous) if derived_from.previous else None
    book = derive_book(
        derived_from.factory,
        policy=policy,
        measurements=derived_from.measurements,
        number=previous.number + 1 if previous else 1,
        effective_from=effective_from,
        mixes=derived_from.mixes,
        markets=derived_from.markets,
        previous=previous,
    )
    return placed(book.findings, policy=loaded, book=book, data=data, name=policy.name)
