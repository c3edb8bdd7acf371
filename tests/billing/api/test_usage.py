"""Usage of an account: its sums equal totals and events, in pages that are complete (I47)."""

from __future__ import annotations

import base64
import json
from collections import Counter
from itertools import count
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.store.usage_totals import read_all_totals
from pricing_rules.period import moment_text, parse_moment
from pricing_rules.usage.units import UNITS
from tests.billing.api.made_service import BATCH, Made, sent

Json = Any

HOUR = 3_600_000_000
START_AT = parse_moment("2026-10-01T00:00:00Z")


def all_sums(made: Made, account: str = "a", *, limit: str = "100", **query: str) -> list[Json]:
    """The sums of all pages of a question."""
    found: list[Json] = []
    cursor: dict[str, str] = {}
    while True:
        answer = made.usage(account, limit=limit, **query, **cursor)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["data"]
        if page["cursor"] is None:
            return found
        assert len(page["data"]) == int(limit)
        cursor = {"cursor": page["cursor"]}


EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "hours": st.integers(0, 30),
            "model": st.sampled_from(["m", "n"]),
            "region": st.sampled_from(["", "eu"]),
            "dimensions": st.sampled_from([{}, {"team": "x"}, {"team": 'y"z'}]),
            "units": st.dictionaries(
                st.sampled_from(["input_tokens", "output_tokens", "audio_seconds"]),
                st.integers(0, 10**6),
                max_size=3,
            ),
        }
    ),
    min_size=1,
    max_size=12,
)


def test_pages_put_together_are_the_sums_of_the_events_and_of_the_totals(made: Made) -> None:
    example = count()

    @settings(max_examples=40)
    @given(drawn=EVENTS, limit=st.sampled_from(["1", "2", "5", "100"]))
    def each(drawn: list[Json], limit: str) -> None:
        account = f"account {next(example)}"
        by_hour: Counter[tuple[str, ...]] = Counter()
        plain: Counter[str] = Counter()
        events = []
        for number, one in enumerate(drawn):
            at = moment_text(START_AT + one["hours"] * HOUR)
            fields = {name: one[name] for name in ("model", "region", "dimensions")}
            event = sent(number, **fields, time=at, account=account, source=account)
            event["data"]["units"] = one["units"]
            events.append(event)
            for unit, reported in {**one["units"], "requests": 1}.items():
                leaf = reported * UNITS[unit].scale
                by_hour[at, one["model"], one["dimensions"].get("team", ""), unit] += leaf
                plain[unit] += leaf
        answer = made.post(events, form=BATCH)
        assert answer.json()["accepted"] == len(events), answer.text
        sums = all_sums(made, account, limit=limit, step="hour", by="model,dimensions.team")
        found = {
            (
                one["start_at"],
                one["labels"]["model"],
                one["labels"]["dimensions.team"] or "",
                one["unit"],
            ): one["count"]
            for one in sums
        }
        assert len(found) == len(sums)
        assert found == +by_hour
        whole = {s["unit"]: s["count"] for s in all_sums(made, account, step="period")}
        assert whole == +plain
        with made.store.read() as connection:
            totals = read_all_totals(connection, account=account)
        kept: Counter[str] = Counter()
        for total in totals:
            kept.update({"requests": total.events, **total.leaves})
        assert whole == +kept

    each()


def test_units_of_a_sum_are_disjoint(made: Made) -> None:
    event = sent(1, time="2026-10-02T12:30:00Z")
    event["data"]["units"] = {"input_tokens": 1_200, "cache_read_tokens": 400}
    made.post(event)
    counts = {one["unit"]: one["count"] for one in all_sums(made)}
    # 1,200 reported, of which 400 were cached: 800 + 400.
    assert counts == {"input_tokens": 800, "cache_read_tokens": 400, "requests": 1}
    text = made.client.get("/openapi.json").json()["paths"]["/v1/accounts/{account}/usage"]
    assert "Units are disjoint" in text["get"]["description"]


