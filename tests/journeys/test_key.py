"""``tokenworks key``: keys are made, listed without their secrets, and limited one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pricing_rules.period import moment_text
from tests.billing.operations.made_ingest import made_store
from tests.journeys.made_files import tokenworks
from tests.journeys.test_serve import made_key, serving


@pytest.fixture
def store(tmp_path: Path) -> Path:
    file = tmp_path / "store.db"
    file.write_bytes(made_store())
    return file


def test_keys_are_listed_without_their_secrets(store: Path) -> None:
    key = made_key(store, "account", "--account", "acme")
    listed = tokenworks("key", "list", "--store", store, "--format", "json")
    (one,) = listed.json
    assert (one["prefix"], one["scope"], one["account"]) == (key[:13], "account", "acme")
    assert key[14:] not in listed.text
    assert moment_text(0) < one["made_at"]
    flags = ("--by", "me", "--store", store)
    wrong = tokenworks("key", "make", "--scope", "account", "--name", "x", *flags)
    assert wrong.sentence == "account: a key of scope account belongs to one; name it"


def test_a_key_may_be_given_a_limit_of_its_own(store: Path) -> None:
    few = made_key(store, "operator", "--requests-per-s", "1")
    (listed,) = tokenworks("key", "list", "--store", store, "--format", "json").json
    assert listed["requests_per_s"] == 1
    with serving(store) as running:
        found = [running.ask("GET", "/v1/keys", key=few)[0] for _ in range(20)]
        assert found[0] == 200
        assert 429 in found
