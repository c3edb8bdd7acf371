"""Webhook endpoints of a store, messages for them, and a sender whose clock a test moves.

Invariant: the clock stands unless a test moves it, and nothing is drawn but what a test says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from billing.operations.announcement import announce
from billing.operations.webhook import MadeEndpoint, make_endpoint, sending_page
from billing.operations.webhook_sending import Attempted, Became, WebhookSender
from billing.store.store import Store
from billing.store.webhooks import Sending
from billing.webhooks.posting import Poster
from pricing_rules.period import moment_text
from tests.billing.operations.made_ingest import NOW_AT
from tests.billing.webhooks.receiver import LOCAL, Answer, Receiver, Taken

SECOND = 1_000_000

ALL_KINDS = (
    "epoch.sealed",
    "invoice.finalized",
    "price_book.published",
    "agreement.accepted",
    "event.corrected",
    "backfill.applied",
)


@dataclass(slots=True)
class Clock:
    """A clock that stands where it is set."""

    now_at: int = NOW_AT

    def __call__(self) -> int:
        return self.now_at

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.now_at += int(seconds * SECOND)


@dataclass(slots=True, kw_only=True)
class Sent:
    """A sender on a store, its clock, and what its attempts came to."""

    store: Store
    clock: Clock = field(default_factory=Clock)

    def drain(self) -> Counter[Became]:
        """Send all that is due; how many attempts came to what."""
        attempts: list[Attempted] = []
        self.sender(attempts).drain()
        return Counter(one.became for one in attempts)

    def sender(self, attempts: list[Attempted]) -> WebhookSender:
        """A sender, and where it puts its attempts."""
        return WebhookSender(
            store=self.store,
            poster=Poster(reach=LOCAL),
            clock=self.clock,
            tell=attempts.append,
            draw=lambda: 0.0,
        )


def made(
    store: Store,
    url: str,
    *,
    kinds: Sequence[str] = ALL_KINDS,
    account: str = "",
    now_at: int = NOW_AT,
) -> MadeEndpoint:
    """A new endpoint."""
    with store.write() as connection:
        return make_endpoint(
            connection,
            url=url,
            kinds=kinds,
            account=account,
            reach=LOCAL,
            by="dana",
            now_at=now_at,
        )


def announced(store: Store, *epochs: int, subject: str = "epochs", now_at: int = NOW_AT) -> None:
    """Messages that epochs were sealed, each in a transaction of its own."""
    for epoch in epochs:
        with store.write() as connection:
            announce(
                connection,
                kind="epoch.sealed",
                account="",
                subject=subject,
                data={"epoch": epoch, "sealed_at": moment_text(now_at)},
                now_at=now_at,
            )


def sendings(store: Store, endpoint: MadeEndpoint) -> tuple[Sending, ...]:
    """What became of the messages of an endpoint."""
    with store.read() as connection:
        page = sending_page(
            connection,
            endpoint=endpoint.endpoint.endpoint,
            state=None,
            limit=1_000,
            cursor=None,
        )
    return page.rows


def states(store: Store, endpoint: MadeEndpoint) -> list[str]:
    """The states of the messages of an endpoint, in their order."""
    return [one.state for one in sendings(store, endpoint)]


def epochs(receiver: Receiver) -> list[int]:
    """Of which epochs the messages are that came in."""
    return [one.body["data"]["epoch"] for one in receiver.taken]


@dataclass(slots=True)
class Script:
    """Answers in order; when they are used up, 204."""

    statuses: list[int | Answer] = field(default_factory=list)

    def __call__(self, taken: Taken) -> int | Answer:
        return self.statuses.pop(0) if self.statuses else 204
