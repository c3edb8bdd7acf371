"""Service tiers and the models in them: what each gives, and what its floors must earn.

Invariant: a promise names its statistic, and a margin leaves something of the rate.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import PositiveInt, field_validator

from pricing_rules.document import Document, Name
from pricing_rules.rules.actions import ShareText

PRECISION_BITS: Final[dict[str, int]] = {
    "fp4": 4, "int4": 4, "fp8": 8, "int8": 8, "bf16": 16, "fp16": 16,
}  # fmt: skip
"""Bits per weight of each precision: what "at least fp8" compares."""

Precision = Literal["fp4", "int4", "fp8", "int8", "bf16", "fp16"]


class Promise(Document):
    """What each user of a service tier gets, as a statistic; only measurements of it count.

    ``interactivity_tokens_per_s``: output tokens/s of one user, at least. ``ttft_ms``: time to
    first token, at most.
    """

    interactivity_tokens_per_s: PositiveInt
    statistic: Literal["mean", "p50", "p95"]
    ttft_ms: PositiveInt | None = None

    def text(self) -> str:
        """The promise as people read it."""
        ttft = f", TTFT at most {self.ttft_ms} ms" if self.ttft_ms else ""
        return (
            f"{self.interactivity_tokens_per_s} output tokens/s per user{ttft} ({self.statistic})"
        )


class ServiceTier(Document):
    """How fast and how surely: the promise, its pool, and what its floors must earn."""

    name: Name
    pool: Name
    promise: Promise | None = None
    minimum_precision: Precision | None = None
    context_limit_tokens: PositiveInt | None = None
    floor_kind: Literal["full", "cash", "short_run"] = "full"
    minimum_margin: ShareText

    @field_validator("floor_kind")
    @classmethod
    def _computable(cls, kind: str) -> str:
        if kind != "full":
            raise ValueError(f"{kind} floors are not computed by this version; write full")
        return kind

    @property
    def interactivity_tokens_per_s(self) -> int | None:
        """The promised output tokens/s of one user; None without a promise."""
        return self.promise.interactivity_tokens_per_s if self.promise else None

    @property
    def statistic(self) -> str:
        """Which measurements count; without a promise the means, which throughput is."""
        return self.promise.statistic if self.promise else "mean"

    def text(self) -> str:
        """What the service tier gives, as people read it."""
        limit = (
            f", context up to {self.context_limit_tokens} tokens"
            if self.context_limit_tokens
            else ""
        )
        return (self.promise.text() if self.promise else "no promise") + limit


class ModelToPrice(Document):
    """A model by the name that measurements give it, in one precision.

    ``pool``: where it is not the service tier's.
    """

    name: Name
    precision: Precision
    pool: Name | None = None
