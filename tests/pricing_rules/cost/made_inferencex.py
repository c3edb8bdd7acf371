"""InferenceX rows made up for the tests of their reader.

Invariant: the figures of a row agree with one another, so that a test breaks what it means to.
"""

from __future__ import annotations

import json
from typing import Any

from pricing_rules.cost.measurement import OperatingPoint, Statistic
from pricing_rules.cost.readers.inferencex import read_inferencex
from pricing_rules.cost.readers.measurements import Measurements

FIGURES: dict[str, Any] = {
    # 16 at a time, .9 x (8192 + 1024) tokens in 20 s: 6,635.52 tokens/s, 829.44 for each of 8
    "tput_per_gpu": 810.0,
    "output_tput_per_gpu": 90.0,
    "input_tput_per_gpu": 720.0,
    "mean_ttft": 1.2,
    "mean_tpot": 0.02,
    "mean_e2el": 20.0,
    "mean_intvty": 50.0,
    "median_ttft": 1.0,
    "median_tpot": 0.016,
    "median_e2el": 16.0,
    "p99_ttft": 4.0,
    "std_intvty": 295.9,
}
FLAT: dict[str, Any] = {
    "hw": "h200",
    "conc": 16,
    "image": "lmsysorg/sglang:v0.5.8-cu130",
    "model": "deepseek-ai/DeepSeek-R1",
    "infmax_model_prefix": "dsr1",
    "framework": "sglang",
    "precision": "fp8",
    "spec_decoding": "none",
    "disagg": False,
    "isl": 8192,
    "osl": 1024,
    "is_multinode": False,
    "tp": 8,
    "ep": 1,
    "dp_attention": "false",
    **FIGURES,
}
API: dict[str, Any] = {
    "hardware": "h200",
    "framework": "sglang",
    "model": "dsr1",
    "precision": "fp8",
    "spec_method": "mtp",
    "disagg": False,
    "is_multinode": False,
    **{
        f"{role}_{key}": value
        for role in ("prefill", "decode")
        for key, value in (("tp", 8), ("ep", 1), ("dp_attention", False), ("num_workers", 0))
    },
    "num_prefill_gpu": 8,
    "num_decode_gpu": 8,
    "isl": 8192,
    "osl": 1024,
    "conc": 16,
    "image": "lmsysorg/sglang:v0.5.8-cu130",
    "date": "2026-09-08",
    "run_url": "https://example.com/runs/1",
    "metrics": FIGURES,
}
POOLS: dict[str, Any] = {
    "disagg": True,
    "is_multinode": True,
    "prefill_tp": 4,
    "prefill_num_workers": 2,
    "num_prefill_gpu": 8,
    "decode_tp": 24,
    "decode_ep": 24,
    "decode_dp_attention": True,
    "decode_num_workers": 1,
    "num_decode_gpu": 24,
    "conc": 64,
    # 64 at a time in 20 s: 26,542 tokens/s. Published 25,920 = 8 x 2,880 + 24 x 120
    "metrics": FIGURES
    | {"tput_per_gpu": 810.0, "input_tput_per_gpu": 2880.0, "output_tput_per_gpu": 120.0},
}
"""What makes an API row a disaggregated one: 2 x 4 accelerators for input, 24 for output."""


def read(*rows: Any, statistic: Statistic = "mean") -> Measurements:
    """What a file of these rows gives."""
    return read_inferencex(json.dumps(rows).encode(), name="rows.json", statistic=statistic)


def one(row: dict[str, Any], *, statistic: Statistic = "mean") -> OperatingPoint:
    """The point of one row."""
    found = read(row, statistic=statistic)
    assert found.refused == ()
    return found.points[0]


def refusal(row: dict[str, Any], *, statistic: Statistic = "mean") -> tuple[str, str]:
    """Kind and reason of one refused row."""
    found = read(row, statistic=statistic)
    assert found.points == ()
    return found.refused[0].kind, found.refused[0].reason


def metered(row: dict[str, Any], **figures: Any) -> dict[str, Any]:
    """An API row with some metrics changed."""
    return row | {"metrics": row["metrics"] | figures}
