"""``tokenworks quote``: what single requests cost under a price book.

Invariant: JSON lines in, JSON lines out, in order, one for one; a line that has no amount has an
error in its place, and the others go on.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from billing.cli.output import format_option, print_rows, say
from billing.operations.price_book import read_book
from pricing_rules.document import DocumentError, validate
from pricing_rules.money import exact_text
from pricing_rules.prices.quote import CompiledBook, QuoteError, QuoteRequest, compile_book
from pricing_rules.prices.quote_lines import quote_line

LINES_AT_ONCE = 4096

_COUNT = re.compile("-?(0|[1-9][0-9]{0,18})")
"""A count as JSON writes it; every other text is left for the request to refuse or to scale."""


@click.command("quote")
@click.option("--price-book", type=click.Path(path_type=Path), required=True, help="A price book.")
@click.option("--model", help="The model served. Without it, requests are read from stdin.")
@click.option("--service-tier", help="The service tier served.")
@click.option("--region", help="The region served.")
@click.option("--at", help="The price moment (RFC 3339), where a condition needs it.")
@click.option("--unit", "units", multiple=True, metavar="UNIT=COUNT", help="Repeatable.")
@click.option("--dimension", "dimensions", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.option("--request-tokens", help="The request's size; else its input tokens.")
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    price_book: Path,
    model: str | None,
    service_tier: str | None,
    region: str | None,
    at: str | None,
    units: tuple[str, ...],
    dimensions: tuple[str, ...],
    request_tokens: str | None,
    shape: str,
) -> None:
    """Price one request by flags, or JSON lines from stdin to JSON lines on stdout.

    A line is {"model","service_tier","units":{"input_tokens":1200,...}} and may have region, at,
    dimensions and request_tokens. Counts are inclusive. A ladder is priced from its start, as if
    shared allowances were used up.

    Example: tokenworks quote --price-book book.json --model gpt-oss-120b --service-tier standard
    --unit input_tokens=1200 --unit output_tokens=300
    """
    compiled = compile_book(read_book(price_book))
    if model is None:
        if service_tier or region or at or units or dimensions or request_tokens is not None:
            raise DocumentError("--model", "is missing; give it, or give no flags and use stdin")
        ctx.exit(_lines(compiled))
    fields = {
        "model": model,
        "service_tier": service_tier,
        "region": region,
        "at": at,
        "units": {name: _count(text) for name, text in _pairs(units, flag="--unit")},
        "dimensions": dict(_pairs(dimensions, flag="--dimension")),
        "request_tokens": None if request_tokens is None else _count(request_tokens),
    }
    given = {name: value for name, value in fields.items() if value is not None}
    request = validate(QuoteRequest, given, name="request", lines={})
    try:
        amount = exact_text(compiled.amount(request))
    except QuoteError as error:
        raise DocumentError("request", str(error)) from None
    unused = [
        one.id
        for one in compiled.book.allowances
        if one.covers(model=model, service_tier=request.service_tier, unit=one.units[0])
    ]
    if unused:
        say(f"tokenworks: priced as if used up: {', '.join(unused)}")
    row = {"amount": amount, "currency": compiled.book.currency}
    print_rows([row], columns=("amount", "currency"), shape=shape, document=row)


def _lines(compiled: CompiledBook) -> int:
    """Answer every line of stdin; the exit code."""
    read, errors = 0, 0
    out = sys.stdout.buffer
    for block in _blocks():
        answers = [quote_line(compiled, line=line) for line in block]
        errors += sum(answer.startswith(b'{"error"') for answer in answers)
        read += len(answers)
        out.write(b"\n".join(answers) + b"\n")
    out.flush()
    if not read:
        raise DocumentError("stdin", "holds no line; write one JSON object on each line")
    if errors:
        say(f"tokenworks: {errors:,} of {read:,} lines have no amount")
    return 1 if errors else 0


def _blocks() -> Iterator[list[bytes]]:
    block: list[bytes] = []
    for line in sys.stdin.buffer:
        block.append(line.removesuffix(b"\n").removesuffix(b"\r"))
        if len(block) >= LINES_AT_ONCE:
            yield block
            block = []
    if block:
        yield block


def _pairs(texts: tuple[str, ...], *, flag: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise DocumentError(flag, f'must be NAME=VALUE, not "{text:.60}"')
        if name in seen:
            raise DocumentError(flag, f'"{name:.60}" is given twice; keep one')
        seen.add(name)
        yield name, value


def _count(text: str) -> int | str:
    return int(text) if _COUNT.fullmatch(text) else text
