"""The callback of ours that a LiteLLM proxy loads: every call becomes a usage event in a file.

In the proxy's YAML: ``litellm_settings: {callbacks:
billing.intake.litellm_logger.usage_logger}``; ``tokenworks ingest`` takes the file at any time,
and as often as one likes. A module of one's own sends events to the service instead, through the
spool of a client that the workers of the proxy share:

    from litellm.integrations.custom_logger import CustomLogger

    class UsageLogger(CallReports, CustomLogger): ...

    client = UsageClient(url=..., key=..., spool=Path("usage.db"), source="litellm")
    usage_logger = UsageLogger(
        usage_file=Path("usage.jsonl"),
        origin=Origin(service_tier="standard"),
        account_field="user_api_key_team_id",
        event_sink=client.record_event,
    )

Invariant: a call is an event on the disk or a line of refusals, never neither; no prompt is in
any file, and LiteLLM is not imported before the proxy asks for ``usage_logger``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from billing.intake.conversion import Origin, event_line
from billing.intake.litellm_calls import AccountField, read_litellm_call
from billing.intake.payload_fields import PayloadError
from pricing_rules.document import JsonValue

USAGE_FILE = "TOKENWORKS_USAGE_FILE"
"""Environment: the file that events are added to; refusals go beside it, to ``<file>.refused``.
"""

ACCOUNT_FIELD = "TOKENWORKS_ACCOUNT_FIELD"
"""Environment: the field of a key's metadata that names the account."""

SERVICE_TIER = "TOKENWORKS_SERVICE_TIER"
"""Environment: the service tier of answers that state none; "standard" where it is not set."""

REGION = "TOKENWORKS_REGION"
"""Environment: the region of answers that state none."""

_log = logging.getLogger("tokenworks.litellm")


class CallReports:
    """Writes a usage event for each call that LiteLLM reports; LiteLLM passes its arguments by
    keyword.

    ``usage_file``: the JSON lines that events are added to, whole lines at a time, so that
    several workers may share it. ``origin``: what answers leave open. ``account_field``: where
    the account stands; not ``user_api_key_end_user_id`` unless clients may say who pays.
    ``event_sink``: takes each event as JSON instead of the file, such as ``record_event`` of
    ``billing.client``; what it raises for goes to the file all the same.
    """

    def __init__(
        self,
        *,
        usage_file: Path,
        origin: Origin,
        account_field: AccountField,
        event_sink: Callable[[bytes], object] | None = None,
    ) -> None:
        super().__init__()
        self.event_sink = event_sink
        self.usage_file = usage_file
        self.refusals_file = usage_file.with_name(usage_file.name + ".refused")
        self.origin = origin
        self.account_field: AccountField = account_field

    def log_success_event(
        self,
        *,
        kwargs: Mapping[str, Any],
        response_obj: object,
        start_time: object,
        end_time: object,
    ) -> None:
        """Report a call that succeeded."""
        self.report(kwargs.get("standard_logging_object"))

    def log_failure_event(
        self,
        *,
        kwargs: Mapping[str, Any],
        response_obj: object,
        start_time: object,
        end_time: object,
    ) -> None:
        """Report a call that failed."""
        self.report(kwargs.get("standard_logging_object"))

    async def async_log_success_event(
        self,
        *,
        kwargs: Mapping[str, Any],
        response_obj: object,
        start_time: object,
        end_time: object,
    ) -> None:
        """Report a call that succeeded, without holding up the others."""
        await asyncio.to_thread(self.report, kwargs.get("standard_logging_object"))

    async def async_log_failure_event(
        self,
        *,
        kwargs: Mapping[str, Any],
        response_obj: object,
        start_time: object,
        end_time: object,
    ) -> None:
        """Report a call that failed, without holding up the others."""
        await asyncio.to_thread(self.report, kwargs.get("standard_logging_object"))

    def report(self, call: Mapping[str, JsonValue] | None) -> None:
        """Add the events of a call to the file, or its refusal to the file beside it.

        OSError where the file cannot be written.
        """
        stated = call or {}
        try:
            found = read_litellm_call(stated, origin=self.origin, account_field=self.account_field)
        except PayloadError as error:
            refusal = {
                "pointer": error.pointer,
                "reason": error.sentence,
                **{key: stated.get(key) for key in ("litellm_call_id", "id", "model", "endTime")},
            }
            line = json.dumps(refusal, default=str).encode()
            _append(self.refusals_file, data=line + b"\n")
            return
        lines = [event_line(event) for event in found.events]
        if self.event_sink is not None:
            lines = [line for line in lines if not _taken(line, event_sink=self.event_sink)]
        if lines:
            _append(self.usage_file, data=b"".join(line + b"\n" for line in lines))


def _taken(line: bytes, *, event_sink: Callable[[bytes], object]) -> bool:
    try:
        event_sink(line)
    except Exception:  # whatever it is, the event is not to be lost for it
        _log.exception("an event went to the usage file, not to the client")
        return False
    return True


def _append(path: Path, *, data: bytes) -> None:
    """Add lines to a file, all of them on the disk or none; workers take turns."""
    import fcntl  # a proxy runs on POSIX; the rest of this room does everywhere

    opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        size_bytes = os.fstat(opened).st_size
        if os.write(opened, data) != len(data):
            os.ftruncate(opened, size_bytes)
            raise OSError(f"{path}: no room for the whole of a line")
        os.fsync(opened)
    finally:
        os.close(opened)


def reports_from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """What an environment states of ``CallReports``; ValueError where it is wrong."""
    usage_file = environment.get(USAGE_FILE, "")
    if not usage_file:
        raise ValueError(f"set {USAGE_FILE} to the file that usage events are added to")
    fields = get_args(AccountField)
    account_field = environment.get(ACCOUNT_FIELD, fields[0])
    if account_field not in fields:
        raise ValueError(f"{ACCOUNT_FIELD} must be one of {', '.join(fields)}")
    origin = Origin(
        service_tier=environment.get(SERVICE_TIER, "standard"), region=environment.get(REGION)
    )
    return {
        "usage_file": Path(usage_file),
        "origin": origin,
        "account_field": account_field,
    }


def __getattr__(name: str) -> object:
    """``usage_logger``: the callback, made when LiteLLM asks for it."""
    if name != "usage_logger":
        raise AttributeError(f"module {__name__} has no {name}")
    theirs = importlib.import_module("litellm.integrations.custom_logger")
    made = type("UsageLogger", (CallReports, theirs.CustomLogger), {})
    return made(**reports_from_environment(os.environ))
