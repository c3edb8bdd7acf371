"""The whole maps of LiteLLM and genai-prices, each imported once.

Invariant: no test changes them; they show themselves by a short name, since they are large.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pricing_rules.interchange.made_imports import GenaiData, LitellmMap


@pytest.fixture(scope="session")
def litellm_map(shared_data: Path) -> LitellmMap:
    """LiteLLM's map in ../shared/data; skips where it is absent."""
    return LitellmMap(
        (shared_data / "litellm" / "model_prices_and_context_window.json").read_bytes()
    )


@pytest.fixture(scope="session")
def genai_installed() -> GenaiData:
    """The data of the installed genai-prices; skips where it is not installed."""
    pytest.importorskip("genai_prices")
    return GenaiData()
