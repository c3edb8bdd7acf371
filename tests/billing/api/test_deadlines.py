"""Work ends at its bound, each at its own.

Invariant: what is done in time is not disturbed.
"""

from __future__ import annotations

import asyncio

import pytest

from billing.api.deadlines import Deadlines


async def _lasting(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


def test_what_is_done_in_time_gives_what_it_gives() -> None:
    assert asyncio.run(Deadlines(5).within(_lasting(0))) == "done"


def test_each_ends_at_its_own_bound_and_the_others_go_on() -> None:
    ended_s: list[float] = []

    async def run() -> tuple[str | BaseException, ...]:
        loop, deadlines = asyncio.get_running_loop(), Deadlines(1)

        async def one(begins_s: float, lasts_s: float) -> str:
            await asyncio.sleep(begins_s)
            began_s = loop.time()
            try:
                return await deadlines.within(_lasting(lasts_s))
            finally:
                ended_s.append(loop.time() - began_s)

        several = (one(0, 9), one(0.4, 9), one(0.45, 0.01))
        return await asyncio.gather(*several, return_exceptions=True)

    found = asyncio.run(run())
    quick_s, *late_s = ended_s
    assert [type(one) for one in found] == [TimeoutError, TimeoutError, str]
    # Not before the bound, though they are looked through eight times a second.
    assert quick_s < 1
    assert all(one > 0.99 for one in late_s)


def test_work_that_fails_fails_as_it_does_and_is_forgotten() -> None:
    async def fail() -> None:
        raise LookupError("mine")

    async def run(deadlines: Deadlines) -> int:
        with pytest.raises(LookupError, match="mine"):
            await deadlines.within(fail())
        return len(deadlines._bounds)

    assert asyncio.run(run(Deadlines(1))) == 0


def test_it_begins_to_look_again_after_a_pause() -> None:
    async def run() -> None:
        deadlines = Deadlines(1)
        assert await deadlines.within(_lasting(0)) == "done"
        await asyncio.sleep(0.3)  # two looks later nothing is looked for
        assert not deadlines._looking
        with pytest.raises(TimeoutError):
            await deadlines.within(_lasting(9))

    asyncio.run(run())


@pytest.mark.parametrize("time_is_up", [False, True])
def test_who_cancels_the_work_is_not_told_that_time_is_up(time_is_up: bool) -> None:
    async def run() -> None:
        deadlines = Deadlines(1)
        task = asyncio.create_task(deadlines.within(_lasting(9)))
        await asyncio.sleep(0)
        if time_is_up:  # at the same moment
            deadlines._end(*deadlines._bounds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_work_that_is_done_at_its_bound_ends_there_once_and_its_task_goes_on() -> None:
    async def run() -> str:
        deadlines = Deadlines(1)
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def mend() -> str:
            try:
                return await done
            except asyncio.CancelledError:
                return "mended"

        async def both() -> str:
            first = await deadlines.within(mend())
            return f"{first}, {await _lasting(0)}"

        task = asyncio.create_task(both())
        await asyncio.sleep(0)
        (bound,) = deadlines._bounds
        deadlines._end(bound)
        deadlines._end(bound)
        found = await task
        assert task.cancelling() == 0
        deadlines._end(bound)  # a timer of what is over ends nothing
        return found

    assert asyncio.run(run()) == "mended, done"
