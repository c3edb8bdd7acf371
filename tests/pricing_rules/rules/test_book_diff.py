"""What a new book changes: each rate, by how much, and the rule, floor or measurement why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.provenance import InputDocument
from pricing_rules.rules.book_diff import BookDiff, DocumentChange, book_diff
from tests.pricing_rules.rules.made_documents import (
    card_of,
    made_book,
    made_factory,
    made_rule,
    made_service_tier,
    set_to,
)
from tests.pricing_rules.rules.read_diffs import causes, change_of, exchange, sentences

OUTPUT = {"units": ["output_tokens"]}
INPUT = {"units": ["input_tokens"]}
EU = made_rule("eu", then={"action": "region", "region": "eu", "multiply": "1.1"}, when=OUTPUT)
TIERS = [made_service_tier("batch"), made_service_tier("standard", promise=60)]


def double(factor: str = "2", *, id_: str = "double") -> Any:
    return made_rule(id_, then={"action": "multiply", "factor": factor}, when=OUTPUT)


def test_a_book_does_not_differ_from_itself() -> None:
    book = made_book(rules=[EU])
    assert book_diff(book, new=book) == BookDiff(rates=(), documents=(), unchanged=4)


def test_a_rule_that_was_changed_is_the_cause() -> None:
    diff = book_diff(made_book(rules=[set_to("10", when=OUTPUT)]),
                     new=made_book(rules=[set_to("12.5", when=OUTPUT)]))  # fmt: skip
    (change,) = diff.rates
    assert (change.model, change.service_tier, change.unit) == ("m", "standard", "output_tokens")
    assert (change.before, change.after, change.change_percent) == ("10", "12.5", "25")
    assert causes(change) == [
        ("rule", "set was set to 10, is set to 12.5: 0.515873015 -> 12.5 (why set)")
    ]
    assert (change.what, diff.unchanged, diff.documents) == ("changed", 2, ())


def test_rules_that_are_new_gone_or_in_another_order_are_causes() -> None:
    ten, add = set_to("10", when=OUTPUT), made_rule(
        "add", then={"action": "add", "per_mtok": "1"}, when=OUTPUT
    )  # fmt: skip
    new = book_diff(made_book(rules=[ten]), new=made_book(rules=[ten, double()]))
    assert sentences(new, "output_tokens") == ["double is new: x 2: 10 -> 20 (why double)"]
    gone = book_diff(made_book(rules=[ten, double()]), new=made_book(rules=[ten]))
    assert sentences(gone, "output_tokens") == ["double is gone: x 2: 10 -> 20 (why double)"]
    assert change_of(gone, "output_tokens").change_percent == "-50"
    # (10 x 2) + 1 = 21; (10 + 1) x 2 = 22
    turned = book_diff(
        made_book(rules=[ten, double(), add]), new=made_book(rules=[ten, add, double()])
    )
    assert sentences(turned, "output_tokens") == ["rules run in another order: set, add, double"]
    assert change_of(turned, "output_tokens").change_percent == "4.7619"


def test_a_rate_follows_the_rate_that_it_is_related_to() -> None:
    half = made_rule(
        "half",
        then={"action": "relate", "service_tier": "standard", "factor": "0.5"},
        when={"service_tiers": ["batch"], **OUTPUT},
    )

    def book(rate: str) -> PriceBook:
        standard = {"service_tiers": ["standard"], **OUTPUT}
        return made_book(rules=[set_to(rate, when=standard), half], service_tiers=TIERS)

    diff = book_diff(book("10"), new=book("12"))
    change = change_of(diff, "output_tokens", service_tier="batch")
    assert (change.before, change.after, change.change_percent) == ("5", "6", "20")
    assert sentences(diff, "output_tokens", service_tier="batch") == [
        "through standard/output_tokens: set was set to 10, is set to 12: 0.515873015 -> 12 "
        "(why set)"
    ]


def test_rates_that_relate_to_one_another_end() -> None:
    def book(rate: str) -> PriceBook:
        there = {"action": "relate", "service_tier": "batch", "factor": "1"}
        back = {"action": "relate", "service_tier": "standard", "factor": "1"}
        return made_book(
            service_tiers=TIERS,
            rules=[
                set_to(rate, when={"service_tiers": ["batch"], **OUTPUT}),
                made_rule("there", then=there, when={"service_tiers": ["standard"], **OUTPUT}),
                made_rule("back", then=back, when={"service_tiers": ["batch"], **OUTPUT}),
            ],
        )

    diff = book_diff(book("10"), new=book("12"))
    assert sentences(diff, "output_tokens") == [
        "through batch/output_tokens: set was set to 10, is set to 12: 0.515873015 -> 12 (why set)"
    ]


def test_a_rate_or_a_card_that_only_one_book_has_says_what_makes_it() -> None:
    with_eu = made_book(rules=[EU], service_tiers=TIERS)
    diff = book_diff(made_book(), new=with_eu)
    added = change_of(diff, "output_tokens", when="region=eu")
    assert (added.what, added.before, added.change_percent) == ("added", None, None)
    assert sentences(diff, "output_tokens", when="region=eu") == [
        "it is made by floor (start at the floor), eu (x 1.1 where region=eu), "
        "round_up (up to a multiple of 0.000001)"
    ]
    card = change_of(diff, "input_tokens", service_tier="batch")
    assert causes(card)[0] == ("card", "number 1 has no card of m/batch")
    back = book_diff(with_eu, new=made_book())
    assert {(one.what, one.after) for one in back.rates} == {("removed", None)}
    assert len(back.rates) == len(diff.rates) == 5  # three of batch, two for eu


def test_a_card_that_a_promise_takes_away_says_which() -> None:
    lost = [made_service_tier("standard", promise=60), made_service_tier("priority", promise=121)]
    kept = [made_service_tier("standard", promise=60), made_service_tier("priority", promise=120)]
    diff = book_diff(made_book(service_tiers=kept), new=made_book(service_tiers=lost))
    found = causes(change_of(diff, "output_tokens", service_tier="priority"))
    assert found[1][0] == "finding"
    assert found[1][1].startswith("m/priority has no rates: h100_sxm serves none of m in priority")


def test_ladders_change_by_their_largest_band() -> None:
    def book(last: str) -> PriceBook:
        bands = [{"up_to": 100, "multiply": "1"}, {"multiply": last}]
        then = {"action": "ladder", "id": "volume", "bands": bands}
        return made_book(rules=[set_to("10", when=OUTPUT), made_rule("l", then=then, when=OUTPUT)])

    change = change_of(book_diff(book("0.9"), new=book("0.8")), "output_tokens")
    # 9 -> 8 is -11.11 %, the first band stays
    assert change.change_percent == "-11.1111"
    assert change.before == "graduated ladder volume per 1,000,000 (up to 100: 10, above: 9)"


def test_the_same_price_per_another_quantity_is_no_change() -> None:
    book = made_book(rules=[set_to("10", when=OUTPUT)])

    def per_thousand(rate: str) -> PriceBook:
        card = card_of(book)
        rates = tuple(
            one.model_copy(update={"per": 1000, "rate": one.rate / 1000})
            if one.unit == "output_tokens" and one.rate is not None
            else one
            for one in card.rates
        )
        return book.model_copy(
            update={"rate_cards": (card.model_copy(update={"rates": rates}),), "number": 2}
        )

    assert book_diff(book, new=per_thousand("0.01")).rates == ()


def test_a_rate_without_records_is_unrecorded() -> None:
    def bare(rate: str) -> PriceBook:
        book = made_book(rules=[set_to(rate, when=OUTPUT)])
        card = card_of(book)
        rates = tuple(one.model_copy(update={"steps": ()}) for one in card.rates)
        bare_card = card.model_copy(update={"rates": rates, "cost": None, "cost_none": "imported"})
        return book.model_copy(update={"rate_cards": (bare_card,)})

    diff = book_diff(bare("1"), new=bare("2"))
    assert causes(change_of(diff, "output_tokens")) == [
        ("unrecorded", "no recorded step, floor or cost differs")
    ]
    free = book_diff(bare("0"), new=bare("2"))
    assert change_of(free, "output_tokens").change_percent is None
    added = book_diff(bare("1"), new=bare("1").model_copy(update={"rate_cards": (
        *bare("1").rate_cards,
        bare("1").rate_cards[0].model_copy(update={"service_tier": "gold"}),
    )}))  # fmt: skip
    assert causes(change_of(added, "output_tokens", service_tier="gold")) == [
        ("card", "number 1 has no card of m/gold")
    ]


def test_books_in_two_currencies_do_not_compare() -> None:
    with pytest.raises(DocumentError) as caught:
        book_diff(made_book(), new=made_book(changed=exchange("0.8"), number=2))
    assert str(caught.value) == (
        "book 2: is in EUR, the other in USD; no rate of one compares with the other's"
    )


def test_inputs_that_differ_are_listed_by_digest() -> None:
    book = made_book()
    changed = InputDocument(role="policy", name="policy.yaml", sha256="sha256:9")
    more = InputDocument(role="market", name="market.json", sha256="sha256:8")
    kept = [one for one in book.derived_from if one.role == "factory"]
    other = book.model_copy(update={"derived_from": (*kept, changed, more)})
    assert book_diff(book, new=other).documents == (
        DocumentChange(
            role="market", name="market.json", before_sha256=None, after_sha256="sha256:8"
        ),
        DocumentChange(
            role="measurement", name="made.csv", before_sha256="sha256:0", after_sha256=None
        ),
        DocumentChange(
            role="policy", name="policy.yaml", before_sha256="sha256:1", after_sha256="sha256:9"
        ),
    )


@settings(max_examples=20)  # each derives two books
@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_change_there_and_back_names_the_same_rates(before: int, after: int) -> None:
    old = made_book(rules=[set_to(f"{before}", when=OUTPUT)])
    new = made_book(rules=[set_to(f"{after}", when=OUTPUT)])
    there, back = book_diff(old, new=new), book_diff(new, new=old)
    assert [(one.unit, one.before, one.after) for one in there.rates] == [
        (one.unit, one.after, one.before) for one in back.rates
    ]
    assert bool(there.rates) == (before != after)


def test_a_factor_on_another_rate_that_stays_is_a_rule_of_its_own() -> None:
    def book(factor: str) -> PriceBook:
        then = {"action": "relate", "unit": "input_tokens", "factor": factor}
        return made_book(rules=[set_to("1", when=INPUT), made_rule("part", then=then, when=OUTPUT)])

    assert sentences(book_diff(book("4"), new=book("5")), "output_tokens") == [
        "part was 4 x the rate of input_tokens, is 5 x the rate of input_tokens: "
        "0.515873015 -> 5 (why part)"
    ]
    # Where input moved as well, both are causes.
    other = made_book(
        rules=[
            set_to("2", when=INPUT),
            made_rule("part", then={"action": "relate", "unit": "input_tokens", "factor": "5"},
                      when=OUTPUT),
        ]
    )  # fmt: skip
    assert sentences(book_diff(book("4"), new=other), "output_tokens")[1] == (
        "through standard/input_tokens: set was set to 1, is set to 2: 0.109126984 -> 2 (why set)"
    )


def test_a_card_that_is_gone_is_explained_by_findings_about_it_alone() -> None:
    tiers = [made_service_tier("standard", promise=60), made_service_tier("priority", promise=121)]
    lost = made_book(service_tiers=[*tiers, made_service_tier("ultra", promise=500)])
    kept = made_book(service_tiers=[tiers[0], made_service_tier("priority", promise=120)])
    found = causes(change_of(book_diff(kept, new=lost), "output_tokens", service_tier="priority"))
    assert [kind for kind, _ in found] == ["card", "finding", "rule"]
    assert "ultra" not in found[1][1]


def test_what_a_later_rule_overwrote_is_no_cause() -> None:
    def markup(share: str) -> Any:
        return made_rule("markup", then={"action": "markup", "share": share})

    def book(share: str, *, rate: str, usd_per_hour: str) -> PriceBook:
        return made_book(
            rules=[markup(share), set_to(rate, when=OUTPUT)],
            factory=made_factory(usd_per_hour={"h100_sxm": usd_per_hour}),
        )

    diff = book_diff(
        book("0.5", rate="10", usd_per_hour="1.80"), new=book("0.6", rate="11", usd_per_hour="2")
    )
    # The markup and the floor moved too, and neither is in the rate that is set.
    assert sentences(diff, "output_tokens") == [
        "set was set to 10, is set to 11: 0.917107584 -> 11 (why set)"
    ]
    assert len(sentences(diff, "input_tokens")) == 3  # floor, hour, markup


def test_a_floor_that_holds_a_related_rate_up_is_a_cause() -> None:
    def book(usd_per_hour: str) -> PriceBook:
        part = {"action": "relate", "unit": "input_tokens", "factor": "0.1"}
        return made_book(
            rules=[
                set_to("1", when=INPUT),
                made_rule("part", then=part, when=OUTPUT),
                made_rule("hold", then={"action": "at_least", "markup": "0"}),
            ],
            factory=made_factory(usd_per_hour={"h100_sxm": usd_per_hour}),
        )

    # .1 of input is under the floor of .515..., which holds it up and follows the hour.
    found = sentences(book_diff(book("1.80"), new=book("2")), "output_tokens")
    assert [text.split(" ")[0] for text in found] == ["floor", "h100_sxm"]
    # At an hour of .18 the floor of .0515 is under it, and says nothing.
    low = book_diff(book("0.18"), new=book("0.2"))
    assert [one.unit for one in low.rates] == ["cache_read_tokens"]


def test_a_price_point_and_a_ladder_last_through_what_overwrites_them() -> None:
    def book(step: str) -> PriceBook:
        point = made_rule("point", then={"action": "round_up_to", "step": step}, when=OUTPUT)
        return made_book(rules=[point, set_to("10.3", when=OUTPUT)])

    (sentence, last) = sentences(book_diff(book("1"), new=book("2")), "output_tokens")
    assert sentence.startswith("point was up to a multiple of 1, is up to a multiple of 2")
    assert last.startswith(
        "round_up was up to a multiple of 1, is up to a multiple of 2: 10.3 -> 12"
    )
