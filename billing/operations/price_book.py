"""Price books from files: derive a candidate, publish it, explain a rate.

Invariant: a candidate names every file that it was derived from, by digest; publishing changes no
rate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from billing.operations.files import read_file, refuse_other, write_file
from billing.operations.measurement import read_all_measurements
from pricing_rules.document import DocumentError, bytes_digest, dump, validate
from pricing_rules.period import moment_text
from pricing_rules.prices.price_book import BooksInForce, PriceBook, Supersedes, load_price_book
from pricing_rules.prices.provenance import Finding, InputDocument, SignOff
from pricing_rules.rules.publication import UNDER_FLOOR, publish, with_gate_findings

_NUMBER = re.compile("[1-9][0-9]{0,9}")


def read_books(paths: Sequence[Path]) -> BooksInForce:
    """The books of these files as one series. DocumentError where one does not load."""
    return BooksInForce(books=tuple(read_book(path) for path in paths))


def read_book(path: Path) -> PriceBook:
    """One price book; the name of its file stands in every sentence about it."""
    return load_price_book(read_file(path), name=path.name)


def book_bytes(book: PriceBook) -> bytes:
    """A price book as the file that is kept: JSON, indented, ending in a newline."""
    return (json.dumps(dump(book), indent=2, ensure_ascii=False) + "\n").encode()


def write_candidate(book: PriceBook, *, path: Path) -> None:
    """Write a candidate over an earlier one.

    DocumentError where a published book stands there, or another document.
    """
    if path.is_file():
        try:
            published = read_book(path).published_at is not None
        except DocumentError:
            refuse_other(path, begins=b'{\n  "schema": "tokenworks.price-book/1"')
            published = False
        if published:
            raise DocumentError(str(path), "is a published price book; choose another name")
    write_file(path, data=book_bytes(book))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOffPattern:
    """A sign-off of every finding whose id matches a shell pattern."""

    pattern: str
    by: str
    reason: str
    ends_at: int | None


def derive_book(
    factory: Path,
    *,
    policy: Path,
    measurements: Sequence[str],
    number: int,
    effective_from: int,
    mixes: Sequence[Path] = (),
    markets: Sequence[Path] = (),
    previous: PriceBook | None = None,
) -> PriceBook:
    """The candidate of these documents; it names each of them with its digest.

    ``measurements`` are files of ``read_all_measurements``, or its word for the installed package;
    ``mixes`` are what accounts were served, ``markets`` the snapshots that rules anchor to, and
    ``previous`` is the book before, which guard rails hold the changes against.
    """
    # They bring pandas and SciPy, which those who only read a book need not wait for.
    from pricing_rules.cost.factory import load_factory
    from pricing_rules.rules.derivation import derive
    from pricing_rules.rules.market import load_market
    from pricing_rules.rules.policy import load_policy
    from pricing_rules.usage.mix import load_usage_mix

    factory_data, policy_data = read_file(factory), read_file(policy)
    paid = load_factory(factory_data, name=factory.name)
    promised = load_policy(policy_data, name=policy.name)
    measured, points = read_all_measurements(measurements)
    mix_data = [(path.name, read_file(path)) for path in mixes]
    market_data = [(path.name, read_file(path)) for path in markets]
    inputs = (
        *(_input("usage_mix", name=name, data=data) for name, data in mix_data),
        *(_input("market", name=name, data=data) for name, data in market_data),
        _input("factory", name=factory.name, data=factory_data),
        *(_input("measurement", name=name, data=data) for name, data in measured),
        _input("policy", name=policy.name, data=policy_data),
    )
    return derive(
        paid,
        policy=promised,
        measurements=points,
        number=number,
        effective_from=effective_from,
        inputs=inputs,
        mixes=[load_usage_mix(data, name=name) for name, data in mix_data],
        markets=[load_market(data, name=name) for name, data in market_data],
        previous=previous,
    )


def publish_book(
    candidate: Path,
    *,
    published_at: int,
    patterns: Sequence[SignOffPattern],
    previous: PriceBook | None,
    supersedes: str | None,
    author: str | None = None,
) -> PriceBook:
    """The published book of a candidate file. DocumentError names what is not signed off.

    ``previous``: the newest published book of the series, None for its first. ``author``: who
    derived the candidate, where another person must sign.
    """
    book = with_gate_findings(
        read_book(candidate).model_copy(update={"digest": None}),
        published_at=published_at,
        previous=previous,
    )
    return publish(
        book,
        published_at=published_at,
        sign_offs=_sign_offs(book, patterns=patterns),
        previous=previous,
        supersedes=_supersedes(supersedes),
        author=author,
    )


def _sign_offs(book: PriceBook, *, patterns: Sequence[SignOffPattern]) -> tuple[SignOff, ...]:
    found: dict[str, SignOff] = {}
    for one in patterns:
        matching, reason = _matching(book, one)
        for finding in matching:
            needs_end = finding.kind in UNDER_FLOOR
            ends = {"ends_at": moment_text(one.ends_at)} if needs_end and one.ends_at else {}
            value = {"finding": finding.id, "by": one.by, "reason": reason, **ends}
            found.setdefault(finding.id, validate(SignOff, value, name="--sign-off", lines={}))
    return tuple(found.values())


def _matching(book: PriceBook, one: SignOffPattern) -> tuple[list[Finding], str]:
    """The findings that a sign-off is of, and its reason.

    An id may hold "=" (``.../region=eu``), so the pattern ends at the first "=" that gives a match.
    """
    pattern, reason = one.pattern, one.reason
    while True:
        found = [f for f in book.findings if f.id == pattern or fnmatchcase(f.id, pattern)]
        more, equals, rest = reason.partition("=")
        if found:
            return found, reason
        if not equals:
            raise DocumentError("--sign-off", f'no finding matches "{one.pattern}"; remove it')
        pattern, reason = f"{pattern}={more}", rest


def _supersedes(text: str | None) -> Supersedes | None:
    if text is None:
        return None
    number, _, reason = text.partition("=")
    value = {"number": int(number) if _NUMBER.fullmatch(number) else number, "reason": reason}
    return validate(Supersedes, value, name="--supersedes", lines={})


def _input(role: str, *, name: str, data: bytes) -> InputDocument:
    value = {"role": role, "name": name, "sha256": bytes_digest(data)}
    return validate(InputDocument, value, name=name, lines={})
