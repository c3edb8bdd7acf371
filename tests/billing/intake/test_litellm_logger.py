"""The callback that a LiteLLM proxy loads: each call is a line of events, or of refusals."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from billing.intake import litellm_logger
from billing.intake.cloud_events import read_cloud_events
from billing.intake.conversion import Origin
from billing.intake.litellm_logger import CallReports, reports_from_environment
from tests.billing.client.made_client import made_client
from tests.billing.intake.vectors_of import vectors

Json = Any

CALLS = {one.said["name"]: one.said["payload"] for one in vectors() if one.reader == "litellm"}
CALL = CALLS["a chat completion that was asked for as fast and served as standard"]
FAILED = CALLS["a call that failed"]
TEAMLESS = CALLS["a key without a team"]


def reports(folder: Path) -> CallReports:
    return CallReports(
        usage_file=folder / "usage.jsonl",
        origin=Origin(service_tier="standard"),
        account_field="user_api_key_team_id",
    )


def lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def reported(call: Json) -> dict[str, Any]:
    """The arguments that LiteLLM passes to a callback."""
    kwargs = {"standard_logging_object": call, "messages": [{"content": "a secret"}]}
    return {"kwargs": kwargs, "response_obj": None, "start_time": None, "end_time": None}


def test_a_call_is_an_event_that_ingest_reads(tmp_path: Path) -> None:
    logger = reports(tmp_path)
    asyncio.run(logger.async_log_success_event(**reported(CALL)))
    table, verdicts = read_cloud_events(logger.usage_file.read_bytes(), name="usage.jsonl")
    assert verdicts == ()
    (row,) = table.to_pylist()
    # 10,000 tokens of input, of which LiteLLM's own callbacks drop that 4,000 were cached.
    assert (row["account"], row["service_tier"], row["model"]) == (
        "team-1",
        "standard",
        "gpt-5.5-2026-04",
    )
    assert (row["input_tokens"], row["cache_read_tokens"], row["cache_write_tokens"]) == (
        10_000,
        4_000,
        1_000,
    )
    assert (row["output_tokens"], row["output_reasoning_tokens"]) == (500, 200)
    assert b"secret" not in logger.usage_file.read_bytes()
    assert not logger.refusals_file.exists()


def test_a_client_takes_the_events_instead_of_the_file_unless_it_cannot(tmp_path: Path) -> None:
    with made_client(tmp_path, max_spool_events=1) as client:
        logger = CallReports(
            usage_file=tmp_path / "usage.jsonl",
            origin=Origin(service_tier="standard"),
            account_field="user_api_key_team_id",
            event_sink=client.record_event,
        )
        logger.report(CALL)
        assert client.pending() == 1
        assert not logger.usage_file.exists()
        logger.report({**CALL, "litellm_call_id": "call-2"})  # the spool is full
        assert client.pending() == 1
        assert len(lines(logger.usage_file)) == 1
        logger.report(TEAMLESS)
        assert len(lines(logger.refusals_file)) == 1


def test_a_call_that_is_reported_twice_is_the_same_event_twice(tmp_path: Path) -> None:
    logger = reports(tmp_path)
    logger.log_success_event(**reported(CALL))
    asyncio.run(logger.async_log_success_event(**reported(CALL)))
    first, second = logger.usage_file.read_bytes().splitlines()
    assert first == second


def test_neither_a_client_nor_a_cache_can_make_two_calls_one(tmp_path: Path) -> None:
    # The id of a call may come from a client's header, and that of an answer from a cache.
    logger = reports(tmp_path)
    for changed in ({}, {"litellm_call_id": "call-2"}, {"id": "chatcmpl-2"}):
        logger.report({**CALL, **changed})
    assert len({one["id"] for one in lines(logger.usage_file)}) == 3


def test_a_call_that_failed_is_an_event_for_which_nothing_is_billed(tmp_path: Path) -> None:
    logger = reports(tmp_path)
    logger.log_failure_event(**reported(FAILED))
    asyncio.run(logger.async_log_failure_event(**reported(FAILED)))
    first, second = lines(logger.usage_file)
    assert first == second
    assert (first["data"]["outcome"], first["data"]["units"]) == ("failed", {})


@pytest.mark.parametrize(
    "call, pointer",
    [(TEAMLESS, "/metadata/user_api_key_team_id"), (None, "/metadata/user_api_key_team_id")],
    ids=["without a team", "without a call"],
)
def test_a_call_that_is_no_event_is_a_refusal_beside(
    tmp_path: Path, call: Json, pointer: str
) -> None:
    logger = reports(tmp_path)
    logger.log_success_event(**reported(call))
    assert not logger.usage_file.exists()
    (refusal,) = lines(tmp_path / "usage.jsonl.refused")
    assert refusal["pointer"] == pointer
    assert refusal["reason"].startswith("is empty, so nobody knows whose call this was")
    assert refusal["litellm_call_id"] == (call or {}).get("litellm_call_id")


def test_workers_that_share_a_file_write_whole_lines(tmp_path: Path) -> None:
    # 4 workers, 25 calls each: 100 lines, each of another event.
    def work(worker: int) -> None:
        logger = reports(tmp_path)
        for call in range(25):
            logger.report({**CALL, "litellm_call_id": f"{worker}-{call}"})

    workers = [threading.Thread(target=work, args=(one,)) for one in range(4)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert len({one["id"] for one in lines(tmp_path / "usage.jsonl")}) == 100


def test_a_file_that_cannot_be_written_is_an_error_that_the_proxy_sees(tmp_path: Path) -> None:
    logger = CallReports(
        usage_file=tmp_path / "missing" / "usage.jsonl",
        origin=Origin(service_tier="standard"),
        account_field="user_api_key_team_id",
    )
    with pytest.raises(OSError, match="No such file"):
        logger.report(CALL)


def test_a_disk_without_room_is_an_error_and_never_half_a_line_in_silence() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    logger = reports(full.parent)
    logger.usage_file = full
    with pytest.raises(OSError, match="No space left"):
        logger.report(CALL)


def test_a_file_that_may_grow_no_more_keeps_whole_lines_alone(tmp_path: Path) -> None:
    # A line has some 600 bytes: the first fits into 1,000, and of the second there is no half.
    pytest.importorskip("resource", reason="this system limits no file sizes")
    call = tmp_path / "call.json"
    call.write_text(json.dumps(CALL))
    code = (
        "import json, resource, sys; from pathlib import Path; "
        "from billing.intake.conversion import Origin; "
        "from billing.intake.litellm_logger import CallReports; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "logger = CallReports(usage_file=Path(sys.argv[1]) / 'usage.jsonl', "
        "origin=Origin(), account_field='user_api_key_team_id'); "
        "[logger.report(json.loads(Path(sys.argv[2]).read_text())) for _ in range(2)]"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(call)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "no room for the whole of a line" in ran.stderr
    assert len(lines(tmp_path / "usage.jsonl")) == 1


def test_the_environment_says_where_events_go_and_who_pays(tmp_path: Path) -> None:
    found = reports_from_environment(
        {
            "TOKENWORKS_USAGE_FILE": str(tmp_path / "usage.jsonl"),
            "TOKENWORKS_ACCOUNT_FIELD": "user_api_key_user_id",
            "TOKENWORKS_SERVICE_TIER": "batch",
            "TOKENWORKS_REGION": "eu",
        }
    )
    logger = CallReports(**found)
    logger.report(CALL)
    (event,) = lines(tmp_path / "usage.jsonl")
    assert (event["subject"], event["data"]["service_tier"], event["data"]["region"]) == (
        "u-7",
        "batch",
        "eu",
    )


@pytest.mark.parametrize(
    "environment, said",
    [
        ({}, "set TOKENWORKS_USAGE_FILE to the file"),
        (
            {"TOKENWORKS_USAGE_FILE": "f", "TOKENWORKS_ACCOUNT_FIELD": "user"},
            "TOKENWORKS_ACCOUNT_FIELD must be one of user_api_key_team_id, ",
        ),
        ({"TOKENWORKS_USAGE_FILE": "f", "TOKENWORKS_SERVICE_TIER": " "}, "service_tier"),
    ],
)
def test_an_environment_that_is_wrong_is_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        reports_from_environment(environment)


def test_litellm_is_not_imported_before_the_proxy_asks() -> None:
    code = (
        "import sys, billing.intake.litellm_logger; "
        "print([name for name in ('litellm', 'pyarrow', 'pandas') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_another_name_is_not_in_the_module() -> None:
    assert not hasattr(litellm_logger, "logger")


def test_litellm_loads_the_callback_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = pytest.importorskip("litellm.integrations.custom_logger", reason="no LiteLLM here")
    monkeypatch.setenv("TOKENWORKS_USAGE_FILE", str(tmp_path / "usage.jsonl"))
    logger = litellm_logger.usage_logger
    assert isinstance(logger, theirs.CustomLogger)
    asyncio.run(logger.async_log_success_event(**reported(CALL)))
    assert len(lines(tmp_path / "usage.jsonl")) == 1
