"""Settings are read once from the environment; what is wrong is named, never ignored."""

from __future__ import annotations

import pytest

from billing.settings import Settings, read_settings
from pricing_rules.document import DocumentError


def test_without_variables_of_ours_the_defaults_hold() -> None:
    assert read_settings({"PATH": "/bin", "tokenworks_log_level": "loud"}) == Settings()


def test_each_variable_sets_its_field() -> None:
    environment = {"TOKENWORKS_LOG_LEVEL": "debug", "TOKENWORKS_REQUESTS_PER_S": "7"}
    found = read_settings(environment)
    assert found == Settings(log_level="debug", requests_per_s=7)


@pytest.mark.parametrize(
    "variable, text, said",
    [
        ("TOKENWORKS_LOG_LEVL", "info", "did you mean TOKENWORKS_LOG_LEVEL?"),
        ("TOKENWORKS_XYZZY", "1", "is not a setting; remove it"),
        ("TOKENWORKS_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("TOKENWORKS_LOG_LEVEL", "5", "'debug', 'info', 'warning' or 'error'"),
        ("TOKENWORKS_BODY_TIMEOUT_S", "0", "greater than or equal to 1"),
        ("TOKENWORKS_BODY_TIMEOUT_S", "601", "less than or equal to 600"),
        ("TOKENWORKS_BODY_TIMEOUT_S", "1.5", 'must be a whole number, not "1.5"'),
        ("TOKENWORKS_BODY_TIMEOUT_S", "\u0661", "must be a whole number"),
        ("TOKENWORKS_BODY_TIMEOUT_S", "", "must be a whole number"),
        ("TOKENWORKS_BODY_TIMEOUT_S", "9" * 5_000, "must be a whole number"),
    ],
)
def test_a_variable_that_is_wrong_is_named(variable: str, text: str, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_settings({variable: text})
    assert caught.value.where == variable
    assert said in caught.value.sentence


@pytest.mark.parametrize("text, seconds", [("1", 1), ("600", 600)])
def test_a_number_at_its_bound_is_taken(text: str, seconds: int) -> None:
    assert read_settings({"TOKENWORKS_BODY_TIMEOUT_S": text}).body_timeout_s == seconds
