"""The demo from end to end: what it promises, keeps and prints.

Invariant: no token of the trace is lost on the way to the rating, and the same inputs leave the
same bytes.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from tests.journeys.made_files import Json, Ran, tokenworks

ACCOUNTS = ("acme", "globex", "initech")
LEFT = {
    *("factory.yaml", "policy.yaml", "acme.yaml", "globex.yaml", "initech.yaml"),
    *("candidate.json", "book-1.json", "trace.csv", "usage.parquet", "rating.json"),
    *(f"{account}.{ending}" for account in ACCOUNTS for ending in ("json", "pdf")),
}
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
REQUEST = "2023-11-16 18:17:03.9799600,10,5\n"


def _read(path: Path) -> Json:
    return json.loads(path.read_bytes())


def _counted(rating: Json) -> dict[str, int]:
    """Every token of a rating by unit, charged or unpriced."""
    found: Counter[str] = Counter()
    for account in rating["accounts"]:
        for part in (*account["charges"], *account["unpriced"]):
            found[part["unit"]] += part["quantity"]
    return dict(found)


def test_every_file_that_the_demo_promises_is_there(demo_run: tuple[Path, Ran]) -> None:
    folder, ran = demo_run
    assert {path.name for path in (folder / "demo-out").iterdir()} == LEFT
    named = [word.rstrip(";,") for word in ran.text.split() if word.startswith("demo-out/")]
    assert {Path(name).name for name in named if Path(name).suffix} <= LEFT
    assert all((folder / name).exists() for name in named)


def test_no_rate_lies_under_its_floor_without_a_finding(demo_run: tuple[Path, Ran]) -> None:
    book = _read(demo_run[0] / "demo-out" / "book-1.json")
    findings = " ".join(finding["id"] for finding in book["findings"])
    compared = 0
    for card in book["rate_cards"]:
        floors = {floor["unit"]: Decimal(floor["floor"]) for floor in card["cost"]["floors"]}
        for rate in card["rates"]:
            about = f"under_floor:{card['model']}/{card['service_tier']}/{rate['unit']}"
            bands = rate["ladder"]["bands"] if "ladder" in rate else [rate]
            lowest = min(Decimal(band["rate"]) for band in bands)
            assert lowest >= floors[rate["unit"]] or about in findings
            compared += 1
    # 3 models x 3 service tiers x 3 units, each plain, long context, EU, and EU long context
    assert compared == 3 * 3 * 3 * 4


def test_each_finding_of_the_published_book_is_signed_off(demo_run: tuple[Path, Ran]) -> None:
    book = _read(demo_run[0] / "demo-out" / "book-1.json")
    assert book["findings"]
    assert {f["id"] for f in book["findings"]} == {s["finding"] for s in book["sign_offs"]}


def test_the_tokens_of_the_rating_are_those_of_the_trace(demo_run: tuple[Path, Ran]) -> None:
    folder = demo_run[0] / "demo-out"
    rows = [line.split(",") for line in (folder / "trace.csv").read_text().splitlines()[1:]]
    rating = _read(folder / "rating.json")
    assert rating["events"]["accepted"] == len(rows) == 20_000
    assert _counted(rating) == {
        "input_tokens": sum(int(row[1]) for row in rows),
        "output_tokens": sum(int(row[2]) for row in rows),
    }


def test_invoices_charge_what_the_rating_says(demo_run: tuple[Path, Ran]) -> None:
    folder = demo_run[0] / "demo-out"
    rating = {one["account"]: one for one in _read(folder / "rating.json")["accounts"]}
    for account in ACCOUNTS:
        lines = [one for one in _read(folder / f"{account}.json")["lines"] if "unit" in one]
        charged = [(c["unit"], c["quantity"], c["amount"]) for c in rating[account]["charges"]]
        assert [(u["unit"], u["quantity"], u["amount_exact"]) for u in lines] == charged


def test_two_runs_leave_the_same_bytes(demo_run: tuple[Path, Ran], tmp_path: Path) -> None:
    # Another folder, with a space in its name: no path is part of any document.
    again = tmp_path / "another folder"
    assert tokenworks("demo", "--out", again).code == 0
    for name in sorted(LEFT):
        assert (again / name).read_bytes() == (demo_run[0] / "demo-out" / name).read_bytes(), name


def test_the_commands_that_it_prints_do_what_it_did(
    demo_run: tuple[Path, Ran], in_demo: Path
) -> None:
    before = {path.name: path.read_bytes() for path in (in_demo / "demo-out").iterdir()}
    printed = [line for line in demo_run[1].text.splitlines() if line.startswith("$ tokenworks ")]
    assert [shlex.split(line)[2] for line in printed] == [
        *("price", "price", "rate", "invoice", "invoice")
    ]
    for line in printed:
        ran = tokenworks(*shlex.split(line)[2:])
        assert ran.code == 0, (line, ran.err)
    assert {path.name: path.read_bytes() for path in (in_demo / "demo-out").iterdir()} == before


@pytest.mark.parametrize(
    "name, published",
    [("code", (8_819, 18_059_974, 245_896)), ("conv", (19_366, 22_361_870, 4_088_665))],
)
@pytest.mark.usefixtures("measured")
def test_the_azure_traces_keep_their_published_totals(
    shared_data: Path, tmp_path: Path, name: str, published: tuple[int, int, int]
) -> None:
    rows, input_tokens, output_tokens = published
    trace = shared_data / f"AzureLLMInferenceTrace_{name}_2023.csv"
    if not trace.is_file():
        pytest.skip(f"../shared/data/{trace.name} is absent")
    ran = tokenworks("demo", "--usage", trace, "--out", tmp_path / "out")
    assert (ran.code, ran.err) == (0, "")
    rating = _read(tmp_path / "out" / "rating.json")
    assert rating["events"]["received"] == rating["events"]["accepted"] == rows
    assert _counted(rating) == {"input_tokens": input_tokens, "output_tokens": output_tokens}
    assert not (tmp_path / "out" / "trace.csv").exists()


@pytest.mark.usefixtures("measured")
def test_a_bad_row_of_a_trace_is_named_and_the_others_are_billed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mixed.csv").write_text(HEADER + REQUEST + "2023-11-16 18:17:04,ten,5\n")
    ran = tokenworks("demo", "--usage", "mixed.csv", "--out", "my demo")
    assert ran.code == 1
    assert "mixed.csv:3: row 3 ContextTokens: must be a whole number" in ran.err
    counted = _counted(_read(Path("my demo/rating.json")))
    assert counted == {"input_tokens": 10, "output_tokens": 5}
    # The one request is of an account that need not be the first; its line is explained, and the
    # printed command quotes the space in the name of the folder.
    explained = [line for line in ran.text.splitlines() if line.startswith("$ tokenworks ")][-1]
    assert explained.endswith("--explain 1")
    assert tokenworks(*shlex.split(explained)[2:]).code == 0


def test_a_trace_without_a_request_gives_empty_invoices(measured: None, tmp_path: Path) -> None:
    trace = tmp_path / "none.csv"
    trace.write_text(HEADER)
    ran = tokenworks("demo", "--usage", trace, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "acme: 0 lines, total 0.00 USD" in ran.text


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--starting-at", "2026-10-31T23:59:59Z"], "must not lie before 2026-11-01T00:00:00Z"),
        (["--starting-at", "2026-12-01"], "--starting-at: must be a moment"),
        (["--starting-at", "2199-12-20T00:00:00Z"], "must lie between 1970 and 2199"),
        (["--usage", "absent.csv"], "absent.csv: cannot be read (no such file or directory)"),
        (["--usage", "other.csv"], 'other.csv:1: the header must be "TIMESTAMP,'),
    ],
)
def test_what_cannot_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.csv").write_text("a,b\n1,2\n")
    assert said in tokenworks("demo", *flags).sentence
    assert not Path("demo-out").exists()
