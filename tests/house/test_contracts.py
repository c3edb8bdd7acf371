"""The import contracts hold on the tree, and each of them breaks on a planted violation.

The tree under test is a copy of the sources, so that nothing is ever planted in the real one.

Invariant: a contract in pyproject.toml without a planted violation here fails this file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.tree import REPOSITORY

PACKAGES = ("pricing_rules", "billing")

# Contract -> the file that is planted, what it says, and what import-linter must say of it.
PLANTED = [
    ("halves", "pricing_rules/period.py", "import billing.cli", "pricing_rules.period ->"),
    ("pricing-rooms", "pricing_rules/money.py", "import pricing_rules.usage", "money ->"),
    ("pricing-rooms", "pricing_rules/prices/planted.py", "import pricing_rules.cost", "planted ->"),
    ("pricing-rooms", "pricing_rules/new_room.py", "", "pricing_rules.new_room"),
    (
        "cost-rooms",
        "pricing_rules/cost/measurement.py",
        "import pricing_rules.cost.floor",
        "pricing_rules.cost.measurement ->",
    ),
    ("cost-rooms", "pricing_rules/cost/new_room.py", "", "pricing_rules.cost.new_room"),
    (
        "readers-rooms",
        "pricing_rules/cost/readers/measurements.py",
        "import pricing_rules.cost.readers.detection",
        "measurements ->",
    ),
    ("readers-rooms", "pricing_rules/cost/readers/new_room.py", "", "readers.new_room"),
    (
        "usage-rooms",
        "pricing_rules/usage/units.py",
        "import pricing_rules.usage.totals",
        "units ->",
    ),
    ("usage-rooms", "pricing_rules/usage/new_room.py", "", "pricing_rules.usage.new_room"),
    (
        "prices-rooms",
        "pricing_rules/prices/ladder.py",
        "import pricing_rules.prices.rating",
        "ladder ->",
    ),
    ("prices-rooms", "pricing_rules/prices/new_room.py", "", "pricing_rules.prices.new_room"),
    (
        "rules-rooms",
        "pricing_rules/rules/policy.py",
        "import pricing_rules.rules.derivation",
        "policy ->",
    ),
    ("rules-rooms", "pricing_rules/rules/new_room.py", "", "pricing_rules.rules.new_room"),
    (
        "planning-rooms",
        "pricing_rules/planning/capacity_plan.py",
        "import pricing_rules.planning.capacity",
        "capacity_plan ->",
    ),
    ("planning-rooms", "pricing_rules/planning/new_room.py", "", "pricing_rules.planning.new_room"),
    (
        "interchange-rooms",
        "pricing_rules/interchange/litellm.py",
        "import pricing_rules.interchange.litellm_export",
        "litellm ->",
    ),
    (
        "interchange-rooms",
        "pricing_rules/interchange/new_room.py",
        "",
        "pricing_rules.interchange.new_room",
    ),
    (
        "testing-rooms",
        "pricing_rules/testing/breaches.py",
        "import pricing_rules.testing.assertions",
        "breaches ->",
    ),
    ("testing-rooms", "pricing_rules/testing/new_room.py", "", "pricing_rules.testing.new_room"),
    ("testing-door", "pricing_rules/prices/planted.py", "import pytest", "planted -> pytest"),
    ("domain-rooms", "billing/domain/tax/tax.py", "import billing.domain.invoice", "tax ->"),
    (
        "domain-rooms",
        "billing/domain/invoice/planted.py",
        "import billing.domain.ledger",
        "invoice.planted ->",
    ),
    (
        "domain-rooms",
        "billing/domain/ledger/planted.py",
        "import billing.domain.verification",
        "ledger.planted ->",
    ),
    ("domain-rooms", "billing/domain/new_room.py", "", "billing.domain.new_room"),
    (
        "intake-rooms",
        "billing/intake/payload_fields.py",
        "import billing.intake.gemini",
        "payload_fields ->",
    ),
    ("intake-rooms", "billing/intake/new_room.py", "", "billing.intake.new_room"),
    ("billing-rooms", "billing/domain/planted.py", "import billing.cli", "billing.domain.planted"),
    ("billing-rooms", "billing/engines/planted.py", "import billing.intake", "engines.planted ->"),
    ("billing-rooms", "billing/new_room.py", "", "billing.new_room"),
    ("billing-rooms", "billing/operations/planted.py", "import billing.api", "planted ->"),
    ("billing-rooms", "billing/store/planted.py", "import billing.log", "store.planted ->"),
    ("api-rooms", "billing/api/problems.py", "import billing.api.events", "problems ->"),
    ("api-rooms", "billing/api/new_room.py", "", "billing.api.new_room"),
    ("client-rooms", "billing/client/spool.py", "import billing.client.sender", "spool ->"),
    ("client-rooms", "billing/client/new_room.py", "", "billing.client.new_room"),
    (
        "client-imports-no-server",
        "pricing_rules/usage/event.py",
        "import pandas",
        "pricing_rules.usage.event -> pandas",
    ),
    ("billing-rooms", "billing/client/planted.py", "import billing.store", "client.planted ->"),
    (
        "webhooks-rooms",
        "billing/webhooks/addresses.py",
        "import billing.webhooks.posting",
        "addresses ->",
    ),
    ("webhooks-rooms", "billing/webhooks/new_room.py", "", "billing.webhooks.new_room"),
    ("http-door", "billing/cli/planted.py", "import uvicorn", "cli.planted -> uvicorn"),
    ("pure-core", "billing/domain/planted.py", "import duckdb", "domain.planted -> duckdb"),
    (
        "store-door",
        "billing/operations/planted.py",
        "import sqlalchemy",
        "operations.planted -> sqlalchemy",
    ),
    (
        "protobuf-door",
        "billing/api/planted.py",
        "from google.protobuf.message import Message",
        "api.planted -> google",
    ),
    (
        "protobuf-door",
        "billing/operations/planted.py",
        "import opentelemetry.proto.trace.v1.trace_pb2",
        "operations.planted -> opentelemetry",
    ),
    ("pandas-door", "pricing_rules/prices/planted.py", "import pandas", "planted -> pandas"),
]


def lint(folder: Path, *, contract: str | None = None) -> subprocess.CompletedProcess[str]:
    """import-linter on the packages in a folder, with one contract or all of them."""
    chosen = ["--contract", contract] if contract else []
    code = "import sys; from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache", "--no-logo", *chosen, "pyproject.toml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def copy_sources(folder: Path) -> None:
    """The contracts and the sources of both packages, without their data, under a folder."""
    files = [REPOSITORY / "pyproject.toml"]
    files += [file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py")]
    for file in files:
        target = folder / file.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())


def test_the_tree_keeps_every_contract() -> None:
    result = lint(REPOSITORY)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("contract, path, source, named", PLANTED)
def test_a_planted_import_breaks_its_contract(
    contract: str, path: str, source: str, named: str, tmp_path: Path
) -> None:
    copy_sources(tmp_path)
    planted = tmp_path / path
    before = planted.read_text(encoding="utf-8") if planted.exists() else ""
    planted.write_text(f"{before}\n{source}\n", encoding="utf-8")
    result = lint(tmp_path, contract=contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "0 kept, 1 broken" in result.stdout
    assert named in result.stdout


def test_every_contract_has_a_planted_violation() -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["id"] for contract in settings["tool"]["importlinter"]["contracts"]}
    assert contracts == {contract for contract, *_ in PLANTED}
