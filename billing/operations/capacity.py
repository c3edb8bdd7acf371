"""Capacity plans from files: what a site of fixed power should serve.

Invariant: it reads a plan and reports; nothing is written, and no rate is set.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from billing.operations.files import read_file

if TYPE_CHECKING:
    from pricing_rules.planning.capacity_report import CapacityReport


def plan_capacity(plan: Path) -> CapacityReport:
    """The best use of a site by the plan in a file. DocumentError names what is wrong in it."""
    # They bring SciPy, which a command that only shows help need not wait for.
    from pricing_rules.planning.capacity_plan import load_capacity_plan
    from pricing_rules.planning.capacity_report import capacity_report

    return capacity_report(load_capacity_plan(read_file(plan), name=plan.name))
