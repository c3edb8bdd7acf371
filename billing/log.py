"""The log of the service: one JSON object a line on stderr, set up once, without secrets.

Invariant: nothing that looks like an API key or a webhook's secret is written, whichever field or
message it stands in.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

_SECRET = re.compile(
    r"(tw_[0-9a-f]{10}_)[A-Za-z0-9_-]+|(whsec_)[A-Za-z0-9+/=_-]+|(?i:(bearer )\S+)"
)
_SECRET_FIELDS = {"authorization", "cookie", "secret", "password"}
_HIDDEN = "..."

Fields = MutableMapping[str, Any]


def set_up_log(level: str, *, pid: int | None = None) -> None:
    """Send the log of this process, that of its libraries too, to stderr as JSON lines.

    ``pid``: of one of several processes that write to the same place; its lines name it.
    """

    def name_process(_logger: object, _method: str, fields: Fields) -> Fields:
        return fields if pid is None else {**fields, "pid": pid}

    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        name_process,
        _hide_secrets,
    ]
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _hide_secrets,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [stream]
    root.setLevel(level.upper())


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger; call it as ``log.info("what_happened", field=value)``."""
    found: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return found


def _hide_secrets(_logger: object, _method: str, fields: Fields) -> Fields:
    """The fields of a line with every secret in them cut out."""
    hidden: Fields = _hidden(fields)
    return hidden


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET.sub(lambda found: f"{found[1] or found[2] or found[3]}{_HIDDEN}", value)
    if isinstance(value, Mapping):
        return {
            name: _HIDDEN if str(name).lower() in _SECRET_FIELDS else _hidden(one)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_hidden(one) for one in value]
    return value
