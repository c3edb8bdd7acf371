"""The plugin: its fixtures hold what the files of a pytest set-up hold, and what is wrong with
one is one sentence.

Invariant: every test runs a pytest of its own on files of its own, in this process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# They stay imported: a pytest run in this process forgets what it imports, which NumPy refuses.
from tests.pricing_rules.testing.example_files import EXAMPLE

pytest_plugins = ["pytester"]

USES_ALL = """
from fractions import Fraction

def test_everything(
    factory, policy, measurements, usage_mix, markets, previous_book, candidate, quote
):
    assert factory.name == "example-factory"
    assert policy.series == "example"
    assert len(measurements.points) == 69
    assert usage_mix.events == 638_000
    assert markets[0].source == "made up"
    assert (previous_book.number, candidate.number) == (7, 8)
    assert [(one.role, one.name) for one in candidate.derived_from] == [
        ("factory", "factory.yaml"), ("market", "market.json"),
        ("measurement", "h200_b200.jsonl"), ("policy", "policy.yaml"),
        ("usage_mix", "usage_mix.json"),
    ]
    amount = quote({"output_tokens": 10}, model="gpt-oss-120b", service_tier="standard")
    assert amount == Fraction("0.00000349")

def test_a_book_is_derived_once(candidate, policy_files):
    assert candidate is policy_files.candidate
"""

MARKET = """{
  "schema": "tokenworks.market/1", "source": "made up", "snapshot_date": "2026-11-01",
  "currency": "USD", "rates": [
    {"model": "gpt-oss-120b", "unit": "input_tokens", "per_mtok": "0.05", "offered_by": "they"}
  ]
}"""


def set_up(pytester: pytest.Pytester, *, options: dict[str, str], test: str) -> None:
    """A pytest.ini of these options and one file of tests."""
    lines = "".join(f"{option} = {value}\n" for option, value in options.items())
    pytester.path.joinpath("pytest.ini").write_text(f"[pytest]\n{lines}", encoding="utf-8")
    pytester.makepyfile(test)


def outcome(pytester: pytest.Pytester) -> pytest.RunResult:
    """A pytest run as a user starts it, but for its cache."""
    return pytester.runpytest_inprocess("-p", "no:cacheprovider")


def of_example() -> dict[str, str]:
    """The options of the files that a book is derived from."""
    return {
        "tokenworks_factory": str(EXAMPLE / "factory.yaml"),
        "tokenworks_policy": str(EXAMPLE / "policy.yaml"),
        "tokenworks_measurements": str(EXAMPLE / "measurements" / "h200_b200.jsonl"),
        "tokenworks_effective_from": "2026-12-01T00:00:00Z",
    }


def test_fixtures_hold_what_the_files_hold(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("market.json").write_text(MARKET, encoding="utf-8")
    measured = of_example()["tokenworks_measurements"]
    options = of_example() | {
        # One file that stands twice is one file.
        "tokenworks_measurements": f"\n  {measured}\n  {measured}",
        "tokenworks_previous_book": str(EXAMPLE / "price_book_7.json"),
        "tokenworks_usage_mix": str(EXAMPLE / "usage_mix.json"),
        "tokenworks_markets": "market.json",
    }
    set_up(pytester, options=options, test=USES_ALL)
    outcome(pytester).assert_outcomes(passed=2)


def test_the_first_book_of_a_series_needs_no_more_than_four_options(
    pytester: pytest.Pytester,
) -> None:
    test = "def test_first(candidate):\n    assert candidate.number == 1\n"
    set_up(pytester, options=of_example(), test=test)
    outcome(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "fixture, options, sentence",
    [
        (
            "factory",
            {},
            "tokenworks_factory: is not set; add it to the pytest set-up: path of factory.yaml",
        ),
        (
            "previous_book",
            {},
            "tokenworks_previous_book: is not set; add it to the pytest set-up: path of the price "
            "book before, where there is one",
        ),
        (
            "candidate",
            {**of_example(), "tokenworks_policy": ""},
            "tokenworks_policy: is not set; add it to the pytest set-up: path of policy.yaml",
        ),
        (
            "quote",
            {**of_example(), "tokenworks_effective_from": ""},
            "tokenworks_effective_from: is not set; add it to the pytest set-up: when the "
            "candidate takes effect, such as 2026-12-01T00:00:00Z",
        ),
        (
            "candidate",
            {**of_example(), "tokenworks_effective_from": "2026-12-01"},
            "tokenworks_effective_from: ",
        ),
        (
            "policy",
            {"tokenworks_policy": "nowhere.yaml"},
            "tokenworks_policy nowhere.yaml: cannot be read (no such file or directory)",
        ),
        ("policy", {"tokenworks_policy": "bad.yaml"}, "bad.yaml:1 models: missing field; add it"),
        (
            "measurements",
            {"tokenworks_measurements": "run.json"},
            "run.json: does not say hardware, ",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(
    pytester: pytest.Pytester, fixture: str, options: dict[str, str], sentence: str
) -> None:
    pytester.path.joinpath("bad.yaml").write_text(
        "schema: tokenworks.policy/1\nseries: s\ncurrency: USD\n"
        "reference_shape: {input_tokens: 1, output_tokens: 1}\n"
        'revenue_share: {value: "0", source: made up, source_date: 2026-11-01}\n'
        'cached_share: {value: "0", source: made up, source_date: 2026-11-01}\n'
        'service_tiers: [{name: standard, pool: main, minimum_margin: "0"}]\n',
        encoding="utf-8",
    )
    pytester.path.joinpath("run.json").write_text(RUN, encoding="utf-8")
    set_up(pytester, options=options, test=f"def test_it({fixture}):\n    pass\n")
    result = outcome(pytester)
    result.assert_outcomes(errors=1)
    shown = [line for line in result.outlines if sentence in line]
    assert len([line for line in shown if line.startswith(sentence)]) == 1, result.outlines
    assert not any("another exception" in line for line in result.outlines)
    assert not any("Traceback" in line or ".py:" in line for line in result.outlines[:-2])


def test_a_run_that_uses_no_fixture_imports_none_of_the_pricing_half(tmp_path: Path) -> None:
    code = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import pricing_rules.testing.plugin\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [
        "pricing_rules",
        "pricing_rules.testing",
        "pricing_rules.testing.options",
        "pricing_rules.testing.plugin",
    ]


def test_pytest_shows_the_options_with_their_meaning(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--help")
    result.stdout.fnmatch_lines(["*tokenworks_effective_from*"])
    result.stdout.fnmatch_lines(["*Tokenworks: path of factory.yaml*"])


RUN = (
    '{"model_id": "m", "output_throughput": 1, "duration": 1, "request_throughput": 1, '
    '"completed": 1, "total_input_tokens": 1, "total_output_tokens": 1, "mean_ttft_ms": 1, '
    '"mean_tpot_ms": 1, "max_concurrency": 1}'
)
"""A run of vLLM's benchmark, which does not say what it ran on."""
