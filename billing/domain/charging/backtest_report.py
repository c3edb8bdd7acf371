"""A backtest as a document (``tokenworks.backtest/1``): what ``tokenworks backtest`` prints.

Invariant: it shows the figures of the backtest as they are, exact and as text; changes of accounts
and of rate cards add up to the change of the total.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from pydantic import Field, model_validator

from billing.domain.charging.records import BookUsed, Count, ExactText, UnpricedUsage
from billing.domain.charging.report import EventCounts, RefusedRow
from pricing_rules.document import Document, Name, Text
from pricing_rules.money import CurrencyCode
from pricing_rules.planning.backtest import Backtest, Comparison, Side, distribution
from pricing_rules.planning.gates import GateVerdict
from pricing_rules.planning.served import COST_BASIS, Takings
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.usage.units import UNITS


class UsageUsed(Document):
    """A file of the usage: its name and the SHA-256 of its bytes."""

    name: Text
    sha256: Name


class RefusedInFile(RefusedRow):
    """A row of one of the files that is not counted."""

    file: Text


class TakingsRecord(Document):
    """What one side charges, the part of it whose usage has a measured cost, that cost and its
    margin.

    ``margin_share`` is a share of the costed revenue, absent where there is none.
    """

    revenue: ExactText
    costed_revenue: ExactText
    cost: ExactText
    margin: ExactText
    margin_share: ExactText | None = None

    @classmethod
    def of(cls, takings: Takings) -> TakingsRecord:
        """The takings of one side as a record."""
        return cls(
            revenue=takings.revenue,
            costed_revenue=takings.costed_revenue,
            cost=takings.cost_exact,
            margin=takings.margin,
            margin_share=takings.margin_share,
        )


class ComparisonRecord(Document):
    """The same events under both sides; ``change_share`` is absent where nothing was charged
    before.
    """

    events: Count
    before: TakingsRecord
    after: TakingsRecord
    change: ExactText
    change_share: ExactText | None = None


class AccountRecord(ComparisonRecord):
    """One account under both sides."""

    account: Name


class CardRecord(ComparisonRecord):
    """One model in one service tier under both sides."""

    model: Name
    service_tier: Name


class BreachRecord(Document):
    """An account whose revenue from one model in one service tier is under its floor."""

    account: Name
    model: Name
    service_tier: Name
    revenue: ExactText
    floor: ExactText
    shortfall: ExactText


class UnpricedRecord(UnpricedUsage):
    """Usage of an account that no rate covers."""

    account: Name


class UnmetRecord(Document):
    """A rate that no usage meets."""

    book_number: int
    model: Name
    service_tier: Name
    unit: Name
    when: Text | Literal[""]


class SideRecord(Document):
    """One side: its books, and what is to be known of it."""

    price_books: tuple[BookUsed, ...]
    floor_breaches: tuple[BreachRecord, ...]
    unpriced: tuple[UnpricedRecord, ...]
    unused_rates: tuple[UnmetRecord, ...]


class DistributionRecord(Document):
    """Changes of accounts as shares of what they paid before: percentiles by the nearest rank.

    Absent where no account paid anything before.
    """

    least: ExactText | None = None
    p5: ExactText | None = None
    p50: ExactText | None = None
    p95: ExactText | None = None
    most: ExactText | None = None
    paying_more: Count
    paying_less: Count
    unchanged: Count
    from_nothing: Count


class GateRecord(Document):
    """A gate, whether it trips, and why or why not."""

    gate: Name
    trips: bool
    sentence: Text


class BacktestReport(Document):
    """A backtest; ``before``: the books that it is against, ``after``: the new ones.

    Without refused rows and with no gate that trips, the command ends with 0.
    """

    schema_: Literal["tokenworks.backtest/1"] = Field(alias="schema")
    currency: CurrencyCode
    period: str
    usage: tuple[UsageUsed, ...]
    events: EventCounts
    cost_basis: Text
    total: ComparisonRecord
    accounts: tuple[AccountRecord, ...]
    rate_cards: tuple[CardRecord, ...]
    distribution: DistributionRecord
    before: SideRecord
    after: SideRecord
    gates: tuple[GateRecord, ...]
    refused: tuple[RefusedInFile, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> BacktestReport:
        changes: dict[str, Sequence[ComparisonRecord]] = {
            "accounts": self.accounts,
            "rate_cards": self.rate_cards,
        }
        for field, parts in changes.items():
            total = sum((part.change for part in parts), Fraction(0))
            if total != self.total.change:
                raise ValueError(f"the changes of {field} do not add up to that of the total")
        return self

    @property
    def tripped(self) -> tuple[GateRecord, ...]:
        """The gates that trip."""
        return tuple(gate for gate in self.gates if gate.trips)


def report_backtest(
    found: Backtest,
    *,
    before: BooksInForce,
    after: BooksInForce,
    usage: tuple[UsageUsed, ...],
    events: EventCounts,
    refused: tuple[RefusedInFile, ...],
    gates: Sequence[GateVerdict],
) -> BacktestReport:
    """The document of a backtest; ``before`` and ``after``: the books as they were given."""
    changes = distribution(found.accounts.values())
    return BacktestReport(
        schema="tokenworks.backtest/1",
        currency=found.currency.code,
        period=found.span.text(),
        usage=usage,
        events=events,
        cost_basis=COST_BASIS,
        total=_total(found.total),
        accounts=tuple(_account(name, compared=one) for name, one in found.accounts.items()),
        rate_cards=tuple(_card(card, compared=one) for card, one in found.cards.items()),
        distribution=DistributionRecord(
            least=changes.least,
            p5=changes.p5,
            p50=changes.p50,
            p95=changes.p95,
            most=changes.most,
            paying_more=changes.paying_more,
            paying_less=changes.paying_less,
            unchanged=changes.unchanged,
            from_nothing=changes.from_nothing,
        ),
        before=_side(found.before, books=before),
        after=_side(found.after, books=after),
        gates=tuple(
            GateRecord(gate=one.gate.text, trips=one.trips, sentence=one.sentence) for one in gates
        ),
        refused=refused,
    )


def _total(compared: Comparison) -> ComparisonRecord:
    return ComparisonRecord(
        events=compared.events,
        before=TakingsRecord.of(compared.before),
        after=TakingsRecord.of(compared.after),
        change=compared.change,
        change_share=compared.change_share,
    )


def _account(account: str, *, compared: Comparison) -> AccountRecord:
    return AccountRecord(
        account=account,
        events=compared.events,
        before=TakingsRecord.of(compared.before),
        after=TakingsRecord.of(compared.after),
        change=compared.change,
        change_share=compared.change_share,
    )


def _card(card: tuple[str, str], *, compared: Comparison) -> CardRecord:
    return CardRecord(
        model=card[0],
        service_tier=card[1],
        events=compared.events,
        before=TakingsRecord.of(compared.before),
        after=TakingsRecord.of(compared.after),
        change=compared.change,
        change_share=compared.change_share,
    )


def _side(side: Side, *, books: BooksInForce) -> SideRecord:
    return SideRecord(
        price_books=tuple(
            BookUsed.of(book) for book in sorted(books.books, key=lambda book: book.number)
        ),
        floor_breaches=tuple(
            BreachRecord(
                account=one.account,
                model=one.model,
                service_tier=one.service_tier,
                revenue=one.revenue,
                floor=one.floor,
                shortfall=one.shortfall,
            )
            for one in side.breaches
        ),
        unpriced=tuple(
            UnpricedRecord(
                account=one.account,
                model=one.model,
                service_tier=one.service_tier,
                unit=one.unit,
                quantity=one.quantity,
                scale=UNITS[one.unit].scale,
                events=one.events,
                reason=one.reason,
            )
            for one in side.unpriced
        ),
        unused_rates=tuple(
            UnmetRecord(
                book_number=one.book_number,
                model=one.model,
                service_tier=one.service_tier,
                unit=one.unit,
                when=one.when,
            )
            for one in side.unmet
        ),
    )
