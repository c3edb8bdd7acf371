"""The demo's documents over the measured sample: three models in three service tiers."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path

import pytest

from pricing_rules.cost.factory import load_factory
from pricing_rules.cost.readers.aiconfigurator import read_silicon_sample
from pricing_rules.document import bytes_digest, canonical_json, dump
from pricing_rules.period import parse_moment
from pricing_rules.prices.price_book import PriceBook, load_price_book
from pricing_rules.prices.provenance import InputDocument, SignOff
from pricing_rules.rules.derivation import derive
from pricing_rules.rules.policy import load_policy
from pricing_rules.rules.publication import publish

DEMO = Path(__file__).resolve().parents[3] / "billing" / "cli" / "demo"
EFFECTIVE_FROM = parse_moment("2026-12-01T00:00:00Z")


@pytest.fixture(scope="module")
def book() -> PriceBook:
    spec = importlib.util.find_spec("aiconfigurator_core")
    if spec is None or spec.origin is None:
        pytest.skip("aiconfigurator_core is not installed")
    sample = (Path(spec.origin).parent / "systems" / "silicon_sample.csv").read_bytes()
    factory, policy = ((DEMO / name).read_bytes() for name in ("factory.yaml", "policy.yaml"))
    return derive(
        load_factory(factory, name="factory.yaml"),
        policy=load_policy(policy, name="policy.yaml"),
        measurements=read_silicon_sample(sample, name="silicon_sample.csv"),
        number=1,
        effective_from=EFFECTIVE_FROM,
        inputs=(
            InputDocument(role="factory", name="factory.yaml", sha256=bytes_digest(factory)),
            InputDocument(role="policy", name="policy.yaml", sha256=bytes_digest(policy)),
            InputDocument(
                role="measurement", name="silicon_sample.csv", sha256=bytes_digest(sample)
            ),
        ),
    )


def test_three_models_are_sold_in_three_service_tiers(book: PriceBook) -> None:
    assert [(card.model, card.service_tier) for card in book.rate_cards] == [
        (model, service_tier)
        for model in ("gpt-oss-120b", "MiniMax-M2.5", "Llama-3.1-70B")
        for service_tier in ("batch", "standard", "priority")
    ]
    assert book.thresholds_tokens == (8193,)


def test_no_rate_is_under_its_floor_and_chains_connect(book: PriceBook) -> None:
    assert not [finding for finding in book.findings if finding.kind == "under_floor"]
    for card in book.rate_cards:
        assert card.cost is not None
        floors = {floor.unit: floor.floor for floor in card.cost.floors}
        for entry in card.rates:
            rates = [band.rate for band in entry.ladder.bands] if entry.ladder else [entry.rate]
            assert all(rate is not None and rate >= floors[entry.unit] for rate in rates)
            assert all(left.after == right.before for left, right in pairwise(entry.steps))


def test_every_card_rests_on_rows_of_the_sample(book: PriceBook) -> None:
    (sample,) = (one for one in book.derived_from if one.role == "measurement")
    for card in book.rate_cards:
        assert card.cost is not None
        sources = [
            point.source
            for hardware in card.cost.hardware
            for shape in hardware.shapes
            for point in shape.points
        ]
        assert {source.sha256 for source in sources} == {sample.sha256}
        assert all(2 <= row <= 5222 for source in sources for row in source.rows)


def test_hardware_that_is_not_measured_to_keep_100_tokens_per_second_is_told(
    book: PriceBook,
) -> None:
    assert [finding.id for finding in book.findings if finding.kind == "unreachable_promise"] == [
        "unreachable_promise:Llama-3.1-70B/priority/h100_sxm",
        "unreachable_promise:MiniMax-M2.5/priority/h100_sxm",
    ]


def test_signed_off_the_book_is_published_and_read_back(book: PriceBook) -> None:
    sign_offs = [
        SignOff(finding=finding.id, by="ada", reason="known, and small beside the markup")
        for finding in book.findings
    ]
    published = publish(
        book,
        published_at=parse_moment("2026-11-25T12:00:00Z"),
        sign_offs=sign_offs,
        previous=None,
    )
    data = canonical_json(dump(published))
    assert load_price_book(data, name="book.json") == published
