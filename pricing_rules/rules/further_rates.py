"""Further rates: actions that leave a rate as it is and put another beside it, under a condition.

Invariant: a further rate names one condition more than the rate that it comes from, and none of a
kind that that one names already; so each meets a part of its usage.
"""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt, model_validator

from pricing_rules.document import Document, Name
from pricing_rules.money import RateText, decimal_text
from pricing_rules.prices.conditions import When


class ContextStep(Document):
    """A further rate for larger requests: a factor on the rate, strictly over a request size or
    from it on.
    """

    action: Literal["context_step"]
    request_tokens_over: PositiveInt | None = None
    request_tokens_at_least: PositiveInt | None = None
    multiply: RateText

    @model_validator(mode="after")
    def _one_of_both(self) -> ContextStep:
        if (self.request_tokens_over is None) == (self.request_tokens_at_least is None):
            raise ValueError("name request_tokens_over or request_tokens_at_least, one of them")
        return self

    def text(self) -> str:
        """The action as people read it."""
        return f"x {decimal_text(self.multiply)} where {self._condition().text()}"

    def variant(self, when: When) -> When | None:
        """The conditions of the further rate; None where ``when`` names a request size already."""
        if when.threshold_tokens:
            return None
        return when.model_copy(
            update={
                "request_tokens_over": self.request_tokens_over,
                "request_tokens_at_least": self.request_tokens_at_least,
            }
        )

    def _condition(self) -> When:
        return When(
            request_tokens_over=self.request_tokens_over,
            request_tokens_at_least=self.request_tokens_at_least,
        )


class RegionRate(Document):
    """A further rate for one region: a factor on the rate."""

    action: Literal["region"]
    region: Name
    multiply: RateText

    def text(self) -> str:
        """The action as people read it."""
        return f"x {decimal_text(self.multiply)} where region={self.region}"

    def variant(self, when: When) -> When | None:
        """The conditions of the further rate; None where ``when`` names a region already."""
        return None if when.region else when.model_copy(update={"region": self.region})


class DimensionRate(Document):
    """A further rate for one value of a dimension: a factor on the rate."""

    action: Literal["dimension"]
    name: Name
    value: Name
    multiply: RateText

    def text(self) -> str:
        """The action as people read it."""
        return f"x {decimal_text(self.multiply)} where {self.name}={self.value}"

    def variant(self, when: When) -> When | None:
        """The conditions of the further rate; None where ``when`` names this dimension already."""
        if self.name in when.dimensions:
            return None
        dimensions = dict(sorted({**when.dimensions, self.name: self.value}.items()))
        return when.model_copy(update={"dimensions": dimensions})


class WindowRate(Document):
    """A further rate while a recurring window of the policy is in force: a factor on the rate."""

    action: Literal["window"]
    window: Name
    multiply: RateText

    def text(self) -> str:
        """The action as people read it."""
        return f"x {decimal_text(self.multiply)} where window={self.window}"

    def variant(self, when: When) -> When | None:
        """The conditions of the further rate; None where ``when`` names a window already."""
        return None if when.window else when.model_copy(update={"window": self.window})


FurtherRate = ContextStep | RegionRate | DimensionRate | WindowRate
"""Actions that put a further rate beside a rate."""
