"""The price of a task by command: each format, an agreement, and what is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.journeys.made_files import Json, Ran, book, card, rate_of, tokenworks, write_json
from tests.journeys.test_invoice import AGREEMENT, COST
from tests.journeys.test_schema import _check, _schema

BOOK = book(
    {
        **card(
            rate_of("input_tokens", "1"),
            rate_of("output_tokens", "3"),
            rate_of("web_searches", "10", per=1000),
        ),
        "cost": COST,
    }
)
"""Output at 3 over a floor of 2.50 and a cost of 1 / .5 = 2; the others have no measured cost."""

TASK = """schema: tokenworks.task/1
name: answer
requests:
  - {id: ask, count: 4, model: m, service_tier: standard, units: {output_tokens: 1000}}
  - {id: look, model: m, service_tier: standard, units: {input_tokens: 3, web_searches: 1}}
"""


def _priced(
    folder: Path, *flags: str | Path, task: str = TASK, agreement: str | None = None
) -> Ran:
    (folder / "task.yaml").write_text(task, encoding="utf-8")
    price_book = write_json(folder / "book.json", BOOK)
    agreed: tuple[str | Path, ...] = ()
    if agreement is not None:
        (folder / "a.yaml").write_text(agreement, encoding="utf-8")
        agreed = ("--agreement", folder / "a.yaml")
    return tokenworks(
        "price", "task", folder / "task.yaml", "--price-book", price_book, *agreed, *flags
    )


def test_the_table_shows_each_request_and_the_task_and_names_what_has_no_cost(
    tmp_path: Path,
) -> None:
    ran = _priced(tmp_path)
    assert ran.code == 0
    assert "answer at list rates, USD per task" in ran.text
    assert ran.err == "look: no measured cost of input_tokens, web_searches\n"
    # 4 x 1,000 at 3 = .012, floor .010, cost .008: a margin of a third. 3 at 1 and one search at
    # 10 per 1,000: .010003.
    lines = [line.split() for line in ran.text.splitlines() if line.startswith("│")]
    cells = [[cell for cell in line if cell != "│"] for line in lines]
    assert cells[0] == [
        "ask",
        "4",
        "m",
        "standard",
        "0.012",
        "0",
        "0.012",
        "0.01",
        "0.008",
        "33.3333",
    ]
    assert cells[1][4:] == ["0.010003", "0", "0.010003"]
    assert cells[2][1:] == ["0.022003", "0", "0.022003"]


def test_csv_has_the_exact_amounts_and_empty_cells_where_there_is_no_cost(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(_priced(tmp_path, "--format", "csv").text)))
    assert [row["request"] for row in rows] == ["ask", "look", "task"]
    assert rows[0]["floor_amount"] == "0.01"
    assert (rows[2]["amount"], rows[2]["floor_amount"], rows[2]["margin_percent"]) == (
        "0.022003",
        "",
        "",
    )


def test_json_under_an_agreement_is_its_document_and_names_the_finding(tmp_path: Path) -> None:
    # The agreement takes 20 % off output: 3 x .8 = 2.40 is under the floor of 2.50.
    ran = _priced(tmp_path, "--format", "json", agreement=AGREEMENT)
    found: Json = ran.json
    assert _check(found, schema=_schema("task-price")) == []
    assert found["agreement"] == {"account": "a", "version": 3}
    assert found["amounts"]["amount"] == "0.019603"  # .0096 + .010003
    assert found["findings"] == ["ask: 0.0096 USD a task is under its floor of 0.01"]
    assert ran.err == ""
    shown = _priced(tmp_path, agreement=AGREEMENT)
    assert shown.code == 0
    assert "finding: ask: 0.0096 USD a task is under its floor of 0.01\n" in shown.err
    assert "answer for a, USD per task" in shown.text


@pytest.mark.parametrize(
    "written, instead, said",
    [
        ("count: 4", "count: 0", "task.yaml:4 requests[0].count: "),
        ("4, model: m", "4, model: n", "request ask: book 1 has no rate card of n in standard"),
        ("schema: tokenworks.task/1", "schema: tokenworks.task/2", "task.yaml:1 schema: "),
    ],
)
def test_a_wrong_task_is_one_sentence(
    tmp_path: Path, written: str, instead: str, said: str
) -> None:
    assert TASK.count(written) == 1
    sentence = _priced(tmp_path, task=TASK.replace(written, instead)).sentence
    assert sentence.startswith(said)


def test_an_absent_file_and_an_agreement_of_another_series_are_one_sentence(
    tmp_path: Path,
) -> None:
    absent = tokenworks("price", "task", tmp_path / "t.yaml", "--price-book", tmp_path / "b.json")
    assert "t.yaml: cannot be read" in absent.sentence
    other = AGREEMENT.replace("series: s", "series: other")
    said = "agreement: follows other in USD, but the price book is s in USD"
    assert _priced(tmp_path, agreement=other).sentence.startswith(said)


def test_a_task_validates_against_its_schema() -> None:
    request = {"id": "r", "model": "m", "service_tier": "s", "units": {"input_tokens": 5}}
    value = {"schema": "tokenworks.task/1", "name": "t", "requests": [request]}
    schema = _schema("task")
    assert _check(value, schema=schema) == []
    assert _check({**value, "requests": [{**request, "prompt": "x"}]}, schema=schema)
