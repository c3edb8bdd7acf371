"""``tokenworks price``: from measurements to a published price book, and back down again.

Invariant: a candidate is written whole with all its findings; only ``publish`` makes it a book.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_rows, say
from billing.cli.price_interchange import export_prices, import_prices
from billing.cli.price_market import compare, market
from billing.cli.price_rederive import rederive
from billing.cli.price_review import check, diff, markets_option, mixes_option
from billing.cli.price_task import task
from billing.cli.stored import (
    by_option,
    floor_override,
    moment_option,
    opened,
    signer_option,
    store_option,
)
from billing.cli.walk import print_walk
from billing.operations.files import write_once
from billing.operations.floor_override import FloorOverride
from billing.operations.price_book import (
    SignOffPattern,
    book_bytes,
    derive_book,
    publish_book,
    read_book,
    write_candidate,
)
from pricing_rules.document import DocumentError, dump
from pricing_rules.period import parse_moment
from pricing_rules.prices.explain import explain_unit, plain, rate_text
from pricing_rules.prices.price_book import PriceBook

COLUMNS = ("model", "service_tier", "unit", "when", "rate", "floor")

_OVERRIDE_HELP = "Why discounts of agreements may press rates under their floor."


@click.group("price")
def command() -> None:
    """Derive, publish and explain price books."""


command.add_command(check)
command.add_command(diff)
command.add_command(task)
command.add_command(import_prices)
command.add_command(export_prices)
command.add_command(compare)
command.add_command(market)
command.add_command(rederive)


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return parse_moment(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from None


@command.command("derive")
@click.option("--factory", type=click.Path(path_type=Path), required=True, help="factory.yaml")
@click.option("--policy", type=click.Path(path_type=Path), required=True, help="policy.yaml")
@click.option(
    "--measurements",
    multiple=True,
    required=True,
    help="A measurement file, a silicon_sample.csv, or 'aiconfigurator' for the one of the "
    "installed package; repeatable.",
)
@click.option("--number", type=click.IntRange(min=1), required=True, help="Number in its series.")
@click.option(
    "--effective-from", callback=_moment, required=True, help="RFC 3339 moment with an offset."
)
@mixes_option
@markets_option
@click.option(
    "--previous", type=click.Path(path_type=Path), help="The book before, for guard rails."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The candidate book.")
@format_option
def derive(
    *,
    factory: Path,
    policy: Path,
    measurements: tuple[str, ...],
    number: int,
    effective_from: int,
    mixes: tuple[Path, ...],
    markets: tuple[Path, ...],
    previous: Path | None,
    out: Path,
    shape: str,
) -> None:
    """Derive a candidate price book, with its provenance and its findings.

    Example: tokenworks price derive --factory factory.yaml --policy policy.yaml
    --measurements aiconfigurator --number 1 --effective-from 2026-12-01T00:00:00Z
    --out candidate.json
    """
    book = derive_book(
        factory,
        policy=policy,
        measurements=measurements,
        number=number,
        effective_from=effective_from,
        mixes=mixes,
        markets=markets,
        previous=read_book(previous) if previous else None,
    )
    write_candidate(book, path=out)
    _print_book(book, shape=shape)
    say(f"wrote {out}: {len(book.rate_cards)} rate cards, {len(book.findings)} findings")


@command.command("publish")
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option("--published-at", callback=_moment, required=True, help="RFC 3339 moment.")
@signer_option
@click.option("--author", help="Who derived the candidate, where another person must sign.")
@click.option(
    "--sign-off",
    "sign_offs",
    multiple=True,
    metavar="FINDING=REASON",
    help="A finding (or a pattern such as 'extrapolated:*') and why it is accepted; repeatable.",
)
@click.option(
    "--override-ends-at",
    callback=_moment,
    help="When the overrides of floors end; needed to sign an under_floor finding off.",
)
@click.option(
    "--previous", type=click.Path(path_type=Path), help="The newest published book of the series."
)
@click.option("--supersedes", metavar="NUMBER=REASON", help="For a past effective_from.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The published book.")
@click.option("--store", metavar="PATH", help="Also put it into this store.")
@click.option("--override", metavar="REASON", help=_OVERRIDE_HELP)
@now_option
@format_option
def publish(
    *,
    candidate: Path,
    published_at: int,
    by: str,
    author: str | None,
    sign_offs: Sequence[str],
    override_ends_at: int | None,
    previous: Path | None,
    supersedes: str | None,
    out: Path,
    store: str | None,
    override: str | None,
    now_at: int,
    shape: str,
) -> None:
    """Publish a candidate: every finding needs a person's word.

    With a store, the book before it is found there, and the published one is put into it.

    Example: tokenworks price publish candidate.json --published-at 2026-11-25T12:00:00Z
    --by dana --sign-off 'extrapolated:*=no nearer shape is measured' --out book-1.json
    """
    patterns = []
    for text in sign_offs:
        pattern, equals, reason = text.partition("=")
        if not equals or not pattern or not reason:
            raise DocumentError("--sign-off", f'must be FINDING=REASON, not "{text:.60}"')
        patterns.append(
            SignOffPattern(pattern=pattern, by=by, reason=reason, ends_at=override_ends_at)
        )
    before = read_book(previous) if previous else None
    if store is not None and before is None:
        before = _stored_before(store, candidate=candidate)
    book = publish_book(
        candidate,
        published_at=published_at,
        patterns=patterns,
        previous=before,
        supersedes=supersedes,
        author=author,
    )
    if store is not None:
        accepted = floor_override(override, ends_at=override_ends_at if override else None, by=by)
        _store(book, store=store, by=by, now_at=now_at, override=accepted)
    write_once(out, data=book_bytes(book))
    _print_book(book, shape=shape)
    say(f"wrote {out}: {book.series} number {book.number}, {book.digest}")


@command.command("load")
@click.argument("book", type=click.Path(path_type=Path))
@store_option
@by_option
@click.option("--override", metavar="REASON", help=_OVERRIDE_HELP)
@moment_option("--override-ends-at", about="When that ends; RFC 3339 moment.")
@now_option
@format_option
def load(
    *,
    book: Path,
    store: str,
    by: str,
    override: str | None,
    override_ends_at: int | None,
    now_at: int,
    shape: str,
) -> None:
    """Put a published book into a store; the same book again changes nothing.

    Example: tokenworks price load book-1.json --store billing.db --by dana
    """
    found = read_book(book)
    accepted = floor_override(override, ends_at=override_ends_at, by=by)
    _store(found, store=store, by=by, now_at=now_at, override=accepted)
    _print_book(found, shape=shape)


@command.command("explain")
@click.argument("book", type=click.Path(path_type=Path))
@click.option("--model", required=True)
@click.option("--service-tier", required=True)
@click.option("--unit", required=True, help="Such as output_tokens.")
@format_option
def explain(*, book: Path, model: str, service_tier: str, unit: str, shape: str) -> None:
    """Walk a rate down to the files, rows, digests and weights that it was measured with.

    Example: tokenworks price explain book-1.json --model gpt-oss-120b --service-tier standard
    --unit output_tokens
    """
    print_walk(
        explain_unit(read_book(book), model=model, service_tier=service_tier, unit=unit),
        shape=shape,
    )


def _stored_before(store: str, *, candidate: Path) -> PriceBook | None:
    from billing.operations.stored_book import book_before

    book = read_book(candidate)
    with opened(store) as found:
        return book_before(found, series=book.series, number=book.number)


def _store(
    book: PriceBook, *, store: str, by: str, now_at: int, override: FloorOverride | None
) -> None:
    from billing.operations.stored_book import store_book

    with opened(store) as found:
        stored = store_book(book, store=found, by=by, now_at=now_at, override=override)
    for under in stored.under_floor:
        say(f"finding: {under.sentence()}")
    said = "stored" if stored.new else "was stored before"
    say(f"{book.series} number {book.number} {said} in {found.where}")


def _print_book(book: PriceBook, *, shape: str) -> None:
    rows: list[dict[str, object]] = []
    for card in book.rate_cards:
        floors = {f.unit: plain(f.floor) for f in card.cost.floors} if card.cost else {}
        rows += [
            {
                "model": card.model,
                "service_tier": card.service_tier,
                "unit": entry.unit,
                "when": entry.when.text(),
                "rate": rate_text(entry),
                "floor": floors.get(entry.unit, "cost: none"),
            }
            for entry in card.rates
        ]
    title = f"{book.series} number {book.number}, {book.currency}"
    print_rows(rows, columns=COLUMNS, shape=shape, document=dump(book), title=title)
    if shape == "table":
        for finding in book.findings:
            say(f"finding {finding.id}: {finding.sentence}")
