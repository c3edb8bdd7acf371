"""``/v1/corrections``: a verdict for each, one transaction for all, and each sees its own."""

from __future__ import annotations

from typing import Any

import pytest

from billing.operations.verify import verify
from billing.settings import Settings
from billing.store.store import Store
from tests.billing.api.made_service import BATCH, Made, sent, served
from tests.billing.operations.made_corrections import counted
from tests.billing.operations.made_ingest import NOW_AT
from tests.journeys.made_files import cloud_event, event

Json = Any

PATH = "/v1/corrections"


def void(number: int, **fields: Json) -> Json:
    return {"kind": "void", "source": "gw", "id": f"e{number}", "reason": "sent twice", **fields}


def amend(number: int, by: Json, **fields: Json) -> Json:
    return {**void(number), "kind": "amend", "event": by, **fields}


def correct(made: Made, *corrections: Json, **fields: Json) -> Any:
    return made.command(PATH, {"corrections": list(corrections), **fields})


def verdicts(answer: Any) -> list[str]:
    return [one["verdict"] for one in answer.json()["corrections"]]


def test_events_are_voided_and_amended_in_one_request(made: Made) -> None:
    made.post([sent(1, 10), sent(2, 20), sent(3, 30)], form=BATCH)
    answer = correct(made, void(1), amend(2, sent(4, 5)))
    assert answer.status_code == 200
    document = answer.json()
    assert {name: document[name] for name in ("received", "accepted", "rejected")} == {
        "received": 2,
        "accepted": 2,
        "rejected": 0,
    }
    first, second = document["corrections"]
    assert first == {
        "verdict": "accepted",
        "kind": "void",
        "source": "gw",
        "id": "e1",
        "correction": first["correction"],
        "reason": None,
        "pointer": None,
    }
    assert second["kind"] == "amend"
    # 30 are left of what came in, and 5 came instead of 20.
    assert {one["unit"]: one["count"] for one in made.usage().json()["data"]} == {
        "input_tokens": 35,
        "requests": 2,
    }
    assert verify(made.store).holds


def test_each_correction_has_its_own_verdict(made: Made) -> None:
    made.post([sent(1), sent(2), sent(3)], form=BATCH)
    correct(made, void(1))
    answer = correct(
        made,
        void(1),
        amend(1, sent(9)),
        void(8),
        void(2, reason=" "),
        void(2, reason=""),
        void(2, kind="remove"),
        void(2, kind=["void"]),
        "void e2",
        {"kind": "void", "source": "gw", "id": "e2"},
        amend(2, None),
        amend(2, {**sent(9), "time": "noon"}),
        amend(2, {name: value for name, value in sent(9).items() if name != "time"}),
        amend(2, sent(9, account="b")),
        amend(2, sent(2, 7)),
        amend(2, sent(9, time="2027-01-01T00:00:00Z")),
        void(2, why="?"),
        void(3),
    )
    assert answer.status_code == 207
    results = answer.json()["corrections"]
    found = [(one["verdict"], one["pointer"]) for one in results]
    assert found == [
        ("duplicate", None),
        ("conflict", "/id"),
        ("rejected", "/id"),
        ("rejected", "/reason"),
        ("rejected", "/reason"),
        ("rejected", "/kind"),
        ("rejected", "/kind"),
        ("rejected", "/kind"),
        ("rejected", "/reason"),
        ("rejected", "/event"),
        ("rejected", "/event/time"),
        ("rejected", "/event/time"),
        ("rejected", "/event/subject"),
        ("rejected", "/event/id"),
        ("rejected", "/event/time"),
        ("rejected", "/why"),
        ("accepted", None),
    ]
    assert all(one["reason"] for one in results if one["verdict"] in ("conflict", "rejected"))
    assert results[2]["reason"] == 'there is no event "e8" of "gw"'
    # e2 is as it was.
    assert counted(made.store) == {(1, "requests"): 1, (1, "input_tokens"): 10}
    assert verify(made.store).holds


