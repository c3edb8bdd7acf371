"""Bugs that are planted into a service, to show that the tests of survival find them.

Invariant: each is a bug that one could really write, and that no answer of an undisturbed service
tells; a name that a bug replaces must exist.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from billing.operations import announcement, submitted, taken_in, writer
from billing.store.deliveries import append_delivery
from billing.store.store import Connection, Store
from billing.store.usage_totals import add_totals
from billing.store.webhooks import append_message

T = TypeVar("T")

Work = Callable[[Connection], T]

_LATER_S = 0.1


def _replace(module: Any, name: str, *, by: object) -> None:
    assert hasattr(module, name), f"{module.__name__}.{name} is gone: plant the bug anew"
    setattr(module, name, by)


def acknowledge_before_commit() -> None:
    """What was stored is told before it is committed."""

    def beside(self: Store, work: Work[T]) -> T:
        found: list[T] = []
        failed: list[BaseException] = []
        told = threading.Event()

        def later() -> None:
            try:
                with self.write() as connection:
                    found.append(work(connection))
                    told.set()
                    time.sleep(_LATER_S)
            except BaseException as error:
                failed.append(error)
            told.set()

        threading.Thread(target=later).start()
        told.wait()
        if not found:
            raise failed[0]
        return found[0]

    _replace(Store, "beside", by=beside)


def totals_in_another_transaction() -> None:
    """Totals are added after the events were committed."""
    stored = Store.beside
    waiting: list[Any] = []

    def add_later(connection: Connection, *, totals: Any) -> None:
        waiting.append(totals)

    def beside(self: Store, work: Work[T]) -> T:
        found = stored(self, work)
        while waiting:
            stored(self, partial(add_totals, totals=waiting.pop()))
        return found

    _replace(taken_in, "add_totals", by=add_later)
    _replace(Store, "beside", by=beside)


def duplicates_known_until_restart() -> None:
    """Ids are remembered for as long as the process lives."""

    def owner_of(account: str | None) -> str:
        return f"provider of {os.getpid()}"

    _replace(submitted, "owner_of", by=owner_of)


def refusals_not_recorded() -> None:
    """Nothing is noted of the deliveries that hold a refused event."""

    def append(connection: Connection, *, delivery: Any, refusals: Any) -> None:
        if not refusals:
            append_delivery(connection, delivery=delivery, refusals=refusals)

    _replace(writer, "append_delivery", by=append)


def messages_in_another_transaction() -> None:
    """What is announced is stored after its fact was committed."""
    writing = Store._writing
    waiting: list[Any] = []

    def append_later(connection: Connection, **message: Any) -> None:
        waiting.append(message)

    @contextmanager
    def announcing(self: Store, *, access: str) -> Iterator[Connection]:
        with writing(self, access=access) as connection:
            yield connection
        while waiting:
            with writing(self, access=access) as connection:
                append_message(connection, **waiting.pop(0))

    _replace(announcement, "append_message", by=append_later)
    _replace(Store, "_writing", by=announcing)


PLANTED: Mapping[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        acknowledge_before_commit,
        totals_in_another_transaction,
        duplicates_known_until_restart,
        refusals_not_recorded,
    )
}
"""By name: those that a kill of a service finds."""

PLANTED_IN_STEPS: Mapping[str, Callable[[], None]] = {
    messages_in_another_transaction.__name__: messages_in_another_transaction
}
"""By name: those that a step which dies finds."""
