"""The command ``tokenworks``: its groups, its exit codes, and how faults become one sentence.

Invariant: exit code 0 means all was done, 1 that some rows were refused (each named), 2 that
nothing was done and why. A command imports what it needs when it runs, so that help starts fast.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping

import click

from billing.cli.output import printable

COMMANDS: Mapping[str, tuple[str, str]] = {
    "measure": ("billing.cli.measure", "Import benchmarks of hardware; read telemetry."),
    "price": ("billing.cli.price", "Derive, publish and explain price books."),
    "rate": ("billing.cli.rate", "Rate a usage file under price books."),
    "quote": ("billing.cli.quote", "Price single requests under a price book."),
    "usage": ("billing.cli.usage", "What was served: the usage mix."),
    "backtest": ("billing.cli.backtest", "Run past usage under a new price book and an old one."),
    "pricing": ("billing.cli.pricing", "Review a week: rates, margins, pools, and why."),
    "efficiency": ("billing.cli.efficiency", "Report what a factory made of its accelerators."),
    "capacity": ("billing.cli.capacity", "Plan what a site of fixed power should serve."),
    "invoice": ("billing.cli.invoice", "Preview, list, show, explain and print invoices."),
    "db": ("billing.cli.db", "Make or upgrade a store."),
    "ingest": ("billing.cli.ingest", "Store the events of usage files."),
    "event": ("billing.cli.event", "Show, void and amend usage events, and revert that."),
    "backfill": ("billing.cli.backfill", "State the usage of an account in a range anew."),
    "serve": ("billing.cli.serve", "Take usage events in over HTTP, and answer about usage."),
    "spool": ("billing.cli.spool", "Show and send what a gateway left on its disk."),
    "key": ("billing.cli.key", "Make, list and revoke API keys of the service."),
    "webhook": ("billing.cli.webhook", "Tell endpoints of others what came to be."),
    "agreement": ("billing.cli.agreement", "Accept agreements."),
    "seal": ("billing.cli.seal", "Seal the current epoch."),
    "close": ("billing.cli.close", "Invoice the usage of a month."),
    "waive": ("billing.cli.waive", "Let unpriced usage go unbilled, with a reason."),
    "verify": ("billing.cli.verify", "Check that a whole store adds up."),
    "grid": ("billing.cli.grid", "Show where totals are cut; rebuild stale ones."),
    "schema": ("billing.cli.schema", "Print the JSON Schema of a document."),
    "demo": ("billing.cli.demo.command", "From measured hardware to invoices, in one go."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tokenworks", message="%(version)s")
def tokenworks() -> None:
    """The commercial brain of an AI factory: what a token costs, what it is sold for, what is owed.

    Exit codes: 0 all done, 1 some rows refused (each is named), 2 nothing done.
    """


def main() -> None:
    """Run the command and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command with these arguments and return its exit code."""
    for argument in arguments:
        if not _is_utf8(argument):
            shown = os.fsencode(argument).decode("utf-8", "backslashreplace")
            return _fail(f'the argument "{shown:.60}" is not UTF-8; write it in UTF-8')
    try:
        result = tokenworks.main(arguments, prog_name="tokenworks", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        at = (
            f" (see {error.ctx.command_path} --help)"
            if isinstance(error, click.UsageError) and error.ctx
            else ""
        )
        return _fail(error.format_message() + at)
    except (click.Abort, KeyboardInterrupt):
        return _fail("stopped", code=130)
    except (BrokenPipeError, SystemExit):
        # Whoever read stdout has gone; click turns the first such fault into SystemExit. What is
        # still buffered goes nowhere, so that the interpreter does not complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(f"{error.filename or 'output'}: {(error.strerror or str(error)).lower()}")
    except ValueError as error:
        from pricing_rules.document import DocumentError

        if isinstance(error, DocumentError):
            return _fail(str(error))
        raise
    return result if isinstance(result, int) else 0


def _is_utf8(argument: str) -> bool:
    """Whether an argument came as UTF-8: Python keeps other bytes as halves of surrogate pairs."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fail(sentence: str, *, code: int = 2) -> int:
    click.echo(f"tokenworks: {printable(' '.join(sentence.split()))}", err=True)
    return code
