"""The rules engine: factory, policy and measurements in, a candidate price book out.

Invariant: the same documents give the same book, byte for byte, in whatever order points and
hardware come; what a person must know before it is published stands in its findings, and no rate
was changed but by the floor and the rules, each of which it names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from pricing_rules.cost.factory import Factory
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.cost.shape_fit import MeanShape
from pricing_rules.document import DocumentError, JsonValue, dump, path_text, validate
from pricing_rules.money import decimal_text
from pricing_rules.period import moment_text
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.provenance import InputDocument
from pricing_rules.rules.card_cost import card_cost, flagged_points, weak_spots
from pricing_rules.rules.fairness import unequal_rates
from pricing_rules.rules.floors import CardFloors, Found, floors_of
from pricing_rules.rules.guard_rails import (
    cached_over_input,
    changed_too_much,
    out_of_order,
    stale_markets,
    subsidised_yields,
    too_close,
    under_floors,
)
from pricing_rules.rules.idle_use import idle_findings
from pricing_rules.rules.market import Market, check_markets
from pricing_rules.rules.matching import ambiguous_rates
from pricing_rules.rules.past_usage import (
    check_mixes,
    entries_of,
    mean_request,
    window_findings,
)
from pricing_rules.rules.policy import Policy, policy_faults
from pricing_rules.rules.policy_check import finding_of, floor_clashes
from pricing_rules.rules.rate_chain import (
    ChainStep,
    DerivedRate,
    UnmetRule,
    run_rules,
    start_at_floor,
)
from pricing_rules.rules.rule_reach import overwritten, traces_of_rates
from pricing_rules.rules.yield_check import card_yields, yield_findings
from pricing_rules.usage.mix import UsageMix


def derive(
    factory: Factory,
    *,
    policy: Policy,
    measurements: Measurements,
    number: int,
    effective_from: int,
    inputs: Sequence[InputDocument],
    mixes: Sequence[UsageMix] = (),
    markets: Sequence[Market] = (),
    previous: PriceBook | None = None,
) -> PriceBook:
    """The candidate book: for each model and service tier, floors, then the policy's rules in
    order.

    ``number`` and ``effective_from`` (microseconds UTC) are the book's own; ``inputs`` name the
    files that the arguments were read from. ``mixes``: what each account was served in the last 28
    days, which must earn its floor too; the mean request of all of them on a card is held against
    the measured shapes as the reference shape is.
    ``markets``: the snapshots that rules anchor to. ``previous``: the book before of the series,
    which guard rails hold the changes against.

    A card whose promise no hardware is measured to keep is left out, with a finding. Every finding
    has a stable id, ``kind:what``, which a sign-off names. Raises DocumentError for a policy that
    names what it or the factory does not have, for a market in another currency, for usage that
    stands in two mixes, and where no card is left at all.
    """
    for path, sentence in policy_faults(policy):
        raise DocumentError(f"policy {path_text(path)}", sentence)
    check_mixes(mixes)
    cards, found = floors_of(factory, policy=policy, points=measurements.points, mixes=mixes)
    if not cards:
        reasons = "; ".join(one.sentence for one in found)
        raise DocumentError("policy", f"no model can be sold in any service tier: {reasons}")
    check_markets(markets, currency=policy.currency)
    run = run_rules(
        (rate for card in cards for rate in _at_floor(card, policy=policy)),
        policy=policy,
        markets=markets,
    )
    findings = (
        *found,
        *_measured(cards, measurements=measurements),
        *_weak(cards, policy=policy, dated_at=effective_from, mixes=mixes),
        *map(_unmet, run.unmet),
        *_of_rates(run.rates, policy=policy, previous=previous, effective_from=effective_from),
        *stale_markets(markets, policy=policy, effective_from=effective_from),
        *window_findings(mixes, policy=policy, effective_from=effective_from),
        *subsidised_yields(
            yield_findings(card_yields(cards, rates=run.rates, policy=policy, mixes=mixes)),
            rates=run.rates,
            policy=policy,
            effective_from=effective_from,
        ),
        *idle_findings(cards, factory=factory, mixes=mixes),
    )
    value: JsonValue = {
        "schema": "tokenworks.price-book/1",
        "series": policy.series,
        "number": number,
        "currency": policy.currency,
        "effective_from": moment_text(effective_from),
        **_stated(policy),
        "dimensions": policy.dimensions(),
        "windows": {name: dump(window) for name, window in policy.priced_windows().items()},
        "rate_cards": [_card(card, rates=run.rates, policy=policy) for card in cards],
        "derived_from": [dump(one) for one in sorted(inputs, key=lambda i: (i.role, i.name))],
        "findings": _findings(findings),
    }
    return validate(PriceBook, value, name="candidate", lines={})


def _stated(policy: Policy) -> dict[str, JsonValue]:
    """What a book carries of its policy, where the policy says it."""
    notice = policy.guard_rails.notice_days_at_least
    return {
        **({"exchange": dump(policy.exchange)} if policy.exchange else {}),
        **({"notice_days_at_least": notice} if notice else {}),
    }


def _at_floor(card: CardFloors, *, policy: Policy) -> Iterator[DerivedRate]:
    for unit, standing in card.floors.items():
        raised = f", raised to that of {standing.raised_by}" if standing.raised_by else ""
        yield start_at_floor(
            policy.converted(standing.usd_per_mtok),
            model=card.model.name,
            service_tier=card.service_tier.name,
            unit=unit,
            why=f"the {standing.own.floor.kind} floor of the pool {card.pool.name}{raised}",
        )


def _weak(
    cards: Iterable[CardFloors],
    *,
    policy: Policy,
    dated_at: int,
    mixes: Sequence[UsageMix],
) -> Iterator[Found]:
    """What the cards rest on that a person should doubt."""
    for card in cards:
        yield from weak_spots(
            card,
            requests=_requests(card, policy=policy, mixes=mixes),
            dated_at=dated_at,
            age_days=policy.guard_rails.measurement_age_days_at_most,
        )


def _of_rates(
    rates: Sequence[DerivedRate],
    *,
    policy: Policy,
    previous: PriceBook | None,
    effective_from: int,
) -> Iterator[Found]:
    """What finished rates break: floors, guard rails, fairness, and rules without an effect."""
    yield from under_floors(rates, policy=policy, effective_from=effective_from)
    yield from cached_over_input(rates)
    yield from out_of_order(rates, policy=policy)
    yield from too_close(rates, policy=policy)
    if previous is not None:
        yield from changed_too_much(rates, policy=policy, previous=previous)
    yield from floor_clashes(rates, policy=policy)
    yield from overwritten(traces_of_rates(rates, policy=policy), policy=policy)
    yield from ambiguous_rates(
        rates, windows=policy.priced_windows(), effective_from=effective_from
    )
    yield from unequal_rates(rates)


def _requests(
    card: CardFloors, *, policy: Policy, mixes: Sequence[UsageMix]
) -> dict[str, MeanShape]:
    shape = policy.reference_shape
    requests = {
        "reference_shape": MeanShape(
            fresh_input_tokens=shape.input_tokens,
            cache_read_tokens=0,
            output_tokens=shape.output_tokens,
        )
    }
    past = entries_of(mixes, model=card.model.name, service_tier=card.service_tier.name)
    if past:
        requests["usage_mix"] = mean_request(past)
    return requests


def _measured(cards: Sequence[CardFloors], *, measurements: Measurements) -> Iterator[Found]:
    """What of all measurements floors do not rest on, and what they rest on with a flag."""
    yield from flagged_points(cards)
    counts = sorted(Counter(row.kind for row in measurements.refused).items())
    if counts:
        total = sum(count for _, count in counts)
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts)
        yield Found(
            kind="refused_rows",
            about="measurements",
            sentence=f"no cost rests on {total} measured rows that were refused: {kinds}",
        )


def _unmet(rule: UnmetRule) -> Found:
    about = f"{rule.rule}/{rule.about}" if rule.about else rule.rule
    return Found(kind="rule_unmet", about=about, sentence=f"the rule {rule.rule} {rule.sentence}")


def _findings(found: Iterable[Found]) -> list[JsonValue]:
    dumped: list[JsonValue] = [dump(finding_of(one)) for one in found]
    return sorted(dumped, key=lambda one: (one["id"], one["sentence"]))


def _card(
    card: CardFloors, *, rates: Iterable[DerivedRate], policy: Policy
) -> dict[str, JsonValue]:
    own = [
        rate
        for rate in rates
        if (rate.model, rate.service_tier) == (card.model.name, card.service_tier.name)
    ]
    order: dict[str, int] = {unit: i for i, unit in enumerate(card.floors)}
    own.sort(key=lambda rate: (order[rate.unit], rate.when.specificity(), rate.when.text()))
    return {
        "model": card.model.name,
        "service_tier": card.service_tier.name,
        "rates": [_entry(rate) for rate in own],
        "cost": card_cost(card, policy=policy),
    }


def _entry(rate: DerivedRate) -> dict[str, JsonValue]:
    entry: dict[str, JsonValue] = {
        "unit": rate.unit,
        "when": dump(rate.when),
        "steps": [_step(step) for step in rate.steps],
    }
    if rate.ladder is None:
        entry["rate"] = decimal_text(rate.rate)
    else:
        entry["ladder"] = {
            "id": rate.ladder.id,
            "kind": rate.ladder.kind,
            "bands": [_band(band.rate, up_to=band.up_to) for band in rate.bands],
        }
    return entry


def _band(rate: Decimal, *, up_to: Decimal | None) -> dict[str, JsonValue]:
    bound = {} if up_to is None else {"up_to": decimal_text(up_to)}
    return {**bound, "rate": decimal_text(rate)}


def _step(step: ChainStep) -> dict[str, JsonValue]:
    before = {} if step.before is None else {"before": decimal_text(step.before)}
    related = {}
    if step.related is not None:
        related = {"related_service_tier": step.related[0], "related_unit": step.related[1]}
    return {
        "rule": step.rule,
        "action": step.action,
        **before,
        "after": decimal_text(step.after),
        "why": step.why,
        **related,
    }
