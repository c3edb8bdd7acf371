"""Help, usage and the process itself: what a person meets before anything works.

Invariant: whatever is typed, there is help or one sentence, never a traceback; and the installed
command is this one.
"""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from billing.cli.main import tokenworks as group
from tests.journeys.made_files import book, card, rate_of, tokenworks, write_json

EXECUTABLE = Path(sys.executable).parent / "tokenworks"


def _commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from _commands(below, (*path, name))


COMMANDS = dict(_commands(group))
LEAVES = [path for path, command in COMMANDS.items() if not isinstance(command, click.Group)]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help(path: tuple[str, ...], flag: str) -> None:
    ran = tokenworks(*path, flag)
    assert (ran.code, ran.err) == (0, "")
    assert ran.text.startswith(f"Usage: {' '.join(['tokenworks', *path])}")
    assert not re.search(r"^\s+--\S+ [A-Z]+$\n(?=\s+-)", ran.text)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_the_example_of_a_command_parses(path: tuple[str, ...]) -> None:
    # Without running it: every option and argument exists and has a value of its kind.
    text = " ".join((COMMANDS[path].help or "").split())
    (example,) = re.findall(r"Example: (tokenworks .*)$", text)
    words = shlex.split(example)
    assert tuple(words[1 : 1 + len(path)]) == path
    context = COMMANDS[path].make_context(" ".join(words[: 1 + len(path)]), words[1 + len(path) :])
    assert context.params


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    options = [one for one in COMMANDS[path].params if isinstance(one, click.Option)]
    # A name that is a word of the field speaks for itself.
    silent = [one.name for one in options if not one.help and one.name not in ("model",)]
    assert set(silent) <= {"service_tier"}


@pytest.mark.parametrize("path", [(), ("price",), ("invoice",)], ids=repr)
def test_a_group_alone_shows_its_help_on_stderr(path: tuple[str, ...]) -> None:
    ran = tokenworks(*path)
    assert (ran.code, ran.out) == (2, b"")
    assert ran.err == tokenworks(*path, "--help").text


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["bill"], "No such command 'bill'. (see tokenworks --help)"),
        (["price", "raise"], "No such command 'raise'. (see tokenworks price --help)"),
        (["rate", "--usages", "x"], "No such option '--usages'"),
        (["rate"], "Missing option '--price-book'. (see tokenworks rate --help)"),
        (["rate", "--price-book"], "Option '--price-book' requires an argument."),
        (["schema"], "Missing argument"),
        (["schema", "bill"], "'bill' is not one of 'factory', 'policy', 'price-book'"),
        (["rate", "--price-book", "absent", "--usage", "absent.csv"], "absent: cannot be read (no"),
        (["rate", "--price-book", "/", "--usage", "absent.csv"], "/: cannot be read (is a direct"),
        (["rate", "--price-book", "\x1b[31m", "--usage", "u.csv"], "\\x1b[31m: cannot be read (no"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(arguments: list[str], said: str) -> None:
    assert said in tokenworks(*arguments).sentence


def test_the_version_is_that_of_the_distribution() -> None:
    assert tokenworks("--version").text == importlib.metadata.version("tokenworks") + "\n"


# The process.


@pytest.fixture
def price_book(tmp_path: Path) -> Path:
    return write_json(tmp_path / "book.json", book(card(rate_of("input_tokens", "1", per=1))))


def test_the_installed_command_is_this_one(price_book: Path) -> None:
    flags = ("--model", "m", "--service-tier", "standard", "--unit", "input_tokens=7")
    given = ("quote", "--price-book", str(price_book), *flags, "--format", "json")
    ran = subprocess.run([EXECUTABLE, *given], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout == tokenworks(*given).out
    wrong = subprocess.run([EXECUTABLE, "bill"], capture_output=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith(b"tokenworks: No such command")


def test_a_reader_that_goes_away_ends_it_quietly(price_book: Path, tmp_path: Path) -> None:
    line = b'{"model":"m","service_tier":"standard","units":{"input_tokens":7}}\n'
    (tmp_path / "requests.jsonl").write_bytes(line * 50_000)  # more than a pipe holds
    with (
        (tmp_path / "requests.jsonl").open("rb") as requests,
        subprocess.Popen(
            [EXECUTABLE, "quote", "--price-book", price_book],
            stdin=requests,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as running,
    ):
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == b'{"amount":"7"}\n'
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_under_stdout_is_one_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [EXECUTABLE, "schema", "invoice"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ran.returncode == 2
    assert ran.stderr == b"tokenworks: output: no space left on device\n"
