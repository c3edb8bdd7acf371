"""Printing a walk: from a rate or a line down to the files that it was measured in.

Invariant: each shape shows the same nodes in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator

from billing.cli.output import print_csv, print_json
from pricing_rules.prices.explain import Step


def print_walk(step: Step, *, shape: str) -> None:
    """The walk as a tree, as nested JSON, or as CSV with the depth of each node."""
    if shape == "json":
        print_json(step.as_json())
    elif shape == "csv":
        print_csv(_rows(step, depth=0), columns=("depth", "kind", "sentence"))
    else:
        print("\n".join(_lines(step, head="", tail="")))


def _rows(step: Step, *, depth: int) -> Iterator[dict[str, object]]:
    yield {"depth": depth, "kind": step.kind, "sentence": step.sentence}
    for below in step.rests_on:
        yield from _rows(below, depth=depth + 1)


def _lines(step: Step, *, head: str, tail: str) -> Iterator[str]:
    yield f"{head}{step.kind}: {step.sentence}"
    for i, below in enumerate(step.rests_on):
        last = i == len(step.rests_on) - 1
        yield from _lines(
            below, head=tail + ("└─ " if last else "├─ "), tail=tail + ("   " if last else "│  ")
        )
