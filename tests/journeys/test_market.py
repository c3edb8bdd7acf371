"""The market by command: a dated snapshot, a book beside it, and a policy anchored to it.

The figures of the installed genai-prices move with its version: what is asserted about them is
computed from its own data, or holds for any.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices.data import providers

from pricing_rules.document import bytes_digest
from pricing_rules.rules.market import load_market
from tests.journeys.made_files import Json, Ran, book, card, rate_of, tokenworks, write_json
from tests.journeys.made_measured import MARKUP, Measured, made_measured
from tests.pricing_rules.planning.made_market import offer
from tests.pricing_rules.rules.made_documents import made_rule

MODEL = "gpt-oss-120b"
DAY = "2026-11-20T12:00:00Z"

MARKET = {
    "schema": "tokenworks.market/1",
    "source": "a page",
    "snapshot_date": "2026-11-20",
    "currency": "USD",
    "rates": [offer("0.4", "a"), offer("0.5", "b"), offer("0.9", "c")],
}


def compared(made: Measured, *flags: str | Path, market: Json = MARKET) -> Ran:
    snapshot = write_json(made.folder / "market.json", market)
    return tokenworks("price", "compare", made.book, "--market", snapshot, *flags)


@pytest.fixture
def made(tmp_path: Path) -> Measured:
    return made_measured(tmp_path)


def write_names(folder: Path, text: str) -> Path:
    path = folder / "names.yaml"
    path.write_text(f"schema: tokenworks.market-names/1\nnames:\n  {text}\n", encoding="utf-8")
    return path


# price market


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """The market of one model, as the command wrote it."""
    out = tmp_path_factory.mktemp("market") / "market.json"
    ran = tokenworks(
        *("price", "market", "--from", "genai-prices", "--model", MODEL, "--at", DAY),
        *("--out", out, "--format", "json"),
    )
    return out, ran


def test_a_snapshot_is_dated_and_says_what_it_was_made_of(snapshot: tuple[Path, Ran]) -> None:
    out, ran = snapshot
    assert ran.code == 0, ran.err
    market = load_market(out.read_bytes(), name=out.name)
    assert ran.json == json.loads(out.read_bytes())
    assert market.source.startswith("genai-prices-")
    assert " in force on 2026-11-20, sha256:" in market.source
    assert (market.snapshot_date.isoformat(), market.currency) == ("2026-11-20", "USD")
    assert f"wrote {out}: {market.source}" in ran.err
    # An entry that could not be read, and rates that no million of a unit has, are named.
    assert "left out: groq/whisper-large-v3: a least quantity in each request" in ran.err
    assert " rates that no million of their unit has\n" in ran.err


def test_its_offers_are_those_of_the_package(snapshot: tuple[Path, Ran]) -> None:
    # Read here once more, from the package's own objects: plain prices of models of this name.
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    asked: dict[str, Decimal] = {}
    for provider in providers:
        for model in provider.models:
            if model.id.rpartition("/")[2].lower() == MODEL:
                price = model.get_prices(at).output_mtok
                asked[provider.id] = price if isinstance(price, Decimal) else price.base  # type: ignore[union-attr]
    assert len(asked) > 5
    found = {
        one["offered_by"]: Decimal(one["per_mtok"])
        for one in snapshot[1].json["rates"]
        if one["unit"] == "output_tokens"
    }
    assert found == asked
    assert {one["model"] for one in snapshot[1].json["rates"]} == {MODEL}


def test_the_same_day_writes_the_same_snapshot_and_another_day_none_over_it(
    snapshot: tuple[Path, Ran], tmp_path: Path
) -> None:
    out = tmp_path / "market.json"
    words = ["price", "market", "--from", "genai-prices", "--model", MODEL, "--out", str(out)]
    assert tokenworks(*words, "--now", "2026-11-20T23:59:59Z").code == 0
    assert out.read_bytes() == snapshot[0].read_bytes()
    other = tokenworks(*words, "--at", "2026-11-21T00:00:00Z")
    assert "exists with another content; choose another name" in other.sentence


def test_a_model_that_nobody_offers_is_named_and_alone_gives_no_snapshot(tmp_path: Path) -> None:
    out = tmp_path / "market.json"
    words = ["price", "market", "--from", "genai-prices", "--at", DAY, "--out", str(out)]
    ran = tokenworks(*words, "--model", MODEL, "--model", "never-made", "--format", "csv")
    assert ran.code == 1
    assert "no offer of never-made; map its names with --names" in ran.err
    assert ran.text.splitlines()[0] == "model,unit,offers,lowest,highest"
    out.unlink()
    assert "offers none of never-made" in tokenworks(*words, "--model", "never-made").sentence
    assert not out.exists()


def test_all_of_the_market_is_a_snapshot_too(tmp_path: Path) -> None:
    out = tmp_path / "market.json"
    ran = tokenworks("price", "market", "--from", "genai-prices", "--at", DAY, "--out", out)
    assert ran.code == 0, ran.err
    market = load_market(out.read_bytes(), name=out.name)
    assert len({one.model for one in market.rates}) > 500
    assert MODEL in ran.text


# price compare


def test_a_book_is_held_against_the_installed_package(made: Measured) -> None:
    names = write_names(made.folder, f"m: [{MODEL}]")
    ran = tokenworks(
        *("price", "compare", made.book, "--market", "genai-prices", "--at", DAY),
        *("--names", names, "--format", "json"),
    )
    assert ran.code == 0, ran.err
    (output,) = (one for one in ran.json["rates"] if one["unit"] == "output_tokens")
    assert output["offers"]["count"] > 5
    lowest, median, highest = (
        Decimal(output["offers"][name]) for name in ("lowest", "median", "highest")
    )
    assert lowest <= median <= highest
    assert (ran.json["unmatched"], ran.json["unused"]) == ([], [])
    assert ran.json["market"]["snapshot_date"] == "2026-11-20"


def test_rates_and_floors_beside_a_snapshot(made: Measured) -> None:
    ran = compared(made, "--format", "json")
    assert ran.code == 0
    (output,) = (one for one in ran.json["rates"] if one["unit"] == "output_tokens")
    # .567461 against .4, .5 and .9; the floor .515873015 is over the median, so what would do is
    # .5 x .8 x .5 = .2 instead of .206349206
    assert (output["rate"], output["standing"]) == ("0.567461", "among the offers")
    assert output["offers"]["lowest_by"] == ["a"]
    assert output["floor"]["over"] == "the median"
    assert (output["floor"]["unit_cost"], output["floor"]["unit_cost_for_median"]) == (
        "0.206349206", "0.2",
    )  # fmt: skip
    (fresh, _) = (one for one in ran.json["rates"] if one["unit"] != "output_tokens")
    assert (fresh["standing"], fresh["offers"]) == ("no offer", None)


def test_the_table_says_who_and_what_unit_cost_would_do(made: Measured) -> None:
    ran = compared(made)
    assert "m standard output_tokens" in ran.text
    assert "input_tokens" not in ran.text  # without an offer: counted below
    assert (
        "m/standard/output_tokens: the floor 0.515873015 is over the median; the unit cost is "
        "0.206349206, needed: 0.16 for the lowest offer, 0.2 for the median"
    ) in ran.err
    assert "rates: 2 no offer, 1 among the offers\n" in ran.err
    assert "market: a page" in ran.err
    # Two ask the least; the median (.51 + .9) / 2 is over the floor: .51 x .8 x .5 = .204
    asked = [offer(rate, by) for by, rate in zip("abcd", ("0.51", "0.51", "0.9", "1"), strict=True)]
    ran = compared(made, market={**MARKET, "rates": asked})
    assert "a +1" in ran.text
    assert "needed: 0.204 for the lowest offer\n" in ran.err


def test_csv_has_every_figure_of_every_rate(made: Measured) -> None:
    rows = list(csv.DictReader(io.StringIO(compared(made, "--format", "csv").text)))
    assert len(rows) == 3
    (output,) = (row for row in rows if row["unit"] == "output_tokens")
    assert (output["lowest_by"], output["highest_by"]) == ("a", "c")
    # (.567461 - .5) / .5 and (.567461 - .515873015) / .515873015, cut to 4 decimals of a percent
    assert (output["against_median_percent"], output["rate_over_floor_percent"]) == (
        "13.4922", "10.0001",
    )  # fmt: skip
    assert output["unit_cost_for_lowest"] == "0.16"


def test_models_and_mapped_names_without_an_offer_are_named(tmp_path: Path) -> None:
    rates = rate_of("output_tokens", "1", per=1_000_000)
    path = write_json(tmp_path / "book.json", book(card(rates), card(rates, model="other")))
    snapshot = write_json(tmp_path / "market.json", MARKET)
    words = ["price", "compare", str(path), "--market", str(snapshot)]
    ran = tokenworks(*words, "--names", write_names(tmp_path, "other: [absent]"))
    assert ran.code == 0
    assert "no offer of other; map its names with --names\n" in ran.err
    assert "no offer is called absent, which --names names; check its spelling\n" in ran.err
    alone = write_json(tmp_path / "alone.json", book(card(rates, model="other")))
    ran = tokenworks("price", "compare", alone, "--market", snapshot)
    assert "offers no model of the book (other); map their names with --names" in ran.sentence


def test_a_snapshot_has_a_date_of_its_own(made: Measured) -> None:
    assert "a snapshot has a date of its own" in compared(made, "--at", DAY).sentence
    missing = tokenworks("price", "compare", made.book, "--market", "absent.json")
    assert "absent.json: cannot be read" in missing.sentence


# a policy anchored to the snapshot


def test_a_rate_anchored_to_a_snapshot_is_explained_down_to_the_file_and_who_offered(
    tmp_path: Path, snapshot: tuple[Path, Ran]
) -> None:
    anchor = {"action": "market", "rate": "lowest", "factor": "0.95", "model": MODEL}
    under = made_rule("anchor", then=anchor, when={"units": ["output_tokens"]})
    keep = made_rule("keep", then={"action": "at_least", "markup": "0.05"})
    made = made_measured(tmp_path)
    value = json.loads(made.policy.read_bytes())
    write_json(made.policy, {**value, "rules": [MARKUP, under, keep]})
    out = tmp_path / "anchored.json"
    ran = tokenworks(
        *("price", "derive", "--measurements", made.first, "--number", "1"),
        *("--effective-from", "2026-12-01T00:00:00Z", "--market", snapshot[0], "--out", out),
        *made.flags,
    )
    assert ran.code == 0, ran.err
    offers = [
        (Decimal(one["per_mtok"]), one["offered_by"])
        for one in snapshot[1].json["rates"]
        if one["unit"] == "output_tokens"
    ]
    lowest, by = min(offers)
    walk = tokenworks(
        *("price", "explain", out, "--model", "m", "--service-tier", "standard"),
        *("--unit", "output_tokens", "--format", "json"),
    )
    sentences = list(_sentences(walk.json))
    (anchored,) = (text for text in sentences if text.startswith("anchor: "))
    assert anchored.startswith(
        f"anchor: 0.95 x the lowest market rate {lowest} of {MODEL} ({by}, 2026-11-20): "
    )
    assert f"-> {(lowest * Decimal('0.95')).normalize():f} (why anchor)" in anchored
    assert f"market market.json, {bytes_digest(snapshot[0].read_bytes())}" in sentences


def _sentences(node: Json) -> list[str]:
    below = [text for one in node["rests_on"] for text in _sentences(one)]
    return [node["sentence"], *below]
