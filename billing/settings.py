"""Settings of the service: the environment, read once and typed.

Invariant: nothing else of the service reads the environment, and a variable of ours that is not
known, or not of its kind, is refused instead of ignored.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pricing_rules.document import Document, DocumentError, JsonValue, Name, validate

PREFIX = "TOKENWORKS_"

_WHOLE = re.compile(r"[0-9]{1,12}\Z")


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(one.strip()) for one in text.split(",") if one.strip())


def _checked_networks(text: str) -> str:
    try:
        _networks(text)
    except ValueError as error:
        raise ValueError(
            f"must be networks such as 10.1.0.0/16,fd00::/8, separated by commas ({error})"
        ) from None
    return text


class Settings(Document):
    """What one process of the service keeps to; each field is ``TOKENWORKS_<NAME>``.

    ``max_body_bytes``: of a request, also after it was unpacked. ``body_timeout_s``: how long a
    body may take to arrive, and headers too. ``request_timeout_s``: how long an answer may take.
    ``waiting_events``: how many may wait for the disk before requests are turned away.
    ``requests_per_s``: of one key. ``key_fresh_s``: for how long a key that was let in is not
    looked up again: a revoked one works at most that much longer. ``service_tier`` and ``region``:
    of events in the shapes of others, which state none. ``account_attribute``: what names the
    account of a span, on it or on its resource. ``webhook_http``: whether messages may go
    to endpoints without encryption. ``webhook_networks``: networks that they may go to besides the
    public internet, such as ``10.1.0.0/16,fd00::/8``.
    """

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    max_body_bytes: Annotated[int, Field(ge=1_024, le=2**30)] = 16 * 2**20
    body_timeout_s: Annotated[int, Field(ge=1, le=600)] = 10
    request_timeout_s: Annotated[int, Field(ge=1, le=600)] = 30
    waiting_events: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    requests_per_s: Annotated[int, Field(ge=1, le=10_000_000)] = 5_000
    key_fresh_s: Annotated[int, Field(ge=0, le=3_600)] = 1
    stop_timeout_s: Annotated[int, Field(ge=1, le=600)] = 30
    service_tier: Name = "standard"
    region: Name | Literal[""] = ""
    account_attribute: Name = "tokenworks.account"
    webhook_http: Literal["refused", "allowed"] = "refused"
    webhook_networks: Annotated[str, Field(max_length=2_000), AfterValidator(_checked_networks)] = (
        ""
    )

    @property
    def allowed_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of ``webhook_networks``."""
        return _networks(self.webhook_networks)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that an environment holds.

    DocumentError names the variable that is unknown or wrong.
    """
    values: dict[str, JsonValue] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in Settings.model_fields:
            close = difflib.get_close_matches(name, Settings.model_fields, n=1)
            meant = f"; did you mean {PREFIX}{close[0].upper()}?" if close else "; remove it"
            raise DocumentError(variable, f"is not a setting{meant}")
        values[name] = int(text) if _WHOLE.match(text) else text
    try:
        return validate(Settings, values, name="", lines={})
    except DocumentError as error:
        raise DocumentError(f"{PREFIX}{str(error.path[0]).upper()}", error.sentence) from None
