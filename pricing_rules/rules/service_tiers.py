"""Service tiers and the models in them: what each gives, and what its floors must earn.

Invariant: a promise names its statistic, a margin leaves something of the rate, and only work that
may be interrupted is sold at what it adds on idle accelerators.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import PositiveInt, model_validator

from pricing_rules.cost.accelerator_hour import FloorKind
from pricing_rules.cost.figures import Figure, PositiveFigure
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


class IdleUse(Document):
    """How much of a pool's idle time a short_run service tier is expected to take, and may.

    Both in accelerator-hours a week. Without a stated forecast the idle time is what the usage mix
    leaves of the pool. ``displaced_margin_usd_per_accelerator_hour``: what an hour of this work
    keeps other work from earning over its own cost; nothing where it only fills idle hours.
    """

    expected_accelerator_hours_per_week: PositiveFigure
    idle_accelerator_hours_per_week: Figure | None = None
    displaced_margin_usd_per_accelerator_hour: Figure | None = None


class ServiceTier(Document):
    """How fast and how surely: the promise, its pool, and what its floors must earn.

    ``floor_kind``: ``full``; ``cash``, which leaves out capital, model amortisation and the minimum
    margin; or ``short_run``, which counts the energy of busy over idle, costs per million tokens
    and the margin displaced: for ``interruptible`` service tiers, up to the idle time of the pool.
    """

    name: Name
    pool: Name
    promise: Promise | None = None
    minimum_precision: Precision | None = None
    context_limit_tokens: PositiveInt | None = None
    interruptible: bool = False
    floor_kind: FloorKind = "full"
    idle_use: IdleUse | None = None
    minimum_margin: ShareText

    @model_validator(mode="after")
    def _kind_fits(self) -> ServiceTier:
        kind, name = self.floor_kind, self.name
        if kind == "short_run" and not self.interruptible:
            raise ValueError(
                f'"{name}" has a short_run floor, which is for interruptible work; '
                "write interruptible: true or another floor_kind"
            )
        if (kind == "short_run") != (self.idle_use is not None):
            raise ValueError(
                f'"{name}": idle_use belongs to a short_run floor, and is needed there'
            )
        if kind != "full" and self.minimum_margin:
            raise ValueError(
                f'"{name}": a {kind} floor has no minimum margin; write "0", '
                "and put a margin into the rules"
            )
        return self

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
        stops = ", interruptible" if self.interruptible else ""
        return (self.promise.text() if self.promise else "no promise") + limit + stops


class ModelToPrice(Document):
    """A model by the name that measurements give it, in one precision.

    ``pool``: where it is not the service tier's.
    """

    name: Name
    precision: Precision
    pool: Name | None = None
