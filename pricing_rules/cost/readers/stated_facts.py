"""What a person states of a measurement that its file does not say, and how it is written.

Invariant: nothing here has a default that could be taken for a fact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Final

from pricing_rules.cost.measurement import Parallelism, Role

FACTS: Final[Mapping[str, str]] = {
    "model": "the model",
    "hardware": "the hardware",
    "accelerators": "the number of accelerators",
    "parallelism": "how the model is spread over them",
    "precision": "the precision",
    "framework": "the serving framework",
    "speculative": "the method of speculative decoding, which the run used",
    "concurrency": "the concurrency",
    "measured_date": "the date of the measurement",
}
"""What a point needs and a run may lack, by the field of ``StatedFacts`` that supplies it."""

STATED_POOLS_FLAG: Final = "pools_stated"
"""A person stated the accelerators of each pool of a disaggregated set-up."""

_LENGTHS: Final = {"input_tokens", "output_tokens", "length_factor"}
_POOLS: Final = {"prefill", "decode"}
_SPREAD = re.compile(r"(tp|pp|dp|moe_tp|moe_ep)([1-9][0-9]{0,5})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedFacts:
    """What a person states of runs that do not say it themselves; None: nothing stated.

    ``parallelism`` is of aggregated serving, ``prefill`` and ``decode`` of disaggregated serving.
    ``input_tokens`` and ``output_tokens`` are the nominal lengths, which sampled lengths are
    ``length_factor`` of on average; without them the shape is the measured mean.
    """

    model: str | None = None
    hardware: str | None = None
    accelerators: int | None = None
    parallelism: Parallelism | None = None
    prefill: Role | None = None
    decode: Role | None = None
    precision: str | None = None
    framework: str | None = None
    framework_version: str | None = None
    speculative: str | None = None
    concurrency: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    length_factor: float | None = None
    measured_date: str | None = None

    def given(self) -> tuple[str, ...]:
        """The names of what is stated."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is not None)

    def flags(self, held: Mapping[str, object]) -> tuple[str, ...]:
        """``accelerators_stated`` and the like, but for what the file ``held`` itself.

        Lengths are checked against the run, so that they need no flag.
        """
        facts = [f for f in self.given() if f not in _LENGTHS | _POOLS and held.get(f) is None]
        pools = (STATED_POOLS_FLAG,) if self.prefill is not None else ()
        return (*(f"{fact}_stated" for fact in facts), *pools)


def parse_parallelism(text: str) -> Parallelism:
    """``tp8 pp1 dp1 moe_tp1 moe_ep8`` in any order; what is left out is 1. Raises ValueError."""
    found: dict[str, int] = {}
    for part in text.replace(",", " ").split():
        match = _SPREAD.match(part)
        if not match or match[1] in found:
            raise ValueError(f'"{text:.40}" is no spread of accelerators; write it as tp8 pp1 dp1')
        found[match[1]] = int(match[2])
    if not found:
        raise ValueError("is blank; write it as tp8 pp1 dp1")
    ones = dict.fromkeys(("tp", "pp", "dp", "moe_tp", "moe_ep"), 1)
    spread = Parallelism(**(ones | found))
    experts, ranks = spread.moe_tp * spread.moe_ep, spread.tp * spread.dp
    if experts not in (1, ranks):
        raise ValueError(f"experts are spread over {experts} accelerators, but tp x dp is {ranks}")
    return spread


def parse_role(text: str) -> Role:
    """``4xtp8 moe_ep8``: four workers, each spread so. Raises ValueError."""
    workers, _, spread = text.partition("x")
    if not re.fullmatch("[1-9][0-9]{0,5}", workers.strip()):
        raise ValueError(f'"{text:.40}" is no pool of workers; write it as 4xtp8')
    return Role(workers=int(workers), parallelism=parse_parallelism(spread))


def iso_date(text: str) -> str:
    """An ISO date as it is written. Raises ValueError for another text."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise ValueError(f'"{text:.20}" is not a date; write it as 2026-02-13')
    return date.fromisoformat(text).isoformat()
