"""Figures of other billing systems, computed by our ladders: graduated, volume and the others.

The adapter below says how each system's model is written as a ladder; what it adds (taxes, other
lines, a quantity that is made before pricing) stands beside the ladder, never inside.

Invariant: a case that we do not follow is listed with the reason, exists, and does not pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pricing_rules.money import round_half_away
from pricing_rules.prices.ladder import BandCharge, Rungs
from tests.pricing_rules.prices.made_books import ladder

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
TOPICS = ("graduated", "volume", "package", "percentage")

Case = dict[str, Any]

NOT_FOLLOWED = {
    "grad-util-tn-2": "the total picks one of several ladders: a ladder holds no other ladders",
    "vol-kb-cap-2": "several units together choose the band: a ladder counts one quantity",
    "vol-kb-cap-4": "several units together choose the band: a ladder counts one quantity",
    "pct-lago-01": "free events by their order: totals are sums, and a sum has no order",
    "pct-lago-10": "a minimum and a maximum per event: prices meet counts after they are summed",
    "pct-lago-20": "the first events are free by their order: totals are sums",
    "pct-lago-24": "a minimum and a maximum per event: prices meet counts after they are summed",
}


def read_cases() -> Iterator[Case]:
    for topic in TOPICS:
        file = CASES / f"{topic}.json"
        if file.is_file():
            yield from json.loads(file.read_bytes())["cases"]


ALL = list(read_cases())
FOLLOWED = [case for case in ALL if case["id"] not in NOT_FOLLOWED]

needs_cases = pytest.mark.skipif(not ALL, reason="../shared/cases is absent")


@needs_cases
def test_there_are_71_cases() -> None:
    assert len(ALL) == 71  # 25 graduated, 16 volume, 20 package, 10 percentage


@needs_cases
@pytest.mark.parametrize("case", FOLLOWED, ids=lambda case: str(case["id"]))
def test_a_figure_of_another_system_is_ours_too(case: Case) -> None:
    got = answer(case)
    expected = exact(case["expected"])
    assert {key: got[key] for key in expected} == expected


@needs_cases
def test_what_we_do_not_follow_exists() -> None:
    assert set(NOT_FOLLOWED) <= {case["id"] for case in ALL}


@needs_cases
@pytest.mark.parametrize(
    "case", [c for c in ALL if c["id"] in NOT_FOLLOWED], ids=lambda case: str(case["id"])
)
def test_what_we_do_not_follow_does_not_pass(case: Case) -> None:
    try:
        got = answer(case)
    except NotImplementedError:
        return
    expected = exact(case["expected"])
    assert {key: got.get(key) for key in expected} != expected


def exact(value: Any) -> Any:
    """Figures as fractions, lists and objects kept."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return Fraction(value)


def answer(case: Case) -> dict[str, Any]:
    """What our ladders say to a case, by the keys of its ``expected``."""
    setup, given = case["setup"], exact(case["input"])
    found = ADAPTERS.get(setup["model"].split(",")[0])
    if found is None:
        raise NotImplementedError(setup["model"])
    got: dict[str, Any] = found(setup, given)
    return got


def rungs_of(setup: Case) -> Rungs:
    """The bands of graduated, volume and graduated percentage models."""
    model = setup["model"]
    kind = "percentage" if model == "graduated_percentage" else model
    bands = [
        {
            "up_to": band["up_to"],
            "rate": band.get("unit_amount") or band["rate_percent"],
            "flat": band["flat_amount"],
            "cap": band.get("cap_amount"),
        }
        for band in setup["tiers"]
    ]
    at_zero = setup.get("zero_usage_bills_first_flat", False)
    return ladder(kind, bands=bands, settings={"flat_at_zero": at_zero}).rungs(per=1)


def blocks_of(setup: Case) -> Rungs:
    """Bands of whole blocks: a band ends after block_size * max_blocks units; bounds add up."""
    bands: list[dict[str, Any]] = []
    bound = 0
    for band in setup["tiers"]:
        bound += int(band["block_size"]) * int(band["max_blocks"] or 0)
        bands.append(
            {
                "up_to": bound if band["max_blocks"] else None,
                "per": int(band["block_size"]),
                "rate": band["block_price"],
            }
        )
    if setup["model"] == "graduated_blocks":
        return ladder("package", bands=bands).rungs(per=1)
    settings = {"whole_packages": True, "past_last_band": "extend"}
    return ladder("volume", bands=bands, settings=settings).rungs(per=1)


def flat_rate(rate: str, *, per: int = 1, cap: str | None = None) -> Rungs:
    return ladder("standard", bands=[{"rate": rate, "cap": cap}]).rungs(per=per)


def by_bands(setup: Case, given: Case) -> dict[str, Any]:
    rungs = blocks_of(setup) if setup["model"].endswith("_blocks") else rungs_of(setup)
    if "cumulative_quantities" in given:
        return {"booked_per_run": booked(rungs, given["cumulative_quantities"])}
    if "group_quantities" in given:
        return {"amount": sum(rungs.cost(quantity) for quantity in given["group_quantities"])}
    before = given.get("previously_rated_quantity", Fraction(0))
    quantity = given.get("quantity", given.get("amount_base"))
    stored: dict[str, Any] = {}
    if quantity is None:
        # Storage: bytes held over days are byte-hours; 2**30 bytes for 744 hours are a GB-month.
        stored["byte_hours"] = sum(h["bytes"] * h["days"] * 24 for h in given["holdings"])
        quantity = stored["gb_months"] = stored["byte_hours"] / 2**30 / 744
    assert quantity >= Fraction(setup.get("minimum_quantity", 0))
    charged = (
        rungs.between(before, end=before + quantity, total=before + quantity)
        if before
        else rungs.bands(quantity)
    )
    amount = sum((part.amount for part in charged), Fraction(0))
    return {
        **stored,
        "amount": amount,
        "total_with_tax": amount * (1 + Fraction(setup.get("tax_rate_percent", 0)) / 100),
        "lines": [line(part, number=i) for i, part in enumerate(charged, start=1)],
        "line_amounts": [part.amount for part in charged],
        "matched_tier": matched(rungs, charged),
    }


