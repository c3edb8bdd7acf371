"""Re-pricing after a new measurement, by command and by the job that nobody watches.

Invariant: neither publishes; a run that is killed leaves whole files, and the next one ends where
an undisturbed run does.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from scripts import rederive_prices
from tests.house.tree import REPOSITORY
from tests.journeys.made_files import Json, Ran, tokenworks
from tests.journeys.made_measured import Measured, made_measured, write_measured

NEXT = ("--number", "2", "--effective-from", "2027-01-01T00:00:00Z")
OUTPUT = "m/standard/output_tokens"


@pytest.fixture
def made(tmp_path: Path) -> Measured:
    return made_measured(tmp_path)


def slower(made: Measured, share: float = 0.8) -> Path:
    return write_measured(
        made.folder, name="november.jsonl", share=share, measured_date="2026-11-20"
    )


def rederive(made: Measured, *measurements: Path, flags: tuple[str, ...] = NEXT) -> Ran:
    files = [word for one in measurements for word in ("--measurements", str(one))]
    return tokenworks(
        *("price", "rederive", "--book", made.book),
        *("--out", made.folder / "candidate.json", "--format", "json"),
        *made.flags,
        *files,
        *flags,
    )


# the command


def test_a_slower_measurement_raises_floors_over_the_rates_in_force(made: Measured) -> None:
    ran = rederive(made, made.first, slower(made))
    # At .8 of the throughput costs are 1/.8 = 1.25 times as high; rates lie 10 % over old floors.
    assert ran.code == 1
    assert [(one["unit"], one["change_percent"]) for one in ran.json["floors"]] == [
        ("input_tokens", "25"),
        ("cache_read_tokens", "25"),
        ("output_tokens", "25"),
    ]
    (moved,) = (c for c in ran.json["floors"][2]["causes"] if c["kind"] == "measurement")
    assert moved["sentence"].startswith("h100_sxm us per token 412.698413 -> 515.873016; from ")
    assert "november.jsonl rows 2 (sha256:" in moved["sentence"]
    assert "instead of march.jsonl rows 2 (sha256:" in moved["sentence"]
    # .515873015 x 1.10 = .5674603165, rounded up to 6 decimals; .515873015 x 1.25 = .644841269
    (under,) = (one for one in ran.json["under_floor"] if one["unit"] == "output_tokens")
    assert (under["lowest"], under["floor"]) == ("0.567461", "0.64484127")
    assert f"under its floor: {OUTPUT}: 0.567461 is under the new floor 0.64484127" in ran.err
    assert "3 floors moved, 3 rates would change, 3 rates are under their floors now" in ran.err
    candidate = json.loads((made.folder / "candidate.json").read_bytes())
    assert (candidate["number"], "published_at" in candidate) == (2, False)
    assert ran.json["rates"][0]["causes"]
    assert [one["role"] for one in ran.json["documents"]] == ["measurement"]


def test_a_faster_measurement_leaves_every_rate_over_its_floor(made: Measured) -> None:
    ran = rederive(made, made.first, slower(made, share=1.25))
    assert ran.code == 0
    # 1/1.25 = .8 of .515873015 is .412698412, to 9 digits of unit cost each
    assert ran.json["floors"][2]["before"] == "0.515873015"
    assert Fraction(ran.json["floors"][2]["after"]) == pytest.approx(
        Fraction("0.412698412"), rel=1e-8
    )
    assert ran.json["under_floor"] == []


def test_the_table_and_csv_name_each_floor_that_moved(made: Measured) -> None:
    words = [*made.flags, "--measurements", str(slower(made)), *NEXT, "--book", str(made.book)]
    words = ["price", "rederive", *words, "--out", str(made.folder / "candidate.json")]
    table = tokenworks(*words)
    assert "0.64484127" in table.text
    rows = list(csv.DictReader(io.StringIO(tokenworks(*words, "--format", "csv").text)))
    assert [(one["before"], one["after"]) for one in rows][2] == ("0.515873015", "0.64484127")
    assert "h100_sxm us per token" in rows[2]["because"]


def test_guard_rails_hold_the_candidate_against_the_book_in_force(made: Measured) -> None:
    policy = json.loads(made.policy.read_bytes())
    policy["guard_rails"] = {"largest_change": [{"share": "0.10"}]}
    made.policy.write_text(json.dumps(policy), encoding="utf-8")
    ran = rederive(made, slower(made))
    kinds = {one["kind"] for one in ran.json["findings"]}
    assert "largest_change" in kinds


def test_what_cannot_follow_the_book_is_one_sentence(made: Measured) -> None:
    number = ("--number", "1", *NEXT[2:])
    assert rederive(made, made.first, flags=number).sentence == (
        "--number: 1 does not follow 1; give a higher one"
    )
    assert "--effective-from" in rederive(made, made.first, flags=NEXT[:2]).sentence
    assert "absent.jsonl: cannot be read" in rederive(made, made.folder / "absent.jsonl").sentence
    policy = made.policy.read_text(encoding="utf-8").replace('"made"', '"other"', 1)
    made.policy.write_text(policy, encoding="utf-8")
    assert "give the book before of the same series" in rederive(made, made.first).sentence
    assert not (made.folder / "candidate.json").exists()


# the job


def job(made: Measured, *measurements: Path) -> list[str]:
    files = [word for one in measurements for word in ("--measurements", str(one))]
    return [
        *("--book", str(made.book), *made.flags, *files, *NEXT),
        *("--out", str(made.folder / "candidate.json")),
        *("--report", str(made.folder / "report.json")),
    ]


def left_by(made: Measured) -> dict[str, bytes]:
    """The candidate and the report, where they are."""
    files = (made.folder / name for name in ("candidate.json", "report.json"))
    return {file.name: file.read_bytes() for file in files if file.exists()}


def test_where_nothing_moved_nothing_is_written(
    made: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    # The same points, measured again: another file, and no other figure.
    again = slower(made, share=1.0)
    assert rederive_prices.main(job(made, made.first, again)) == 0
    assert capsys.readouterr().out == "nothing moved since number 1\n"
    assert left_by(made) == {}


def test_the_job_writes_a_candidate_and_a_report_of_it_and_a_second_run_nothing(
    made: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    words = job(made, made.first, slower(made))
    assert rederive_prices.main(words) == 1
    said = capsys.readouterr()
    assert f"rederive_prices: {OUTPUT}: 0.567461 is under the new floor" in said.err
    assert "wrote" in said.out
    first = left_by(made)
    report: Json = json.loads(first["report.json"])
    assert report["schema"] == "tokenworks.rederivation/1"
    shown = tokenworks(
        "price", "diff", made.book, made.folder / "candidate.json", "--format", "json"
    )
    assert report["candidate"] == shown.json["new"]
    before = [(made.folder / name).stat().st_mtime_ns for name in first]
    assert rederive_prices.main(words) == 1
    assert "nothing new to write" in capsys.readouterr().out
    assert left_by(made) == first
    assert [(made.folder / name).stat().st_mtime_ns for name in first] == before


def test_the_job_leaves_a_published_book_and_bad_input_alone(
    made: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    published = tokenworks(
        *("price", "publish", made.book, "--published-at", "2026-09-25T12:00:00Z", "--by", "dana"),
        *("--out", made.folder / "candidate.json"),
    )
    assert published.code == 0, published.err
    before = left_by(made)
    assert rederive_prices.main(job(made, slower(made))) == 2
    assert "is a published price book; choose another name" in capsys.readouterr().err
    assert left_by(made) == before
    assert rederive_prices.main([*job(made, made.first), "--effective-from", "soon"]) == 2
    assert "rederive_prices: --effective-from: " in capsys.readouterr().err


@pytest.mark.parametrize("kept", ["book", "policy", "first"])
def test_a_mistyped_name_costs_no_document(
    made: Measured, capsys: pytest.CaptureFixture[str], kept: str
) -> None:
    document: Path = getattr(made, kept)
    before = document.read_bytes()
    words = [*job(made, slower(made)), "--report", str(document)]
    assert rederive_prices.main(words) == 2
    assert f"{document}: holds another document; choose another name" in capsys.readouterr().err
    assert left_by(made) == {}
    if kept != "book":
        ran = rederive(made, slower(made), flags=(*NEXT, "--out", str(document)))
        assert ran.sentence == f"{document}: holds another document; choose another name"
    assert document.read_bytes() == before


def test_candidate_and_report_are_two_files(
    made: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*job(made, slower(made)), "--report", str(made.folder / "." / "candidate.json")]
    assert rederive_prices.main(words) == 2
    assert "is the name of the candidate; give the report another" in capsys.readouterr().err
    assert left_by(made) == {}


def test_an_empty_file_may_be_the_report(made: Measured) -> None:
    (made.folder / "report.json").touch()
    assert rederive_prices.main(job(made, slower(made))) == 1
    assert json.loads((made.folder / "report.json").read_bytes())["schema"]


def test_the_job_runs_as_a_file(made: Measured) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            str(REPOSITORY / "scripts" / "rederive_prices.py"),
            *job(made, made.first),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_killed_before_each_file_it_leaves_whole_ones_and_the_next_run_ends_alike(
    made: Measured,
) -> None:
    words = job(made, made.first, slower(made))
    assert rederive_prices.main(words) == 1
    whole = left_by(made)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.journeys.kill_rederive", str(made.folder), *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    # Killed with the candidate, then with the report on its way to its name.
    assert ran.stdout == "[]\n['candidate.json']\n"
    assert left_by(made) == {"candidate.json": whole["candidate.json"]}
    assert rederive_prices.main(words) == 1
    assert left_by(made) == whole
