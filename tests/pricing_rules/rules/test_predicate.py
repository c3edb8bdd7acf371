"""Predicates: what they may ask, what is refused before anything is priced, and that they end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pricing_rules.rules.predicate import MAX_PREDICATE_CHARACTERS, VARIABLES, Predicate, holds
from tests.pricing_rules.rules.made_documents import facts_of

PREDICATE: TypeAdapter[str] = TypeAdapter(Predicate)


def refusal(text: str) -> str:
    with pytest.raises(ValidationError) as caught:
        PREDICATE.validate_python(text)
    (fault,) = caught.value.errors()
    return fault["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    "predicate, holding",
    [
        ("unit == 'output_tokens' && promised_tokens_per_s >= 60", True),
        ("unit == 'output_tokens' && promised_tokens_per_s >= 61", False),
        ('model in ["m", "n"]', True),
        ("model in []", False),
        ("precision == 'fp8' && pool == 'main' && service_tier == 'standard'", True),
        ("interruptible || region != ''", False),
        ("region == '' && window == '' && request_tokens_at_least == 0", True),
        ("dimensions['channel'] == 'partner'", True),
        ("dimensions.quality == ''", True),
        ("model.startsWith('x') || unit.matches('^output')", True),
        ("true", True),
    ],
)
def test_a_predicate_asks_what_a_rate_is(predicate: str, holding: bool) -> None:
    facts = facts_of(dimensions={"channel": "partner", "quality": ""})
    assert holds(PREDICATE.validate_python(predicate), facts=facts) is holding


def test_every_variable_can_be_asked() -> None:
    # A variable without a fact would fail at this line.
    equal = " && ".join(f"{name} == {name}" for name in VARIABLES)
    assert holds(equal, facts=facts_of())


@pytest.mark.parametrize(
    "predicate, sentence",
    [
        ("unitt == 'x'", 'column 1: "unitt" is not known; a predicate may use model, precision'),
        ("true && rate > 3", 'column 9: "rate" is not known'),
        ("floor > 3", '"floor" is not known'),
        ("unit == 3", 'column 6: "==" does not take (string, int)'),
        ("promised_tokens_per_s > 1.5", '">" does not take (int, double)'),
        ("double(promised_tokens_per_s) > 1.5", '"double" is not known'),
        ("timestamp('2026-01-01T00:00:00Z') == timestamp('2026-01-01T00:00:00Z')", "is not known"),
        ("dyn(unit) == 3", '"dyn" is not known'),
        ("[1, 2].all(x, x > 0)", '"x" is not known'),
        ("unit", "must be true or false, but is of type STRING; compare it with something"),
        ("promised_tokens_per_s + 1", "must be true or false, but is of type INT"),
        ("(unit == 'a'", "column 13: missing ')'"),
        ("unit = 'a'", "column 6: token recognition error"),
        ("promised_tokens_per_s > 99999999999999999999", "invalid int literal"),
        (f"{'(' * 40}true{')' * 40}", "is no predicate: Expression recursion limit exceeded"),
    ],
)
def test_a_predicate_that_does_not_type_is_refused_with_its_column(
    predicate: str, sentence: str
) -> None:
    assert sentence in refusal(predicate)


def test_a_predicate_has_at_most_a_thousand_characters() -> None:
    def long(characters: int) -> str:
        return f"unit == '{'x' * (characters - 10)}'"

    at, over = long(MAX_PREDICATE_CHARACTERS), long(MAX_PREDICATE_CHARACTERS + 1)
    assert (len(at), len(over)) == (1000, 1001)
    assert PREDICATE.validate_python(at) == at
    assert refusal(over) == "has 1001 characters, and a predicate at most 1000; write two rules"


@pytest.mark.parametrize(
    "predicate, reason",
    [
        ("dimensions['channel'] == 'x'", 'no rule prices a dimension "channel"'),
        ("1 / request_tokens_at_least > 0", "divide by zero"),
        ("9223372036854775807 + promised_tokens_per_s > 0", "integer overflow"),
        ("unit.matches('(')", "invalid regular expression: missing ): ("),
    ],
)
def test_a_predicate_without_a_value_for_a_rate_says_so(predicate: str, reason: str) -> None:
    with pytest.raises(ValueError, match="has no value for m/standard/output_tokens: ") as caught:
        holds(PREDICATE.validate_python(predicate), facts=facts_of())
    assert str(caught.value).endswith(reason)


def test_a_bomb_of_loops_or_of_doubled_texts_does_not_compile() -> None:
    # Without macros nothing repeats: a text of at most 1,000 characters is walked once.
    bomb = "true"
    for name in "abcdefgh":
        bomb = f"[1,2,3,4,5,6,7,8,9,10].all({name}, {bomb})"
    assert "is not known" in refusal(bomb)
    assert "is not known" in refusal("['x'].all(a, [a + a].all(b, [b + b].all(c, c == 'x')))")
    # A regular expression takes time in proportion to its text: no backtracking.
    text = "'" + "a" * 400 + "'"
    assert not holds(PREDICATE.validate_python(f"{text}.matches('^(a*)*b$')"), facts=facts_of())


NAMES = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)


@given(NAMES, NAMES, st.integers(0, 200))
def test_a_predicate_says_what_python_says(model: str, other: str, promised: int) -> None:
    facts: Any = facts_of(model=model, promised_tokens_per_s=promised)
    predicate = f"model == '{other}' || promised_tokens_per_s >= 100"
    assert holds(predicate, facts=facts) == (model == other or promised >= 100)