def line(part: BandCharge, *, number: int) -> dict[str, Fraction]:
    return {
        "tier": Fraction(number),
        "quantity": part.quantity,
        "unit_total": part.amount - part.flat,
        "flat": part.flat,
        "amount": part.amount,
    }


def matched(rungs: Rungs, charged: Sequence[BandCharge]) -> int:
    """The number, from 1, of the band that charged: the one with its rate and flat amount."""
    last = charged[-1]
    alike = [step.rate == last.rate and Fraction(step.flat) == last.flat for step in rungs.steps]
    return alike.index(True) + 1 if True in alike else 0


def booked(rungs: Rungs, positions: Sequence[Fraction]) -> list[Fraction]:
    """What each run books: the cost of its cumulative quantity less what was booked before."""
    costs = [Fraction(0), *(rungs.cost(position) for position in positions)]
    return [after - before for before, after in pairwise(costs)]


def by_package(setup: Case, given: Case) -> dict[str, Any]:
    rate = setup.get("package_price") or setup["unit_amount"]
    free = [{"up_to": setup["free_units"]}] if int(setup.get("free_units", 0)) else []
    bands = [*free, {"rate": rate, "per": int(setup["package_size"])}]
    rungs = ladder("package", bands=bands).rungs(per=1)
    if "cumulative_quantities" in given:
        return {"booked_per_run": booked(rungs, given["cumulative_quantities"])}
    if "window_quantities" in given:
        return {"amount": sum(rungs.cost(quantity) for quantity in given["window_quantities"])}
    amount = rungs.cost(given["quantity"])
    return {"amount": amount, "packages": amount / Fraction(rate)}


def by_unit(setup: Case, given: Case) -> dict[str, Any]:
    if "unit_conversion" in setup:
        conversion = setup["unit_conversion"]
        bands = [{"rate": setup["unit_amount"], "per": int(conversion["factor"])}]
        amount = ladder("package", bands=bands).rungs(per=1).cost(given["raw_quantity"])
        return {"amount": amount, "billed_quantity": amount / Fraction(setup["unit_amount"])}
    if "storage_gb_month" in setup:
        parts = {
            "storage": flat_rate(setup["storage_gb_month"]).cost(given["storage_gb"]),
            "puts": flat_rate(setup["put_per_1000"], per=1000).cost(given["puts"]),
            "gets": flat_rate(setup["get_per_1000"], per=1000).cost(given["gets"]),
        }
        return {**parts, "amount": sum(parts.values()) + sum(exact(setup["data_charges"]))}
    if "unit_amount_cents" in setup:
        # Cents are whole on the invoice alone: the ladder's amount is exact, and rounded once.
        rungs = flat_rate(setup["unit_amount_cents"], cap=setup["cap_cents"])
        return {"amount_cents": round_half_away(rungs.cost(given["quantity"]))}
    return {"amount": flat_rate(setup["unit_amount"]).cost(given["quantity"])}


def by_percentage(setup: Case, given: Case) -> dict[str, Any]:
    """A percentage of the spend, and a fixed fee per event, which is a second rate on requests."""
    share = ladder("percentage", bands=[{"rate": setup["rate_percent"]}]).rungs(per=1)
    fee = flat_rate(setup.get("fixed_per_event", "0"))
    if "total" in given:
        return {"amount": share.cost(given["total"]) + fee.cost(given["event_count"])}
    values = given.get("event_values") or given["event_values_in_order"]
    sums = [sum(values[:i], Fraction(0)) for i in range(1, len(values) + 1)]
    after_each = [share.cost(spend) + fee.cost(Fraction(i)) for i, spend in enumerate(sums, 1)]
    return {"amount": after_each[-1], "amount_after_each": after_each}


def by_event(setup: Case, given: Case) -> dict[str, Any]:
    """Amounts that events carry themselves: 100 percent of the spend that was passed through."""
    assert setup["model"] == "dynamic"
    all_of_it = ladder("percentage", bands=[{"rate": "100"}]).rungs(per=1)
    if "event_amounts_cents" in given:
        values = given["event_amounts_cents"]
        sums = [sum(values[:i], Fraction(0)) for i in range(1, len(values) + 1)]
        return {"billed_cents_after_each": [round_half_away(all_of_it.cost(s)) for s in sums]}
    amount = all_of_it.cost(given["sum_of_event_amounts_cents"] / 100)
    return {"amount": amount, "effective_unit_amount": amount / given["quantity"]}


ADAPTERS: Mapping[str, Any] = {
    "graduated": by_bands,
    "volume": by_bands,
    "graduated_blocks": by_bands,
    "volume_blocks": by_bands,
    "graduated_percentage": by_bands,
    "package": by_package,
    "per_unit": by_unit,
    "unit": by_unit,
    "percentage": by_percentage,
    "dynamic": by_event,
}
