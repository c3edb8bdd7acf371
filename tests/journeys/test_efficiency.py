"""Efficiency reports by command: the worked day, real measurements, a vendor's loss, two books.

Invariant: what is refused is one sentence, and no chart is written then.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from pricing_rules.document import dump
from tests.journeys.made_files import Json, Ran, tokenworks, write_json
from tests.pricing_rules.planning.made_planning import (
    EXAMPLES,
    counted,
    revised_book,
    window_document,
)

DAY = EXAMPLES / "efficiency_day.yaml"
VENDORS = {"h100_sxm": "NVIDIA", "h200_sxm": "NVIDIA", "b200_sxm": "NVIDIA"}


def report(*documents: Path, flags: tuple[str | Path, ...] = (), shape: str = "json") -> Ran:
    return tokenworks("efficiency", "report", *documents, *flags, "--format", shape)


def from_files(folder: Path) -> tuple[str | Path, ...]:
    """The demo's factory and policy, and the measurements of the installed package."""
    return (
        *("--factory", folder / "factory.yaml", "--policy", folder / "policy-demo.yaml"),
        *("--measurements", "aiconfigurator"),
    )


def unstated(**changed: Json) -> dict[str, Json]:
    """A day of gpt-oss-120b in standard whose rate and cost are left to the measurements."""
    return window_document(
        model="gpt-oss-120b",
        frontier_tokens_per_s=None,
        usd_per_accelerator_hour=None,
        energy=None,
        **changed,
    )


def test_the_worked_day_is_what_the_design_says() -> None:
    (window,) = report(DAY).json["windows"]
    assert window["tokens_per_accelerator_s"] == "547.371"
    assert window["good_tokens"] == "4729285440"
    assert window["tokens_per_mwh"] == "1368427500"
    assert window["tokens_per_pflop"] == "276.589692"
    assert window["usd_per_mtok"] == "0.913457235"
    assert window["benchmark_usd_per_mtok"] == "0.416666667"
    (trend,) = report(DAY).json["iteration"]
    assert (trend["days"], trend["improvement_per_month"][:6]) == (184, "0.0603")
    assert trend["halving_months"][:5] == "11.49"


def test_a_table_and_csv_name_the_source_of_each_factor() -> None:
    table = report(DAY, shape="table").text
    assert "token_factory_efficiency" in table
    assert "547.371" in table
    rows = list(csv.DictReader(io.StringIO(report(DAY, shape="csv").text)))
    found = {row["figure"]: row for row in rows}
    assert found["good_tokens"]["value"] == "4729285440"
    assert found["availability"]["source"] == "a worked example (2026-10-02)"
    assert "output_only" not in found  # nothing was counted


@pytest.mark.usefixtures("measured")
def test_measurements_give_rate_cost_power_and_trend(documents: Path) -> None:
    day = write_json(documents / "day.yaml", unstated(vendors=VENDORS))
    found = report(day, flags=from_files(documents)).json
    (window,) = found["windows"]
    factors = {one["factor"]: one for one in window["factors"]}
    assert "gpt-oss-120b fp4 on" in factors["frontier_rate"]["source"]
    # 64 x 1.17 + 32 x 1.22 + 32 x 1.73 over 128 accelerators = 1.3225 USD.
    assert window["usd_per_accelerator_hour"] == "1.3225"
    # (64 x 1.37 + 32 x 1.37 + 32 x 1.71) / 128 x 1.3 kW x 100 x 24 h = 4.5396 MWh.
    assert window["facility_mwh"] == "4.5396"
    rate = float(factors["frontier_rate"]["value"])
    shares = 0.95 * 0.55 * 0.90 * 0.97
    assert float(window["tokens_per_accelerator_s"]) == pytest.approx(rate * shares)
    b200 = next(t for t in found["iteration"] if t["about"] == "b200_sxm 1024/1024")
    assert len(b200["costs"]) >= 3
    assert float(b200["improvement_per_month"]) > 0
    (reliance,) = found["reliance"]
    assert (reliance["shares"], reliance["hhi"]) == ([{"vendor": "NVIDIA", "share": "1"}], "10000")


@pytest.mark.usefixtures("measured")
def test_without_a_vendor_floors_are_derived_again(documents: Path) -> None:
    # As if B200 came from another vendor: without it the pool has H100 and H200 alone.
    vendors = {**VENDORS, "b200_sxm": "Other"}
    day = write_json(documents / "day.yaml", unstated(vendors=vendors))
    flags = (*from_files(documents), "--without", "Other")
    (found,) = report(day, flags=flags).json["reliance"]
    without = found["without"]
    assert without["promise_is_kept"]
    share = next(one["share"] for one in found["shares"] if one["vendor"] == "Other")
    assert float(without["capacity_left"]) == pytest.approx(1 - float(share))
    for floor in without["floors"]:
        assert float(floor["after_usd_per_mtok"]) > float(floor["before_usd_per_mtok"])
    table = report(day, flags=flags, shape="table").text
    assert "promise_without_Other" in table
    assert " kept " in table
    table = report(day, flags=(*from_files(documents), "--without", "NVIDIA"), shape="table").text
    assert "capacity_without_NVIDIA" in table


