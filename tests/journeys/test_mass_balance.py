"""``verify --produced``: what engines say they produced, beside the events in a store.

Invariant: 200 events of 1,000 input and 500 output tokens are what was served: 200,000 and 100,000.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.billing.operations.made_ingest import made_store
from tests.journeys.made_files import Ran, event, tokenworks, write_events
from tests.pricing_rules.cost.readers.made_runs import SHARED
from tests.pricing_rules.cost.readers.test_prometheus import served

FIRST_AT, LAST_AT = "2026-10-02T12:00:00Z", "2026-10-02T13:00:00Z"
SERVED = 200


def store_with(folder: Path, *, received: int, model: str = "m") -> Path:
    """A store with so many of the events that were served, half of their input from a cache."""
    store = folder / "store.db"
    store.write_bytes(made_store())
    units = {"input_tokens": 1_000, "cache_read_tokens": 500, "output_tokens": 500}
    events = [event(n, units, model=model) for n in range(received)]
    # One at the last scrape, and one before the first, are outside.
    events.append(event(9_001, units, model=model, time=LAST_AT))
    events.append(event(9_002, units, model=model, time="2026-10-02T11:59:59.999999Z"))
    file = write_events(folder, events, form="jsonl")
    ran = tokenworks("ingest", file, "--store", store, "--by", "me")
    assert ran.code == 0, ran.err
    return store


def produced(
    folder: Path, *texts: str, moments: tuple[str, ...] = (FIRST_AT, LAST_AT)
) -> list[str]:
    """The flags that name scrapes, each in a file of its own."""
    flags = []
    for number, (moment, text) in enumerate(zip(moments, texts, strict=True)):
        file = folder / f"scrape{number}.txt"
        file.write_text(text, encoding="utf-8")
        flags += ["--produced", f"{moment}={file}"]
    return flags


def whole(model: str = "m") -> tuple[str, str]:
    """The scrapes of one server around all that was served."""
    return served(50, out=60, model=model), served(200_050, out=100_060, model=model)


def verified(store: Path, *flags: str) -> Ran:
    return tokenworks("verify", "--store", store, *flags)


@pytest.mark.parametrize(
    "received, code",
    # Of 200: 1 is .5 %, which is allowed; 2 are 1 %.
    [(200, 0), (199, 0), (198, 1)],
)
def test_events_that_were_lost_are_found_beyond_half_a_percent(
    tmp_path: Path, received: int, code: int
) -> None:
    store = store_with(tmp_path, received=received)
    ran = verified(store, *produced(tmp_path, *whole()), "--format", "json")
    assert (ran.code, ran.json["holds"]) == (code, code == 0)
    compared = ran.json["mass_balance"]
    assert compared["window"] == f"{FIRST_AT}/{LAST_AT}"
    lost = SERVED - received
    assert [
        (r["unit"], r["produced"], r["received"], r["difference"]) for r in compared["rows"]
    ] == [
        ("input_tokens", 200_000, 1_000 * received, -1_000 * lost),
        ("output_tokens", 100_000, 500 * received, -500 * lost),
    ]
    if code:
        assert "tokenworks: mass balance: m, input_tokens: " in ran.err
        assert "produced 200,000, received 198,000, lost 1 %" in ran.err


def test_what_is_allowed_is_stated_exactly(tmp_path: Path) -> None:
    # 2 of 200 are lost, which is 1 %; .4 % of a loss passes where .5 % is allowed.
    store = store_with(tmp_path, received=198)
    flags = produced(tmp_path, *whole())
    assert verified(store, *flags, "--allowed-loss-percent", "1").code == 0
    ran = verified(store, *flags, "--allowed-loss-percent", "0.999")
    assert ran.code == 1
    assert "2 damages" in ran.err
    small = produced(tmp_path, served(0, out=0), served(198_795, out=99_397))
    # 198,795 x .996 = 197,999.82: the loss of 198,000 is just under .4 %, of 99,000 too
    assert verified(store, *small, "--allowed-loss-percent", "0.4").code == 0
    assert verified(store, *small, "--allowed-loss-percent", "0.39").code == 1


def test_tokens_that_no_engine_made_are_found_too(tmp_path: Path) -> None:
    store = store_with(tmp_path, received=202)
    ran = verified(store, *produced(tmp_path, *whole()))
    assert ran.code == 1
    assert "produced 200,000, received 202,000, surplus 1 %" in ran.err


def test_a_voided_event_is_not_received(tmp_path: Path) -> None:
    store = store_with(tmp_path, received=202)
    for number in (0, 1):
        voided = tokenworks(
            "event", "void", "gw", f"e{number}", "--reason", "twice", "--by", "me", "--store", store
        )
        assert voided.code == 0, voided.err
    ran = verified(store, *produced(tmp_path, *whole()), "--format", "json")
    assert (ran.code, ran.json["mass_balance"]["rows"][0]["difference"]) == (0, 0)


def test_models_have_our_names_and_those_of_one_side_are_named(tmp_path: Path) -> None:
    store = store_with(tmp_path, received=200, model="ours")
    flags = produced(tmp_path, *whole("maker/theirs"))
    ran = verified(store, *flags)
    assert ran.code == 1
    assert "maker/theirs, input_tokens: produced 200,000, received 0, lost 100 %" in ran.err
    assert "ours, input_tokens: received 200,000 while no engine that was scraped had it" in ran.err
    assert verified(store, *flags, "--model", "maker/theirs=ours").code == 0


def test_servers_add_up_and_time_of_a_restart_is_on_neither_side(tmp_path: Path) -> None:
    store = store_with(tmp_path, received=200)
    moments = ("2026-10-02T11:58:00Z", "2026-10-02T11:59:30Z", FIRST_AT, LAST_AT)
    # Both serve half; the second began again before it was scraped at the second moment.
    one = [served(n, out=n) for n in (0, 0, 0)] + [served(100_000, out=50_000)]
    two = [served(n, out=n) for n in (9_000, 0, 0)] + [served(100_000, out=50_000)]
    flags = produced(
        tmp_path,
        *(text for both in zip(one, two, strict=True) for text in both),
        moments=tuple(moment for moment in moments for _ in range(2)),
    )
    ran = verified(store, *flags)
    # The event just before the hour lies in a whole interval: 201 of 200 is .5 %, as is allowed.
    assert ran.code == 0
    assert "produced 200,000, received 201,000, surplus 0.5 %" in ran.text
    assert (
        "m: an engine began again, came or went between 2026-10-02T11:58:00Z and "
        "2026-10-02T11:59:30Z, so that time is on neither side" in ran.err
    )


def test_servers_stand_in_the_order_in_which_they_are_given(tmp_path: Path) -> None:
    # The names of the files say nothing: both servers have one model, and their counters differ.
    store = store_with(tmp_path, received=200)
    flags: list[str] = []
    for moment, name, count in (
        (FIRST_AT, "b.txt", 1_000_000),
        (FIRST_AT, "a.txt", 10),
        (LAST_AT, "c.txt", 1_150_000),
        (LAST_AT, "d.txt", 50_010),
    ):
        (tmp_path / name).write_text(served(count, out=count // 2), encoding="utf-8")
        flags += ["--produced", f"{moment}={tmp_path / name}"]
    # 150,000 + 50,000 in, and half as many out; told apart wrongly, one fell
    ran = verified(store, *flags)
    assert (ran.code, ran.text.count("produced 200,000, received 200,000")) == (0, 1), ran.err


def test_what_comes_in_after_an_engine_went_is_named(tmp_path: Path) -> None:
    store = store_with(tmp_path, received=200)
    # The engine is there for the first half hour; the events are of the first seconds of the hour.
    moments = ("2026-10-02T11:00:00Z", "2026-10-02T11:30:00Z", FIRST_AT, LAST_AT)
    other = served(7, out=7, model="n")
    texts = [served(n, out=n, further=other.splitlines()) for n in (0, 0)] + [other, other]
    ran = verified(store, *produced(tmp_path, *texts, moments=moments))
    assert ran.code == 0
    # 200 in the hour; the one before it is in the half hour in which the engine went
    assert "m, input_tokens: received 200,000 while no engine that was scraped had it" in ran.err
    assert "m, output_tokens: received 100,000 while no engine" in ran.err


def test_an_engine_that_began_again_and_counted_on_is_no_surplus(tmp_path: Path) -> None:
    store = store_with(tmp_path, received=200)
    # It counted 50 before it began again, and 200,000 since then: that is no 199,950.
    texts = [
        served(count, out=count // 2, further=[f"process_start_time_seconds {start}"])
        for count, start in ((50, 1.5e9), (200_000, 1.6e9))
    ]
    ran = verified(store, *produced(tmp_path, *texts))
    assert ran.code == 1
    assert "m, input_tokens: no time was seen whole between two scrapes" in ran.err


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not beside this repository")
def test_real_texts_of_vllm_are_compared(tmp_path: Path) -> None:
    store = store_with(tmp_path, received=200, model="llama")
    before = (SHARED / "vllm_prometheus_metrics_fixture.txt").read_text(encoding="utf-8")
    # 2,345,678 + 200,000 in and 1,234,567 + 100,000 out
    after = before.replace("} 2345678\n", "} 2545678\n").replace("} 1234567\n", "} 1334567\n")
    named = "meta-llama/Meta-Llama-3.1-8B-Instruct=llama"
    ran = verified(store, *produced(tmp_path, before, after), "--model", named)
    assert ran.code == 0, ran.err
    assert "llama input_tokens" in ran.text
    assert "produced 200,000, received 200,000" in ran.text
    assert "everything adds up" in ran.err


def test_what_cannot_be_compared_is_one_sentence(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    store.write_bytes(made_store())

    def said(*flags: str) -> str:
        return verified(store, *flags).sentence

    flags = produced(tmp_path, *whole())
    assert said("--produced", "a.txt").startswith("Invalid value for '--produced'")
    assert "must be MOMENT=FILE" in said("--produced", "a.txt")
    assert "must be a moment" in said("--produced", "today=a.txt")
    assert "two moments or more, and at each a scrape of every server" in said(*flags[:2])
    third = ["--produced", f"{LAST_AT}={tmp_path / 'scrape0.txt'}"]
    assert "at each a scrape of every server" in said(*flags, *third)
    assert "none.txt" in said("--produced", f"{FIRST_AT}={tmp_path / 'none.txt'}", *flags[2:])
    assert 'no engine calls a model "x"; they have m' in said(*flags, "--model", "x=y")
    assert "must be ENGINE_NAME=OUR_NAME" in said(*flags, "--model", "x")
    assert "--model: says nothing without --produced" in said("--model", "x=y")
    assert "must lie between 0 and 100" in said(*flags, "--allowed-loss-percent", "101")
    assert "must lie between 0 and 100" in said(*flags, "--allowed-loss-percent=-1")
    assert "must be a plain decimal" in said(*flags, "--allowed-loss-percent", "half")
    empty = produced(tmp_path, "", "")
    assert "holds no token counters of vLLM or SGLang" in said(*empty)
