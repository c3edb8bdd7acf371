"""What is answered to a submission: made in the writer's thread, given once, to who still waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette

from billing.api.metrics import Metrics
from billing.api.service import Service, _settle
from billing.operations.verify import verify
from billing.operations.writer import Settled, WriterFullError
from billing.settings import Settings
from billing.store.points import hooked
from billing.store.store import Store
from tests.billing.api.made_service import sent
from tests.billing.operations.made_ingest import NOW_AT, own_store
from tests.billing.operations.test_writer import Gate, request_of


@asynccontextmanager
async def held_service(store: Store, **settings: Any) -> AsyncIterator[tuple[Service, Gate]]:
    """A running service whose first transaction is held, with one submission in it."""
    service = Service(store=store, settings=Settings(**settings), clock=lambda: NOW_AT)
    gate = Gate()
    async with service.running(Starlette()):
        with hooked(gate.hold):
            first = asyncio.create_task(service.stored(request_of(sent(0)), answer=kind))
            await asyncio.to_thread(gate.shut)
            yield service, gate
            gate.open()
            assert await first == "accepted"


def kind(settled: Settled) -> str:
    (verdict,) = settled.verdicts
    return verdict.kind


def asked(service: Service, number: int, *, answer: Callable[[Settled], str]) -> asyncio.Task[str]:
    return asyncio.create_task(service.stored(request_of(sent(number)), answer=answer))


def test_an_answer_that_cannot_be_made_fails_its_own_request_alone() -> None:
    def fail(settled: Settled) -> str:
        raise LookupError("mine")

    async def run(store: Store) -> list[Any]:
        async with held_service(store) as (service, gate):
            several = [asked(service, number, answer=kind) for number in (1, 2)]
            several.insert(1, asked(service, 3, answer=fail))
            await asyncio.sleep(0)
            gate.open()
            return await asyncio.gather(*several, return_exceptions=True)

    with own_store() as (_, store):
        one, failed, other = asyncio.run(run(store))
        assert (one, repr(failed), other) == ("accepted", "LookupError('mine')", "accepted")
        assert verify(store).holds  # what it was made of is stored all the same


def test_what_cannot_be_counted_is_stored_and_answered_all_the_same(
    log: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(metrics: Metrics, group: Sequence[Settled], *, waiting: int) -> None:
        raise FileNotFoundError("counter_1.db")

    monkeypatch.setattr(Metrics, "settled", fail)

    async def run(store: Store) -> str:
        async with held_service(store) as (service, gate):
            one = asked(service, 1, answer=kind)
            await asyncio.sleep(0)
            gate.open()
            return await one

    with own_store() as (_, store):
        assert asyncio.run(run(store)) == "accepted"
    assert [one["event"] for one in log if one["log_level"] == "error"] == ["not_counted"] * 2


def test_answers_are_made_by_the_writer_and_the_loop_is_woken_once_for_a_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run(store: Store) -> tuple[list[str], int]:
        woken = 0
        async with held_service(store) as (service, gate):
            loop = asyncio.get_running_loop()
            wake = loop.call_soon_threadsafe

            def count(callback: Any, *given: Any, **more: Any) -> Any:
                nonlocal woken
                woken += callback is _settle
                return wake(callback, *given, **more)

            monkeypatch.setattr(loop, "call_soon_threadsafe", count)
            several = [asked(service, number, answer=thread) for number in range(1, 21)]
            await asyncio.sleep(0)
            gate.open()
            return await asyncio.gather(*several), woken

    def thread(settled: Settled) -> str:
        return threading.current_thread().name

    with own_store() as (_, store):
        # Once for the first, which was alone, and once for the others.
        assert asyncio.run(run(store)) == (["writer"] * 20, 2)


def test_who_does_not_wait_any_more_is_told_nothing_and_the_others_are() -> None:
    async def run(store: Store) -> str:
        async with held_service(store) as (service, gate):
            gone, here = (asked(service, number, answer=kind) for number in (1, 2))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            gate.open()
            found = await here
            assert gone.cancelled()
            return found

    with own_store() as (_, store):
        assert asyncio.run(run(store)) == "accepted"
        assert verify(store).holds


def test_who_goes_while_the_loop_is_woken_is_told_nothing() -> None:
    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        gone, here, failed = (loop.create_future() for _ in range(3))
        gone.cancel()
        _settle([(gone, "a"), (here, "b"), (failed, LookupError("c"))])
        return list(await asyncio.gather(gone, here, failed, return_exceptions=True))

    one, two, three = asyncio.run(run())
    assert (type(one), two, repr(three)) == (asyncio.CancelledError, "b", "LookupError('c')")


@pytest.mark.parametrize("waiting_events, refused", [(1, [1, 2]), (2, [2]), (3, [])])
def test_what_the_full_queue_does_not_take_is_refused_at_once_and_forgotten(
    waiting_events: int, refused: list[int]
) -> None:
    async def run(store: Store) -> list[int]:
        async with held_service(store, waiting_events=waiting_events) as (service, gate):
            several = {number: asked(service, number, answer=kind) for number in (1, 2)}
            await asyncio.sleep(0)
            found = [number for number, one in several.items() if one.done()]
            assert len(service._waiting) == 1 + len(several) - len(found)
            for number in found:
                with pytest.raises(WriterFullError, match=f"{waiting_events} events wait"):
                    await several[number]
            gate.open()
            for number in {1, 2} - set(found):
                assert await several[number] == "accepted"
            return found

    with own_store() as (_, store):
        assert asyncio.run(run(store)) == refused
        assert verify(store).holds
