"""``tokenworks db upgrade`` makes a store and says at which revision it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from billing.cli.db import command
from billing.store.store import StoreError, open_store
from billing.store.tables import REVISION


def test_a_store_is_made_and_upgraded_again(tmp_path: Path) -> None:
    file = tmp_path / "billing.db"
    for before in ("", REVISION):
        result = CliRunner().invoke(command, ["upgrade", "--store", str(file), "--format", "json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == {
            "store": str(file),
            "revision_before": before,
            "revision": REVISION,
        }
    open_store(file).close()


def test_the_person_at_the_terminal_reads_a_sentence(tmp_path: Path) -> None:
    arguments = ["upgrade", "--store", f"sqlite:///{tmp_path / 'billing.db'}"]
    assert f"is at revision {REVISION}\n" in CliRunner().invoke(command, arguments).stderr
    assert f"is at revision {REVISION}, as before" in CliRunner().invoke(command, arguments).stderr


def test_a_store_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    arguments = ["upgrade", "--store", str(tmp_path / "none" / "billing.db")]
    with pytest.raises(StoreError, match="its folder does not exist; make it first"):
        CliRunner().invoke(command, arguments, catch_exceptions=False)
