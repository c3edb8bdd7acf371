"""Prices of others in and out: a candidate of them, what is not in it, and the way back.

Invariant: every entry of a file is in the book or named, with exit code 1 where one was refused;
an export that would lose something writes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pricing_rules.document import bytes_digest
from tests.journeys.made_files import Json, book, card, rate_of, tokenworks, write_json

MAP: Json = {
    "sample_spec": {"input_cost_per_token": 0.0},
    "openai/a": {
        "input_cost_per_token": 2e-06,
        "input_cost_per_token_above_200k_tokens": 4e-06,
        "input_cost_per_token_batches": 1e-06,
        "output_cost_per_token": 1e-05,
        "input_dbu_cost_per_token": 7e-05,
    },
    "no-price": {"mode": "chat"},
}
AT = "2026-12-01T00:00:00Z"


@pytest.fixture
def litellm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_json(tmp_path / "map.json", MAP)


def import_map(*more: str) -> Json:
    ran = tokenworks(
        "price", "import", "map.json", "--from", "litellm", "--at", AT, "--out", "book.json",
        "--format", "json", *more,
    )  # fmt: skip
    assert ran.code == 1
    found: Json = json.loads(ran.text)
    return found


def test_an_import_names_every_entry_that_is_not_in_the_book(litellm: Path) -> None:
    assert import_map() == {
        "out": "book.json",
        "models": 1,
        "rate_cards": 2,
        "refused_by_reason": {"not a model": 1},
        "refused": [
            {
                "entry": "sample_spec",
                "reason": "not a model",
                "detail": "it explains the fields",
            }
        ],
        "without_price": ["no-price"],
        "notes": [
            {
                "sentence": "prices in Databricks units stand beside those in dollars; "
                "the dollars are imported",
                "entries": ["openai/a"],
            }
        ],
    }
    candidate = json.loads(Path("book.json").read_bytes())
    assert (candidate["series"], candidate["number"]) == ("litellm", 1)
    assert candidate["effective_from"] == AT
    assert "published_at" not in candidate
    (origin,) = candidate["derived_from"]
    assert (origin["role"], origin["name"]) == ("market", "map.json")
    assert origin["sha256"] == bytes_digest(litellm.read_bytes())
    assert candidate["rate_cards"][0]["cost_none"].startswith("imported from litellm")


def test_the_table_counts_what_was_refused_and_why(litellm: Path) -> None:
    ran = tokenworks(
        "price", "import", "map.json", "--from", "litellm", "--at", AT, "--out", "b.json",
        "--series", "market", "--number", "7",
    )  # fmt: skip
    assert ran.code == 1
    for word in ("rate cards", "without a price", "refused", "not a model", "noted"):
        assert word in ran.text
    assert ran.err == (
        "tokenworks: sample_spec: not a model (it explains the fields)\nwrote b.json\n"
    )
    candidate = json.loads(Path("b.json").read_bytes())
    assert (candidate["series"], candidate["number"]) == ("market", 7)


def test_more_than_twenty_refusals_are_counted_on_stderr(litellm: Path) -> None:
    many = {f"m{i:02d}": {"input_cost_per_token": "x"} for i in range(23)}
    write_json(litellm, {**many, "ok": {"input_cost_per_token": 1e-06}})
    ran = tokenworks(
        "price", "import", "map.json", "--from", "litellm", "--at", AT, "--out", "b.json"
    )
    assert ran.code == 1
    assert ran.err.count("not a price that a number can say") == 20
    assert "3 more entries refused (--format json names all)" in ran.err


def test_an_imported_book_prices_requests_and_goes_on_to_be_published(litellm: Path) -> None:
    import_map()
    quote = ("quote", "--price-book", "book.json", "--model", "openai/a", "--format", "json")
    units = ("--unit", "input_tokens=200001", "--unit", "output_tokens=1000")
    ran = tokenworks(*quote, "--service-tier", "standard", *units)
    # 200,001 * 4 / 10^6 + 1,000 * 10 / 10^6
    assert json.loads(ran.text)["amount"] == "0.810004"
    ran = tokenworks(*quote, "--service-tier", "batch", *units)
    # half of the rate over 200k, and half of the output rate
    assert json.loads(ran.text)["amount"] == "0.405002"
    ran = tokenworks(
        "price", "publish", "book.json", "--published-at", "2026-11-25T12:00:00Z", "--by", "dana",
        "--out", "published.json",
    )  # fmt: skip
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("target", ["litellm", "genai-prices", "csv"])
def test_what_goes_out_comes_back_with_the_same_rates(litellm: Path, target: str) -> None:
    import_map()
    ran = tokenworks(
        "price", "export", "book.json", "--to", target, "--out", "out", "--format", "json"
    )
    assert ran.code == 0, ran.err
    row = {"to": target, "models": 1, "rate_cards": 2, "out": "out"}
    assert json.loads(ran.text) == row
    ran = tokenworks("price", "import", "out", "--from", target, "--at", AT, "--out", "again.json")
    assert ran.code == 0, ran.err
    before, after = (
        json.loads(Path(name).read_bytes())["rate_cards"] for name in ("book.json", "again.json")
    )
    for one in (*before, *after):
        del one["cost_none"]
    assert after == before


def test_a_book_goes_to_openrouter_and_back(litellm: Path) -> None:
    write_json(litellm.parent / "one.json", book(card(rate_of("input_tokens", "2"), model="a/b")))
    ran = tokenworks("price", "export", "one.json", "--to", "openrouter", "--out", "models.json")
    assert ran.code == 0, ran.err
    ran = tokenworks(
        "price", "import", "models.json", "--from", "openrouter", "--at", AT, "--out", "b.json"
    )
    assert ran.code == 0, ran.err


def test_an_export_that_would_lose_something_writes_nothing(litellm: Path) -> None:
    import_map()
    ran = tokenworks("price", "export", "book.json", "--to", "openrouter", "--out", "models.json")
    assert (ran.code, Path("models.json").exists()) == (2, False)
    assert ran.err == (
        "tokenworks: litellm number 1: openrouter cannot say the rate card of openai/a in batch; "
        "take it out first\n"
    )


def test_the_installed_data_of_genai_prices_needs_no_file(litellm: Path) -> None:
    pytest.importorskip("genai_prices")
    ran = tokenworks(
        "price", "import", "installed", "--from", "genai-prices", "--at", AT, "--out", "g.json",
        "--format", "json",
    )  # fmt: skip
    assert ran.code == 1
    found = json.loads(ran.text)
    assert found["refused_by_reason"] == {"a least quantity in each request": 2}
    assert found["models"] + 2 + len(found["without_price"]) == 2330


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("map.json", "--from", "litellm", "--out", "b.json"), "Missing option '--at'."),
        (("none.json", "--from", "litellm", "--at", AT, "--out", "b.json"), "cannot be read"),
        (
            ("map.json", "--from", "genai-prices", "--at", AT, "--out", "b.json"),
            "must be a provider with an id and models",
        ),
        (
            ("empty.json", "--from", "litellm", "--at", AT, "--out", "b.json"),
            "empty.json: holds no entry with a price that a book can say\n",
        ),
        (
            ("bad.json", "--from", "litellm", "--at", AT, "--out", "b.json"),
            "the first because of not a price that a number can say (input_cost_per_token is 'x')",
        ),
    ],
)
def test_an_import_of_nothing_says_why_in_one_sentence(
    litellm: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    write_json(litellm.parent / "empty.json", {})
    write_json(litellm.parent / "bad.json", {"m": {"input_cost_per_token": "x"}})
    ran = tokenworks("price", "import", *arguments)
    assert (ran.code, Path("b.json").exists()) == (2, False)
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_a_published_book_is_never_overwritten_by_an_import(litellm: Path) -> None:
    published = {**book(card(rate_of("input_tokens", "2"))), "published_at": AT}
    write_json(litellm.parent / "book.json", published)
    ran = tokenworks(
        "price", "import", "map.json", "--from", "litellm", "--at", AT, "--out", "book.json"
    )
    assert ran.code == 2
    assert "is a published price book" in ran.err


def test_a_book_is_not_written_over_by_its_export(litellm: Path) -> None:
    path = litellm.parent / "book.json"
    before = write_json(path, book(card(rate_of("input_tokens", "2")))).read_bytes()
    ran = tokenworks("price", "export", path, "--to", "csv", "--out", path)
    assert (ran.code, path.read_bytes()) == (2, before)
    assert ran.sentence == f"{path}: is what is read here; choose another name"


def test_an_import_makes_the_service_tiers_that_it_is_asked_for(litellm: Path) -> None:
    assert import_map("--service-tier", "flex", "--service-tier", "batch")["rate_cards"] == 3
    ran = tokenworks(
        "quote", "--price-book", "book.json", "--model", "openai/a", "--service-tier", "flex",
        "--unit", "input_tokens=1000", "--format", "json",
    )  # fmt: skip
    # No field names flex: LiteLLM charges the standard 2 per million, 1,000 * 2 / 10^6.
    assert json.loads(ran.text)["amount"] == "0.002"


def test_a_format_that_names_its_service_tiers_is_asked_for_none(litellm: Path) -> None:
    ran = tokenworks(
        "price", "import", "map.json", "--from", "csv", "--at", AT, "--out", "b.json",
        "--service-tier", "flex",
    )  # fmt: skip
    assert (ran.code, ran.err) == (
        2,
        "tokenworks: --service-tier: csv names the service tiers of its rates; leave it out\n",
    )
