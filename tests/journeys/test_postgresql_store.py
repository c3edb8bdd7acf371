"""From events to a verified invoice on PostgreSQL, by command alone.

Invariant: a command says the same on both kinds of database, and never a password.
"""

from __future__ import annotations

from pathlib import Path

from billing.store.place import find_place
from tests.billing.operations.made_store import agreement_text, ladder_books
from tests.billing.store.postgresql_server import Server
from tests.journeys.made_files import Ran, event, tokenworks, write_events, write_json

SEPTEMBER = "2026-09-01T00:00:00Z"
NOVEMBER = "2026-11-02T00:00:00Z"
M = 1_000_000


def run_through(store: str, folder: Path) -> list[Ran]:
    """Every step from an empty place to a verified invoice."""
    books = [
        write_json(folder / f"book-{n}.json", {**value, "published_at": SEPTEMBER})
        for n, value in enumerate(ladder_books())
    ]
    agreement = folder / "a.yaml"
    agreement.write_text(agreement_text(), encoding="utf-8")
    usage = [
        event(1, {"input_tokens": 8 * M}, time="2026-10-02T00:00:00Z"),
        event(2, {"input_tokens": 5 * M}, time="2026-10-20T00:00:00Z"),
    ]
    steps: list[tuple[str | Path, ...]] = [
        ("db", "upgrade", "--format", "json"),
        *(("price", "load", one, "--by", "d", "--now", SEPTEMBER) for one in books),
        ("agreement", "accept", agreement, "--by", "d", "--now", SEPTEMBER),
        ("ingest", write_events(folder, usage, form="jsonl"), "--by", "d", "--now", NOVEMBER),
        ("close", "--period", "2026-10", "--by", "d", "--now", NOVEMBER, "--format", "json"),
        ("invoice", "show", "INV-2026-000001", "--format", "json"),
        ("grid", "show", "--format", "json"),
        ("verify", "--format", "json"),
    ]
    return [tokenworks(*one, "--store", store) for one in steps]


def test_every_command_says_on_postgresql_what_it_says_on_sqlite(
    server: Server, tmp_path: Path
) -> None:
    file = str(tmp_path / "billing.db")
    on_file = run_through(file, tmp_path)
    with server.database() as url:
        place = url.replace("tokenworks@", "tokenworks:secret@")
        on_server = run_through(place, tmp_path)
        shown = find_place(place).where
    assert [one.code for one in on_file] == [0] * len(on_file)
    for one, other in zip(on_file, on_server, strict=True):
        assert (other.code, other.out) == (one.code, one.out.replace(file.encode(), shown.encode()))
        assert other.err == one.err.replace(file, shown)
    assert not any("secret" in one.err or b"secret" in one.out for one in on_server)


def test_a_database_that_is_not_reached_is_one_sentence(tmp_path: Path) -> None:
    ran = tokenworks("verify", "--store", f"postgresql://me:secret@/billing?host={tmp_path}")
    assert ran.code == 2
    assert "cannot be reached" in ran.err
    assert "secret" not in ran.err
    assert ran.err.count("\n") == 1
