"""What a rate rests on: the records that a derived price book carries beside its rates.

Invariant: they are complete enough to walk from a rate to files, rows, digests and weights with
the book alone, and every figure is text, so that the book has one digest.
"""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Final, Literal

from pydantic import model_validator

from pricing_rules.document import Document, Name, Text, bytes_digest
from pricing_rules.money import AmountText, CurrencyCode, RateText, decimal_text
from pricing_rules.period import MomentText

MAX_ID_CHARACTERS: Final = 200

COST_CURRENCY: Final = "USD"
"""What a factory's costs are in."""


class SourceRows(Document):
    """Rows of one measurement file: 1-based line numbers (the header is line 1) and the file's
    digest.
    """

    file: Name
    sha256: Name
    rows: tuple[int, ...]
    measured_date: Name | None = None


class WeightedPoint(Document):
    """One measured operating point and its weight in an interpolated one (weights add up to 1)."""

    weight: AmountText
    concurrency: int
    interactivity_tokens_per_s: RateText
    output_tokens_per_s_per_accelerator: RateText
    source: SourceRows


class MeasuredShape(Document):
    """One workload shape at the promise: what a request takes, and what the fit says that it
    takes.
    """

    input_tokens: int
    output_tokens: int
    accelerator_seconds_per_request: RateText
    fitted_accelerator_seconds_per_request: RateText
    clamped: bool
    points: tuple[WeightedPoint, ...]


class CostPart(Document):
    """One part of the cost of an accelerator-hour, with where its figure comes from."""

    part: Name
    usd_per_hour: RateText
    source: Text


class HardwareCost(Document):
    """One hardware of the pool: its share of the pool's request capacity, its hour, and its
    fitted seconds.
    """

    hardware: Name
    accelerators: int
    share_of_capacity: RateText
    usd_per_hour: RateText
    parts: tuple[CostPart, ...]
    setup: Text
    fit: Literal["fit", "cover", "roles"]
    us_per_input_token: RateText
    us_per_cached_token: RateText
    us_per_output_token: RateText
    shapes: tuple[MeasuredShape, ...]


class RunningMaximum(Document):
    """A floor that was raised to the one of a slower service tier: measured costs are not
    monotone.
    """

    service_tier: Name
    own_floor: RateText


class ExchangeRate(Document):
    """What one US dollar is in the book's currency, on which day, and who says so.

    Costs are in US dollars; each figure per million units in a book of another currency is the one
    in dollars times this rate, exactly.
    """

    currency: CurrencyCode
    per_usd: RateText
    date: date
    source: Text

    @model_validator(mode="after")
    def _is_foreign(self) -> ExchangeRate:
        if self.per_usd <= 0:
            raise ValueError(f"per_usd must be above 0, not {self.per_usd}")
        if (Fraction(self.per_usd) * 10**9).denominator != 1:
            raise ValueError(f"per_usd has more than 9 decimals: {self.per_usd}; round it")
        if self.currency == COST_CURRENCY:
            raise ValueError(f"costs are in {COST_CURRENCY} already; remove the exchange rate")
        return self

    def text(self) -> str:
        """The rate as people read it."""
        return (
            f"1 {COST_CURRENCY} = {decimal_text(self.per_usd)} {self.currency} on "
            f"{self.date.isoformat()} ({self.source})"
        )


class UnitFloor(Document):
    """The floor of one unit: (unit_cost / utilization + variable) / (1 - minimum_margin -
    revenue_share).

    The figures are those that its kind counts: a ``cash`` floor has no minimum margin, and neither
    capital nor model amortisation in its unit cost; a ``short_run`` one has also a utilization of
    1, and only the energy of busy over idle and the margin displaced in its unit cost. Money is in
    the book's currency per million units.
    """

    unit: Name
    kind: Literal["full", "cash", "short_run"]
    unit_cost_per_mtok: RateText
    utilization: RateText
    variable_per_mtok: RateText
    minimum_margin: RateText
    revenue_share: RateText
    floor: RateText
    raised: RunningMaximum | None = None


class SourcedCost(Document):
    """A cost per million tokens in US dollars, and where it comes from."""

    name: Name
    usd_per_mtok: RateText
    source: Text


class CardCost(Document):
    """What the floors of one rate card were computed from.

    The reference tokens are the mean request by which the hardware of the pool is weighted. Its
    hours are in US dollars, whatever the book's currency, and hold the parts that the kind of the
    floors counts. The unit cost is sum(share x usd_per_hour / 3600 x us per token) over the
    hardware, and ``model_amortisation`` where there is one; ``variable`` are the parts of
    ``variable_per_mtok``.
    """

    pool: Name
    promise: Text
    reference_input_tokens: int
    reference_output_tokens: int
    hardware: tuple[HardwareCost, ...]
    floors: tuple[UnitFloor, ...]
    model_amortisation: SourcedCost | None = None
    variable: tuple[SourcedCost, ...] | None = None


class RuleStep(Document):
    """One rule that touched a rate: before, after and why.

    Where it took a part of another rate of the model, the ``related_`` fields say of which.
    """

    rule: Name
    action: Text
    before: RateText | None = None
    after: RateText
    why: Text
    related_service_tier: Name | None = None
    related_unit: Name | None = None


class InputDocument(Document):
    """A file that the book was derived from."""

    role: Literal["factory", "policy", "measurement", "usage_mix", "market"]
    name: Name
    sha256: Name


class Finding(Document):
    """Something that a person must know before the book is published; ``id`` is what a sign-off
    names.
    """

    id: Name
    kind: Name
    sentence: Text


def finding_id(kind: str, *, about: str) -> str:
    """The id of a finding: ``kind:about``.

    A longer one than a name may be is cut, and ends in digits of its digest.
    """
    id_ = f"{kind}:{about}"
    if len(id_) > MAX_ID_CHARACTERS:
        digits = bytes_digest(id_.encode()).removeprefix("sha256:")[:12]
        id_ = f"{id_[: MAX_ID_CHARACTERS - 13].strip()}#{digits}"
    return id_


class SignOff(Document):
    """A person's word on one finding. An under-floor finding also needs ``ends_at``, when its
    override ends."""

    finding: Name
    by: Name
    reason: Text
    ends_at: MomentText | None = None
