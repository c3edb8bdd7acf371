"""A service on a store of its own, in this process, and requests to it.

Invariant: the clock of a made service stands at ``NOW_AT`` unless a test moves it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.testclient import TestClient

from billing.api.app import application
from billing.api.service import Service
from billing.operations.api_key import make_api_key
from billing.settings import Settings
from billing.store.api_keys import Scope
from billing.store.store import Store, open_store
from tests.billing.operations.made_ingest import NOW_AT, own_folder
from tests.journeys.made_files import cloud_event, event

Json = Any

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"


@dataclass(slots=True, kw_only=True)
class Made:
    """A running service, its store and file, and a key of each kind."""

    client: TestClient
    service: Service
    store: Store
    file: Path
    operator: str

    @property
    def service_app(self) -> FastAPI:
        """The application inside its frame."""
        app: FastAPI = self.client.app.app  # type: ignore[attr-defined]
        return app

    def key(self, scope: Scope, *, account: str = "", expires_at: int | None = None) -> str:
        """A new key."""
        made = make_api_key(
            self.store,
            scope=scope,
            account=account,
            name="test",
            expires_at=expires_at,
            by="me",
            now_at=NOW_AT,
        )
        return made.text

    def post(
        self,
        body: bytes | Json,
        *,
        form: str = EVENT,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        path: str = "/v1/events",
    ) -> httpx2.Response:
        """Send a body, as JSON where it is no bytes, with the operator's key unless told."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"authorization": f"Bearer {key or self.operator}", "content-type": form}
        return self.client.post(path, content=content, headers={**given, **(headers or {})})

    def command(
        self,
        path: str,
        body: Json,
        *,
        key: str | None = None,
        once: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Send a command; ``once`` is its idempotency key."""
        given = {
            "authorization": f"Bearer {key or self.operator}",
            "content-type": "application/json",
        }
        if once is not None:
            given["idempotency-key"] = once
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers={**given, **(headers or {})})

    def get(self, path: str, *, key: str | None = None, **query: str) -> httpx2.Response:
        """Ask a question."""
        headers = {"authorization": f"Bearer {key or self.operator}"}
        return self.client.get(path, headers=headers, params=query)

    def usage(self, account: str = "a", *, key: str | None = None, **query: str) -> httpx2.Response:
        """Ask for usage, of October 2026 unless said otherwise."""
        month = {"start_at": "2026-10-01T00:00:00Z", "end_at": "2026-11-01T00:00:00Z"}
        return self.get(f"/v1/accounts/{account}/usage", key=key, **{**month, **query})


@contextmanager
def made_service(**settings: Any) -> Iterator[Made]:
    """A service on an empty store; ``settings`` differ from the defaults."""
    with (
        own_folder() as folder,
        open_store(folder / "store.db") as store,
        served(store, settings=Settings(**settings)) as made,
    ):
        yield made


@contextmanager
def served(
    store: Store, *, settings: Settings, clock: Any = lambda: NOW_AT, workers: int = 1
) -> Iterator[Made]:
    """A service on a store; one of so many workers."""
    app = application(store, settings=settings, clock=clock, workers=workers)
    with TestClient(app, raise_server_exceptions=False) as client:
        service: Service = app.app.state.service  # type: ignore[attr-defined]
        made = Made(
            client=client, service=service, store=store, file=Path(store.where), operator=""
        )
        made.operator = made.key("operator")
        yield made


def sent(number: int, count: int = 10, **fields: Json) -> Json:
    """A CloudEvent ``e<number>`` with ``count`` input tokens."""
    return cloud_event(event(number, {"input_tokens": count}, **fields))


def verdicts(answer: httpx2.Response) -> list[str]:
    """What became of the events of a request, in order."""
    return [one["verdict"] for one in answer.json()["events"]]


def lines(events: Sequence[Json]) -> bytes:
    """Events as JSON lines."""
    return "\n".join(json.dumps(one) for one in events).encode()
