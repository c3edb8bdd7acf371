"""The yield test of the demo's documents over the measured sample."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pricing_rules.cost.factory import load_factory
from pricing_rules.cost.readers.aiconfigurator import read_silicon_sample
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.document import validate
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.rules.derivation import derive
from pricing_rules.rules.policy import Rule, load_policy
from tests.pricing_rules.rules.made_documents import EFFECTIVE_FROM, finding_ids, made_rule

DEMO = Path(__file__).resolve().parents[3] / "billing" / "cli" / "demo"


@pytest.fixture(scope="module")
def sample() -> Measurements:
    spec = importlib.util.find_spec("aiconfigurator_core")
    if spec is None or spec.origin is None:
        pytest.skip("aiconfigurator_core is not installed")
    data = (Path(spec.origin).parent / "systems" / "silicon_sample.csv").read_bytes()
    return read_silicon_sample(data, name="silicon_sample.csv")


def book(sample: Measurements, *, rules: list[Rule]) -> PriceBook:
    policy = load_policy((DEMO / "policy.yaml").read_bytes(), name="policy.yaml")
    return derive(
        load_factory((DEMO / "factory.yaml").read_bytes(), name="factory.yaml"),
        policy=policy.model_copy(update={"rules": tuple(rules)}),
        measurements=sample,
        number=1,
        effective_from=EFFECTIVE_FROM,
        inputs=(),
    )


def test_at_bare_floors_measured_requests_fall_short_where_the_fit_is_under_them(
    sample: Measurements,
) -> None:
    # A fit stands while it is at most 5 % under a measured shape, so rates at its floors may be
    # too: the yield test says where, and no rate is under its floor.
    found = book(sample, rules=[])
    assert "yield:gpt-oss-120b/standard/measured" in finding_ids(found)
    assert finding_ids(found, kind="under_floor") == []


def test_a_markup_of_what_a_fit_may_be_under_clears_every_measured_request(
    sample: Measurements,
) -> None:
    # 1/(1 - .05) - 1 = .0526: no used fit is under a measured shape by more than 5 %
    markup = made_rule("residual", then={"action": "markup", "share": "0.0527"})
    rule = validate(Rule, markup, name="rule", lines={})
    assert finding_ids(book(sample, rules=[rule]), kind="yield") == []


def test_the_demo_book_earns_every_measured_request(sample: Measurements) -> None:
    policy = load_policy((DEMO / "policy.yaml").read_bytes(), name="policy.yaml")
    assert finding_ids(book(sample, rules=list(policy.rules)), kind="yield") == []
