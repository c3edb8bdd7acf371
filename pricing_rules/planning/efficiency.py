"""Token factory efficiency: good tokens over owned accelerator-seconds, and what they took.

Invariant: the five factors multiply to the efficiency, whichever of them was counted and whichever
stated; a figure without its input (power, peak, counts) is absent, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pricing_rules.cost.unit_cost import usd_per_mtok

SECONDS_PER_HOUR: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Counts of fresh input, of input read from cache, and of output."""

    fresh_input_tokens: int
    cache_read_tokens: int
    output_tokens: int

    def plus(self, other: TokenCounts) -> TokenCounts:
        """Both together."""
        return TokenCounts(
            fresh_input_tokens=self.fresh_input_tokens + other.fresh_input_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputEquivalents:
    """What a token counts in output tokens: a/b of fresh input, c/b of input read from cache."""

    fresh_input: float
    cache_read: float

    def tokens(self, counts: TokenCounts) -> float:
        """Output-equivalent tokens: output + (a/b) fresh + (c/b) cached."""
        return (
            counts.output_tokens
            + self.fresh_input * counts.fresh_input_tokens
            + self.cache_read * counts.cache_read_tokens
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """The five factors of token factory efficiency.

    ``frontier_tokens_per_s``: r*, output-equivalent tokens/s of one accelerator at the promise.
    ``availability``, ``busy_share``: of owned time, of available time. ``real_share``: real over
    frontier rate while busy. ``good_share``: good tokens of all that were made.
    """

    frontier_tokens_per_s: float
    availability: float
    busy_share: float
    real_share: float
    good_share: float

    @property
    def tokens_per_accelerator_s(self) -> float:
        """Their product: good output-equivalent tokens per owned accelerator-second."""
        return (
            self.frontier_tokens_per_s
            * self.availability
            * self.busy_share
            * self.real_share
            * self.good_share
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """What a factory made in a window.

    ``tokens_per_accelerator_s`` is token factory efficiency (TFE), ``good_tokens`` are
    output-equivalent tokens G. ``benchmark_usd_per_mtok`` is what the frontier rate alone would
    say, at 100 % busy. Figures whose input was not given are None.
    """

    factors: Factors
    tokens_per_accelerator_s: float
    good_tokens: float
    output_tokens_per_accelerator_s: float | None
    facility_mwh: float | None
    tokens_per_mwh: float | None
    tokens_per_pflop: float | None
    usd_total: float | None
    usd_per_mtok: float | None
    benchmark_usd_per_mtok: float | None


def counted_factors(
    frontier_tokens_per_s: float,
    *,
    availability: float,
    busy_share: float,
    good_tokens: float,
    made_tokens: float,
    accelerator_s: float,
) -> Factors:
    """The factors where tokens were counted: the real rate follows from all that were made.

    ``good_tokens`` and ``made_tokens`` are output-equivalent; the latter count what came late, was
    retried or cancelled too. Raises ValueError where no tokens were made or more were good.
    """
    if made_tokens <= 0 or good_tokens > made_tokens:
        raise ValueError(f"{good_tokens} good tokens of {made_tokens} that were made")
    busy_s = accelerator_s * availability * busy_share
    return Factors(
        frontier_tokens_per_s=frontier_tokens_per_s,
        availability=availability,
        busy_share=busy_share,
        real_share=made_tokens / busy_s / frontier_tokens_per_s,
        good_share=good_tokens / made_tokens,
    )


def efficiency(
    factors: Factors,
    *,
    accelerators: int,
    window_s: float,
    good_output_tokens: int | None,
    facility_mwh: float | None,
    peak_pflops: float | None,
    usd_per_owned_hour: float | None,
) -> Efficiency:
    """The figures of a window of ``window_s`` seconds on ``accelerators`` owned accelerators.

    TFE = G / (owned accelerators x seconds). ``facility_mwh``: energy of the whole window at the
    meter. ``peak_pflops``: peak dense PFLOP/s of one accelerator at the served precision, so that
    tokens/PFLOP = TFE / peak. ``usd_per_owned_hour``: full cost of one owned accelerator-hour,
    busy or not; cost per Mtok = full cost / (G / 10^6). ``good_output_tokens``: output alone, which
    is printed beside.
    """
    accelerator_s = accelerators * window_s
    rate = factors.tokens_per_accelerator_s
    good_tokens = rate * accelerator_s
    cost = usd_per_owned_hour
    return Efficiency(
        factors=factors,
        tokens_per_accelerator_s=rate,
        good_tokens=good_tokens,
        output_tokens_per_accelerator_s=(
            None if good_output_tokens is None else good_output_tokens / accelerator_s
        ),
        facility_mwh=facility_mwh,
        tokens_per_mwh=None if facility_mwh is None else good_tokens / facility_mwh,
        tokens_per_pflop=None if peak_pflops is None else rate / peak_pflops,
        usd_total=None if cost is None else cost * accelerator_s / SECONDS_PER_HOUR,
        usd_per_mtok=None if cost is None else usd_per_mtok(cost, tokens_per_s=rate),
        benchmark_usd_per_mtok=(
            None if cost is None else usd_per_mtok(cost, tokens_per_s=factors.frontier_tokens_per_s)
        ),
    )
