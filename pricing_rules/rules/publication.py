"""Publishing a candidate: a gate that every finding passes with a person's word, then a digest.

Invariant: a published book has no finding without a sign-off, no override without an end, and a
digest of exactly what it says.
"""

from __future__ import annotations

from collections.abc import Sequence

from pricing_rules.document import DocumentError, content_digest, dump
from pricing_rules.period import moment_text
from pricing_rules.prices.price_book import PriceBook, Supersedes
from pricing_rules.prices.provenance import Finding, SignOff
from pricing_rules.rules.multiplied_floors import with_floors
from pricing_rules.windows import DAY

UNDER_FLOOR = ("under_floor", "yield")
"""Findings on what is sold under its floor: a rate, and whole requests."""
NOTICE = "notice_period"


def publish(
    candidate: PriceBook,
    *,
    published_at: int,
    sign_offs: Sequence[SignOff],
    previous: PriceBook | None,
    supersedes: Supersedes | None = None,
    author: str | None = None,
) -> PriceBook:
    """The published book: the candidate with its moment, its sign-offs and its digest.

    Every finding needs a sign-off by name, those of ``with_gate_findings`` included; one of a rate
    under its floor also says when it ends.
    ``previous`` is the newest published book of the series, None for its first. A book that is in
    force before it is published, or not after ``previous``, names in ``supersedes`` which it
    replaces and why; the first book of a series replaces none and may lie back. ``author``: who
    derived the candidate, where the deployment asks for another person's word; their own sign-offs
    do not count.

    Raises DocumentError that names what is missing.
    """
    if candidate.published_at is not None:
        raise DocumentError("candidate", f"number {candidate.number} is published already")
    candidate = with_gate_findings(candidate, published_at=published_at, previous=previous)
    _check_sign_offs(candidate, sign_offs=sign_offs, author=author)
    supersedes = supersedes or candidate.supersedes
    if previous is not None:
        _check_succession(candidate, previous=previous, published_at=published_at)
        _check_supersedes(
            candidate, previous=previous, published_at=published_at, supersedes=supersedes
        )
    elif supersedes is not None:
        raise DocumentError("supersedes", "the first book of a series replaces none; leave it out")
    book = candidate.model_copy(
        update={
            "published_at": published_at,
            "sign_offs": tuple(sorted(sign_offs, key=lambda s: (s.finding, s.by))),
            "supersedes": supersedes,
            "digest": None,
        }
    )
    return book.model_copy(update={"digest": content_digest(dump(book))})


def with_gate_findings(
    candidate: PriceBook, *, published_at: int, previous: PriceBook | None
) -> PriceBook:
    """The candidate with what only the gate finds: rates under their floors as multipliers take
    them, or that nobody derived, and too short a notice.
    """
    return with_notice(with_floors(candidate), published_at=published_at, previous=previous)


def with_notice(
    candidate: PriceBook, *, published_at: int, previous: PriceBook | None
) -> PriceBook:
    """The candidate with the finding that only the moment of publishing can give: too short a
    notice.

    A book that follows another gives its accounts the days of notice that it names, counted from
    ``published_at`` to its ``effective_from``; the first book of a series changes nothing for
    anybody.
    """
    asked = candidate.notice_days_at_least
    given_microseconds = candidate.effective_from - published_at
    id_ = f"{NOTICE}:{candidate.number}"
    if (
        previous is None
        or asked is None
        or given_microseconds >= asked * DAY
        or any(one.id == id_ for one in candidate.findings)
    ):
        return candidate
    earliest = moment_text(published_at + asked * DAY)
    finding = Finding(
        id=id_,
        kind=NOTICE,
        sentence=f"published at {moment_text(published_at)} and in force from "
        f"{moment_text(candidate.effective_from)}, under the {asked} days of notice that the "
        f"policy asks for; {earliest} would keep them",
    )
    findings = sorted((*candidate.findings, finding), key=lambda one: (one.id, one.sentence))
    return candidate.model_copy(update={"findings": tuple(findings)})


def check_succession(book: PriceBook, *, previous: PriceBook | None) -> None:
    """Check again, where books are kept, that a published book may follow ``previous``.

    ``previous`` is the newest of its series there, None for the first. DocumentError as in
    ``publish``, and for a candidate: the book may have been published beside another one.
    """
    if book.published_at is None:
        raise DocumentError(f"price book {book.number}", "is a candidate; publish it first")
    if previous is not None:
        _check_succession(book, previous=previous, published_at=book.published_at)
        _check_supersedes(
            book,
            previous=previous,
            published_at=book.published_at,
            supersedes=book.supersedes,
        )


def _check_sign_offs(
    candidate: PriceBook, *, sign_offs: Sequence[SignOff], author: str | None
) -> None:
    findings = {finding.id: finding for finding in candidate.findings}
    signed: set[str] = set()
    for sign_off in sign_offs:
        finding = findings.get(sign_off.finding)
        where = f'sign-off of "{sign_off.finding}"'
        if finding is None:
            raise DocumentError(where, "the book has no such finding; remove it")
        if author is not None and sign_off.by == author:
            raise DocumentError(where, f"{author} wrote the candidate; another person signs it off")
        if finding.kind in UNDER_FLOOR:
            if sign_off.ends_at is None:
                raise DocumentError(where, "an override of a floor ends; say when in ends_at")
            if sign_off.ends_at <= candidate.effective_from:
                raise DocumentError(
                    where,
                    f"the override ends before the book is in force; "
                    f"give an ends_at after {moment_text(candidate.effective_from)}",
                )
        signed.add(finding.id)
    missing = sorted(findings.keys() - signed)
    if missing:
        raise DocumentError(
            "sign-offs",
            f"missing for {len(missing)} of {len(findings)} findings: {', '.join(missing)}",
        )


def _check_succession(candidate: PriceBook, *, previous: PriceBook, published_at: int) -> None:
    if previous.published_at is None:
        raise DocumentError("previous", f"number {previous.number} was never published")
    if (candidate.series, candidate.currency) != (previous.series, previous.currency):
        raise DocumentError(
            "candidate",
            f"{candidate.series} in {candidate.currency} does not follow {previous.series} in "
            f"{previous.currency}",
        )
    if candidate.number <= previous.number:
        raise DocumentError(
            "candidate number",
            f"{candidate.number} does not follow {previous.number}; give a higher one",
        )
    if published_at < previous.published_at:
        raise DocumentError(
            "published_at",
            f"lies before that of number {previous.number}, {moment_text(previous.published_at)}",
        )


def _check_supersedes(
    candidate: PriceBook,
    *,
    previous: PriceBook,
    published_at: int,
    supersedes: Supersedes | None,
) -> None:
    reaches_back = (
        candidate.effective_from < published_at
        or candidate.effective_from <= previous.effective_from
    )
    if reaches_back and supersedes is None:
        raise DocumentError(
            "effective_from",
            f"{moment_text(candidate.effective_from)} reaches back over what is published; name in "
            "supersedes which book this one replaces, and why",
        )
    if supersedes is not None and supersedes.number > previous.number:
        raise DocumentError(
            "supersedes", f"there is no number {supersedes.number}; the newest is {previous.number}"
        )