def test_an_account_whose_name_holds_slashes_is_asked_for_by_it(made: Made) -> None:
    for number, account in enumerate(("team/alice", "../a", "/"), start=1):
        made.post(sent(number, number, account=account))
        own = made.key("account", account=account)
        name = quote(account, safe="")
        assert made.get(f"/v1/accounts/{name}", key=own).json()["account"] == account
        answer = made.usage(name, key=own)
        assert (answer.status_code, answer.json()["account"]) == (200, account)
        assert answer.json()["data"][0]["count"] == number
        assert made.usage(name.replace("%2F", "%2f"), key=own).content == answer.content
        # Nor one whose name begins with its own, or is a part of it.
        for other in (f"{account}b", account[:-1] or "a", "team", "a"):
            assert made.usage(quote(other, safe=""), key=own).status_code == 404
    assert 'route="/v1/accounts/{account}/usage",status="200"} 6.0' in made.get("/metrics").text


def test_a_question_that_says_one_thing_twice_is_refused(made: Made) -> None:
    headers = {"authorization": f"Bearer {made.operator}"}
    for query in ("account=a&limit=1&account=b", "account=a&account=a"):
        answer = made.client.get(f"/v1/events?{query}", headers=headers)
        assert answer.status_code == 400
        assert answer.json()["detail"] == "query account: is given twice; give it once"
    assert made.client.get("/v1/events?account=a&limit=1", headers=headers).status_code == 200
    # Who has no key is told nothing of it.
    assert made.client.get("/v1/events?account=a&account=a").status_code == 401


def test_a_sum_says_its_step_and_its_scale(made: Made) -> None:
    event = sent(1, time="2026-10-02T12:30:00Z", region="eu")
    event["data"]["units"] = {"audio_seconds": "2.5"}
    made.post(event)
    (seconds, requests) = all_sums(made, step="hour", by="region,outcome")
    assert seconds == {
        "start_at": "2026-10-02T12:00:00Z",
        "end_at": "2026-10-02T13:00:00Z",
        "labels": {"region": "eu", "outcome": "completed"},
        "unit": "audio_seconds",
        "scale": 1000,
        "count": 2500,
    }
    assert (requests["unit"], requests["count"]) == ("requests", 1)
    (day, _) = all_sums(made)
    assert (day["start_at"], day["end_at"]) == ("2026-10-02T00:00:00Z", "2026-10-03T00:00:00Z")


def test_steps_end_with_the_period_and_its_end_is_not_in_it(made: Made) -> None:
    times = [
        "2026-10-02T11:59:59.999999Z",
        "2026-10-02T12:00:00Z",
        "2026-10-02T12:29:59.999999Z",
        "2026-10-02T12:30:00Z",
    ]
    made.post([sent(n, 1, time=time) for n, time in enumerate(times)], form=BATCH)
    period = {"start_at": "2026-10-02T12:00:00Z", "end_at": "2026-10-02T12:30:00Z"}
    (tokens, requests) = made.usage(step="day", **period).json()["data"]
    assert (tokens["count"], requests["count"]) == (2, 2)
    assert (tokens["start_at"], tokens["end_at"]) == tuple(period.values())


def test_what_comes_in_between_pages_changes_none_of_them(made: Made) -> None:
    # Equal keys, earlier and later ones: the pages are the sums as they stood at the first (I47).
    made.post([sent(n, 1, time=f"2026-10-{n + 2:02}T00:00:00Z") for n in range(5)], form=BATCH)
    before = all_sums(made)
    first = made.usage(limit="3").json()
    later = [sent(n, 7, time=f"2026-10-{n - 8:02}T00:00:00Z") for n in range(10, 20)]
    assert made.post(later, form=BATCH).json()["accepted"] == 10
    found, cursor = first["data"], first["cursor"]
    while cursor is not None:
        page = made.usage(limit="3", cursor=cursor).json()
        found, cursor = found + page["data"], page["cursor"]
    assert found == before
    assert len(all_sums(made)) > len(before)


