"""What a factory made in one window, as people write it: ``tokenworks.efficiency/1``.

Invariant: every factor has its own source and date, and nothing is stated twice: counts of tokens,
or the shares that would follow from them.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt, model_validator

from pricing_rules.cost.figures import Figure, PositiveFigure, PueFigure, ShareFigure
from pricing_rules.document import Document, Name, Text, load_yaml
from pricing_rules.money import RateText
from pricing_rules.period import MICROSECONDS, MomentText
from pricing_rules.planning.efficiency import TokenCounts

MAX_TOKENS: Final = 10**18
"""The most tokens of a window: what 1 GW makes in years. A larger figure is a mistake."""

Count = Annotated[int, Field(ge=0, le=MAX_TOKENS)]


class Counted(Document):
    """Tokens by kind: fresh input, input read from cache, output."""

    fresh_input_tokens: Count = 0
    cache_read_tokens: Count = 0
    output_tokens: Count = 0

    def counts(self) -> TokenCounts:
        """The same as plain counts."""
        return TokenCounts(
            fresh_input_tokens=self.fresh_input_tokens,
            cache_read_tokens=self.cache_read_tokens,
            output_tokens=self.output_tokens,
        )

    @property
    def total(self) -> int:
        """All tokens, whatever they are."""
        return self.fresh_input_tokens + self.cache_read_tokens + self.output_tokens


class Tokens(Document):
    """What was counted in the window. ``good``: delivered within the promise, retries and
    cancellations excluded. ``lost``: everything else that was made (late, retried, cancelled).
    """

    good: Counted
    lost: Counted | None = None
    source: Text
    source_date: date

    @model_validator(mode="after")
    def _made_some(self) -> Tokens:
        if self.good.total == 0:
            raise ValueError("good holds no token; an efficiency of nothing is not reported")
        return self


class StatedEquivalents(Document):
    """What a token counts in output tokens: a/b for fresh input, c/b for input read from cache."""

    fresh_input: Figure
    cache_read: Figure


class Energy(Document):
    """Energy or power of the window, by one denominator.

    ``facility_mwh``: metered over the whole window. ``facility_kw_per_accelerator``: mean power at
    the meter. ``it_kw_per_accelerator`` with ``pue``: mean power at the server. Board power is
    neither, and is not asked for.
    """

    facility_mwh: PositiveFigure | None = None
    facility_kw_per_accelerator: PositiveFigure | None = None
    it_kw_per_accelerator: PositiveFigure | None = None
    pue: PueFigure | None = None

    @model_validator(mode="after")
    def _one_denominator(self) -> Energy:
        stated = (self.facility_mwh, self.facility_kw_per_accelerator, self.it_kw_per_accelerator)
        if sum(one is not None for one in stated) != 1:
            raise ValueError(
                "state exactly one of facility_mwh, facility_kw_per_accelerator and "
                "it_kw_per_accelerator"
            )
        if (self.it_kw_per_accelerator is None) != (self.pue is None):
            raise ValueError("pue belongs to it_kw_per_accelerator, and is needed there")
        return self


class PeakCompute(Document):
    """Peak dense PFLOP/s of one accelerator, at the precision that is served."""

    precision: Name
    dense_pflops_per_accelerator: PositiveFigure


class CostOnDate(Document):
    """A unit cost of an earlier or later measurement: same model, promise, shape and quality, at
    one price of hardware.
    """

    measured_date: date
    usd_per_mtok: RateText
    source: Text

    @model_validator(mode="after")
    def _above_zero(self) -> CostOnDate:
        if self.usd_per_mtok <= 0:
            raise ValueError(f'usd_per_mtok must be above 0, not "{self.usd_per_mtok}"')
        return self


class EfficiencyDocument(Document):
    """One model in one service tier on owned accelerators, over the window ``[start_at, end_at)``.

    Either ``tokens`` were counted, or ``real_share`` and ``good_share`` are stated; with counted
    tokens ``good_share`` is stated only where what was lost was not counted. The frontier rate
    (output-equivalent tokens/s of one accelerator at the promise), ``output_equivalents`` and the
    cost of an accelerator-hour may be left out where they are computed from measurements.
    ``vendors``: who makes which hardware, by the name that the factory gives it.
    """

    schema_: Literal["tokenworks.efficiency/1"] = Field(alias="schema")
    name: Name
    model: Name
    service_tier: Name
    start_at: MomentText
    end_at: MomentText
    accelerators: PositiveInt
    availability: ShareFigure
    busy_share: ShareFigure
    real_share: ShareFigure | None = None
    good_share: ShareFigure | None = None
    tokens: Tokens | None = None
    frontier_tokens_per_s: PositiveFigure | None = None
    output_equivalents: StatedEquivalents | None = None
    energy: Energy | None = None
    peak: PeakCompute | None = None
    usd_per_accelerator_hour: PositiveFigure | None = None
    cost_history: tuple[CostOnDate, ...] = ()
    vendors: dict[Name, Name] = {}

    @property
    def window_s(self) -> Decimal:
        """Seconds of the window."""
        return Decimal(self.end_at - self.start_at) / MICROSECONDS

    @model_validator(mode="after")
    def _stated_once(self) -> EfficiencyDocument:
        if self.end_at <= self.start_at:
            raise ValueError("the window must end after it starts: end_at is not after start_at")
        if self.tokens is None:
            if self.real_share is None or self.good_share is None:
                raise ValueError("needs tokens, or real_share and good_share in their place")
            return self
        if self.real_share is not None:
            raise ValueError("real_share follows from tokens; remove one of the two")
        if (self.tokens.lost is None) == (self.good_share is None):
            raise ValueError(
                "with tokens, state exactly one of tokens.lost (from which the good share "
                "follows) and good_share"
            )
        return self


def load_efficiency(data: bytes, *, name: str) -> EfficiencyDocument:
    """Read an efficiency document; DocumentError names the line and path of what is wrong."""
    return load_yaml(EfficiencyDocument, data, name=name)
