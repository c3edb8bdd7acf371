"""Reads what exporters publish as Prometheus text: tokens of vLLM and of SGLang, joules of DCGM,
over a window.

A counter says how much since its process began; only the difference of two scrapes is a fact. A
process that began again in between has a new origin, so what it counted in that interval is lost.

Invariant: an interval in which a counter fell, came or went, or its process says that it began
again, counts for nothing, neither its tokens nor its seconds: a rate over a window is one of the
intervals that were seen whole.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from pricing_rules.document import DocumentError

_AGREEMENT: Final = 0.01
_EXACT: Final = 2**53
_US: Final = 1_000_000
_MJ_PER_J: Final = 1000
_INPUT: Final = "vllm:prompt_tokens_total"
_OUTPUT: Final = "vllm:generation_tokens_total"
_BY_SOURCE: Final = "vllm:prompt_tokens_by_source_total"
_CACHED_SOURCES: Final = frozenset({"local_cache_hit", "external_kv_transfer"})
_REQUESTS: Final = "vllm:request_success_total"
_TTFT: Final = ("vllm:time_to_first_token_seconds",)
# The newer name first: some releases publish both.
_TPOT: Final = ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
_ENERGY: Final = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
_BEGAN: Final = "process_start_time_seconds"

_TOKEN_NAMES: Final = frozenset(
    {_INPUT, _OUTPUT, _BY_SOURCE, _REQUESTS}
    | {f"{name}_{part}" for name in (*_TTFT, *_TPOT) for part in ("sum", "count")}
)
# Those that are there from the start of a process; others may come with the first that they count.
_FROM_START: Final = frozenset({_INPUT, _OUTPUT, _ENERGY})

# Of vLLM and SGLang; input with the cached tokens.
_INPUTS: Final = frozenset({_INPUT, "sglang:prompt_tokens_total"})
_OUTPUTS: Final = frozenset({_OUTPUT, "sglang:generation_tokens_total"})
_READ: Final = _TOKEN_NAMES | _INPUTS | _OUTPUTS | {_ENERGY, _BEGAN}

Labels = frozenset[tuple[str, str]]
Series = tuple[str, Labels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """The text that an exporter gave at a moment (UTC, microseconds)."""

    name: str
    data: bytes
    scraped_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWindow:
    """What was served of one model between the first and the last scrape.

    ``seconds`` are those of the intervals that count; over a window without a restart, all of them.
    ``input_tokens`` include the cached ones, which are None where the server does not tell them
    apart. Times are means over the window, None where no request ended in it.
    """

    model: str
    start_at: int
    end_at: int
    seconds: float
    input_tokens: int
    cached_input_tokens: int | None
    output_tokens: int
    requests: int | None
    ttft_ms_mean: float | None
    tpot_ms_mean: float | None
    dropped_intervals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInterval:
    """What a server produced of one model between two scrapes, one after the other.

    ``input_tokens`` include the cached ones. Both counts are None where a counter fell, came or
    went: the server began again, and nothing is known of the time between.
    """

    model: str
    start_at: int
    end_at: int
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyWindow:
    """What one accelerator's board took between the first and the last scrape.

    ``seconds`` are those of the intervals that count. Board energy is without host, fans and PUE.
    """

    accelerator: str
    hardware: str
    start_at: int
    end_at: int
    seconds: float
    joules: float
    dropped_intervals: int

    @property
    def power_w(self) -> float:
        """Mean watts of the board over the intervals that count."""
        return self.joules / self.seconds


def token_windows(scrapes: Sequence[Scrape]) -> tuple[TokenWindow, ...]:
    """Tokens by model from two or more scrapes of vLLM, in order of time; none where there are no
    such counters.

    Cached input comes from ``prompt_tokens_by_source_total`` alone: the counters of the prefix
    cache count a request again each time that it is queued again, up to 30 times over. Several
    engines of one model add up. Raises DocumentError where a text is not Prometheus text, scrapes
    are not in order, the sources of the input tokens do not add up to them within 1 %, or every
    interval of a model holds a restart.
    """
    read = _read(scrapes)
    models = sorted({dict(labels).get("model_name", "") for labels in _labels(read, name=_INPUT)})
    return tuple(_token_window(model, scrapes=scrapes, read=read) for model in models)


def token_intervals(scrapes: Sequence[Scrape]) -> tuple[TokenInterval, ...]:
    """Tokens by interval and model from two or more scrapes of one vLLM or SGLang server, in order
    of time; a model that stands in neither scrape of an interval is not in it.

    A series that comes beside others of its model began at nothing: SGLang keeps streamed requests
    apart from the others. Raises DocumentError as ``token_windows`` does, but for restarts.
    """
    read = _read(scrapes)
    found = []
    for (first, second), (before, after) in zip(pairwise(scrapes), pairwise(read), strict=True):
        by_model: dict[str, set[Series]] = defaultdict(set)
        for key in before.keys() | after.keys():
            if key[0] in _INPUTS | _OUTPUTS:
                by_model[dict(key[1]).get("model_name", "")].add(key)
        for model, series in sorted(by_model.items()):
            if not all({name for name, _ in series} & names for names in (_INPUTS, _OUTPUTS)):
                raise DocumentError(
                    second.name, f"{model} has a counter of input or of output alone"
                )
            known = _produced(series, before=before, after=after)
            found.append(
                TokenInterval(
                    model=model,
                    start_at=first.scraped_at,
                    end_at=second.scraped_at,
                    input_tokens=None if known is None else known[0],
                    output_tokens=None if known is None else known[1],
                )
            )
    return tuple(found)


def _produced(
    series: set[Series], *, before: Mapping[Series, float], after: Mapping[Series, float]
) -> tuple[int, int] | None:
    """Input and output by which the counters of one model rose; None where that is not known."""
    began = {key for key in before if key[0] == _BEGAN}
    risen = _risen(series | began, before=before, after=after)
    stood = {name for name, _ in series & before.keys()}
    if risen is None or not {name for name, _ in series} <= stood:
        return None
    inputs, outputs = (
        math.fsum(rise for (name, _), rise in risen.items() if name in names)
        for names in (_INPUTS, _OUTPUTS)
    )
    return round(inputs), round(outputs)


def energy_windows(scrapes: Sequence[Scrape]) -> tuple[EnergyWindow, ...]:
    """Joules by accelerator from two or more scrapes of DCGM, in order of time; none where there
    are no such counters.

    DCGM counts millijoules. An accelerator is named by its UUID, or by host and number where the
    exporter gives none. Raises DocumentError as ``token_windows`` does.
    """
    read = _read(scrapes)
    found = []
    boards: dict[str, set[Labels]] = defaultdict(set)
    for labels in _labels(read, name=_ENERGY):
        boards[_board(dict(labels))].add(labels)
    for board in sorted(boards):
        _check_single(boards[board], board=board, scrapes=scrapes, read=read)
        series = {(_ENERGY, labels) for labels in boards[board]}
        rise = _rise(series, scrapes=scrapes, read=read, about=board)
        hardware = next(dict(labels).get("modelName", "") for labels in boards[board])
        found.append(
            EnergyWindow(
                accelerator=board,
                hardware=hardware,
                start_at=scrapes[0].scraped_at,
                end_at=scrapes[-1].scraped_at,
                seconds=rise.seconds,
                joules=sum(rise.by_series.values()) / _MJ_PER_J,
                dropped_intervals=rise.dropped,
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rise:
    """By how much each series rose over the intervals that count."""

    by_series: Mapping[Series, float]
    seconds: float
    dropped: int

    def of(self, *names: str) -> float | None:
        """The rise of all series of the first of these names that is there."""
        for name in names:
            found = [rise for (key, _), rise in self.by_series.items() if key == name]
            if found:
                return math.fsum(found)
        return None


def _token_window(
    model: str, *, scrapes: Sequence[Scrape], read: Sequence[Mapping[Series, float]]
) -> TokenWindow:
    series = {
        (name, labels)
        for values in read
        for name, labels in values
        if name == _BEGAN or (name in _TOKEN_NAMES and dict(labels).get("model_name", "") == model)
    }
    rise = _rise(series, scrapes=scrapes, read=read, about=model or "the model")
    inputs, outputs, requests = rise.of(_INPUT), rise.of(_OUTPUT), rise.of(_REQUESTS)
    if inputs is None or outputs is None:
        raise DocumentError(
            scrapes[0].name, f"{model} has no {_OUTPUT if outputs is None else _INPUT}"
        )
    cached = _cached(rise, input_tokens=inputs, name=scrapes[-1].name)
    return TokenWindow(
        model=model,
        start_at=scrapes[0].scraped_at,
        end_at=scrapes[-1].scraped_at,
        seconds=rise.seconds,
        input_tokens=round(inputs),
        cached_input_tokens=None if cached is None else round(cached),
        output_tokens=round(outputs),
        requests=None if requests is None else round(requests),
        ttft_ms_mean=_mean_ms(rise, names=_TTFT),
        tpot_ms_mean=_mean_ms(rise, names=_TPOT),
        dropped_intervals=rise.dropped,
    )


def _cached(rise: _Rise, *, input_tokens: float, name: str) -> float | None:
    sources = [
        (dict(labels).get("source"), tokens)
        for (key, labels), tokens in rise.by_series.items()
        if key == _BY_SOURCE
    ]
    if not sources:
        return None
    total = math.fsum(tokens for _, tokens in sources)
    if abs(total - input_tokens) > _AGREEMENT * max(total, input_tokens):
        raise DocumentError(
            name,
            f"the sources of the input add up to {total:.0f} tokens, but {_INPUT} rose by "
            f"{input_tokens:.0f}",
        )
    return math.fsum(tokens for source, tokens in sources if source in _CACHED_SOURCES)


def _mean_ms(rise: _Rise, *, names: Sequence[str]) -> float | None:
    for name in names:
        seconds, count = rise.of(f"{name}_sum"), rise.of(f"{name}_count")
        if seconds is not None and count:
            return seconds / count * 1000
    return None


def _rise(
    series: set[Series],
    *,
    scrapes: Sequence[Scrape],
    read: Sequence[Mapping[Series, float]],
    about: str,
) -> _Rise:
    """The rise of these series together: an interval that one of them breaks counts for none."""
    rises: dict[Series, float] = dict.fromkeys(sorted(series, key=_order), 0.0)
    seconds, dropped = 0.0, 0
    for (first, second), (before, after) in zip(pairwise(scrapes), pairwise(read), strict=True):
        risen = _risen(series, before=before, after=after)
        if risen is None:
            dropped += 1
            continue
        seconds += (second.scraped_at - first.scraped_at) / _US
        for key, rise in risen.items():
            rises[key] += rise
    if not seconds:
        raise DocumentError(
            scrapes[-1].name,
            f"counters of {about} fell, came or went since {scrapes[0].name}, as after a restart, "
            "so nothing is known of the time between; scrape more often",
        )
    return _Rise(by_series=rises, seconds=seconds, dropped=dropped)


def _risen(
    series: set[Series], *, before: Mapping[Series, float], after: Mapping[Series, float]
) -> Mapping[Series, float] | None:
    """The rise of each series that is there, None where one fell, came or went."""
    present = {key for key in series if key in before or key in after}
    for key in present:
        came = key not in before and key[0] in _FROM_START
        if came or key not in after or after[key] < before.get(key, 0.0):
            return None
        if key[0] == _BEGAN and after[key] != before.get(key, after[key]):
            return None  # it has counted past what it had before
    return {key: after[key] - before.get(key, 0.0) for key in present} or None


def _order(series: Series) -> tuple[str, list[tuple[str, str]]]:
    return series[0], sorted(series[1])


def _read(scrapes: Sequence[Scrape]) -> list[Mapping[Series, float]]:
    if len(scrapes) < 2:
        raise DocumentError("scrapes", "a window needs two scrapes or more")
    for first, second in pairwise(scrapes):
        if second.scraped_at <= first.scraped_at:
            raise DocumentError(second.name, f"was not scraped after {first.name}; mend the times")
    return [_values(scrape) for scrape in scrapes]


def _values(scrape: Scrape) -> Mapping[Series, float]:
    """The value of each series of ours. DocumentError where a text is none, or a series twice."""
    found: dict[Series, float] = {}
    try:
        text = scrape.data.decode("utf-8")
        for name, labels, value in _samples(text):
            if not 0 <= value < _EXACT:
                raise DocumentError(scrape.name, f"{name} is {value:g}, which no counter is")
            if (name, labels) in found:
                raise DocumentError(
                    scrape.name,
                    f"{name} stands twice with the same labels; read each server by itself",
                )
            found[name, labels] = value
    except UnicodeDecodeError as error:
        raise DocumentError(scrape.name, f"byte {error.start} is not UTF-8") from None
    except DocumentError:
        raise
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise DocumentError(scrape.name, f"this is not Prometheus text ({reason:.80})") from None
    return found


def _samples(text: str) -> Iterator[tuple[str, Labels, float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            # The parser gives a counter the suffix that DCGM leaves out.
            name = _ENERGY if sample.name == f"{_ENERGY}_total" else sample.name
            if name in _READ:
                yield name, frozenset(sample.labels.items()), float(sample.value)


def _check_single(
    labels: set[Labels],
    *,
    board: str,
    scrapes: Sequence[Scrape],
    read: Sequence[Mapping[Series, float]],
) -> None:
    """A board that is split into instances repeats its energy for each of them."""
    for scrape, values in zip(scrapes, read, strict=True):
        if sum((_ENERGY, one) in values for one in labels) > 1:
            raise DocumentError(
                scrape.name, f"{board} stands in several series, as a split board does; not read"
            )


def _labels(read: Sequence[Mapping[Series, float]], *, name: str) -> set[Labels]:
    return {labels for values in read for key, labels in values if key == name}


def _board(labels: Mapping[str, str]) -> str:
    by_place = "/".join(labels[key] for key in ("Hostname", "gpu") if labels.get(key))
    return labels.get("UUID") or by_place
