"""Assertions on a book against its policy: promises kept, models priced, fairness, findings.

Invariant: what a derivation left out is told by the finding that says why, with the documents
that it was derived from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, get_args

from pricing_rules.cost.unit_cost import TOKEN_UNITS
from pricing_rules.document import DocumentError
from pricing_rules.prices.price_book import PriceBook, RateCard
from pricing_rules.prices.provenance import Finding
from pricing_rules.rules.fairness import unequal_rates
from pricing_rules.rules.floors import FindingKind
from pricing_rules.rules.policy import Policy
from pricing_rules.rules.publication import NOTICE
from pricing_rules.testing.breaches import Breach, card_evidence, expect_none, input_evidence
from pricing_rules.testing.derived_rates import derived_rates
from pricing_rules.testing.met_rates import BookRates, MetRate, situations
from pricing_rules.usage.units import nearest_priced

FINDING_KINDS: Final[tuple[str, ...]] = (*get_args(FindingKind), NOTICE)
"""The kinds of findings that a book may carry."""

_LEFT_OUT: Final = ("unreachable_promise", "unmeasured", "not_served", "precision")
"""Kinds of findings on a rate card that a book does not have."""


def assert_promises_reachable(
    book: PriceBook,
    *,
    policy: Policy,
    models: Collection[str] = (),
    service_tiers: Collection[str] = (),
) -> None:
    """Each model is measured to keep each promise, on all hardware of the pool that serves it.

    ``models``, ``service_tiers``: of the policy; none named, all. A book that was derived for
    another promise than that of ``policy``, or from no measurement, is a breach.
    """
    __tracebackhide__ = True
    breaches: list[Breach] = []
    for about, model, service_tier in _sold(policy, models=models, service_tiers=service_tiers):
        card = book.card(model=model, service_tier=service_tier)
        promise = _promise(policy, service_tier=service_tier)
        found = [
            one
            for one in book.findings
            if one.kind == "unreachable_promise"
            and f"{one.id}/".startswith(f"unreachable_promise:{about}/")
        ]
        for one in found:
            sentence = f"{about} promises {promise}: {one.sentence}"
            breaches.append(Breach(sentence=sentence, evidence=_evidence(book, card=card)))
        if card is not None and card.cost is None:
            sentence = f"{about} promises {promise}, and nothing was measured for it"
            breaches.append(Breach(sentence=sentence, evidence=_evidence(book, card=card)))
        told = card.cost.promise if card and card.cost else promise
        if told != promise:
            sentence = f"{about} promises {promise}, and the book was made for: {told}"
            breaches.append(Breach(sentence=sentence, evidence=_evidence(book, card=card)))
    expect_none(breaches, claim="every promise can be kept")


def assert_every_model_priced(
    book: PriceBook,
    *,
    policy: Policy,
    models: Collection[str] = (),
    service_tiers: Collection[str] = (),
    units: Collection[str] = TOKEN_UNITS,
) -> None:
    """Each model has a rate in each service tier for each of ``units``, under every condition.

    A unit may take the rate of one that contains it, as usage does.
    """
    __tracebackhide__ = True
    found = BookRates(book)
    breaches: list[Breach] = []
    for about, model, service_tier in _sold(policy, models=models, service_tiers=service_tiers):
        card = book.card(model=model, service_tier=service_tier)
        if card is None:
            why = [
                one.sentence
                for one in book.findings
                if one.id in [f"{kind}:{about}" for kind in _LEFT_OUT]
            ]
            sentence = "; ".join(why) or f"{about} has no rate card"
            breaches.append(Breach(sentence=sentence, evidence=tuple(input_evidence(book))))
            continue
        for unit in units:
            sentence = f"{about}: has no rate of {unit}"
            if any(
                nearest_priced(unit, priced=found.met(card, situation=one).keys()) is None
                for one in situations([(book, card)])
            ):
                breaches.append(Breach(sentence=sentence, evidence=_evidence(book, card=card)))
    expect_none(breaches, claim="every model is priced in every service tier")


def assert_equal_cost_means_equal_price(book: PriceBook, *, policy: Policy) -> None:
    """Rates over equal floors are equal, or a rule says in its action or its why what for.

    The rule of the finding ``unequal_rate``: within 1 %, and within the step of price points.
    DocumentError where a card has no measured cost to be equal.
    """
    __tracebackhide__ = True
    for card in book.rate_cards:
        if card.cost is None:
            raise DocumentError(
                f"{book.series} number {book.number}",
                f"has no measured cost of {card.model} in {card.service_tier} to compare",
            )
    rates = [
        rate for card in book.rate_cards for rate in derived_rates(book, card=card, policy=policy)
    ]
    met = {rate.about: rate for rate in BookRates(book).rates()}
    expect_none(
        (
            Breach(sentence=one.sentence, rates=_rate_about(met, about=one.about))
            for one in unequal_rates(rates)
        ),
        claim="equal cost means equal price",
    )


def assert_findings_only(book: PriceBook, *, kinds: Collection[str] = ()) -> None:
    """The book has findings of these kinds only; none named, it has none.

    DocumentError for a kind that no finding has.
    """
    __tracebackhide__ = True
    unknown = sorted(set(kinds) - set(FINDING_KINDS)) if not isinstance(kinds, str) else [kinds]
    if unknown:
        listed = ", ".join(FINDING_KINDS)
        raise DocumentError("kinds", f'"{unknown[0]}" is no kind of finding; write ({listed})')
    met = {rate.about: rate for rate in BookRates(book).rates()}
    expect_none(
        (
            Breach(
                sentence=f"{one.id}: {one.sentence}",
                rates=_rate_about(met, about=_about(one)),
                evidence=() if _about(one) in met else _finding_evidence(book, finding=one),
            )
            for one in book.findings
            if one.kind not in kinds
        ),
        claim=f"the book has no findings but of {', '.join(sorted(kinds))}"
        if kinds
        else "the book has no findings",
    )


def _about(finding: Finding) -> str:
    return finding.id.removeprefix(f"{finding.kind}:")


def _rate_about(met: dict[str, MetRate], *, about: str) -> Sequence[MetRate]:
    return (met[about],) if about in met else ()


def _finding_evidence(book: PriceBook, *, finding: Finding) -> tuple[str, ...]:
    """What the card that a finding is about was measured in; else what the book rests on."""
    about = f"{_about(finding)}/"
    card = next(
        (one for one in book.rate_cards if about.startswith(f"{one.model}/{one.service_tier}/")),
        None,
    )
    return _evidence(book, card=card)


def _evidence(book: PriceBook, *, card: RateCard | None) -> tuple[str, ...]:
    return tuple(input_evidence(book) if card is None else card_evidence(card))


def _sold(
    policy: Policy, *, models: Collection[str], service_tiers: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """``model/service_tier``, model and service tier of what a policy means to sell."""
    for what, named, known in (
        ("models", models, [one.name for one in policy.models]),
        ("service_tiers", service_tiers, [one.name for one in policy.service_tiers]),
    ):
        for name in named:
            if name not in known:
                raise DocumentError(
                    f"policy {policy.series}",
                    f"has no {name} among its {what}: {', '.join(known)}",
                )
    for model in policy.models:
        for service_tier in policy.by_promise():
            if (not models or model.name in models) and (
                not service_tiers or service_tier.name in service_tiers
            ):
                about = f"{model.name}/{service_tier.name}"
                yield about, model.name, service_tier.name


def _promise(policy: Policy, *, service_tier: str) -> str:
    return next(one.text() for one in policy.service_tiers if one.name == service_tier)
