"""``tokenworks demo``: hardware measurements become prices, and usage becomes invoices, in one go.

Invariant: every step that changes something is a command that is printed and then run, on files
that stay behind, so that a reader can change one of them and run that step again.
"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import click
import pyarrow as pa

from billing.cli.demo.documents import ACCOUNTS, ASSIGNMENT, SERIES, demo_documents
from billing.cli.demo.generated_usage import generated_trace
from billing.cli.demo.showing import show_findings, show_first_branch, show_hardware, show_rates
from billing.cli.main import run
from billing.cli.output import print_refused
from billing.domain.agreement.agreement import Agreement
from billing.intake.azure_trace import read_azure_trace
from billing.operations.files import read_file, write_file
from billing.operations.invoice_number import text_of
from billing.operations.measurement import AICONFIGURATOR
from billing.operations.price_book import read_book
from billing.operations.stored_invoice import explain_stored, list_stored
from billing.operations.usage import write_events
from billing.store.store import open_store
from pricing_rules.document import DocumentError, load_yaml
from pricing_rules.period import (
    MICROSECONDS,
    BillingAnchor,
    checked_moment,
    moment_text,
    parse_moment,
)
from pricing_rules.usage.event_columns import Verdict

HOUR_US = 3600 * MICROSECONDS
DAY_US = 24 * HOUR_US
GENERATED_EVENTS = 20_000
LATE_ONE_IN = 50
"""One request of so many reaches the store only after the month was closed."""
SEED = 20261125
NOWHERE = Path(os.devnull)
ON_TIME, LATE = "usage.parquet", "late.parquet"
OVERRIDE_US = 90 * DAY_US
OVERRIDE = "win-back of an account that had left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """A trace: its file as read or generated, its requests as events, and the refused rows."""

    path: Path
    data: bytes
    told: str
    table: pa.Table
    refused: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """When what happens in the demo; the clock is not read, so that two runs leave the same."""

    month: str
    days: str
    effective_from: int
    published_at: int
    ingested_at: int
    closed_at: int


@click.command("demo")
@click.option(
    "--usage",
    type=click.Path(path_type=Path),
    help="An Azure LLM inference trace (CSV). Without it a small generated trace is used.",
)
@click.option(
    "--starting-at",
    default="2026-10-15T09:00:00Z",
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
    """From measured hardware to price books, and from usage to verified, explained invoices.

    Example: tokenworks demo --usage AzureLLMInferenceTrace_conv_2023.csv
    """
    try:
        starts_at = parse_moment(starting_at)
        moments = _moments(starts_at)
    except ValueError as error:
        raise DocumentError("--starting-at", str(error)) from None
    documents = demo_documents()
    for account in ACCOUNTS:
        name = f"{account}.yaml"
        agreed_at = load_yaml(Agreement, documents[name], name=name).effective_from
        if moments.effective_from < agreed_at:
            raise DocumentError(
                "--starting-at",
                f"must lie in a month after {moment_text(agreed_at)}, when {account} has an "
                "agreement",
            )
    requests = _requests(usage, out=out, starts_at=starts_at)
    for name, data in documents.items():
        write_file(out / name, data=data)
    _prices(out, measurements=measurements, moments=moments)
    _agreements(out, moments=moments)
    _usage(out, requests=requests, moments=moments)
    _offline(out, moments=moments)
    _close(out, late=requests.table.num_rows >= LATE_ONE_IN, moments=moments)
    _explained(out)
    click.echo(f"\nEvery document is in {out}/. Change one, and run its command again;")
    click.echo("a book that is published is never overwritten, so give the next one a new name.")
    refused = [(verdict.row, verdict.reason) for verdict in requests.refused]
    print_refused(requests.path.name, refused=refused)
    ctx.exit(1 if refused else 0)


def _moments(starts_at: int) -> Moments:
    """The month of the first request, what comes before it and what comes after it."""
    month = BillingAnchor(day=1, zone="UTC").period_at(starts_at)
    # Billing periods of accounts that begin later in the month, in any zone, end within this span.
    closed_at = month.end_at + 31 * DAY_US
    checked_moment(closed_at + OVERRIDE_US, text=moment_text(starts_at))
    return Moments(
        month=moment_text(month.start_at)[:7],
        days=f"{moment_text(month.start_at)[:10]}/{moment_text(month.end_at)[:10]}",
        effective_from=month.start_at - DAY_US,
        published_at=month.start_at - 2 * DAY_US,
        ingested_at=month.end_at,
        closed_at=closed_at,
    )


def _prices(out: Path, *, measurements: str, moments: Moments) -> None:
    _heading("1. Measured hardware -> unit cost -> floor -> rules -> price books")
    store = out / "billing.db"
    for name in ("billing.db", "billing.db-wal", "billing.db-shm"):
        (out / name).unlink(missing_ok=True)  # the demo's own store is made anew
    _run("db", "upgrade", "--store", store)
    for series in SERIES:
        candidate = out / f"candidate-{series}.json"
        _run(
            *("price", "derive", "--factory", out / "factory.yaml"),
            *("--policy", out / f"policy-{series}.yaml", "--measurements", measurements),
            *("--number", 1, "--effective-from", moment_text(moments.effective_from)),
            *("--out", candidate, "--format", "json"),
            into=NOWHERE,
        )
        book = read_book(candidate)
        if series == SERIES[0]:
            show_hardware(book)
            show_findings(book)
        kinds = sorted({finding.kind for finding in book.findings})
        published_at = moment_text(moments.published_at)
        _run(
            *("price", "publish", candidate, "--published-at", published_at, "--by", "dana"),
            *(f"--sign-off={kind}:*=seen and accepted for the demo" for kind in kinds),
            *("--out", out / f"book-{series}.json", "--store", store, "--now", published_at),
            *("--format", "json"),
            into=NOWHERE,
        )
        show_rates(read_book(out / f"book-{series}.json"))


def _agreements(out: Path, *, moments: Moments) -> None:
    _heading("2. Agreements: a discount that goes under a floor needs an override")
    for account in ACCOUNTS:
        override: tuple[str, ...] = ()
        if account == "initech":
            ends_at = moment_text(moments.closed_at + OVERRIDE_US)
            override = ("--override", OVERRIDE, "--override-ends-at", ends_at)
        _run(
            *("agreement", "accept", out / f"{account}.yaml", "--store", out / "billing.db"),
            *("--by", "dana", "--now", moment_text(moments.published_at), *override),
        )


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
    if not table.num_rows:
        raise DocumentError(path.name, "holds no request; give a trace with at least one")
    return Requests(path=path, data=data, told=told, table=table, refused=refused)


def _usage(out: Path, *, requests: Requests, moments: Moments) -> None:
    _heading("3. Usage events -> usage totals")
    if requests.path.parent == out:
        write_file(requests.path, data=requests.data)
    click.echo(
        f"{requests.path} ({requests.told}): {requests.table.num_rows:,} events, "
        f"{len(requests.refused)} rows refused; accounts, models and service tiers are assigned "
        "by a hash"
    )
    late = [row % LATE_ONE_IN == LATE_ONE_IN - 1 for row in range(requests.table.num_rows)]
    on_time = pa.array([not one for one in late], pa.bool_())
    write_events(requests.table.filter(on_time), path=out / ON_TIME)
    write_events(requests.table.filter(pa.array(late, pa.bool_())), path=out / LATE)
    _ingest(out, file=ON_TIME, now_at=moments.ingested_at)
    click.echo("the same file again stores nothing twice:")
    _ingest(out, file=ON_TIME, now_at=moments.ingested_at + HOUR_US)


def _offline(out: Path, *, moments: Moments) -> None:
    _heading("4. The same without a store: what the file costs under one book, and one invoice")
    files = ("--price-book", out / f"book-{SERIES[0]}.json", "--usage", out / ON_TIME)
    _run("rate", *files, "--format", "json", into=out / "rating.json")
    _run(
        *("invoice", "preview", "--agreement", out / "acme.yaml", *files),
        *("--period", moments.days, "--format", "json"),
        into=out / "preview.json",
    )


def _ingest(out: Path, *, file: str, now_at: int) -> None:
    _run(
        *("ingest", out / file, "--store", out / "billing.db", "--by", "gateway"),
        *("--now", moment_text(now_at)),
    )


def _close(out: Path, *, late: bool, moments: Moments) -> None:
    _heading("5. Close: charges -> invoices")
    store = out / "billing.db"
    close = ("close", "--period", moments.month, "--store", store, "--by", "dana", "--now")
    _run(*close, moment_text(moments.closed_at))
    if late:
        click.echo(f"one request in {LATE_ONE_IN} comes late; the next close corrects that:")
        _ingest(out, file=LATE, now_at=moments.closed_at + DAY_US)
        _run(*close, moment_text(moments.closed_at + 2 * DAY_US))
    _run("invoice", "list", "--store", store)
    with open_store(store) as opened:
        page = list_stored(opened, limit=100, after=None, account=None, issuer=None)
    for one in page.invoices:
        number = text_of(one)
        _run(
            *("invoice", "pdf", number, "--store", store, "--out", out / f"{number}.pdf"),
            into=NOWHERE,
        )


def _explained(out: Path) -> None:
    store = out / "billing.db"
    with open_store(store) as opened:
        page = list_stored(opened, limit=1, after=None, account=None, issuer=None)
        if page.invoices:
            number = text_of(page.invoices[0])
            _heading(f"6. Line 1 of {number}, walked back to the rows that it was measured in")
            _run(
                *("invoice", "explain", number, "--line", 1, "--store", store),
                into=out / "explained.txt",
            )
            show_first_branch(explain_stored(opened, number=number, line=1, issuer=None))
    _heading("7. Verify: every equation of the store, with its numbers")
    _run("verify", "--store", store)


def _heading(title: str) -> None:
    click.echo(f"\n== {title}")


def _run(*arguments: object, into: Path | None = None) -> None:
    """Print a command and run it; the demo ends where it fails.

    ``into`` is a file that takes what it prints, or the null device for what is too long to show.
    """
    redirect = "" if into is None else f" > {shlex.quote(str(into))}"
    click.echo(f"$ tokenworks {shlex.join(str(one) for one in arguments)}{redirect}")
    texts = [str(one) for one in arguments]
    printed = StringIO()
    with redirect_stdout(printed if into is not None else sys.stdout):
        code = run(texts)
    if code:
        raise DocumentError("demo", f"the command before this line ended with {code}")
    if into is not None and into != NOWHERE:
        write_file(into, data=printed.getvalue().encode())
