"""Tokens between one scrape and the next, of vLLM and of SGLang, for the mass balance.

Invariant: an interval says both counts or neither.
"""

from __future__ import annotations

import pytest

from pricing_rules.cost.readers.prometheus import token_intervals
from pricing_rules.document import DocumentError
from tests.pricing_rules.cost.readers.made_runs import SHARED
from tests.pricing_rules.cost.readers.test_prometheus import MINUTE, scrapes, served


def told(*texts: str) -> list[tuple[str, int, int | None, int | None]]:
    """Model, minute of the start, input and output of each interval."""
    return [
        (one.model, one.start_at // MINUTE, one.input_tokens, one.output_tokens)
        for one in token_intervals(scrapes(*texts))
    ]


def sglang(tokens_in: int, *, out: int, streaming: str = "", typed: bool = True) -> str:
    """What an SGLang server says of one model; ``streaming``: the label that newer ones have."""
    label = f',is_streaming="{streaming}"' if streaming else ""
    lines = []
    for name, value in (("prompt", tokens_in), ("generation", out)):
        if typed:
            lines.append(f"# TYPE sglang:{name}_tokens_total counter")
        lines.append(f'sglang:{name}_tokens_total{{model_name="s"{label}}} {value}.0')
    return "\n".join([*lines, ""])


def test_each_interval_has_the_rise_of_its_own_counters() -> None:
    # 1,000 to 1,500 to 1,600 in; 200 to 300 to 340 out
    texts = [served(1000, out=200), served(1500, out=300), served(1600, out=340)]
    assert told(*texts) == [("m", 0, 500, 100), ("m", 1, 100, 40)]


def test_an_interval_with_a_restart_is_unknown_and_the_others_are_known() -> None:
    texts = [served(1000, out=200), served(10, out=2), served(30, out=8)]
    assert told(*texts) == [("m", 0, None, None), ("m", 1, 20, 6)]


def test_a_process_that_began_again_is_known_though_its_counters_are_past_what_they_were() -> None:
    def text(tokens: int, *began: str) -> str:
        return served(
            tokens, out=tokens, further=[f"process_start_time_seconds {s}" for s in began]
        )

    assert told(text(10, "1.5e+09"), text(30, "1.5e+09")) == [("m", 0, 20, 20)]
    assert told(text(10, "1.5e+09"), text(30, "1.6e+09")) == [("m", 0, None, None)]
    # Told before and not after, nothing is known; told after alone, it is no sign.
    assert told(text(10, "1.5e+09"), text(30)) == [("m", 0, None, None)]
    assert told(text(10), text(30, "1.5e+09")) == [("m", 0, 20, 20)]


def test_a_restart_of_one_model_hides_no_other() -> None:
    def text(m: int, n: int) -> str:
        return served(m, out=m, further=served(n, out=n, model="n").splitlines())

    assert told(text(10, 50), text(20, 5)) == [("m", 0, 10, 10), ("n", 0, None, None)]


def test_a_model_that_comes_or_goes_is_unknown_then_and_absent_before_and_after() -> None:
    both = served(10, out=1, further=served(7, out=1, model="n").splitlines())
    assert told(served(1, out=0), served(2, out=0), both, served(20, out=2), served(21, out=2)) == [
        ("m", 0, 1, 0),
        ("m", 1, 8, 1),
        ("n", 1, None, None),
        ("m", 2, 10, 1),
        ("n", 2, None, None),
        ("m", 3, 1, 0),
    ]


def test_counters_of_sglang_are_read_as_those_of_vllm() -> None:
    assert told(sglang(100, out=10), sglang(160, out=25)) == [("s", 0, 60, 15)]
    assert told(sglang(100, out=10), sglang(60, out=25)) == [("s", 0, None, None)]


def test_streamed_requests_that_come_beside_others_began_at_nothing() -> None:
    # 100 to 150 as they were, and the first 30 that were streamed: 80 in; 15 + 3 = 18 out
    before = sglang(100, out=10, streaming="false")
    after = sglang(150, out=25, streaming="false") + sglang(
        30, out=3, streaming="true", typed=False
    )
    assert told(before, after) == [("s", 0, 80, 18)]
    # Beside nothing of its model it has no known origin.
    assert told("", sglang(30, out=3)) == [("s", 0, None, None)]


def test_a_server_that_counts_one_side_only_is_refused() -> None:
    alone = 'sglang:prompt_tokens_total{model_name="s"} 5\n'
    with pytest.raises(DocumentError, match="b: s has a counter of input or of output alone"):
        told(alone, alone)


def test_a_text_without_counters_has_no_intervals() -> None:
    assert told("", "") == []


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not beside this repository")
def test_a_real_text_of_vllm_is_read() -> None:
    before = (SHARED / "vllm_prometheus_metrics_fixture.txt").read_text(encoding="utf-8")
    after = before.replace("} 1234567\n", "} 1235567\n").replace("} 2345678\n", "} 2347678\n")
    assert told(before, after) == [("meta-llama/Meta-Llama-3.1-8B-Instruct", 0, 2000, 1000)]
