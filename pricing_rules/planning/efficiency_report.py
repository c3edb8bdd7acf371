"""What ``tokenworks efficiency report`` prints: ``tokenworks.efficiency-report/1``.

Invariant: every figure is a string of at most 9 significant digits, every factor names its source,
and what the inputs could not say is absent or a finding, never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import Field

from pricing_rules.cost.floor import quantise
from pricing_rules.document import Document, DocumentError, Name, Text
from pricing_rules.money import AmountText
from pricing_rules.period import moment_text
from pricing_rules.planning.efficiency import TokenCounts
from pricing_rules.planning.efficiency_document import EfficiencyDocument
from pricing_rules.planning.frontiers import cost_trends
from pricing_rules.planning.iteration import DatedCost, improvement
from pricing_rules.planning.reliance import CardWithout, reliance, without_vendor
from pricing_rules.planning.revisions import CardName, CardRevision, revise
from pricing_rules.planning.window_efficiency import (
    Measured,
    WindowEfficiency,
    window_efficiency,
)
from pricing_rules.prices.price_book import PriceBook


class FactorFigure(Document):
    """One factor of efficiency: the frontier rate or a share, and where it comes from."""

    factor: Name
    value: AmountText
    unit: Text
    source: Text


class WindowFigures(Document):
    """One window. ``tokens_per_accelerator_s`` is token factory efficiency: good output-equivalent
    tokens per owned accelerator-second; ``benchmark_usd_per_mtok`` is what the frontier rate alone
    says, at 100 % busy.
    """

    name: Name
    model: Name
    service_tier: Name
    start_at: Name
    end_at: Name
    accelerators: int
    factors: tuple[FactorFigure, ...]
    tokens_per_accelerator_s: AmountText
    good_tokens: AmountText
    output_tokens_per_accelerator_s: AmountText | None = None
    facility_mwh: AmountText | None = None
    facility_mwh_source: Text | None = None
    tokens_per_mwh: AmountText | None = None
    precision: Name | None = None
    tokens_per_pflop: AmountText | None = None
    usd_per_accelerator_hour: AmountText | None = None
    usd_per_accelerator_hour_source: Text | None = None
    usd_total: AmountText | None = None
    usd_per_mtok: AmountText | None = None
    benchmark_usd_per_mtok: AmountText | None = None


class CostFigure(Document):
    """A cost and the day of its measurement."""

    measured_date: date
    usd_per_mtok: AmountText


class IterationFigures(Document):
    """How fast a cost fell: ln(c0/c1) a month by least squares, over ``days``.

    ``about``: ``cost_history of`` a document, or the hardware and shape that were measured.
    The fall is absent where the dates are too few or too near for a trend.
    """

    model: Name
    service_tier: Name
    about: Text
    costs: tuple[CostFigure, ...]
    improvement_per_month: AmountText | None = None
    halving_months: AmountText | None = None
    days: int | None = None
    reason: Text | None = None


class VendorFigure(Document):
    """A vendor's share of a card's request capacity."""

    vendor: Name
    share: AmountText


class FloorFigures(Document):
    """A floor per million tokens with all vendors and without one; absent where none is left."""

    unit: Name
    before_usd_per_mtok: AmountText
    after_usd_per_mtok: AmountText | None = None


class WithoutFigures(Document):
    """What the loss of one vendor does to a card: its promise, its capacity, its floors."""

    vendor: Name
    promise_is_kept: bool
    capacity_left: AmountText
    floors: tuple[FloorFigures, ...]


class RelianceFigures(Document):
    """A card's request capacity by hardware vendor; one that has all makes ``hhi`` 10,000."""

    model: Name
    service_tier: Name
    shares: tuple[VendorFigure, ...]
    hhi: AmountText
    without: WithoutFigures | None = None


class RevisionFigures(Document):
    """One card from the old book to the new one, at the new card's reference shape.

    ``staleness``: what the old floors ask over the new ones for the tokens of the windows.
    """

    model: Name
    service_tier: Name
    old_rate_per_mtok: AmountText | None = None
    new_rate_per_mtok: AmountText | None = None
    old_unit_cost_per_mtok: AmountText | None = None
    new_unit_cost_per_mtok: AmountText | None = None
    pass_through: AmountText | None = None
    reason: Text | None = None
    cycle_days: AmountText | None = None
    staleness: AmountText | None = None


