"""The report: windows, trends, vendors and books in one document of strings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pricing_rules.document import DocumentError, canonical_json, dump
from pricing_rules.planning.efficiency_document import EfficiencyDocument
from pricing_rules.planning.efficiency_report import EfficiencyReport, efficiency_report
from pricing_rules.planning.window_efficiency import Measured, measure
from pricing_rules.prices.price_book import PriceBook
from tests.pricing_rules.planning.made_planning import counted, made_window, revised_book
from tests.pricing_rules.rules.made_documents import made_factory, made_points, made_policy

VENDORS = {"h100_sxm": "NVIDIA", "mi300x": "AMD"}


def history(*costs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"measured_date": day, "usd_per_mtok": usd, "source": "made up"} for day, usd in costs]


def reported(
    *windows: EfficiencyDocument,
    measured: Measured | None = None,
    books: tuple[PriceBook, PriceBook] | None = None,
    without: str | None = None,
) -> EfficiencyReport:
    documents = windows or (made_window(),)
    return efficiency_report(documents, measured=measured, books=books, without=without)


def two_vendors(**dates: str) -> Measured:
    """10 H100 at 1.80 and 10 MI300X at 1.20, alike; measured on 1 March unless ``dates`` say so."""
    points = [
        point
        for name in ("h100_sxm", "mi300x")
        for point in made_points(name, measured_date=dates.get(name, "2026-03-01"))
    ]
    factory = made_factory(usd_per_hour={"h100_sxm": "1.80", "mi300x": "1.20"})
    return measure(factory, policy=made_policy(), points=points)


def test_the_worked_example_is_reported_to_nine_digits() -> None:
    (window,) = reported().windows
    shown = dump(window)
    assert shown["tokens_per_accelerator_s"] == "547.371"
    assert shown["good_tokens"] == "4729285440"
    assert shown["tokens_per_mwh"] == "1368427500"
    assert shown["tokens_per_pflop"] == "276.589692"
    assert shown["usd_total"] == "4320"
    assert shown["usd_per_mtok"] == "0.913457235"
    assert shown["benchmark_usd_per_mtok"] == "0.416666667"
    assert (shown["start_at"], shown["precision"]) == ("2026-10-01T00:00:00Z", "fp8")


def test_figures_are_strings_and_those_without_an_input_are_absent() -> None:
    report = dump(reported(made_window(peak=None, energy=None, usd_per_accelerator_hour=None)))
    assert canonical_json(report)  # which refuses a float
    absent = {"tokens_per_mwh", "tokens_per_pflop", "usd_per_mtok", "output_tokens_per_accelerator"}
    assert absent.isdisjoint(report["windows"][0])
    assert (report["iteration"], report["reliance"], "books" in report) == ([], [], False)


def test_a_report_reads_back_as_it_was_written() -> None:
    report = reported(made_window(cost_history=history(("2026-01-01", "0.60"))))
    text = json.dumps(dump(report))
    assert EfficiencyReport.model_validate_json(text) == report


def test_a_stated_history_has_its_trend() -> None:
    window = made_window(cost_history=history(("2026-07-04", "0.4167"), ("2026-01-01", "0.60")))
    (line,) = reported(window).iteration
    assert (line.about, line.days, line.reason) == (f"cost_history of {window.name}", 184, None)
    assert f"{line.improvement_per_month:.4f}" == "0.0603"
    assert f"{line.halving_months:.1f}" == "11.5"
    assert [str(cost.usd_per_mtok) for cost in line.costs] == ["0.6", "0.4167"]


def test_histories_of_two_documents_are_told_apart() -> None:
    first = made_window(name="august", cost_history=history(("2026-01-01", "0.60")))
    second = made_window(name="september", cost_history=history(("2026-01-01", "0.90")))
    lines = efficiency_report([first, second], measured=None, books=None, without=None).iteration
    assert [line.about for line in lines] == ["cost_history of august", "cost_history of september"]


def test_a_history_under_30_days_shows_its_costs_and_says_why_there_is_no_trend() -> None:
    window = made_window(cost_history=history(("2026-01-01", "0.60"), ("2026-01-30", "0.50")))
    (line,) = reported(window).iteration
    assert (line.improvement_per_month, line.halving_months, line.days) == (None, None, None)
    assert line.reason is not None
    assert line.reason.startswith("from the first to the last date it is 29 of the 30 days")
    assert len(line.costs) == 2


def test_measurements_have_a_trend_by_hardware_and_shape() -> None:
    lines = reported(measured=two_vendors()).iteration
    assert [line.about for line in lines] == [
        "h100_sxm 1000/1000",
        "mi300x 1000/1000",
        "h100_sxm 8000/1000",
        "mi300x 8000/1000",
    ]
    assert {line.reason for line in lines} == {"a trend needs the costs of two dates at least"}


def test_reliance_is_reported_where_vendors_are_stated() -> None:
    assert reported(measured=two_vendors()).reliance == ()
    assert reported(made_window(vendors=VENDORS)).reliance == ()  # nothing was measured
    (found,) = reported(made_window(vendors=VENDORS), measured=two_vendors()).reliance
    assert {share.vendor: str(share.share) for share in found.shares} == {
        "AMD": "0.5",
        "NVIDIA": "0.5",
    }
    assert (str(found.hhi), found.without) == ("5000", None)


def test_documents_that_name_two_makers_of_one_hardware_are_refused() -> None:
    first = made_window(name="august", vendors={"h100_sxm": "NVIDIA"})
    agreeing = made_window(name="september", vendors=VENDORS)
    assert len(reported(first, agreeing, measured=two_vendors()).reliance) == 1
    other = made_window(name="september", vendors={**VENDORS, "h100_sxm": "Nvidia"})
    with pytest.raises(DocumentError) as caught:
        reported(first, other, measured=two_vendors())
    assert str(caught.value) == (
        'september vendors.h100_sxm: is "Nvidia" here and "NVIDIA" in another document of m in '
        "standard; write it alike"
    )


def test_the_loss_of_a_vendor_is_reported_for_promise_capacity_and_floors() -> None:
    (found,) = reported(
        made_window(vendors=VENDORS), measured=two_vendors(), without="AMD"
    ).reliance
    assert found.without is not None
    assert (found.without.vendor, found.without.promise_is_kept) == ("AMD", True)
    assert str(found.without.capacity_left) == "0.5"
    # An hour costs 1.80 without it, 1.50 with it.
    floor = found.without.floors[-1]
    assert floor.after_usd_per_mtok is not None
    assert floor.unit == "output_tokens"
    assert float(floor.after_usd_per_mtok / floor.before_usd_per_mtok) == pytest.approx(1.2)


def test_the_loss_of_the_only_vendor_leaves_no_floor() -> None:
    only = measure(made_factory(), policy=made_policy(), points=made_points())
    (found,) = reported(made_window(vendors=VENDORS), measured=only, without="NVIDIA").reliance
    assert found.without is not None
    assert not found.without.promise_is_kept
    assert {floor.after_usd_per_mtok for floor in found.without.floors} == {None}


def test_without_needs_measurements() -> None:
    with pytest.raises(DocumentError, match=r"^--without: derives floors again; give --factory"):
        reported(without="AMD")


def test_books_are_compared_with_the_tokens_of_all_windows() -> None:
    tokens: dict[str, Any] = {
        "tokens": counted(good={"output_tokens": 1_000_000}, lost={}),
        "real_share": None,
        "good_share": None,
    }
    measured = measure(made_factory(), policy=made_policy(), points=made_points())
    windows = (made_window(**tokens), made_window(name="another day", **tokens))
    books = (revised_book(1), revised_book(2, usd_per_hour="0.90"))
    found = reported(*windows, measured=measured, books=books).books
    assert found is not None
    assert (found.series, found.old_number, found.new_number, found.currency) == (
        "made",
        1,
        2,
        "USD",
    )
    assert str(found.cycle_days) == "275"
    (card,) = found.cards
    assert f"{card.pass_through:.3f}" == "1.000"
    # Two windows of 1M output tokens: the old floor is .515875, the new one half of it.
    assert f"{card.staleness:.4f}" == f"{2 * 0.515875 / 2:.4f}"
    # Without tokens there is nothing that stale floors were asked for.
    bare = reported(books=books).books
    assert bare is not None
    assert bare.cards[0].staleness is None


def test_a_card_of_the_new_book_alone_has_no_old_rate() -> None:
    other = made_window()
    new = revised_book(2)
    renamed = new.model_copy(
        update={"rate_cards": (new.rate_cards[0].model_copy(update={"model": "n"}),)}
    )
    found = reported(other, books=(revised_book(1), renamed)).books
    assert found is not None
    assert (found.cards[0].old_rate_per_mtok, found.cards[0].new_rate_per_mtok is None) == (
        None,
        False,
    )
    bare = renamed.rate_cards[0].model_copy(update={"cost": None, "cost_none": "a licence"})
    found = reported(
        other, books=(revised_book(1), renamed.model_copy(update={"rate_cards": (bare,)}))
    ).books
    assert found is not None
    assert found.cards[0].new_rate_per_mtok is None


def test_two_windows_of_one_name_are_refused() -> None:
    with pytest.raises(DocumentError, match='two windows are named "day"; rename one'):
        reported(made_window(), made_window())


def test_findings_of_windows_stand_once() -> None:
    paid = made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": "3.60"})
    measured = measure(paid, policy=made_policy(), points=made_points())
    report = reported(made_window(), made_window(name="another day"), measured=measured)
    (finding,) = report.findings
    assert finding.startswith("b200_sxm serves none of m in standard")
