"""Reading capacity plans: what cannot be met, has no limit or is ambiguous is one sentence."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.planning.capacity_plan import load_capacity_plan
from pricing_rules.planning.capacity_report import capacity_report
from tests.pricing_rules.planning.made_planning import example, made_plan, plan_document, served


def refusal(*service_tiers: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(DocumentError) as found:
        made_plan(*service_tiers, **fields)
    return str(found.value)


def test_minima_over_the_site_are_listed() -> None:
    minima = [served("free", minimum_mw="600"), served("premium", minimum_mw="500.5")]
    assert refusal(*minima).endswith(
        "site_mw: the minima need 1100.5 MW (free 600 MW, premium 500.5 MW) of a site of 1000 MW; "
        "lower one of them"
    )


@pytest.mark.parametrize("site_mw, fits", [("1100", True), ("1099.9", False)])
def test_minima_that_fill_the_site_exactly_fit(site_mw: str, fits: bool) -> None:
    minima = [served("free", minimum_mw="600"), served("premium", minimum_mw="500")]
    if fits:
        made_plan(*minima, site_mw=site_mw)
    else:
        assert "the minima need 1100 MW" in refusal(*minima, site_mw=site_mw)


@pytest.mark.parametrize("minimum_mw, fits", [("100", True), ("100.1", False)])
def test_a_minimum_is_at_most_what_the_demand_takes(minimum_mw: str, fits: bool) -> None:
    # 20M tokens/s at .2M tokens/s/MW are 100 MW.
    one = served("premium", demand_tokens_per_s="20000000", minimum_mw=minimum_mw)
    if fits:
        made_plan(one)
    else:
        assert refusal(one).endswith(
            "service_tiers[0].minimum_mw: the minimum of premium, 100.1 MW, is more than the "
            "100 MW that its demand takes; lower one or raise the other"
        )


def test_a_model_class_that_cannot_reach_its_share_is_named() -> None:
    one = served("premium", demand_tokens_per_s="20000000", model_class="closed")
    made_plan(one, classes={"closed": "0.1"})
    assert refusal(one, classes={"closed": "0.11"}).endswith(
        "model_classes[0].minimum_share: closed must have 110 MW, but all demand of premium takes "
        "100 MW; lower the share"
    )
    assert "closed must have 110 MW, but no service tier names it" in refusal(
        served("premium"), classes={"closed": "0.11"}
    )


def test_shares_of_model_classes_and_minima_count_together() -> None:
    # Open takes max(200 of its share, 300 of its minimum); with closed's 600 that is 900 of 1,000.
    service_tiers = [
        served("medium", model_class="open", minimum_mw="300"),
        served("premium", model_class="closed"),
    ]
    classes = {"open": "0.2", "closed": "0.6"}
    made_plan(*service_tiers, served("free", minimum_mw="100"), classes=classes)
    assert (
        "the minima need 1001 MW (free 101 MW, model class open 300 MW, model class closed 600 MW)"
        in refusal(*service_tiers, served("free", minimum_mw="101"), classes=classes)
    )


def test_a_plan_without_a_limit_is_refused_and_says_who_has_none() -> None:
    assert refusal(served("free"), served("premium"), site_mw=None).endswith(
        "service_tiers[1]: the plan has no limit: premium earns on every further MW and its demand "
        "is not stated; state site_mw or its demand_tokens_per_s"
    )
    # Free earns nothing by a MW, so it is no limit that is missing.
    made_plan(served("free"), site_mw=None)


def test_a_share_of_the_site_needs_a_site() -> None:
    one = served("premium", model_class="closed", demand_tokens_per_s="1")
    assert "model_classes: a share of the site needs site_mw" in refusal(
        one, classes={"closed": "0.1"}, site_mw=None
    )


def test_a_margin_needs_every_cost() -> None:
    assert "service_tiers[0]: premium has no cost_usd_per_mtok" in refusal(
        served("premium"), objective="margin"
    )
    made_plan(served("premium", cost_usd_per_mtok="1"), objective="margin")


def test_names_are_of_one_thing() -> None:
    assert 'service_tiers[1].name: "free" stands twice' in refusal(served("free"), served("free"))
    assert 'service_tiers[0].model_class: "open" is not among model_classes' in refusal(
        served("free", model_class="open")
    )


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"site_mw": 1000}, "plan.yaml:1 site_mw: "),
        ({"service_tiers": []}, "plan.yaml:1 service_tiers: "),
        ({"objective": "both"}, "plan.yaml:1 objective: "),
        ({"vendor": "x"}, "plan.yaml:1 vendor: unknown field"),
    ],
)
def test_a_plan_of_another_form_is_refused_with_its_path(
    changed: dict[str, Any], said: str
) -> None:
    value = {**plan_document(served("free")), **changed}
    with pytest.raises(DocumentError) as found:
        load_capacity_plan(json.dumps(value).encode(), name="plan.yaml")
    assert str(found.value).startswith(said)


@pytest.mark.parametrize(
    "name, billions",
    [("gtc_2026_rubin_split.yaml", "141.912"), ("gtc_2026_rubin_demand.yaml", "149.48064")],
)
def test_the_examples_load_and_give_the_figures_that_they_say(name: str, billions: str) -> None:
    report = capacity_report(load_capacity_plan(example(name), name=name))
    assert report.revenue_usd_per_year == Decimal(billions) * 10**9
    assert report.schema_ == "tokenworks.capacity-report/1"
    assert b"not verified" in example(name)