class BooksFigures(Document):
    """Two books: their numbers and currency, and the token-weighted median age of measurements when
    the new one took effect.
    """

    series: Name
    old_number: int
    new_number: int
    currency: Name
    cycle_days: AmountText | None = None
    cards: tuple[RevisionFigures, ...]


class EfficiencyReport(Document):
    """The whole report; ``findings`` are sentences that a person must know."""

    schema_: Literal["tokenworks.efficiency-report/1"] = Field(alias="schema")
    windows: tuple[WindowFigures, ...]
    iteration: tuple[IterationFigures, ...]
    reliance: tuple[RelianceFigures, ...]
    books: BooksFigures | None = None
    findings: tuple[Text, ...]


def efficiency_report(
    documents: Sequence[EfficiencyDocument],
    *,
    measured: Measured | None,
    books: tuple[PriceBook, PriceBook] | None,
    without: str | None,
) -> EfficiencyReport:
    """Report windows, and what measurements, two books and the loss of a vendor say of them.

    ``books``: an older and a newer one of a series. ``without`` needs ``measured``. DocumentError
    for two documents of one name, and for what a document lacks.
    """
    names = [document.name for document in documents]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DocumentError("documents", f'two windows are named "{twice}"; rename one')
    if without is not None and measured is None:
        raise DocumentError(
            "--without", "derives floors again; give --factory, --policy and --measurements too"
        )
    windows = [window_efficiency(document, measured=measured) for document in documents]
    # A model in a service tier may have several windows; what is about it is reported once.
    services: dict[CardName, list[EfficiencyDocument]] = {}
    for document in documents:
        services.setdefault((document.model, document.service_tier), []).append(document)
    return EfficiencyReport(
        schema="tokenworks.efficiency-report/1",
        windows=tuple(_window(one) for one in windows),
        iteration=tuple(
            line for some in services.values() for line in _iteration(some, measured=measured)
        ),
        reliance=tuple(_reliance(services.values(), measured=measured, without=without)),
        books=_books(books, documents=documents) if books else None,
        findings=tuple(dict.fromkeys(text for one in windows for text in one.findings)),
    )


def _window(one: WindowEfficiency) -> WindowFigures:
    document, found = one.document, one.efficiency
    return WindowFigures(
        name=document.name,
        model=document.model,
        service_tier=document.service_tier,
        start_at=moment_text(document.start_at),
        end_at=moment_text(document.end_at),
        accelerators=document.accelerators,
        factors=tuple(
            FactorFigure(
                factor=factor.name,
                value=quantise(factor.value),
                unit=factor.unit,
                source=factor.source,
            )
            for factor in one.factors
        ),
        tokens_per_accelerator_s=quantise(found.tokens_per_accelerator_s),
        good_tokens=quantise(found.good_tokens),
        output_tokens_per_accelerator_s=_figure(found.output_tokens_per_accelerator_s),
        facility_mwh=_figure(found.facility_mwh),
        facility_mwh_source=one.energy_source,
        tokens_per_mwh=_figure(found.tokens_per_mwh),
        precision=document.peak.precision if document.peak else None,
        tokens_per_pflop=_figure(found.tokens_per_pflop),
        usd_per_accelerator_hour=_figure(one.usd_per_owned_hour),
        usd_per_accelerator_hour_source=one.usd_source,
        usd_total=_figure(found.usd_total),
        usd_per_mtok=_figure(found.usd_per_mtok),
        benchmark_usd_per_mtok=_figure(found.benchmark_usd_per_mtok),
    )


def _iteration(
    documents: Sequence[EfficiencyDocument], *, measured: Measured | None
) -> Iterator[IterationFigures]:
    """The trends of one service: that of each document which states costs, and those measured."""
    for document in documents:
        if document.cost_history:
            stated = [
                DatedCost(measured_date=one.measured_date, usd_per_mtok=float(one.usd_per_mtok))
                for one in document.cost_history
            ]
            yield _trend(document, about=f"cost_history of {document.name}", costs=stated)
    if measured is not None:
        for trend in cost_trends(measured.served(documents[0]), points=measured.points):
            about = f"{trend.hardware} {trend.shape.text}"
            yield _trend(documents[0], about=about, costs=trend.costs)


