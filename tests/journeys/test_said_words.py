"""What is said on the command line is held to the rule of HTTP, and what is no text is refused."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from billing.cli.main import COMMANDS
from tests.journeys.made_files import cloud_event, event, tokenworks, write_json

EXECUTABLE = Path(sys.executable).parent / "tokenworks"
NOW = ("--now", "2026-11-02T00:00:00Z")
MONTH = ("--period", "2026-10")
UNIT = ("--model", "m", "--service-tier", "standard", "--unit", "input_tokens")
KIND = ("https://example.com/h", "--kind", "invoice.finalized")

# Each command that keeps a reason, an account or a name, up to the words that it keeps.
REASONED = {
    "event void": ("event", "void", "gw", "e1"),
    "event amend": ("event", "amend", "gw", "e1", "--event", "right.json"),
    "event revert": ("event", "revert", "cor_1"),
    "backfill load": ("backfill", "load", "usage.jsonl", "--account", "a", *MONTH),
    "backfill revert": ("backfill", "revert", "bf_1"),
    "key revoke": ("key", "revoke", "tw_1"),
    "webhook retire": ("webhook", "retire", "whe_1"),
    "waive": ("waive", "a", *MONTH, *UNIT),
}
OF_ACCOUNTS = {
    "backfill load": ("backfill", "load", "usage.jsonl", *MONTH, "--reason", "r"),
    "key make": ("key", "make", "--scope", "ingest", "--name", "gw"),
    "webhook add": ("webhook", "add", *KIND),
}
BY = {
    **{name: (*words, "--reason", "r") for name, words in REASONED.items()},
    **{name: (*words, "--account", "a") for name, words in OF_ACCOUNTS.items()},
    "seal": ("seal",),
    "ingest": ("ingest", "usage.jsonl"),
    "close": ("close", *MONTH),
    "grid rebuild": ("grid", "rebuild"),
    "agreement accept": ("agreement", "accept", "a.yaml"),
    "price load": ("price", "load", "book.json"),
    "price publish": (
        *("price", "publish", "c.json", "--published-at", NOW[1], "--out", "book.json"),
    ),
    "backfill drop": ("backfill", "drop", "bf_1"),
    "backfill apply": ("backfill", "apply", "bf_1", "--events", "1"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which nothing is, beside files that would be good."""
    folder = tmp_path_factory.mktemp("said")
    assert tokenworks("db", "upgrade", "--store", folder / "billing.db").code == 0
    for name in ("usage.jsonl", "right.json"):
        write_json(folder / name, cloud_event(event(1, {"input_tokens": 1})))
    return folder


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The store, in which nothing is after a test, either."""
    monkeypatch.chdir(folder)
    store = folder / "billing.db"
    yield store
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM audit").fetchone() == (0,)


@pytest.mark.parametrize("words", REASONED.values(), ids=list(REASONED))
def test_a_reason_that_http_would_refuse_is_refused_by_every_command(
    store: Path, words: tuple[str, ...]
) -> None:
    for reason, said in (
        ("a\x1b[2Jb", "must not hold the control or invisible character U+001B"),
        ("a\u202eb", "must not hold the control or invisible character U+202E"),
        ("a ", "must not begin or end with a space"),
        ("x" * 2_001, "string should have at most 2000 characters"),
        (" ", "is empty; say it"),
    ):
        flags = ("--reason", reason, "--by", "dana", *NOW, "--store", store)
        sentence = tokenworks(*words, *flags).sentence
        assert sentence.startswith((f"--reason: {said}", f"reason: {said}"))


@pytest.mark.parametrize("words", OF_ACCOUNTS.values(), ids=list(OF_ACCOUNTS))
def test_an_account_that_http_would_refuse_is_refused_by_every_command(
    store: Path, words: tuple[str, ...]
) -> None:
    for account, said in (
        ("a\tb", "must not hold the control or invisible character U+0009"),
        (" a", "must not begin or end with a space"),
        ("x" * 201, "string should have at most 200 characters"),
    ):
        flags = ("--account", account, "--by", "dana", *NOW, "--store", store)
        sentence = tokenworks(*words, *flags).sentence
        assert sentence.startswith((f"--account: {said}", f"account: {said}"))


@pytest.mark.parametrize("words", BY.values(), ids=list(BY))
def test_nothing_is_done_by_who_has_no_name(store: Path, words: tuple[str, ...]) -> None:
    for by, said in (
        ("da\nna", "must not hold the control or invisible character U+000A"),
        ("dana ", "must not begin or end with a space"),
        ("x" * 201, "string should have at most 200 characters"),
    ):
        sentence = tokenworks(*words, "--by", by, *NOW, "--store", store).sentence
        assert sentence.startswith(f"--by: {said}")


@pytest.mark.parametrize("listed", ["event corrections", "backfill list"])
def test_lists_are_of_accounts_that_have_a_name(store: Path, listed: str) -> None:
    ran = tokenworks(*listed.split(), "--account", "a\t", "--store", store)
    assert ran.sentence.startswith("account: must not hold the control or invisible character")


def test_why_a_floor_is_passed_is_a_sentence(store: Path) -> None:
    flags = ("--override", "a\tb", "--override-ends-at", "2027-01-01T00:00:00Z", "--by", "dana")
    ran = tokenworks("agreement", "accept", "a.yaml", *flags, *NOW, "--store", store)
    assert ran.sentence.startswith("--override: must not hold the control or invisible character")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_argument_that_is_not_utf8_is_refused_by_every_command(name: str) -> None:
    said = 'the argument "a\\xffb" is not UTF-8; write it in UTF-8'
    assert tokenworks(name, "--reason", "a\udcffb").sentence == said
    assert tokenworks(name, "a\udcffb", "--help").sentence == said


def test_the_command_says_so_of_the_bytes_that_it_was_given(store: Path) -> None:
    words = ("event", "void", "gw", "e1", "--by", "dana", "--store", store)
    for given, said in (
        (b"\xff", '"\\xff"'),
        ("née".encode("latin-1"), '"n\\xe9e"'),
        (b"\xed\xa0\x80", '"\\xed\\xa0\\x80"'),  # half of a surrogate pair
    ):
        ran = subprocess.run(
            [EXECUTABLE, *words, "--reason", given], capture_output=True, check=False
        )
        sentence = f"tokenworks: the argument {said} is not UTF-8; write it in UTF-8\n"
        assert (ran.returncode, ran.stdout, ran.stderr.decode()) == (2, b"", sentence)
    ran = subprocess.run(
        [EXECUTABLE, *words, "--reason", "née".encode()], capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert ran.stderr.decode().startswith('tokenworks: event e1: there is no event "e1" of "gw"')
