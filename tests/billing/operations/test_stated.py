"""Names and reasons that come by a command are held to the rule of those that come over HTTP."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from billing.operations.stated import stated_name, stated_text
from pricing_rules.document import DocumentError, Name, Text

SAID = [
    *("", " ", "\t", "a", "acme", " a", "a ", "a b", "née", "\u200b", "a\x00", "a\x1f", "a\x7f"),
    *("a\u202eb", "x" * 200, "x" * 201, "x" * 2_000, "x" * 2_001, "\N{GRINNING FACE}" * 200),
]


@pytest.mark.parametrize("text", SAID)
def test_what_is_said_is_what_a_document_could_hold(text: str) -> None:
    for stated, form in ((stated_name, Name), (stated_text, Text)):
        try:
            TypeAdapter[str](form).validate_python(text)
        except ValidationError:
            with pytest.raises(DocumentError) as refused:
                stated("--by", text=text)
            assert (refused.value.where, refused.value.path) == ("--by", ("by",))
        else:
            assert stated("--by", text=text) == text


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "reason: is empty; say it"),
        (" \n", "reason: is empty; say it"),
        ("a\nb", "reason: must not hold the control or invisible character U+000A"),
        ("a ", "reason: must not begin or end with a space"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(text: str, sentence: str) -> None:
    for stated in (stated_name, stated_text):
        with pytest.raises(DocumentError) as refused:
            stated("reason", text=text)
        assert str(refused.value) == sentence


def test_a_name_has_200_characters_and_a_reason_2_000_at_most() -> None:
    with pytest.raises(DocumentError, match="string should have at most 200 characters"):
        stated_name("account", text="x" * 201)
    with pytest.raises(DocumentError, match="string should have at most 2000 characters"):
        stated_text("reason", text="x" * 2_001)