def _trend(
    document: EfficiencyDocument, *, about: str, costs: Sequence[DatedCost]
) -> IterationFigures:
    listed = tuple(
        CostFigure(measured_date=one.measured_date, usd_per_mtok=quantise(one.usd_per_mtok))
        for one in sorted(costs, key=lambda one: one.measured_date)
    )
    try:
        found = improvement(costs)
    except DocumentError as error:
        return IterationFigures(
            model=document.model,
            service_tier=document.service_tier,
            about=about,
            costs=listed,
            reason=error.sentence,
        )
    return IterationFigures(
        model=document.model,
        service_tier=document.service_tier,
        about=about,
        costs=listed,
        improvement_per_month=quantise(found.per_month),
        halving_months=_figure(found.halving_months),
        days=found.days,
    )


def _reliance(
    services: Iterable[Sequence[EfficiencyDocument]],
    *,
    measured: Measured | None,
    without: str | None,
) -> Iterator[RelianceFigures]:
    for documents in services:
        document = documents[0]
        vendors = _vendors(documents)
        if measured is None or not (vendors or without):
            continue
        card = measured.card(document)
        found = reliance(card, vendors=vendors)
        lost = None
        if without is not None:
            (lost,) = without_vendor(
                measured.factory,
                policy=measured.policy,
                points=measured.points,
                cards=(card,),
                vendors=vendors,
                vendor=without,
            )
        yield RelianceFigures(
            model=document.model,
            service_tier=document.service_tier,
            shares=tuple(
                VendorFigure(vendor=one.vendor, share=quantise(one.share)) for one in found.shares
            ),
            hhi=quantise(found.hhi),
            without=_without(lost, vendor=without) if lost and without else None,
        )


def _vendors(documents: Sequence[EfficiencyDocument]) -> dict[str, str]:
    """Who makes which hardware by all documents; DocumentError where two say otherwise."""
    vendors: dict[str, str] = {}
    for document in documents:
        for hardware, vendor in document.vendors.items():
            if vendors.setdefault(hardware, vendor) != vendor:
                raise DocumentError(
                    f"{document.name} vendors.{hardware}",
                    f'is "{vendor}" here and "{vendors[hardware]}" in another document of '
                    f"{document.model} in {document.service_tier}; write it alike",
                )
    return vendors


def _without(lost: CardWithout, *, vendor: str) -> WithoutFigures:
    return WithoutFigures(
        vendor=vendor,
        promise_is_kept=lost.is_kept,
        capacity_left=quantise(lost.capacity_left),
        floors=tuple(
            FloorFigures(
                unit=floor.unit,
                before_usd_per_mtok=floor.before_usd_per_mtok,
                after_usd_per_mtok=floor.after_usd_per_mtok,
            )
            for floor in lost.floors
        ),
    )


def _books(
    books: tuple[PriceBook, PriceBook], *, documents: Iterable[EfficiencyDocument]
) -> BooksFigures:
    sold: dict[CardName, TokenCounts] = {}
    for one in documents:
        if one.tokens is not None:
            name, more = (one.model, one.service_tier), one.tokens.good.counts()
            sold[name] = sold[name].plus(more) if name in sold else more
    old, new = books
    revision = revise(old, new=new, tokens=sold)
    return BooksFigures(
        series=new.series,
        old_number=old.number,
        new_number=new.number,
        currency=new.currency,
        cycle_days=_figure(revision.cycle_days),
        cards=tuple(_card(card) for card in revision.cards),
    )


def _card(card: CardRevision) -> RevisionFigures:
    old, new = card.old, card.new
    return RevisionFigures(
        model=card.model,
        service_tier=card.service_tier,
        old_rate_per_mtok=_figure(old.rate_per_mtok if old else None),
        new_rate_per_mtok=_figure(new.rate_per_mtok if new else None),
        old_unit_cost_per_mtok=_figure(old.unit_cost_per_mtok if old else None),
        new_unit_cost_per_mtok=_figure(new.unit_cost_per_mtok if new else None),
        pass_through=_figure(card.pass_through),
        reason=card.reason,
        cycle_days=_figure(card.cycle_days),
        staleness=_figure(card.staleness),
    )


def _figure(value: float | None) -> Decimal | None:
    return None if value is None else quantise(value)
