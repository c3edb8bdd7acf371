"""A client as the tests make it: quick to try again, and an event that says only what matters.

Invariant: a client that is left open is closed at the end of its test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from billing.client import UsageClient

NOWHERE = "http://127.0.0.1:9"
"""A port on which nothing listens."""


@contextmanager
def made_client(
    folder: Path, *, url: str = NOWHERE, key: str = "tw_key", **differing: Any
) -> Iterator[UsageClient]:
    """A client on the spool of a folder."""
    plain = {"source": "gw", "linger_s": 0.02, "longest_wait_s": 0.1}
    client = UsageClient(url=url, key=key, spool=folder / "spool.db", **{**plain, **differing})
    try:
        yield client
    finally:
        client.close(timeout_s=0)


def record(client: UsageClient, number: int, count: int = 10, **fields: Any) -> str:
    """Record the event ``e<number>`` of account a."""
    plain = {"account": "a", "model": "m", "service_tier": "standard", "id": f"e{number}"}
    return client.record(**{**plain, "units": {"input_tokens": count}, **fields})
