"""Price books from files: derive a candidate, publish it, explain a rate.

Invariant: a candidate names every file that it was derived from, by digest; publishing changes no
rate.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from billing.operations.files import read_file, write_file
from pricing_rules.document import DocumentError, bytes_digest, dump, validate
from pricing_rules.period import moment_text
from pricing_rules.prices.price_book import BooksInForce, PriceBook, Supersedes, load_price_book
from pricing_rules.prices.provenance import Finding, InputDocument, SignOff
from pricing_rules.rules.publication import UNDER_FLOOR, publish

_NUMBER = re.compile("[1-9][0-9]{0,9}")

AICONFIGURATOR = "aiconfigurator"
"""The word that stands for the measurements of the installed package."""


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
    """Write a candidate over an earlier one; DocumentError where a published book stands there."""
    if path.is_file():
        try:
            published = read_book(path).published_at is not None
        except DocumentError:
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
    factory: Path, *, policy: Path, measurements: str, number: int, effective_from: int
) -> PriceBook:
    """The candidate of these documents; it names each of them with its digest."""
    # They bring pandas and SciPy, which those who only read a book need not wait for.
    from pricing_rules.cost.factory import load_factory
    from pricing_rules.cost.readers.aiconfigurator import read_silicon_sample
    from pricing_rules.rules.derivation import derive
    from pricing_rules.rules.policy import load_policy

    factory_data, policy_data = read_file(factory), read_file(policy)
    sample_name, sample = read_measurements(measurements)
    inputs = (
        _input("factory", name=factory.name, data=factory_data),
        _input("measurement", name=sample_name, data=sample),
        _input("policy", name=policy.name, data=policy_data),
    )
    return derive(
        load_factory(factory_data, name=factory.name),
        policy=load_policy(policy_data, name=policy.name),
        measurements=read_silicon_sample(sample, name=sample_name),
        number=number,
        effective_from=effective_from,
        inputs=inputs,
    )


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


def publish_book(
    candidate: Path,
    *,
    published_at: int,
    patterns: Sequence[SignOffPattern],
    previous: PriceBook | None,
    supersedes: str | None,
) -> PriceBook:
    """The published book of a candidate file. DocumentError names what is not signed off.

    ``previous``: the newest published book of the series, None for its first.
    """
    book = read_book(candidate).model_copy(update={"digest": None})
    return publish(
        book,
        published_at=published_at,
        sign_offs=_sign_offs(book, patterns=patterns),
        previous=previous,
        supersedes=_supersedes(supersedes),
    )


def _sign_offs(book: PriceBook, *, patterns: Sequence[SignOffPattern]) -> tuple[SignOff, ...]:
    found: dict[str, SignOff] = {}
    for one in patterns:
        matching, reason = _matching(book, one)
        for finding in matching:
            needs_end = finding.kind == UNDER_FLOOR
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