def test_sums_go_beyond_64_bits(made: Made) -> None:
    # 2^64 would need 18 million events of 10^12: the parts above and below 2^32 are summed apart.
    made.post([sent(n, 10**12) for n in range(3)], form=BATCH)
    (tokens, _) = all_sums(made, step="period")
    assert tokens["count"] == 3 * 10**12


def test_an_account_without_usage_has_none(made: Made) -> None:
    key = made.key("account", account="new")
    for asked_with in (made.operator, key):
        answer = made.usage("new", key=asked_with)
        assert answer.json() == {"account": "new", "data": [], "cursor": None}


@pytest.mark.parametrize(
    "query, said",
    [
        ({"start_at": "2026-10-01"}, "start_at: must be a moment"),
        ({"end_at": "2026-10-01T00:00:00Z"}, "end_at: must lie after start_at"),
        ({"end_at": "2028-10-01T00:00:00Z"}, "end_at: lies more than 400 days after start_at"),
        ({"step": "hour", "end_at": "2026-11-01T00:00:00.000001Z"}, "more than 31 days"),
        ({"step": "minute"}, "query step"),
        ({"by": "account"}, "is none of model, service_tier, region, outcome"),
        ({"by": "model,model"}, "names a label twice"),
        ({"by": "dimensions."}, "a dimension without a name"),
        ({"by": ",".join(f"dimensions.d{n}" for n in range(9))}, "names 9 labels"),
        ({"limit": "0"}, "from 1 to 1000"),
        ({"limit": "1001"}, "from 1 to 1000"),
        ({"limit": " 5"}, "from 1 to 1000"),
        ({"limit": "\u0661"}, "from 1 to 1000"),
        ({"limits": "1"}, "query limits: is not known"),
        ({"cursor": "x"}, "cursor: is not one that we gave"),
        ({"cursor": "é"}, "cursor: is not one that we gave"),
        ({"cursor": base64.urlsafe_b64encode(b"[" * 5000).decode()}, "cursor: is not one"),
    ],
)
def test_a_question_that_is_none_is_refused(made: Made, query: dict[str, str], said: str) -> None:
    answer = made.usage(**query)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


def test_a_cursor_of_another_question_or_a_forged_one_is_refused(made: Made) -> None:
    made.post([sent(n, time=f"2026-10-0{n}T00:00:00Z") for n in range(1, 5)], form=BATCH)
    cursor = made.usage(limit="1").json()["cursor"]
    other = made.usage("b", limit="1", cursor=cursor)
    assert (other.status_code, other.json()["detail"]) == (
        400,
        "cursor: belongs to another question; ask that one, or start anew",
    )
    digest, (through_seq, through_step_seq, key) = json.loads(base64.urlsafe_b64decode(cursor))
    assert through_step_seq == 0
    forged: list[Json] = [
        [digest, [through_seq, 0, []]],
        [digest, [through_seq, 0, [*key, "more"]]],
        [digest, [through_seq, 0, ["now", *key[1:]]]],
        [digest, [through_seq, 0, [-1, *key[1:]]]],
        [digest, [through_seq, 0, [key[0], 3]]],
        [digest, [through_seq, 0, [key[0], "a\x00"]]],
        [digest, [2**63, 0, key]],
        [digest, [-1, 0, key]],
        [digest, [through_seq, 2**63, key]],
        [digest, [through_seq, -1, key]],
        [digest, [through_seq, key]],
        {"question": digest},
    ]
    for one in forged:
        text = base64.urlsafe_b64encode(json.dumps(one).encode()).decode()
        assert made.usage(limit="1", cursor=text).status_code == 400, one


def test_a_text_that_reads_like_sql_is_only_a_text(made: Made) -> None:
    odd = "x' OR '1'='1"
    made.post(sent(1, dimensions={odd: 'v"]; DROP TABLE events; --'}))
    (tokens, _) = all_sums(made, by=f"dimensions.{odd}")
    assert tokens["labels"] == {f"dimensions.{odd}": 'v"]; DROP TABLE events; --'}
    assert made.usage(odd).status_code == 404
