"""``tokenworks measure``: benchmarks and telemetry of hardware, from the files of other tools.

Invariant: what a file lacks is asked for by its flag, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from billing.cli.output import format_option, print_refused, print_rows, say
from billing.cli.stored import moment_option
from billing.operations.measurement import ImportedFile, Scrapes, import_measurements, read_windows
from pricing_rules.document import DocumentError
from pricing_rules.period import moment_text

if TYPE_CHECKING:
    from pricing_rules.cost.measurement import OperatingPoint, Parallelism, Role
    from pricing_rules.cost.readers.detection import Format
    from pricing_rules.cost.readers.prometheus import EnergyWindow, TokenWindow

POINT_COLUMNS = (
    "file",
    "row",
    "model",
    "hardware",
    "accelerators",
    "shape",
    "concurrency",
    "statistic",
    "interactivity_tokens_per_s",
    "output_tokens_per_s_per_accelerator",
    "ttft_ms",
    "flags",
)
WINDOW_COLUMNS = (
    "name",
    "seconds",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "requests",
    "ttft_ms_mean",
    "tpot_ms_mean",
    "joules",
    "power_w",
    "dropped_intervals",
)
FORMATS = ("aiconfigurator", "inferencex", "vllm", "sglang", "aiperf", "guidellm", "measurements")
SHOWN_POINTS = 40
"""Points that the table shows; JSON and CSV hold all."""


@click.group("measure")
def command() -> None:
    """Import benchmarks of hardware; read tokens and energy of a window."""


def _parallelism(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> Parallelism | None:
    from pricing_rules.cost.readers.stated_facts import parse_parallelism

    try:
        return None if value is None else parse_parallelism(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from None


def _role(ctx: click.Context, param: click.Parameter, value: str | None) -> Role | None:
    from pricing_rules.cost.readers.stated_facts import parse_role

    try:
        return None if value is None else parse_role(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from None


def _date(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    from pricing_rules.cost.readers.stated_facts import iso_date

    try:
        return None if value is None else iso_date(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from None


def _renamed(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> Mapping[str, str]:
    pairs = [text.partition("=") for text in value]
    for theirs, equals, ours in pairs:
        if not (theirs and equals and ours):
            raise click.BadParameter(
                f'must be THEIRS=OURS, not "{theirs}{equals}{ours}"', ctx=ctx, param=param
            )
    return {theirs: ours for theirs, _, ours in pairs}


@command.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="The measurement file to add to."
)
@click.option(
    "--format-of", type=click.Choice(FORMATS), help="The format, where it is not plain by itself."
)
@click.option("--model", help="The model, by its name in policy.yaml.")
@click.option("--hardware", help="The hardware, by its name in factory.yaml.")
@click.option("--accelerators", type=click.IntRange(1), help="How many served the model together.")
@click.option("--parallelism", callback=_parallelism, help="How it was spread: 'tp8 moe_ep8'.")
@click.option("--prefill", callback=_role, help="Disaggregated: workers of its pool, as 4xtp8.")
@click.option("--decode", callback=_role, help="Disaggregated: workers of its pool, as 1xtp16.")
@click.option("--precision", help="Such as fp8.")
@click.option("--framework", help="What served the model, such as vllm.")
@click.option("--framework-version", help="Its version.")
@click.option("--speculative", help="The method of speculative decoding, such as mtp.")
@click.option("--concurrency", type=click.IntRange(1), help="Requests that were under way at once.")
@click.option("--input-tokens", type=click.IntRange(1), help="Nominal input of a request.")
@click.option("--output-tokens", type=click.IntRange(1), help="Nominal output of a request.")
@click.option(
    "--length-factor",
    type=click.FloatRange(0, 1, min_open=True),
    help="Mean over nominal length, where lengths were sampled.",
)
@click.option("--measured-date", callback=_date, help="Day of the run, such as 2026-02-13.")
@click.option(
    "--rename",
    multiple=True,
    callback=_renamed,
    metavar="THEIRS=OURS",
    help="Our name for a model or hardware that aiconfigurator or InferenceX name; repeatable.",
)
@format_option
@click.pass_context
def import_files(
    ctx: click.Context,
    *,
    files: tuple[str, ...],
    out: Path,
    format_of: str | None,
    model: str | None,
    hardware: str | None,
    accelerators: int | None,
    parallelism: Parallelism | None,
    prefill: Role | None,
    decode: Role | None,
    precision: str | None,
    framework: str | None,
    framework_version: str | None,
    speculative: str | None,
    concurrency: int | None,
    input_tokens: int | None,
    output_tokens: int | None,
    length_factor: float | None,
    measured_date: str | None,
    rename: Mapping[str, str],
    shape: str,
) -> None:
    """Add the operating points of benchmark files to a measurement file.

    Each file's format is found by its content: vLLM bench serve, SGLang bench_serving, AIPerf,
    GuideLLM, InferenceX, aiconfigurator (the word means the installed package's file). What a file
    does not say has to be stated, and the points are flagged with it. A file that was imported
    before adds nothing.

    Example: tokenworks measure import result.json --out measurements.jsonl --hardware h200_sxm
    --accelerators 8 --parallelism tp8 --precision fp8 --framework vllm
    """
    from pricing_rules.cost.readers.stated_facts import StatedFacts

    stated = StatedFacts(
        model=model,
        hardware=hardware,
        accelerators=accelerators,
        parallelism=parallelism,
        prefill=prefill,
        decode=decode,
        precision=precision,
        framework=framework,
        framework_version=framework_version,
        speculative=speculative,
        concurrency=concurrency,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        length_factor=length_factor,
        measured_date=measured_date,
    )
    imported = import_measurements(
        files,
        out=out,
        format_name=cast("Format | None", format_of),
        stated=stated,
        renamed=rename,
    )
    _print_imported(imported, out=out, shape=shape)
    ctx.exit(1 if any(one.refused for one in imported) else 0)


@command.command("window")
@click.option(
    "--before",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="What an exporter gave first (vLLM or DCGM); repeatable.",
)
@click.option(
    "--after",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="What it gave later; repeatable.",
)
@moment_option("--before-at", about="When the first was scraped; RFC 3339 moment.  [required]")
@moment_option("--after-at", about="When the later was scraped; RFC 3339 moment.  [required]")
@format_option
def window(
    *,
    before: tuple[Path, ...],
    after: tuple[Path, ...],
    before_at: int | None,
    after_at: int | None,
    shape: str,
) -> None:
    """Tokens by model and joules by accelerator between two scrapes of Prometheus exporters.

    Nothing is said of a model or an accelerator whose counters fell in between: it restarted.

    Example: tokenworks measure window --before a.txt --before-at 2026-10-01T00:00:00Z
    --after b.txt --after-at 2026-10-01T01:00:00Z
    """
    if before_at is None or after_at is None:
        raise DocumentError(
            "--before-at, --after-at", "a scrape does not say when it was made; state both"
        )
    tokens, energy = read_windows(
        [Scrapes(paths=before, scraped_at=before_at), Scrapes(paths=after, scraped_at=after_at)]
    )
    served = [_window_row(one) for one in tokens]
    drawn = [{**_window_row(one), "power_w": _figure(one.power_w)} for one in energy]
    document = {"schema": "tokenworks.window/1", "tokens": served, "energy": drawn}
    names = {"model": "name", "accelerator": "name"}
    rows = [{names.get(key, key): cell for key, cell in row.items()} for row in served + drawn]
    title = f"{moment_text(before_at)} to {moment_text(after_at)}"
    print_rows(rows, columns=WINDOW_COLUMNS, shape=shape, document=document, title=title)


def _window_row(one: TokenWindow | EnergyWindow) -> dict[str, object]:
    """Its fields; moments as texts, figures as decimals, None for what is not known."""
    row: dict[str, object] = {}
    for key, value in asdict(one).items():
        moment = moment_text(value) if key.endswith("_at") else value
        row[key] = _figure(value) if isinstance(value, float) else moment
    return row


def _print_imported(imported: Sequence[ImportedFile], *, out: Path, shape: str) -> None:
    rows = [_point_row(point) for one in imported for point in one.new]
    document = {
        "schema": "tokenworks.measure-import/1",
        "out": str(out),
        "files": [
            {
                "file": one.name,
                "format": one.format_name,
                "sha256": one.sha256,
                "points_added": len(one.new),
                "points_standing": len(one.points) - len(one.new),
                "refused": [
                    {"row": row.row, "kind": row.kind, "reason": row.reason} for row in one.refused
                ],
            }
            for one in imported
        ],
        "points": rows,
    }
    if shape == "table":
        # Flags are long and the same for most points: they are counted below instead.
        shown, columns = rows[:SHOWN_POINTS], POINT_COLUMNS[:-1]
        print_rows(shown, columns=columns, shape=shape, document=document, title="Added points")
        if len(shown) < len(rows):
            say(f"{len(rows) - len(shown):,} more points (--format json shows all)")
        _say_imported(imported)
        say(f"{out}: {len(rows):,} points added")
    else:
        print_rows(rows, columns=POINT_COLUMNS, shape=shape, document=document)
    for one in imported:
        refused = [(row.row, f"{row.kind}: {row.reason}") for row in one.refused]
        print_refused(one.name, refused=refused)


def _say_imported(imported: Sequence[ImportedFile]) -> None:
    for one in imported:
        new, refused = len(one.new), len(one.refused)
        standing = len(one.points) - new
        say(f"{one.name} ({one.format_name}): {new:,} new, {standing:,} known, {refused:,} refused")
    flags = Counter(flag for one in imported for point in one.new for flag in point.flags)
    for flag, count in flags.most_common():
        say(f"flag {flag}: {count:,} points")


def _point_row(point: OperatingPoint) -> dict[str, object]:
    return {
        "file": point.source.file,
        "row": ", ".join(str(row) for row in point.source.rows),
        "model": point.setup.model,
        "hardware": point.setup.hardware,
        "accelerators": point.setup.accelerators,
        "shape": point.shape.text,
        "concurrency": point.concurrency,
        "statistic": point.statistic,
        "interactivity_tokens_per_s": _figure(point.interactivity_tokens_per_s),
        "output_tokens_per_s_per_accelerator": _figure(point.output_tokens_per_s_per_accelerator),
        "ttft_ms": _figure(point.ttft_ms),
        "flags": ", ".join(point.flags),
    }


def _figure(value: float) -> str:
    """A measured figure as it leaves: a decimal of 9 significant digits, without an exponent."""
    from pricing_rules.cost.floor import quantise

    quantised: Decimal = quantise(value)
    return f"{quantised:f}"