@pytest.mark.usefixtures("measured")
def test_charts_are_written_as_svg_and_png(documents: Path, tmp_path: Path) -> None:
    day = write_json(documents / "day.yaml", unstated())
    ran = report(day, flags=(*from_files(documents), "--charts", tmp_path / "charts"))
    assert ran.code == 0
    names = sorted(path.name for path in (tmp_path / "charts").iterdir())
    assert names == sorted(
        f"{chart}-gpt-oss-120b-standard.{suffix}"
        for chart in ("frontier", "cost", "iteration")
        for suffix in ("png", "svg")
    )
    assert ran.err == f"wrote 6 chart files in {tmp_path / 'charts'}\n"


def test_two_books_give_pass_through_cycle_time_and_what_stale_floors_cost(
    tmp_path: Path,
) -> None:
    old = write_json(tmp_path / "old.json", dump(revised_book(1)))
    new = write_json(tmp_path / "new.json", dump(revised_book(2, usd_per_hour="0.90")))
    value = window_document(
        tokens=counted(good={"output_tokens": 1_000_000}, lost={"output_tokens": 1000}),
        real_share=None,
        good_share=None,
        output_equivalents={
            "fresh_input": {"value": "0.2", "source": "s", "source_date": "2026-10-01"},
            "cache_read": {"value": "0.02", "source": "s", "source_date": "2026-10-01"},
        },
    )
    day = write_json(tmp_path / "day.yaml", value)
    flags = ("--books", old, new)
    found = report(day, flags=flags).json["books"]
    (card,) = found["cards"]
    assert (found["old_number"], found["new_number"], found["cycle_days"]) == (1, 2, "275")
    assert float(card["pass_through"]) == pytest.approx(1, abs=1e-3)
    # The output floor falls from .515875 to half of it, and 1M output tokens were sold.
    assert float(card["staleness"]) == pytest.approx(0.515875 / 2, rel=1e-4)
    assert "pass_through" in report(day, flags=flags, shape="table").text
    # The other way round they do not follow one another.
    sentence = report(day, flags=("--books", new, old)).sentence
    assert sentence == "--books: the first book must take effect before the second"
    same = write_json(tmp_path / "same.json", dump(revised_book(2)))
    assert "the cost did not change" in report(day, flags=("--books", old, same), shape="csv").text


@pytest.mark.parametrize(
    "flags, said",
    [
        (("--factory", "f.yaml"), "--factory: needs --policy and --measurements beside it"),
        (("--policy", "p.yaml", "--measurements", "m.csv"), "--policy: needs --factory beside it"),
        (("--without", "AMD"), "--without: derives floors again; give --factory, --policy and"),
    ],
)
def test_flags_that_need_one_another_say_so(flags: tuple[str, ...], said: str) -> None:
    assert report(DAY, flags=flags).sentence.startswith(said)


def test_what_is_neither_stated_nor_measured_is_one_sentence_and_nothing_is_drawn(
    tmp_path: Path,
) -> None:
    day = write_json(tmp_path / "day.yaml", unstated())
    ran = report(day, flags=("--charts", tmp_path / "charts"))
    assert ran.sentence == (
        "day frontier_tokens_per_s: is neither stated nor computed; state it, or give --factory, "
        "--policy and --measurements"
    )
    assert not (tmp_path / "charts").exists()


def test_a_fault_of_the_document_has_its_line(tmp_path: Path) -> None:
    text = DAY.read_text(encoding="utf-8").replace('value: "0.95"', 'value: "95"')
    (tmp_path / "day.yaml").write_text(text, encoding="utf-8")
    assert report(tmp_path / "day.yaml").sentence.startswith(
        'day.yaml:9 availability.value: must be at most 1, not "95"; write 60 % as "0.6"'
    )


@pytest.mark.usefixtures("measured")
def test_the_loss_of_a_vendor_needs_to_know_who_makes_what(documents: Path) -> None:
    day = write_json(documents / "day.yaml", window_document(model="gpt-oss-120b"))
    flags = (*from_files(documents), "--without", "NVIDIA")
    assert report(day, flags=flags).sentence.startswith(
        'vendors: no efficiency document says who makes "'
    )


def test_a_finding_stands_on_stderr(documents: Path) -> None:
    value = window_document(
        tokens=counted(good={"output_tokens": 10**12}, lost={}),
        real_share=None,
        good_share=None,
        output_equivalents={
            "fresh_input": {"value": "0.2", "source": "s", "source_date": "2026-10-01"},
            "cache_read": {"value": "0.02", "source": "s", "source_date": "2026-10-01"},
        },
    )
    ran = report(write_json(documents / "day.yaml", value), shape="table")
    assert "finding: day: while busy it made 185 times its frontier rate" in ran.err
    assert ran.code == 0


def test_the_report_is_what_its_schema_says() -> None:
    schema = tokenworks("schema", "efficiency-report").json
    found = report(DAY).json
    assert set(found) <= set(schema["properties"])
    assert set(schema["required"]) <= set(found)
    assert json.dumps(found)
