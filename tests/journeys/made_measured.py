"""A factory, a policy and measurement files of one model, as the files that a person keeps.

Invariant: at full throughput the floors are those of the worked example of the shape fit; a later
measurement of the same points supersedes the earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pricing_rules.cost.readers.measurement_file import measurement_lines
from pricing_rules.document import bytes_digest
from tests.journeys.made_files import tokenworks, write_json
from tests.pricing_rules.rules.made_documents import (
    figure,
    made_points,
    made_rule,
    made_service_tier,
    policy_document,
)

MARKUP = made_rule("markup", then={"action": "markup", "share": "0.10"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The files of one model in a folder, and the first book of its series."""

    folder: Path
    factory: Path
    policy: Path
    first: Path
    book: Path

    @property
    def flags(self) -> list[str]:
        """What every derivation from them is told."""
        return ["--factory", str(self.factory), "--policy", str(self.policy)]


def write_measured(folder: Path, *, name: str, share: float, measured_date: str) -> Path:
    """The worked example at a ``share`` of its throughput, as a measurement file."""
    path = folder / name
    points = (
        replace(
            point,
            input_tokens_per_s_per_accelerator=point.input_tokens_per_s_per_accelerator * share,
            output_tokens_per_s_per_accelerator=point.output_tokens_per_s_per_accelerator * share,
            source=replace(point.source, file=name, sha256=bytes_digest(name.encode())),
        )
        for point in made_points(measured_date=measured_date)
    )
    path.write_bytes(measurement_lines(points))
    return path


def made_measured(folder: Path, *, rules: Sequence[Any] = (MARKUP,)) -> Measured:
    """Documents and the first book, a candidate: 1.80 USD an hour, measured on 2026-03-01."""
    hour = {"rented": {"all_in_usd_per_hour": figure("1.80")}}
    pool = {
        "name": "main",
        "use": "shared",
        "hardware": {"h100_sxm": 10},
        "models": ["m"],
        "service_tiers": ["standard"],
        "utilization": figure("0.5"),
    }
    factory = {
        "schema": "tokenworks.factory/1",
        "name": "made",
        "hardware": {"h100_sxm": hour},
        "pools": [pool],
        "variable_usd_per_mtok": {"egress": figure("0")},
    }
    policy = policy_document(rules=rules, service_tiers=[made_service_tier("standard", promise=60)])
    made = Measured(
        folder=folder,
        factory=write_json(folder / "factory.yaml", factory),
        policy=write_json(folder / "policy.yaml", policy),
        first=write_measured(folder, name="march.jsonl", share=1.0, measured_date="2026-03-01"),
        book=folder / "book-1.json",
    )
    ran = tokenworks(
        *("price", "derive", "--measurements", made.first, "--number", "1"),
        *("--effective-from", "2026-10-01T00:00:00Z", "--out", made.book),
        *made.flags,
    )
    assert ran.code == 0, ran.err
    return made
