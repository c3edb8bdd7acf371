"""The pytest plugin: options that name a team's files, and fixtures of what they hold and derive.

Invariant: a pytest run that asks for none of the fixtures pays for this file alone, which is why
every import of the pricing half is inside of a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pricing_rules.testing.options import OF_LINES, OPTIONS

if TYPE_CHECKING:
    from pricing_rules.cost.factory import Factory
    from pricing_rules.cost.readers.measurements import Measurements
    from pricing_rules.prices.price_book import PriceBook
    from pricing_rules.rules.market import Market
    from pricing_rules.rules.policy import Policy
    from pricing_rules.testing.files import PolicyFiles
    from pricing_rules.testing.request_assertions import Quotes
    from pricing_rules.usage.mix import UsageMix


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options for pytest.ini and pyproject.toml."""
    for name, meaning in OPTIONS.items():
        if name in OF_LINES:
            parser.addini(name, help=f"Tokenworks: {meaning}", type="linelist")
        else:
            parser.addini(name, help=f"Tokenworks: {meaning}", type="string")


@contextmanager
def _one_sentence() -> Iterator[None]:
    """What is wrong with a document is one sentence of the test report, without a traceback."""
    from pricing_rules.document import DocumentError

    try:
        yield
    except DocumentError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture(scope="session")
def policy_files(pytestconfig: pytest.Config) -> PolicyFiles:
    """The files that the options name, each read once."""
    from pricing_rules.testing.files import PolicyFiles

    return PolicyFiles(pytestconfig.rootpath, stated=pytestconfig.getini)


@pytest.fixture(scope="session")
def factory(policy_files: PolicyFiles) -> Factory:
    """``factory.yaml``: what an accelerator-hour costs."""
    with _one_sentence():
        return policy_files.factory


@pytest.fixture(scope="session")
def policy(policy_files: PolicyFiles) -> Policy:
    """``policy.yaml``: promises and rules."""
    with _one_sentence():
        return policy_files.policy


@pytest.fixture(scope="session")
def measurements(policy_files: PolicyFiles) -> Measurements:
    """What the measurement files hold together."""
    with _one_sentence():
        return policy_files.measurements


@pytest.fixture(scope="session")
def usage_mix(policy_files: PolicyFiles) -> UsageMix:
    """What accounts were served."""
    with _one_sentence():
        return policy_files.usage_mix


@pytest.fixture(scope="session")
def markets(policy_files: PolicyFiles) -> tuple[Market, ...]:
    """The market snapshots that rules anchor to."""
    with _one_sentence():
        return policy_files.markets


@pytest.fixture(scope="session")
def previous_book(policy_files: PolicyFiles) -> PriceBook:
    """The price book before."""
    with _one_sentence():
        return policy_files.previous_book


@pytest.fixture(scope="session")
def candidate(policy_files: PolicyFiles) -> PriceBook:
    """The price book that the files derive, derived once for all tests."""
    with _one_sentence():
        return policy_files.candidate


@pytest.fixture(scope="session")
def quote(candidate: PriceBook) -> Quotes:
    """Prices requests of the candidate: ``quote({"input_tokens": 1200}, model=...,
    service_tier=...)`` is the exact amount.
    """
    from pricing_rules.testing.request_assertions import Quotes

    return Quotes.of(candidate)
