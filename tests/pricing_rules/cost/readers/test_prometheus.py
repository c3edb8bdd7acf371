"""Tokens of vLLM and joules of DCGM between scrapes, over restarts and inflated counters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.readers.prometheus import (
    EnergyWindow,
    Scrape,
    TokenWindow,
    energy_windows,
    token_windows,
)
from pricing_rules.document import DocumentError
from tests.pricing_rules.cost.readers.made_runs import SHARED

MINUTE = 60 * 1_000_000


def scrapes(*texts: str) -> list[Scrape]:
    """Scrapes a minute apart, named a, b, c, ..."""
    return [
        Scrape(name="abcdefgh"[i], data=text.encode(), scraped_at=i * MINUTE)
        for i, text in enumerate(texts)
    ]


def served(
    tokens_in: int,
    *,
    out: int,
    model: str = "m",
    sources: dict[str, int] | None = None,
    further: Sequence[str] = (),
) -> str:
    """What a server says of one model."""
    lines = [
        "# HELP vllm:prompt_tokens_total Number of prefill tokens processed.",
        "# TYPE vllm:prompt_tokens_total counter",
        f'vllm:prompt_tokens_total{{engine="0",model_name="{model}"}} {tokens_in}.0',
        "# TYPE vllm:generation_tokens_total counter",
        f'vllm:generation_tokens_total{{engine="0",model_name="{model}"}} {out}.0',
    ]
    for source, tokens in (sources or {}).items():
        labels = f'engine="0",model_name="{model}",source="{source}"'
        lines.append(f"vllm:prompt_tokens_by_source_total{{{labels}}} {tokens}.0")
    return "\n".join([*lines, *further, ""])


def drawn(**millijoules: int) -> str:
    """What DCGM says of boards."""
    lines = ["# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter"]
    for board, value in millijoules.items():
        labels = f'gpu="0",UUID="{board}",modelName="NVIDIA H100 80GB HBM3",Hostname="node-0"'
        lines.append(f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{labels}}} {value}")
    return "\n".join([*lines, ""])


def tokens(*texts: str) -> TokenWindow:
    (window,) = token_windows(scrapes(*texts))
    return window


def energy(*texts: str) -> EnergyWindow:
    (window,) = energy_windows(scrapes(*texts))
    return window


# Tokens.


def test_tokens_of_a_window_are_the_rise_of_the_counters() -> None:
    # 1,500 - 1,000 in and 300 - 200 out in 60 s
    window = tokens(served(1000, out=200), served(1500, out=300))
    assert (window.model, window.input_tokens, window.output_tokens) == ("m", 500, 100)
    assert (window.start_at, window.end_at, window.seconds) == (0, MINUTE, 60.0)
    assert window.dropped_intervals == 0
    assert window.cached_input_tokens is None
    assert (window.requests, window.ttft_ms_mean, window.tpot_ms_mean) == (None, None, None)


def test_models_of_one_server_are_kept_apart_and_engines_of_one_model_add_up() -> None:
    def text(scale: int) -> str:
        second = served(10 * scale, out=2 * scale).replace('engine="0"', 'engine="1"')
        samples = [line for line in second.splitlines() if not line.startswith("#")]
        other = served(7 * scale, out=scale, model="n").splitlines()
        return served(100 * scale, out=20 * scale, further=samples + other)

    m, n = token_windows(scrapes(text(1), text(2)))
    assert (m.model, m.input_tokens, m.output_tokens) == ("m", 110, 22)  # 100 + 10, 20 + 2
    assert (n.model, n.input_tokens, n.output_tokens) == ("n", 7, 1)


def test_cached_input_comes_from_the_sources_and_never_from_the_inflated_counters() -> None:
    # of 500 in, 300 computed, 150 hit the cache here and 50 came from elsewhere; the counters of
    # the prefix cache say 30 times as many, because a request that waits is counted again
    first = {"local_compute": 600, "local_cache_hit": 400, "external_kv_transfer": 0}
    second = {"local_compute": 900, "local_cache_hit": 550, "external_kv_transfer": 50}
    inflated = [
        'vllm:prefix_cache_queries_total{engine="0",model_name="m"} %d',
        'vllm:prefix_cache_hits_total{engine="0",model_name="m"} %d',
    ]
    window = tokens(
        served(1000, out=200, sources=first, further=[line % 0 for line in inflated]),
        served(1500, out=300, sources=second, further=[line % 15_000 for line in inflated]),
    )
    assert (window.input_tokens, window.cached_input_tokens) == (500, 200)


@pytest.mark.parametrize("computed, kept", [(494, False), (495, True), (500, True), (506, False)])
def test_the_sources_add_up_to_the_input_within_one_percent(computed: int, kept: bool) -> None:
    # of 500: 5 less is 1 % of 500; 6 more is over 1 % of 506
    first = served(1000, out=200, sources={"local_compute": 0})
    second = served(1500, out=300, sources={"local_compute": computed})
    if kept:
        assert tokens(first, second).cached_input_tokens == 0
    else:
        with pytest.raises(DocumentError, match=f"add up to {computed} tokens, but .* rose by 500"):
            token_windows(scrapes(first, second))


def test_a_restart_drops_its_interval_with_its_seconds() -> None:
    # 500 in the first minute; the second holds the restart; 40 in the third
    window = tokens(
        served(1000, out=200), served(1500, out=300), served(10, out=2), served(50, out=12)
    )
    assert (window.input_tokens, window.output_tokens) == (540, 110)
    assert (window.seconds, window.dropped_intervals) == (120.0, 1)
    assert (window.start_at, window.end_at) == (0, 3 * MINUTE)


def test_a_restart_that_only_the_start_of_the_process_shows_drops_its_interval() -> None:
    # 500 in the first minute; in the second it began again, and counted past what it had
    began = [[f"process_start_time_seconds {at}"] for at in (1.5e9, 1.5e9, 1.6e9)]
    window = tokens(
        served(1000, out=200, further=began[0]),
        served(1500, out=300, further=began[1]),
        served(9000, out=900, further=began[2]),
    )
    assert (window.input_tokens, window.output_tokens) == (500, 100)
    assert (window.seconds, window.dropped_intervals) == (60.0, 1)


def test_an_exporter_that_began_again_has_lost_no_joules() -> None:
    # DCGM counts on the board, whatever becomes of who reads it: 6,000 J in a minute
    texts = [
        drawn(a=millijoules) + f"process_start_time_seconds {at}\n"
        for millijoules, at in ((1_000, 1.5e9), (6_001_000, 1.6e9))
    ]
    assert (energy(*texts).joules, energy(*texts).dropped_intervals) == (6_000.0, 0)


def test_a_restart_that_only_one_counter_shows_drops_all_of_them() -> None:
    # the input has overtaken what it was before the restart, the output has not
    window = tokens(served(100, out=200), served(150, out=12), served(160, out=20))
    assert (window.input_tokens, window.output_tokens, window.seconds) == (10, 8, 60.0)


def test_a_window_of_nothing_but_restarts_says_nothing() -> None:
    with pytest.raises(DocumentError, match="counters of m fell, came or went since a, as after"):
        token_windows(scrapes(served(1000, out=200), served(10, out=2)))


def test_a_model_that_comes_or_goes_has_no_known_origin() -> None:
    both = served(100, out=20, further=served(7, out=1, model="n").splitlines())
    only = served(200, out=40)
    m, n = token_windows(scrapes(served(90, out=10), both, both.replace("} 7.0", "} 9.0")))
    assert (m.seconds, m.dropped_intervals) == (120.0, 0)
    assert (n.input_tokens, n.seconds, n.dropped_intervals) == (2, 60.0, 1)
    gone = token_windows(scrapes(both, both, only))
    assert [(w.model, w.seconds, w.dropped_intervals) for w in gone] == [
        ("m", 120.0, 0),
        ("n", 60.0, 1),
    ]


def test_a_reason_of_finishing_that_comes_with_its_first_request_began_at_nothing() -> None:
    line = 'vllm:request_success_total{model_name="m",finished_reason="%s"} %d'
    window = tokens(
        served(1000, out=200, further=[line % ("stop", 10)]),
        served(1500, out=300, further=[line % ("stop", 14), line % ("abort", 1)]),
    )
    assert (window.requests, window.dropped_intervals) == (5, 0)  # 4 stopped, 1 aborted


@pytest.mark.parametrize(
    "name", ["vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"]
)
def test_mean_times_are_read_under_the_new_and_the_old_name(name: str) -> None:
    # 2 s over 10 first tokens, 4 s over 100 others
    def text(scale: int) -> list[str]:
        return [
            "# TYPE vllm:time_to_first_token_seconds histogram",
            f'vllm:time_to_first_token_seconds_bucket{{model_name="m",le="+Inf"}} {10 * scale}',
            f'vllm:time_to_first_token_seconds_count{{model_name="m"}} {10 * scale}',
            f'vllm:time_to_first_token_seconds_sum{{model_name="m"}} {2 * scale}',
            f'{name}_count{{model_name="m"}} {100 * scale}',
            f'{name}_sum{{model_name="m"}} {4 * scale}',
        ]

    window = tokens(served(1000, out=200, further=text(1)), served(1500, out=300, further=text(2)))
    assert (window.ttft_ms_mean, window.tpot_ms_mean) == (200.0, 40.0)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not beside this repository")
def test_a_real_text_of_the_old_names_is_read() -> None:
    before = (SHARED / "vllm_prometheus_metrics_fixture.txt").read_text(encoding="utf-8")
    after = before
    for old, new in (
        ('total{model_name="meta-llama/Meta-Llama-3.1-8B-Instruct"} 1234567', 1235567),
        ('total{model_name="meta-llama/Meta-Llama-3.1-8B-Instruct"} 2345678', 2347678),
        ('total{model_name="meta-llama/Meta-Llama-3.1-8B-Instruct"} 4567', 4577),
        ('first_token_seconds_sum{model_name="meta-llama/Meta-Llama-3.1-8B-Instruct"} 210.4', 211),
    ):
        assert old in after
        after = after.replace(old, f"{old.rpartition(' ')[0]} {new}")
    window = tokens(before, after)
    assert window.model == "meta-llama/Meta-Llama-3.1-8B-Instruct"
    assert (window.input_tokens, window.output_tokens, window.requests) == (2000, 1000, 10)
    assert window.ttft_ms_mean is None  # its count did not rise
    assert energy_windows(scrapes(before, after)) == ()


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=2, max_size=8))
def test_a_window_adds_up_over_its_intervals_however_often_it_is_scraped(
    rises: list[tuple[int, int]],
) -> None:
    # a server that never restarts: any scrapes in between change nothing
    texts, total_in, total_out = [], 0, 0
    for tokens_in, tokens_out in rises:
        total_in, total_out = total_in + tokens_in, total_out + tokens_out
        texts.append(served(total_in, out=total_out))
    window = tokens(*texts)
    first_in, first_out = rises[0]
    assert window.input_tokens == total_in - first_in
    assert window.output_tokens == total_out - first_out
    assert window.seconds == 60.0 * (len(rises) - 1)


# Energy.


def test_energy_is_counted_in_millijoules() -> None:
    # 42,000,000 mJ = 42 kJ in 60 s: 700 W
    window = energy(drawn(A=5_000_000_000), drawn(A=5_042_000_000))
    assert (window.accelerator, window.hardware) == ("A", "NVIDIA H100 80GB HBM3")
    assert (window.joules, window.seconds, window.power_w) == (42_000.0, 60.0, 700.0)
    assert token_windows(scrapes(drawn(A=1), drawn(A=2))) == ()


def test_each_board_drops_its_own_restarts() -> None:
    a, b = energy_windows(
        scrapes(drawn(A=1000, B=1000), drawn(A=2000, B=50), drawn(A=3000, B=1050))
    )
    assert (a.joules, a.seconds, a.dropped_intervals) == (2.0, 120.0, 0)
    assert (b.joules, b.seconds, b.dropped_intervals) == (1.0, 60.0, 1)


def test_a_board_whose_labels_change_keeps_its_name_and_loses_the_interval() -> None:
    first = drawn(A=1000)
    moved = drawn(A=2000).replace('gpu="0"', 'gpu="0",pod="p"')
    window = energy(first, moved, moved.replace("2000", "2500"))
    assert (window.joules, window.seconds, window.dropped_intervals) == (0.5, 60.0, 1)


def test_a_board_without_an_id_is_named_by_its_place() -> None:
    texts = [drawn(A=value).replace('UUID="A",', "") for value in (1000, 2000)]
    assert energy(*texts).accelerator == "node-0/0"


def test_a_board_that_is_split_is_refused_instead_of_counted_twice() -> None:
    def text(value: int) -> str:
        parts = [
            line.replace('gpu="0"', f'gpu="0",GPU_I_ID="{i}"')
            for i in (1, 2)
            for line in drawn(A=value).splitlines()[1:]
        ]
        return "\n".join([*parts, ""])

    with pytest.raises(DocumentError, match="A stands in several series, as a split board does"):
        energy_windows(scrapes(text(1), text(2)))


# What is no scrape.


@pytest.mark.parametrize(
    "made, said",
    [
        (lambda: scrapes(served(1, out=1)), "a window needs two scrapes or more"),
        (lambda: scrapes(served(1, out=1), "garbage\n"), "b: this is not Prometheus text"),
        (lambda: scrapes(served(1, out=1), 'vllm:x{m="a" 1\n'), "b: this is not Prometheus text"),
        (lambda: scrapes(served(1, out=1), served(1, out=1) * 2), "stands twice with the same"),
        (
            lambda: scrapes(served(1, out=1).replace("1.0", "NaN"), ""),
            "vllm:prompt_tokens_total is nan, which no counter is",
        ),
        (lambda: scrapes(served(1, out=1).replace("1.0", "-1"), ""), "is -1, which no counter is"),
        (lambda: scrapes(served(1, out=1).replace("1.0", "1e16"), ""), "is 1e[+]16, which no"),
        (
            lambda: scrapes(*(served(n, out=n).rpartition("# TYPE")[0] for n in (1, 2))),
            "a: m has no vllm:generation_tokens_total",
        ),
    ],
)
def test_what_is_no_scrape_is_refused_by_name(made: Callable[[], list[Scrape]], said: str) -> None:
    with pytest.raises(DocumentError, match=said):
        token_windows(made())


def test_bytes_that_are_no_text_are_refused() -> None:
    first, second = scrapes(served(1, out=1), "")
    wrong = Scrape(name="b", data=b"vllm:x 1\xff\n", scraped_at=second.scraped_at)
    with pytest.raises(DocumentError, match="b: byte 8 is not UTF-8"):
        token_windows([first, wrong])


def test_scrapes_stand_in_order_of_time() -> None:
    first, second = scrapes(served(1, out=1), served(2, out=2))
    with pytest.raises(DocumentError, match="a: was not scraped after b; mend the times"):
        token_windows([second, first])
