"""Guard rails and subsidies: below, at and above each, and what a policy may not say of them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.document import DocumentError, dump, validate
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.rules.limits import GuardRails, percent_text
from tests.pricing_rules.rules.made_documents import (
    finding_ids,
    made_book,
    made_policy,
    made_rule,
    made_service_tier,
    policy_document,
    rate_of,
    set_to,
)

INPUT = {"units": ["input_tokens"]}
OUTPUT = {"units": ["output_tokens"]}


def sentence(book: PriceBook, id_: str) -> str:
    return next(finding.sentence for finding in book.findings if finding.id == id_)


def guarded(**rails: Any) -> dict[str, Any]:
    return {"guard_rails": rails}


def ladder(*bands: tuple[int | None, str], id_: str = "volume") -> Any:
    written = [
        {"multiply": multiply} | ({"up_to": up_to} if up_to else {}) for up_to, multiply in bands
    ]
    return made_rule(id_, then={"action": "ladder", "id": id_, "bands": written}, when=OUTPUT)


# The largest change.

CHANGE = "largest_change:m/standard/output_tokens"


@pytest.mark.parametrize(
    "rate, found, said",
    [
        ("7.99", True, "7.99 is a change by -20.1 % against the 10 of number 1; one revision"),
        ("8", False, ""),
        ("12", False, ""),
        ("12.01", True, "12.01 is a change by 20.1 % against the 10 of number 1; one revision"),
    ],
)
def test_a_change_over_the_largest_is_a_finding(rate: str, found: bool, said: str) -> None:
    before = made_book(rules=[set_to("10", when=OUTPUT)])
    book = made_book(
        rules=[set_to(rate, when=OUTPUT)],
        changed=guarded(largest_change=[{"share": "0.20"}]),
        previous=before,
        number=2,
    )
    assert finding_ids(book) == ([CHANGE] if found else [])
    if found:
        assert said in sentence(book, CHANGE)
        assert sentence(book, CHANGE).endswith("changes it by 20 % at most")


def test_a_unit_may_have_a_change_of_its_own() -> None:
    rules = [set_to("1", when=INPUT, id_="in"), set_to("10", when=OUTPUT)]
    higher = [set_to("1.15", when=INPUT, id_="in"), set_to("11.5", when=OUTPUT)]
    rails = guarded(
        largest_change=[{"share": "0.20"}, {"units": ["output_tokens"], "share": "0.1"}]
    )
    book = made_book(rules=higher, changed=rails, previous=made_book(rules=rules))
    # Both by 15 %: under 20 % for input, over 10 % for output.
    assert finding_ids(book) == [CHANGE]
    only = guarded(largest_change=[{"units": ["output_tokens"], "share": "0.1"}])
    assert finding_ids(made_book(rules=higher, changed=only, previous=made_book(rules=rules))) == [
        CHANGE
    ]


def test_a_rate_that_was_free_may_not_become_dear_unseen() -> None:
    free = made_book(rules=[set_to("0", when=OUTPUT)])
    rails = guarded(largest_change=[{"share": "9"}])
    book = made_book(rules=[set_to("10", when=OUTPUT)], changed=rails, previous=free)
    assert "10 is a change by from free against the 0 of number 1" in sentence(book, CHANGE)
    still = made_book(rules=[set_to("0", when=OUTPUT)], changed=rails, previous=free)
    assert finding_ids(still, kind="largest_change") == []


def test_a_rate_on_a_new_card_has_not_changed() -> None:
    two = [made_service_tier("standard", promise=60), made_service_tier("priority", promise=120)]
    book = made_book(
        rules=[set_to("10", when=OUTPUT)],
        service_tiers=two,
        changed=guarded(largest_change=[{"share": "0"}]),
        previous=made_book(rules=[set_to("10", when=OUTPUT)]),
    )
    assert finding_ids(book, kind="largest_change") == []


def test_a_unit_that_the_card_before_had_no_rate_for_has_not_changed() -> None:
    document = dump(made_book())
    rates = document["rate_cards"][0]["rates"]
    document["rate_cards"][0]["rates"] = [one for one in rates if one["unit"] != "output_tokens"]
    before = validate(PriceBook, document, name="book.json", lines={})
    rails = guarded(largest_change=[{"share": "0"}])
    book = made_book(rules=[set_to("10", when={})], changed=rails, previous=before)
    assert finding_ids(book, kind="largest_change") == [
        "largest_change:m/standard/cache_read_tokens", "largest_change:m/standard/input_tokens",
    ]  # fmt: skip


def region(multiply: str) -> Any:
    then = {"action": "region", "region": "eu", "multiply": multiply}
    return made_rule("eu", then=then, when=OUTPUT)


@pytest.mark.parametrize("multiply, found", [("1.19", False), ("1.2", False), ("1.21", True)])
def test_a_rate_of_a_new_condition_changes_what_its_requests_met_before(
    multiply: str, found: bool
) -> None:
    plain = made_book(rules=[set_to("10", when=OUTPUT)])
    rails = guarded(largest_change=[{"share": "0.20"}])
    rules = [set_to("10", when=OUTPUT), region(multiply)]
    book = made_book(rules=rules, changed=rails, previous=plain)
    ids = finding_ids(book, kind="largest_change")
    assert ids == ([f"{CHANGE}/region=eu"] if found else [])
    if found:
        assert "region=eu: 12.1 is a change by 21 % against the 10" in sentence(book, ids[0])


def test_a_rate_that_is_gone_leaves_its_requests_to_the_rate_without_its_condition() -> None:
    # In eu it was 5, and is 10 again, as everywhere.
    before = made_book(rules=[set_to("10", when=OUTPUT), region("0.5")])
    rails = guarded(largest_change=[{"share": "0.20"}])
    book = made_book(rules=[set_to("10", when=OUTPUT)], changed=rails, previous=before)
    assert finding_ids(book, kind="largest_change") == [f"{CHANGE}/region=eu"]
    assert "10 is a change by 100 % against the 5" in sentence(book, f"{CHANGE}/region=eu")


def test_a_multiplier_of_the_book_before_is_in_what_its_requests_met() -> None:
    # Written as a multiplier of 1.5 on 10, and now as a rate of 15: nothing changed.
    multiplier = {"id": "eu", "factor": "1.5", "when": {"region": "eu"}}
    document = dump(made_book(rules=[set_to("10", when=OUTPUT), ladder((9, "1"), (None, "0.8"))]))
    before = validate(PriceBook, {**document, "multipliers": [multiplier]}, name="b", lines={})
    rails = guarded(largest_change=[{"units": ["output_tokens"], "share": "0"}])

    def changes(multiply: str) -> list[str]:
        rules = [set_to("10", when=OUTPUT), ladder((9, "1"), (None, "0.8")), region(multiply)]
        return finding_ids(
            made_book(rules=rules, changed=rails, previous=before), kind="largest_change"
        )

    assert changes("1.5") == []
    assert changes("1.51") == [f"{CHANGE}/region=eu"]


def test_ladders_change_band_by_band_or_at_their_ends() -> None:
    def change(before: Any, *, after: Any) -> list[str]:
        base = set_to("10", when=OUTPUT)
        book = made_book(
            rules=[base, after],
            changed=guarded(largest_change=[{"share": "0.10"}]),
            previous=made_book(rules=[base, before]),
        )
        return finding_ids(book, kind="largest_change")

    # 10 and 9 -> 10 and 8: the second band by 11.1 %
    assert change(ladder((100, "1"), (None, ".9".rjust(3, "0"))),
                  after=ladder((100, "1"), (None, "0.8"))) == [CHANGE]  # fmt: skip
    # Other bounds: the lowest, 9 -> 9, and the highest, 10 -> 10.
    assert change(ladder((100, "1"), (None, "0.9")), after=ladder((200, "1"), (None, "0.9"))) == []


def test_a_book_of_another_series_is_not_the_one_before() -> None:
    other = made_book().model_copy(update={"series": "other"})
    with pytest.raises(DocumentError) as caught:
        made_book(previous=other)
    assert str(caught.value) == (
        "previous: is other in USD, and the policy makes made in USD; give the book before of the "
        "same series"
    )


# The spread of service tiers.


@pytest.mark.parametrize("fast, found", [("2.49", True), ("2.5", False), ("2.51", False)])
def test_a_faster_service_tier_lies_over_the_next_slower_by_the_spread(
    fast: str, found: bool
) -> None:
    def only(name: str) -> dict[str, Any]:
        return {"service_tiers": [name], **OUTPUT}

    book = made_book(
        service_tiers=[
            made_service_tier("batch"), made_service_tier("standard", promise=60),
            made_service_tier("priority", promise=120),
        ],
        rules=[
            # priority is held against standard at 2, not against batch at 1.99 below it
            set_to("0.8", when=only("batch"), id_="batch"),
            set_to("2", when=only("standard"), id_="standard"),
            set_to(fast, when=only("priority"), id_="priority"),
        ],
        changed=guarded(service_tier_spread_at_least="0.25"),
    )  # fmt: skip
    ids = [one for one in finding_ids(book, kind="service_tier_spread") if "output" in one]
    id_ = "service_tier_spread:m/priority/output_tokens"
    assert ids == ([id_] if found else [])
    if found:
        assert sentence(book, id_) == (
            "m/priority/output_tokens: 2.49 is not 25 % over the 2 of the next slower service tier "
            "standard"
        )


# Subsidies.

SUBSIDY = {
    "id": "trial",
    "owner": "Dana",
    "reason": "to be tried",
    "ends_at": "2027-07-01T00:00:00Z",
    "budget": {"amount": "250000", "per": "year"},
    "covers": "service_tier == 'standard' && unit == 'output_tokens'",
}
FREE = set_to("0", when={})


def subsidised(*subsidies: dict[str, Any]) -> PriceBook:
    return made_book(rules=[FREE], changed={"subsidies": list(subsidies)})


def test_a_rate_under_its_floor_that_a_subsidy_covers_names_who_pays_and_until_when() -> None:
    book = subsidised(SUBSIDY)
    assert finding_ids(book, kind="yield") == ["yield:m/standard/measured"]
    assert finding_ids(book, kind="subsidised") == ["subsidised:m/standard/output_tokens"]
    assert sentence(book, "subsidised:m/standard/output_tokens") == (
        "m/standard/output_tokens: the rate 0 is under the floor 0.515873015; the subsidy trial of "
        "Dana (to be tried) pays up to 250000 USD a year until 2027-07-01T00:00:00Z"
    )
    # What it does not cover stays under its floor.
    assert finding_ids(book, kind="under_floor") == [
        "under_floor:m/standard/cache_read_tokens", "under_floor:m/standard/input_tokens",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "ends_at, covered",
    # The book is in force from 2026-12-01T00:00:00Z.
    [
        ("2026-11-30T23:59:59Z", False),
        ("2026-12-01T00:00:00Z", False),
        ("2026-12-01T00:00:01Z", True),
    ],
)
def test_a_subsidy_that_has_ended_covers_nothing_any_more(ends_at: str, covered: bool) -> None:
    book = subsidised({**SUBSIDY, "ends_at": ends_at})
    under = "under_floor:m/standard/output_tokens"
    assert (under not in finding_ids(book)) == covered
    if not covered:
        assert sentence(book, under).endswith(f"; the subsidy trial ended at {ends_at}")


def test_the_first_subsidy_that_covers_a_rate_and_has_not_ended_pays() -> None:
    ended = {**SUBSIDY, "id": "old", "ends_at": "2026-11-01T00:00:00Z"}
    welcome = {key: value for key, value in SUBSIDY.items() if key != "covers"}
    credits = {**welcome, "id": "welcome", "welcome_credits": True}
    book = subsidised(credits, ended, SUBSIDY, {**SUBSIDY, "id": "late"})
    found = sentence(book, "subsidised:m/standard/output_tokens")
    assert "; the subsidy trial of Dana" in found
    assert "late" not in found


def test_a_shortfall_of_requests_is_paid_where_each_rate_under_its_floor_is() -> None:
    everything = {**SUBSIDY, "covers": {}}
    book = subsidised(everything)
    assert finding_ids(book, kind="yield") == []
    assert sentence(book, "subsidised:m/standard/measured").startswith(
        "m/standard: 2 of 2 measured requests earn less than their floor; "
    )
    assert sentence(book, "subsidised:m/standard/measured").endswith(
        "; the subsidy trial of Dana (to be tried) pays up to 250000 USD a year until "
        "2027-07-01T00:00:00Z"
    )
    ended = subsidised({**everything, "ends_at": "2026-11-01T00:00:00Z"})
    assert finding_ids(ended, kind="yield") == ["yield:m/standard/measured"]
    assert finding_ids(ended, kind="subsidised") == []


def test_a_rate_over_its_floor_needs_no_subsidy() -> None:
    assert finding_ids(made_book(changed={"subsidies": [SUBSIDY]})) == []


def test_a_predicate_of_a_subsidy_that_has_no_value_is_named() -> None:
    policy = {"subsidies": [{**SUBSIDY, "covers": "unit == '' || 1 / request_tokens_at_least > 0"}]}
    with pytest.raises(DocumentError) as caught:
        made_book(rules=[FREE], changed=policy)
    assert "policy.yaml:1 subsidies[0].covers: has no value for m/standard/input_" in str(
        caught.value
    )
    # At a context step of 8,192 the load saw no fault, and the derivation does.
    step = {"action": "context_step", "request_tokens_at_least": 8192, "multiply": "1"}
    late = "request_tokens_at_least > 0 && 1 / (request_tokens_at_least - 8192) > 0"
    with pytest.raises(DocumentError) as caught:
        made_book(
            rules=[FREE, made_rule("step", then=step, when=OUTPUT)],
            changed={"subsidies": [{**SUBSIDY, "covers": late}]},
        )
    assert str(caught.value) == (
        'policy subsidy "trial" covers: has no value for m/standard/output_tokens: divide by zero'
    )


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"subsidies": [{**SUBSIDY, "covers": None}]}, "subsidies[0]: covers nothing; name rates"),
        ({"subsidies": [SUBSIDY, SUBSIDY]}, 'subsidies[1].id: "trial" stands twice; keep one'),
        (
            {"subsidies": [{**SUBSIDY, "budget": {"amount": "0", "per": "year"}}]},
            'subsidies[0].budget.amount: must be above 0, not "0"',
        ),
        ({"subsidies": [{**SUBSIDY, "covers": {"models": ["n"]}}]}, '"n" is not among models'),
        (
            guarded(largest_change=[{"share": "0.1"}, {"share": "0.2"}]),
            "guard_rails: largest_change names every unit twice; keep one",
        ),
        (
            guarded(largest_change=[
                {"units": ["input_tokens"], "share": "0.1"},
                {"units": ["output_tokens", "input_tokens"], "share": "0.2"},
            ]),
            "largest_change names input_tokens twice",
        ),
        (guarded(notice_days_at_least=0), "guard_rails.notice_days_at_least"),
    ],
)  # fmt: skip
def test_a_limit_that_says_nothing_or_two_things_is_refused(
    changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        made_policy(changed=changed)
    assert said in str(caught.value)


def test_without_guard_rails_nothing_is_asked() -> None:
    assert GuardRails().change_at_most("input_tokens") is None
    assert policy_document().get("guard_rails") is None
    assert rate_of(made_book(previous=made_book(rules=[FREE])), "output_tokens") != "0"


def test_a_share_in_percent_is_cut_not_rounded() -> None:
    # 2/3 is 66.66666... %; a millionth part is .0001 %, and less shows as 0
    assert [percent_text(Fraction(n, d)) for n, d in ((2, 3), (-2, 3), (1, 4), (1, 10**6))] == [
        "66.6666", "-66.6666", "25", "0.0001",
    ]  # fmt: skip
    assert percent_text(Fraction(1, 10**7)) == "0"
