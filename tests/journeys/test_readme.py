"""What the READMEs show is what happens.

Invariant: each console block that begins with ``$ tokenworks`` is run where ``make demo`` would
have left its files, and prints what stands there.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from billing.cli.main import COMMANDS
from tests.journeys.made_files import amounts, book, card, rate_of, tokenworks, write_json
from tests.journeys.test_serve import serving

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"^```console\n\$ tokenworks (.*?)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("arguments, shown", BLOCKS, ids=[one[0][:40] for one in BLOCKS])
@pytest.mark.usefixtures("in_demo")
def test_a_console_block_prints_what_it_shows(arguments: str, shown: str) -> None:
    ran = tokenworks(*shlex.split(arguments))
    assert ran.code == 0, ran.err
    if shown:
        assert ran.text == shown


def test_the_readme_has_such_blocks() -> None:
    assert sum(bool(shown) for _, shown in BLOCKS) >= 1
    assert len(BLOCKS) >= 2
    assert len(BLOCKS) == README.count("\n$ tokenworks ")


def test_the_readme_names_each_command() -> None:
    named = set(re.findall(r"^\| `([a-z ]+)` \|", README, re.MULTILINE))
    assert {name.split()[0] for name in named} == set(COMMANDS)
    for name in named:
        assert tokenworks(*name.split(), "--help").code == 0


@pytest.mark.usefixtures("in_demo")
def test_the_readme_counts_the_rows_that_its_rate_rests_on() -> None:
    (count,) = re.findall(r"rests on (\d+) measured rows", README)
    ran = tokenworks(
        *("price", "explain", "demo-out/book-demo.json", "--model", "gpt-oss-120b"),
        *("--service-tier", "standard", "--unit", "input_tokens", "--format", "csv"),
    )
    cited = re.findall(r"silicon_sample\.csv rows? ([0-9, ]*[0-9])", ran.text)
    rows = {int(row) for text in cited for row in text.split(",")}
    assert len(rows) == int(count)


def test_the_usage_event_of_the_readme_is_one(tmp_path: Path) -> None:
    text = (REPOSITORY / "billing" / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^```json\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    data = json.loads(line)["data"]
    assert data["model"] == "gpt-oss-120b"
    (tmp_path / "usage.jsonl").write_text(line + "\n", encoding="utf-8")
    rates = [rate_of(unit, "1", per=1) for unit in ("input_tokens", "cache_read_tokens")]
    value = book(card(*rates, rate_of("output_tokens", "1", per=1), model="gpt-oss-120b"))
    flags = ("--price-book", write_json(tmp_path / "book.json", value), "--format", "json")
    ran = tokenworks("rate", *flags, "--usage", tmp_path / "usage.jsonl")
    # 1,200 inclusive of 400 cached: leaves of 800, 400 and 300.
    found = {unit: amount for (*_, unit), amount in amounts(ran.json).items()}
    assert found == {"input_tokens": "800", "cache_read_tokens": "400", "output_tokens": "300"}


def test_a_gateway_in_five_steps_is_one(tmp_path: Path) -> None:
    text = (REPOSITORY / "billing" / "README.md").read_text(encoding="utf-8")
    section = text.partition("## A gateway in five steps\n")[2].partition("\n## ")[0]
    before, code, after = re.findall(r"^```(?:sh|python)\n(.*?)^```$", section, re.M | re.DOTALL)
    store, keys = tmp_path / "billing.db", []
    upgrade, *makes, serve = [
        shlex.split(line.replace("billing.db", str(store)), comments=True)[1:]
        for line in before.splitlines()
        if not line.startswith("#")
    ]
    assert (upgrade[0], serve[0]) == ("db", "serve")
    for arguments in (upgrade, *makes):
        ran = tokenworks(*arguments, "--format", "json")
        assert ran.code == 0, ran.err
        keys.append(ran.json.get("key"))
    _, ingest, account = keys
    assert serve == ["serve", "--store", str(store)]
    with serving(store) as running:
        service = f"http://127.0.0.1:{running.port}"
        own = {"http://127.0.0.1:8080": service, "tw_...": ingest}
        own["usage.db"] = str(tmp_path / "usage.db")
        for shown, here in own.items():
            assert code.count(shown) == 1
            code = code.replace(shown, here)
        subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
        curl = shlex.split(after, comments=True)
        assert curl[:3] == ["curl", "-H", "Authorization: Bearer tw_..."]
        path = curl[3].removeprefix("http://127.0.0.1:8080")
        today = datetime.now(UTC).date()  # the event is of now, whenever this is run
        for shown, days in (("2026-11-01", -1), ("2026-12-01", 2)):
            assert path.count(shown) == 1
            path = path.replace(shown, str(today + timedelta(days=days)))
        status, answer = running.ask("GET", f"{path}&step=period", key=account)
    assert status == 200, answer
    counts = {one["unit"]: one["count"] for one in answer["data"]}
    assert counts == {"output_tokens": 300, "requests": 1}
