"""``verify --previous``: a store beside what an earlier verify said of it, by command alone.

Invariant: what verify prints as JSON is what --previous reads, whatever was found.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.billing.operations.made_ingest import made_store
from tests.journeys.made_files import Json, Ran, event, tokenworks, write_events
from tests.journeys.test_mass_balance import produced, store_with, whole

NOT_ONE = "is not what verify printed as JSON"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one event."""
    path = tmp_path / "store.db"
    path.write_bytes(made_store())
    ingested(path, 1)
    return path


def ingested(store: Path, number: int) -> None:
    file = write_events(store.parent, [event(number, {"input_tokens": 5})], form="jsonl")
    ran = tokenworks("ingest", file, "--store", store, "--by", "me")
    assert ran.code == 0, ran.err


def reported(store: Path, *flags: str) -> tuple[Path, Json]:
    """What verify prints, in a file."""
    ran = tokenworks("verify", "--store", store, "--format", "json", *flags)
    path = store.parent / "report.json"
    path.write_bytes(ran.out)
    return path, ran.json


def compared(store: Path, report: Path, *flags: str) -> Ran:
    return tokenworks("verify", "--store", store, "--previous", report, *flags)


def test_an_older_backup_is_damage_that_says_from_where_to_where(
    store: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    shutil.copyfile(store, backup)
    ingested(store, 2)
    report, _ = reported(store)
    same = compared(store, report)
    assert (same.code, same.err) == (0, "everything adds up\n")

    shutil.copyfile(backup, store)
    assert tokenworks("verify", "--store", store).code == 0
    ran = compared(store, report)
    assert ran.code == 1
    # An event and the row of the audit of its file.
    audit, events, count = ran.err.splitlines()
    for line, of in ((audit, "audit"), (events, "events")):
        assert line == (
            f"tokenworks: went_back: {of}: went back from 2 to 1 since the earlier report, as in "
            "an older copy; write nothing to it, or numbers are used twice, and put a later copy "
            "in its place"
        )
    assert count == "2 damages"


def test_a_report_of_damage_and_of_a_mass_balance_is_read_too(store: Path, tmp_path: Path) -> None:
    ingested(store, 2)
    report, _ = reported(store)
    store.write_bytes(made_store())
    damaged, said = reported(store, "--previous", str(report))
    assert [one["kind"] for one in said["damage"]] == ["went_back"] * 2
    assert compared(store, damaged).code == 0  # of the empty store itself

    folder = tmp_path / "served"
    folder.mkdir()
    served = store_with(folder, received=198)
    balanced, said = reported(served, *produced(folder, *whole()))
    assert [one["verdict"] for one in said["mass_balance"]["rows"]] == ["lost", "lost"]
    assert compared(served, balanced).code == 0


FILES: dict[str, tuple[bytes, str]] = {
    "is empty": (b"", f"{NOT_ONE}: the file is empty"),
    "holds no JSON": (b"everything adds up", f":1:1: {NOT_ONE}: this is not JSON"),
    "holds a list": (b"[]", NOT_ONE),
    "holds another document": (b'{"schema": "tokenworks.grid/1"}', f" schema: {NOT_ONE}"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_no_report_is_one_sentence(store: Path, what: str) -> None:
    data, sentence = FILES[what]
    report = store.parent / "report.json"
    report.write_bytes(data)
    told = compared(store, report).sentence
    assert told.startswith(f"{report}")
    assert sentence in told


def test_a_report_without_marks_and_one_with_odd_marks_are_refused(store: Path) -> None:
    report, said = reported(store)
    for marks, place in (
        (None, "marks: "),
        ([{**said["marks"][0], "number": 0}], "marks[0].number: "),
        ([{**said["marks"][0], "digest": "sha256:1"}], "marks[0].digest: "),
        ([{**said["marks"][0], "of": "accounts"}], "marks[0].of: "),
    ):
        odd = {**said, "marks": marks}
        if marks is None:
            del odd["marks"]
        report.write_text(json.dumps(odd), encoding="utf-8")
        assert f"report.json {place}{NOT_ONE}" in compared(store, report).sentence


def test_a_report_that_is_not_there_is_one_sentence(store: Path) -> None:
    missing = store.parent / "none.json"
    told = compared(store, missing).sentence
    assert told == f"{missing}: cannot be read (no such file or directory)"
