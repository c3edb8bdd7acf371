"""``tokenworks usage``: what usage files tell the pricing half, and payloads of others as usage.

Invariant: exit code 0 means that every row is counted or a duplicate, 1 that some are refused,
each named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from billing.cli.offline import print_refused_usage, usage_period_option, usages_option
from billing.cli.output import format_option, print_refused, print_rows, say
from billing.cli.stored import progress
from billing.cli.trace import described_trace, trace_options
from billing.operations.usage_mix import MixReport, usage_mix, write_mix
from pricing_rules.document import dump
from pricing_rules.period import Period, moment_text
from pricing_rules.usage.event import UsageEvent
from pricing_rules.usage.mix import inclusive_count

COLUMNS = (
    "account",
    "model",
    "service_tier",
    "events",
    "input_tokens",
    "cache_read_tokens",
    "output_tokens",
    "shapes",
)


@click.group("usage")
def command() -> None:
    """What was served: the usage mix of usage files, and the payloads of others as usage."""


CONVERTED_COLUMNS = ("model", "service_tier", "outcome", "events", "input_tokens", "output_tokens")

SENDERS = (
    "openai-chat", "openai-responses", "anthropic-messages", "gemini", "bedrock-converse", "vllm",
    "sglang", "otel-span", "openmeter", "lago", "litellm",
)  # fmt: skip
"""The names of the readers of payloads: a help text loads none of them."""


@command.command("convert")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "sent_by",
    type=click.Choice(SENDERS),
    required=True,
    help="Whose payloads they are.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The events, .jsonl.")
@click.option("--account", help="Who asked, where a line does not say.")
@click.option("--source", help="What sent the events, where a line does not say.")
@click.option("--service-tier", help="What served a request whose payload does not say.")
@click.option("--region", help="Where it was served, where neither payload nor line says.")
@format_option
@click.pass_context
def convert(
    ctx: click.Context,
    *,
    file: Path,
    sent_by: str,
    out: Path,
    account: str | None,
    source: str | None,
    service_tier: str | None,
    region: str | None,
    shape: str,
) -> None:
    """Convert responses of providers, or events of proxies, to usage events.

    FILE has one JSON object a line: {"payload": ..., "origin": {...}}. The payload is a response,
    or the list of a stream's chunks; the origin says what the gateway knows: account, id, source,
    time, service_tier, region, model, outcome, dimensions. Prompts and answers are left out.

    Example: tokenworks usage convert calls.jsonl --from openai-chat --account a --out usage.jsonl
    """
    from billing.intake.conversion import Origin
    from billing.operations.files import refuse_input
    from billing.operations.usage_convert import convert_usage, write_converted
    from pricing_rules.document import validate

    stated = {"account": account, "source": source, "service_tier": service_tier, "region": region}
    origin = validate(Origin, stated, name="options", lines={})
    refuse_input(out, inputs=[file])
    with progress("usage convert"):
        found = convert_usage(file, sent_by=sent_by, origin=origin)
    write_converted(found, path=out)
    document = {
        "schema": "tokenworks.usage-conversion/1",
        "from": sent_by,
        "lines": found.lines,
        "events": len(found.events),
        "refused": [asdict(one) for one in found.refused],
        "unmapped": [asdict(one) for one in found.unmapped],
        "flags": dict(found.flags),
    }
    rows = _converted_rows(found.events)
    print_rows(
        rows, columns=CONVERTED_COLUMNS, shape=shape, document=document, title="Converted usage"
    )
    say(f"wrote {out}: {len(found.events):,} events of {found.lines:,} lines")
    for flag, count in found.flags.items():
        say(f"{flag.replace('_', ' ')}: {count:,} payloads")
    if found.unmapped:
        first = found.unmapped[0]
        say(
            f"{len(found.unmapped):,} numbers that no unit counts, the first in line {first.row}: "
            f"{first.pointer} {first.value} (--format json names all)"
        )
    refused = [(one.row, f"{one.pointer} {one.reason}".strip()) for one in found.refused]
    print_refused(file.name, refused=refused)
    ctx.exit(1 if found.refused else 0)


def _converted_rows(events: Sequence[UsageEvent]) -> list[dict[str, object]]:
    counts: dict[tuple[str, str, str], list[int]] = {}
    for event in events:
        data = event.data
        row = counts.setdefault((data.model, data.service_tier, data.outcome), [0, 0, 0])
        row[0] += 1
        for i, unit in enumerate(("input_tokens", "output_tokens"), start=1):
            row[i] += data.units.get(unit, 0)
    return [
        dict(zip(CONVERTED_COLUMNS, (*key, *row), strict=True))
        for key, row in sorted(counts.items())
    ]


@command.command("mix")
@usages_option
@usage_period_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The usage mix, JSON.")
@trace_options
@format_option
@click.pass_context
def mix(
    ctx: click.Context,
    *,
    usages: tuple[Path, ...],
    period: Period | None,
    out: Path,
    trace: Literal["azure", "mooncake"] | None,
    starting_at: str | None,
    accounts: tuple[str, ...],
    models: tuple[str, ...],
    service_tiers: tuple[str, ...],
    shape: str,
) -> None:
    """Write the usage mix: what each account was served of each model and service tier.

    It holds events, leaf sums, request shapes (size classes are powers of two of input and of
    output) and events by hour of the week in UTC. Failed requests are left out.

    Example: tokenworks usage mix --usage october.parquet --period 2026-10 --out mix.json
    """
    assigned = described_trace(
        trace,
        starting_at=starting_at,
        accounts=accounts,
        models=models,
        service_tiers=service_tiers,
    )
    with progress("usage mix"):
        report = usage_mix(usages, period=period, trace=assigned)
    write_mix(report.mix, path=out)
    rows = [
        {
            "account": entry.account,
            "model": entry.model,
            "service_tier": entry.service_tier,
            "events": entry.events,
            **{unit: inclusive_count(entry.leaves, unit=unit) for unit in COLUMNS[4:7]},
            "shapes": len(entry.shapes),
        }
        for entry in report.mix.entries
    ]
    print_rows(rows, columns=COLUMNS, shape=shape, document=dump(report.mix), title="Usage mix")
    _summary(report, out=out)
    print_refused_usage([(one.file, one.row, one.reason) for one in report.refused])
    ctx.exit(1 if report.refused else 0)


def _summary(report: MixReport, *, out: Path) -> None:
    counts, mixed = report.counts, report.mix
    say(
        f"{counts.received:,} rows: {counts.accepted:,} accepted, {counts.duplicate:,} duplicate, "
        f"{counts.conflict:,} conflict, {counts.rejected:,} rejected; of the accepted "
        f"{counts.outside_period:,} outside the period, {counts.not_billable:,} not billable"
    )
    say(
        f"wrote {out}: {mixed.events:,} events in {len(mixed.entries):,} entries, "
        f"{moment_text(mixed.start_at)} to {moment_text(mixed.end_at)}"
    )
