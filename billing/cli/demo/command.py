"""``tokenworks demo``: hardware measurements become prices, and usage becomes invoices, in one go.

Invariant: every step is what the command of the same name does, on files that stay behind, so that
a reader can change one of them and run that step again.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from pathlib import Path

import click
import pyarrow as pa

from billing.cli.demo.generated_usage import generated_trace
from billing.cli.output import print_refused, print_table
from billing.documents import render_invoice
from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.report import RatingReport
from billing.intake.assignment import Assignment
from billing.intake.azure_trace import read_azure_trace
from billing.operations.files import read_file, write_file
from billing.operations.invoice import preview_invoice
from billing.operations.price_book import (
    AICONFIGURATOR,
    SignOffPattern,
    book_bytes,
    derive_book,
    publish_book,
)
from billing.operations.rating import rate
from billing.operations.usage import write_events
from pricing_rules.document import DocumentError, canonical_json, dump, load_yaml
from pricing_rules.money import exact_text
from pricing_rules.period import MICROSECONDS, moment_text, parse_moment, parse_period
from pricing_rules.prices.explain import Step, plain
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.usage.event_columns import Verdict

ASSIGNMENT = Assignment(
    accounts=(("acme", 5), ("globex", 3), ("initech", 2)),
    models=(("gpt-oss-120b", 5), ("MiniMax-M2.5", 3), ("Llama-3.1-70B", 2)),
    service_tiers=(("standard", 6), ("batch", 3), ("priority", 1)),
)
"""Who is said to have sent the requests of a trace, with weights; see ``Assignment`` for how."""

DOCUMENTS = ("factory.yaml", "policy.yaml", "acme.yaml", "globex.yaml", "initech.yaml")
DAYS_US = 24 * 3600 * MICROSECONDS
GENERATED_EVENTS = 20_000
SEED = 20261125


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """A trace: its file as read or generated, its requests as events, and the refused rows."""

    path: Path
    data: bytes
    told: str
    table: pa.Table
    refused: tuple[Verdict, ...]


@click.command("demo")
@click.option(
    "--usage",
    type=click.Path(path_type=Path),
    help="An Azure LLM inference trace (CSV). Without it a small generated trace is used.",
)
@click.option(
    "--starting-at",
    default="2026-12-01T00:00:00Z",
    show_default=True,
    help="When the first request of the trace happens.",
)
@click.option(
    "--measurements",
    default=AICONFIGURATOR,
    show_default=True,
    help="A silicon_sample.csv, or the one of the installed package aiconfigurator-core.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="The folder in which every document of the demo is left.",
)
@click.pass_context
def command(
    ctx: click.Context, *, usage: Path | None, starting_at: str, measurements: str, out: Path
) -> None:
    """From measured hardware to a price book, and from usage to explained invoices.

    Example: tokenworks demo --usage AzureLLMInferenceTrace_conv_2023.csv
    """
    try:
        starts_at = parse_moment(starting_at)
        period = parse_period(
            f"{moment_text(starts_at)}/{moment_text(starts_at + 31 * DAYS_US)}", zone="UTC"
        )
    except ValueError as error:
        raise DocumentError("--starting-at", str(error)) from None
    documents = {
        name: resources.files("billing.cli.demo").joinpath(name).read_bytes() for name in DOCUMENTS
    }
    for account, _ in ASSIGNMENT.accounts:
        name = f"{account}.yaml"
        agreed_at = load_yaml(Agreement, documents[name], name=name).effective_from
        if starts_at < agreed_at:
            raise DocumentError(
                "--starting-at",
                f"must not lie before {moment_text(agreed_at)}, when {account} has an agreement",
            )
    requests = _requests(usage, out=out, starts_at=starts_at)
    for name, data in documents.items():
        write_file(out / name, data=data)
    book = _prices(out, measurements=measurements, effective_from=starts_at)
    _usage(out, requests=requests)
    _charges(out)
    _invoices(out, period=period.text())
    click.echo(f"\nEvery document is in {out}/; book {book.number} is {book.digest}.")
    click.echo(
        "Change policy.yaml there, and run any of the commands above again; a book that is "
        "published is never overwritten, so give the next one another name."
    )
    refused = [(verdict.row, verdict.reason) for verdict in requests.refused]
    print_refused(requests.path.name, refused=refused)
    ctx.exit(1 if refused else 0)


def _prices(out: Path, *, measurements: str, effective_from: int) -> PriceBook:
    at = shlex.quote(str(out))
    _heading(
        "1. Measured hardware -> unit cost -> floor -> rules -> price book",
        command=f"price derive --factory {at}/factory.yaml --policy {at}/policy.yaml "
        f"--measurements {shlex.quote(measurements)} --number 1 "
        f"--effective-from {moment_text(effective_from)} --out {at}/candidate.json",
    )
    candidate = derive_book(
        out / "factory.yaml",
        policy=out / "policy.yaml",
        measurements=measurements,
        number=1,
        effective_from=effective_from,
    )
    write_file(out / "candidate.json", data=book_bytes(candidate))
    _show_hardware(candidate)
    _show_rates(candidate)
    kinds = sorted({finding.kind for finding in candidate.findings})
    click.echo(f"{len(candidate.findings)} findings, which publishing asks a person to sign off:")
    for kind in kinds:
        first = next(finding for finding in candidate.findings if finding.kind == kind)
        count = sum(finding.kind == kind for finding in candidate.findings)
        click.echo(f"  {count:2} {kind}, such as: {first.sentence}")
    patterns = [
        SignOffPattern(pattern=f"{kind}:*", by="demo", reason="seen in the demo", ends_at=None)
        for kind in kinds
    ]
    published_at = effective_from - DAYS_US
    signed = (shlex.quote(f"{one.pattern}={one.reason}") for one in patterns)
    _command(
        f"price publish {at}/candidate.json --published-at {moment_text(published_at)} --by demo "
        f"{' '.join(f'--sign-off {text}' for text in signed)} --out {at}/book-1.json"
    )
    published = publish_book(
        out / "candidate.json",
        published_at=published_at,
        patterns=patterns,
        previous=None,
        supersedes=None,
    )
    write_file(out / "book-1.json", data=book_bytes(published))
    click.echo(f"published as {out}/book-1.json, {published.digest}")
    return published


def _show_hardware(book: PriceBook) -> None:
    rows = [
        {
            "model": card.model,
            "hardware": one.hardware,
            "USD_per_hour": plain(one.usd_per_hour),
            "us_per_input_token": plain(one.us_per_input_token),
            "us_per_output_token": plain(one.us_per_output_token),
            "fit": one.fit,
            "share_of_capacity": plain(one.share_of_capacity),
            "measured_rows": sum(len(p.source.rows) for s in one.shapes for p in s.points),
        }
        for card in book.rate_cards
        if card.cost is not None and card.service_tier == "standard"
        for one in card.cost.hardware
    ]
    if rows:
        print_table(rows, columns=tuple(rows[0]), title="What a token takes at 50 tokens/s a user")


def _show_rates(book: PriceBook) -> None:
    rows = []
    for card in book.rate_cards:
        floors = {f.unit: plain(f.floor) for f in card.cost.floors} if card.cost else {}
        for entry in card.rates:
            if entry.when.text():
                continue
            first = entry.rate if entry.ladder is None else entry.ladder.bands[0].rate
            rows.append(
                {
                    "model": card.model,
                    "service_tier": card.service_tier,
                    "unit": entry.unit,
                    "floor": floors[entry.unit],
                    "rate": "" if first is None else plain(first),
                    "ladder": entry.ladder.id if entry.ladder else "",
                }
            )
    print_table(rows, columns=tuple(rows[0]), title="Floors and rates, USD per million")


def _requests(usage: Path | None, *, out: Path, starts_at: int) -> Requests:
    """The requests of the trace, read whole before anything is written."""
    if usage is None:
        path, data = out / "trace.csv", generated_trace(seed=SEED, events=GENERATED_EVENTS)
        told = f"generated, seed {SEED}, with the means of the Azure traces of 2023"
    else:
        path, data, told = usage, read_file(usage), "an Azure LLM inference trace"
    table, refused = read_azure_trace(
        data, name=path.name, starting_at=starts_at, assignment=ASSIGNMENT
    )
    return Requests(path=path, data=data, told=told, table=table, refused=refused)


def _usage(out: Path, *, requests: Requests) -> None:
    if requests.path.parent == out:
        write_file(requests.path, data=requests.data)
    write_events(requests.table, path=out / "usage.parquet")
    _heading("2. Usage", command="")
    click.echo(
        f"{requests.path} ({requests.told}): {requests.table.num_rows:,} events, "
        f"{len(requests.refused)} rows refused"
    )
    click.echo(f"accounts, models and service tiers are assigned by a hash; {out}/usage.parquet")


def _charges(out: Path) -> None:
    at = shlex.quote(str(out))
    _heading(
        "3. Usage totals x price book -> exact charges",
        command=f"rate --price-book {at}/book-1.json --usage {at}/usage.parquet --format json",
    )
    report = rate(out / "usage.parquet", price_books=[out / "book-1.json"], period=None)
    write_file(out / "rating.json", data=canonical_json(dump(report)) + b"\n")
    _show_charges(report)


def _show_charges(report: RatingReport) -> None:
    rows = [
        {
            "account": account.account,
            "charges": len(account.charges),
            "tokens": sum(charge.quantity for charge in account.charges),
            "unpriced": len(account.unpriced),
            "exact": exact_text(account.total_exact),
            "owed_minor": account.total_minor,
        }
        for account in report.accounts
    ]
    print_table(rows, columns=("account", "charges", "tokens", "unpriced", "exact", "owed_minor"))
    click.echo(f"all accounts: {exact_text(report.total_exact)} {report.currency}")


def _invoices(out: Path, *, period: str) -> None:
    at = shlex.quote(str(out))
    inputs = f"--price-book {at}/book-1.json --usage {at}/usage.parquet --period {period}"
    _heading(
        "4. Charges -> invoices",
        command=f"invoice preview --agreement {at}/acme.yaml {inputs} --pdf {at}/acme.pdf",
    )
    walks: dict[str, Step] = {}
    for account, _ in ASSIGNMENT.accounts:
        preview = preview_invoice(
            out / f"{account}.yaml",
            price_books=[out / "book-1.json"],
            usage=out / "usage.parquet",
            period=period,
        )
        invoice = preview.invoice
        write_file(out / f"{account}.pdf", data=render_invoice(invoice))
        write_file(out / f"{account}.json", data=canonical_json(dump(invoice)) + b"\n")
        total = f"{Decimal(invoice.total_minor).scaleb(-invoice.minor_digits):f}"
        click.echo(
            f"{account}: {len(invoice.lines)} lines, total {total} {invoice.currency}, "
            f"{len(invoice.findings)} findings; {out}/{account}.pdf"
        )
        for finding in invoice.findings[:2]:
            click.echo(f"  finding: {finding}")
        if invoice.lines:
            walks[account] = preview.explain(1)
    for account, walk in list(walks.items())[:1]:
        _heading(
            f"5. Line 1 of {account}, walked back to the rows that it was measured in",
            command=f"invoice preview --agreement {at}/{account}.yaml {inputs} --explain 1",
        )
        _show_first_branch(walk)


def _show_first_branch(step: Step, *, depth: int = 0) -> None:
    """The walk along one branch: the deepest way down, its siblings only counted."""
    text = step.sentence
    click.echo(f"{'  ' * depth}{step.kind}: {text}")
    if not step.rests_on:
        return
    deepest = max(step.rests_on, key=_depth)
    for below in step.rests_on:
        if below is deepest:
            _show_first_branch(below, depth=depth + 1)
        elif step.kind == "rate":
            click.echo(f"{'  ' * (depth + 1)}{below.kind}: {below.sentence}")
    hidden = len(step.rests_on) - 1
    if hidden and step.kind != "rate":
        click.echo(f"{'  ' * (depth + 1)}({hidden} more beside it)")


def _depth(step: Step) -> int:
    return 1 + max((_depth(below) for below in step.rests_on), default=0)


def _heading(title: str, *, command: str) -> None:
    click.echo(f"\n== {title}")
    if command:
        _command(command)


def _command(command: str) -> None:
    click.echo(f"$ tokenworks {command}")
