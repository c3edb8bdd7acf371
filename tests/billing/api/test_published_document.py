"""Whatever the published document leads Schemathesis to send, the service answers as it says: no
fault of ours, no status and no body that is not published, and nothing of another account (I44,
I46; faults 86 to 125).

The service is a process of its own, asked over a real connection. Requests are the same in each
run; the long run (``make soak``) sends many more, and follows answers with further requests.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

from billing.api.events import EVENT_PATHS
from billing.operations.verify import verify
from billing.store.store import open_store
from tests.billing.api.made_service import lines, sent
from tests.billing.operations.made_ingest import made_store
from tests.journeys.test_serve import Running, made_key, serving

Json = Any

OTHER = "marker-of-b"
"""The account, source and model of what no key of the account a may see."""

BEYOND_SCHEMAS = {"positive_data_acceptance": {"enabled": False}}
"""A moment that has passed, or an id that is not there, is of its schema and refused all the same;
the tests of each route say what is taken.
"""

TOO_MUCH = {"negative_data_rejection": {"expected-statuses": ["4xx", "503"]}}
"""What is too much for its schema is answered with 413."""

ANY_SUBJECT = {"negative_data_rejection": {"enabled": False}}
"""In the shape of another meter the account of a key goes before a subject that is none."""


OF_EVENTS = (*EVENT_PATHS, "/v1/backfills/{backfill}/events")
"""Paths of many shapes, whose coverage takes minutes: ``make soak`` sends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a run sent: statuses by operation, what is wrong, and all answers."""

    statuses: Mapping[str, Counter[int]]
    wrong: Sequence[str]
    answers: Sequence[bytes]

    @property
    def cases(self) -> int:
        """How many requests were answered."""
        return len(self.answers)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the service."""
    found = tmp_path_factory.mktemp("fuzzed") / "store.db"
    found.write_bytes(made_store())
    return found


@pytest.fixture(scope="module")
def running(file: Path) -> Iterator[Running]:
    """A service with usage of two accounts."""
    key = made_key(file)
    events = [
        *(sent(n, account="a") for n in range(5)),
        *(sent(n, account=OTHER, source=OTHER, model=OTHER) for n in range(5)),
    ]
    with serving(file, TOKENWORKS_LOG_LEVEL="error") as one:
        status, answer = one.post(lines(events), key=key)
        assert (status, answer["accepted"]) == (200, 10)
        yield one


def run(
    running: Running,
    *,
    key: str,
    scope: str,
    phases: Sequence[str],
    examples: int,
    account: str | None = None,
    without: Sequence[str] = (),
    checks: Mapping[str, Json] = TOO_MUCH,
) -> Sent:
    """Send what a key of this scope may send.

    ``account``: what stands for each parameter of this name. ``without``: paths that are left out.
    ``checks``: how what is beyond its schema is judged.
    """
    url = f"http://127.0.0.1:{running.port}"
    every = ("examples", "coverage", "fuzzing", "stateful")
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": {"Authorization": f"Bearer {key}"},
            "parameters": {} if account is None else {"account": account},
            "generation": {"max-examples": examples, "deterministic": True, "no-shrink": True},
            "phases": {name: {"enabled": name in phases} for name in every},
            "checks": {**BEYOND_SCHEMAS, **checks},
            "warnings": False,
            "continue-on-failure": True,
        }
    )
    with warnings.catch_warnings():
        # Of the library alone: what it deprecates in itself, and strategies it builds slowly.
        warnings.simplefilter("ignore")
        whole = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
        whole.config.update(base_url=url)
        schema = whole.include(
            lambda one: (
                scope in one.operation.definition.raw["x-scopes"]
                and one.operation.path not in without
            )
        )
        return _sent(schema)


def _sent(schema: Any) -> Sent:
    statuses: dict[str, Counter[int]] = {}
    wrong: list[str] = []
    answers: list[bytes] = []
    for event in engine.from_schema(schema).execute():
        if isinstance(event, FatalError | NonFatalError):
            wrong.append(repr(event))
        if not isinstance(event, ScenarioFinished):
            continue
        recorder = event.recorder
        for name, interaction in recorder.interactions.items():
            label = recorder.cases[name].value.operation.label
            if interaction.response is not None:
                statuses.setdefault(label, Counter())[interaction.response.status_code] += 1
                answers.append(interaction.response.content)
        for name, checks in recorder.checks.items():
            case = recorder.cases[name].value
            wrong += [
                f"{check.name}: {case.as_curl_command()}: {check.failure_info.failure.message}"
                for check in checks
                if check.failure_info is not None
            ]
    return Sent(statuses=statuses, wrong=wrong, answers=answers)


def check(found: Sent, *, file: Path, running: Running) -> None:
    """Nothing was wrong, and the store is sound."""
    assert found.wrong == [], "\n".join(found.wrong)
    assert not [one for one in found.statuses.values() if any(code >= 500 for code in one)]
    assert running.ask("GET", "/healthz")[0] == 200
    assert running.log.read_text() == ""
    with open_store(file) as store:
        assert verify(store).holds


@pytest.mark.parametrize("phase", ["coverage", "fuzzing"])
def test_an_operators_requests_are_answered_as_is_published(
    running: Running, file: Path, phase: str
) -> None:
    found = run(
        running,
        key=made_key(file),
        scope="operator",
        phases=[phase],
        examples=2,
        without=OF_EVENTS if phase == "coverage" else (),
    )
    check(found, file=file, running=running)
    assert len(found.statuses) >= 20
    if phase == "coverage":
        taken = {code for one in found.statuses.values() for code in one}
        assert {200, 201, 400, 401, 404, 405, 415} <= taken
        assert found.cases > 300


def test_an_account_sees_nothing_of_another_whatever_it_sends(running: Running, file: Path) -> None:
    key = made_key(file, "account", "--account", "a")
    for account in ("a", OTHER):
        found = run(
            running, key=key, scope="account", phases=["fuzzing"], examples=10, account=account
        )
        check(found, file=file, running=running)
        codes = {code for one in found.statuses.values() for code in one}
        assert (200 if account == "a" else 404) in codes
        # What was asked for is said back by nobody, so the marker is in no answer at all.
        assert not [one for one in found.answers if OTHER.encode() in one]


def test_what_an_account_sends_in_is_its_own_whatever_it_sends(
    running: Running, file: Path
) -> None:
    key = made_key(file, "ingest", "--account", "a")
    found = run(
        running,
        key=key,
        scope="ingest",
        phases=["fuzzing"],
        examples=8,
        without=EVENT_PATHS[1:],  # other names of the first
    )
    check(found, file=file, running=running)
    assert not [one for one in found.answers if OTHER.encode() in one]


@pytest.mark.soak
@pytest.mark.parametrize(
    "scope, account",
    [("operator", ""), ("ingest", ""), ("ingest", "a"), ("account", "a"), ("monitor", "")],
)
def test_many_requests_are_answered_as_is_published(
    running: Running, file: Path, scope: str, account: str
) -> None:
    options = ("--account", account) if account else ()
    found = run(
        running,
        key=made_key(file, scope, *options),
        scope=scope,
        phases=["coverage", "fuzzing", "stateful"],
        examples=100,
        checks=ANY_SUBJECT if (scope, account) == ("ingest", "a") else TOO_MUCH,
    )
    check(found, file=file, running=running)
    if account:
        assert not [one for one in found.answers if OTHER.encode() in one]