def test_where_nothing_is_corrected_it_is_a_problem(made: Made) -> None:
    made.post([sent(1), sent(2)], form=BATCH)
    correct(made, void(1))
    refused = correct(made, void(8), amend(1, sent(3)))
    assert (refused.status_code, refused.json()["type"]) == (
        400,
        "urn:tokenworks:problem:corrections-refused",
    )
    assert verdicts(refused) == ["rejected", "conflict"]
    conflict = correct(made, amend(1, sent(3)))
    assert (conflict.status_code, conflict.json()["type"]) == (
        409,
        "urn:tokenworks:problem:conflict",
    )
    assert "nothing was corrected; the first: /id is void already by" in conflict.json()["detail"]
    duplicate = correct(made, void(1))
    assert (duplicate.status_code, verdicts(duplicate)) == (200, ["duplicate"])


@pytest.mark.parametrize(
    "body, said",
    [
        ({}, "corrections"),
        ({"corrections": []}, "corrections"),
        ({"corrections": [void(1)] * 1_001}, "corrections"),
        ({"corrections": [void(1)], "owner": "x"}, "owner"),
        ({"corrections": [amend(1, {"n": 1.5})]}, "holds a number with a fraction"),
    ],
)
def test_a_request_that_is_none_is_refused_whole(made: Made, body: Json, said: str) -> None:
    made.post(sent(1))
    answer = made.command(PATH, body, once="key-1")
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert counted(made.store) == {(1, "requests"): 1, (1, "input_tokens"): 10}


def test_a_thousand_corrections_are_taken(made: Made) -> None:
    made.post([sent(n) for n in range(1_000)], form=BATCH)
    answer = correct(made, *(void(n) for n in range(1_000)))
    assert answer.json()["accepted"] == 1_000
    assert counted(made.store) == {}


def test_sent_again_with_its_key_a_request_is_answered_the_same(made: Made) -> None:
    made.post(sent(1))
    body = {"corrections": [void(1)]}
    first, again = (made.command(PATH, body, once="k") for _ in range(2))
    assert first.content == again.content
    assert verdicts(again) == ["accepted"]


def test_events_of_an_accounts_own_key_are_named_by_their_owner(made: Made) -> None:
    own = made.key("ingest", account="a")
    made.post(sent(1, 10), key=own)
    made.post(sent(1, 3, account="b"))
    assert verdicts(correct(made, void(1), owner_account="a")) == ["accepted"]
    assert counted(made.store, account="b") == {(1, "requests"): 1, (1, "input_tokens"): 3}
    assert counted(made.store) == {}
    assert verdicts(correct(made, void(1), owner_account="c")) == ["rejected"]


def test_a_correction_is_reverted_over_http(made: Made) -> None:
    made.post(sent(1, 10))
    (one,) = correct(made, void(1)).json()["corrections"]
    path = f"{PATH}/{one['correction']}"
    answer = made.command(f"{path}/revert", {"reason": "was right"})
    reversal = answer.json()
    assert (answer.status_code, reversal["kind"], reversal["reverts"]) == (
        200,
        "reversal",
        one["correction"],
    )
    assert made.command(f"{path}/revert", {"reason": "again"}).json() == reversal
    assert made.get(path).json()["reverted_by"] == reversal["correction"]
    assert counted(made.store) == {(1, "requests"): 1, (1, "input_tokens"): 10}
    stands = made.command(f"{PATH}/{reversal['correction']}/revert", {"reason": "x"})
    assert (stands.status_code, stands.json()["detail"]) == (
        400,
        f"correction {reversal['correction']}: is a reversal, which stands; void or amend the "
        "events anew",
    )
    assert made.command(f"{PATH}/cor_9/revert", {"reason": "x"}).status_code == 404
    assert made.command(f"{path}/revert", {"reason": ""}).status_code == 400


