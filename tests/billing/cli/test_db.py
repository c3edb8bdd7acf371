"""``tokenworks db upgrade`` makes a store and says at which revision it is."""

from __future__ import annotations

from pathlib import Path

from billing.store.store import open_store
from billing.store.tables import REVISION
from tests.journeys.made_files import tokenworks


def test_a_store_is_made_and_upgraded_again(tmp_path: Path) -> None:
    file = tmp_path / "billing.db"
    for before in ("", REVISION):
        ran = tokenworks("db", "upgrade", "--store", file, "--format", "json")
        assert ran.code == 0, ran.err
        assert ran.json == {"store": str(file), "revision_before": before, "revision": REVISION}
    open_store(file).close()


def test_the_person_at_the_terminal_reads_a_sentence(tmp_path: Path) -> None:
    arguments = ("db", "upgrade", "--store", f"sqlite:///{tmp_path / 'billing.db'}")
    assert f"is at revision {REVISION}\n" in tokenworks(*arguments).err
    assert f"is at revision {REVISION}, as before" in tokenworks(*arguments).err


def test_a_store_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    ran = tokenworks("db", "upgrade", "--store", tmp_path / "none" / "billing.db")
    assert "its folder does not exist; make it first" in ran.sentence
