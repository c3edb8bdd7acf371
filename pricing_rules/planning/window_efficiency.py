"""One window's efficiency, from what its document states and what measurements say of the rest.

Invariant: what a document states stands, what it leaves out is computed or refused by name, and
each factor says which of the two it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

from pricing_rules.cost.accelerator_hour import accelerator_hour
from pricing_rules.cost.factory import Factory, Pool
from pricing_rules.cost.measurement import OperatingPoint
from pricing_rules.document import DocumentError
from pricing_rules.planning.efficiency import (
    SECONDS_PER_HOUR,
    Efficiency,
    Factors,
    OutputEquivalents,
    counted_factors,
    efficiency,
)
from pricing_rules.planning.efficiency_document import EfficiencyDocument, Tokens
from pricing_rules.planning.frontiers import ServedAs, frontier_rate, served_as
from pricing_rules.rules.floors import CardFloors, Found, floors_of
from pricing_rules.rules.policy import Policy

_UNABLE: Final = ("unreachable_promise", "unmeasured", "not_served", "precision")
"""The findings that say why a hardware, or all of a pool, serves nothing of a card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the factory pays, what the policy promises and what was measured, and what follows:
    floors, and why some hardware serves nothing of a card.
    """

    factory: Factory
    policy: Policy
    points: tuple[OperatingPoint, ...]
    cards: tuple[CardFloors, ...]
    unable: tuple[Found, ...]

    def served(self, document: EfficiencyDocument) -> ServedAs:
        """The document's model in its service tier; DocumentError where the policy has it not."""
        return self.served_as(model=document.model, service_tier=document.service_tier)

    def served_as(self, *, model: str, service_tier: str) -> ServedAs:
        """A model of the policy in a service tier; DocumentError where the policy has it not."""
        models = {one.name: one for one in self.policy.models}
        service_tiers = {one.name: one for one in self.policy.service_tiers}
        for key, name, known in (
            ("model", model, models),
            ("service_tier", service_tier, service_tiers),
        ):
            if name not in known:
                listed = ", ".join(known)
                raise DocumentError(key, f'"{name}" is not in the policy; write one of {listed}')
        return served_as(
            self.factory,
            model=models[model],
            service_tier=service_tiers[service_tier],
        )

    def card(self, document: EfficiencyDocument) -> CardFloors:
        """The document's card; DocumentError where no hardware is measured to keep its promise."""
        self.served(document)
        for card in self.cards:
            if (card.model.name, card.service_tier.name) == (document.model, document.service_tier):
                return card
        about = f"{document.model}/{document.service_tier}"
        reasons = "; ".join(one.sentence for one in self.unable if one.about == about)
        raise DocumentError(document.name, reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedFactor:
    """A factor of efficiency (a rate or a share) and where it comes from."""

    name: str
    value: float
    unit: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEfficiency:
    """A window's efficiency, its factors with their sources, and what a person must know."""

    document: EfficiencyDocument
    efficiency: Efficiency
    factors: tuple[SourcedFactor, ...]
    usd_per_owned_hour: float | None
    usd_source: str | None
    energy_source: str | None
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sourced:
    value: float
    source: str


def measure(factory: Factory, *, policy: Policy, points: Sequence[OperatingPoint]) -> Measured:
    """The floors that these give, kept beside them."""
    cards, found = floors_of(factory, policy=policy, points=points)
    return Measured(
        factory=factory,
        policy=policy,
        points=tuple(points),
        cards=cards,
        unable=tuple(one for one in found if one.kind in _UNABLE),
    )


def window_efficiency(
    document: EfficiencyDocument, *, measured: Measured | None
) -> WindowEfficiency:
    """The efficiency of one window.

    Stated figures stand. Of the others, the frontier rate and the output equivalents follow from
    the shape fit at the promise, the cost of an hour from the factory, and power from its rating.
    DocumentError where a needed one is neither stated nor measured.
    """
    rate, equivalents = _frontier(document, measured=measured)
    tokens = document.tokens
    stated = {
        "availability": document.availability,
        "busy_share": document.busy_share,
        "real_share": document.real_share,
        "good_share": document.good_share,
    }
    sources = {name: figure.source_text for name, figure in stated.items() if figure is not None}
    if tokens is not None:
        assert equivalents is not None, "_frontier refuses counts without them"
        factors = _counted(document, tokens=tokens, rate=rate, equivalents=equivalents)
        counted = f"{tokens.source} ({tokens.source_date.isoformat()}), counted"
        sources = {"real_share": counted, "good_share": counted, **sources}
    else:
        assert document.real_share, "checked by EfficiencyDocument"
        assert document.good_share, "checked by EfficiencyDocument"
        factors = Factors(
            frontier_tokens_per_s=rate.value,
            availability=float(document.availability.value),
            busy_share=float(document.busy_share.value),
            real_share=float(document.real_share.value),
            good_share=float(document.good_share.value),
        )
    hour = _owned_hour(document, measured=measured)
    energy = _facility_mwh(document, measured=measured)
    peak = document.peak.dense_pflops_per_accelerator if document.peak else None
    return WindowEfficiency(
        document=document,
        efficiency=efficiency(
            factors,
            accelerators=document.accelerators,
            window_s=float(document.window_s),
            good_output_tokens=tokens.good.output_tokens if tokens else None,
            facility_mwh=energy.value if energy else None,
            peak_pflops=float(peak.value) if peak else None,
            usd_per_owned_hour=hour.value if hour else None,
        ),
        factors=(
            SourcedFactor(
                name="frontier_rate",
                value=rate.value,
                unit="output-equivalent tokens/s per accelerator",
                source=rate.source,
            ),
            *(
                SourcedFactor(
                    name=name, value=getattr(factors, name), unit="share", source=sources[name]
                )
                for name in stated
            ),
        ),
        usd_per_owned_hour=hour.value if hour else None,
        usd_source=hour.source if hour else None,
        energy_source=energy.source if energy else None,
        findings=tuple(_findings(document, factors=factors, measured=measured)),
    )


def _frontier(
    document: EfficiencyDocument, *, measured: Measured | None
) -> tuple[_Sourced, OutputEquivalents | None]:
    stated, weights = document.frontier_tokens_per_s, document.output_equivalents
    rate = _Sourced(value=float(stated.value), source=stated.source_text) if stated else None
    equivalents = (
        OutputEquivalents(
            fresh_input=float(weights.fresh_input.value), cache_read=float(weights.cache_read.value)
        )
        if weights
        else None
    )
    missing = rate is None or (equivalents is None and document.tokens is not None)
    if missing and measured is not None:
        found = frontier_rate(measured.card(document).cost)
        rate = rate or _Sourced(value=found.tokens_per_s, source=found.source)
        equivalents = equivalents or found.equivalents
    if rate is None or (equivalents is None and document.tokens is not None):
        lacking = "frontier_tokens_per_s" if rate is None else "output_equivalents"
        raise DocumentError(
            f"{document.name} {lacking}",
            "is neither stated nor computed; state it, or give --factory, --policy and "
            "--measurements",
        )
    return rate, equivalents


def _counted(
    document: EfficiencyDocument, *, tokens: Tokens, rate: _Sourced, equivalents: OutputEquivalents
) -> Factors:
    good = equivalents.tokens(tokens.good.counts())
    if tokens.lost is not None:
        made = good + equivalents.tokens(tokens.lost.counts())
    else:
        assert document.good_share, "checked by EfficiencyDocument"
        made = good / float(document.good_share.value)
    return counted_factors(
        rate.value,
        availability=float(document.availability.value),
        busy_share=float(document.busy_share.value),
        good_tokens=good,
        made_tokens=made,
        accelerator_s=document.accelerators * float(document.window_s),
    )


def _owned_hour(document: EfficiencyDocument, *, measured: Measured | None) -> _Sourced | None:
    """The full cost of an owned hour, available or not: stated, or the mean of the pool."""
    stated = document.usd_per_accelerator_hour
    if stated is not None:
        return _Sourced(value=float(stated.value), source=stated.source_text)
    if measured is None:
        return None
    pool = measured.card(document).pool
    load = pool.load_by_hour.by_hour_of_week if pool.load_by_hour else None
    total, number = 0.0, 0
    for hardware, accelerators in sorted(pool.hardware.items()):
        hour = accelerator_hour(measured.factory, hardware=hardware, load_by_hour=load)
        owned = measured.factory.hardware[hardware].owned
        # The factory's hour is an available one, which carries the others; rent is owed for all.
        available = float(owned.availability.value) if owned else 1.0
        total += accelerators * hour.usd_per_hour * available
        number += accelerators
    return _Sourced(
        value=total / number,
        source=f"{measured.factory.name}: mean over the {number} accelerators of {pool.name}",
    )


def _facility_mwh(document: EfficiencyDocument, *, measured: Measured | None) -> _Sourced | None:
    """Energy of the window at the meter: stated, or the rated power of the pool."""
    hours = float(document.window_s) / SECONDS_PER_HOUR
    energy = document.energy
    if energy is None:
        return _rated_mwh(document, measured=measured, hours=hours) if measured else None
    if energy.facility_mwh is not None:
        metered = energy.facility_mwh
        return _Sourced(value=float(metered.value), source=metered.source_text)
    if energy.facility_kw_per_accelerator is not None:
        kw = float(energy.facility_kw_per_accelerator.value)
        source = energy.facility_kw_per_accelerator.source_text
    else:
        assert energy.it_kw_per_accelerator, "checked by Energy"
        assert energy.pue, "checked by Energy"
        kw = float(energy.it_kw_per_accelerator.value) * float(energy.pue.value)
        source = f"{energy.it_kw_per_accelerator.source_text}; PUE {energy.pue.source_text}"
    return _Sourced(value=kw * document.accelerators * hours / 1000, source=source)


def _rated_mwh(
    document: EfficiencyDocument, *, measured: Measured, hours: float
) -> _Sourced | None:
    pool = measured.card(document).pool
    powers = _facility_kw(pool, factory=measured.factory)
    known = [(number, kw) for number, kw in powers if kw is not None]
    if len(known) < len(pool.hardware):
        return None
    total_kw = fsum(number * kw for number, kw in known)
    mean_kw = total_kw / sum(number for number, _ in known)
    return _Sourced(
        value=mean_kw * document.accelerators * hours / 1000,
        source=f"{measured.factory.name}: rated IT power x PUE, busy or idle",
    )


def _facility_kw(pool: Pool, *, factory: Factory) -> Iterator[tuple[int, float | None]]:
    for hardware, number in sorted(pool.hardware.items()):
        yield number, accelerator_hour(factory, hardware=hardware).power.facility_kw


def _findings(
    document: EfficiencyDocument, *, factors: Factors, measured: Measured | None
) -> Iterator[str]:
    if factors.real_share > 1:
        yield (
            f"{document.name}: while busy it made {factors.real_share:.3g} times its frontier "
            "rate; the busy share is too low, or the frontier was measured on another mix"
        )
    if measured is not None:
        start = f"{document.model}/{document.service_tier}/"
        yield from (one.sentence for one in measured.unable if one.about.startswith(start))
