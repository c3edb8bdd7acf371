"""Runs of serving benchmarks made up for tests, and the true ones that were recorded.

Invariant: the made-up run is plausible as it is: 4 requests under way, one a second, of 4 seconds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pricing_rules.cost.measurement import Parallelism
from pricing_rules.cost.readers.serving_run import BoardPower, ServingRun, Timing
from pricing_rules.cost.readers.stated_facts import StatedFacts

RECORDED = Path(__file__).parent / "recorded"
SHARED = Path(__file__).resolve().parents[5] / "shared" / "data" / "benchmark-formats"

TP8 = Parallelism(tp=8, pp=1, dp=1, moe_tp=1, moe_ep=1)

Json = Any


def recorded(name: str) -> bytes:
    """A recorded file."""
    return (RECORDED / name).read_bytes()


def recorded_json(name: str) -> Json:
    """A recorded file as values to change."""
    return json.loads(recorded(name))


def made_run(
    *,
    concurrency: int | None = 4,
    row: int = 1,
    mean_output_tokens: float = 100.0,
    power: BoardPower | None = None,
    is_speculative: bool = False,
    request_ms: float | None = 4000.0,
    timings: tuple[Timing, ...] = (Timing(statistic="mean", ttft_ms=40.0, tpot_ms=40.0),),
    **changed: Json,
) -> ServingRun:
    """1,000 tokens in and 100 out, once a second; 40 + 99 x 40 = 4,000 ms each."""
    fields: dict[str, Json] = {
        "row": row,
        "model": "vendor/m",
        "concurrency": concurrency,
        "measured_date": "2026-02-13",
        "requests_per_s": 1.0,
        "input_tokens_per_s": 1000.0,
        "output_tokens_per_s": mean_output_tokens,
        "mean_input_tokens": 1000.0,
        "mean_output_tokens": mean_output_tokens,
        "timings": timings,
        "request_ms": request_ms,
        "power": power,
        "is_speculative": is_speculative,
        "note": "made up",
    }
    return ServingRun(**(fields | changed))


def made_facts(**changed: Json) -> StatedFacts:
    """All that a run of eight accelerators needs."""
    fields: dict[str, Json] = {
        "hardware": "h200_sxm",
        "accelerators": 8,
        "parallelism": TP8,
        "precision": "fp8",
        "framework": "vllm",
    }
    return StatedFacts(**(fields | changed))
