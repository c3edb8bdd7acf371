"""The example repository, run as a pricing team runs it: in a folder and a process of its own.

Invariant: its files are copied first, so that a run leaves nothing behind in this repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pricing_rules.testing.example_files import DIGEST, EXAMPLE, replaced


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the example."""
    folder = tmp_path / "policy_repository"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return folder


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``pytest`` in a folder, with the plugins that are installed."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tests_of_the_example_pass(repository: Path) -> None:
    found = run_pytest(repository)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "20 passed" in found.stdout


def test_a_bad_policy_fails_the_tests_that_guard_against_it(repository: Path) -> None:
    policy = repository / "policy.yaml"
    text = replaced(
        policy.read_text(encoding="utf-8"),
        old="\nguard_rails:\n",
        new="  - id: giveaway\n    when: {service_tiers: [priority], units: [output_tokens]}\n"
        '    then: {action: set, rate: "0.25"}\n    why: "we win the market with it"\n\n'
        "guard_rails:\n",
    )
    policy.write_text(text, encoding="utf-8")
    found = run_pytest(repository, "tests/test_rates.py")
    assert found.returncode == 1
    failed = {
        line.partition("::")[2].partition(" ")[0]
        for line in found.stdout.splitlines()
        if line.startswith("FAILED ")
    }
    assert failed == {
        "test_nothing_is_sold_under_its_floor",
        "test_interactive_service_tiers_leave_48_percent_of_output",
        "test_faster_is_never_cheaper",
        "test_no_rate_moves_by_over_ten_percent",
        "test_whole_requests_earn_their_cost",
        "test_nothing_needs_a_sign_off_but_what_we_know",
    }
    for part in (
        "gpt-oss-120b/priority/output_tokens: 0.25 per Mtok is under the floor 0.261315589",
        "rule: giveaway: set to 0.25: ",
        "(we win the market with it)",
        "measured: aiconfigurator-core-0.12.0/silicon_sample.csv rows ",
        DIGEST,
    ):
        assert part in found.stdout
    # The assertion is what fails, not a line of the plugin.
    assert "rate_assertions.py:" not in found.stdout