def test_corrections_are_listed_in_pages_in_order(made: Made) -> None:
    made.post([sent(n) for n in range(5)] + [sent(9, account="b")], form=BATCH)
    correct(made, *(void(n) for n in (3, 1, 4)))
    correct(made, void(9))
    whole = made.get(PATH).json()
    assert whole["cursor"] is None
    names = [one["correction"] for one in whole["data"]]
    ids = [one["detail"]["event"]["id"] for one in whole["data"]]
    # Those of one request in its order; the clock stands still, so that e9 may be among them.
    assert [one for one in ids if one != "e9"] == ["e3", "e1", "e4"]
    assert len(set(names)) == 4
    paged: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = made.get(PATH, limit="1", **cursor).json()
        paged += [one["correction"] for one in page["data"]]
        if page["cursor"] is None:
            break
        cursor = {"cursor": page["cursor"]}
    assert paged == names
    of_b = made.get(PATH, account="b").json()["data"]
    assert [one["detail"]["event"] for one in of_b] == [{"source": "gw", "id": "e9"}]
    assert of_b[0]["by"].startswith("test (tw_")
    other = made.get(PATH, account="b", limit="1", **cursor)
    assert (other.status_code, "another question" in other.json()["detail"]) == (400, True)


def test_an_account_sees_its_own_corrections_and_makes_none(made: Made) -> None:
    made.post([sent(1), sent(2, account="b")], form=BATCH)
    own, other = (
        one["correction"] for one in correct(made, void(1), void(2)).json()["corrections"]
    )
    key = made.key("account", account="a")
    assert [one["correction"] for one in made.get(PATH, key=key).json()["data"]] == [own]
    assert made.get(PATH, key=key, account="a").json()["data"]
    assert made.get(f"{PATH}/{own}", key=key).json()["account"] == "a"
    # What is another's is told like what does not exist.
    told = [
        made.get(PATH, key=key, account="b"),
        made.get(f"{PATH}/{other}", key=key),
        made.get(f"{PATH}/cor_9", key=key),
    ]
    assert {one.status_code for one in told} == {404}
    assert len({one.json()["detail"] for one in told}) == 1
    assert made.command(PATH, {"corrections": [void(1)]}, key=key).status_code == 403
    assert made.command(f"{PATH}/{own}/revert", {"reason": "x"}, key=key).status_code == 403
    ingest = made.key("ingest")
    assert made.command(PATH, {"corrections": [void(1)]}, key=ingest).status_code == 403


def test_pages_of_usage_show_what_counted_at_the_first_one(made: Made) -> None:
    made.post([sent(n, 10, time=f"2026-10-0{n}T00:00:00Z") for n in range(1, 5)], form=BATCH)
    correct(made, void(4))
    first = made.usage(limit="2").json()
    (one,) = correct(made, void(2)).json()["corrections"]
    correct(made, amend(3, sent(7, 99, time="2026-10-04T00:00:00Z")))
    rest = made.usage(limit="100", cursor=first["cursor"]).json()["data"]
    days = [(row["start_at"][8:10], row["unit"], row["count"]) for row in first["data"] + rest]
    assert days == [
        (f"0{day}", unit, count)
        for day in (1, 2, 3)
        for unit, count in (("input_tokens", 10), ("requests", 1))
    ]
    # Anew: the second is void, the third came again on the fourth day.
    now = {row["start_at"][8:10]: row["count"] for row in made.usage().json()["data"][::2]}
    assert now == {"01": 10, "04": 99}
    made.command(f"{PATH}/{one['correction']}/revert", {"reason": "was right"})
    now = {row["start_at"][8:10]: row["count"] for row in made.usage().json()["data"][::2]}
    assert now == {"01": 10, "02": 10, "04": 99}


def test_both_databases_answer_the_same(store: Store) -> None:
    with served(store, settings=Settings(), clock=lambda: NOW_AT) as made:
        made.post([sent(1, 10), sent(2, 20)], form=BATCH)
        answer = correct(made, void(1), amend(2, cloud_event(event(3, {"input_tokens": 5}))))
        assert verdicts(answer) == ["accepted", "accepted"]
        (name, _) = (one["correction"] for one in answer.json()["corrections"])
        assert made.command(f"{PATH}/{name}/revert", {"reason": "x"}).status_code == 200
        assert [one["kind"] for one in made.get(PATH).json()["data"]].count("reversal") == 1
        assert {one["unit"]: one["count"] for one in made.usage().json()["data"]} == {
            "input_tokens": 15,
            "requests": 2,
        }
        assert verify(store).holds
