"""Reviewing prices by command: what a new book changes, and what a policy has wrong.

Invariant: ``check`` ends with 0 where it found nothing, with 1 where it named something, and with 2
where it could not look; neither command writes a file.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.journeys.made_files import Ran, book, card, rate_of, tokenworks, write_json

STEP = {"rule": "set", "action": "set to 10", "before": "2", "after": "10", "why": "round"}


def _book(path: Path, rate: str, *, action: str = "set to 10") -> Path:
    entry = {**rate_of("output_tokens", rate, per=1_000_000), "steps": [{**STEP, "action": action}]}
    return write_json(path, book(card(entry, rate_of("input_tokens", "1", per=1_000_000))))


def _policy(folder: Path, *, changed: tuple[str, str] = ("", "")) -> Path:
    text = (folder / "policy-demo.yaml").read_text(encoding="utf-8")
    assert changed[0] in text
    path = folder / "policy.yaml"
    path.write_text(text.replace(*changed, 1), encoding="utf-8")
    return path


def _check(folder: Path, *flags: str | Path) -> Ran:
    return tokenworks(
        *("price", "check", folder / "policy.yaml", "--factory", folder / "factory.yaml"),
        *("--measurements", "aiconfigurator", "--effective-from", "2026-12-01T00:00:00Z"),
        *flags,
    )


# diff


def test_a_diff_names_each_rate_that_changed_and_the_rule_why(tmp_path: Path) -> None:
    old = _book(tmp_path / "old.json", "10")
    new = _book(tmp_path / "new.json", "12.5", action="set to 12.5")
    ran = tokenworks("price", "diff", old, new, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["rates"] == [
        {
            "model": "m", "service_tier": "standard", "unit": "output_tokens", "when": "",
            "what": "changed", "before": "10", "after": "12.5", "change_percent": "25",
            "causes": [
                {
                    "kind": "rule",
                    "sentence": "set was set to 10, is set to 12.5: 2 -> 10 (round)",
                }
            ],
        }
    ]  # fmt: skip
    assert (ran.json["documents"], ran.json["unchanged"]) == ([], 1)
    assert ran.json["old"]["number"] == ran.json["new"]["number"] == 1
    assert ran.json["old"]["digest"] != ran.json["new"]["digest"]
    table = tokenworks("price", "diff", old, new)
    assert "12.5" in table.text
    assert table.err == "1 rates differ, 1 do not\n"
    rows = list(
        csv.DictReader(io.StringIO(tokenworks("price", "diff", old, new, "--format", "csv").text))
    )
    assert [(row["before"], row["after"], row["change_percent"]) for row in rows] == [
        ("10", "12.5", "25")
    ]
    assert rows[0]["because"] == "set was set to 10, is set to 12.5: 2 -> 10 (round)"


def test_books_that_do_not_compare_are_one_sentence(tmp_path: Path) -> None:
    old = _book(tmp_path / "old.json", "10")
    euro = write_json(
        tmp_path / "euro.json", book(card(rate_of("output_tokens", "1")), currency="EUR")
    )
    assert "is in EUR, the other in USD" in tokenworks("price", "diff", old, euro).sentence
    assert "absent.json: cannot be read" in tokenworks("price", "diff", old, "absent.json").sentence


def test_a_derived_change_is_walked_back_to_the_factory(documents: Path, measured: None) -> None:
    def derive(name: str) -> Path:
        out = documents / name
        ran = tokenworks(
            *("price", "derive", "--factory", documents / "factory.yaml"),
            *("--policy", documents / "policy-demo.yaml", "--measurements", "aiconfigurator"),
            *("--number", "1", "--effective-from", "2026-12-01T00:00:00Z", "--out", out),
        )
        assert ran.code == 0, ran.err
        return out

    old = derive("old.json")
    factory = documents / "factory.yaml"
    text = factory.read_text(encoding="utf-8")
    assert text.count('"1.73"') == 1
    factory.write_text(text.replace('"1.73"', '"1.90"'), encoding="utf-8")
    diff = tokenworks("price", "diff", old, derive("new.json"), "--format", "json").json
    assert [(one["role"], one["name"]) for one in diff["documents"]] == [
        ("factory", "factory.yaml")
    ]
    causes = [cause["sentence"] for one in diff["rates"] for cause in one["causes"]]
    assert causes
    assert any(text.startswith("b200_sxm USD/h 1.73 -> 1.9 (all_in") for text in causes)
    # Batch takes half of standard, cached a tenth of input: they change through those.
    assert any(text.startswith("through standard/output_tokens: floor ") for text in causes)
    assert not any(one["what"] != "changed" for one in diff["rates"])


# check


@pytest.mark.usefixtures("measured")
def test_the_policy_of_the_demo_has_nothing_wrong(documents: Path) -> None:
    _policy(documents)
    ran = _check(documents, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {"policy": "policy.yaml", "checked": "rules and rates", "findings": []}
    alone = tokenworks("price", "check", documents / "policy.yaml", "--format", "json")
    assert (alone.code, alone.json["checked"]) == (0, "rules")


def test_rules_are_checked_without_a_factory(documents: Path) -> None:
    policy = _policy(documents, changed=("when: {service_tiers: [batch]}", "when: model == 'n'"))
    ran = tokenworks("price", "check", policy, "--format", "json")
    assert ran.code == 1
    (found,) = ran.json["findings"]
    line = policy.read_text(encoding="utf-8").splitlines().index("    when: model == 'n'") + 1
    assert found["where"] == f"policy.yaml:{line} rules[1].when"
    assert found["id"] == "unreachable_rule:batch-discount"
    table = tokenworks("price", "check", policy)
    assert table.code == 1
    assert table.err == "1 findings in policy.yaml (rules)\n"
    assert found["where"] in table.text


@pytest.mark.usefixtures("measured")
def test_rates_are_checked_with_a_factory_and_the_book_before(documents: Path) -> None:
    rail = 'guard_rails:\n  largest_change: [{share: "0.10"}]\n'
    _policy(documents, changed=("guard_rails:\n", rail))
    before = documents / "before.json"
    derived = tokenworks(
        *("price", "derive", "--factory", documents / "factory.yaml"),
        *("--policy", documents / "policy.yaml", "--measurements", "aiconfigurator"),
        *("--number", "1", "--effective-from", "2026-12-01T00:00:00Z", "--out", before),
    )
    assert derived.code == 0, derived.err
    policy = documents / "policy.yaml"
    text = policy.read_text(encoding="utf-8")
    # Floors x 1.60 become floors x 2.00: 25 % more, and a cap under floors.
    cap = (
        '  - id: cap\n    then: {action: at_most, rate: "0.0001"}\n    why: "far too low"\n'
        "  - id: batch-discount"
    )
    text = text.replace('share: "0.60"', 'share: "1.00"').replace("  - id: batch-discount", cap)
    policy.write_text(text, encoding="utf-8")
    ran = _check(documents, "--previous", before, "--format", "json")
    assert ran.code == 1, ran.err
    kinds = {one["kind"] for one in ran.json["findings"]}
    assert kinds >= {"floor_clash", "largest_change"}
    line = text.splitlines().index('    then: {action: at_most, rate: "0.0001"}') + 1
    clash = next(one for one in ran.json["findings"] if one["kind"] == "floor_clash")
    assert clash["where"] == f"policy.yaml:{line} rules[1].then"
    # Without the book before there is no change to hold anything against.
    alone = {one["kind"] for one in _check(documents, "--format", "json").json["findings"]}
    assert "largest_change" not in alone


def test_what_a_check_cannot_look_at_is_one_sentence(documents: Path) -> None:
    policy = _policy(documents)
    for flags in (("--factory", "f.yaml"), ("--measurements", "m.csv"), ("--market", "m.json"),
                  ("--previous", "b.json")):  # fmt: skip
        ran = tokenworks("price", "check", policy, *flags)
        assert "rates are checked with both --factory and --measurements" in ran.sentence
    assert "absent.yaml: cannot be read" in tokenworks("price", "check", "absent.yaml").sentence
    wrong = tokenworks("price", "check", policy, "--effective-from", "tomorrow")
    assert 'must be a moment such as "2026-10-01T00:00:00Z"' in wrong.sentence
    bad = _policy(documents, changed=("when: {service_tiers: [batch]}", "when: servce_tier == 'x'"))
    assert (
        '"servce_tier" is not known; a predicate may use'
        in tokenworks("price", "check", bad).sentence
    )


@pytest.mark.usefixtures("measured")
def test_a_policy_may_be_anchored_to_a_market_file(documents: Path) -> None:
    anchor = (
        "  - id: anchor\n    when: {models: [gpt-oss-120b], service_tiers: [standard], units: "
        '[output_tokens]}\n    then: {action: market, rate: lowest, factor: "0.95"}\n'
        '    why: "under what others ask for gpt-oss-120b in standard"\n  - id: batch-discount'
    )
    _policy(documents, changed=("  - id: batch-discount", anchor))
    offer = {"model": "gpt-oss-120b", "unit": "output_tokens", "per_mtok": "0.60"}
    market = {
        "schema": "tokenworks.market/1",
        "source": "pages of two providers",
        "snapshot_date": "2026-11-20",
        "currency": "USD",
        "rates": [
            {**offer, "offered_by": "one"},
            {**offer, "per_mtok": "0.80", "offered_by": "two"},
        ],
    }
    path = documents / "market.json"
    path.write_text(json.dumps(market), encoding="utf-8")
    out = documents / "anchored.json"
    ran = tokenworks(
        *("price", "derive", "--factory", documents / "factory.yaml"),
        *("--policy", documents / "policy.yaml", "--measurements", "aiconfigurator"),
        *("--market", path, "--number", "1", "--effective-from", "2026-12-01T00:00:00Z"),
        *("--out", out, "--format", "json"),
    )
    assert ran.code == 0, ran.err
    assert {one["role"] for one in ran.json["derived_from"]} == {
        "factory", "market", "measurement", "policy",
    }  # fmt: skip
    (standard,) = [
        one
        for one in ran.json["rate_cards"]
        if (one["model"], one["service_tier"]) == ("gpt-oss-120b", "standard")
    ]
    actions = [step["action"] for rate in standard["rates"] for step in rate["steps"]]
    assert "0.95 x the lowest market rate 0.6 of gpt-oss-120b (one, 2026-11-20)" in actions
    assert _check(documents, "--market", path).code in (0, 1)


# publish


def test_where_an_author_is_named_another_person_signs(tmp_path: Path) -> None:
    finding = {"id": "stale:x", "kind": "stale", "sentence": "see x"}
    candidate = write_json(
        tmp_path / "candidate.json", book(card(rate_of("input_tokens", "1")), findings=[finding])
    )

    def publish(by: str) -> Ran:
        return tokenworks(
            *("price", "publish", candidate, "--published-at", "2026-11-25T12:00:00Z"),
            *("--by", by, "--author", "dana", "--sign-off", "stale:x=seen"),
            *("--out", tmp_path / "book.json"),
        )

    assert "dana wrote the candidate; another person signs it off" in publish("dana").sentence
    assert not (tmp_path / "book.json").exists()
    assert publish("grace").code == 0


def test_too_short_a_notice_is_signed_when_the_book_is_published(tmp_path: Path) -> None:
    def publish(name: str, *flags: str | Path, **fields: object) -> Ran:
        value = book(card(rate_of("input_tokens", "1")), notice_days_at_least=30, **fields)
        candidate = write_json(tmp_path / f"{name}-candidate.json", value)
        return tokenworks(
            *("price", "publish", candidate, "--published-at", "2026-11-25T12:00:00Z"),
            *("--by", "dana", *flags, "--out", tmp_path / f"{name}.json"),
        )

    assert publish("first").code == 0  # nobody had a rate before
    follow = ("--previous", tmp_path / "first.json")
    later = {"number": 2, "effective_from": "2026-12-24T12:00:00Z"}
    missing = publish("second", *follow, **later).sentence
    assert missing == "sign-offs: missing for 1 of 1 findings: notice_period:2"
    ran = publish("second", *follow, "--sign-off", "notice_period:*=rates fall", **later)
    assert ran.code == 0, ran.err
    kept = publish("third", *follow, number=2, effective_from="2026-12-25T12:00:00Z")
    assert kept.code == 0, kept.err
