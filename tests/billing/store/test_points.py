"""Killed at any point, a command was done whole or not at all (I41, I42)."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from billing.store.points import OPERATION_POINTS, POINTS, STORE_POINTS, hooked, reach
from tests.house.tree import REPOSITORY, dotted, modules


def reached_in(room: str) -> list[str]:
    """The names that a room gives to ``reach``."""
    return [
        ast.literal_eval(node.args[0])
        for module in modules("billing")
        if module.path.startswith(room)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and dotted(node.func).endswith("reach")
    ]


def test_every_point_is_named_once() -> None:
    assert max(Counter(POINTS).values()) == 1
    assert len(POINTS) >= 20


def test_the_store_reaches_its_points_and_no_other() -> None:
    assert set(reached_in("billing/store/")) == set(STORE_POINTS)


def test_operations_reach_only_points_that_are_theirs() -> None:
    assert set(reached_in("billing/operations/")) <= set(OPERATION_POINTS)


def test_an_unknown_point_is_a_bug() -> None:
    with pytest.raises(ValueError, match="add it to POINTS"):
        reach("write.nowhere")


def test_a_hook_hears_of_points_while_it_is_set() -> None:
    heard: list[str] = []
    reach("write.begun")
    with hooked(heard.append):
        reach("write.begun")
        reach("write.committed")
    reach("write.begun")
    assert heard == ["write.begun", "write.committed"]


def test_a_process_killed_at_any_point_leaves_all_or_nothing(
    made_file: Path, tmp_path: Path
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.billing.store.killed", str(made_file), str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    after = json.loads(result.stdout)
    # A rebuild of totals is no part of a close; the others are all on the way.
    assert set(STORE_POINTS) - set(after) == {"totals.removed", "totals.replaced"}
    for point, rows in after.items():
        committed = point == "write.committed"
        assert {min(n, 1) for n in rows.values()} == {int(committed)}, point
