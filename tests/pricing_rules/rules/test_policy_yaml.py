"""What YAML would guess, a policy refuses or keeps as text: tags, aliases, keys that stand twice,
and words that other readers take for numbers or booleans.
"""

from __future__ import annotations

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.rules.policy import Policy, load_policy

POLICY = """\
schema: tokenworks.policy/1
series: SERIES
currency: USD
reference_shape: {input_tokens: 1000, output_tokens: 1000}
revenue_share: {value: "0", source: made up, source_date: "2026-10-01"}
cached_share: {value: "0.10", source: made up, source_date: "2026-10-01"}
models:
  - {name: m, precision: fp8}
service_tiers:
  - {name: standard, pool: main, minimum_margin: "0.20"}
rules:
  - id: set
    then: {action: set, rate: RATE}
    why: a round rate
"""


def load(*, series: str = "made", rate: str = '"1"', more: str = "") -> Policy:
    text = POLICY.replace("SERIES", series).replace("RATE", rate) + more
    return load_policy(text.encode(), name="policy.yaml")


def refusal(*, series: str = "made", rate: str = '"1"', more: str = "") -> str:
    with pytest.raises(DocumentError) as caught:
        load(series=series, rate=rate, more=more)
    return str(caught.value)


def test_the_policy_that_these_tests_break_loads() -> None:
    assert load().series == "made"


@pytest.mark.parametrize(
    "word", ["NO", "no", "yes", "on", "off", "1:30", "12:30:45", "010", "0x1F"]
)
def test_a_word_that_others_take_for_a_boolean_or_a_number_stays_a_word(word: str) -> None:
    assert load(series=word).series == word
    # As a rate it is a text in the wrong shape, never 90, 8, 31 or false.
    assert f'rules[0].then.rate: must be a plain decimal such as "0.25", not "{word}"' in refusal(
        rate=word
    )


@pytest.mark.parametrize("number", ["1e3", "1.5", "3", "-0.0"])
def test_a_number_without_quotes_is_no_rate(number: str) -> None:
    assert "policy.yaml:13 rules[0].then.rate: must be a string in quotes" in refusal(rate=number)


@pytest.mark.parametrize("number", ["1_000", ".inf", ".nan", "+1", "1.", "0o17"])
def test_a_number_that_only_some_readers_know_is_no_rate(number: str) -> None:
    assert "rules[0].then.rate: must be a plain decimal" in refusal(rate=number)


@pytest.mark.parametrize("quoted", ['"1e3"', '"010"', '"1_000"', '" 1"', '"-1"', '"NaN"'])
def test_quotes_do_not_make_a_rate_of_it(quoted: str) -> None:
    assert "rules[0].then.rate: must be a plain decimal" in refusal(rate=quoted)


@pytest.mark.parametrize(
    "rate, more, where",
    [
        ("!!python/object/apply:os.system ['true']", "", "policy.yaml:13: the tag"),
        ('!!str "1"', "", "policy.yaml:13: the tag"),
        ("!rate 1", "", "policy.yaml:13: the tag"),
        ("&a '1'", "", "policy.yaml:13"),
        ('"1"', "subsidies: *a\n", "policy.yaml:15"),
        ('"1"', "<<: {series: other}\n", "policy.yaml:15"),
        ('"1"', "series: other\n", 'policy.yaml:15: the key "series" stands twice; keep one'),
    ],
)
def test_tags_anchors_aliases_merges_and_keys_that_stand_twice_are_refused(
    rate: str, more: str, where: str
) -> None:
    assert where in refusal(rate=rate, more=more)


def test_an_alias_bomb_is_refused_at_its_first_anchor() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    # Ten to the twelfth x, if anybody followed the aliases.
    assert "policy.yaml:15" in refusal(more="\n".join(lines) + "\n")


def test_a_list_within_itself_is_refused() -> None:
    assert "policy.yaml:15" in refusal(more="subsidies: &a [*a]\n")


def test_a_key_that_stands_twice_inside_a_rule_is_refused() -> None:
    text = POLICY.replace("action: set,", "action: set, action: add,").replace("RATE", '"1"')
    with pytest.raises(DocumentError) as caught:
        load_policy(text.encode(), name="policy.yaml")
    assert str(caught.value) == 'policy.yaml:13: the key "action" stands twice; keep one'
